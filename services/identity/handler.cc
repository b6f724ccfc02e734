#include "services/identity/handler.h"

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/base/bytes.h"
#include "common/base/status.h"
#include "common/capability/token_block.h"
#include "common/capability/token_revocation.h"
#include "common/crypto/peer_id.h"
#include "common/identity/agent_id.h"
#include "common/identity/name_certificate.h"
#include "common/identity/revocation.h"
#include "common/record/name.h"
#include "common/telemetry/log.h"

namespace dotagent::identity_service {
namespace {

constexpr size_t kTokenCacheBytes = size_t{16} << 20;
constexpr size_t kMinRedemptionId = 16;
constexpr char kRedemptions[] = "dotagent_identity_redemptions_total";
constexpr char kRedemptionsHelp[] = "Uses of capability tokens asked for, by result.";

uint64_t Seed(Random& random) {
  uint64_t seed = 0;
  random.Fill(&seed, sizeof seed);
  return seed;
}

}  // namespace

Handler::Handler(const crypto::Signer& key, const identity::NodeCertificate& certificate, identity::Issuer issuer,
                 RevocationLog log, CertificateLog certificates, NameDirectory& names, std::optional<NameBook> book,
                 UseLedger& uses, const Clock& clock, Random& random, telemetry::Metrics& metrics, Post post,
                 absl::flat_hash_set<crypto::PublicKey> redeemers, const StrangerLimits& strangers)
    : key_(key),
      issuer_(std::move(issuer)),
      log_(std::move(log)),
      certificates_(std::move(certificates)),
      names_(names),
      book_(std::move(book)),
      uses_(uses),
      tokens_(kTokenCacheBytes, [this](const crypto::PublicKey& other) { return !CheckNotRevoked(other).ok(); }),
      clock_(clock),
      random_(random),
      post_(std::move(post)),
      redeemers_(std::move(redeemers)),
      strangers_(strangers, Seed(random), metrics),
      challenger_("certificate", key, certificate.sha256, random),
      issued_(metrics.AddCounter("dotagent_identity_certificates_total", "Certificate requests, by result.",
                                 {{"result", "issued"}})),
      refused_(metrics.AddCounter("dotagent_identity_certificates_total", "Certificate requests, by result.",
                                  {{"result", "refused"}})),
      revocations_(metrics.AddCounter("dotagent_identity_revocations_total", "Revocations taken.")),
      token_revocations_(metrics.AddCounter("dotagent_identity_token_revocations_total",
                                            "Revocations of capability tokens' blocks taken.")),
      stranger_bytes_(metrics.AddGauge("dotagent_identity_stranger_revocation_bytes",
                                       "Bytes of the revocations by keys without a certificate that are kept.")),
      redeemed_(metrics.AddCounter(kRedemptions, kRedemptionsHelp, {{"result", "redeemed"}})),
      not_redeemed_(metrics.AddCounter(kRedemptions, kRedemptionsHelp, {{"result", "refused"}})) {
  stranger_bytes_.Set(static_cast<double>(log_.stranger_bytes()));
}

absl::StatusOr<identity::v1::ChallengeResponse> Handler::Challenge(const identity::v1::ChallengeRequest& request) {
  ASSIGN_OR_RETURN(const crypto::PublicKey client, crypto::PublicKey::FromBytes(request.public_key()));
  ASSIGN_OR_RETURN(const identity::Challenger::Challenge challenge,
                   challenger_.Begin(client, request.client_nonce(), clock_.Now()));
  identity::v1::ChallengeResponse response;
  response.set_challenge_id(challenge.id);
  response.set_server_nonce(challenge.server_nonce);
  response.set_server_key(std::string(key_.public_key().bytes()));
  response.set_server_signature(challenge.server_signature);
  return response;
}

absl::Status Handler::CheckNotRevoked(const crypto::PublicKey& key) const {
  ASSIGN_OR_RETURN(const std::optional<RevocationLog::Entry> revoked, log_.Find(key));
  if (!revoked) return absl::OkStatus();
  return ErrorWithReason(absl::StatusCode::kPermissionDenied, reason::kKeyRevoked,
                         "the key is revoked; make a new one");
}

void Handler::IssueCertificate(const identity::v1::IssueCertificateRequest& request,
                               Callback<identity::v1::IssueCertificateResponse> done) {
  const auto refuse = [&](const absl::Status& status) {
    refused_.Increment();
    done(status);
  };
  const auto key = challenger_.Finish(request.challenge_id(), request.signature(), clock_.Now());
  if (!key.ok()) return refuse(key.status());
  const auto name = record::Name::Parse(request.name());
  if (!name.ok()) return refuse(name.status());
  const absl::Status allowed = CheckNotRevoked(*key);
  if (!allowed.ok()) return refuse(allowed);
  auto client = ClientOf(*key, request.rotation_chain());
  if (!client.ok()) return refuse(client.status());
  names_.KeyOf(name->text(), [this, client = *std::move(client), name = name->text(), csr = request.csr_der(),
                              done = std::move(done)](const absl::StatusOr<crypto::PublicKey>& holder) {
    auto issued = IssueTo(client, holder, name, csr);
    if (!issued.ok()) {
      refused_.Increment();
      return done(issued.status());
    }
    LogIssued(client, name, *issued, [this, issued = *issued, done](const absl::Status& logged) {
      (logged.ok() ? issued_ : refused_).Increment();
      if (!logged.ok()) return done(logged);
      identity::v1::IssueCertificateResponse response;
      response.set_certificate_der(issued.svid_der);
      response.set_issuer_der(issuer_.root_der());
      response.set_name_certificate_der(issued.name_der);
      done(std::move(response));
    });
  });
}

absl::StatusOr<Handler::Client> Handler::ClientOf(const crypto::PublicKey& key,
                                                  const std::string& rotation_chain) const {
  if (rotation_chain.empty()) return Client{key, identity::AgentId::FromFirstKey(key), std::nullopt};
  ASSIGN_OR_RETURN(const std::vector<std::string> statements, identity::DecodeRotationChain(rotation_chain));
  ASSIGN_OR_RETURN(identity::RotationChain chain, identity::VerifyRotationChain(statements, clock_.Now()));
  if (chain.current() != key) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kKeyMismatch,
                           "the rotation chain ends in another key than the one that asks; send the newest chain");
  }
  const identity::AgentId agent = chain.agent;
  return Client{key, agent, std::move(chain)};
}

absl::Status Handler::CheckHolder(const Client& client, const absl::StatusOr<crypto::PublicKey>& holder,
                                  const std::string& name) const {
  if (book_) {
    ASSIGN_OR_RETURN(const std::optional<identity::AgentId> agent, book_->HolderOf(name, clock_.Now()));
    // What is another's, Hold will refuse.
    if (agent || absl::IsNotFound(holder.status())) return absl::OkStatus();
  }
  RETURN_IF_ERROR(WithContext(holder.status(), absl::StrCat("cannot tell who holds ", name)));
  if (*holder == client.key || client.Was(*holder)) return absl::OkStatus();
  return ErrorWithReason(absl::StatusCode::kPermissionDenied, reason::kKeyMismatch,
                         absl::StrCat(name, " is held by another key; ask with the key that its record holds"));
}

absl::StatusOr<identity::IssuedCertificates> Handler::IssueTo(const Client& client,
                                                              const absl::StatusOr<crypto::PublicKey>& holder,
                                                              const std::string& name, const std::string& csr) {
  RETURN_IF_ERROR(CheckHolder(client, holder, name));
  // Again: it may have been revoked while the name was looked up.
  RETURN_IF_ERROR(CheckNotRevoked(client.key));
  const absl::Time now = clock_.Now();
  return issuer_.Issue(csr, {.key = client.key, .agent = client.agent, .name = name}, random_.Bytes(16), now);
}

void Handler::LogIssued(const Client& client, const std::string& name, const identity::IssuedCertificates& issued,
                        std::function<void(const absl::Status&)> done) {
  const absl::StatusOr<absl::Time> ends = identity::EndOfNameCertificate(issued.name_der);
  if (!ends.ok()) return done(ends.status());
  storage::Batch holder;
  if (book_) {
    auto reserved = book_->Reserve(name, client.agent, *ends, clock_.Now());
    if (!reserved.ok()) return done(reserved.status());
    holder = *std::move(reserved);
  }
  const bool scheduled = certificates_.waiting() > 0;
  certificates_.Append(
      issued, *ends,
      [this, name, done = std::move(done)](const absl::Status& written) {
        if (book_) book_->Settle(name, written.ok());
        done(written);
      },
      std::move(holder));
  if (!scheduled) post_([this] { certificates_.Commit(clock_.Now()); });
}

identity::v1::GetTrustBundleResponse Handler::GetTrustBundle() const {
  identity::v1::GetTrustBundleResponse response;
  response.set_bundle_pem(issuer_.root_pem());
  return response;
}

absl::StatusOr<RevocationLog::Of> Handler::Admit(const std::string& address, absl::Span<const crypto::PublicKey> keys,
                                                 uint64_t size) {
  for (const crypto::PublicKey& key : keys) {
    if (redeemers_.contains(key)) return RevocationLog::Of::kKnown;
    ASSIGN_OR_RETURN(const bool known, certificates_.Knows(key));
    if (known) return RevocationLog::Of::kKnown;
  }
  RETURN_IF_ERROR(strangers_.Admit(address, size, log_.stranger_bytes(), clock_.Elapsed()));
  return RevocationLog::Of::kStranger;
}

absl::StatusOr<RevocationLog::Of> Handler::AdmitRevocation(const std::string& address,
                                                           const identity::Revocation& revocation,
                                                           const identity::v1::RevokeRequest& request) {
  if (revocation.by == identity::RevokedBy::kRegistrar) return RevocationLog::Of::kKnown;
  // Once more costs nothing, as often as it comes.
  ASSIGN_OR_RETURN(const auto there, log_.Find(revocation.public_key));
  if (there) return RevocationLog::Of::kKnown;
  return Admit(address, {revocation.public_key, revocation.signer},
               RevocationLog::BytesOf(request.statement(), request.rotation_chain()));
}

absl::StatusOr<RevocationLog::Of> Handler::AdmitBlock(const std::string& address,
                                                      const capability::TokenRevocation& revocation,
                                                      const std::string& statement) {
  ASSIGN_OR_RETURN(const auto there, log_.FindBlock(revocation.block, revocation.signer));
  if (there) return RevocationLog::Of::kKnown;
  return Admit(address, {revocation.signer}, RevocationLog::BytesOf(statement));
}

absl::StatusOr<identity::v1::RevokeResponse> Handler::Revoke(const std::string& address,
                                                             const identity::v1::RevokeRequest& request) {
  ASSIGN_OR_RETURN(const identity::Revocation revocation,
                   identity::VerifyRevocationWith(
                       request.statement(), request.rotation_chain(), clock_.Now(),
                       book_ ? absl::MakeConstSpan(&key_.public_key(), 1) : absl::Span<const crypto::PublicKey>()));
  ASSIGN_OR_RETURN(const RevocationLog::Of of, AdmitRevocation(address, revocation, request));
  bool added = false;
  ASSIGN_OR_RETURN(const uint64_t sequence,
                   log_.Append(revocation.public_key, request.statement(), &added, request.rotation_chain(), of));
  if (added) {
    revocations_.Increment();
    stranger_bytes_.Set(static_cast<double>(log_.stranger_bytes()));
    telemetry::Log(telemetry::Level::kInfo, "key revoked",
                   {{"agent_id", revocation.agent_id.ToString()}, {"sequence", absl::StrCat(sequence)}});
    tokens_.OnKeyRevoked(revocation.public_key);
    WakeWatchers();
  }
  identity::v1::RevokeResponse response;
  response.set_sequence(sequence);
  response.set_recorded_at_ms(absl::ToUnixMillis(clock_.Now()));
  return response;
}

void Handler::WakeWatchers() const {
  // A wake may unwatch, so the table is not walked while calling.
  std::vector<std::function<void()>> wakes;
  for (const auto& [id, wake] : watches_) wakes.push_back(wake);
  for (const auto& wake : wakes) wake();
}

absl::Status Handler::Load() {
  for (uint64_t sequence = 0;;) {
    ASSIGN_OR_RETURN(const std::optional<RevocationLog::Entry> entry, log_.After(sequence));
    if (!entry) return absl::OkStatus();
    sequence = entry->sequence;
    if (!entry->of_token) continue;
    // Its date was judged when it was taken, by a clock that may have been set back since.
    const auto revocation = capability::VerifyTokenRevocation(entry->statement, absl::InfiniteFuture());
    if (!revocation.ok()) {
      return ErrorWithReason(
          absl::StatusCode::kDataLoss, reason::kStorage,
          absl::StrCat("revocation ", sequence, " in the data folder is damaged (", revocation.status().message(),
                       "); restore the folder from a copy: without it a token that was taken back "
                       "would be redeemed"));
    }
    tokens_.OnBlockRevoked(revocation->block, revocation->signer);
  }
}

absl::StatusOr<identity::v1::RevokeTokenResponse> Handler::RevokeToken(
    const std::string& address, const identity::v1::RevokeTokenRequest& request) {
  ASSIGN_OR_RETURN(const capability::TokenRevocation revocation,
                   capability::VerifyTokenRevocation(request.statement(), clock_.Now()));
  ASSIGN_OR_RETURN(const RevocationLog::Of of, AdmitBlock(address, revocation, request.statement()));
  bool added = false;
  ASSIGN_OR_RETURN(const uint64_t sequence,
                   log_.AppendBlock(revocation.block, revocation.signer, request.statement(), &added, of));
  if (added) {
    token_revocations_.Increment();
    stranger_bytes_.Set(static_cast<double>(log_.stranger_bytes()));
    tokens_.OnBlockRevoked(revocation.block, revocation.signer);
    telemetry::Log(telemetry::Level::kInfo, "token's block revoked",
                   {{"block", HexEncode(revocation.block)}, {"sequence", absl::StrCat(sequence)}});
    WakeWatchers();
  }
  identity::v1::RevokeTokenResponse response;
  response.set_sequence(sequence);
  response.set_recorded_at_ms(absl::ToUnixMillis(clock_.Now()));
  return response;
}

absl::Status Handler::CheckRedeemer(const absl::StatusOr<crypto::PublicKey>& caller) const {
  RETURN_IF_ERROR(caller.status());
  RETURN_IF_ERROR(CheckNotRevoked(*caller));
  if (redeemers_.empty() || redeemers_.contains(*caller)) return absl::OkStatus();
  return ErrorWithReason(absl::StatusCode::kPermissionDenied, reason::kKeyMismatch,
                         absl::StrCat(crypto::PeerIdFromKey(*caller),
                                      " is none of the gateways whose agents' uses are counted here; if it is one, "
                                      "start identity with it as a --redeemer"));
}

absl::StatusOr<UseLedger::Redemption> Handler::RedemptionOf(const identity::v1::RedeemRequest& request) {
  if (request.redemption_id().size() < kMinRedemptionId) {
    return capability::BadToken("a redemption's id has 16 to 64 bytes; make it of a hash or of random ones");
  }
  ASSIGN_OR_RETURN(const auto token, tokens_.Check(request.token(), clock_.Now()));
  UseLedger::Redemption redemption{.id = request.redemption_id()};
  for (const capability::TokenBlock& block : token->blocks()) {
    if (block.max_uses == 0) continue;
    redemption.counters.push_back({.block = block.id, .max_uses = block.max_uses, .expires = block.expires});
  }
  return redemption;
}

void Handler::Redeem(const absl::StatusOr<crypto::PublicKey>& caller, const identity::v1::RedeemRequest& request,
                     Callback<identity::v1::RedeemResponse> done) {
  const absl::Status allowed = CheckRedeemer(caller);
  absl::StatusOr<UseLedger::Redemption> redemption = allowed.ok() ? RedemptionOf(request) : allowed;
  if (!redemption.ok()) {
    not_redeemed_.Increment();
    return done(redemption.status());
  }
  uses_.Redeem(*std::move(redemption), [this, done = std::move(done)](const absl::StatusOr<UseLedger::Receipt>& taken) {
    (taken.ok() ? redeemed_ : not_redeemed_).Increment();
    if (!taken.ok()) return done(taken.status());
    identity::v1::RedeemResponse response;
    response.set_remaining(taken->remaining);
    response.set_already_redeemed(taken->repeated);
    done(response);
  });
}

absl::StatusOr<identity::v1::GetKeyStatusResponse> Handler::GetKeyStatus(
    const identity::v1::GetKeyStatusRequest& request) const {
  ASSIGN_OR_RETURN(const crypto::PublicKey key, crypto::PublicKey::FromBytes(request.public_key()));
  ASSIGN_OR_RETURN(const std::optional<RevocationLog::Entry> entry, log_.Find(key));
  identity::v1::GetKeyStatusResponse response;
  response.set_revoked(entry.has_value());
  if (entry) response.set_statement(entry->statement);
  if (entry) response.set_rotation_chain(entry->rotation_chain);
  return response;
}

uint64_t Handler::Watch(std::function<void()> wake) {
  watches_.emplace(next_watch_, std::move(wake));
  return next_watch_++;
}

void Handler::Unwatch(uint64_t watch) { watches_.erase(watch); }

}  // namespace dotagent::identity_service
