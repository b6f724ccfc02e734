#include "common/identity/revocation.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/crypto/hash.h"
#include "dotagent/identity/v1/statements.pb.h"
#include "google/protobuf/stubs/common.h"

namespace dotagent::identity {
namespace {

constexpr absl::string_view kContext("dotagent revocation v1\0", 23);
constexpr size_t kMaxReason = 256;
constexpr absl::Duration kMaxAhead = absl::Minutes(5);

absl::Status BadStatement(absl::string_view message) {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kBadStatement, message);
}

// True if `message` says all that `bytes` do, in the same form: no unknown fields, no second encodings. So a statement
// has one set of bytes, and a store that compares digests sees each once.
template <typename Message>
bool ParseStrictly(absl::string_view bytes, Message* message) {
  if (!message->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return false;
  }
  message->DiscardUnknownFields();
  return message->SerializeAsString() == bytes;
}

}  // namespace

absl::StatusOr<std::string> SignRevocation(const crypto::Signer& key, absl::string_view reason, absl::Time now) {
  if (reason.size() > kMaxReason) {
    return BadStatement(absl::StrCat("a revocation's reason has at most 256 bytes; this one has ", reason.size()));
  }
  if (!google::protobuf::internal::IsStructurallyValidUTF8(reason.data(), static_cast<int>(reason.size()))) {
    return BadStatement("a revocation's reason must be UTF-8");
  }
  v1::Revocation revocation;
  revocation.set_agent_id(std::string(AgentId::FromFirstKey(key.public_key()).bytes()));
  revocation.set_public_key(std::string(key.public_key().bytes()));
  revocation.set_reason(std::string(reason));
  revocation.set_revoked_at_ms(absl::ToUnixMillis(now));
  v1::SignedStatement statement;
  statement.set_payload(revocation.SerializeAsString());
  statement.set_public_key(std::string(key.public_key().bytes()));
  ASSIGN_OR_RETURN(*statement.mutable_signature(), key.Sign(absl::StrCat(kContext, statement.payload())));
  return statement.SerializeAsString();
}

absl::StatusOr<Revocation> VerifyRevocation(absl::string_view statement, absl::Time now) {
  if (statement.size() > kMaxRevocationSize) {
    return BadStatement(absl::StrCat("a revocation has at most 1024 bytes; this one has ", statement.size()));
  }
  v1::SignedStatement outer;
  if (!ParseStrictly(statement, &outer)) {
    return BadStatement("this is no SignedStatement in its canonical form");
  }
  absl::StatusOr<crypto::PublicKey> key = crypto::PublicKey::FromBytes(outer.public_key());
  if (!key.ok()) {
    return BadStatement(absl::StrCat("the signer's key: ", key.status().message()));
  }
  RETURN_IF_ERROR(crypto::Verify(*key, absl::StrCat(kContext, outer.payload()), outer.signature()));

  v1::Revocation inner;
  if (!ParseStrictly(outer.payload(), &inner)) {
    return BadStatement("the signed payload is no Revocation in its canonical form");
  }
  if (inner.public_key() != key->bytes()) {
    return BadStatement("it revokes another key than the one that signed it; only a key's holder can revoke it");
  }
  const AgentId agent_id = AgentId::FromFirstKey(*key);
  if (inner.agent_id() != agent_id.bytes()) {
    return BadStatement("its AgentId is not that of the revoked key");
  }
  if (inner.reason().size() > kMaxReason) {
    return BadStatement("its reason is over 256 bytes");
  }
  const absl::Time revoked_at = absl::FromUnixMillis(inner.revoked_at_ms());
  if (inner.revoked_at_ms() <= 0 || revoked_at > now + kMaxAhead) {
    return BadStatement(absl::StrCat("it is dated ", absl::FormatTime(revoked_at, absl::UTCTimeZone()),
                                     ", which is more than 5 minutes ahead or before 1970; check the clocks"));
  }
  return Revocation{
      .agent_id = agent_id, .public_key = *key, .reason = std::move(*inner.mutable_reason()), .revoked_at = revoked_at};
}

std::string RevocationKey(const AgentId& id) { return crypto::Sha256(absl::StrCat("revocation:", id.bytes())); }

}  // namespace dotagent::identity
