// Text names of node keys, as libp2p writes them: base58btc of the identity multihash of the key's protobuf (12D3KooW…
// for Ed25519), so that addresses can be shared with libp2p tools.
// https://github.com/libp2p/specs/blob/master/peer-ids/peer-ids.md
#ifndef DOTAGENT_COMMON_CRYPTO_PEER_ID_H_
#define DOTAGENT_COMMON_CRYPTO_PEER_ID_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/crypto/keys.h"

namespace dotagent::crypto {

[[nodiscard]] std::string PeerIdFromKey(const PublicKey& key);

// InvalidArgument (BAD_ADDRESS) unless `text` is the peer id of an Ed25519 key.
[[nodiscard]] absl::StatusOr<PublicKey> KeyFromPeerId(absl::string_view text);

// The libp2p PublicKey protobuf for an Ed25519 key: 36 bytes, 0x08 0x01 0x12 0x20 ‖ key. Also in Noise payloads and TLS
// certificates.
[[nodiscard]] std::string EncodeLibp2pKey(const PublicKey& key);
[[nodiscard]] absl::StatusOr<PublicKey> DecodeLibp2pKey(absl::string_view protobuf);

}  // namespace dotagent::crypto

#endif  // DOTAGENT_COMMON_CRYPTO_PEER_ID_H_
