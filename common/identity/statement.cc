#include "common/identity/statement.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace dotagent::identity {
namespace {

constexpr absl::Duration kMaxAhead = absl::Minutes(5);

}  // namespace

absl::Status BadStatement(absl::string_view message) {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kBadStatement, message);
}

absl::StatusOr<v1::SignedStatement> SignStatement(const crypto::Signer& signer, absl::string_view context,
                                                  absl::string_view payload) {
  v1::SignedStatement statement;
  statement.set_payload(std::string(payload));
  statement.set_public_key(std::string(signer.public_key().bytes()));
  ASSIGN_OR_RETURN(*statement.mutable_signature(), signer.Sign(absl::StrCat(context, payload)));
  return statement;
}

absl::StatusOr<v1::SignedStatement> ParseStatement(absl::string_view bytes) {
  v1::SignedStatement statement;
  if (!ParseStrictly(bytes, &statement)) {
    return BadStatement("this is no SignedStatement in its canonical form");
  }
  return statement;
}

absl::StatusOr<crypto::PublicKey> VerifySigner(const v1::SignedStatement& statement, absl::string_view context) {
  if (!statement.successor_signature().empty()) {
    return BadStatement("only a rotation has a second signature");
  }
  const absl::StatusOr<crypto::PublicKey> key = crypto::PublicKey::FromBytes(statement.public_key());
  if (!key.ok()) {
    return BadStatement(absl::StrCat("the signer's key: ", key.status().message()));
  }
  RETURN_IF_ERROR(crypto::Verify(*key, absl::StrCat(context, statement.payload()), statement.signature()));
  return *key;
}

absl::StatusOr<absl::Time> CheckDate(int64_t unix_ms, absl::Time now) {
  const absl::Time when = absl::FromUnixMillis(unix_ms);
  if (unix_ms <= 0 || when > now + kMaxAhead) {
    return BadStatement(absl::StrCat("it is dated ", absl::FormatTime(when, absl::UTCTimeZone()),
                                     ", which is more than 5 minutes ahead or before 1970; check the clocks"));
  }
  return when;
}

absl::StatusOr<Lifetime> CheckLifetime(int64_t signed_at_ms, int64_t expires_at_ms, absl::Duration max,
                                       absl::Time now) {
  const absl::Time signed_at = absl::FromUnixMillis(signed_at_ms);
  const absl::Time expires = absl::FromUnixMillis(expires_at_ms);
  if (signed_at_ms <= 0) return BadStatement("it is dated before 1970");
  if (expires <= signed_at || expires - signed_at > max) {
    return BadStatement(absl::StrCat("it lasts ", absl::FormatDuration(expires - signed_at),
                                     "; it must be more than nothing and at most ", absl::FormatDuration(max)));
  }
  if (signed_at > now + kMaxAhead) {
    return ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kFutureDated,
                           absl::StrCat("it is dated ", absl::FormatTime(signed_at, absl::UTCTimeZone()),
                                        ", more than 5 minutes ahead; check the clocks"));
  }
  if (expires <= now) {
    return ErrorWithReason(
        absl::StatusCode::kFailedPrecondition, reason::kStale,
        absl::StrCat("it ended at ", absl::FormatTime(expires, absl::UTCTimeZone()), "; sign a new one"));
  }
  return Lifetime{signed_at, expires};
}

}  // namespace dotagent::identity
