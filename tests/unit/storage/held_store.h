// A store in memory whose disk obeys the test: writes wait while it is held, and fail when told to.
#ifndef DOTAGENT_TESTS_UNIT_STORAGE_HELD_STORE_H_
#define DOTAGENT_TESTS_UNIT_STORAGE_HELD_STORE_H_

#include <condition_variable>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/base/mutex.h"
#include "common/storage/store.h"

namespace dotagent::storage {

class HeldStore : public Store {
 public:
  struct Arrival {
    size_t changes = 0;
    Durability durability = Durability::kBuffered;
  };

  absl::StatusOr<std::string> Get(absl::string_view key) const override { return store_->Get(key); }
  absl::Status Scan(absl::string_view prefix, absl::string_view from,
                    const std::function<bool(absl::string_view, absl::string_view)>& visit) const override {
    return store_->Scan(prefix, from, visit);
  }
  absl::Status Write(const Batch& batch, Durability durability) override {
    absl::Status failure;
    {
      const Lock lock(mutex_);
      arrived_.push_back({batch.size(), durability});
      changed_.notify_all();
      while (held_) changed_.wait(mutex_);
      failure = failure_;
    }
    return failure.ok() ? store_->Write(batch, durability) : failure;
  }

  void Hold() {
    const Lock lock(mutex_);
    held_ = true;
  }
  void Release() {
    const Lock lock(mutex_);
    held_ = false;
    changed_.notify_all();
  }
  // What writes end with from now on; those that are held, too.
  void FailWith(const absl::Status& failure) {
    const Lock lock(mutex_);
    failure_ = failure;
  }
  // Waits until so many writes have come, also those that are held.
  void AwaitWrites(size_t count) {
    const Lock lock(mutex_);
    while (arrived_.size() < count) changed_.wait(mutex_);
  }
  std::vector<Arrival> writes() {
    const Lock lock(mutex_);
    return arrived_;
  }

 private:
  const std::unique_ptr<Store> store_ = NewMemoryStore();
  Mutex mutex_;
  std::condition_variable_any changed_;
  std::vector<Arrival> arrived_ ABSL_GUARDED_BY(mutex_);
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
  bool held_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace dotagent::storage

#endif  // DOTAGENT_TESTS_UNIT_STORAGE_HELD_STORE_H_
