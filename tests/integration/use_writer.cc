// Identity's counting of uses on its own, to be killed in the middle of it (uses_test.py): redeems over RocksDB as the
// service has it, with many redemptions under way at once, and says on standard output what became of each, after it
// was answered.
//
//   use_writer FOLDER FIRST END USES SHARED_USES IN_FLIGHT
//
// Redemption n, of those from FIRST to END, draws on two counters: one of 64, n % 64, with USES each (those with even
// numbers twice as many), and one of 4 with SHARED_USES each, n % 4. Prints "ready", then "taken N", "repeated N"
// (taken before, under the same id) or "refused N" (used up), then "done". Exits with an error on any other answer.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "common/base/clock.h"
#include "common/base/status.h"
#include "common/crypto/hash.h"
#include "common/storage/store.h"
#include "services/identity/use_ledger.h"

namespace dotagent::identity_service {
namespace {

constexpr uint64_t kCounters = 64;
constexpr uint64_t kShared = 4;

[[noreturn]] void Fail(absl::string_view what) {
  std::fprintf(stderr, "use_writer: %.*s\n", static_cast<int>(what.size()), what.data());
  std::_Exit(1);
}

class Writer {
 public:
  Writer(const std::string& folder, uint64_t uses, uint64_t shared_uses, int in_flight)
      : uses_(uses), shared_uses_(shared_uses), in_flight_(in_flight) {
    auto store = storage::OpenRocksDb({.path = folder});
    if (!store.ok()) Fail(store.status().ToString());
    store_ = *std::move(store);
    auto ledger = UseLedger::Open(store_.get(), clock_);
    if (!ledger.ok()) Fail(ledger.status().ToString());
    ledger_ = *std::move(ledger);
  }

  void Run(uint64_t first, uint64_t end) {
    std::puts("ready");
    std::fflush(stdout);
    for (uint64_t n = first; n < end; ++n) {
      {
        const absl::MutexLock lock(&mutex_);
        mutex_.Await(absl::Condition(this, &Writer::HasRoom));
        ++under_way_;
      }
      ledger_->Redeem(RedemptionOf(n),
                      [this, n](const absl::StatusOr<UseLedger::Receipt>& receipt) { Say(n, receipt); });
    }
    ledger_.reset();  // answers what waits
    std::puts("done");
  }

 private:
  bool HasRoom() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return under_way_ < in_flight_; }

  UseLedger::Redemption RedemptionOf(uint64_t n) const {
    const absl::Time ends = clock_.Now() + absl::Hours(24);
    const uint64_t own = n % kCounters;
    return {.id = crypto::Sha256(absl::StrCat("redemption ", n)),
            .counters = {{crypto::Sha256(absl::StrCat("shared ", own % kShared)), shared_uses_, ends},
                         {crypto::Sha256(absl::StrCat("own ", own)), own % 2 == 0 ? 2 * uses_ : uses_, ends}}};
  }

  // On the ledger's thread, one at a time.
  void Say(uint64_t n, const absl::StatusOr<UseLedger::Receipt>& receipt) {
    const bool refused = ReasonOf(receipt.status()) == reason::kUsedUp;
    if (!receipt.ok() && !refused) Fail(receipt.status().ToString());
    std::printf("%s %lu\n",
                refused             ? "refused"
                : receipt->repeated ? "repeated"
                                    : "taken",
                static_cast<unsigned long>(n));
    std::fflush(stdout);
    const absl::MutexLock lock(&mutex_);
    --under_way_;
  }

  const SystemClock clock_{};
  const uint64_t uses_;
  const uint64_t shared_uses_;
  const int in_flight_;
  std::unique_ptr<storage::Store> store_;
  std::unique_ptr<UseLedger> ledger_;
  absl::Mutex mutex_;
  int under_way_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace
}  // namespace dotagent::identity_service

int main(int argc, char** argv) {
  if (argc != 7) {
    std::fputs("usage: use_writer FOLDER FIRST END USES SHARED_USES IN_FLIGHT\n", stderr);
    return 2;
  }
  const auto number = [argv](int i) { return std::strtoull(argv[i], nullptr, 10); };
  dotagent::identity_service::Writer writer(argv[1], number(4), number(5), static_cast<int>(number(6)));
  writer.Run(number(2), number(3));
  return 0;
}
