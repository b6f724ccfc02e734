// The C++ side of check_identity.py (see words.h for the form of a question):
//
//   incept SEED NEXT_KEY NOW_MS                    → ok STATEMENT
//   rotate CHAIN SEED NEXT_SEED AFTER_NEXT NOW_MS  → ok CHAIN, longer by one
//   chain CHAIN NOW_MS                             → ok AGENT_ID ‖ CURRENT ‖ COMMITMENT ‖ DIGEST of the last statement
//   compare CHAIN CHAIN NOW_MS                     → ok RELATION
//   revoke SEED AGENT_ID KEY REASON NOW_MS         → ok STATEMENT
//   check-revocation STATEMENT CHAIN REGISTRAR NOW_MS → ok AGENT_ID ‖ KEY ‖ BY; CHAIN and REGISTRAR may be "-"
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/identity/revocation.h"
#include "common/identity/rotation.h"
#include "google/protobuf/stubs/logging.h"
#include "tests/interop/words.h"

namespace dotagent::identity {
namespace {

using interop::Words;

absl::Time ReadTime(Words& words) { return absl::FromUnixMillis(words.Number()); }

absl::StatusOr<RotationChain> CheckChain(const std::string& bytes, absl::Time now) {
  ASSIGN_OR_RETURN(const std::vector<std::string> statements, DecodeRotationChain(bytes));
  return VerifyRotationChain(statements, now);
}

absl::StatusOr<std::string> Incept(Words& words) {
  const auto key = crypto::SigningKey::FromSeed(words.Bytes());
  const crypto::PublicKey next = words.Key();
  const absl::Time now = ReadTime(words);
  RETURN_IF_ERROR(words.Finish());
  RETURN_IF_ERROR(key.status());
  return MakeInception(*key, next, now);
}

absl::StatusOr<std::string> Rotate(Words& words) {
  const std::string before = words.Bytes();
  const auto current = crypto::SigningKey::FromSeed(words.Bytes());
  const auto next = crypto::SigningKey::FromSeed(words.Bytes());
  const crypto::PublicKey after_next = words.Key();
  const absl::Time now = ReadTime(words);
  RETURN_IF_ERROR(words.Finish());
  RETURN_IF_ERROR(current.status());
  RETURN_IF_ERROR(next.status());
  ASSIGN_OR_RETURN(std::vector<std::string> statements, DecodeRotationChain(before));
  ASSIGN_OR_RETURN(const RotationChain chain, VerifyRotationChain(statements, now));
  ASSIGN_OR_RETURN(std::string rotation, MakeRotation(chain, *current, *next, after_next, now));
  statements.push_back(std::move(rotation));
  return EncodeRotationChain(statements);
}

absl::StatusOr<std::string> Chain(Words& words) {
  const std::string bytes = words.Bytes();
  const absl::Time now = ReadTime(words);
  RETURN_IF_ERROR(words.Finish());
  ASSIGN_OR_RETURN(const RotationChain chain, CheckChain(bytes, now));
  return absl::StrCat(chain.agent.bytes(), chain.current().bytes(), chain.next_commitment, chain.events.back().digest);
}

absl::string_view NameOf(ChainRelation relation) {
  switch (relation) {
    case ChainRelation::kSame:
      return "same";
    case ChainRelation::kOlder:
      return "older";
    case ChainRelation::kNewer:
      return "newer";
    case ChainRelation::kFork:
      return "fork";
    case ChainRelation::kStrangers:
      return "strangers";
  }
  return "";
}

absl::StatusOr<std::string> Compare(Words& words) {
  const std::string a = words.Bytes();
  const std::string b = words.Bytes();
  const absl::Time now = ReadTime(words);
  RETURN_IF_ERROR(words.Finish());
  ASSIGN_OR_RETURN(const RotationChain ours, CheckChain(a, now));
  ASSIGN_OR_RETURN(const RotationChain theirs, CheckChain(b, now));
  return std::string(NameOf(CompareRotationChains(ours, theirs).relation));
}

absl::StatusOr<std::string> Revoke(Words& words) {
  const auto signer = crypto::SigningKey::FromSeed(words.Bytes());
  const auto agent = AgentId::FromBytes(words.Bytes());
  const crypto::PublicKey revoked = words.Key();
  const std::string reason = words.Bytes();
  const absl::Time now = ReadTime(words);
  RETURN_IF_ERROR(words.Finish());
  RETURN_IF_ERROR(signer.status());
  RETURN_IF_ERROR(agent.status());
  return SignRevocationOf(*signer, *agent, revoked, reason, now);
}

absl::StatusOr<std::string> CheckRevocation(Words& words) {
  const std::string statement = words.Bytes();
  const std::string chain_bytes = words.Bytes();
  const std::string registrar_bytes = words.Bytes();
  const absl::Time now = ReadTime(words);
  RETURN_IF_ERROR(words.Finish());
  std::optional<RotationChain> chain;
  if (!chain_bytes.empty()) {
    ASSIGN_OR_RETURN(chain, CheckChain(chain_bytes, now));
  }
  std::vector<crypto::PublicKey> registrars;
  if (!registrar_bytes.empty()) {
    ASSIGN_OR_RETURN(const crypto::PublicKey registrar, crypto::PublicKey::FromBytes(registrar_bytes));
    registrars.push_back(registrar);
  }
  ASSIGN_OR_RETURN(const Revocation revocation,
                   VerifyRevocation(statement, now, {.chain = chain ? &*chain : nullptr, .registrars = registrars}));
  const absl::string_view by = revocation.by == RevokedBy::kItself      ? "itself"
                               : revocation.by == RevokedBy::kSuccessor ? "successor"
                                                                        : "registrar";
  return absl::StrCat(revocation.agent_id.bytes(), revocation.public_key.bytes(), by);
}

absl::StatusOr<std::string> Answer(const std::string& command, Words& words) {
  if (command == "incept") return Incept(words);
  if (command == "rotate") return Rotate(words);
  if (command == "chain") return Chain(words);
  if (command == "compare") return Compare(words);
  if (command == "revoke") return Revoke(words);
  if (command == "check-revocation") return CheckRevocation(words);
  return absl::InvalidArgumentError("unknown command");
}

}  // namespace
}  // namespace dotagent::identity

int main() {
  google::protobuf::SetLogHandler(nullptr);  // texts that are no UTF-8 are asked about on purpose
  dotagent::interop::AnswerLines(dotagent::identity::Answer);
  return 0;
}
