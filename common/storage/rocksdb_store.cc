// RocksDB behind Store.
//
// Keys and values are stored as they are. One key of the store's own, "\0schema", holds the schema version as decimal
// text. RocksDB's messages name files and lines, not remedies, so each status is turned into one that does.
#include <fcntl.h>
#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/listener.h>
#include <rocksdb/options.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/storage/keys.h"
#include "common/storage/read_cache.h"
#include "common/storage/store.h"

namespace dotagent::storage {
namespace {

constexpr absl::string_view kSchemaKey("\0schema", 7);
// About 30,000 of the claims that a node witnesses (claim_store.h).
constexpr size_t kReadCacheBytes = size_t{12} << 20;

rocksdb::Slice ToSlice(absl::string_view text) { return {text.data(), text.size()}; }
absl::string_view ToView(const rocksdb::Slice& slice) { return {slice.data(), slice.size()}; }

absl::Status StorageError(absl::StatusCode code, absl::string_view message) {
  return ErrorWithReason(code, reason::kStorage, message);
}

bool MentionsErrno(absl::string_view text, int error) {
  return absl::StrContains(text, std::generic_category().message(error));
}

absl::Status FullDiskError(absl::string_view path) {
  return StorageError(absl::StatusCode::kUnavailable,
                      absl::StrCat("the disk that holds ", path, " is full; free some space and try again"));
}

absl::Status ReadOnlyError(absl::string_view path) {
  return StorageError(
      absl::StatusCode::kUnavailable,
      absl::StrCat("the disk that holds ", path, " is read-only; mount it for writing, or use another folder"));
}

absl::Status PermissionError(absl::string_view path) {
  return StorageError(absl::StatusCode::kPermissionDenied,
                      absl::StrCat("this user may not write in ", path, "; change its owner, or use another folder"));
}

absl::Status InUseError(absl::string_view path) {
  return StorageError(absl::StatusCode::kFailedPrecondition,
                      absl::StrCat(path, " is in use by another process; stop that process, or use another folder"));
}

absl::Status NotThere() { return absl::NotFoundError("no such key"); }

absl::Status ToStatus(const rocksdb::Status& status, absl::string_view path) {
  if (status.ok()) return absl::OkStatus();
  if (status.IsNotFound()) return NotThere();
  const std::string text = status.ToString();
  if (status.IsNoSpace()) {
    return StorageError(absl::StatusCode::kUnavailable,
                        absl::StrCat("the disk that holds ", path,
                                     " ran full during a write; free some space, then restart the service"));
  }
  // RocksDB has one code for all that the system refuses; its text ends with the system's own words.
  if (MentionsErrno(text, EROFS)) return ReadOnlyError(path);
  if (MentionsErrno(text, EACCES) || MentionsErrno(text, EPERM)) return PermissionError(path);
  if (absl::StrContains(text, "While lock file") || absl::StrContains(text, "lock hold by current process")) {
    return InUseError(path);
  }
  if (status.IsCorruption()) {
    return StorageError(absl::StatusCode::kDataLoss,
                        absl::StrCat("the data in ", path, " is damaged: ", text,
                                     "; restore the folder from a copy, or start with an empty one"));
  }
  return StorageError(absl::StatusCode::kUnavailable, absl::StrCat("the storage in ", path, " failed: ", text,
                                                                   "; check the disk, then restart the service"));
}

// Makes the folder and those above it. Only the folder itself is closed to others: what is above may be shared.
absl::Status MakeFolder(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  std::error_code error;
  const std::filesystem::path parent = std::filesystem::path(path).parent_path();
  if (!parent.empty()) std::filesystem::create_directories(parent, error);
  int failure = error.value();
  if (failure == 0 && mkdir(path.c_str(), 0700) != 0) failure = errno;
  switch (failure) {
    case 0:
      return absl::OkStatus();
    case EEXIST:
      if (std::filesystem::is_directory(path, error)) return absl::OkStatus();
      [[fallthrough]];
    case ENOTDIR:
      return StorageError(absl::StatusCode::kFailedPrecondition,
                          absl::StrCat(path, " is not a folder; name a folder for the data, or one to be made"));
    case ENOSPC:
      return FullDiskError(path);
    case EROFS:
      return ReadOnlyError(path);
    case EACCES:
    case EPERM:
      return PermissionError(path);
    default:
      return StorageError(absl::StatusCode::kUnavailable, absl::StrCat("cannot make the folder ", path, ": ",
                                                                       std::generic_category().message(failure)));
  }
}

absl::Status EnoughSpace(const std::string& path, uint64_t min_free_bytes) {
  struct statvfs info {};
  // A system that cannot tell is no reason to refuse; RocksDB will find out.
  if (statvfs(path.c_str(), &info) != 0) return absl::OkStatus();
  const uint64_t free_bytes = uint64_t{info.f_bavail} * info.f_frsize;
  return free_bytes < min_free_bytes ? FullDiskError(path) : absl::OkStatus();
}

// RocksDB's own log file is left out: each of its failures reaches a caller as a status, and Debian's RocksDB, built
// with assertions, aborts the process when that file meets a full disk.
class NoLog : public rocksdb::Logger {
 public:
  using rocksdb::Logger::Logv;
  void Logv(const char* /*format*/, va_list /*arguments*/) override {}
};

// After a full disk Debian's RocksDB may abort the process when it resumes (the same assertions). So it does not: the
// store then refuses every write until the process is started again. EnoughSpace keeps it from coming to that.
class NoAutoRecovery : public rocksdb::EventListener {
 public:
  void OnErrorRecoveryBegin(rocksdb::BackgroundErrorReason /*reason*/, rocksdb::Status /*error*/,
                            bool* auto_recovery) override {
    *auto_recovery = false;
  }
};

// Modest: several services share a machine (`dotagent up` runs all of them in one process), and values are small.
rocksdb::Options EngineOptions() {
  constexpr size_t kMiB = size_t{1} << 20;
  rocksdb::Options options;
  options.create_if_missing = true;
  options.write_buffer_size = 2 * kMiB;
  options.max_write_buffer_number = 3;
  options.target_file_size_base = 8 * kMiB;
  options.max_open_files = 256;
  options.manifest_preallocation_size = 64 * 1024;
  options.info_log = std::make_shared<NoLog>();
  options.listeners.push_back(std::make_shared<NoAutoRecovery>());
  // Most of what is asked for is not there (a node witnesses more names than it keeps): a filter says so at once, for
  // 10 bits a key on disk and a tenth more memory before that.
  options.memtable_whole_key_filtering = true;
  options.memtable_prefix_bloom_size_ratio = 0.1;
  rocksdb::BlockBasedTableOptions table;
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  table.block_cache = rocksdb::NewLRUCache(4 * kMiB);
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return options;
}

class RocksDbStore : public Store {
 public:
  RocksDbStore(const RocksDbOptions& options, std::unique_ptr<rocksdb::DB> db)
      : path_(options.path), min_free_bytes_(options.min_free_bytes), db_(std::move(db)) {}

  absl::StatusOr<std::string> Get(absl::string_view key) const override {
    ReadCache::Answer cached = cache_.Get(key);
    if (cached.known) {
      if (!cached.found) return NotThere();
      return *std::move(cached.found);
    }
    std::string value;
    const rocksdb::Status read = db_->Get(rocksdb::ReadOptions(), ToSlice(key), &value);
    if (read.ok()) {
      cache_.AddRead(key, value, cached.ticket);
      return value;
    }
    if (read.IsNotFound()) cache_.AddRead(key, std::nullopt, cached.ticket);
    return ToStatus(read, path_);
  }

  absl::Status Write(const Batch& batch, Durability durability) override {
    RETURN_IF_ERROR(CheckKeys(batch));
    if (batch.empty()) return absl::OkStatus();
    RETURN_IF_ERROR(EnoughSpace(path_, min_free_bytes_));
    return WriteUnchecked(batch, durability);
  }

  absl::Status Scan(absl::string_view prefix, absl::string_view from,
                    const std::function<bool(absl::string_view key, absl::string_view value)>& visit) const override {
    const std::string end = EndOfPrefix(prefix);
    const rocksdb::Slice end_slice = ToSlice(end);
    rocksdb::ReadOptions options;
    if (!end.empty()) options.iterate_upper_bound = &end_slice;
    const std::unique_ptr<rocksdb::Iterator> it(db_->NewIterator(options));
    for (it->Seek(ToSlice(std::max(prefix, from))); it->Valid(); it->Next()) {
      if (!IsReserved(ToView(it->key())) && !visit(ToView(it->key()), ToView(it->value()))) break;
    }
    return ToStatus(it->status(), path_);
  }

  // Refuses data of a newer schema; marks new and older data with `ours`.
  absl::Status CheckSchema(uint32_t ours) {
    const absl::StatusOr<std::string> stored = Get(kSchemaKey);
    if (!stored.ok() && !absl::IsNotFound(stored.status())) return stored.status();
    uint32_t theirs = 0;
    if (stored.ok() && !absl::SimpleAtoi(*stored, &theirs)) {
      return StorageError(absl::StatusCode::kDataLoss,
                          absl::StrCat("the schema version in ", path_,
                                       " is damaged; restore the folder from a copy, or start with an empty one"));
    }
    if (theirs > ours) {
      return StorageError(absl::StatusCode::kFailedPrecondition,
                          absl::StrCat(path_, " was written with schema ", theirs, ", and this release knows schema ",
                                       ours, " at most; run the newer release, or use another folder"));
    }
    if (theirs == ours) return absl::OkStatus();
    Batch batch;
    batch.Put(kSchemaKey, absl::StrCat(ours));
    return WriteUnchecked(batch, Durability::kSync);
  }

 private:
  absl::Status WriteUnchecked(const Batch& batch, Durability durability) {
    rocksdb::WriteBatch changes;
    for (const auto& [key, value] : batch.changes()) {
      const rocksdb::Status added = value ? changes.Put(key, *value) : changes.Delete(key);
      RETURN_IF_ERROR(ToStatus(added, path_));
    }
    rocksdb::WriteOptions options;
    options.sync = durability == Durability::kSync;
    const ReadCache::WriteTicket ticket = cache_.BeginWrite(batch);
    const rocksdb::Status written = db_->Write(options, &changes);
    cache_.EndWrite(batch, written.ok(), ticket);
    return ToStatus(written, path_);
  }

  const std::string path_;
  const uint64_t min_free_bytes_;
  const std::unique_ptr<rocksdb::DB> db_;
  mutable ReadCache cache_{kReadCacheBytes};
};

}  // namespace

absl::StatusOr<std::unique_ptr<Store>> OpenRocksDb(const RocksDbOptions& options) {
  if (options.path.empty()) {
    return StorageError(absl::StatusCode::kInvalidArgument, "no folder for the data is named; set the data folder");
  }
  RETURN_IF_ERROR(MakeFolder(options.path));
  RETURN_IF_ERROR(EnoughSpace(options.path, options.min_free_bytes));
  rocksdb::DB* opened = nullptr;
  const rocksdb::Status status = rocksdb::DB::Open(EngineOptions(), options.path, &opened);
  std::unique_ptr<rocksdb::DB> db(opened);
  RETURN_IF_ERROR(ToStatus(status, options.path));
  auto store = std::make_unique<RocksDbStore>(options, std::move(db));
  RETURN_IF_ERROR(store->CheckSchema(options.schema_version));
  return store;
}

}  // namespace dotagent::storage
