// The names of a run, their owners, and what was published of them. All of it follows from the seed: private keys are
// made again when they are needed, since there may be more of them than memory that can be locked.
#ifndef DOTAGENT_TESTS_SIMULATION_NAMES_H_
#define DOTAGENT_TESTS_SIMULATION_NAMES_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/crypto/keys.h"
#include "common/dht/types.h"
#include "common/dht/value_type.h"

namespace dotagent::simulation {

class Names {
 public:
  // certified: a registrar certifies each owner.
  Names(uint64_t seed, size_t count, bool certified);

  // What nodes go by.
  [[nodiscard]] dht::NamePolicy policy() const;

  [[nodiscard]] size_t size() const { return keys_.size(); }
  [[nodiscard]] const dht::Id& key(size_t name) const { return keys_[name]; }
  [[nodiscard]] std::optional<size_t> Find(const dht::Id& key) const;
  // The key of a name that nobody publishes.
  [[nodiscard]] dht::Id AbsentKey(size_t number) const;

  // A record of the name by its owner.
  [[nodiscard]] absl::StatusOr<dht::Item> Sign(size_t name, absl::Time now, absl::Duration ttl) const;
  // A record of the name by a thief, the same one for all names. It is valid, but not the owner's; a certificate the
  // thief has made himself.
  [[nodiscard]] absl::StatusOr<dht::Item> SignAsThief(size_t name, absl::Time now, absl::Duration ttl) const;

  // The AgentIds of a name's owner, and of the thief.
  [[nodiscard]] const dht::Id& owner(size_t name) const { return owners_[name]; }
  [[nodiscard]] const dht::Id& thief() const { return thief_; }

 private:
  [[nodiscard]] std::string Text(size_t name) const;
  [[nodiscard]] crypto::SigningKey KeyNumber(uint64_t number) const;
  [[nodiscard]] absl::StatusOr<dht::Item> SignWith(const crypto::Signer& key, const crypto::Signer& registrar,
                                                   size_t name, absl::Time now, absl::Duration ttl) const;

  const uint64_t seed_;
  const bool certified_;
  std::vector<dht::Id> keys_;
  std::vector<dht::Id> owners_;
  dht::Id thief_;
  absl::flat_hash_map<dht::Id, size_t> by_key_;
};

}  // namespace dotagent::simulation

#endif  // DOTAGENT_TESTS_SIMULATION_NAMES_H_
