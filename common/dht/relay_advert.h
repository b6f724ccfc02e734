// That a node is a relay: signed by its node key, found in the DHT under one of kRelayShards well-known keys (§1.2).
//
//   signed bytes  "dotagent relay advert v1\0" ‖ serialized v1.RelayAdvert (protos/dotagent/relay/v1/advert.proto)
//   DHT key       SHA-256("relay:" ‖ shard, one byte)
//
// A relay's shard follows from its key: the low 4 bits of the first byte of SHA-256(key). So no one key has all relays
// and all questions, every relay stands in one place only, and one who wants another place must make another key. A
// reader begins at a random shard. 16 shards of some hundred relays each are more than any reader looks through, and
// few enough that a network with a handful of relays is searched whole with 16 lookups.
//
// Defends against adverts in another relay's name, replay of older ones, statements of another kind, parsing what is
// not signed. It does not say that the relay works, or is honest about its load: measure. A relay sees ciphertext only.
#ifndef DOTAGENT_COMMON_DHT_RELAY_ADVERT_H_
#define DOTAGENT_COMMON_DHT_RELAY_ADVERT_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/crypto/keys.h"
#include "common/dht/types.h"

namespace dotagent::dht {

inline constexpr size_t kMaxRelayAdvertSize = 1024;
inline constexpr absl::Duration kMaxRelayAdvertLifetime = absl::Hours(6);
inline constexpr uint8_t kRelayShards = 16;

// A value.
struct RelayAdvert {
  std::vector<std::string> addresses;  // text multiaddrs without /p2p, at most 8; none: it takes no more circuits
  uint32_t max_circuits = 0;
  uint32_t load_permille = 0;             // of max_circuits; 0 to 1000
  uint64_t circuit_bytes_per_second = 0;  // 0: not limited
  absl::Time signed_at;
  absl::Time expires;
  crypto::PublicKey relay;
};

// A serialized SignedStatement of `advert`'s addresses and hints, that holds from `now` for `lifetime`. InvalidArgument
// as VerifyRelayAdvert says, or whatever the signer fails with.
[[nodiscard]] absl::StatusOr<std::string> SignRelayAdvert(const crypto::Signer& relay, const RelayAdvert& advert,
                                                          absl::Time now,
                                                          absl::Duration lifetime = kMaxRelayAdvertLifetime);

// Checks size, form, signature, then what was signed. InvalidArgument: TOO_LARGE, BAD_SIGNATURE, BAD_ADDRESS,
// BAD_STATEMENT (form, lifetime, hints). FailedPrecondition: FUTURE_DATED if it is dated over 5 minutes ahead, STALE
// once it has ended. About 60 µs.
[[nodiscard]] absl::StatusOr<RelayAdvert> VerifyRelayAdvert(absl::string_view statement, absl::Time now);

[[nodiscard]] uint8_t RelayShard(const crypto::PublicKey& relay);
// The DHT key of a shard, 0 to kRelayShards - 1.
[[nodiscard]] Id RelayShardKey(uint8_t shard);

}  // namespace dotagent::dht

#endif  // DOTAGENT_COMMON_DHT_RELAY_ADVERT_H_
