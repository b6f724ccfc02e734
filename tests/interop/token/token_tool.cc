// The C++ side of check_token.py (see words.h for the form of a question):
//
//   verify NOW_MS OWNER PRESENTER RESOURCE ACTION TOKEN → ok ID of the last block
//   sign SEED TOKEN AUDIENCE RESOURCE ACTIONS FROM_MS TO_MS USES NONCE
//                                                       → ok TOKEN: issued if TOKEN is -, else delegated; ACTIONS are
//                                                         separated by commas
//   revoke SEED BLOCK REASON NOW_MS                     → ok STATEMENT
//   check-revocation STATEMENT NOW_MS                   → ok BLOCK ‖ SIGNER
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/status.h"
#include "common/capability/token.h"
#include "common/capability/token_revocation.h"
#include "google/protobuf/stubs/logging.h"
#include "tests/interop/words.h"

namespace dotagent::capability {
namespace {

using interop::Words;

absl::StatusOr<std::string> Verify(Words& words) {
  const absl::Time now = absl::FromUnixMillis(words.Number());
  const std::vector<crypto::PublicKey> owners = {words.Key()};
  const crypto::PublicKey presenter = words.Key();
  const std::string resource_text = words.Bytes();
  const std::string action = words.Bytes();
  const std::string bytes = words.Bytes();
  RETURN_IF_ERROR(words.Finish());
  ASSIGN_OR_RETURN(const Resource resource, Resource::Parse(resource_text));
  ASSIGN_OR_RETURN(const Token token, VerifyToken(bytes));
  RETURN_IF_ERROR(
      token.Allows({.owners = owners, .presenter = presenter, .resource = resource, .action = action}, now));
  return token.last().id;
}

absl::StatusOr<std::string> Sign(Words& words) {
  const auto key = crypto::SigningKey::FromSeed(words.Bytes());
  const std::string before = words.Bytes();
  TokenGrant grant{.audience = words.Key(), .resource = words.Bytes(), .actions = absl::StrSplit(words.Bytes(), ',')};
  grant.not_before = absl::FromUnixMillis(words.Number());
  grant.expires = absl::FromUnixMillis(words.Number());
  grant.max_uses = static_cast<uint64_t>(words.Number());
  const std::string nonce = words.Bytes();
  RETURN_IF_ERROR(words.Finish());
  RETURN_IF_ERROR(key.status());
  return before.empty() ? IssueToken(*key, grant, nonce) : DelegateToken(before, *key, grant, nonce);
}

absl::StatusOr<std::string> Revoke(Words& words) {
  const auto key = crypto::SigningKey::FromSeed(words.Bytes());
  const std::string block = words.Bytes();
  const std::string reason = words.Bytes();
  const absl::Time now = absl::FromUnixMillis(words.Number());
  RETURN_IF_ERROR(words.Finish());
  RETURN_IF_ERROR(key.status());
  return SignTokenRevocation(*key, block, reason, now);
}

absl::StatusOr<std::string> CheckRevocation(Words& words) {
  const std::string statement = words.Bytes();
  const absl::Time now = absl::FromUnixMillis(words.Number());
  RETURN_IF_ERROR(words.Finish());
  ASSIGN_OR_RETURN(const TokenRevocation revocation, VerifyTokenRevocation(statement, now));
  return absl::StrCat(revocation.block, revocation.signer.bytes());
}

absl::StatusOr<std::string> Answer(const std::string& command, Words& words) {
  if (command == "verify") return Verify(words);
  if (command == "sign") return Sign(words);
  if (command == "revoke") return Revoke(words);
  if (command == "check-revocation") return CheckRevocation(words);
  return absl::InvalidArgumentError("unknown command");
}

}  // namespace
}  // namespace dotagent::capability

int main() {
  google::protobuf::SetLogHandler(nullptr);  // texts that are no UTF-8 are asked about on purpose
  dotagent::interop::AnswerLines(dotagent::capability::Answer);
  return 0;
}
