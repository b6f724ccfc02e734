// Which of the values that nodes returned a reader believes.
//
// Every value here has been validated, so a liar can only hold back, return an older one, or return one of another
// owner (where nodes bind a name to its first owner and he found some that did not know it). Each node has one vote,
// for an owner; the owner with most votes wins, of equals the one named by the node nearest to the key; of the winner's
// values the one that its type prefers is the answer. Three votes decide: of r = 5 holders no two others can outvote
// them, and since a store needs three confirmations too, one of any three holders has the newest.
//
// Not thread-safe.
#ifndef DOTAGENT_COMMON_DHT_QUORUM_H_
#define DOTAGENT_COMMON_DHT_QUORUM_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

#include "absl/strings/string_view.h"
#include "common/dht/value_type.h"

namespace dotagent::dht {

inline constexpr size_t kQuorum = kReplicationFactor / 2 + 1;

class Quorum {
 public:
  // `node` returned `value`. A node votes once.
  void Add(const Id& node, const Value& value);
  // A validated value with these bytes that some node returned before, or nullptr: spares checking a signature again.
  [[nodiscard]] const Value* Find(absl::string_view bytes) const;

  [[nodiscard]] bool empty() const { return votes_.empty(); }
  [[nodiscard]] bool decided() const;

  struct Answer {
    Value value;
    uint32_t agreeing = 0;  // nodes that returned this very value
  };
  // What is believed so far. Must not be empty().
  [[nodiscard]] Answer Best() const;

 private:
  std::map<Id, Value> votes_;  // by the node's distance to the key
};

}  // namespace dotagent::dht

#endif  // DOTAGENT_COMMON_DHT_QUORUM_H_
