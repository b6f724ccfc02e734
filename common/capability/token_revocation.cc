#include "common/capability/token_revocation.h"

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/crypto/hash.h"
#include "common/identity/statement.h"
#include "common/record/utf8.h"
#include "dotagent/capability/v1/token.pb.h"

namespace dotagent::capability {
namespace {

using identity::BadStatement;

constexpr absl::string_view kContext("dotagent token revocation v1\0", 29);
constexpr size_t kMaxReason = 256;

absl::Status CheckFields(const v1::TokenRevocation& fields) {
  if (fields.block().size() != crypto::kSha256Size) {
    return BadStatement(absl::StrCat("the id of a block is 32 bytes; this one is ", fields.block().size()));
  }
  if (fields.reason().size() > kMaxReason || !record::IsValidUtf8(fields.reason())) {
    return BadStatement("a revocation's reason is at most 256 bytes of UTF-8; this one is not");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> SignTokenRevocation(const crypto::Signer& signer, absl::string_view block,
                                                absl::string_view reason, absl::Time now) {
  v1::TokenRevocation fields;
  fields.set_block(std::string(block));
  // Looked at first: Protocol Buffers would log text that is not UTF-8.
  if (!record::IsValidUtf8(reason)) return BadStatement("a revocation's reason must be UTF-8");
  fields.set_reason(std::string(reason));
  fields.set_revoked_at_ms(absl::ToUnixMillis(now));
  RETURN_IF_ERROR(CheckFields(fields));
  ASSIGN_OR_RETURN(const identity::v1::SignedStatement statement,
                   identity::SignStatement(signer, kContext, fields.SerializeAsString()));
  return statement.SerializeAsString();
}

absl::StatusOr<TokenRevocation> VerifyTokenRevocation(absl::string_view statement, absl::Time now) {
  if (statement.size() > kMaxTokenRevocationSize) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kTooLarge,
                           absl::StrCat("a token's revocation has at most 512 bytes; this one has ", statement.size()));
  }
  ASSIGN_OR_RETURN(const identity::v1::SignedStatement outer, identity::ParseStatement(statement));
  ASSIGN_OR_RETURN(const crypto::PublicKey signer, identity::VerifySigner(outer, kContext));
  v1::TokenRevocation fields;
  if (!identity::ParseStrictly(outer.payload(), &fields)) {
    return BadStatement("what was signed is no TokenRevocation in its canonical form");
  }
  RETURN_IF_ERROR(CheckFields(fields));
  ASSIGN_OR_RETURN(const absl::Time revoked_at, identity::CheckDate(fields.revoked_at_ms(), now));
  return TokenRevocation{
      .block = fields.block(), .signer = signer, .reason = fields.reason(), .revoked_at = revoked_at};
}

absl::Status RevokedBlocks::Check(const Token& token) const {
  if (revoked_.empty()) return absl::OkStatus();
  for (size_t i = 0; i < token.blocks().size(); ++i) {
    for (size_t j = 0; j <= i; ++j) {
      if (!revoked_.contains(std::make_pair(token.blocks()[i].id, token.blocks()[j].issuer))) continue;
      return ErrorWithReason(absl::StatusCode::kPermissionDenied, reason::kTokenRevoked,
                             absl::StrCat("block ", i + 1, " of the token has been revoked; ask for a new one"));
    }
  }
  return absl::OkStatus();
}

}  // namespace dotagent::capability
