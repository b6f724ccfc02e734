#include "services/identity/handler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>

#include <optional>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/identity/agent_id.h"
#include "common/identity/certificate_request.h"
#include "common/identity/name_certificate.h"
#include "common/identity/rotation.h"
#include "tests/unit/identity_service/fixtures.h"

namespace dotagent::identity_service {
namespace {

namespace v1 = ::dotagent::identity::v1;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class HandlerTest : public testing::Test {
 protected:
  explicit HandlerTest(bool registrar = false) : identity_(registrar) {
    identity_.names.holders["bob.agent"] = bob_.public_key();
  }

  v1::IssueCertificateRequest Prove(const crypto::SigningKey& key, const std::string& name) {
    return identity_.Prove(key, name);
  }
  absl::StatusOr<v1::IssueCertificateResponse> Issue(const v1::IssueCertificateRequest& request) {
    return identity_.Issue(request);
  }

  TestIdentity identity_;
  const crypto::SigningKey bob_ = KeyFromSeed(1);
  const crypto::SigningKey mallory_ = KeyFromSeed(2);
};

// The certificate verifies against the trust bundle, by OpenSSL's rules.
void ExpectChain(const std::string& leaf_der, const std::string& bundle_pem, absl::Time now) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(leaf_der.data());
  X509* leaf = d2i_X509(nullptr, &bytes, static_cast<long>(leaf_der.size()));
  ASSERT_NE(leaf, nullptr);
  BIO* pem = BIO_new_mem_buf(bundle_pem.data(), static_cast<int>(bundle_pem.size()));
  X509* root = PEM_read_bio_X509(pem, nullptr, nullptr, nullptr);
  ASSERT_NE(root, nullptr);
  X509_STORE* trusted = X509_STORE_new();
  X509_STORE_add_cert(trusted, root);
  X509_STORE_CTX* check = X509_STORE_CTX_new();
  X509_STORE_CTX_init(check, trusted, leaf, nullptr);
  X509_STORE_CTX_set_time(check, 0, absl::ToTimeT(now));
  EXPECT_EQ(X509_verify_cert(check), 1) << X509_verify_cert_error_string(X509_STORE_CTX_get_error(check));
  X509_STORE_CTX_free(check);
  X509_STORE_free(trusted);
  X509_free(root);
  BIO_free(pem);
  X509_free(leaf);
}

TEST_F(HandlerTest, TheHolderOfANameGetsACertificate) {
  const auto issued = Issue(Prove(bob_, "bob.agent"));
  ASSERT_TRUE(issued.ok()) << issued.status();
  ExpectChain(issued->certificate_der(), identity_.handler.GetTrustBundle().bundle_pem(), identity_.clock.Now());
  EXPECT_THAT(identity_.metrics.Render(), HasSubstr("dotagent_identity_certificates_total{result=\"issued\"} 1"));

  // The one for the name is what readers of records verify.
  const std::vector<crypto::PublicKey> registrars = {identity_.key.public_key()};
  ExpectChain(issued->name_certificate_der(), identity_.handler.GetTrustBundle().bundle_pem(), identity_.clock.Now());
  const auto name = identity::VerifyNameCertificate(issued->name_certificate_der(), registrars, identity_.clock.Now());
  ASSERT_TRUE(name.ok()) << name.status();
  EXPECT_EQ(name->name, "bob.agent");
  EXPECT_EQ(name->key, bob_.public_key());
  EXPECT_EQ(name->agent, identity::AgentId::FromFirstKey(bob_.public_key()));

  // Another one has another serial number, and so other bytes.
  const auto again = Issue(Prove(bob_, "bob.agent"));
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_NE(again->certificate_der(), issued->certificate_der());
  EXPECT_EQ(again->issuer_der(), issued->issuer_der());
}

TEST_F(HandlerTest, AnotherThanTheHolderIsRefused) {
  const auto refused = Issue(Prove(mallory_, "bob.agent"));
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(ReasonOf(refused.status()), reason::kKeyMismatch);
  EXPECT_THAT(identity_.metrics.Render(), HasSubstr("dotagent_identity_certificates_total{result=\"refused\"} 1"));
}

TEST_F(HandlerTest, ARequestForAnotherKeyThanTheOneProvedIsRefused) {
  v1::IssueCertificateRequest request = Prove(bob_, "bob.agent");
  request.set_csr_der(identity::MakeCertificateRequest(mallory_, "bob.agent").value());
  EXPECT_EQ(ReasonOf(Issue(request).status()), reason::kKeyMismatch);
}

TEST_F(HandlerTest, ABadProofIsRefusedBeforeAnyoneIsAsked) {
  v1::IssueCertificateRequest forged = Prove(bob_, "bob.agent");
  forged.mutable_signature()->front() ^= 1;
  const auto refused = Issue(forged);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kUnauthenticated);
  EXPECT_EQ(ReasonOf(refused.status()), reason::kBadSignature);

  const v1::IssueCertificateRequest once = Prove(bob_, "bob.agent");
  ASSERT_TRUE(Issue(once).ok());
  EXPECT_EQ(ReasonOf(Issue(once).status()), reason::kNotAuthenticated) << "a replay";

  const v1::IssueCertificateRequest late = Prove(bob_, "bob.agent");
  identity_.clock.Advance(absl::Seconds(61));
  EXPECT_EQ(ReasonOf(Issue(late).status()), reason::kNotAuthenticated);
  EXPECT_EQ(identity_.names.asked, 1);
}

TEST_F(HandlerTest, AChallengeNeedsAKeyAndANonce) {
  v1::ChallengeRequest ask;
  ask.set_public_key("short");
  EXPECT_EQ(ReasonOf(identity_.handler.Challenge(ask).status()), reason::kBadKey);
  ask.set_public_key(std::string(bob_.public_key().bytes()));
  ask.set_client_nonce("short");
  EXPECT_EQ(identity_.handler.Challenge(ask).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(HandlerTest, WithoutAnAnswerOnTheNameThereIsNoCertificate) {
  identity_.names.failure = absl::UnavailableError("the resolver is away");
  const auto refused = Issue(Prove(bob_, "bob.agent"));
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(refused.status().message(), HasSubstr("bob.agent"));

  EXPECT_EQ(ReasonOf(Issue(Prove(bob_, "carol.agent")).status()), "") << "asked before";
  identity_.names.failure = absl::OkStatus();
  EXPECT_EQ(ReasonOf(Issue(Prove(bob_, "carol.agent")).status()), reason::kNameNotFound);
}

TEST_F(HandlerTest, ABadNameIsRefused) {
  v1::IssueCertificateRequest request = Prove(bob_, "bob.agent");
  request.set_name("bob.example");
  EXPECT_EQ(ReasonOf(Issue(request).status()), reason::kBadName);
}

TEST_F(HandlerTest, ARevokedKeyIsRefused) {
  ASSERT_TRUE(identity_.Revoke(identity_.StatementOf(bob_)).ok());
  const auto refused = Issue(Prove(bob_, "bob.agent"));
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(ReasonOf(refused.status()), reason::kKeyRevoked);
}

TEST_F(HandlerTest, AKeyThatIsRevokedWhileItsNameIsLookedUpIsRefused) {
  identity_.names.held_back = true;
  absl::StatusOr<v1::IssueCertificateResponse> answer = absl::UnknownError("no answer");
  identity_.handler.IssueCertificate(Prove(bob_, "bob.agent"), [&](auto response) { answer = std::move(response); });
  ASSERT_TRUE(identity_.Revoke(identity_.StatementOf(bob_)).ok());
  identity_.names.Answer();
  EXPECT_EQ(ReasonOf(answer.status()), reason::kKeyRevoked) << answer.status();
}

TEST_F(HandlerTest, ARevocationIsKeptAndItsKeysStatusTold) {
  const std::string statement = identity_.StatementOf(bob_);
  const auto revoked = identity_.Revoke(statement);
  ASSERT_TRUE(revoked.ok()) << revoked.status();
  EXPECT_EQ(revoked->sequence(), 1U);
  EXPECT_EQ(revoked->recorded_at_ms(), absl::ToUnixMillis(identity_.clock.Now()));

  v1::GetKeyStatusRequest ask;
  ask.set_public_key(std::string(bob_.public_key().bytes()));
  const auto status = identity_.handler.GetKeyStatus(ask);
  ASSERT_TRUE(status.ok()) << status.status();
  EXPECT_TRUE(status->revoked());
  EXPECT_EQ(status->statement(), statement);

  ask.set_public_key(std::string(mallory_.public_key().bytes()));
  EXPECT_FALSE(identity_.handler.GetKeyStatus(ask)->revoked());
  ask.set_public_key("short");
  EXPECT_EQ(ReasonOf(identity_.handler.GetKeyStatus(ask).status()), reason::kBadKey);
}

TEST_F(HandlerTest, OnlyAProperStatementRevokes) {
  std::string forged = identity_.StatementOf(bob_);
  forged.back() = static_cast<char>(forged.back() ^ 1);
  EXPECT_EQ(ReasonOf(identity_.Revoke(forged).status()), reason::kBadSignature);
  EXPECT_EQ(ReasonOf(identity_.Revoke("").status()), reason::kBadStatement);
  EXPECT_FALSE((*identity_.handler.NextAfter(0)).has_value());
}

// Bob, who has rotated from his first key to a second one, and committed to a third.
class RotatedKeyTest : public HandlerTest {
 protected:
  // A chain of Bob's first key that passes to `to`, which commits to `then`.
  std::string ChainOf(const crypto::SigningKey& to, const crypto::SigningKey& then) {
    const absl::Time now = identity_.clock.Now();
    std::vector<std::string> chain = {identity::MakeInception(bob_, to.public_key(), now).value()};
    chain.push_back(
        identity::MakeRotation(identity::VerifyRotationChain(chain, now).value(), bob_, to, then.public_key(), now)
            .value());
    return identity::EncodeRotationChain(chain);
  }
  std::string StatementBy(const crypto::Signer& signer, const crypto::Signer& revoked) {
    return identity::SignRevocationOf(signer, identity::AgentId::FromFirstKey(bob_.public_key()), revoked.public_key(),
                                      "stolen", identity_.clock.Now())
        .value();
  }
  bool IsRevoked(const crypto::Signer& key) {
    v1::GetKeyStatusRequest ask;
    ask.set_public_key(std::string(key.public_key().bytes()));
    return identity_.handler.GetKeyStatus(ask)->revoked();
  }

  const crypto::SigningKey second_ = KeyFromSeed(50);
  const crypto::SigningKey third_ = KeyFromSeed(51);
  const crypto::SigningKey thief_ = KeyFromSeed(52);
  const std::string chain_ = ChainOf(second_, third_);
};

TEST_F(RotatedKeyTest, IdentityRevokesWhatItDoesNotGiveNoMoreThanOthers) {
  EXPECT_EQ(ReasonOf(identity_.Revoke(StatementBy(identity_.key, bob_)).status()), reason::kBadStatement);
}

TEST_F(RotatedKeyTest, ALaterKeyIsRevokedByItsChain) {
  EXPECT_EQ(ReasonOf(identity_.Revoke(StatementBy(second_, second_)).status()), reason::kBadStatement) << "no evidence";
  ASSERT_TRUE(identity_.Revoke(StatementBy(second_, second_), chain_).ok());
  EXPECT_TRUE(IsRevoked(second_));
  EXPECT_FALSE(IsRevoked(bob_)) << "a key dies, not its identity";
  const auto entry = *identity_.handler.NextAfter(0);
  ASSERT_TRUE(entry.has_value());
  EXPECT_EQ(entry->rotation_chain, chain_) << "watchers need it as well";
}

TEST_F(RotatedKeyTest, ARotatedAwayKeyIsRevokedByTheOneThatTookItsPlace) {
  ASSERT_TRUE(identity_.Revoke(StatementBy(second_, bob_), chain_).ok());
  EXPECT_TRUE(IsRevoked(bob_));
  // And the current one by the one that may take its place.
  ASSERT_TRUE(identity_.Revoke(StatementBy(third_, second_), chain_).ok());
  EXPECT_TRUE(IsRevoked(second_));
  EXPECT_EQ(identity_.Revoke(StatementBy(third_, second_), chain_)->sequence(), 2U) << "known already";
}

TEST_F(RotatedKeyTest, ForgedEvidenceRevokesNothing) {
  std::string damaged = chain_;
  damaged.back() = static_cast<char>(damaged.back() ^ 1);
  EXPECT_EQ(ReasonOf(identity_.Revoke(StatementBy(second_, bob_), damaged).status()), reason::kBadSignature);
  EXPECT_EQ(ReasonOf(identity_.Revoke(StatementBy(second_, bob_), "x").status()), reason::kBadStatement);
  EXPECT_EQ(ReasonOf(identity_.Revoke(StatementBy(second_, bob_), std::string(20'000, 'x')).status()),
            reason::kTooLarge);
  // By a key that is no successor, and of keys that are none of Bob's.
  EXPECT_EQ(ReasonOf(identity_.Revoke(StatementBy(third_, bob_), chain_).status()), reason::kBadStatement);
  EXPECT_EQ(ReasonOf(identity_.Revoke(StatementBy(bob_, second_), chain_).status()), reason::kBadStatement);
  EXPECT_EQ(ReasonOf(identity_.Revoke(StatementBy(thief_, thief_), chain_).status()), reason::kBadStatement);
  EXPECT_EQ(ReasonOf(identity_.Revoke(StatementBy(second_, thief_), chain_).status()), reason::kBadStatement);
  // What is not needed is not kept.
  EXPECT_EQ(ReasonOf(identity_.Revoke(identity_.StatementOf(bob_), chain_).status()), reason::kBadStatement);
  EXPECT_FALSE((*identity_.handler.NextAfter(0)).has_value());
}

TEST_F(RotatedKeyTest, AForkHelpsNoThiefOfARetiredKey) {
  // The first key was stolen once it was retired: it signs another history, in which the thief's key comes next.
  const std::string fork = ChainOf(thief_, KeyFromSeed(53));
  for (const crypto::SigningKey* signer : {&thief_, &bob_}) {
    EXPECT_EQ(ReasonOf(identity_.Revoke(StatementBy(*signer, second_), fork).status()), reason::kBadStatement);
    EXPECT_EQ(ReasonOf(identity_.Revoke(StatementBy(*signer, second_), chain_).status()), reason::kBadStatement);
  }
  EXPECT_FALSE(IsRevoked(second_));
}

TEST_F(HandlerTest, WatchersAreWokenByEachNewRevocationOnce) {
  std::vector<uint64_t> seen;
  uint64_t cursor = 0;
  const uint64_t watch = identity_.handler.Watch([&] {
    while (const auto next = *identity_.handler.NextAfter(cursor)) {
      cursor = next->sequence;
      seen.push_back(cursor);
    }
  });
  int other_woken = 0;
  uint64_t other = 0;
  other = identity_.handler.Watch([&] {
    ++other_woken;
    identity_.handler.Unwatch(other);  // as a stream that ends when it is woken
  });

  ASSERT_TRUE(identity_.Revoke(identity_.StatementOf(bob_)).ok());
  EXPECT_THAT(seen, ElementsAre(1));
  identity_.clock.Advance(absl::Seconds(1));
  EXPECT_EQ(identity_.Revoke(identity_.StatementOf(bob_))->sequence(), 1U) << "known already";
  EXPECT_THAT(seen, ElementsAre(1));
  ASSERT_TRUE(identity_.Revoke(identity_.StatementOf(mallory_)).ok());
  EXPECT_THAT(seen, ElementsAre(1, 2));
  EXPECT_EQ(other_woken, 1);

  identity_.handler.Unwatch(watch);
  ASSERT_TRUE(identity_.Revoke(identity_.StatementOf(KeyFromSeed(3))).ok());
  EXPECT_THAT(seen, ElementsAre(1, 2));
}

TEST_F(HandlerTest, ARotatedKeyIsCertifiedForTheIdentityThatItContinues) {
  const absl::Time now = identity_.clock.Now();
  const crypto::SigningKey second = KeyFromSeed(11);
  std::vector<std::string> chain = {identity::MakeInception(bob_, second.public_key(), now).value()};
  chain.push_back(identity::MakeRotation(identity::VerifyRotationChain(chain, now).value(), bob_, second,
                                         KeyFromSeed(12).public_key(), now)
                      .value());
  EXPECT_EQ(ReasonOf(Issue(Prove(second, "bob.agent")).status()), reason::kKeyMismatch);
  // The record still holds the first key.
  v1::IssueCertificateRequest request = Prove(second, "bob.agent");
  request.set_rotation_chain(identity::EncodeRotationChain(chain));
  const auto issued = Issue(request);
  ASSERT_TRUE(issued.ok()) << issued.status();
  const std::vector<crypto::PublicKey> registrars = {identity_.key.public_key()};
  const auto name = identity::VerifyNameCertificate(issued->name_certificate_der(), registrars, now);
  ASSERT_TRUE(name.ok()) << name.status();
  EXPECT_EQ(name->agent, identity::AgentId::FromFirstKey(bob_.public_key()));
  EXPECT_EQ(name->key, second.public_key());
  // The old key has no part in the chain's end, and a stranger none at all.
  v1::IssueCertificateRequest old = Prove(bob_, "bob.agent");
  old.set_rotation_chain(request.rotation_chain());
  EXPECT_EQ(ReasonOf(Issue(old).status()), reason::kKeyMismatch);
}

class RegistrarTest : public HandlerTest {
 protected:
  RegistrarTest() : HandlerTest(/*registrar=*/true) {}
};

TEST_F(RegistrarTest, TheFirstWhoAsksForANameGetsItAndNoOneElse) {
  EXPECT_TRUE(Issue(Prove(mallory_, "carol.agent")).ok()) << "nobody had it";
  const auto refused = Issue(Prove(bob_, "carol.agent"));
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(ReasonOf(refused.status()), reason::kNameTaken);
  EXPECT_TRUE(Issue(Prove(mallory_, "carol.agent")).ok()) << "again, before the first one ends";
}

TEST_F(RegistrarTest, ItMayRevokeAnyKeyOfItsNetwork) {
  const auto statement_by = [&](const crypto::Signer& signer) {
    return identity::SignRevocationOf(signer, identity::AgentId::FromFirstKey(bob_.public_key()), bob_.public_key(),
                                      "abuse", identity_.clock.Now())
        .value();
  };
  EXPECT_EQ(ReasonOf(identity_.Revoke(statement_by(mallory_)).status()), reason::kBadStatement);
  ASSERT_TRUE(identity_.Revoke(statement_by(identity_.key)).ok());
  EXPECT_EQ(ReasonOf(Issue(Prove(bob_, "bob.agent")).status()), reason::kKeyRevoked);
}

TEST_F(RegistrarTest, ANameThatAnotherRegistrarGaveAwayIsRefused) {
  const auto refused = Issue(Prove(mallory_, "bob.agent"));
  EXPECT_EQ(ReasonOf(refused.status()), reason::kKeyMismatch);
  EXPECT_TRUE(Issue(Prove(bob_, "bob.agent")).ok());
}

TEST_F(RegistrarTest, WhereTheDhtCannotSayWhetherANameIsFreeItIsNotGiven) {
  identity_.names.failure = ErrorWithReason(absl::StatusCode::kUnavailable, reason::kNotBootstrapped, "alone");
  EXPECT_EQ(ReasonOf(Issue(Prove(mallory_, "carol.agent")).status()), reason::kNotBootstrapped);
  identity_.names.failure = absl::OkStatus();
  ASSERT_TRUE(Issue(Prove(bob_, "carol.agent")).ok());
  identity_.names.failure = ErrorWithReason(absl::StatusCode::kUnavailable, reason::kNotBootstrapped, "alone");
  EXPECT_TRUE(Issue(Prove(bob_, "carol.agent")).ok()) << "the book knows";
}

TEST_F(RegistrarTest, OfTwoWhoAskInOneMomentOneGetsTheName) {
  identity_.names.held_back = true;
  std::vector<absl::Status> outcomes;
  const auto note = [&](const absl::StatusOr<v1::IssueCertificateResponse>& issued) {
    outcomes.push_back(issued.status());
  };
  FakeNames::Answers answers;
  identity_.handler.IssueCertificate(Prove(mallory_, "carol.agent"), note);
  answers.push_back(identity_.names.Take());
  identity_.handler.IssueCertificate(Prove(bob_, "carol.agent"), note);
  answers.push_back(identity_.names.Take());
  for (const auto& answer : answers) answer();
  ASSERT_EQ(outcomes.size(), 2U);
  EXPECT_TRUE(outcomes[0].ok()) << outcomes[0];
  EXPECT_EQ(ReasonOf(outcomes[1]), reason::kNameTaken);
}

}  // namespace
}  // namespace dotagent::identity_service
