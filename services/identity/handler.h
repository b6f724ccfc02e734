// What identity does, knowing nothing of gRPC: proofs of possession, certificates, revocations, uses of capability
// tokens.
//
// Who may do what: anyone may revoke with a statement that the key itself signed, or the one that took or may take its
// place by its rotation chain; anyone may take back a token's block (only what its issuers sign counts). How many of
// those are written for keys without a certificate from here is limited (stranger_limits.h). Uses of a
// token are redeemed by a node that proves its key, and, where the deployment's gateways are named, by those alone:
// what a token's holder shows to others is not theirs to use up. A certificate needs a proof of possession and a name
// that the DHT's record gives to that key. Where identity is the registrar of the names (name_book.h), there is no
// record before there is a certificate: it then needs a name that no one else has, neither by the book nor by the DHT,
// where another registrar's may be. Requests cost the caller a signature before they cost the service one.
//
// Not thread-safe: everything on the service's loop.
#ifndef DOTAGENT_SERVICES_IDENTITY_HANDLER_H_
#define DOTAGENT_SERVICES_IDENTITY_HANDLER_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/capability/token_cache.h"
#include "common/capability/token_revocation.h"
#include "common/crypto/keys.h"
#include "common/identity/certificate.h"
#include "common/identity/challenge.h"
#include "common/identity/revocation.h"
#include "common/identity/rotation.h"
#include "common/telemetry/metrics.h"
#include "dotagent/identity/v1/identity.pb.h"
#include "services/identity/certificate_log.h"
#include "services/identity/name_book.h"
#include "services/identity/revocation_log.h"
#include "services/identity/stranger_limits.h"
#include "services/identity/use_ledger.h"

namespace dotagent::identity_service {

template <typename T>
using Callback = std::function<void(absl::StatusOr<T>)>;

// What the handler needs of a resolver.
class NameDirectory {
 public:
  virtual ~NameDirectory() = default;
  // The key that a name's record holds.
  virtual void KeyOf(const std::string& name, Callback<crypto::PublicKey> done) = 0;
};

class Handler {
 public:
  // Runs work on the loop, after what already waits there: certificates that were asked for until then are written to
  // the log together.
  using Post = std::function<void(std::function<void()>)>;

  // Everything must outlive it. `book`: of a registrar. `redeemers`: who alone may redeem; none: every node.
  // `strangers`: what is written for keys without a certificate.
  Handler(const crypto::Signer& key, const identity::NodeCertificate& certificate, identity::Issuer issuer,
          RevocationLog log, CertificateLog certificates, NameDirectory& names, std::optional<NameBook> book,
          UseLedger& uses, const Clock& clock, Random& random, telemetry::Metrics& metrics, Post post,
          absl::flat_hash_set<crypto::PublicKey> redeemers = {}, const StrangerLimits& strangers = {});

  // Reads what the log holds against tokens, so that a restart forgets none: before it is asked anything. DataLoss
  // (STORAGE) if that is damaged, or whatever the disk fails with: who does not know what was taken back must not
  // redeem.
  [[nodiscard]] absl::Status Load();

  [[nodiscard]] absl::StatusOr<identity::v1::ChallengeResponse> Challenge(
      const identity::v1::ChallengeRequest& request);
  void IssueCertificate(const identity::v1::IssueCertificateRequest& request,
                        Callback<identity::v1::IssueCertificateResponse> done);
  [[nodiscard]] identity::v1::GetTrustBundleResponse GetTrustBundle() const;
  // `address`: whom limits by address count the caller as. ResourceExhausted as StrangerAdmission::Admit.
  [[nodiscard]] absl::StatusOr<identity::v1::RevokeResponse> Revoke(const std::string& address,
                                                                    const identity::v1::RevokeRequest& request);
  [[nodiscard]] absl::StatusOr<identity::v1::RevokeTokenResponse> RevokeToken(
      const std::string& address, const identity::v1::RevokeTokenRequest& request);
  // `caller`: the node key that the caller proved, or why it did not. PermissionDenied (KEY_MISMATCH) for one that may
  // not. `done` may be called from another thread.
  void Redeem(const absl::StatusOr<crypto::PublicKey>& caller, const identity::v1::RedeemRequest& request,
              Callback<identity::v1::RedeemResponse> done);
  [[nodiscard]] absl::StatusOr<identity::v1::GetKeyStatusResponse> GetKeyStatus(
      const identity::v1::GetKeyStatusRequest& request) const;

  // Calls `wake` after each new revocation until Unwatch. The watcher then reads NextAfter until it is empty.
  uint64_t Watch(std::function<void()> wake);
  void Unwatch(uint64_t watch);
  [[nodiscard]] absl::StatusOr<std::optional<RevocationLog::Entry>> NextAfter(uint64_t sequence) const {
    return log_.After(sequence);
  }

 private:
  void WakeWatchers() const;
  // What a revocation counts as whose signer, or whose revoked key, is one of `keys`: known is who has a certificate,
  // and a gateway that is named. ResourceExhausted if it is a stranger's and there may be no more.
  [[nodiscard]] absl::StatusOr<RevocationLog::Of> Admit(const std::string& address,
                                                        absl::Span<const crypto::PublicKey> keys, uint64_t size);
  [[nodiscard]] absl::StatusOr<RevocationLog::Of> AdmitRevocation(const std::string& address,
                                                                  const identity::Revocation& revocation,
                                                                  const identity::v1::RevokeRequest& request);
  [[nodiscard]] absl::StatusOr<RevocationLog::Of> AdmitBlock(const std::string& address,
                                                             const capability::TokenRevocation& revocation,
                                                             const std::string& statement);
  [[nodiscard]] absl::Status CheckRedeemer(const absl::StatusOr<crypto::PublicKey>& caller) const;
  [[nodiscard]] absl::StatusOr<UseLedger::Redemption> RedemptionOf(const identity::v1::RedeemRequest& request);
  [[nodiscard]] absl::Status CheckNotRevoked(const crypto::PublicKey& key) const;
  // Who asks for a certificate, having proved the key.
  struct Client {
    crypto::PublicKey key;
    identity::AgentId agent;
    std::optional<identity::RotationChain> chain;  // that leads to the key, if it is not the first

    [[nodiscard]] bool Was(const crypto::PublicKey& other) const { return chain && chain->KeyWasOf(other); }
  };
  // InvalidArgument (KEY_MISMATCH) if the chain ends in another key; as VerifyRotationChain.
  [[nodiscard]] absl::StatusOr<Client> ClientOf(const crypto::PublicKey& key, const std::string& rotation_chain) const;
  // OK if the name is the client's, or may become so, by the DHT's word and the book's.
  [[nodiscard]] absl::Status CheckHolder(const Client& client, const absl::StatusOr<crypto::PublicKey>& holder,
                                         const std::string& name) const;
  // The certificate, once it is known who holds the name.
  [[nodiscard]] absl::StatusOr<identity::IssuedCertificates> IssueTo(const Client& client,
                                                                     const absl::StatusOr<crypto::PublicKey>& holder,
                                                                     const std::string& name, const std::string& csr);
  // Logs them, and the name's holder, and calls back once both are on disk.
  void LogIssued(const Client& client, const std::string& name, const identity::IssuedCertificates& issued,
                 std::function<void(const absl::Status&)> done);

  const crypto::Signer& key_;
  const identity::Issuer issuer_;
  RevocationLog log_;
  CertificateLog certificates_;
  NameDirectory& names_;
  std::optional<NameBook> book_;
  UseLedger& uses_;
  capability::TokenCache tokens_;
  const Clock& clock_;
  Random& random_;
  const Post post_;
  const absl::flat_hash_set<crypto::PublicKey> redeemers_;
  StrangerAdmission strangers_;
  identity::Challenger challenger_;
  absl::flat_hash_map<uint64_t, std::function<void()>> watches_;
  uint64_t next_watch_ = 1;
  telemetry::Counter& issued_;
  telemetry::Counter& refused_;
  telemetry::Counter& revocations_;
  telemetry::Counter& token_revocations_;
  telemetry::Gauge& stranger_bytes_;
  telemetry::Counter& redeemed_;
  telemetry::Counter& not_redeemed_;
};

}  // namespace dotagent::identity_service

#endif  // DOTAGENT_SERVICES_IDENTITY_HANDLER_H_
