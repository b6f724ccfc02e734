// Capability tokens at identity: their uses, and their blocks taken back.
#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <string>
#include <utility>

#include "common/base/status.h"
#include "common/capability/token.h"
#include "common/capability/token_revocation.h"
#include "tests/unit/identity_service/fixtures.h"

namespace dotagent::identity_service {
namespace {

namespace v1 = ::dotagent::identity::v1;

class RedeemTest : public testing::Test {
 protected:
  capability::TokenGrant To(const crypto::SigningKey& audience, uint64_t max_uses) {
    return {.audience = audience.public_key(),
            .resource = "agent://bob.agent",
            .actions = {"call"},
            .not_before = identity_.clock.Now() - absl::Minutes(1),
            .expires = identity_.clock.Now() + absl::Hours(1),
            .max_uses = max_uses};
  }
  std::string Issue(uint64_t max_uses) {
    return capability::IssueToken(bob_, To(alice_, max_uses), identity_.random.Bytes(16)).value();
  }
  std::string Delegate(const std::string& token, uint64_t max_uses) {
    return capability::DelegateToken(token, alice_, To(carol_, max_uses), identity_.random.Bytes(16)).value();
  }
  absl::StatusOr<v1::RedeemResponse> Redeem(const std::string& token, const std::string& id) {
    v1::RedeemRequest request;
    request.set_token(token);
    request.set_redemption_id(id);
    // Shared: the other thread may still be in it when the answer has been read.
    const auto answer = std::make_shared<std::promise<absl::StatusOr<v1::RedeemResponse>>>();
    identity_.handler.Redeem(caller_, request, [answer](absl::StatusOr<v1::RedeemResponse> response) {
      answer->set_value(std::move(response));
    });
    return answer->get_future().get();
  }
  static std::string Id(int number) { return std::string(15, 'r') + static_cast<char>('a' + number); }
  absl::StatusOr<v1::RevokeTokenResponse> Revoke(const std::string& block, const crypto::SigningKey& signer) {
    v1::RevokeTokenRequest request;
    request.set_statement(capability::SignTokenRevocation(signer, block, "", identity_.clock.Now()).value());
    return identity_.handler.RevokeToken(kCaller, request);
  }

  TestIdentity identity_;
  absl::StatusOr<crypto::PublicKey> caller_ = KeyFromSeed(50).public_key();
  const crypto::SigningKey bob_ = KeyFromSeed(1);
  const crypto::SigningKey alice_ = KeyFromSeed(2);
  const crypto::SigningKey carol_ = KeyFromSeed(3);
};

TEST_F(RedeemTest, CountsForEveryBlockThatCounts) {
  const std::string alices = Issue(3);
  const std::string carols = Delegate(alices, 1);
  EXPECT_EQ(Redeem(carols, Id(1))->remaining(), 0U);
  EXPECT_EQ(ReasonOf(Redeem(carols, Id(2)).status()), reason::kUsedUp);
  EXPECT_EQ(Redeem(alices, Id(1))->remaining(), 1U);
  EXPECT_EQ(Redeem(alices, Id(2))->remaining(), 0U);
  EXPECT_EQ(ReasonOf(Redeem(alices, Id(3)).status()), reason::kUsedUp);
  // All of Alice's are used up, and with them what she hands on.
  EXPECT_EQ(ReasonOf(Redeem(Delegate(alices, 2), Id(4)).status()), reason::kUsedUp);
  EXPECT_TRUE(Redeem(alices, Id(2))->already_redeemed());
}

TEST_F(RedeemTest, RefusesWhatHasNothingToCount) {
  EXPECT_EQ(ReasonOf(Redeem(Issue(0), Id(1)).status()), reason::kBadToken);
  EXPECT_EQ(ReasonOf(Redeem(Issue(1), "short").status()), reason::kBadToken);
  EXPECT_EQ(ReasonOf(Redeem(Issue(1), std::string(65, 'x')).status()), reason::kBadToken);
  std::string broken = Issue(1);
  broken.back() = static_cast<char>(broken.back() ^ 1);
  EXPECT_EQ(ReasonOf(Redeem(broken, Id(1)).status()), reason::kBadSignature);
  const std::string ended = Issue(1);
  identity_.clock.Advance(absl::Hours(2));
  EXPECT_EQ(ReasonOf(Redeem(ended, Id(1)).status()), reason::kStale);
}

TEST_F(RedeemTest, OnlyANodeThatProvesItsKeyRedeems) {
  const std::string token = Issue(1);
  caller_ = ErrorWithReason(absl::StatusCode::kUnauthenticated, reason::kNotAuthenticated, "no certificate");
  EXPECT_EQ(ReasonOf(Redeem(token, Id(0)).status()), reason::kNotAuthenticated);
  const crypto::SigningKey stolen = KeyFromSeed(51);
  caller_ = stolen.public_key();
  ASSERT_TRUE(identity_.Revoke(identity_.StatementOf(stolen)).ok());
  EXPECT_EQ(ReasonOf(Redeem(token, Id(0)).status()), reason::kKeyRevoked);
  // Nothing was taken.
  caller_ = KeyFromSeed(50).public_key();
  EXPECT_TRUE(Redeem(token, Id(0)).ok());
}

TEST_F(RedeemTest, WhereGatewaysAreNamedNobodyElseRedeems) {
  TestIdentity named(/*registrar=*/false, {KeyFromSeed(50).public_key()});
  const std::string token = Issue(1);
  v1::RedeemRequest request;
  request.set_token(token);
  request.set_redemption_id(Id(0));
  absl::Status refused;
  named.handler.Redeem(KeyFromSeed(52).public_key(), request, [&](const auto& answer) { refused = answer.status(); });
  EXPECT_TRUE(absl::IsPermissionDenied(refused));
  EXPECT_EQ(ReasonOf(refused), reason::kKeyMismatch);
  const auto answer = std::make_shared<std::promise<absl::Status>>();
  named.handler.Redeem(KeyFromSeed(50).public_key(), request,
                       [answer](const auto& response) { answer->set_value(response.status()); });
  EXPECT_EQ(answer->get_future().get(), absl::OkStatus());
}

TEST_F(RedeemTest, RefusesWhatIsRevoked) {
  const std::string alices = Issue(9);
  const std::string carols = Delegate(alices, 9);
  ASSERT_TRUE(Redeem(carols, Id(1)).ok());
  ASSERT_TRUE(Revoke(capability::VerifyToken(carols)->last().id, alice_).ok());
  EXPECT_EQ(ReasonOf(Redeem(carols, Id(2)).status()), reason::kTokenRevoked);
  EXPECT_TRUE(Redeem(alices, Id(2)).ok());
  v1::RevokeRequest key;
  key.set_statement(identity::SignRevocation(alice_, "", identity_.clock.Now()).value());
  ASSERT_TRUE(identity_.handler.Revoke(kCaller, key).ok());
  EXPECT_EQ(ReasonOf(Redeem(alices, Id(3)).status()), reason::kKeyRevoked);
}

TEST_F(RedeemTest, WatchersSeeRevokedBlocksAmongKeys) {
  int woken = 0;
  identity_.handler.Watch([&woken] { ++woken; });
  const std::string block(32, 'b');
  EXPECT_EQ(Revoke(block, bob_)->sequence(), 1U);
  v1::RevokeRequest key;
  key.set_statement(identity::SignRevocation(alice_, "", identity_.clock.Now()).value());
  EXPECT_EQ(identity_.handler.Revoke(kCaller, key)->sequence(), 2U);
  EXPECT_EQ(Revoke(block, bob_)->sequence(), 1U) << "known";
  EXPECT_EQ(Revoke(block, carol_)->sequence(), 3U) << "by another signer";
  EXPECT_EQ(woken, 3);
  for (uint64_t sequence = 1; sequence <= 3; ++sequence) {
    const auto entry = identity_.handler.NextAfter(sequence - 1);
    ASSERT_TRUE(entry.ok() && entry->has_value()) << entry.status();
    EXPECT_EQ((*entry)->sequence, sequence);
    EXPECT_EQ((*entry)->of_token, sequence != 2);
  }
  EXPECT_FALSE(identity_.handler.NextAfter(3)->has_value());
  v1::GetKeyStatusRequest status;
  status.set_public_key(std::string(alice_.public_key().bytes()));
  EXPECT_TRUE(identity_.handler.GetKeyStatus(status)->revoked());
}

TEST_F(RedeemTest, RefusesWhatIsNoRevocation) {
  v1::RevokeTokenRequest request;
  request.set_statement(identity::SignRevocation(bob_, "", identity_.clock.Now()).value());
  EXPECT_EQ(ReasonOf(identity_.handler.RevokeToken(kCaller, request).status()), reason::kBadSignature);
  request.set_statement("x");
  EXPECT_EQ(ReasonOf(identity_.handler.RevokeToken(kCaller, request).status()), reason::kBadStatement);
}

// Identity after a restart on the same data, whose clock may say something else.
class RestartedIdentity {
 public:
  explicit RestartedIdentity(TestIdentity& before, absl::Time now)
      : clock_(now),
        handler_(before.key, before.certificate, identity::Issuer::Create(before.key, {}, before.clock.Now()).value(),
                 RevocationLog::Open(before.store.get()).value(), CertificateLog::Open(before.store.get()).value(),
                 before.names, std::nullopt, *before.uses, clock_, before.random, metrics_,
                 [](const std::function<void()>& work) { work(); }) {}

  absl::Status Load() { return handler_.Load(); }
  // Why the token is not redeemed.
  std::string Refusal(const std::string& token) {
    v1::RedeemRequest request;
    request.set_token(token);
    request.set_redemption_id(std::string(16, 'x'));
    std::string why;
    handler_.Redeem(KeyFromSeed(50).public_key(), request,
                    [&why](const absl::StatusOr<v1::RedeemResponse>& response) { why = ReasonOf(response.status()); });
    return why;
  }

 private:
  SimulatedClock clock_;
  telemetry::Metrics metrics_;
  Handler handler_;
};

TEST_F(RedeemTest, ARestartForgetsNoRevocation) {
  const std::string token = Issue(9);
  ASSERT_TRUE(Revoke(capability::VerifyToken(token)->last().id, bob_).ok());
  RestartedIdentity again(identity_, identity_.clock.Now());
  ASSERT_EQ(again.Load(), absl::OkStatus());
  EXPECT_EQ(again.Refusal(token), reason::kTokenRevoked);
}

TEST_F(RedeemTest, ARestartWithAClockThatWasSetBackForgetsNoRevocation) {
  capability::TokenGrant grant = To(alice_, 9);
  grant.not_before -= absl::Hours(2);
  const std::string token = capability::IssueToken(bob_, grant, identity_.random.Bytes(16)).value();
  ASSERT_TRUE(Revoke(capability::VerifyToken(token)->last().id, bob_).ok());
  RestartedIdentity again(identity_, identity_.clock.Now() - absl::Hours(1));
  ASSERT_EQ(again.Load(), absl::OkStatus());
  EXPECT_EQ(again.Refusal(token), reason::kTokenRevoked);
}

TEST_F(RedeemTest, DoesNotStartWithoutARevocationThatItHad) {
  ASSERT_TRUE(Revoke(std::string(32, 'b'), bob_).ok());
  const std::string row = "token-log/00000000000000000001";
  std::string statement = identity_.store->Get(row).value();
  statement.back() = static_cast<char>(statement.back() ^ 1);
  ASSERT_TRUE(identity_.store->Put(row, statement, storage::Durability::kSync).ok());
  const absl::Status damaged = RestartedIdentity(identity_, identity_.clock.Now()).Load();
  EXPECT_TRUE(absl::IsDataLoss(damaged)) << damaged;
  EXPECT_EQ(ReasonOf(damaged), reason::kStorage);
  storage::Batch drop;
  drop.Delete(row);
  ASSERT_TRUE(identity_.store->Write(drop, storage::Durability::kSync).ok());
  EXPECT_FALSE(RestartedIdentity(identity_, identity_.clock.Now()).Load().ok());
}

}  // namespace
}  // namespace dotagent::identity_service
