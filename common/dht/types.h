// The DHT's vocabulary: 256-bit keys, the XOR metric, contacts, calls.
#ifndef DOTAGENT_COMMON_DHT_TYPES_H_
#define DOTAGENT_COMMON_DHT_TYPES_H_

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/crypto/keys.h"
#include "common/dht/address_list.h"

namespace dotagent::dht {

inline constexpr size_t kBucketSize = 20;        // k (§2.1)
inline constexpr size_t kReplicationFactor = 5;  // r
inline constexpr size_t kConcurrency = 3;        // α
inline constexpr size_t kIdBits = 256;
inline constexpr size_t kMaxContactAddresses = 8;
inline constexpr size_t kMaxAddressSize = 128;
// Contacts in one answer. FindNode gives k. FindValue gives more than there are witnesses to a key (verdict.h): those
// of which only liars tell would otherwise be liars.
inline constexpr size_t kMaxAnswerNodes = 32;
inline constexpr size_t kMaxClaimKeys = 64;  // in one FindClaimsCall
// In one ValuesAnswer. It has at least one value where there is one, whatever its size.
inline constexpr size_t kMaxPageValues = 64;
inline constexpr size_t kMaxPageBytes = 16 * 1024;

// A node's id, a value's key, or the XOR distance between two of them: 256 bits, big-endian. A value.
class Id {
 public:
  Id() = default;
  // InvalidArgument unless `bytes` is 32 bytes long.
  [[nodiscard]] static absl::StatusOr<Id> FromBytes(absl::string_view bytes);
  // NodeId = SHA-256(public key).
  [[nodiscard]] static Id OfNode(const crypto::PublicKey& key);

  [[nodiscard]] absl::string_view bytes() const {
    return {reinterpret_cast<const char*>(bytes_.data()), bytes_.size()};
  }
  [[nodiscard]] Id DistanceTo(const Id& other) const;
  // Leading bits that both share: 0–256.
  [[nodiscard]] int CommonPrefix(const Id& other) const;
  // The first 64 bits as a number: enough to order nearly all pairs of ids, and of distances, since
  // a.DistanceTo(b).Head() is a.Head() ^ b.Head().
  [[nodiscard]] uint64_t Head() const { return Word(0); }
  // The next 64 bits.
  [[nodiscard]] uint64_t SecondWord() const { return Word(1); }

  friend bool operator==(const Id& a, const Id& b) { return std::memcmp(a.bytes_.data(), b.bytes_.data(), 32) == 0; }
  friend std::strong_ordering operator<=>(const Id& a, const Id& b) {
    if (const auto by_head = a.Head() <=> b.Head(); by_head != 0) return by_head;
    return std::memcmp(a.bytes_.data(), b.bytes_.data(), 32) <=> 0;
  }
  template <typename H>
  friend H AbslHashValue(H h, const Id& id) {
    return H::combine(std::move(h), id.bytes_);
  }

 private:
  // Big-endian.
  [[nodiscard]] uint64_t Word(size_t index) const {
    uint64_t word = 0;
    for (size_t i = 0; i < sizeof(word); ++i) word = word << 8 | bytes_[index * sizeof(word) + i];
    return word;
  }

  std::array<uint8_t, 32> bytes_{};
};

inline Id Id::DistanceTo(const Id& other) const {
  Id distance;
  for (size_t i = 0; i < bytes_.size(); ++i) distance.bytes_[i] = bytes_[i] ^ other.bytes_[i];
  return distance;
}

// A node and where to reach it.
struct Contact {
  Id id;
  crypto::PublicKey key;
  AddressList addresses;         // text multiaddrs without /p2p; empty: a client, which never enters a table
  uint64_t puzzle_solution = 0;  // of the node's dynamic puzzle (puzzle.h)
};

enum class ValueKind : uint8_t {
  kRecord = 1,
  kRevocation = 2,
  kRotation = 3,
  kCapabilityAdvert = 4,
  kRelayAdvert = 5,
};

// A value and what goes with it, as they travel.
struct Item {
  std::string bytes;  // exactly as signed
  std::string proof;  // a serialized v1::Proof, or empty (value_type.h)

  friend bool operator==(const Item&, const Item&) = default;
};

// That a node knows whose key this is: its vote, signed, so that it can be shown to others (receipt.h).
struct Receipt {
  Id owner;               // an AgentId
  Id digest;              // SHA-256 of the owner's newest value that the node has seen
  absl::Time first_seen;  // of this owner, by the node's clock; whole milliseconds
  std::string signature;  // Ed25519 by the node

  friend bool operator==(const Receipt&, const Receipt&) = default;
};

struct PingCall {};
struct FindNodeCall {
  Id target;
};
struct FindValueCall {
  Id key;
  ValueKind kind = ValueKind::kRecord;
  std::optional<Id> census;  // census.h: a node that has the same need list none
};
struct StoreCall {
  Id key;
  ValueKind kind = ValueKind::kRecord;
  Item item;
  bool witness_only = false;  // remember whose key it is, but keep no copy
};
// Whose are these keys, as far as the node knows?
struct FindClaimsCall {
  ValueKind kind = ValueKind::kRecord;
  std::vector<Id> keys;  // 1 to kMaxClaimKeys
};
// The values of many owners under one key, page by page in the order of their owners' ids.
struct FindValuesCall {
  Id key;
  ValueKind kind = ValueKind::kCapabilityAdvert;
  std::optional<Id> after;          // whose owners come behind this one; none: from the first on
  uint32_t limit = kMaxPageValues;  // 1 or more; of more than kMaxPageValues as many are meant
};
struct Request {
  Contact sender;
  std::variant<PingCall, FindNodeCall, FindValueCall, StoreCall, FindClaimsCall, FindValuesCall> call;
};

struct PingAnswer {
  uint64_t puzzle_solution = 0;  // the answering node's own: who has only its address needs it to make a Contact
};
struct NodesAnswer {
  std::vector<Contact> nodes;
};
// Answers FindValue, whether or not there is a value.
struct ValueAnswer {
  std::optional<Item> item;
  std::optional<Receipt> receipt;  // of a kind whose keys have owners
  std::vector<Contact> nodes;
  bool same_census = false;  // as the caller's: `nodes` is then empty, and stands for those that he knows
};
struct StoreAnswer {
  std::optional<Receipt> receipt;  // of a kind whose keys have owners
};
struct ClaimsAnswer {
  std::vector<std::optional<Receipt>> receipts;  // one for each key that was asked for
};
struct ValuesAnswer {
  std::vector<Item> items;
  std::optional<Id> next;  // the last one's owner, to go on behind; none: there are no more
};
// A refusal travels as absl::Status.
struct Response {
  std::variant<PingAnswer, NodesAnswer, ValueAnswer, StoreAnswer, ClaimsAnswer, ValuesAnswer, absl::Status> answer;
};

}  // namespace dotagent::dht

#endif  // DOTAGENT_COMMON_DHT_TYPES_H_
