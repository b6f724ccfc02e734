// How many of something each agent, or each inbox, has at once: so many and no more, whatever the others have. So none
// takes what is there for all.
//
//   Places inbox_calls(64);
//   auto place = inbox_calls.Take(agent.key.bytes());
//   if (place == nullptr) return refuse();  // it has 64 open
//   call->place = std::move(place);         // free again when the call is over
#ifndef DOTAGENT_SERVICES_GATEWAY_PLACES_H_
#define DOTAGENT_SERVICES_GATEWAY_PLACES_H_

#include <cstddef>
#include <memory>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"

namespace dotagent::gateway_service {

// On the loop. What is known costs one entry for each `whose` that has any.
class Places {
 public:
  // Held: free again when the last copy is gone, which may be after the Places.
  using Place = std::shared_ptr<const void>;

  explicit Places(size_t max_each) : max_each_(max_each) {}

  // nullptr: `whose` has all that it may have.
  [[nodiscard]] Place Take(absl::string_view whose);
  // Whether Take would give none.
  [[nodiscard]] bool Full(absl::string_view whose) const;

 private:
  using Taken = absl::flat_hash_map<std::string, size_t>;

  const size_t max_each_;
  const std::shared_ptr<Taken> taken_ = std::make_shared<Taken>();
};

}  // namespace dotagent::gateway_service

#endif  // DOTAGENT_SERVICES_GATEWAY_PLACES_H_
