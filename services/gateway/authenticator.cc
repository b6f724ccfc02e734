#include "services/gateway/authenticator.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/base/status.h"
#include "common/telemetry/log.h"

namespace dotagent::gateway_service {
namespace {

constexpr char kAuthentications[] = "dotagent_gateway_authentications_total";
constexpr char kAuthenticationsHelp[] = "Attempts of agents to prove their key, by result.";
// Of two generations, at 33 bytes or so a key.
constexpr size_t kProvedKeys = 16'384;
constexpr size_t kLocalTokenSize = 32;  // random bytes

}  // namespace

absl::Status KeyRevoked() {
  return ErrorWithReason(absl::StatusCode::kPermissionDenied, reason::kKeyRevoked,
                         "this key has been revoked; make a new key and register with it");
}

Authenticator::Authenticator(const Parts& parts)
    : parts_(parts),
      challenger_("gateway", parts.key, parts.channel_binding, parts.random),
      tokens_(parts.random, parts.tokens),
      authenticated_(parts.metrics.AddCounter(kAuthentications, kAuthenticationsHelp, {{"result", "ok"}})),
      refused_proofs_(parts.metrics.AddCounter(kAuthentications, kAuthenticationsHelp, {{"result", "refused"}})),
      refused_revoked_(parts.metrics.AddCounter(kAuthentications, kAuthenticationsHelp, {{"result", "revoked"}})),
      token_count_(parts.metrics.AddGauge("dotagent_gateway_tokens", "Tokens that are valid.")) {}

absl::StatusOr<crypto::PublicKey> Authenticator::ParseKey(absl::string_view bytes) const {
  ASSIGN_OR_RETURN(const crypto::PublicKey key, crypto::PublicKey::FromUncheckedBytes(bytes));
  {
    const Lock lock(mutex_);
    if (proved_.contains(key) || proved_before_.contains(key)) return key;
  }
  return crypto::PublicKey::FromBytes(bytes);
}

absl::StatusOr<gateway::v1::ChallengeResponse> Authenticator::Challenge(const gateway::v1::ChallengeRequest& request) {
  ASSIGN_OR_RETURN(const crypto::PublicKey key, ParseKey(request.public_key()));
  if (parts_.is_revoked(key)) {
    refused_revoked_.Increment();
    return KeyRevoked();
  }
  ASSIGN_OR_RETURN(auto challenge, challenger_.Begin(key, request.client_nonce(), parts_.clock.Now()));
  gateway::v1::ChallengeResponse response;
  response.set_challenge_id(std::move(challenge.id));
  response.set_server_nonce(std::move(challenge.server_nonce));
  response.set_server_key(std::string(parts_.key.public_key().bytes()));
  response.set_server_signature(std::move(challenge.server_signature));
  return response;
}

absl::StatusOr<TokenTable::Issued> Authenticator::Issue(const crypto::PublicKey& key, absl::Time now) {
  const Lock lock(mutex_);
  if (proved_.size() >= kProvedKeys) proved_before_ = std::exchange(proved_, {});
  proved_.insert(key);
  auto issued = tokens_.Issue(key, now);
  token_count_.Set(static_cast<double>(tokens_.size()));
  return issued;
}

absl::StatusOr<gateway::v1::AuthenticateResponse> Authenticator::Authenticate(
    const gateway::v1::AuthenticateRequest& request) {
  const absl::Time now = parts_.clock.Now();
  const auto key = challenger_.Finish(request.challenge_id(), request.signature(), now);
  if (!key.ok()) {
    refused_proofs_.Increment();
    telemetry::Log(telemetry::Level::kInfo, "authentication refused", {{"why", key.status().ToString()}});
    return key.status();
  }
  ASSIGN_OR_RETURN(auto issued, Issue(*key, now));
  // Asked once there is a token: a revocation that comes now finds it.
  if (parts_.is_revoked(*key)) {
    Revoke(*key);
    refused_revoked_.Increment();
    return KeyRevoked();
  }
  authenticated_.Increment();
  gateway::v1::AuthenticateResponse response;
  response.set_token(std::move(issued.token));
  response.set_expires_at_ms(absl::ToUnixMillis(issued.expires));
  return response;
}

std::string Authenticator::AdmitLocal(const crypto::PublicKey& key) {
  auto agent = std::make_shared<Agent>();
  agent->key = key;
  const Lock lock(mutex_);
  // Longer than those of the table, which it therefore never collides with.
  local_token_ = absl::StrCat("local-", HexEncode(parts_.random.Bytes(kLocalTokenSize)));
  local_ = std::move(agent);
  return local_token_;
}

absl::StatusOr<std::shared_ptr<Agent>> Authenticator::Caller(absl::string_view token) const {
  std::shared_ptr<Agent> agent;
  {
    const absl::Time now = parts_.clock.Now();
    const Lock lock(mutex_);
    if (local_ && token == local_token_) {
      agent = local_;
    } else {
      ASSIGN_OR_RETURN(agent, tokens_.Check(token, now));
    }
  }
  if (parts_.is_revoked(agent->key)) return KeyRevoked();
  return agent;
}

size_t Authenticator::Revoke(const crypto::PublicKey& key) {
  const Lock lock(mutex_);
  const size_t count = tokens_.Revoke(key);
  if (local_ && local_->key == key) local_.reset();
  token_count_.Set(static_cast<double>(tokens_.size()));
  return count;
}

void Authenticator::DropExpired(absl::Time now) {
  const Lock lock(mutex_);
  tokens_.DropExpired(now);
  token_count_.Set(static_cast<double>(tokens_.size()));
}

}  // namespace dotagent::gateway_service
