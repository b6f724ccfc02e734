// Group commit: writes to a store without waiting for its disk. What is handed over while the disk is busy is written
// together next, in one batch and one sync, so that a synced write among many costs a fraction of one alone.
//
// Writes take effect in the order in which they were handed over, and their callers hear of them in that order, each
// after the disk has all that came before.
//
// Defends against a disk that cannot keep up: at most so many writes and bytes wait, and more are refused.
//
//   GroupWriter writer(store, post);
//   RETURN_IF_ERROR(writer.Write(std::move(batch), Durability::kSync, [](const absl::Status& written) { … }));
#ifndef DOTAGENT_COMMON_STORAGE_GROUP_WRITER_H_
#define DOTAGENT_COMMON_STORAGE_GROUP_WRITER_H_

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "common/base/mutex.h"
#include "common/storage/store.h"

namespace dotagent::storage {

struct GroupWriterLimits {
  // Handed over and not called back yet. Buffered writes, which make room as a rule, are taken until twice as much
  // waits.
  size_t max_waiting = 16'384;
  uint64_t max_waiting_bytes = uint64_t{64} << 20;
  // Written together, unless a single one is larger.
  uint64_t max_group_bytes = uint64_t{4} << 20;
};

// Belongs to one thread, its owner's (a service's loop): all calls, callbacks and the destructor are on it. The writing
// is on a thread of its own.
class GroupWriter {
 public:
  using Done = std::function<void(const absl::Status&)>;
  // Runs work later on the owner's thread. Called on the writer's.
  using Post = std::function<void(std::function<void()>)>;

  // `store` must outlive it.
  GroupWriter(Store& store, Post post, const GroupWriterLimits& limits = {});
  // Writes what waits. Nobody is called back from then on.
  ~GroupWriter();
  GroupWriter(const GroupWriter&) = delete;
  GroupWriter& operator=(const GroupWriter&) = delete;

  // `done` is called once, never from inside: after the batch has been written, as Store::Write says; of those that
  // were written together either all have or none. ResourceExhausted (LIMIT) if too much waits, and `done` is then not
  // called.
  [[nodiscard]] absl::Status Write(Batch batch, Durability durability, Done done);

  // Waits until all that was handed over is written, and calls back from inside. Returns false if nothing waited.
  bool Flush();

  [[nodiscard]] size_t waiting() const { return waiting_; }
  // How much that is of what may wait, by number or bytes: 1 when batches are refused, 2 when buffered ones are too.
  [[nodiscard]] double fill() const {
    return std::max(static_cast<double>(waiting_) / static_cast<double>(limits_.max_waiting),
                    static_cast<double>(waiting_bytes_) / static_cast<double>(limits_.max_waiting_bytes));
  }
  // How often it has gone to the disk.
  [[nodiscard]] uint64_t groups() const { return groups_; }

 private:
  struct Item {
    Batch batch;
    uint64_t bytes = 0;
    Durability durability = Durability::kBuffered;
    Done done;
    absl::Status written;
  };

  void Run();
  [[nodiscard]] std::vector<Item> NextGroup();
  void Commit(std::vector<Item> group);
  void CallBack();

  Store& store_;
  const Post post_;
  const GroupWriterLimits limits_;
  // Of the owner's thread.
  size_t waiting_ = 0;
  uint64_t waiting_bytes_ = 0;
  // What is posted finds this object by it, or nothing.
  const std::shared_ptr<GroupWriter*> self_ = std::make_shared<GroupWriter*>(this);

  std::atomic<uint64_t> groups_ = 0;
  Mutex mutex_;
  std::condition_variable_any woken_;  // something is to be written, or it is to end
  std::condition_variable_any idle_;   // nothing is left to be written
  std::vector<Item> queue_ ABSL_GUARDED_BY(mutex_);
  std::vector<Item> written_ ABSL_GUARDED_BY(mutex_);
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace dotagent::storage

#endif  // DOTAGENT_COMMON_STORAGE_GROUP_WRITER_H_
