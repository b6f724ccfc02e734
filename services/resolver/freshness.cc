#include "services/resolver/freshness.h"

#include <algorithm>

namespace dotagent::resolver_service {
namespace {

// Past this many changes the history is cut to half its length, so that the rate follows the owner's habits.
constexpr uint32_t kRemembered = 8;

}  // namespace

void UpdateHistory::See(absl::Time timestamp) {
  if (timestamp <= newest_) return;
  newest_ = timestamp;
  if (++changes_ <= kRemembered) return;
  since_ = newest_ - (newest_ - since_) / 2;
  changes_ /= 2;
}

absl::Duration UpdateHistory::ExpectedInterval(absl::Time now) const { return (now - since_) / (changes_ + 1); }

absl::Duration FreshFor(const record::Record& record, const UpdateHistory& history, absl::Time now) {
  const absl::Duration guess = std::clamp(history.ExpectedInterval(now) / 10, kShortestFresh, kLongestFresh);
  return std::clamp(record.expires() - now, absl::ZeroDuration(), guess);
}

absl::Duration StaleFor(const record::Record& record, absl::Duration fresh_for, absl::Time now) {
  const absl::Duration wanted = std::clamp(fresh_for, kShortestFresh, kLongestStale);
  return std::clamp(record.expires() - now - fresh_for, absl::ZeroDuration(), wanted);
}

}  // namespace dotagent::resolver_service
