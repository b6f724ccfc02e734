// How much of a node's time newcomers get, and what is asked of them when it is not enough; on a simulated clock.
#include "common/p2p/newcomers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <asio/io_context.hpp>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/p2p/cookie_price.h"
#include "common/p2p/work_budget.h"

namespace dotagent::p2p {
namespace {

using testing::HasSubstr;

const absl::Time kStart = absl::UnixEpoch();

TEST(WorkBudgetTest, GivesItsShareOfTheTimeAndTheBurstOnce) {
  WorkBudget budget(0.1, absl::Milliseconds(100), kStart);
  absl::Time now = kStart;
  absl::Duration spent;
  for (; now < kStart + absl::Seconds(10); now += absl::Milliseconds(1)) {
    if (budget.Pause(now) > absl::ZeroDuration()) continue;
    budget.Spend(absl::Microseconds(300), now);
    spent += absl::Microseconds(300);
  }
  EXPECT_GE(spent, absl::Milliseconds(1000));
  EXPECT_LE(spent, absl::Milliseconds(1101));
}

TEST(WorkBudgetTest, SaysHowLongToWait) {
  WorkBudget budget(0.2, absl::Milliseconds(10), kStart);
  EXPECT_FALSE(budget.Short(kStart));
  budget.Spend(absl::Milliseconds(6), kStart);
  EXPECT_TRUE(budget.Short(kStart));
  EXPECT_EQ(budget.Pause(kStart), absl::ZeroDuration());
  budget.Spend(absl::Milliseconds(24), kStart);
  const absl::Duration pause = budget.Pause(kStart);
  EXPECT_GE(pause, absl::Milliseconds(100));
  EXPECT_LE(pause, absl::Milliseconds(101));
  EXPECT_EQ(budget.Pause(kStart + pause), absl::ZeroDuration());
  EXPECT_FALSE(budget.Short(kStart + absl::Hours(1)));
}

TEST(CookiePriceTest, RisesWhileThoseThatPayQueueAndFallsAfter) {
  CookiePrice price(12, 14);
  absl::Time now = kStart;
  const CookiePrice::Load calm{.behind = false, .waiting_paid = 0, .room = 80};
  const CookiePrice::Load unpaid{.behind = true, .waiting_paid = 0, .room = 80};
  const CookiePrice::Load some{.behind = true, .waiting_paid = 10, .room = 80};
  const CookiePrice::Load many{.behind = true, .waiting_paid = 11, .room = 80};
  EXPECT_EQ(price.At(now, calm), 0);
  EXPECT_EQ(price.At(now, unpaid), 12);
  EXPECT_EQ(price.At(now, many), 12) << "not before the interval is over";
  std::vector<int> bits;
  for (const auto& load : {many, many, many, some, unpaid, unpaid, unpaid}) {
    now += CookiePrice::kInterval;
    bits.push_back(price.At(now, load));
  }
  EXPECT_THAT(bits, testing::ElementsAre(13, 14, 14, 14, 13, 12, 12));
  EXPECT_EQ(price.At(now + CookiePrice::kCalm - absl::Milliseconds(1), calm), 12);
  EXPECT_EQ(price.At(now + CookiePrice::kCalm, calm), 0);
}

TEST(CookiePriceTest, AnUpperLimitOfZeroAsksForNothing) {
  CookiePrice price(12, 0);
  EXPECT_EQ(price.At(kStart, {.behind = true, .waiting_paid = 100, .room = 100}), 0);
  CookiePrice low(12, 8);
  EXPECT_EQ(low.At(kStart, {.behind = true, .waiting_paid = 0, .room = 100}), 8);
}

class NewcomersTest : public testing::Test {
 protected:
  NewcomersTest() { Make({}); }

  void Make(const NewcomerLimits& limits) {
    places_.clear();
    refused_.clear();
    newcomers_ = std::make_shared<Newcomers>(io_.get_executor(), limits, &clock_, random_, metrics_,
                                             [this](absl::string_view cause) { refused_.emplace_back(cause); });
  }
  // One that connects from `group`, and takes `cost` of the loop when it is admitted.
  std::shared_ptr<Newcomers::Place> Enter(const std::string& group, absl::Duration cost = absl::ZeroDuration()) {
    auto place = newcomers_->Enter(group);
    if (place == nullptr) return nullptr;
    const auto id = place->id();
    newcomers_->Bind(*place, {.admit =
                                  [this, group, cost] {
                                    admitted_ += group;
                                    clock_.Advance(cost);
                                  },
                              .evict = [this, id](const absl::Status&) { evicted_.push_back(id); }});
    places_.push_back(place);
    return place;
  }
  int PriceNow(const Newcomers::Place& place) {
    session::Options options;
    newcomers_->Prepare(options, place, "peer");
    EXPECT_TRUE(options.gated);
    EXPECT_NE(options.mint, nullptr);
    return options.cookie_bits;
  }
  void Poll() {
    io_.restart();
    io_.poll();
  }

  asio::io_context io_;
  SimulatedClock clock_{kStart};
  SeededRandom random_{3};
  telemetry::Metrics metrics_;
  std::vector<std::string> refused_;
  std::string admitted_;
  std::vector<HandshakeQueue::Id> evicted_;
  std::shared_ptr<Newcomers> newcomers_;
  std::vector<std::shared_ptr<Newcomers::Place>> places_;
};

TEST_F(NewcomersTest, WhoKnocksIsAdmittedButNeverFromInside) {
  const auto place = Enter("a");
  newcomers_->Knock(*place, 0);
  EXPECT_EQ(admitted_, "");
  Poll();
  EXPECT_EQ(admitted_, "a");
  EXPECT_THAT(metrics_.Render(), HasSubstr("dotagent_p2p_admitted_total{lane=\"unpaid\"} 1\n"));
}

TEST_F(NewcomersTest, OnceTheShareIsUsedUpNobodyIsAdmittedOrTakenIn) {
  NewcomerLimits limits;
  limits.share = 0.1;
  limits.share_burst = absl::Milliseconds(100);
  Make(limits);
  for (int i = 0; i < 20; ++i) newcomers_->Knock(*Enter("a", absl::Milliseconds(7)), 0);
  Poll();
  // Each 7 ms of work earn 0.7 ms: 100 ms last for 16 of them.
  EXPECT_EQ(admitted_.size(), 16U);
  EXPECT_GT(newcomers_->Pause(), absl::ZeroDuration());
  EXPECT_THAT(metrics_.Render(), HasSubstr("dotagent_p2p_handshakes_waiting 4\n"));
  EXPECT_THAT(metrics_.Render(), HasSubstr("dotagent_p2p_newcomer_seconds_total 0.11"));
}

TEST_F(NewcomersTest, WorkInsideWorkIsChargedOnce) {
  newcomers_->Measure([&] {
    clock_.Advance(absl::Milliseconds(1));
    newcomers_->Measure([&] { clock_.Advance(absl::Milliseconds(2)); });
  });
  EXPECT_THAT(metrics_.Render(), HasSubstr("dotagent_p2p_newcomer_seconds_total 0.003"));
}

TEST_F(NewcomersTest, TheRateOfAnAddressIsLimitedAndCounted) {
  NewcomerLimits limits;
  limits.connections_per_second = 1;
  limits.connection_burst = 2;
  Make(limits);
  EXPECT_TRUE(newcomers_->MayConnect("a"));
  EXPECT_TRUE(newcomers_->MayConnect("a"));
  EXPECT_FALSE(newcomers_->MayConnect("a"));
  EXPECT_TRUE(newcomers_->MayConnect("b"));
  clock_.Advance(absl::Seconds(1));
  EXPECT_TRUE(newcomers_->MayConnect("a"));
  EXPECT_THAT(refused_, testing::ElementsAre("rate"));
}

TEST_F(NewcomersTest, PlacesAreBoundedAndReturn) {
  NewcomerLimits limits;
  limits.max_handshakes = 4;
  limits.max_handshakes_per_address = 3;
  Make(limits);
  for (int i = 0; i < 3; ++i) EXPECT_NE(Enter("a"), nullptr);
  EXPECT_EQ(Enter("a"), nullptr);
  EXPECT_NE(Enter("b"), nullptr);
  EXPECT_EQ(Enter("c"), nullptr);
  EXPECT_THAT(refused_, testing::ElementsAre("handshakes_of_address", "handshakes"));
  places_.pop_back();
  EXPECT_NE(Enter("c"), nullptr);
}

TEST_F(NewcomersTest, WhoKeepsAFullNodeWaitingMakesRoomAndIsTold) {
  NewcomerLimits limits;
  limits.max_handshakes = 2;
  Make(limits);
  const auto silent = Enter("a");
  Enter("b");
  clock_.Advance(HandshakeQueue::kGrace);
  EXPECT_NE(Enter("c"), nullptr);
  EXPECT_FALSE(newcomers_->Holds(*silent));
  EXPECT_TRUE(evicted_.empty()) << "never from inside";
  Poll();
  EXPECT_THAT(evicted_, testing::ElementsAre(silent->id()));
  EXPECT_THAT(refused_, testing::ElementsAre("evicted"));
  newcomers_->Knock(*silent, 0);  // too late
  Poll();
  EXPECT_EQ(admitted_, "");
}

TEST_F(NewcomersTest, WorkIsAskedUnderLoadAndNotAfterIt) {
  NewcomerLimits limits;
  limits.share = 0.1;
  limits.share_burst = absl::Milliseconds(100);
  limits.min_cookie_bits = 7;
  Make(limits);
  const auto place = Enter("a");
  EXPECT_EQ(PriceNow(*place), 0);
  newcomers_->Measure([&] { clock_.Advance(absl::Milliseconds(60)); });
  EXPECT_EQ(PriceNow(*place), 7);
  EXPECT_THAT(metrics_.Render(), HasSubstr("dotagent_p2p_cookie_bits 7\n"));
  clock_.Advance(CookiePrice::kCalm);
  EXPECT_EQ(PriceNow(*place), 0);
}

TEST_F(NewcomersTest, EachConnectionIsAskedAsItself) {
  session::Options one;
  session::Options other;
  newcomers_->Prepare(one, *Enter("a"), "peer");
  newcomers_->Prepare(other, *Enter("a"), "peer");
  EXPECT_NE(one.cookie_peer, other.cookie_peer) << "a proof for one must not do for the next";
}

TEST_F(NewcomersTest, WhatDiallersShowIsCounted) {
  newcomers_->CountFailure(true, ErrorWithReason(absl::StatusCode::kUnauthenticated, reason::kBadSignature, ""));
  newcomers_->CountFailure(true, ErrorWithReason(absl::StatusCode::kDeadlineExceeded, reason::kStale, ""));
  newcomers_->CountFailure(true, ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kLimit, ""));
  newcomers_->CountFailure(true, absl::UnavailableError("hung up"));
  newcomers_->CountFailure(false, absl::UnavailableError("hung up"));
  newcomers_->Knock(*Enter("a"), 12);
  const std::string rendered = metrics_.Render();
  for (const char* result : {"forged", "stale", "unsolved", "unpaid", "paid"}) {
    EXPECT_THAT(rendered, HasSubstr(absl::StrCat("dotagent_p2p_cookies_total{result=\"", result, "\"} 1\n")));
  }
}

TEST_F(NewcomersTest, AfterCloseNobodyIsAdmitted) {
  newcomers_->Knock(*Enter("a"), 0);
  newcomers_->Close();
  Poll();
  EXPECT_EQ(admitted_, "");
}

}  // namespace
}  // namespace dotagent::p2p
