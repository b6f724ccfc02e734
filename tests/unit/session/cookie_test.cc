// Work for a listener under load: what counts, and what does not.
#include "common/session/cookie.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "common/base/random.h"
#include "common/base/status.h"
#include "common/crypto/hash.h"

namespace dotagent::session {
namespace {

constexpr char kPeer[] = "192.0.2.1:4001#7";
constexpr int kBits = 6;

class CookieTest : public testing::Test {
 protected:
  std::string Solve(const std::string& cookie) {
    auto solver = CookieSolver::Create(cookie, kMaxCookieBits, random_);
    EXPECT_EQ(solver.status(), absl::OkStatus());
    std::optional<std::string> proof;
    while (!proof) proof = solver->Work(16);
    return *proof;
  }
  std::string Refusal(const std::string& proof, absl::Time now, const std::string& peer = kPeer) {
    return ReasonOf(mint_.Check(peer, proof, now).status());
  }

  SeededRandom random_{11};
  const CookieMint mint_{random_};
  const absl::Time now_ = absl::UnixEpoch() + absl::Hours(3);
};

TEST_F(CookieTest, AProofCountsForWhomItWasMadeWhileItIsFresh) {
  const std::string cookie = mint_.Make(kPeer, kBits, now_);
  ASSERT_EQ(cookie.size(), kCookieSize);
  const std::string proof = Solve(cookie);
  ASSERT_EQ(proof.size(), kCookieProofSize);
  EXPECT_GE(crypto::LeadingZeroBits(crypto::Sha256(proof)), kBits);
  EXPECT_EQ(*mint_.Check(kPeer, proof, now_), kBits);
  EXPECT_EQ(*mint_.Check(kPeer, proof, now_ + CookieMint::kLifetime), kBits);
}

TEST_F(CookieTest, AStaleOneDoesNot) {
  const std::string proof = Solve(mint_.Make(kPeer, kBits, now_));
  EXPECT_EQ(Refusal(proof, now_ + CookieMint::kLifetime + absl::Milliseconds(1)), reason::kStale);
}

TEST_F(CookieTest, OneOfAnotherConnectionOrAddressDoesNot) {
  const std::string proof = Solve(mint_.Make(kPeer, kBits, now_));
  EXPECT_EQ(Refusal(proof, now_, "192.0.2.1:4001#8"), reason::kBadSignature) << "the next connection";
  EXPECT_EQ(Refusal(proof, now_, "192.0.2.2:4001#7"), reason::kBadSignature) << "another address";
  const CookieMint other(random_);
  EXPECT_EQ(ReasonOf(other.Check(kPeer, proof, now_).status()), reason::kBadSignature) << "another node, or a restart";
}

TEST_F(CookieTest, WhatWasChangedDoesNot) {
  const std::string proof = Solve(mint_.Make(kPeer, kBits, now_));
  for (size_t i = 0; i < kCookieSize; ++i) {
    for (const char flipped : {'\x01', '\x80'}) {
      std::string forged = proof;
      forged[i] = static_cast<char>(forged[i] ^ flipped);
      EXPECT_EQ(Refusal(forged, now_), reason::kBadSignature) << "byte " << i;
    }
  }
}

TEST_F(CookieTest, WorkForACheaperCookieDoesNotCountForADearerOne) {
  // The bits that are asked for are part of what the MAC covers: lowering them is forging, and solving for fewer is
  // not solving.
  const std::string dear = mint_.Make(kPeer, kMaxCookieBits, now_);
  std::string cheapened = dear;
  cheapened[0] = 1;
  EXPECT_EQ(Refusal(Solve(cheapened), now_), reason::kBadSignature);
  EXPECT_EQ(Refusal(dear + std::string(8, '\0'), now_), reason::kLimit);
}

TEST_F(CookieTest, OtherSizesAreRefused) {
  const std::string proof = Solve(mint_.Make(kPeer, kBits, now_));
  EXPECT_EQ(Refusal("", now_), reason::kProtocol);
  EXPECT_EQ(Refusal(proof.substr(1), now_), reason::kProtocol);
  EXPECT_EQ(Refusal(proof + "x", now_), reason::kProtocol);
}

TEST_F(CookieTest, ADiallerWorksForWhatItIsReadyToAndNoMore) {
  const auto refusal = [&](const std::string& cookie) {
    return ReasonOf(CookieSolver::Create(cookie, kBits, random_).status());
  };
  EXPECT_EQ(refusal(mint_.Make(kPeer, kBits, now_)), "");
  EXPECT_EQ(refusal(mint_.Make(kPeer, kBits + 1, now_)), reason::kLimit);
  EXPECT_EQ(refusal(std::string(kCookieSize, '\xff')), reason::kLimit);
  EXPECT_EQ(refusal(std::string(kCookieSize, '\0')), reason::kProtocol) << "no work at all";
  EXPECT_EQ(refusal(""), reason::kProtocol);
  EXPECT_EQ(refusal(std::string(kCookieSize + 1, '\x01')), reason::kProtocol);
}

TEST_F(CookieTest, WorkTakesAsManyTriesAsTheBitsSay) {
  constexpr int kCookies = 200;
  uint64_t tries = 0;
  for (int i = 0; i < kCookies; ++i) {
    auto solver = CookieSolver::Create(mint_.Make(kPeer, kBits, now_ + absl::Milliseconds(i)), kBits, random_);
    while (!solver->Work(1)) ++tries;
  }
  // 64 on average; 200 of them stray from that by 7 % (one standard deviation).
  EXPECT_GT(tries, kCookies * 64 * 6 / 10);
  EXPECT_LT(tries, kCookies * 64 * 14 / 10);
}

}  // namespace
}  // namespace dotagent::session
