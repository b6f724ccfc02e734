#include "common/identity/revocation.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/crypto/hash.h"
#include "common/identity/statement.h"
#include "dotagent/identity/v1/statements.pb.h"
#include "google/protobuf/stubs/common.h"

namespace dotagent::identity {
namespace {

constexpr absl::string_view kContext("dotagent revocation v1\0", 23);
constexpr size_t kMaxReason = 256;

// That `revocation`'s key is its identity's: the first one, which says so itself, or one in the chain.
absl::Status CheckIdentity(const Revocation& revocation, const RevocationEvidence& evidence) {
  if (AgentId::FromFirstKey(revocation.public_key) == revocation.agent_id) {
    return absl::OkStatus();
  }
  if (evidence.chain != nullptr && evidence.chain->agent == revocation.agent_id &&
      evidence.chain->KeyWasOf(revocation.public_key)) {
    return absl::OkStatus();
  }
  return BadStatement("its AgentId is not that of the revoked key, and no rotation chain shows that it is");
}

absl::StatusOr<RevokedBy> EntitledAs(const Revocation& revocation, const RevocationEvidence& evidence) {
  if (revocation.signer == revocation.public_key) {
    return RevokedBy::kItself;
  }
  if (evidence.chain != nullptr && evidence.chain->agent == revocation.agent_id &&
      evidence.chain->Succeeds(revocation.signer, revocation.public_key)) {
    return RevokedBy::kSuccessor;
  }
  if (std::find(evidence.registrars.begin(), evidence.registrars.end(), revocation.signer) !=
      evidence.registrars.end()) {
    return RevokedBy::kRegistrar;
  }
  return BadStatement(
      "it revokes another key than the one that signed it; only the key itself, its pre-rotated successor (shown by "
      "the rotation chain) and a trusted registrar can");
}

}  // namespace

absl::StatusOr<std::string> SignRevocation(const crypto::Signer& key, absl::string_view reason, absl::Time now) {
  return SignRevocationOf(key, AgentId::FromFirstKey(key.public_key()), key.public_key(), reason, now);
}

absl::StatusOr<std::string> SignRevocationOf(const crypto::Signer& signer, const AgentId& agent,
                                             const crypto::PublicKey& revoked, absl::string_view reason,
                                             absl::Time now) {
  if (reason.size() > kMaxReason) {
    return BadStatement(absl::StrCat("a revocation's reason has at most 256 bytes; this one has ", reason.size()));
  }
  if (!google::protobuf::internal::IsStructurallyValidUTF8(reason.data(), static_cast<int>(reason.size()))) {
    return BadStatement("a revocation's reason must be UTF-8");
  }
  v1::Revocation revocation;
  revocation.set_agent_id(std::string(agent.bytes()));
  revocation.set_public_key(std::string(revoked.bytes()));
  revocation.set_reason(std::string(reason));
  revocation.set_revoked_at_ms(absl::ToUnixMillis(now));
  ASSIGN_OR_RETURN(const v1::SignedStatement statement,
                   SignStatement(signer, kContext, revocation.SerializeAsString()));
  return statement.SerializeAsString();
}

absl::StatusOr<Revocation> VerifyRevocation(absl::string_view statement, absl::Time now,
                                            const RevocationEvidence& evidence) {
  if (statement.size() > kMaxRevocationSize) {
    return BadStatement(absl::StrCat("a revocation has at most 1024 bytes; this one has ", statement.size()));
  }
  ASSIGN_OR_RETURN(const v1::SignedStatement outer, ParseStatement(statement));
  ASSIGN_OR_RETURN(const crypto::PublicKey signer, VerifySigner(outer, kContext));
  v1::Revocation inner;
  if (!ParseStrictly(outer.payload(), &inner)) {
    return BadStatement("the signed payload is no Revocation in its canonical form");
  }
  const absl::StatusOr<AgentId> agent_id = AgentId::FromBytes(inner.agent_id());
  // The signer's own key has been checked already.
  const absl::StatusOr<crypto::PublicKey> revoked =
      inner.public_key() == signer.bytes() ? signer : crypto::PublicKey::FromBytes(inner.public_key());
  if (!agent_id.ok() || !revoked.ok()) {
    return BadStatement("it names no AgentId of 32 bytes, or no Ed25519 key");
  }
  if (inner.reason().size() > kMaxReason) {
    return BadStatement("its reason is over 256 bytes");
  }
  Revocation revocation{.agent_id = *agent_id,
                        .public_key = *revoked,
                        .signer = signer,
                        .by = RevokedBy::kItself,
                        .reason = std::move(*inner.mutable_reason()),
                        .revoked_at = absl::InfiniteFuture()};
  ASSIGN_OR_RETURN(revocation.revoked_at, CheckDate(inner.revoked_at_ms(), now));
  RETURN_IF_ERROR(CheckIdentity(revocation, evidence));
  ASSIGN_OR_RETURN(revocation.by, EntitledAs(revocation, evidence));
  return revocation;
}

absl::StatusOr<Revocation> VerifyRevocationWith(absl::string_view statement, absl::string_view rotation_chain,
                                                absl::Time now, absl::Span<const crypto::PublicKey> registrars) {
  if (rotation_chain.empty()) return VerifyRevocation(statement, now, {.registrars = registrars});
  ASSIGN_OR_RETURN(const std::vector<std::string> statements, DecodeRotationChain(rotation_chain));
  ASSIGN_OR_RETURN(const RotationChain chain, VerifyRotationChain(statements, now));
  ASSIGN_OR_RETURN(Revocation revocation,
                   VerifyRevocation(statement, now, {.chain = &chain, .registrars = registrars}));
  if (revocation.by != RevokedBy::kSuccessor && AgentId::FromFirstKey(revocation.public_key) == revocation.agent_id) {
    return BadStatement(
        "a first key's own revocation, and a registrar's of one, need no rotation chain, and this came with one; send "
        "it "
        "without");
  }
  return revocation;
}

std::string RevocationKey(const AgentId& id) { return crypto::Sha256(absl::StrCat("revocation:", id.bytes())); }

}  // namespace dotagent::identity
