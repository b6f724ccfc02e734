// The handshake of a listener under load: what a dialler has to do before it costs anything.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/base/varint.h"
#include "common/session/cookie.h"
#include "tests/unit/session/session_pair.h"

namespace dotagent::session {
namespace {

using testing::HasSubstr;
using Kind = Event::Kind;

constexpr char kPeer[] = "192.0.2.1:4001#1";
constexpr int kBits = 5;

class GateTest : public testing::Test {
 protected:
  // A pair whose listener is gated and asks for `asked` bits of a dialler that does `offered` at most.
  SessionPair& Gated(int asked, int offered) {
    PairOptions options;
    options.dialler.max_cookie_bits = offered;
    options.listener.gated = true;
    options.listener.cookie_bits = asked;
    options.listener.mint = &mint_;
    options.listener.cookie_peer = kPeer;
    return pair_.emplace(options);
  }
  void Work() {
    while (!pair_->a.session.WorkOnCookie(64)) {
    }
  }
  std::optional<uint64_t> Knocked() {
    const auto knocks = pair_->b.Of(Kind::kKnock);
    if (knocks.empty()) return std::nullopt;
    EXPECT_EQ(knocks.size(), 1U);
    return knocks.front().code;
  }

  SeededRandom random_{5};
  const CookieMint mint_{random_};
  std::optional<SessionPair> pair_;
};

TEST_F(GateTest, NothingIsAnsweredBeforeItIsAdmitted) {
  SessionPair& pair = Gated(0, 0);
  pair.Settle();
  EXPECT_EQ(Knocked(), 0U);
  EXPECT_FALSE(pair.a.session.established());
  EXPECT_EQ(pair.b.session.Admit(pair.now), absl::OkStatus());
  pair.Settle();
  EXPECT_TRUE(pair.a.session.established());
  EXPECT_TRUE(pair.b.session.established());
  EXPECT_EQ(pair.a.session.channel_id(), pair.b.session.channel_id());
  EXPECT_EQ(pair.b.session.Admit(pair.now).code(), absl::StatusCode::kFailedPrecondition) << "once only";
}

TEST_F(GateTest, AdmitNeedsAKnock) {
  SessionPair& pair = Gated(0, 0);
  EXPECT_EQ(pair.b.session.Admit(pair.now).code(), absl::StatusCode::kFailedPrecondition);
  pair.Settle(1);
  EXPECT_EQ(pair.b.session.Admit(pair.now), absl::OkStatus()) << "byte by byte is a knock, too";
}

TEST_F(GateTest, AStockDiallerIsNotAskedForWorkAndKnocksAllTheSame) {
  SessionPair& pair = Gated(kBits, 0);
  const std::string flight = pair.a.session.TakeOutput(4096, pair.now);
  EXPECT_THAT(flight, testing::StartsWith("\x13/multistream/1.0.0\n\x07/noise\n"));
  ASSERT_EQ(pair.b.session.Receive(flight, pair.now), absl::OkStatus());
  pair.b.Collect();
  EXPECT_EQ(Knocked(), 0U);
  EXPECT_FALSE(pair.b.session.work_asked());
  EXPECT_EQ(pair.b.session.TakeOutput(4096, pair.now), "\x13/multistream/1.0.0\n\x07/noise\n");
}

TEST_F(GateTest, AnOfferCostsNothingWhereNoWorkIsAsked) {
  SessionPair& pair = Gated(0, kBits);
  pair.Settle();
  EXPECT_EQ(Knocked(), 0U);
  EXPECT_TRUE(pair.a.Of(Kind::kWorkAsked).empty());
  ASSERT_EQ(pair.b.session.Admit(pair.now), absl::OkStatus());
  pair.Settle();
  EXPECT_TRUE(pair.a.session.established());
}

TEST_F(GateTest, AnOfferIsDeclinedByAListenerThatKnowsNothingOfIt) {
  PairOptions options;
  options.dialler.max_cookie_bits = kBits;
  pair_.emplace(options).Settle();
  EXPECT_TRUE(pair_->a.session.established());
  EXPECT_TRUE(pair_->b.session.established());
}

TEST_F(GateTest, WhoIsAskedKnocksOnceTheWorkIsDone) {
  for (const size_t chunk : {kAll, size_t{1}}) {
    SessionPair& pair = Gated(kBits, kBits);
    pair.Settle(chunk);
    ASSERT_EQ(pair.a.Of(Kind::kWorkAsked).size(), 1U);
    EXPECT_EQ(pair.a.Of(Kind::kWorkAsked).front().code, uint64_t{kBits});
    EXPECT_EQ(Knocked(), std::nullopt);
    EXPECT_TRUE(pair.b.session.work_asked());
    EXPECT_EQ(pair.b.session.Admit(pair.now).code(), absl::StatusCode::kFailedPrecondition);
    Work();
    pair.Settle(chunk);
    EXPECT_EQ(Knocked(), uint64_t{kBits});
    ASSERT_EQ(pair.b.session.Admit(pair.now), absl::OkStatus());
    pair.Settle(chunk);
    EXPECT_TRUE(pair.a.session.established());
    EXPECT_TRUE(pair.b.session.established());
  }
}

TEST_F(GateTest, ADiallerRefusesMoreWorkThanItOffers) {
  SessionPair& pair = Gated(kBits + 1, kBits);
  pair.Settle();
  EXPECT_EQ(ReasonOf(pair.a.status), reason::kLimit);
  EXPECT_THAT(std::string(pair.a.status.message()), HasSubstr("6 bits of work"));
}

TEST_F(GateTest, WorkThatIsDoneTooLateIsStale) {
  SessionPair& pair = Gated(kBits, kBits);
  pair.Settle();
  Work();
  pair.now += CookieMint::kLifetime - absl::Milliseconds(1);  // the handshake's own deadline comes first
  pair.Settle();
  EXPECT_EQ(Knocked(), uint64_t{kBits});

  PairOptions options;
  options.dialler.max_cookie_bits = kBits;
  options.dialler.handshake_timeout = options.listener.handshake_timeout = absl::Hours(1);
  options.listener.gated = true;
  options.listener.cookie_bits = kBits;
  options.listener.mint = &mint_;
  options.listener.cookie_peer = kPeer;
  SessionPair& patient = pair_.emplace(options);
  patient.Settle();
  Work();
  patient.now += CookieMint::kLifetime + absl::Milliseconds(1);
  patient.Settle();
  EXPECT_EQ(ReasonOf(patient.b.status), reason::kStale);
}

TEST_F(GateTest, AProofOfAnotherConnectionIsRefused) {
  SessionPair& pair = Gated(kBits, kBits);
  pair.Settle();
  auto solver = CookieSolver::Create(mint_.Make("192.0.2.1:4001#2", kBits, pair.now), kBits, random_);
  std::optional<std::string> proof;
  while (!proof) proof = solver->Work(64);
  EXPECT_EQ(ReasonOf(pair.b.session.Receive(WithLength(*proof), pair.now)), reason::kBadSignature);
  EXPECT_EQ(pair.b.session.Admit(pair.now).code(), absl::StatusCode::kUnauthenticated);
}

TEST_F(GateTest, WhatIsNoProofIsRefused) {
  for (const std::string& bytes : {std::string(1, '\x20'), std::string(1, '\0'),
                                   std::string("\x21") + std::string(33, 'x'), std::string(64, '\x21')}) {
    SessionPair& pair = Gated(kBits, kBits);
    pair.Settle();
    absl::Status status = pair.b.session.Receive(bytes, pair.now);
    if (status.ok()) status = pair.b.session.Receive(std::string(33, 'x'), pair.now);
    EXPECT_FALSE(status.ok());
    pair.b.Collect();
    EXPECT_EQ(Knocked(), std::nullopt);
  }
}

TEST_F(GateTest, WhoSaysMoreBeforeItIsAnsweredIsHungUpOn) {
  SessionPair& pair = Gated(0, 0);
  pair.Settle();
  ASSERT_EQ(Knocked(), 0U);
  EXPECT_EQ(ReasonOf(pair.b.session.Receive("x", pair.now)), reason::kProtocol);

  SessionPair& at_once = Gated(0, 0);
  const std::string flight = at_once.a.session.TakeOutput(4096, at_once.now);
  EXPECT_EQ(ReasonOf(at_once.b.session.Receive(flight + std::string(60'000, 'x'), at_once.now)), reason::kProtocol);
}

TEST_F(GateTest, TheDeadlineHoldsAtTheGateAndAfterIt) {
  SessionPair& pair = Gated(0, 0);
  pair.Settle();
  EXPECT_EQ(pair.b.session.NextTimeout(), pair.now + absl::Seconds(10));
  EXPECT_EQ(pair.b.session.OnTimeout(pair.now + absl::Seconds(10)).code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(pair.b.session.Admit(pair.now).code(), absl::StatusCode::kDeadlineExceeded);

  SessionPair& admitted = Gated(0, 0);
  admitted.Settle();
  ASSERT_EQ(admitted.b.session.Admit(admitted.now), absl::OkStatus());
  EXPECT_EQ(admitted.b.session.OnTimeout(admitted.now + absl::Seconds(10)).code(), absl::StatusCode::kDeadlineExceeded)
      << "its third message never came";
}

TEST_F(GateTest, AListenerThatAnswersWithoutTheProofEndsTheWork) {
  SessionPair& pair = Gated(kBits, kBits);
  pair.Settle();
  ASSERT_EQ(pair.a.Of(Kind::kWorkAsked).size(), 1U);
  // It cannot answer this dialler, but what looks like an answer ends the handshake, and the work with it.
  EXPECT_FALSE(pair.a.session.Receive(std::string("\0\x60", 2) + std::string(0x60, 'x'), pair.now).ok());
  EXPECT_TRUE(pair.a.session.WorkOnCookie(1));
  EXPECT_FALSE(pair.a.session.HasOutput());
}

}  // namespace
}  // namespace dotagent::session
