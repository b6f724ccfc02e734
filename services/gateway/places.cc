#include "services/gateway/places.h"

namespace dotagent::gateway_service {

Places::Place Places::Take(absl::string_view whose) {
  size_t& count = (*taken_)[whose];
  if (count >= max_each_) return nullptr;
  ++count;
  return Place(taken_.get(), [taken = taken_, whose = std::string(whose)](const void*) {
    const auto found = taken->find(whose);
    if (--found->second == 0) taken->erase(found);
  });
}

}  // namespace dotagent::gateway_service
