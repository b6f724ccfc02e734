// An identity service's logic without its network.
#ifndef DOTAGENT_TESTS_UNIT_IDENTITY_SERVICE_FIXTURES_H_
#define DOTAGENT_TESTS_UNIT_IDENTITY_SERVICE_FIXTURES_H_

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

// A handler and all that it stands on.
struct TestIdentity {
  explicit TestIdentity(bool registrar = false, absl::flat_hash_set<crypto::PublicKey> named = {})
      : book(registrar ? std::optional<NameBook>(NameBook::Open(store.get(), clock.Now()).value()) : std::nullopt),
        redeemers(std::move(named)) {}

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
                  redeemers};

  [[nodiscard]] absl::StatusOr<identity::v1::RevokeResponse> Revoke(const std::string& statement,
                                                                    const std::string& rotation_chain = "") {
    identity::v1::RevokeRequest request;
    request.set_statement(statement);
    request.set_rotation_chain(rotation_chain);
    return handler.Revoke(request);
  }
  [[nodiscard]] std::string StatementOf(const crypto::Signer& signer) {
    return identity::SignRevocation(signer, "stolen", clock.Now()).value();
  }
};

}  // namespace dotagent::identity_service

#endif  // DOTAGENT_TESTS_UNIT_IDENTITY_SERVICE_FIXTURES_H_
