#include "common/identity/revocation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "dotagent/identity/v1/statements.pb.h"

namespace dotagent::identity {
namespace {

class RevocationTest : public testing::Test {
 protected:
  std::string Sign(absl::string_view reason = "stolen") const { return SignRevocation(key_, reason, now_).value(); }

  // A statement around `payload`, signed as a revocation by `key`.
  static std::string Wrap(const std::string& payload, const crypto::SigningKey& key,
                          absl::string_view context = absl::string_view("dotagent revocation v1\0", 23)) {
    v1::SignedStatement statement;
    statement.set_payload(payload);
    statement.set_public_key(std::string(key.public_key().bytes()));
    statement.set_signature(key.Sign(absl::StrCat(context, payload)).value());
    return statement.SerializeAsString();
  }

  v1::Revocation Payload() const {
    v1::SignedStatement statement;
    EXPECT_TRUE(statement.ParseFromString(Sign()));
    v1::Revocation revocation;
    EXPECT_TRUE(revocation.ParseFromString(statement.payload()));
    return revocation;
  }

  std::string ReasonFor(const std::string& statement) const {
    return ReasonOf(VerifyRevocation(statement, now_).status());
  }

  SeededRandom random_{1};
  const crypto::SigningKey key_ = crypto::SigningKey::Generate(random_);
  const crypto::SigningKey other_ = crypto::SigningKey::Generate(random_);
  const absl::Time now_ = absl::FromUnixMillis(1800000000123);
};

TEST_F(RevocationTest, RoundTrips) {
  const absl::StatusOr<Revocation> revocation = VerifyRevocation(Sign("gestohlen – schnell"), now_);
  ASSERT_TRUE(revocation.ok()) << revocation.status();
  EXPECT_EQ(revocation->public_key, key_.public_key());
  EXPECT_EQ(revocation->agent_id, AgentId::FromFirstKey(key_.public_key()));
  EXPECT_EQ(revocation->reason, "gestohlen – schnell");
  EXPECT_EQ(revocation->revoked_at, now_);
  EXPECT_TRUE(VerifyRevocation(Sign(""), now_).ok());
}

TEST_F(RevocationTest, IsFinal) { EXPECT_TRUE(VerifyRevocation(Sign(), now_ + absl::Hours(24 * 365 * 50)).ok()); }

TEST_F(RevocationTest, RefusesEveryChangeOfOneBit) {
  const std::string good = Sign();
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string altered = good;
    altered[bit / 8] = static_cast<char>(altered[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_FALSE(VerifyRevocation(altered, now_).ok()) << bit;
  }
}

TEST_F(RevocationTest, RefusesCutAndExtendedStatements) {
  const std::string good = Sign();
  for (size_t size = 0; size < good.size(); ++size) {
    EXPECT_FALSE(VerifyRevocation(good.substr(0, size), now_).ok()) << size;
  }
  // An unknown field, and a second copy of the first: valid protobuf, but a second form of the same statement.
  EXPECT_EQ(ReasonFor(good + "\x20\x01"), reason::kBadStatement);
  EXPECT_EQ(ReasonFor(good + good), reason::kBadStatement);
}

TEST_F(RevocationTest, RefusesTheOversizedBeforeParsing) {
  EXPECT_EQ(ReasonFor(std::string(kMaxRevocationSize + 1, '\x0a')), reason::kBadStatement);
  EXPECT_LE(Sign(std::string(256, 'r')).size(), kMaxRevocationSize);
  v1::Revocation payload = Payload();
  payload.set_reason(std::string(257, 'r'));
  EXPECT_EQ(ReasonFor(Wrap(payload.SerializeAsString(), key_)), reason::kBadStatement);
}

TEST_F(RevocationTest, RefusesAForgedOne) {
  // Mallory revokes Alice's key with his own signature.
  EXPECT_EQ(ReasonFor(Wrap(Payload().SerializeAsString(), other_)), reason::kBadStatement);
  // Mallory signs, and writes Alice's key as the signer's.
  v1::SignedStatement statement;
  ASSERT_TRUE(statement.ParseFromString(Wrap(Payload().SerializeAsString(), other_)));
  statement.set_public_key(std::string(key_.public_key().bytes()));
  EXPECT_EQ(ReasonFor(statement.SerializeAsString()), reason::kBadSignature);
  // A signature of Alice's over the same bytes for another purpose.
  EXPECT_EQ(ReasonFor(Wrap(Payload().SerializeAsString(), key_, "")), reason::kBadSignature);
  EXPECT_EQ(ReasonFor(Wrap(Payload().SerializeAsString(), key_, "dotagent revocation v2")), reason::kBadSignature);
}

TEST_F(RevocationTest, RefusesWrongFieldsInASignedPayload) {
  v1::Revocation payload = Payload();
  payload.set_agent_id(std::string(AgentId::FromFirstKey(other_.public_key()).bytes()));
  EXPECT_EQ(ReasonFor(Wrap(payload.SerializeAsString(), key_)), reason::kBadStatement);
  payload = Payload();
  payload.clear_agent_id();
  EXPECT_EQ(ReasonFor(Wrap(payload.SerializeAsString(), key_)), reason::kBadStatement);
  EXPECT_EQ(ReasonFor(Wrap(Payload().SerializeAsString() + "\x28\x01", key_)), reason::kBadStatement);
  EXPECT_EQ(ReasonFor(Wrap("", key_)), reason::kBadStatement);
  EXPECT_EQ(ReasonFor(Wrap("garbage", key_)), reason::kBadStatement);
}

TEST_F(RevocationTest, RefusesOneFromTheFuture) {
  const std::string statement = Sign();
  EXPECT_TRUE(VerifyRevocation(statement, now_ - absl::Minutes(5)).ok());
  EXPECT_EQ(ReasonOf(VerifyRevocation(statement, now_ - absl::Minutes(5) - absl::Milliseconds(1)).status()),
            reason::kBadStatement);
  for (const int64_t when : {int64_t{0}, int64_t{-1}, INT64_MAX, INT64_MIN}) {
    v1::Revocation payload = Payload();
    payload.set_revoked_at_ms(when);
    EXPECT_EQ(ReasonFor(Wrap(payload.SerializeAsString(), key_)), reason::kBadStatement) << when;
  }
}

TEST_F(RevocationTest, RefusesASignerKeyThatIsNoKey) {
  v1::SignedStatement statement;
  ASSERT_TRUE(statement.ParseFromString(Sign()));
  for (const std::string& key : {std::string(), std::string(32, '\0'), std::string(31, 'k')}) {
    statement.set_public_key(key);
    EXPECT_EQ(ReasonFor(statement.SerializeAsString()), reason::kBadStatement);
  }
}

TEST_F(RevocationTest, SigningRefusesABadReason) {
  EXPECT_EQ(ReasonOf(SignRevocation(key_, std::string(257, 'r'), now_).status()), reason::kBadStatement);
  EXPECT_EQ(ReasonOf(SignRevocation(key_, "\xff", now_).status()), reason::kBadStatement);
}

// An identity that has rotated once, from key_ to second_, and has committed to third_.
class RevocationEvidenceTest : public RevocationTest {
 protected:
  RevocationEvidenceTest() {
    std::vector<std::string> statements = {MakeInception(key_, second_.public_key(), now_).value()};
    inception_ = VerifyRotationChain(statements, now_).value();
    statements.push_back(MakeRotation(inception_, key_, second_, third_.public_key(), now_).value());
    chain_ = VerifyRotationChain(statements, now_).value();
  }

  std::string Revoke(const crypto::SigningKey& signer, const crypto::SigningKey& revoked) const {
    return SignRevocationOf(signer, chain_.agent, revoked.public_key(), "lost", now_).value();
  }
  bool Accepted(const std::string& statement, const RevocationEvidence& evidence, RevokedBy by) const {
    const auto revocation = VerifyRevocation(statement, now_, evidence);
    if (!revocation.ok()) {
      EXPECT_EQ(ReasonOf(revocation.status()), reason::kBadStatement);
      return false;
    }
    return revocation->by == by && revocation->agent_id == chain_.agent;
  }

  const crypto::SigningKey second_ = crypto::SigningKey::Generate(random_);
  const crypto::SigningKey third_ = crypto::SigningKey::Generate(random_);
  const std::vector<crypto::PublicKey> registrars_ = {third_.public_key(), other_.public_key()};
  RotationChain inception_;
  RotationChain chain_;
};

TEST_F(RevocationEvidenceTest, ALaterKeyOfAnIdentityRevokesItself) {
  EXPECT_TRUE(Accepted(Revoke(second_, second_), {.chain = &chain_}, RevokedBy::kItself));
  EXPECT_EQ(VerifyRevocation(Revoke(second_, second_), now_, {.chain = &chain_})->public_key, second_.public_key());
  // Nobody can put a revocation of his own key into another identity's place.
  EXPECT_FALSE(Accepted(Revoke(second_, second_), {}, RevokedBy::kItself));
  EXPECT_FALSE(Accepted(Revoke(second_, second_), {.chain = &inception_}, RevokedBy::kItself));
  EXPECT_FALSE(Accepted(Revoke(other_, other_), {.chain = &chain_}, RevokedBy::kItself));
}

TEST_F(RevocationEvidenceTest, TheSuccessorRevokesBeforeAndAfterItTookOver) {
  EXPECT_TRUE(Accepted(Revoke(second_, key_), {.chain = &inception_}, RevokedBy::kSuccessor));
  EXPECT_TRUE(Accepted(Revoke(second_, key_), {.chain = &chain_}, RevokedBy::kSuccessor));
  EXPECT_TRUE(Accepted(Revoke(third_, second_), {.chain = &chain_}, RevokedBy::kSuccessor));
  const auto revocation = VerifyRevocation(Revoke(third_, second_), now_, {.chain = &chain_});
  EXPECT_EQ(revocation->signer, third_.public_key());
  EXPECT_EQ(revocation->public_key, second_.public_key());

  EXPECT_FALSE(Accepted(Revoke(second_, key_), {}, RevokedBy::kSuccessor));
  EXPECT_FALSE(Accepted(Revoke(third_, key_), {.chain = &chain_}, RevokedBy::kSuccessor));
  EXPECT_FALSE(Accepted(Revoke(key_, second_), {.chain = &chain_}, RevokedBy::kSuccessor));
  EXPECT_FALSE(Accepted(Revoke(other_, key_), {.chain = &chain_}, RevokedBy::kSuccessor));
}

TEST_F(RevocationEvidenceTest, TheEvidenceTravelsBesideTheStatement) {
  std::vector<std::string> statements = {MakeInception(key_, second_.public_key(), now_).value()};
  statements.push_back(MakeRotation(inception_, key_, second_, third_.public_key(), now_).value());
  const std::string bytes = EncodeRotationChain(statements);
  const auto revocation = VerifyRevocationWith(Revoke(third_, second_), bytes, now_);
  ASSERT_TRUE(revocation.ok()) << revocation.status();
  EXPECT_EQ(revocation->by, RevokedBy::kSuccessor);
  EXPECT_TRUE(VerifyRevocationWith(Sign(), "", now_).ok());
  EXPECT_EQ(ReasonOf(VerifyRevocationWith(Sign(), bytes, now_).status()), reason::kBadStatement) << "not needed";
  EXPECT_EQ(ReasonOf(VerifyRevocationWith(Revoke(third_, second_), "", now_).status()), reason::kBadStatement);
  EXPECT_EQ(ReasonOf(VerifyRevocationWith(Revoke(third_, second_), bytes.substr(1), now_).status()),
            reason::kBadStatement);
}

TEST_F(RevocationEvidenceTest, AnotherIdentitysChainEntitlesNobody) {
  const std::vector<std::string> statements = {MakeInception(other_, second_.public_key(), now_).value()};
  const RotationChain others = VerifyRotationChain(statements, now_).value();
  EXPECT_FALSE(Accepted(Revoke(second_, key_), {.chain = &others}, RevokedBy::kSuccessor));
  EXPECT_FALSE(Accepted(Revoke(other_, other_), {.chain = &others}, RevokedBy::kItself));
}

TEST_F(RevocationEvidenceTest, ARegistrarSendsAChainOnlyWhereItIsNeeded) {
  std::vector<std::string> statements = {MakeInception(key_, second_.public_key(), now_).value()};
  statements.push_back(MakeRotation(inception_, key_, second_, third_.public_key(), now_).value());
  const std::string chain = EncodeRotationChain(statements);
  const auto verify = [&](const std::string& statement, const std::string& evidence) {
    return VerifyRevocationWith(statement, evidence, now_, registrars_).status();
  };
  EXPECT_EQ(verify(Revoke(other_, key_), ""), absl::OkStatus());
  EXPECT_EQ(verify(Revoke(other_, second_), chain), absl::OkStatus());
  EXPECT_EQ(ReasonOf(verify(Revoke(other_, key_), chain)), reason::kBadStatement);
}

TEST_F(RevocationEvidenceTest, ARegistrarRevokesIfTheReaderTrustsIt) {
  EXPECT_TRUE(Accepted(Revoke(other_, key_), {.registrars = registrars_}, RevokedBy::kRegistrar));
  EXPECT_TRUE(Accepted(Revoke(other_, second_), {.chain = &chain_, .registrars = registrars_}, RevokedBy::kRegistrar));
  EXPECT_FALSE(Accepted(Revoke(other_, key_), {}, RevokedBy::kRegistrar));
  EXPECT_FALSE(Accepted(Revoke(second_, key_), {.registrars = registrars_}, RevokedBy::kRegistrar));
  // Whose key it is must be known, too.
  EXPECT_FALSE(Accepted(Revoke(other_, second_), {.registrars = registrars_}, RevokedBy::kRegistrar));
}

TEST_F(RevocationTest, RefusesASecondSignature) {
  v1::SignedStatement statement;
  ASSERT_TRUE(statement.ParseFromString(Sign()));
  statement.set_successor_signature(std::string(64, 's'));
  EXPECT_EQ(ReasonFor(statement.SerializeAsString()), reason::kBadStatement);
}

TEST_F(RevocationTest, ItsDhtKeyDependsOnTheIdentity) {
  // SHA-256("revocation:" and 32 zero bytes), by sha256sum.
  EXPECT_EQ(HexEncode(RevocationKey(AgentId())), "696b37a768f3e646c40d9d795137a1dbffa0283be5a382bd3f306bafbadc920c");
}

}  // namespace
}  // namespace dotagent::identity
