#include <stdlib.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/storage/store.h"
#include "services/identity/use_ledger.h"
#include "tests/bench/token_cost.h"

namespace dotagent::bench {
namespace {

using identity_service::UseLedger;

constexpr int kRedemptions = 100'000;
constexpr int kInFlight = 2'048;
constexpr int kSingleWrites = 1'000;
constexpr int kTokens = 500;

class Folder {
 public:
  Folder() : path_(absl::StrCat(std::filesystem::temp_directory_path().string(), "/dotagent-bench-XXXXXX")) {
    made_ = mkdtemp(path_.data()) != nullptr;
  }
  ~Folder() {
    std::error_code ignored;
    if (made_) std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  [[nodiscard]] absl::StatusOr<std::unique_ptr<storage::Store>> Open() const {
    if (!made_) return absl::UnavailableError(absl::StrCat("cannot make the folder ", path_));
    return storage::OpenRocksDb({.path = path_});
  }

 private:
  std::string path_;
  bool made_ = false;
};

// Redemptions, of which so many are under way at a time.
class Flight {
 public:
  explicit Flight(UseLedger& ledger) : ledger_(ledger) {}

  void Redeem(UseLedger::Redemption redemption) {
    {
      const absl::MutexLock lock(&mutex_);
      mutex_.Await(absl::Condition(this, &Flight::HasRoom));
      ++under_way_;
    }
    ledger_.Redeem(std::move(redemption), [this](const absl::StatusOr<UseLedger::Receipt>& receipt) {
      const absl::MutexLock lock(&mutex_);
      --under_way_;
      if (receipt.ok()) ++taken_;
    });
  }
  int Finish() {
    const absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(this, &Flight::Landed));
    return taken_;
  }

 private:
  bool HasRoom() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return under_way_ < kInFlight; }
  bool Landed() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return under_way_ == 0; }

  UseLedger& ledger_;
  absl::Mutex mutex_;
  int under_way_ ABSL_GUARDED_BY(mutex_) = 0;
  int taken_ ABSL_GUARDED_BY(mutex_) = 0;
};

// A second.
absl::StatusOr<double> Redemptions(Random& random) {
  const SystemClock clock{};
  const Folder folder;
  ASSIGN_OR_RETURN(const auto store, folder.Open());
  ASSIGN_OR_RETURN(const auto ledger, UseLedger::Open(store.get(), clock));
  const absl::Time ends = clock.Now() + absl::Hours(24);
  const std::string shared = random.Bytes(32);
  std::vector<std::string> blocks;
  for (int i = 0; i < kTokens; ++i) blocks.push_back(random.Bytes(32));
  const absl::Time begun = absl::Now();
  Flight flight(*ledger);
  for (int i = 0; i < kRedemptions; ++i) {
    // Two blocks that count, as in a token that was handed on: one that all draw on, and its holder's own.
    flight.Redeem({.id = random.Bytes(32),
                   .counters = {{shared, 1'000'000, ends}, {blocks[static_cast<size_t>(i) % kTokens], 100'000, ends}}});
  }
  if (flight.Finish() != kRedemptions) return absl::InternalError("a redemption was refused");
  return kRedemptions / absl::ToDoubleSeconds(absl::Now() - begun);
}

absl::StatusOr<double> SingleWrites(Random& random) {
  const Folder folder;
  ASSIGN_OR_RETURN(const auto store, folder.Open());
  const absl::Time begun = absl::Now();
  for (int i = 0; i < kSingleWrites; ++i) {
    RETURN_IF_ERROR(store->Put(absl::StrCat("single/", random.Bytes(32)), "1", storage::Durability::kSync));
  }
  return kSingleWrites / absl::ToDoubleSeconds(absl::Now() - begun);
}

}  // namespace

absl::Status MeasureRedemptions(size_t repetitions, Report& report) {
  SystemRandom random;
  Row row{.what = absl::StrCat("uses redeemed, each on disk, ", kInFlight, " under way"),
          .unit = "a second",
          .at_least = 20'000};
  Row single{.what = "the same machine's synced writes, one at a time", .unit = "a second"};
  for (size_t i = 0; i < repetitions; ++i) {
    ASSIGN_OR_RETURN(row.ours.emplace_back(), Redemptions(random));
    ASSIGN_OR_RETURN(single.ours.emplace_back(), SingleWrites(random));
  }
  report.Add(std::move(row));
  report.Add(std::move(single));
  return absl::OkStatus();
}

}  // namespace dotagent::bench
