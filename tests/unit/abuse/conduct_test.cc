#include "common/abuse/conduct.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"

namespace dotagent::abuse {
namespace {

using Kind = Verdict::Kind;

class ConductTest : public testing::Test {
 protected:
  void Pass(absl::Duration time) { now_ += time; }
  void NoteTimes(int times, Anomaly anomaly, const std::string& party = "mallory") {
    for (int i = 0; i < times; ++i) conduct_.Note(party, anomaly, now_);
  }
  [[nodiscard]] Kind Admit(const std::string& party) { return conduct_.Admit(party, 1, now_).kind; }
  // How many of `calls`, spread over a second, are admitted.
  int CallForASecond(const std::string& party, int calls) {
    int admitted = 0;
    for (int i = 0; i < calls; ++i) {
      if (Admit(party) == Kind::kAdmitted) ++admitted;
      Pass(absl::Seconds(1) / calls);
    }
    return admitted;
  }
  [[nodiscard]] Standing StandingOf(const std::string& party) const { return conduct_.Look(party, now_).standing; }

  Conduct conduct_{{.rate = {.per_second = 100, .burst = 200}, .max_recipients = 3, .max_parties = 8}, 7};
  absl::Duration now_ = absl::Hours(1);
};

TEST_F(ConductTest, EachPartyHasABucketOfItsOwn) {
  for (int i = 0; i < 200; ++i) ASSERT_EQ(Admit("alice"), Kind::kAdmitted);
  const Verdict refused = conduct_.Admit("alice", 1, now_);
  EXPECT_EQ(refused.kind, Kind::kTooFast);
  EXPECT_EQ(refused.retry_after, absl::Milliseconds(10));
  EXPECT_EQ(Admit("bob"), Kind::kAdmitted);
  Pass(refused.retry_after);
  EXPECT_EQ(Admit("alice"), Kind::kAdmitted);
}

TEST_F(ConductTest, WhoWaitsAsToldIsNeverPunished) {
  for (int i = 0; i < 60'000; ++i) {
    const Verdict verdict = conduct_.Admit("alice", 1, now_);
    if (!verdict.admitted()) Pass(verdict.retry_after);
  }
  EXPECT_EQ(StandingOf("alice"), Standing::kGood);
  EXPECT_EQ(conduct_.anomalies(Anomaly::kFlood), 0u);
}

TEST_F(ConductTest, ALeapToTheFullRateAloneDoesNotThrottle) {
  Pass(absl::Hours(1));
  for (int second = 0; second < 600; ++second) ASSERT_EQ(CallForASecond("alice", 95), 95) << second;
  EXPECT_EQ(conduct_.Look("alice", now_).standing, Standing::kGood);
  EXPECT_GT(conduct_.anomalies(Anomaly::kRateJump), 0u);
  // Once it is what the party always does, it is no leap.
  const uint64_t leaps = conduct_.anomalies(Anomaly::kRateJump);
  for (int second = 0; second < 60; ++second) CallForASecond("alice", 95);
  EXPECT_EQ(conduct_.anomalies(Anomaly::kRateJump), leaps);
}

TEST_F(ConductTest, AFloodIsThrottledThenQuarantined) {
  int until_throttled = 0;
  while (StandingOf("mallory") == Standing::kGood && until_throttled < 120) {
    CallForASecond("mallory", 1000);
    ++until_throttled;
  }
  EXPECT_NEAR(until_throttled, 20, 10);
  EXPECT_EQ(conduct_.throttled(), 1u);
  EXPECT_NEAR(CallForASecond("mallory", 1000), 10, 1);  // a tenth
  int until_quarantined = 0;
  while (StandingOf("mallory") == Standing::kThrottled && until_quarantined < 120) {
    CallForASecond("mallory", 1000);
    ++until_quarantined;
  }
  EXPECT_NEAR(until_quarantined, 30, 15);
  EXPECT_EQ(conduct_.quarantined(), 1u);
  EXPECT_EQ(CallForASecond("mallory", 1000), 0);
  EXPECT_EQ(CallForASecond("alice", 100), 100);
}

TEST_F(ConductTest, TheScoreHalvesInAMinute) {
  NoteTimes(12, Anomaly::kBadSignature);
  EXPECT_EQ(StandingOf("mallory"), Standing::kThrottled);
  EXPECT_DOUBLE_EQ(conduct_.Look("mallory", now_).score, 120);
  Pass(kScoreHalfLife);
  EXPECT_DOUBLE_EQ(conduct_.Look("mallory", now_).score, 60);
  EXPECT_EQ(StandingOf("mallory"), Standing::kGood);
}

TEST_F(ConductTest, QuarantineDoublesWithEachRepetitionAndIsForgiven) {
  for (const int minutes : {1, 2, 4, 8, 16, 32, 64, 64}) {
    NoteTimes(19, Anomaly::kBadSignature);
    EXPECT_EQ(StandingOf("mallory"), Standing::kThrottled);
    NoteTimes(1, Anomaly::kBadSignature);
    const Verdict refused = conduct_.Admit("mallory", 1, now_);
    EXPECT_EQ(refused.kind, Kind::kQuarantined);
    EXPECT_EQ(refused.retry_after, absl::Minutes(minutes));
    NoteTimes(100, Anomaly::kBadSignature);  // pays already
    Pass(refused.retry_after - absl::Nanoseconds(1));
    EXPECT_EQ(Admit("mallory"), Kind::kQuarantined);
    Pass(absl::Nanoseconds(1));
    EXPECT_EQ(Admit("mallory"), Kind::kAdmitted);
    EXPECT_EQ(StandingOf("mallory"), Standing::kGood);
  }
  EXPECT_EQ(conduct_.quarantines(), 8u);
  Pass(2 * kForgiveAfter);
  EXPECT_EQ(Admit("mallory"), Kind::kAdmitted);
  EXPECT_EQ(conduct_.Look("mallory", now_).quarantines, 5);
}

TEST_F(ConductTest, SendingTheSameAgainCostsLittle) {
  NoteTimes(9999, Anomaly::kResend, "alice");
  EXPECT_EQ(StandingOf("alice"), Standing::kGood);
  NoteTimes(10, Anomaly::kReplay, "mallory");
  EXPECT_EQ(StandingOf("mallory"), Standing::kThrottled);
}

TEST_F(ConductTest, DistinctRecipientsOfAMinuteAreCounted) {
  const auto to = [&](const std::string& recipient) { return conduct_.AdmitRecipient("alice", recipient, now_); };
  for (int round = 0; round < 5; ++round) {
    for (const char* name : {"a", "b", "c"}) EXPECT_TRUE(to(name).admitted());
  }
  Pass(absl::Seconds(20));
  const Verdict refused = to("d");
  EXPECT_EQ(refused.kind, Kind::kTooManyRecipients);
  EXPECT_EQ(refused.retry_after, kFanOutWindow - absl::Seconds(20));
  EXPECT_TRUE(to("a").admitted());
  EXPECT_EQ(conduct_.anomalies(Anomaly::kFanOut), 1u);
  Pass(refused.retry_after);
  EXPECT_TRUE(to("d").admitted());
  EXPECT_EQ(conduct_.remembered_recipients(), 1u);
}

TEST_F(ConductTest, RecipientsAreBoundedInAll) {
  Conduct conduct({.max_recipients = 3, .max_remembered_recipients = 4}, 1);
  for (const char* party : {"a", "b"}) {
    for (const char* to : {"1", "2", "3"}) EXPECT_TRUE(conduct.AdmitRecipient(party, to, now_).admitted());
  }
  EXPECT_EQ(conduct.remembered_recipients(), 4u);
  conduct.Sweep(now_ + kFanOutWindow);
  EXPECT_EQ(conduct.remembered_recipients(), 0u);
}

TEST_F(ConductTest, InventedKeysPushOutNobodyInBadStanding) {
  NoteTimes(20, Anomaly::kBadSignature, "quarantined");
  NoteTimes(10, Anomaly::kBadSignature, "throttled");
  EXPECT_EQ(Admit("idle"), Kind::kAdmitted);
  for (int i = 0; i < 1000; ++i) {
    EXPECT_EQ(Admit(absl::StrCat("invented ", i)), Kind::kAdmitted);
    if (i % 5 == 0) {
      EXPECT_EQ(Admit("busy"), Kind::kAdmitted);
    }
  }
  EXPECT_EQ(conduct_.size(), 8u);
  EXPECT_EQ(StandingOf("quarantined"), Standing::kQuarantined);
  EXPECT_EQ(StandingOf("throttled"), Standing::kThrottled);
  EXPECT_EQ(Admit("busy"), Kind::kTooFast) << "its bucket was never forgotten";
  // Full of those in bad standing: who is quarantined goes last.
  for (int i = 0; i < 7; ++i) NoteTimes(10, Anomaly::kBadSignature, absl::StrCat("throttled ", i));
  for (int i = 0; i < 20; ++i) EXPECT_EQ(Admit(absl::StrCat("invented ", i)), Kind::kAdmitted);
  EXPECT_EQ(StandingOf("quarantined"), Standing::kQuarantined);
  EXPECT_EQ(conduct_.size(), 8u);
}

TEST_F(ConductTest, ForgetsWhoeverItHasNothingAgainst) {
  EXPECT_EQ(Admit("alice"), Kind::kAdmitted);
  NoteTimes(20, Anomaly::kBadSignature);
  conduct_.Sweep(now_ + absl::Minutes(2));
  EXPECT_EQ(conduct_.size(), 1u);
  EXPECT_EQ(conduct_.quarantined(), 0u);
  EXPECT_EQ(conduct_.Look("mallory", now_ + absl::Minutes(2)).quarantines, 1);
  conduct_.Sweep(now_ + absl::Hours(25));
  EXPECT_EQ(conduct_.size(), 0u);
}

TEST_F(ConductTest, TellsWhoIsWorst) {
  NoteTimes(3, Anomaly::kBadSignature, "odd");
  NoteTimes(11, Anomaly::kBadSignature, "bad");
  NoteTimes(20, Anomaly::kBadSignature, "worst");
  EXPECT_EQ(Admit("alice"), Kind::kAdmitted);
  const auto worst = conduct_.Worst(2, now_);
  ASSERT_EQ(worst.size(), 2u);
  EXPECT_EQ(worst[0].party, "worst");
  EXPECT_EQ(worst[0].record.quarantine_left, absl::Minutes(1));
  EXPECT_EQ(worst[1].party, "bad");
  EXPECT_EQ(conduct_.Worst(100, now_).size(), 3u);
}

TEST_F(ConductTest, LimitsOfZeroAreNone) {
  Conduct conduct({.throttle_score = 0, .quarantine_score = 0}, 1);
  for (int i = 0; i < 10'000; ++i) {
    ASSERT_TRUE(conduct.Admit("alice", 1, now_).admitted());
    ASSERT_TRUE(conduct.AdmitRecipient("alice", absl::StrCat(i), now_).admitted());
    conduct.Note("alice", Anomaly::kBadSignature, now_);
  }
  EXPECT_EQ(conduct.Look("alice", now_).standing, Standing::kGood);
}

}  // namespace
}  // namespace dotagent::abuse
