// The C++ side of check_token.py (see words.h for the form of a question):
//
//   verify NOW_MS OWNER PRESENTER RESOURCE ACTION TOKEN → ok ID of the last block
//   verify-with NOW_MS OWNER PRESENTER RESOURCE ACTION TOKEN KEYS [REVOCATION…]
//                                                       → the same for who has heard, since he saw the token first,
//                                                         that KEYS (one behind the other) are revoked, and blocks
//   sign SEED TOKEN AUDIENCE RESOURCE ACTIONS FROM_MS TO_MS USES NONCE
//                                                       → ok TOKEN: issued if TOKEN is -, else delegated; ACTIONS are
//                                                         separated by commas
//   revoke SEED BLOCK REASON NOW_MS                     → ok STATEMENT
//   check-revocation STATEMENT NOW_MS                   → ok BLOCK ‖ SIGNER
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/status.h"
#include "common/capability/token.h"
#include "common/capability/token_cache.h"
#include "common/capability/token_revocation.h"
#include "google/protobuf/stubs/logging.h"
#include "tests/interop/words.h"

namespace dotagent::capability {
namespace {

using interop::Words;

// What `verify` and `verify-with` ask.
struct Question {
  absl::Time now;
  std::vector<crypto::PublicKey> owners;
  crypto::PublicKey presenter;
  std::string resource;
  std::string action;
  std::string token;
};

Question ReadQuestion(Words& words) {
  Question question;
  question.now = absl::FromUnixMillis(words.Number());
  question.owners = {words.Key()};
  question.presenter = words.Key();
  question.resource = words.Bytes();
  question.action = words.Bytes();
  question.token = words.Bytes();
  return question;
}

absl::StatusOr<std::string> Verify(Words& words) {
  const Question question = ReadQuestion(words);
  RETURN_IF_ERROR(words.Finish());
  ASSIGN_OR_RETURN(const Resource resource, Resource::Parse(question.resource));
  ASSIGN_OR_RETURN(const Token token, VerifyToken(question.token));
  RETURN_IF_ERROR(token.Allows(
      {.owners = question.owners, .presenter = question.presenter, .resource = resource, .action = question.action},
      question.now));
  return token.last().id;
}

// As a gateway: through the cache, from which what is revoked must go.
absl::StatusOr<std::string> VerifyWith(Words& words) {
  const Question question = ReadQuestion(words);
  const std::string keys = words.Bytes();
  std::vector<std::string> statements;
  while (words.more()) statements.push_back(words.Bytes());
  RETURN_IF_ERROR(words.Finish());
  ASSIGN_OR_RETURN(const Resource resource, Resource::Parse(question.resource));
  absl::flat_hash_set<crypto::PublicKey> revoked;
  TokenCache cache(kMaxTokenSize, [&](const crypto::PublicKey& key) { return revoked.contains(key); });
  const auto check = [&] {
    return cache.Check(
        question.token,
        {.owners = question.owners, .presenter = question.presenter, .resource = resource, .action = question.action},
        question.now);
  };
  static_cast<void>(check());  // so that it is in the cache, if it may be
  for (size_t at = 0; at + crypto::kPublicKeySize <= keys.size(); at += crypto::kPublicKeySize) {
    ASSIGN_OR_RETURN(const crypto::PublicKey key,
                     crypto::PublicKey::FromUncheckedBytes(keys.substr(at, crypto::kPublicKeySize)));
    revoked.insert(key);
    cache.OnKeyRevoked(key);
  }
  for (const std::string& statement : statements) {
    const auto revocation = VerifyTokenRevocation(statement, question.now);
    if (revocation.ok()) cache.OnBlockRevoked(revocation->block, revocation->signer);
  }
  ASSIGN_OR_RETURN(const auto token, check());
  return token->last().id;
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
  if (command == "verify-with") return VerifyWith(words);
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
