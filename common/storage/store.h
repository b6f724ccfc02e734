// An ordered key-value store: what a service keeps across a restart.
//
// One store, many tables: a table is a key prefix, so that one batch can change several atomically. A write that
// returned OK with Durability::kSync survives kill -9 and power loss; the caller must look at every Status (they are
// [[nodiscard]]).
//
// Defends against a half-made change (batches are atomic), a folder that two processes write (it is locked), data that
// a newer release wrote (refused, not misread) and a full disk (the write fails, nothing of it is visible, and the
// store goes on once there is space).
//
//   ASSIGN_OR_RETURN(auto store, storage::OpenRocksDb({.path = "/var/lib/dotagent/resolver", .schema_version = 1}));
//   storage::Batch batch;
//   batch.Put("value/" + key, bytes);
//   RETURN_IF_ERROR(store->Write(batch, storage::Durability::kSync));
#ifndef DOTAGENT_COMMON_STORAGE_STORE_H_
#define DOTAGENT_COMMON_STORAGE_STORE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace dotagent::storage {

enum class Durability {
  kSync,      // on disk before Write returns
  kBuffered,  // survives the process, not the machine
};

// Changes that are made together or not at all.
class Batch {
 public:
  void Put(absl::string_view key, absl::string_view value) { changes_.emplace_back(key, std::string(value)); }
  void Delete(absl::string_view key) { changes_.emplace_back(key, std::nullopt); }
  // Adds all of `later`'s, behind those that are here.
  void Append(Batch&& later) {
    if (changes_.empty()) {
      changes_ = std::move(later.changes_);
    } else {
      changes_.insert(changes_.end(), std::make_move_iterator(later.changes_.begin()),
                      std::make_move_iterator(later.changes_.end()));
    }
    later.changes_.clear();
  }
  [[nodiscard]] bool empty() const { return changes_.empty(); }
  [[nodiscard]] size_t size() const { return changes_.size(); }

  // In the order in which they were added; std::nullopt deletes.
  [[nodiscard]] const std::vector<std::pair<std::string, std::optional<std::string>>>& changes() const {
    return changes_;
  }

 private:
  std::vector<std::pair<std::string, std::optional<std::string>>> changes_;
};

// Keys are any bytes, but one that begins with a zero byte is the store's own: Write refuses it (InvalidArgument) and
// Scan skips it. Thread-safe.
class Store {
 public:
  virtual ~Store() = default;

  // NotFound if there is none; Unavailable or DataLoss (STORAGE) if the disk fails.
  [[nodiscard]] virtual absl::StatusOr<std::string> Get(absl::string_view key) const = 0;

  // Unavailable (STORAGE) if the disk is full: nothing of the batch is then visible, reads go on, and so do writes as
  // soon as there is space. (The store keeps RocksDbOptions::min_free_bytes free. Should others fill the disk within
  // one write, or the disk fail in another way, writes are refused until the process is started again; the message says
  // so.) An empty batch changes nothing.
  [[nodiscard]] virtual absl::Status Write(const Batch& batch, Durability durability) = 0;

  // Calls `visit` for each key that begins with `prefix` and is not below `from`, in key order, over one snapshot,
  // until it returns false. `visit` may call the store; what it writes is not part of the snapshot.
  [[nodiscard]] virtual absl::Status Scan(
      absl::string_view prefix, absl::string_view from,
      const std::function<bool(absl::string_view key, absl::string_view value)>& visit) const = 0;

  [[nodiscard]] absl::Status Put(absl::string_view key, absl::string_view value, Durability durability) {
    Batch batch;
    batch.Put(key, value);
    return Write(batch, durability);
  }
};

struct RocksDbOptions {
  std::string path;  // a folder; made if missing, mode 0700 (one that is there keeps its mode)
  // Of what the service writes. A service reads what its older versions wrote: an older folder is opened, and marked
  // with this version from then on.
  uint32_t schema_version = 1;
  // Writes are refused while the disk has less free space than this: more than RocksDB needs in its background work.
  uint64_t min_free_bytes = uint64_t{16} << 20;
};

// Costs about 22 MiB of memory at most and 256 open files.
//
// Errors, all STORAGE and all naming the folder: FailedPrecondition if another process has it open, it was written with
// a newer schema (says which, and what to do), or it is not a folder; PermissionDenied; Unavailable if the disk is full
// or read-only; DataLoss if what is there is damaged.
[[nodiscard]] absl::StatusOr<std::unique_ptr<Store>> OpenRocksDb(const RocksDbOptions& options);

// In memory, ordered, fails only for reserved keys: for tests, simulations and clients. Scan copies the keys it visits.
[[nodiscard]] std::unique_ptr<Store> NewMemoryStore();

}  // namespace dotagent::storage

#endif  // DOTAGENT_COMMON_STORAGE_STORE_H_
