// What the DHT stores, one type a kind. A value certifies itself: its bytes carry a signature, and the key that it is
// stored under follows from them. So nodes and readers check values, never each other.
//
// A new kind is one new file that implements ValueType, a line in value_type.cc, and its number in types.h.
#ifndef DOTAGENT_COMMON_DHT_VALUE_TYPE_H_
#define DOTAGENT_COMMON_DHT_VALUE_TYPE_H_

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/dht/types.h"

namespace dotagent::dht {

// A value that its type has validated, and what follows from its bytes.
struct Value {
  ValueKind kind = ValueKind::kRecord;
  Id key;
  Id owner;                                  // AgentId of whom it belongs to
  crypto::PublicKey signer;                  // the owner's key that signed it
  absl::Time timestamp;                      // when it was signed, says the signer
  absl::Time certified = absl::UnixEpoch();  // by a registrar, from then on (registrar policy only)
  absl::Time expires;                        // InfiniteFuture: never
  bool withdrawn = false;                    // an advert that nothing is offered any longer; not kept by ValueStore
  Item item;
};

// Immutable and thread-safe.
class ValueType {
 public:
  virtual ~ValueType() = default;

  [[nodiscard]] virtual ValueKind kind() const = 0;
  [[nodiscard]] virtual size_t max_size() const = 0;

  // Checks `item` whole: size first, then signature, form and dates. InvalidArgument (or what the value's own room
  // says) if it is not a valid value at `now`.
  [[nodiscard]] virtual absl::StatusOr<Value> Validate(const Item& item, absl::Time now) const = 0;

  // Whether witnesses bind a key to the first owner who stored under it, and refuse others (ARCHITECTURE §4,
  // first-claim).
  [[nodiscard]] virtual bool first_claim() const = 0;

  // Whether a key is many owners', and each owner's value lies beside the others' (seats.h, collect.h). Never of a kind
  // with first_claim.
  [[nodiscard]] virtual bool many_owners() const = 0;

  // Of a kind whose keys have no owners: how many nodes' values a reader compares before he takes the best.
  [[nodiscard]] virtual size_t enough() const = 0;

  // Whether a value of this kind revokes its owner's key.
  [[nodiscard]] virtual bool revokes_owner() const = 0;

  // Of two values under one key (with one owner, of a kind whose keys have owners or many): true if `offered` takes the
  // place of `held`, false if `held` stays and that is as good to whoever offers. FailedPrecondition (SUPERSEDED) if
  // `held` stays and whoever offers should know. The same on every node, in whatever order values arrive.
  [[nodiscard]] virtual absl::StatusOr<bool> Replaces(const Value& held, const Value& offered) const = 0;

  // What a reader is told when no node has one.
  [[nodiscard]] virtual absl::Status Absent() const = 0;
};

// Where a value lies. The owner is all zeros for a kind of which a key has one value.
struct Slot {
  ValueKind kind = ValueKind::kRecord;
  Id key;
  Id owner;

  friend auto operator<=>(const Slot&, const Slot&) = default;
};

// The kind with this number, on the wire and on disk.
[[nodiscard]] std::optional<ValueKind> KindFromNumber(int number);

// For kinds that prove themselves: InvalidArgument (BAD_STATEMENT) if something else came along, which nobody signed
// and everybody would have to keep.
[[nodiscard]] absl::Status CheckNoProof(const Item& item);

// The rotation chain in a proof that may hold nothing else; empty if there is none. InvalidArgument (BAD_STATEMENT).
[[nodiscard]] absl::StatusOr<std::string> ChainInProof(const std::string& proof);

// SHA-256 of the value's bytes.
[[nodiscard]] Id DigestOf(const Item& item);

// Whose names are whose; the same at every node of a network.
struct NamePolicy {
  // Whose certificate a record needs; none: first-claim, a name is his who registers it first.
  std::vector<crypto::PublicKey> registrars;
};

// The types of all kinds under a policy. Immutable and thread-safe.
class ValueTypes {
 public:
  explicit ValueTypes(NamePolicy policy = {});
  ~ValueTypes();

  [[nodiscard]] const ValueType& Of(ValueKind kind) const;
  [[nodiscard]] Slot SlotOf(const Value& value) const {
    return {value.kind, value.key, Of(value.kind).many_owners() ? value.owner : Id()};
  }
  // Validate, and InvalidArgument (PROTOCOL) unless the value belongs under `key`.
  [[nodiscard]] absl::StatusOr<Value> ValidateUnder(const Id& key, ValueKind kind, const Item& item,
                                                    absl::Time now) const;

 private:
  std::vector<std::unique_ptr<const ValueType>> types_;  // by the kind's number, from 1 on
};

}  // namespace dotagent::dht

#endif  // DOTAGENT_COMMON_DHT_VALUE_TYPE_H_
