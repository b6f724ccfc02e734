#include "common/p2p/address_buckets.h"

#include <algorithm>
#include <utility>

namespace dotagent::p2p {

AddressBuckets::AddressBuckets(double per_second, double burst, size_t max_addresses)
    : rate_{.per_second = per_second, .burst = std::max(burst, 1.0)},
      max_young_(std::max<size_t>(max_addresses / 2, 1)) {}

bool AddressBuckets::Take(const std::string& group, absl::Time now) {
  if (rate_.per_second <= 0) return true;
  const absl::Duration time = now - absl::UnixEpoch();
  return Find(group, time).Take(rate_, 1, time) == absl::ZeroDuration();
}

abuse::TokenBucket& AddressBuckets::Find(const std::string& group, absl::Duration now) {
  if (const auto found = young_.find(group); found != young_.end()) return found->second;
  abuse::TokenBucket bucket(rate_.burst, now);
  if (const auto found = old_.find(group); found != old_.end()) {
    bucket = found->second;
    old_.erase(found);
  }
  if (young_.size() >= max_young_) old_ = std::exchange(young_, {});
  return young_.emplace(group, bucket).first->second;
}

}  // namespace dotagent::p2p
