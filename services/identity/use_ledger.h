// Counts the uses of capability tokens: never one too many, whatever runs at the same time or is killed.
//
// A block with max_uses is a counter that everyone draws on to whom the block was handed on. A redemption takes one use
// from each counter of its token or from none, is on disk before it is confirmed, and has an id: asked for again under
// the same id, because the answer was lost, it takes nothing and gets the same answer. A refusal is not written: uses
// never come back, so it stays one.
//
// One thread does all of it, so that nothing interleaves. While it waits for the disk others queue up, and share the
// next synced write: a redemption costs a fraction of one.
//
// Counters of tokens that have ended are dropped, so that the table does not only grow: a day later, and by a clock
// that has not jumped (settled_clock.h). One dropped by a clock that is ahead would begin anew once it is set right.
//
//   ledger->Redeem({.id = id, .counters = {{block, 10, ends}}}, [](auto receipt) { … });
#ifndef DOTAGENT_SERVICES_IDENTITY_USE_LEDGER_H_
#define DOTAGENT_SERVICES_IDENTITY_USE_LEDGER_H_

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/storage/store.h"
#include "services/identity/settled_clock.h"

namespace dotagent::identity_service {

// How long after its token has ended a counter is kept, for clocks that are set back.
inline constexpr absl::Duration kUsesKept = absl::Hours(24);

struct UseLedgerLimits {
  size_t max_waiting = 65'536;   // redemptions that have not been answered
  size_t max_rows = 10'000'000;  // counters and redemptions on disk; about 100 bytes each
  size_t max_batch = 1'024;      // redemptions that share a write
  size_t sweep_rows = 10'000;    // looked at each second in which there is a write, to drop those that have ended
};

// Thread-safe.
class UseLedger {
 public:
  struct Counter {
    std::string block;      // its id, 32 bytes
    uint64_t max_uses = 0;  // not 0
    absl::Time expires;     // the block's, which may be later than the token's: others draw on it too
  };
  struct Redemption {
    std::string id;                 // 1 to 64 bytes, unique for the last of its blocks
    std::vector<Counter> counters;  // not empty; the token's last block, and so the first to end, last
  };
  struct Receipt {
    uint64_t remaining = 0;  // of the counter that has the fewest left
    bool repeated = false;   // it had been redeemed before; `remaining` is what was left then
  };
  using Done = std::function<void(absl::StatusOr<Receipt>)>;

  // Reads all rows once, to count them. `store` and `clock` must outlive it. Tables "uses/" and "redeemed/". DataLoss
  // (STORAGE) if a row is damaged.
  [[nodiscard]] static absl::StatusOr<std::unique_ptr<UseLedger>> Open(storage::Store* store, const Clock& clock,
                                                                       const UseLedgerLimits& limits = {});
  // Answers what waits, then ends.
  ~UseLedger();

  // `done` is called once, on the ledger's thread; from inside if it is refused at once. ResourceExhausted: USED_UP if
  // a counter has nothing left, LIMIT if too many wait or the table is full; Unavailable or DataLoss (STORAGE) if the
  // disk fails: nothing of it is then confirmed, but it may have been written, which the same id finds out.
  void Redeem(Redemption redemption, Done done);

  [[nodiscard]] size_t rows() const;

 private:
  struct Waiting {
    Redemption redemption;
    Done done;
  };
  // What a batch has changed and the store does not know yet.
  struct Changes {
    absl::flat_hash_map<std::string, uint64_t> used;     // by row of a counter
    absl::flat_hash_map<std::string, Receipt> redeemed;  // by row of a redemption
    storage::Batch batch;
    size_t new_rows = 0;
  };

  UseLedger(storage::Store* store, const Clock& clock, const UseLedgerLimits& limits)
      : store_(store), clock_(clock), limits_(limits), settled_(clock) {}

  [[nodiscard]] absl::Status CountRows();
  void Run();
  [[nodiscard]] std::vector<Waiting> NextBatch();
  void Commit(std::vector<Waiting> batch);
  [[nodiscard]] absl::StatusOr<Receipt> Apply(const Redemption& redemption, Changes& changes) const;
  [[nodiscard]] absl::StatusOr<uint64_t> Used(const std::string& row, const Changes& changes) const;
  void Sweep();

  storage::Store* const store_;
  const Clock& clock_;
  const UseLedgerLimits limits_;
  mutable Mutex mutex_;
  std::condition_variable_any woken_;  // something waits, or it is to end
  std::vector<Waiting> waiting_ ABSL_GUARDED_BY(mutex_);
  size_t rows_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  // On the ledger's thread.
  SettledClock settled_;
  std::string sweep_from_;
  absl::Duration next_sweep_ = absl::ZeroDuration();
  std::thread thread_;
};

}  // namespace dotagent::identity_service

#endif  // DOTAGENT_SERVICES_IDENTITY_USE_LEDGER_H_
