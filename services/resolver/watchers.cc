#include "services/resolver/watchers.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace dotagent::resolver_service {

absl::StatusOr<uint64_t> Watchers::Add(const record::Name& name, TellFunction tell) {
  if (watchers_.size() >= kMax) {
    return ErrorWithReason(absl::StatusCode::kResourceExhausted, reason::kLimit,
                           absl::StrCat("this resolver serves ", kMax, " watches already; ask another"));
  }
  watchers_.emplace(next_, Watcher{name, std::move(tell)});
  by_name_[name].insert(next_);
  return next_++;
}

void Watchers::Remove(uint64_t watch) {
  const auto found = watchers_.find(watch);
  if (found == watchers_.end()) return;
  const auto same_name = by_name_.find(found->second.name);
  same_name->second.erase(watch);
  if (same_name->second.empty()) by_name_.erase(same_name);
  watchers_.erase(found);
}

void Watchers::Tell(const record::Name& name, const resolver::v1::WatchResponse& news) const {
  const auto found = by_name_.find(name);
  if (found == by_name_.end()) return;
  const std::vector<uint64_t> watches(found->second.begin(), found->second.end());
  for (const uint64_t watch : watches) {
    const auto watcher = watchers_.find(watch);
    if (watcher == watchers_.end()) continue;  // removed by one that was told before
    const TellFunction tell = watcher->second.tell;
    tell(news);
  }
}

}  // namespace dotagent::resolver_service
