#include "services/identity/use_ledger.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/status.h"
#include "common/telemetry/log.h"

namespace dotagent::identity_service {
namespace {

// A row's value is "NUMBER EXPIRES_MS": of a counter how much of it is used, of a redemption what was left after it.
constexpr absl::string_view kUsesTable = "uses/";
constexpr absl::string_view kRedeemedTable = "redeemed/";
constexpr size_t kMaxId = 64;
constexpr absl::Duration kSweepInterval = absl::Seconds(1);

struct Row {
  uint64_t number = 0;
  absl::Time expires;
};

std::string Encode(const Row& row) { return absl::StrCat(row.number, " ", absl::ToUnixMillis(row.expires)); }

absl::StatusOr<Row> Decode(absl::string_view text) {
  const std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(text, absl::MaxSplits(' ', 1));
  Row row;
  int64_t expires_ms = 0;
  if (absl::SimpleAtoi(parts.first, &row.number) && absl::SimpleAtoi(parts.second, &expires_ms)) {
    row.expires = absl::FromUnixMillis(expires_ms);
    return row;
  }
  return ErrorWithReason(absl::StatusCode::kDataLoss, reason::kStorage,
                         "a count of uses in the data folder is damaged; restore the folder from a copy: without it "
                         "uses would be given away twice");
}

absl::Status Limit(absl::string_view message) {
  return ErrorWithReason(absl::StatusCode::kResourceExhausted, reason::kLimit, message);
}

}  // namespace

absl::StatusOr<std::unique_ptr<UseLedger>> UseLedger::Open(storage::Store* store, const Clock& clock,
                                                           const UseLedgerLimits& limits) {
  std::unique_ptr<UseLedger> ledger(new UseLedger(store, clock, limits));
  RETURN_IF_ERROR(ledger->CountRows());
  ledger->thread_ = std::thread([raw = ledger.get()] { raw->Run(); });
  return ledger;
}

UseLedger::~UseLedger() {
  {
    const Lock lock(mutex_);
    stopping_ = true;
  }
  woken_.notify_one();
  if (thread_.joinable()) thread_.join();
}

absl::Status UseLedger::CountRows() {
  size_t rows = 0;
  absl::Status bad;
  for (const absl::string_view table : {kUsesTable, kRedeemedTable}) {
    RETURN_IF_ERROR(store_->Scan(table, table, [&](absl::string_view, absl::string_view value) {
      bad = Decode(value).status();
      ++rows;
      return bad.ok();
    }));
    RETURN_IF_ERROR(bad);
  }
  const Lock lock(mutex_);
  rows_ = rows;
  return absl::OkStatus();
}

size_t UseLedger::rows() const {
  const Lock lock(mutex_);
  return rows_;
}

void UseLedger::Redeem(Redemption redemption, Done done) {
  absl::Status refused;
  if (redemption.id.empty() || redemption.id.size() > kMaxId || redemption.counters.empty()) {
    refused = ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kBadToken,
                              "a redemption has an id of 1 to 64 bytes, and a token whose uses are counted");
  } else {
    const Lock lock(mutex_);
    if (stopping_ || waiting_.size() >= limits_.max_waiting) {
      refused = Limit("too many redemptions wait; try again with the same id");
    } else {
      waiting_.push_back({std::move(redemption), std::move(done)});
      woken_.notify_one();
      return;
    }
  }
  done(refused);
}

void UseLedger::Run() {
  while (true) {
    std::vector<Waiting> batch = NextBatch();
    if (batch.empty()) return;
    Commit(std::move(batch));
    Sweep();
  }
}

std::vector<UseLedger::Waiting> UseLedger::NextBatch() {
  const Lock lock(mutex_);
  while (!stopping_ && waiting_.empty()) woken_.wait(mutex_);
  std::vector<Waiting> batch;
  if (waiting_.size() <= limits_.max_batch) {
    batch.swap(waiting_);
    return batch;
  }
  const auto end = waiting_.begin() + static_cast<std::ptrdiff_t>(limits_.max_batch);
  batch.assign(std::make_move_iterator(waiting_.begin()), std::make_move_iterator(end));
  waiting_.erase(waiting_.begin(), end);
  return batch;
}

void UseLedger::Commit(std::vector<Waiting> batch) {
  Changes changes;
  std::vector<absl::StatusOr<Receipt>> answers;
  answers.reserve(batch.size());
  for (const Waiting& waiting : batch) answers.push_back(Apply(waiting.redemption, changes));
  const absl::Status written = store_->Write(changes.batch, storage::Durability::kSync);
  if (written.ok()) {
    const Lock lock(mutex_);
    rows_ += changes.new_rows;
  }
  for (size_t i = 0; i < batch.size(); ++i) {
    // A refusal holds even if what the others took was not written: they may have it all the same.
    batch[i].done(written.ok() || !answers[i].ok() ? std::move(answers[i]) : written);
  }
}

absl::StatusOr<uint64_t> UseLedger::Used(const std::string& row, const Changes& changes) const {
  if (const auto changed = changes.used.find(row); changed != changes.used.end()) return changed->second;
  const absl::StatusOr<std::string> stored = store_->Get(row);
  if (absl::IsNotFound(stored.status())) return uint64_t{0};
  RETURN_IF_ERROR(stored.status());
  ASSIGN_OR_RETURN(const Row decoded, Decode(*stored));
  return decoded.number;
}

absl::StatusOr<UseLedger::Receipt> UseLedger::Apply(const Redemption& redemption, Changes& changes) const {
  const std::string redeemed_row = absl::StrCat(kRedeemedTable, redemption.counters.back().block, redemption.id);
  if (const auto same = changes.redeemed.find(redeemed_row); same != changes.redeemed.end()) {
    return Receipt{.remaining = same->second.remaining, .repeated = true};
  }
  const absl::StatusOr<std::string> before = store_->Get(redeemed_row);
  if (before.ok()) {
    ASSIGN_OR_RETURN(const Row row, Decode(*before));
    return Receipt{.remaining = row.number, .repeated = true};
  }
  if (!absl::IsNotFound(before.status())) return before.status();

  // All counters first: one that is used up leaves the others as they are.
  std::vector<std::pair<std::string, Row>> used;
  Receipt receipt{.remaining = redemption.counters.front().max_uses};
  size_t new_rows = 1;
  for (const Counter& counter : redemption.counters) {
    std::string row = absl::StrCat(kUsesTable, counter.block);
    ASSIGN_OR_RETURN(const uint64_t so_far, Used(row, changes));
    if (so_far >= counter.max_uses) {
      return ErrorWithReason(
          absl::StatusCode::kResourceExhausted, reason::kUsedUp,
          absl::StrCat("all ", counter.max_uses, " uses of the token are used up; ask its issuer for a new one"));
    }
    if (so_far == 0) ++new_rows;
    receipt.remaining = std::min(receipt.remaining, counter.max_uses - so_far - 1);
    used.emplace_back(std::move(row), Row{.number = so_far + 1, .expires = counter.expires});
  }
  if (rows() + changes.new_rows + new_rows > limits_.max_rows) {
    return Limit("identity counts as many tokens as it can; try again when some have ended");
  }
  for (const auto& [row, value] : used) {
    changes.batch.Put(row, Encode(value));
    changes.used[row] = value.number;
  }
  changes.batch.Put(redeemed_row, Encode({receipt.remaining, redemption.counters.back().expires}));
  changes.redeemed.emplace(redeemed_row, receipt);
  changes.new_rows += new_rows;
  return receipt;
}

void UseLedger::Sweep() {
  if (clock_.Elapsed() < next_sweep_) return;
  next_sweep_ = clock_.Elapsed() + kSweepInterval;
  const std::optional<absl::Time> now = settled_.Now();
  if (!now) return;
  const absl::Time ended = *now - kUsesKept;
  storage::Batch drop;
  size_t seen = 0;
  // The tables one after the other, a page at a time, from where the last page ended.
  const absl::string_view table = absl::StartsWith(sweep_from_, kUsesTable) ? kUsesTable : kRedeemedTable;
  std::string next;
  const absl::Status read = store_->Scan(table, sweep_from_, [&](absl::string_view row, absl::string_view value) {
    if (seen == limits_.sweep_rows) {
      next = std::string(row);
      return false;
    }
    ++seen;
    const absl::StatusOr<Row> decoded = Decode(value);
    if (decoded.ok() && decoded->expires < ended) drop.Delete(row);
    return true;
  });
  sweep_from_ = !next.empty() ? std::move(next) : std::string(table == kUsesTable ? kRedeemedTable : kUsesTable);
  // Not synced: what a crash brings back goes with the next round.
  const absl::Status dropped = read.ok() ? store_->Write(drop, storage::Durability::kBuffered) : read;
  if (!dropped.ok()) {
    telemetry::Log(telemetry::Level::kWarning, "counts of ended tokens stay on disk", {{"why", dropped.ToString()}});
    return;
  }
  const Lock lock(mutex_);
  rows_ -= drop.size();
}

}  // namespace dotagent::identity_service
