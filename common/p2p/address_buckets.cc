#include "common/p2p/address_buckets.h"

#include <algorithm>
#include <utility>

namespace dotagent::p2p {

AddressBuckets::AddressBuckets(double per_second, double burst, size_t max_addresses)
    : per_second_(per_second), burst_(std::max(burst, 1.0)), max_young_(std::max<size_t>(max_addresses / 2, 1)) {}

bool AddressBuckets::Take(const std::string& group, absl::Time now) {
  if (per_second_ <= 0) return true;
  Bucket& bucket = Find(group, now);
  if (now > bucket.at) {
    bucket.tokens = std::min(burst_, bucket.tokens + absl::ToDoubleSeconds(now - bucket.at) * per_second_);
    bucket.at = now;
  }
  if (bucket.tokens < 1) return false;
  bucket.tokens -= 1;
  return true;
}

AddressBuckets::Bucket& AddressBuckets::Find(const std::string& group, absl::Time now) {
  if (const auto found = young_.find(group); found != young_.end()) return found->second;
  Bucket bucket{.tokens = burst_, .at = now};
  if (const auto found = old_.find(group); found != old_.end()) {
    bucket = found->second;
    old_.erase(found);
  }
  if (young_.size() >= max_young_) old_ = std::exchange(young_, {});
  return young_.emplace(group, bucket).first->second;
}

}  // namespace dotagent::p2p
