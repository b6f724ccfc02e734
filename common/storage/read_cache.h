// What was read of late, as it is now, and what was found not to be there: a read from it costs a fifteenth of one from
// RocksDB's memtable.
//
// Bounded in bytes; what was used least recently goes first. It never holds what is not in the store: a write takes its
// keys out before it begins and puts back what it has made of them when it has succeeded, and a value that was read
// comes in only if no write has begun or ended meanwhile. What is written without having been read, as messages are,
// costs a look for each key, and pushes nothing out.
//
// Thread-safe.
#ifndef DOTAGENT_COMMON_STORAGE_READ_CACHE_H_
#define DOTAGENT_COMMON_STORAGE_READ_CACHE_H_

#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/string_view.h"
#include "common/base/mutex.h"
#include "common/storage/store.h"

namespace dotagent::storage {

class ReadCache {
 public:
  explicit ReadCache(size_t max_bytes) : max_bytes_(max_bytes) {}

  // What the store has under a key; std::nullopt: nothing.
  using Found = std::optional<std::string>;

  struct Answer {
    bool known = false;
    Found found;          // if known
    uint64_t ticket = 0;  // else: goes to AddRead, with what the store was found to have
  };
  [[nodiscard]] Answer Get(absl::string_view key);
  void AddRead(absl::string_view key, const Found& found, uint64_t ticket);

  // Around a write. `ticket`: what BeginWrite returned.
  struct WriteTicket {
    uint64_t number = 0;
    absl::flat_hash_set<absl::string_view> known;  // those of the batch's keys that were here; lives as long as it
  };
  [[nodiscard]] WriteTicket BeginWrite(const Batch& batch);
  void EndWrite(const Batch& batch, bool written, const WriteTicket& ticket);

  // Of keys and values, and what an entry takes besides.
  [[nodiscard]] size_t bytes() const;

 private:
  struct Entry {
    std::string key;
    Found found;
  };
  using Entries = std::list<Entry>;

  [[nodiscard]] static size_t SizeOf(const Entry& entry);
  void Put(absl::string_view key, const Found& found) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Returns whether it was here.
  bool Remove(absl::string_view key) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Remove(Entries::iterator entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const size_t max_bytes_;
  mutable Mutex mutex_;
  Entries entries_ ABSL_GUARDED_BY(mutex_);  // the one used last is first
  absl::flat_hash_map<absl::string_view, Entries::iterator> by_key_ ABSL_GUARDED_BY(mutex_);
  size_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t writes_ ABSL_GUARDED_BY(mutex_) = 0;  // begun and ended
};

}  // namespace dotagent::storage

#endif  // DOTAGENT_COMMON_STORAGE_READ_CACHE_H_
