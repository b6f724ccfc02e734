// Revocations: "trust this key no more", signed (§3.2, Revocation). A key dies, not its identity: the pre-rotated
// successor (rotation.h) can still take over.
//
// Three may sign: the key itself (so can a thief, who only ends his own use of it), its pre-rotated successor (for who
// has lost the key, or must outrun a thief), and a registrar. The first key of an identity revokes itself without
// further proof; the others need evidence: the identity's rotation chain, or the reader's own list of registrars. It
// travels beside the statement and is no part of it. The statement travels as the bytes that were signed: verified
// first, parsed after.
//
// Defends against revocations of others' keys: who signs without being one of the three is refused.
#ifndef DOTAGENT_COMMON_IDENTITY_REVOCATION_H_
#define DOTAGENT_COMMON_IDENTITY_REVOCATION_H_

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "common/crypto/keys.h"
#include "common/identity/agent_id.h"
#include "common/identity/rotation.h"

namespace dotagent::identity {

inline constexpr size_t kMaxRevocationSize = 1024;

enum class RevokedBy { kItself, kSuccessor, kRegistrar };

struct Revocation {
  AgentId agent_id;
  crypto::PublicKey public_key;  // the revoked one
  crypto::PublicKey signer;
  RevokedBy by;
  std::string reason;
  absl::Time revoked_at;
};

// What a reader knows that may entitle a signer.
struct RevocationEvidence {
  const RotationChain* chain = nullptr;              // of the identity that the statement names; null: none known
  absl::Span<const crypto::PublicKey> registrars{};  // those that the reader trusts
};

// A serialized dotagent.identity.v1.SignedStatement: `key`, an identity's first and only, revokes itself.
// InvalidArgument (BAD_STATEMENT) if `reason` is over 256 bytes or not UTF-8.
[[nodiscard]] absl::StatusOr<std::string> SignRevocation(const crypto::Signer& key, absl::string_view reason,
                                                         absl::Time now);
// The same for any signer and any key of `agent`. Whether the signer may is the reader's to decide.
[[nodiscard]] absl::StatusOr<std::string> SignRevocationOf(const crypto::Signer& signer, const AgentId& agent,
                                                           const crypto::PublicKey& revoked, absl::string_view reason,
                                                           absl::Time now);

// Checks size, signature and every field, and that the signer may revoke that key; `now` refuses one dated over 5
// minutes ahead. InvalidArgument (BAD_STATEMENT, also if the evidence does not entitle the signer or does not show that
// the key is that identity's; or BAD_SIGNATURE). An old revocation stays valid: revoking is final. Without evidence
// only a first key's own is accepted. About 110 µs, or 160 µs if the signer is another key.
[[nodiscard]] absl::StatusOr<Revocation> VerifyRevocation(absl::string_view statement, absl::Time now,
                                                          const RevocationEvidence& evidence = {});

// The same with the evidence as it travels beside the statement: `rotation_chain` as EncodeRotationChain makes it, or
// empty; and the registrars that the reader trusts. InvalidArgument also as DecodeRotationChain and
// VerifyRotationChain, and BAD_STATEMENT if a chain comes that is not needed: nobody signed that it belongs there, and
// everybody would have to keep it. A forked chain is no help to a thief: a key is in it only by its own signature, and
// so is its successor.
[[nodiscard]] absl::StatusOr<Revocation> VerifyRevocationWith(absl::string_view statement,
                                                              absl::string_view rotation_chain, absl::Time now,
                                                              absl::Span<const crypto::PublicKey> registrars = {});

// The DHT key of the revocation of a key: SHA-256("revocation:" ‖ SHA-256(key)). `id`: AgentId::FromFirstKey of the
// key, also if it is a later one.
[[nodiscard]] std::string RevocationKey(const AgentId& id);

}  // namespace dotagent::identity

#endif  // DOTAGENT_COMMON_IDENTITY_REVOCATION_H_
