// What every signed statement of an identity has in common (statements.proto): a payload, its signer, and a signature
// over context string ‖ payload. Each kind has its own context string, so that no statement passes for one of another
// kind.
//
// Defends against a second form of the same statement (unknown fields, other encodings, spare signatures): a statement
// has one set of bytes, so a store that compares digests sees each once.
// For who defines a statement: rotation.cc, revocation.cc, and the adverts of the rooms above.
#ifndef DOTAGENT_COMMON_IDENTITY_STATEMENT_H_
#define DOTAGENT_COMMON_IDENTITY_STATEMENT_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/crypto/keys.h"
#include "dotagent/identity/v1/statements.pb.h"

namespace dotagent::identity {

// InvalidArgument (BAD_STATEMENT).
[[nodiscard]] absl::Status BadStatement(absl::string_view message);

// True if `message` says all that `bytes` do, in the same form: no unknown fields, no second encodings.
template <typename Message>
[[nodiscard]] bool ParseStrictly(absl::string_view bytes, Message* message) {
  if (!message->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return false;
  }
  message->DiscardUnknownFields();
  return message->SerializeAsString() == bytes;
}

// `context` ends with its NUL byte. Fails only if the signer does.
[[nodiscard]] absl::StatusOr<v1::SignedStatement> SignStatement(const crypto::Signer& signer, absl::string_view context,
                                                                absl::string_view payload);

// Its outer form only: canonical, no signature verified. BAD_STATEMENT. The caller has checked the size.
[[nodiscard]] absl::StatusOr<v1::SignedStatement> ParseStatement(absl::string_view bytes);

// The signer of a statement with one signature, which is verified. BAD_STATEMENT if its key is none or there is a
// second signature; BAD_SIGNATURE. About 100 µs.
[[nodiscard]] absl::StatusOr<crypto::PublicKey> VerifySigner(const v1::SignedStatement& statement,
                                                             absl::string_view context);

// When a statement was signed. BAD_STATEMENT if that is before 1970 or over 5 minutes ahead of `now`,
// which is absl::InfiniteFuture() for who only repeats or keeps what another clock has judged.
[[nodiscard]] absl::StatusOr<absl::Time> CheckDate(int64_t unix_ms, absl::Time now);

// From when until when a statement holds that does not hold for ever. BAD_STATEMENT if it is dated before 1970, ends
// before it begins or lasts longer than `max`. FailedPrecondition, which a wrong clock also leads to: FUTURE_DATED if
// it is dated over 5 minutes ahead of `now`, STALE once it has ended.
struct Lifetime {
  absl::Time signed_at;
  absl::Time expires;
};
[[nodiscard]] absl::StatusOr<Lifetime> CheckLifetime(int64_t signed_at_ms, int64_t expires_at_ms, absl::Duration max,
                                                     absl::Time now);

}  // namespace dotagent::identity

#endif  // DOTAGENT_COMMON_IDENTITY_STATEMENT_H_
