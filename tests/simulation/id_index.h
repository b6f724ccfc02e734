// Node ids in order, for finding those nearest to a key among thousands: what a perfect lookup would find, and what a
// coalition of liars answers.
#ifndef DOTAGENT_TESTS_SIMULATION_ID_INDEX_H_
#define DOTAGENT_TESTS_SIMULATION_ID_INDEX_H_

#include <cstddef>
#include <utility>
#include <vector>

#include "common/dht/types.h"

namespace dotagent::simulation {

class IdIndex {
 public:
  // O(size), for its memmove.
  void Add(const dht::Id& id, size_t node);
  void Remove(const dht::Id& id);

  // The nodes whose ids are nearest to `target`, nearest first; fewer than `count` if there are no more. O(log size +
  // count).
  [[nodiscard]] std::vector<size_t> Nearest(const dht::Id& target, size_t count) const;

  [[nodiscard]] size_t size() const { return entries_.size(); }

 private:
  using Entry = std::pair<dht::Id, size_t>;
  // Appends the nearest of entries [first, last), which share their first `bit` bits.
  void Collect(size_t first, size_t last, int bit, const dht::Id& target, size_t count, std::vector<size_t>* out) const;

  std::vector<Entry> entries_;  // by id
};

}  // namespace dotagent::simulation

#endif  // DOTAGENT_TESTS_SIMULATION_ID_INDEX_H_
