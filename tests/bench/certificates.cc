#include "tests/bench/certificates.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/crypto/keys.h"
#include "common/identity/certificate_request.h"
#include "common/identity/challenge.h"
#include "common/storage/store.h"
#include "services/identity/handler.h"

namespace dotagent::bench {
namespace {

namespace v1 = ::dotagent::identity::v1;

constexpr size_t kRequests = 4000;
constexpr size_t kNonceSize = 32;

// As if the DHT held a record of each name, with the agent's key.
class OneHolder : public identity_service::NameDirectory {
 public:
  explicit OneHolder(const crypto::PublicKey& key) : key_(key) {}
  void KeyOf(const std::string& /*name*/, identity_service::Callback<crypto::PublicKey> done) override { done(key_); }

 private:
  const crypto::PublicKey key_;
};

// Identity's logic on a loop of its own: what it posts runs when whoever drives it says so.
class Bench {
 public:
  static absl::StatusOr<std::unique_ptr<Bench>> Create(const std::string& folder, bool registrar) {
    auto bench = std::make_unique<Bench>();
    ASSIGN_OR_RETURN(bench->store_, storage::OpenRocksDb({.path = folder}));
    ASSIGN_OR_RETURN(bench->certificate_, identity::MakeNodeCertificate(bench->key_, {}, bench->clock_.Now()));
    ASSIGN_OR_RETURN(identity::Issuer issuer, identity::Issuer::Create(bench->key_, {}, bench->clock_.Now()));
    ASSIGN_OR_RETURN(auto revocations, identity_service::RevocationLog::Open(bench->store_.get()));
    ASSIGN_OR_RETURN(auto log, identity_service::CertificateLog::Open(bench->store_.get()));
    ASSIGN_OR_RETURN(bench->uses_, identity_service::UseLedger::Open(bench->store_.get(), bench->clock_));
    std::optional<identity_service::NameBook> book;
    if (registrar) {
      ASSIGN_OR_RETURN(book, identity_service::NameBook::Open(bench->store_.get(), bench->clock_.Now()));
    }
    bench->handler_ = std::make_unique<identity_service::Handler>(
        bench->key_, bench->certificate_, std::move(issuer), std::move(revocations), std::move(log), bench->names_,
        std::move(book), *bench->uses_, bench->clock_, bench->random_, bench->metrics_,
        [posted = &bench->posted_](std::function<void()> work) { posted->push_back(std::move(work)); });
    return bench;
  }

  // A request that answers a challenge: the client's work, which is not what is measured.
  absl::StatusOr<v1::IssueCertificateRequest> Prove(const std::string& name) {
    identity::AuthTranscript transcript{.purpose = "certificate",
                                        .client_nonce = random_.Bytes(kNonceSize),
                                        .client_key = agent_.public_key(),
                                        .server_key = key_.public_key(),
                                        .channel_binding = certificate_.sha256};
    v1::ChallengeRequest ask;
    ask.set_public_key(std::string(agent_.public_key().bytes()));
    ask.set_client_nonce(transcript.client_nonce);
    ASSIGN_OR_RETURN(const auto challenge, handler_->Challenge(ask));
    transcript.server_nonce = challenge.server_nonce();
    v1::IssueCertificateRequest request;
    ASSIGN_OR_RETURN(*request.mutable_signature(),
                     identity::AnswerChallenge(transcript, challenge.server_signature(), agent_));
    ASSIGN_OR_RETURN(*request.mutable_csr_der(), identity::MakeCertificateRequest(agent_, name));
    request.set_challenge_id(challenge.challenge_id());
    request.set_name(name);
    return request;
  }

  // Requests a second, `in_flight` of them waiting for the disk together. Certificates are two for each.
  absl::StatusOr<double> Rate(size_t in_flight) {
    absl::Status failed;
    size_t answered = 0;
    absl::Duration spent;
    for (size_t begun = 0; begun < kRequests; begun += in_flight) {
      std::vector<v1::IssueCertificateRequest> requests;
      for (size_t i = 0; i < in_flight; ++i) {
        ASSIGN_OR_RETURN(requests.emplace_back(), Prove(absl::StrCat("name-", next_name_++, ".bench.agent")));
      }
      const absl::Time from = absl::Now();
      for (const v1::IssueCertificateRequest& request : requests) {
        handler_->IssueCertificate(request, [&](const absl::StatusOr<v1::IssueCertificateResponse>& issued) {
          if (!issued.ok()) failed = issued.status();
          ++answered;
        });
      }
      for (const auto& work : std::exchange(posted_, {})) work();
      spent += absl::Now() - from;
    }
    RETURN_IF_ERROR(failed);
    if (answered < kRequests) return absl::InternalError("a request for a certificate was not answered");
    return static_cast<double>(answered) / absl::ToDoubleSeconds(spent);
  }

  // The signatures alone that a request costs: four are checked or made for it, two by each side's key.
  absl::StatusOr<double> SignaturesAlone() {
    const std::string message(500, 'm');
    ASSIGN_OR_RETURN(const std::string signature, agent_.Sign(message));
    const absl::Time from = absl::Now();
    for (size_t i = 0; i < kRequests; ++i) {
      RETURN_IF_ERROR(crypto::Verify(agent_.public_key(), message, signature));  // the answer to the challenge
      RETURN_IF_ERROR(crypto::Verify(agent_.public_key(), message, signature));  // the request's own
      RETURN_IF_ERROR(key_.Sign(message).status());                              // the name certificate
      RETURN_IF_ERROR(key_.Sign(message).status());                              // the SVID
    }
    return kRequests / absl::ToDoubleSeconds(absl::Now() - from);
  }

 private:
  SystemClock clock_;
  SystemRandom random_;
  const crypto::SigningKey key_ = crypto::SigningKey::Generate(random_);
  const crypto::SigningKey agent_ = crypto::SigningKey::Generate(random_);
  identity::NodeCertificate certificate_;
  std::unique_ptr<storage::Store> store_;
  std::unique_ptr<identity_service::UseLedger> uses_;
  telemetry::Metrics metrics_;
  OneHolder names_{agent_.public_key()};
  std::vector<std::function<void()>> posted_;
  std::unique_ptr<identity_service::Handler> handler_;
  size_t next_name_ = 0;
};

}  // namespace

absl::Status MeasureCertificates(size_t repetitions, const std::string& folder, Report& report) {
  for (const bool registrar : {false, true}) {
    ASSIGN_OR_RETURN(const std::unique_ptr<Bench> bench,
                     Bench::Create(absl::StrCat(folder, registrar ? "/registrar" : "/first-claim"), registrar));
    RETURN_IF_ERROR(bench->Rate(64).status());  // warm-up
    Row grouped{.what = registrar ? "the same by a registrar, whose name book is written along"
                                  : "requests for certificates answered, 64 in flight, logged and synced",
                .unit = "requests/s",
                .at_least = 2000};
    Row single{.what = "the same, one at a time", .unit = "requests/s"};
    Row alone{.what = "its four signature operations alone", .unit = "requests/s"};
    for (size_t i = 0; i < repetitions; ++i) {
      ASSIGN_OR_RETURN(grouped.ours.emplace_back(), bench->Rate(64));
      if (registrar) continue;
      ASSIGN_OR_RETURN(single.ours.emplace_back(), bench->Rate(1));
      ASSIGN_OR_RETURN(alone.ours.emplace_back(), bench->SignaturesAlone());
    }
    report.Add(std::move(grouped));
    if (registrar) continue;
    report.Add(std::move(single));
    report.Add(std::move(alone));
  }
  report.Note("A request is answered with two certificates, one for the name and an SVID. On one core, without gRPC.");
  return absl::OkStatus();
}

}  // namespace dotagent::bench
