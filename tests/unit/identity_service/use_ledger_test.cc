#include "services/identity/use_ledger.h"

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <future>
#include <latch>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/mutex.h"
#include "common/base/status.h"

namespace dotagent::identity_service {
namespace {

using Receipt = UseLedger::Receipt;

const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);
const absl::Time kEnds = kNow + absl::Hours(1);

// Holds writes back or refuses them when told to, and counts the synced ones.
class ControlledStore : public storage::Store {
 public:
  absl::StatusOr<std::string> Get(absl::string_view key) const override { return inner_->Get(key); }
  absl::Status Write(const storage::Batch& batch, storage::Durability durability) override {
    if (durability == storage::Durability::kSync && !batch.empty()) {
      ++synced_;
      std::shared_future<void> hold;
      {
        const Lock lock(mutex_);
        hold = hold_;
      }
      if (hold.valid()) hold.wait();
      if (fail_.exchange(false)) return ErrorWithReason(absl::StatusCode::kUnavailable, reason::kStorage, "disk full");
    }
    return inner_->Write(batch, durability);
  }
  absl::Status Scan(absl::string_view prefix, absl::string_view from,
                    const std::function<bool(absl::string_view, absl::string_view)>& visit) const override {
    return inner_->Scan(prefix, from, visit);
  }

  void HoldUntil(std::shared_future<void> hold) {
    const Lock lock(mutex_);
    hold_ = std::move(hold);
  }
  void FailNext() { fail_ = true; }
  [[nodiscard]] int synced() const { return synced_; }

 private:
  const std::unique_ptr<storage::Store> inner_ = storage::NewMemoryStore();
  Mutex mutex_;
  std::shared_future<void> hold_ ABSL_GUARDED_BY(mutex_);
  std::atomic<bool> fail_ = false;
  std::atomic<int> synced_ = 0;
};

// A clock whose wall time is set while the steady one goes on.
class JumpingClock : public Clock {
 public:
  [[nodiscard]] absl::Time Now() const override {
    const Lock lock(mutex_);
    return going_.Now() + set_by_;
  }
  [[nodiscard]] absl::Duration Elapsed() const override { return going_.Elapsed(); }
  void Advance(absl::Duration by) { going_.Advance(by); }
  void Set(absl::Duration by) {
    const Lock lock(mutex_);
    set_by_ += by;
  }

 private:
  SimulatedClock going_{kNow};
  mutable Mutex mutex_;
  absl::Duration set_by_ ABSL_GUARDED_BY(mutex_);
};

class UseLedgerTest : public testing::Test {
 protected:
  void Open(const UseLedgerLimits& limits = {}) {
    ledger_.reset();
    auto opened = UseLedger::Open(&store_, clock_, limits);
    ASSERT_TRUE(opened.ok()) << opened.status();
    ledger_ = *std::move(opened);
  }
  static UseLedger::Counter Of(char block, uint64_t max_uses, absl::Time expires = kEnds) {
    return {.block = std::string(32, block), .max_uses = max_uses, .expires = expires};
  }
  absl::StatusOr<Receipt> Redeem(const std::string& id, std::vector<UseLedger::Counter> counters) {
    // Shared: the other thread may still be in it when the answer has been read.
    const auto answer = std::make_shared<std::promise<absl::StatusOr<Receipt>>>();
    ledger_->Redeem({.id = id, .counters = std::move(counters)},
                    [answer](absl::StatusOr<Receipt> receipt) { answer->set_value(std::move(receipt)); });
    return answer->get_future().get();
  }
  // And waits until the sweep behind it is over, so that the clock may be moved.
  void RedeemAndSweep(const std::string& id, const UseLedger::Counter& counter) {
    ASSERT_TRUE(Redeem(id, {counter}).ok());
    ASSERT_TRUE(Redeem(id, {counter})->repeated);
  }

  ControlledStore store_;
  JumpingClock clock_;
  std::unique_ptr<UseLedger> ledger_;
};

TEST_F(UseLedgerTest, GivesEachUseOnce) {
  Open();
  EXPECT_EQ(Redeem("1", {Of('a', 2)})->remaining, 1U);
  EXPECT_EQ(Redeem("2", {Of('a', 2)})->remaining, 0U);
  const auto third = Redeem("3", {Of('a', 2)});
  EXPECT_EQ(ReasonOf(third.status()), reason::kUsedUp);
  EXPECT_EQ(Redeem("1", {Of('b', 2)})->remaining, 1U) << "another block has another count, and the id is its own";
}

TEST_F(UseLedgerTest, AnswersTheSameIdTheSame) {
  Open();
  ASSERT_EQ(Redeem("1", {Of('a', 5)})->remaining, 4U);
  ASSERT_EQ(Redeem("2", {Of('a', 5)})->remaining, 3U);
  const auto again = Redeem("1", {Of('a', 5)});
  EXPECT_TRUE(again->repeated);
  EXPECT_EQ(again->remaining, 4U);
  Open();  // and after a restart
  EXPECT_TRUE(Redeem("2", {Of('a', 5)})->repeated);
  EXPECT_EQ(Redeem("3", {Of('a', 5)})->remaining, 2U);
}

TEST_F(UseLedgerTest, TakesFromEveryBlockOrFromNone) {
  Open();
  // Two siblings below one block with three uses.
  EXPECT_EQ(Redeem("1", {Of('r', 3), Of('a', 2)})->remaining, 1U);
  EXPECT_EQ(Redeem("2", {Of('r', 3), Of('b', 2)})->remaining, 1U);
  EXPECT_EQ(Redeem("3", {Of('r', 3), Of('a', 2)})->remaining, 0U);
  EXPECT_EQ(ReasonOf(Redeem("4", {Of('r', 3), Of('b', 2)}).status()), reason::kUsedUp);
  // What was refused has taken nothing of b's.
  EXPECT_EQ(Redeem("5", {Of('b', 2)})->remaining, 0U);
}

TEST_F(UseLedgerTest, ThoseThatWaitShareAWrite) {
  Open();
  std::promise<void> hold;
  store_.HoldUntil(hold.get_future().share());
  constexpr int kMany = 200;
  std::latch answered(kMany);
  std::atomic<int> taken = 0;
  for (int i = 0; i < kMany; ++i) {
    ledger_->Redeem({.id = absl::StrCat(i), .counters = {Of('a', 150)}}, [&](const absl::StatusOr<Receipt>& receipt) {
      if (receipt.ok()) ++taken;
      answered.count_down();
    });
  }
  store_.HoldUntil({});
  hold.set_value();
  answered.wait();
  EXPECT_EQ(taken, 150);
  // One that was under way, and one or two for all the others.
  EXPECT_LE(store_.synced(), 3);
}

TEST_F(UseLedgerTest, OneIdTwiceInABatchTakesOneUse) {
  Open();
  std::promise<void> hold;
  store_.HoldUntil(hold.get_future().share());
  std::latch answered(3);
  std::atomic<int> repeated = 0;
  for (int i = 0; i < 3; ++i) {
    ledger_->Redeem({.id = "same", .counters = {Of('a', 9)}}, [&](const absl::StatusOr<Receipt>& receipt) {
      if (receipt.ok() && receipt->repeated) ++repeated;
      answered.count_down();
    });
  }
  hold.set_value();
  answered.wait();
  EXPECT_EQ(repeated, 2);
  EXPECT_EQ(Redeem("other", {Of('a', 9)})->remaining, 7U);
}

TEST_F(UseLedgerTest, NeverGivesOneTooManyToManyThreads) {
  Open();
  constexpr int kThreads = 8;
  constexpr int kEach = 2'000;
  std::atomic<int> taken = 0;
  std::atomic<int> answered = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        ledger_->Redeem({.id = absl::StrCat(t, ".", i), .counters = {Of('r', 5'000), Of(static_cast<char>(t), 1'000)}},
                        [&](const absl::StatusOr<Receipt>& receipt) {
                          if (receipt.ok()) ++taken;
                          ++answered;
                        });
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  ledger_.reset();  // answers what waits
  EXPECT_EQ(answered, kThreads * kEach);
  EXPECT_EQ(taken, 5'000);
}

TEST_F(UseLedgerTest, AFailedWriteConfirmsNothing) {
  Open();
  store_.FailNext();
  EXPECT_EQ(ReasonOf(Redeem("1", {Of('a', 1)}).status()), reason::kStorage);
  const auto again = Redeem("1", {Of('a', 1)});
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_FALSE(again->repeated);
}

TEST_F(UseLedgerTest, IsBounded) {
  Open({.max_waiting = 2, .max_rows = 4});
  std::promise<void> hold;
  store_.HoldUntil(hold.get_future().share());
  std::latch first(1);
  ledger_->Redeem({.id = "1", .counters = {Of('a', 9)}}, [&](const auto&) { first.count_down(); });
  // The first is under way, alone or with the second, and two wait.
  std::atomic<int> refused = 0;
  std::atomic<int> taken = 0;
  for (int i = 0; i < 5; ++i) {
    ledger_->Redeem({.id = absl::StrCat("w", i), .counters = {Of('a', 9)}},
                    [&](const absl::StatusOr<Receipt>& receipt) {
                      ++(ReasonOf(receipt.status()) == reason::kLimit ? refused : taken);
                    });
  }
  EXPECT_GE(refused, 2);
  hold.set_value();
  first.wait();
  store_.HoldUntil({});
  ledger_.reset();
  EXPECT_EQ(refused + taken, 5);
  Open({.max_rows = 4});
  while (ledger_->rows() < 4) ASSERT_TRUE(Redeem(absl::StrCat("r", ledger_->rows()), {Of('a', 9)}).ok());
  EXPECT_EQ(ReasonOf(Redeem("more", {Of('a', 9)}).status()), reason::kLimit);
}

TEST_F(UseLedgerTest, DropsWhatHasEnded) {
  Open();
  ASSERT_TRUE(Redeem("1", {Of('r', 9, kEnds + absl::Hours(48)), Of('a', 9)}).ok());
  ASSERT_TRUE(Redeem("1", {Of('a', 9)})->repeated);  // the sweep behind the first is over
  EXPECT_EQ(ledger_->rows(), 3U);
  clock_.Advance(absl::Hours(26));
  // A page of either table a second.
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(Redeem(absl::StrCat("n", i), {Of('n', 9, kEnds + absl::Hours(48))}).ok());
    clock_.Advance(absl::Seconds(2));
  }
  // Left: r, which others may still draw on, n and its redemptions.
  EXPECT_EQ(ledger_->rows(), 5U);
  EXPECT_EQ(Redeem("2", {Of('r', 9, kEnds + absl::Hours(48))})->remaining, 7U);
}

class LedgerClockTest : public UseLedgerTest {
 protected:
  // What a running service does: a redemption every ten minutes, of a token that goes on.
  void RunFor(absl::Duration time) {
    for (absl::Duration done; done < time; done += absl::Minutes(10)) {
      clock_.Advance(absl::Minutes(10));
      RedeemAndSweep(absl::StrCat("n", ++redemptions_), Of('n', 1'000'000, kNow + absl::Hours(24 * 1'000)));
    }
  }
  // That the one use of a token which was used has not come back.
  void ExpectUsedUp() {
    EXPECT_EQ(ReasonOf(Redeem("again", {Of('a', 1, kLater)}).status()), reason::kUsedUp);
    const auto first = Redeem("1", {Of('a', 1, kLater)});
    EXPECT_TRUE(first.ok() && first->repeated) << first.status();
  }

  const absl::Time kLater = kNow + absl::Hours(240);
  int redemptions_ = 0;
};

TEST_F(LedgerClockTest, NothingComesBackWhenTheClockJumpsAheadAndIsSetRight) {
  Open();
  RedeemAndSweep("1", Of('a', 1, kLater));
  RunFor(kClockSettles + absl::Hours(1));
  clock_.Set(absl::Hours(24 * 365));
  RunFor(absl::Hours(5));
  clock_.Set(-absl::Hours(24 * 365));
  ExpectUsedUp();
  RunFor(absl::Hours(12));
  ExpectUsedUp();
}

TEST_F(LedgerClockTest, NothingComesBackWhenItStartsWithAClockThatIsAhead) {
  Open();
  RedeemAndSweep("1", Of('a', 1, kLater));
  clock_.Set(absl::Hours(24 * 365));
  Open();
  RunFor(absl::Hours(5));
  clock_.Set(-absl::Hours(24 * 365));
  ExpectUsedUp();
}

TEST_F(LedgerClockTest, NothingComesBackWhenTheClockJumpsUnderALedgerThatRests) {
  Open();
  RedeemAndSweep("1", Of('a', 1, kLater));
  clock_.Advance(absl::Hours(12));
  clock_.Set(absl::Hours(24 * 365));
  RunFor(absl::Minutes(30));
  clock_.Set(-absl::Hours(24 * 365));
  ExpectUsedUp();
}

TEST_F(LedgerClockTest, WhatHasEndedIsDroppedOnceTheClockHasSettledAgain) {
  Open();
  RedeemAndSweep("1", Of('a', 1));
  clock_.Set(absl::Hours(48));  // and right from then on
  RunFor(absl::Hours(6));
  ExpectUsedUp();
  RunFor(absl::Hours(1));
  EXPECT_EQ(ledger_->rows(), 1U + static_cast<size_t>(redemptions_)) << "that of n, and its redemptions";
}

TEST_F(UseLedgerTest, RefusesWhatIsNoRedemption) {
  Open();
  EXPECT_EQ(ReasonOf(Redeem("", {Of('a', 1)}).status()), reason::kBadToken);
  EXPECT_EQ(ReasonOf(Redeem(std::string(65, 'x'), {Of('a', 1)}).status()), reason::kBadToken);
  EXPECT_EQ(ReasonOf(Redeem("1", {}).status()), reason::kBadToken);
}

TEST_F(UseLedgerTest, RefusesADamagedStore) {
  ASSERT_TRUE(store_.Put("uses/x", "no number", storage::Durability::kSync).ok());
  EXPECT_EQ(ReasonOf(UseLedger::Open(&store_, clock_).status()), reason::kStorage);
}

}  // namespace
}  // namespace dotagent::identity_service
