// The C++ side of check_token.py: answers one line for each line of standard input. All words but numbers are base64;
// "-" is nothing.
//
//   verify NOW_MS OWNER PRESENTER RESOURCE ACTION TOKEN → ok ID of the last block
//   sign SEED TOKEN AUDIENCE RESOURCE ACTIONS FROM_MS TO_MS USES NONCE → ok TOKEN: issued if TOKEN is -, else
//   delegated.
//                                                         ACTIONS are separated by commas
//   revoke SEED BLOCK REASON NOW_MS                     → ok STATEMENT
//   check-revocation STATEMENT NOW_MS                   → ok BLOCK ‖ SIGNER
//
// or "refused REASON message".
#include <iostream>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/bytes.h"
#include "common/base/status.h"
#include "common/capability/token.h"
#include "common/capability/token_revocation.h"

namespace dotagent::capability {
namespace {

// A line's words, read one after the other. The first that is wrong is kept.
class Words {
 public:
  explicit Words(const std::string& line) : words_(absl::StrSplit(line, ' ')) {}

  std::string Text() { return next_ < words_.size() ? words_[next_++] : Missing(); }
  std::string Bytes() {
    const std::string text = Text();
    if (text == "-") return "";
    absl::StatusOr<std::string> bytes = Base64Decode(text);
    if (!bytes.ok()) Note(bytes.status());
    return bytes.value_or("");
  }
  int64_t Number() {
    int64_t number = 0;
    if (!absl::SimpleAtoi(Text(), &number)) Note(absl::InvalidArgumentError("no number"));
    return number;
  }
  crypto::PublicKey Key() {
    const auto key = crypto::PublicKey::FromUncheckedBytes(Bytes());
    if (!key.ok()) Note(key.status());
    return key.value_or(crypto::PublicKey());
  }
  absl::Status Finish() const {
    if (status_.ok() && next_ < words_.size()) return absl::InvalidArgumentError("too many words");
    return status_;
  }

 private:
  std::string Missing() {
    Note(absl::InvalidArgumentError("too few words"));
    return "";
  }
  void Note(const absl::Status& status) {
    if (status_.ok()) status_ = status;
  }
  const std::vector<std::string> words_;
  size_t next_ = 0;
  absl::Status status_;
};

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

absl::StatusOr<std::string> Answer(const std::string& line) {
  Words words(line);
  const std::string command = words.Text();
  if (command == "verify") return Verify(words);
  if (command == "sign") return Sign(words);
  if (command == "revoke") return Revoke(words);
  if (command == "check-revocation") return CheckRevocation(words);
  return absl::InvalidArgumentError("unknown command");
}

}  // namespace
}  // namespace dotagent::capability

int main() {
  std::string line;
  while (std::getline(std::cin, line)) {
    const auto answer = dotagent::capability::Answer(line);
    if (answer.ok()) {
      std::cout << "ok " << dotagent::Base64Encode(*answer) << std::endl;
    } else {
      const std::string reason = dotagent::ReasonOf(answer.status());
      std::cout << "refused " << (reason.empty() ? "-" : reason) << " " << answer.status().message() << std::endl;
    }
  }
  return 0;
}
