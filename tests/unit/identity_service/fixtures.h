// An identity service's logic without its network.
#ifndef DOTAGENT_TESTS_UNIT_IDENTITY_SERVICE_FIXTURES_H_
#define DOTAGENT_TESTS_UNIT_IDENTITY_SERVICE_FIXTURES_H_

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/crypto/keys.h"
#include "common/identity/certificate_request.h"
#include "common/identity/challenge.h"
#include "common/identity/revocation.h"
#include "common/storage/store.h"
#include "common/telemetry/metrics.h"
#include "services/identity/handler.h"

namespace dotagent::identity_service {

inline crypto::SigningKey KeyFromSeed(uint64_t seed) {
  SeededRandom random(seed);
  return crypto::SigningKey::Generate(random);
}

// Answers at once, or when told to.
class FakeNames : public NameDirectory {
 public:
  void KeyOf(const std::string& name, Callback<crypto::PublicKey> done) override {
    ++asked;
    answer_ = [this, name, done = std::move(done)] {
      if (!failure.ok()) return done(failure);
      const auto found = holders.find(name);
      if (found != holders.end()) return done(found->second);
      done(ErrorWithReason(absl::StatusCode::kNotFound, reason::kNameNotFound, name));
    };
    if (!held_back) Answer();
  }
  void Answer() { Take()(); }
  using Answers = std::vector<std::function<void()>>;
  // What was held back, to be given later.
  std::function<void()> Take() { return std::exchange(answer_, nullptr); }

  std::map<std::string, crypto::PublicKey> holders;
  absl::Status failure;
  bool held_back = false;
  int asked = 0;

 private:
  std::function<void()> answer_;
};

inline constexpr char kCaller[] = "192.0.2.1";  // whom limits by address count the tests' calls as

// A handler and all that it stands on.
struct TestIdentity {
  explicit TestIdentity(bool registrar = false, absl::flat_hash_set<crypto::PublicKey> named = {},
                        const StrangerLimits& limits = {})
      : book(registrar ? std::optional<NameBook>(NameBook::Open(store.get(), clock.Now()).value()) : std::nullopt),
        redeemers(std::move(named)),
        strangers(limits) {}

  const SystemClock system_clock{};
  SimulatedClock clock{system_clock.Now()};
  SeededRandom random{1};
  crypto::SigningKey key = KeyFromSeed(100);
  identity::NodeCertificate certificate = identity::MakeNodeCertificate(key, {}, clock.Now()).value();
  std::unique_ptr<storage::Store> store = storage::NewMemoryStore();
  telemetry::Metrics metrics;
  FakeNames names;
  std::optional<NameBook> book;  // of a registrar
  absl::flat_hash_set<crypto::PublicKey> redeemers;
  StrangerLimits strangers;
  std::unique_ptr<UseLedger> uses = UseLedger::Open(store.get(), clock).value();
  Handler handler{key,
                  certificate,
                  identity::Issuer::Create(key, {}, clock.Now()).value(),
                  RevocationLog::Open(store.get()).value(),
                  CertificateLog::Open(store.get()).value(),
                  names,
                  std::move(book),
                  *uses,
                  clock,
                  random,
                  metrics,
                  [](const std::function<void()>& work) { work(); },
                  redeemers,
                  strangers};

  [[nodiscard]] absl::StatusOr<identity::v1::RevokeResponse> Revoke(const std::string& statement,
                                                                    const std::string& rotation_chain = "",
                                                                    const std::string& address = kCaller) {
    identity::v1::RevokeRequest request;
    request.set_statement(statement);
    request.set_rotation_chain(rotation_chain);
    return handler.Revoke(address, request);
  }
  [[nodiscard]] std::string StatementOf(const crypto::Signer& signer) {
    return identity::SignRevocation(signer, "stolen", clock.Now()).value();
  }

  // A request for a certificate, with a challenge for `of` that was answered.
  [[nodiscard]] identity::v1::IssueCertificateRequest Prove(const crypto::SigningKey& of, const std::string& name) {
    identity::v1::ChallengeRequest ask;
    ask.set_public_key(std::string(of.public_key().bytes()));
    ask.set_client_nonce(random.Bytes(32));
    const auto challenge = handler.Challenge(ask);
    EXPECT_TRUE(challenge.ok()) << challenge.status();
    EXPECT_EQ(challenge->server_key(), key.public_key().bytes());
    const auto signature = identity::AnswerChallenge({.purpose = "certificate",
                                                      .client_nonce = ask.client_nonce(),
                                                      .server_nonce = challenge->server_nonce(),
                                                      .client_key = of.public_key(),
                                                      .server_key = key.public_key(),
                                                      .channel_binding = certificate.sha256},
                                                     challenge->server_signature(), of);
    EXPECT_TRUE(signature.ok()) << signature.status();
    identity::v1::IssueCertificateRequest request;
    request.set_challenge_id(challenge->challenge_id());
    request.set_signature(*signature);
    request.set_csr_der(identity::MakeCertificateRequest(of, name).value());
    request.set_name(name);
    return request;
  }
  [[nodiscard]] absl::StatusOr<identity::v1::IssueCertificateResponse> Issue(
      const identity::v1::IssueCertificateRequest& request) {
    std::optional<absl::StatusOr<identity::v1::IssueCertificateResponse>> answer;
    handler.IssueCertificate(request, [&](absl::StatusOr<identity::v1::IssueCertificateResponse> response) {
      EXPECT_FALSE(answer.has_value()) << "answered twice";
      answer = std::move(response);
    });
    return answer.has_value() ? *std::move(answer) : absl::UnknownError("no answer");
  }
};

}  // namespace dotagent::identity_service

#endif  // DOTAGENT_TESTS_UNIT_IDENTITY_SERVICE_FIXTURES_H_
