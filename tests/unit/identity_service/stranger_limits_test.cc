// Revocations by keys that identity has not certified are limited; those by keys that it has are not.
#include "services/identity/stranger_limits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <optional>
#include <string>

#include "common/abuse/refusal.h"
#include "common/base/retry_after.h"
#include "common/base/status.h"
#include "common/capability/token_revocation.h"
#include "tests/unit/identity_service/fixtures.h"

namespace dotagent::identity_service {
namespace {

namespace v1 = ::dotagent::identity::v1;
using ::testing::HasSubstr;

constexpr StrangerLimits kTwoAtOnce = {.rate = {.per_second = 1, .burst = 2}};
constexpr StrangerLimits kNoRoom = {.max_bytes = 0};

absl::StatusOr<v1::RevokeResponse> Revoke(TestIdentity& identity, uint64_t seed, const std::string& address = kCaller) {
  return identity.Revoke(identity.StatementOf(KeyFromSeed(seed)), "", address);
}

absl::StatusOr<v1::RevokeTokenResponse> RevokeBlock(TestIdentity& identity, const crypto::SigningKey& signer,
                                                    char block, const std::string& address = kCaller) {
  v1::RevokeTokenRequest request;
  request.set_statement(
      capability::SignTokenRevocation(signer, std::string(32, block), "", identity.clock.Now()).value());
  return identity.handler.RevokeToken(address, request);
}

TEST(StrangerLimitsTest, AnAddressHasARateAndOthersHaveTheirs) {
  TestIdentity identity(false, {}, kTwoAtOnce);
  ASSERT_TRUE(Revoke(identity, 1).ok());
  ASSERT_TRUE(RevokeBlock(identity, KeyFromSeed(2), 'a').ok());
  const absl::Status refused = Revoke(identity, 3).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReasonOf(refused), abuse::kRateLimited);
  EXPECT_THAT(refused.message(), HasSubstr("dotagent cert request"));
  EXPECT_EQ(ReasonOf(RevokeBlock(identity, KeyFromSeed(3), 'a').status()), abuse::kRateLimited);
  EXPECT_THAT(identity.metrics.Render(), HasSubstr("dotagent_identity_revocations_refused_total{cause=\"rate\"} 2"));
  EXPECT_TRUE(Revoke(identity, 4, "192.0.2.2").ok());
  // What was refused was not written, and what was written costs nothing more.
  EXPECT_EQ(identity.handler.NextAfter(3)->has_value(), false);
  EXPECT_EQ(Revoke(identity, 1)->sequence(), 1U);
  EXPECT_EQ(RevokeBlock(identity, KeyFromSeed(2), 'a')->sequence(), 2U);
  ASSERT_TRUE(RetryAfterOf(refused).has_value());
  identity.clock.Advance(*RetryAfterOf(refused));
  EXPECT_TRUE(Revoke(identity, 3).ok());
}

TEST(StrangerLimitsTest, TheRoomOfAllIsBoundedAlsoAfterARestart) {
  const uint64_t one = RevocationLog::BytesOf(TestIdentity().StatementOf(KeyFromSeed(1)));
  EXPECT_GT(StrangerLimits().max_bytes / one, 300'000U);
  TestIdentity identity(false, {}, {.rate = {.per_second = 0}, .max_bytes = 2 * one});
  ASSERT_TRUE(Revoke(identity, 1).ok());
  ASSERT_TRUE(Revoke(identity, 2, "192.0.2.2").ok());
  const absl::Status full = Revoke(identity, 3, "192.0.2.3").status();
  EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReasonOf(full), reason::kLimit);
  EXPECT_THAT(full.message(), HasSubstr("--stranger-revocation-bytes"));
  EXPECT_EQ(ReasonOf(RevokeBlock(identity, KeyFromSeed(4), 'a').status()), reason::kLimit);
  EXPECT_THAT(identity.metrics.Render(), HasSubstr("dotagent_identity_revocations_refused_total{cause=\"room\"} 2"));
  EXPECT_EQ(RevocationLog::Open(identity.store.get())->stranger_bytes(), 2 * one);
}

TEST(StrangerLimitsTest, WhoHasACertificateIsNeverKeptOut) {
  TestIdentity identity(false, {}, kNoRoom);
  const crypto::SigningKey bob = KeyFromSeed(1);
  const crypto::SigningKey mallory = KeyFromSeed(2);
  EXPECT_EQ(ReasonOf(identity.Revoke(identity.StatementOf(bob)).status()), reason::kLimit);
  identity.names.holders.insert({"bob.agent", bob.public_key()});
  ASSERT_TRUE(identity.Issue(identity.Prove(bob, "bob.agent")).ok());
  EXPECT_TRUE(RevokeBlock(identity, bob, 'a').ok());
  EXPECT_EQ(ReasonOf(RevokeBlock(identity, mallory, 'a').status()), reason::kLimit);
  EXPECT_TRUE(identity.Revoke(identity.StatementOf(bob)).ok());
  EXPECT_TRUE(RevokeBlock(identity, bob, 'b').ok()) << "a revoked key takes back what it gave";
}

TEST(StrangerLimitsTest, ASuccessorEndsACertifiedKeyThatIsLost) {
  TestIdentity identity(false, {}, kNoRoom);
  const crypto::SigningKey bob = KeyFromSeed(1);
  const crypto::SigningKey second = KeyFromSeed(2);
  const absl::Time now = identity.clock.Now();
  const std::string chain =
      identity::EncodeRotationChain({identity::MakeInception(bob, second.public_key(), now).value()});
  const std::string statement = identity::SignRevocationOf(second, identity::AgentId::FromFirstKey(bob.public_key()),
                                                           bob.public_key(), "lost", now)
                                    .value();
  EXPECT_EQ(ReasonOf(identity.Revoke(statement, chain).status()), reason::kLimit);
  identity.names.holders.insert({"bob.agent", bob.public_key()});
  ASSERT_TRUE(identity.Issue(identity.Prove(bob, "bob.agent")).ok());
  EXPECT_TRUE(identity.Revoke(statement, chain).ok());
}

TEST(StrangerLimitsTest, AGatewayThatIsNamedIsNeverKeptOut) {
  TestIdentity identity(false, {KeyFromSeed(1).public_key()}, kNoRoom);
  EXPECT_TRUE(Revoke(identity, 1).ok());
  EXPECT_EQ(ReasonOf(Revoke(identity, 2).status()), reason::kLimit);
}

TEST(StrangerLimitsTest, ARegistrarsWordIsNeverKeptOut) {
  TestIdentity identity(true, {}, kNoRoom);
  const crypto::SigningKey mallory = KeyFromSeed(1);
  EXPECT_EQ(ReasonOf(identity.Revoke(identity.StatementOf(mallory)).status()), reason::kLimit);
  EXPECT_TRUE(
      identity
          .Revoke(identity::SignRevocationOf(identity.key, identity::AgentId::FromFirstKey(mallory.public_key()),
                                             mallory.public_key(), "abuse", identity.clock.Now())
                      .value())
          .ok());
}

}  // namespace
}  // namespace dotagent::identity_service
