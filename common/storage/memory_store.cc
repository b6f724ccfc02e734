#include <algorithm>
#include <map>

#include "absl/base/thread_annotations.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "common/base/status.h"
#include "common/storage/keys.h"
#include "common/storage/store.h"

namespace dotagent::storage {
namespace {

class MemoryStore : public Store {
 public:
  absl::StatusOr<std::string> Get(absl::string_view key) const override {
    absl::ReaderMutexLock lock(&mutex_);
    const auto found = values_.find(key);
    if (found == values_.end()) return absl::NotFoundError("no such key");
    return *found->second;
  }

  absl::Status Write(const Batch& batch, Durability /*durability*/) override {
    RETURN_IF_ERROR(CheckKeys(batch));
    absl::WriterMutexLock lock(&mutex_);
    for (const auto& [key, value] : batch.changes()) {
      if (value) {
        values_[key] = std::make_shared<const std::string>(*value);
      } else {
        values_.erase(key);
      }
    }
    return absl::OkStatus();
  }

  absl::Status Scan(absl::string_view prefix, absl::string_view from,
                    const std::function<bool(absl::string_view key, absl::string_view value)>& visit) const override {
    for (const auto& [key, value] : Snapshot(prefix, from)) {
      if (!visit(key, *value)) break;
    }
    return absl::OkStatus();
  }

 private:
  // Values are shared, not copied, so that a snapshot costs its keys.
  using Value = std::shared_ptr<const std::string>;

  std::vector<std::pair<std::string, Value>> Snapshot(absl::string_view prefix, absl::string_view from) const {
    absl::ReaderMutexLock lock(&mutex_);
    std::vector<std::pair<std::string, Value>> entries;
    for (auto it = values_.lower_bound(std::max(prefix, from));
         it != values_.end() && absl::StartsWith(it->first, prefix); ++it) {
      entries.emplace_back(it->first, it->second);
    }
    return entries;
  }

  mutable absl::Mutex mutex_;
  std::map<std::string, Value, std::less<>> values_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

std::unique_ptr<Store> NewMemoryStore() { return std::make_unique<MemoryStore>(); }

}  // namespace dotagent::storage
