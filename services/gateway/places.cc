#include "services/gateway/places.h"

namespace dotagent::gateway_service {

Places::Place Places::Take(absl::string_view whose) {
  if (Full(whose)) return nullptr;
  ++(*taken_)[whose];
  return Place(taken_.get(), [taken = taken_, whose = std::string(whose)](const void*) {
    const auto found = taken->find(whose);
    if (--found->second == 0) taken->erase(found);
  });
}

bool Places::Full(absl::string_view whose) const {
  const auto found = taken_->find(whose);
  return (found == taken_->end() ? 0 : found->second) >= max_each_;
}

}  // namespace dotagent::gateway_service
