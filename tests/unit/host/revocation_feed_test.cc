// The feed on a real host, and an identity service that is played here.
#include "services/host/revocation_feed.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "common/base/status.h"
#include "tests/unit/host/fake_identity.h"
#include "tests/unit/p2p/fixtures.h"

namespace dotagent::host {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr absl::Duration kPatience = absl::Seconds(30);

class RevocationFeedTest : public testing::Test {
 protected:
  RevocationFeedTest() {
    std::string folder = testing::TempDir() + "/feed_test_XXXXXX";
    EXPECT_NE(mkdtemp(folder.data()), nullptr);
    folder_ = folder;
    OpenHost();
  }
  ~RevocationFeedTest() override {
    CloseHost();
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }

  void OpenHost() {
    auto host = Host::Create("resolver", {.data_dir = folder_ + "/data"}, 1);
    ASSERT_TRUE(host.ok()) << host.status();
    host_ = *std::move(host);
  }
  void CloseHost() {
    feed_.reset();
    host_.reset();
  }
  void Follow(const std::string& target, RevocationFeed::OnTokenRevoked on_token_revoked = nullptr) {
    const auto on_revoked = [this](const identity::Revocation& r, const std::string& s) {
      // On disk before anyone is told, with what it takes to verify it.
      const auto chain = host_->store().Get(absl::StrCat("revoked-chain/", r.public_key.bytes()));
      const auto verified = identity::VerifyRevocationWith(s, chain.value_or(""), absl::InfiniteFuture(), registrars_);
      EXPECT_TRUE(verified.ok() && verified->public_key == r.public_key) << verified.status();
      EXPECT_TRUE(host_->store().Get(absl::StrCat("revoked/", r.public_key.bytes())).ok());
      absl::MutexLock lock(&mutex_);
      told_.push_back(s);
    };
    auto feed = RevocationFeed::Create(*host_, target, on_revoked, std::move(on_token_revoked));
    ASSERT_TRUE(feed.ok()) << feed.status();
    feed_ = *std::move(feed);
  }
  // What has been told, once it is `count` statements.
  std::vector<std::string> AwaitTold(size_t count) {
    absl::MutexLock lock(&mutex_);
    const auto enough = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return told_.size() >= count; };
    EXPECT_TRUE(mutex_.AwaitWithTimeout(absl::Condition(&enough), kPatience));
    return told_;
  }
  bool IsRevoked(uint64_t seed) const { return feed_->IsRevoked(KeyFromSeed(seed).public_key()); }

  FakeIdentity identity_;
  std::string folder_;
  std::unique_ptr<Host> host_;
  std::unique_ptr<RevocationFeed> feed_;
  std::vector<crypto::PublicKey> registrars_;  // whose word the test expects to count
  absl::Mutex mutex_;
  std::vector<std::string> told_ ABSL_GUARDED_BY(mutex_);
};

TEST_F(RevocationFeedTest, TellsThePastAndTheNews) {
  std::vector<std::string> log = {StatementOf(1), StatementOf(2)};
  for (const std::string& statement : log) identity_.Append(statement);
  Follow(identity_.address());
  EXPECT_EQ(AwaitTold(2), log);
  log.push_back(StatementOf(3));
  identity_.Append(log.back());
  EXPECT_EQ(AwaitTold(3), log);
  EXPECT_TRUE(IsRevoked(3));
  EXPECT_FALSE(IsRevoked(4));
  EXPECT_EQ(feed_->StatementFor(KeyFromSeed(3).public_key()), log.back());
  EXPECT_EQ(feed_->StatementFor(KeyFromSeed(4).public_key()), "");
}

TEST_F(RevocationFeedTest, AfterARestartItKnowsWhatItKnewAndCatchesUpFromThere) {
  identity_.Append(StatementOf(1));
  identity_.Append(StatementOf(2));
  Follow(identity_.address());
  AwaitTold(2);
  CloseHost();
  const std::string third = StatementOf(3);
  identity_.Append(third);

  OpenHost();
  Follow("");
  EXPECT_TRUE(IsRevoked(1));
  EXPECT_TRUE(IsRevoked(2));
  EXPECT_FALSE(IsRevoked(3)) << "follows nobody";
  CloseHost();

  OpenHost();
  Follow(identity_.address());
  EXPECT_EQ(AwaitTold(3).back(), third) << "the first two are not told again";
  EXPECT_THAT(identity_.AwaitCursors(2), ElementsAre(0, 2));
}

TEST_F(RevocationFeedTest, ALaterKeysRevocationNeedsItsChainAlsoAfterARestart) {
  const crypto::SigningKey first = KeyFromSeed(1);
  const crypto::SigningKey second = KeyFromSeed(2);
  const absl::Time now = absl::Now();
  std::vector<std::string> chain = {identity::MakeInception(first, second.public_key(), now).value()};
  chain.push_back(identity::MakeRotation(identity::VerifyRotationChain(chain, now).value(), first, second,
                                         KeyFromSeed(3).public_key(), now)
                      .value());
  const auto agent = identity::AgentId::FromFirstKey(first.public_key());
  const std::string of_second = identity::SignRevocationOf(second, agent, second.public_key(), "lost", now).value();
  const std::string of_first = identity::SignRevocationOf(second, agent, first.public_key(), "old", now).value();
  identity_.Append(of_second, identity::EncodeRotationChain(chain));
  identity_.Append(of_first, identity::EncodeRotationChain(chain));
  Follow(identity_.address());
  EXPECT_THAT(AwaitTold(2), ElementsAre(of_second, of_first));
  CloseHost();
  OpenHost();
  Follow("");
  EXPECT_TRUE(IsRevoked(1));
  EXPECT_TRUE(IsRevoked(2));
  const auto learn = [&] { return host_->loop().Run([&] { return feed_->Learn(of_first); }); };
  EXPECT_EQ(ReasonOf(learn()), reason::kBadStatement) << "without its evidence";
}

TEST_F(RevocationFeedTest, IdentityMayRevokeAnyKeyAsTheRegistrarAndNobodyElseMay) {
  const auto by = [](const crypto::Signer& signer, uint64_t seed) {
    const crypto::PublicKey revoked = KeyFromSeed(seed).public_key();
    return identity::SignRevocationOf(signer, identity::AgentId::FromFirstKey(revoked), revoked, "abuse", absl::Now())
        .value();
  };
  const std::string statement = by(identity_.key(), 1);
  registrars_ = {identity_.key().public_key()};
  identity_.Append(statement);
  Follow(identity_.address());
  EXPECT_THAT(AwaitTold(1), ElementsAre(statement));
  const auto learn = [&](const std::string& bytes) { return host_->loop().Run([&] { return feed_->Learn(bytes); }); };
  EXPECT_EQ(learn(by(identity_.key(), 2)), absl::OkStatus()) << "found in the DHT";
  EXPECT_EQ(ReasonOf(learn(by(KeyFromSeed(3), 4))), reason::kBadStatement);
  CloseHost();
  OpenHost();
  Follow("");
  EXPECT_TRUE(IsRevoked(1)) << "also when identity is out of reach";
  EXPECT_TRUE(IsRevoked(2));
  EXPECT_EQ(ReasonOf(learn(by(identity_.key(), 5))), reason::kBadStatement) << "who follows nobody trusts nobody";
}

TEST_F(RevocationFeedTest, TellsWhoAsksOfTokensBlocks) {
  const std::string block(32, 'b');
  identity_.AppendOfToken(capability::SignTokenRevocation(KeyFromSeed(1), block, "", absl::Now()).value());
  identity_.Append(StatementOf(2));
  const auto note = [this](const capability::TokenRevocation& revocation) {
    EXPECT_EQ(revocation.signer, KeyFromSeed(1).public_key());
    absl::MutexLock lock(&mutex_);
    told_.push_back(revocation.block);
  };
  Follow(identity_.address(), note);
  EXPECT_EQ(AwaitTold(2)[0], block);
  CloseHost();
  // From its own disk; identity has no more to tell.
  OpenHost();
  Follow("", note);
  EXPECT_EQ(AwaitTold(3).back(), block);
}

TEST_F(RevocationFeedTest, PassesTokensBlocksOverForOthers) {
  identity_.AppendOfToken("not even a statement");
  const std::string second = StatementOf(2);
  identity_.Append(second);
  Follow(identity_.address());
  EXPECT_THAT(AwaitTold(1), ElementsAre(second));
}

TEST_F(RevocationFeedTest, FindsAServiceThatWentAwayAndMissesNone) {
  std::vector<std::string> log;
  Follow(identity_.address());
  for (uint64_t round = 1; round <= 3; ++round) {
    log.push_back(StatementOf(2 * round));
    identity_.Append(log.back());
    EXPECT_EQ(AwaitTold(log.size()), log);
    identity_.Stop();
    // Happens while nobody listens.
    log.push_back(StatementOf(2 * round + 1));
    identity_.Append(log.back());
    identity_.Start();
    EXPECT_EQ(AwaitTold(log.size()), log);
  }
}

TEST_F(RevocationFeedTest, StreamsThatBreakOffAgainAndAgainMissNoneAndTellNoneTwice) {
  constexpr uint64_t kRevocations = 12;
  identity_.BreakStreamsAfter(2);
  std::vector<std::string> log;
  std::vector<uint64_t> cursors;
  for (uint64_t seed = 1; seed <= kRevocations; ++seed) {
    log.push_back(StatementOf(seed));
    identity_.Append(log.back());
    if (seed % 2 == 1) cursors.push_back(seed - 1);
  }
  Follow(identity_.address());
  EXPECT_EQ(AwaitTold(kRevocations), log);
  EXPECT_THAT(identity_.AwaitCursors(cursors.size()), ::testing::ElementsAreArray(cursors));
}

TEST_F(RevocationFeedTest, AServiceThatIsNotThereYetIsWaitedFor) {
  identity_.Stop();
  Follow(identity_.address());
  const std::string statement = StatementOf(1);
  identity_.Append(statement);
  identity_.Start();
  EXPECT_THAT(AwaitTold(1), ElementsAre(statement));
}

TEST_F(RevocationFeedTest, WhatDoesNotVerifyHoldsUpNothingBehindIt) {
  std::string forged = StatementOf(1);
  forged.back() = static_cast<char>(forged.back() ^ 1);
  const std::string good = StatementOf(2);
  identity_.Append("not a statement");
  identity_.Append(forged);
  identity_.AppendOfToken("not a statement");
  identity_.Append(good);
  const auto nothing = [](const capability::TokenRevocation&) { FAIL() << "no block was revoked"; };
  Follow(identity_.address(), nothing);
  EXPECT_THAT(AwaitTold(1), ElementsAre(good));
  EXPECT_FALSE(IsRevoked(1));
  EXPECT_EQ(host_->metrics().AddCounter("dotagent_revocations_passed_over_total", "").Value(), 3);
  EXPECT_THAT(identity_.AwaitCursors(1), ElementsAre(0)) << "not asked for again";
  CloseHost();
  OpenHost();
  Follow(identity_.address(), nothing);
  EXPECT_THAT(identity_.AwaitCursors(2), ElementsAre(0, 4)) << "nor after a restart";
}

// Identity took them, a moment ago by its clock, which is an hour ahead of this one.
class SlowClockTest : public RevocationFeedTest {
 protected:
  static absl::Time IdentitysNow() { return absl::Now() + absl::Hours(1); }
  static std::string Revoke(const crypto::Signer& key) {
    return identity::SignRevocation(key, "stolen", IdentitysNow()).value();
  }
};

TEST_F(SlowClockTest, AFollowerWhoseClockIsBehindTakesWhatIdentityTook) {
  const std::string block(32, 'b');
  const std::string first = Revoke(KeyFromSeed(1));
  const std::string second = StatementOf(2);
  identity_.Append(first);
  identity_.AppendOfToken(capability::SignTokenRevocation(KeyFromSeed(1), block, "", IdentitysNow()).value());
  identity_.Append(second);
  const auto note = [this](const capability::TokenRevocation& revocation) {
    absl::MutexLock lock(&mutex_);
    told_.push_back(revocation.block);
  };
  Follow(identity_.address(), note);
  EXPECT_THAT(AwaitTold(3), ElementsAre(first, block, second));
  EXPECT_THAT(identity_.AwaitCursors(1), ElementsAre(0)) << "at once";
  CloseHost();
  // And starts again on what it has.
  OpenHost();
  Follow("", note);
  EXPECT_EQ(AwaitTold(4).back(), block);
  EXPECT_TRUE(IsRevoked(1));
  EXPECT_TRUE(IsRevoked(2));
}

TEST_F(SlowClockTest, SoItDoesAChainThatRotatedJustNow) {
  const crypto::SigningKey first = KeyFromSeed(1);
  const crypto::SigningKey second = KeyFromSeed(2);
  const absl::Time then = IdentitysNow();
  std::vector<std::string> chain = {identity::MakeInception(first, second.public_key(), then).value()};
  chain.push_back(identity::MakeRotation(identity::VerifyRotationChain(chain, then).value(), first, second,
                                         KeyFromSeed(3).public_key(), then)
                      .value());
  const auto agent = identity::AgentId::FromFirstKey(first.public_key());
  const std::string statement = identity::SignRevocationOf(second, agent, first.public_key(), "old", then).value();
  identity_.Append(statement, identity::EncodeRotationChain(chain));
  Follow(identity_.address());
  EXPECT_THAT(AwaitTold(1), ElementsAre(statement));
  CloseHost();
  OpenHost();
  Follow("");
  EXPECT_TRUE(IsRevoked(1));
}

TEST_F(SlowClockTest, WhatIsFoundElsewhereIsHeldToThisClock) {
  Follow("");
  const std::string statement = Revoke(KeyFromSeed(1));
  EXPECT_EQ(ReasonOf(host_->loop().Run([&] { return feed_->Learn(statement); })), reason::kBadStatement);
  EXPECT_FALSE(IsRevoked(1));
}

TEST_F(RevocationFeedTest, WhatIsFoundElsewhereIsLearntOnce) {
  Follow("");
  const std::string statement = StatementOf(1);
  const auto learn = [&](const std::string& bytes) { return host_->loop().Run([&] { return feed_->Learn(bytes); }); };
  EXPECT_EQ(learn(statement), absl::OkStatus());
  EXPECT_EQ(learn(statement), absl::OkStatus());
  EXPECT_THAT(AwaitTold(1), ElementsAre(statement));
  EXPECT_EQ(ReasonOf(learn("nonsense")), reason::kBadStatement);
  CloseHost();

  // It does not move the place in identity's stream.
  const std::string other = StatementOf(2);
  identity_.Append(other);
  identity_.Append(statement);
  OpenHost();
  Follow(identity_.address());
  EXPECT_THAT(AwaitTold(2), ElementsAre(statement, other));
  EXPECT_TRUE(IsRevoked(1));
}

TEST_F(RevocationFeedTest, ARevokedNodeLosesItsSessionAndIsNotTakenInAgain) {
  p2p::Loop loop;
  p2p::TestNode node(loop);
  const auto connect = [&] {
    const auto address = p2p::Multiaddr::Parse(host_->p2p_addresses().at(0));
    return node.Connect({host_->key().public_key(), {*address}}).status();
  };
  const auto sessions_here = [&] { return host_->loop().Run([&] { return host_->node().open_sessions(); }); };
  const auto turned_away = [&] {
    return p2p::Eventually(loop, [&] { return node.node().open_sessions() == 0; }) && sessions_here() == 0;
  };
  // Who dials has a session a moment before who listens.
  const auto settled = [&] { return connect().ok() && p2p::Eventually(loop, [&] { return sessions_here() == 1; }); };
  Follow("");
  ASSERT_TRUE(settled());
  const std::string statement = identity::SignRevocation(node.signer(), "stolen", absl::Now()).value();
  EXPECT_EQ(host_->loop().Run([&] { return feed_->Learn(statement); }), absl::OkStatus());
  EXPECT_TRUE(turned_away());
  (void)connect();  // it may believe to have a session until it is hung up on
  EXPECT_TRUE(turned_away());
  EXPECT_EQ(host_->metrics().AddCounter("dotagent_p2p_refused_total", "", {{"cause", "key"}}).Value(), 1);
  CloseHost();

  // The port is open before the feed knows what its disk says.
  OpenHost();
  ASSERT_TRUE(settled());
  Follow("");
  EXPECT_TRUE(turned_away());
}

TEST_F(RevocationFeedTest, DamageIsReported) {
  ASSERT_TRUE(host_->store().Put("revoked/x", "nonsense", storage::Durability::kBuffered).ok());
  EXPECT_EQ(ReasonOf(RevocationFeed::Create(*host_, "", nullptr).status()), reason::kBadStatement);
  ASSERT_TRUE(host_->store().Put("revoked/x", StatementOf(1), storage::Durability::kBuffered).ok());
  ASSERT_TRUE(host_->store().Put("revoked-cursor", "x", storage::Durability::kBuffered).ok());
  EXPECT_EQ(ReasonOf(RevocationFeed::Create(*host_, "", nullptr).status()), reason::kStorage);
  EXPECT_EQ(ReasonOf(RevocationFeed::Create(*host_, "no address", nullptr).status()), reason::kStorage);
}

}  // namespace
}  // namespace dotagent::host
