#include "common/capability/token_block.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/capability/strict_reader.h"
#include "common/crypto/hash.h"
#include "common/identity/statement.h"
#include "dotagent/capability/v1/token.pb.h"

namespace dotagent::capability {
namespace {

constexpr absl::Time kLatest = absl::FromUnixSeconds(253402300799);  // the end of year 9999

bool IsWordCharacter(char c) {
  return absl::ascii_islower(static_cast<unsigned char>(c)) || absl::ascii_isdigit(static_cast<unsigned char>(c));
}

absl::Status CheckActions(const std::vector<std::string>& actions) {
  if (actions.empty() || actions.size() > kMaxTokenActions) {
    return BadToken(absl::StrCat("a block allows 1 to ", kMaxTokenActions, " actions; this one ",
                                 actions.empty() ? "none" : "more"));
  }
  for (const std::string& action : actions) RETURN_IF_ERROR(CheckAction(action));
  const auto out_of_order = std::adjacent_find(actions.begin(), actions.end(), std::greater_equal<>());
  if (out_of_order == actions.end()) return absl::OkStatus();
  return BadToken(
      absl::StrCat("its actions must stand once each, in ascending order; ", *out_of_order, " stands too early"));
}

absl::Status CheckTimes(absl::Time not_before, absl::Time expires) {
  if (not_before <= absl::UnixEpoch() || expires > kLatest) return BadToken("it holds before 1970 or after 9999");
  if (expires > not_before && expires - not_before <= kMaxTokenLifetime) return absl::OkStatus();
  return BadToken(absl::StrCat("it holds for ", absl::FormatDuration(expires - not_before),
                               "; that must be more than nothing and at most 366 days"));
}

// The rules that a block keeps for itself, whatever stands before it.
absl::Status CheckBlock(const TokenBlock& block) {
  RETURN_IF_ERROR(CheckActions(block.actions));
  RETURN_IF_ERROR(CheckTimes(block.not_before, block.expires));
  if (block.max_uses > kMaxTokenUses) {
    return BadToken(absl::StrCat("it allows ", block.max_uses, " uses; at most ", kMaxTokenUses, " can be counted"));
  }
  if (block.nonce.size() != kTokenNonceSize) {
    return BadToken(absl::StrCat("its nonce has ", block.nonce.size(), " bytes; it must have 16"));
  }
  if (block.previous.empty() || block.previous.size() == crypto::kSha256Size) return absl::OkStatus();
  return BadToken(absl::StrCat("the id of the block before has ", block.previous.size(), " bytes; it must have 32"));
}

absl::Time TimeOf(uint64_t unix_ms) { return absl::FromUnixMillis(static_cast<int64_t>(unix_ms)); }

absl::Status Widened(absl::string_view message) {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kTokenWidened,
                         absl::StrCat(message, "; a block can only narrow the one before"));
}

}  // namespace

absl::Status BadToken(absl::string_view message) {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kBadToken, message);
}

absl::Status CheckAction(absl::string_view action) {
  const auto fits = [](char c) { return IsWordCharacter(c) || c == '-' || c == '.' || c == '_'; };
  if (!action.empty() && action.size() <= kMaxTokenActionSize && IsWordCharacter(action.front()) &&
      IsWordCharacter(action.back()) && std::all_of(action.begin(), action.end(), fits)) {
    return absl::OkStatus();
  }
  return BadToken("an action is 1 to 64 lower-case letters, digits and inner -._ ; write, say, read");
}

absl::StatusOr<std::string> SignTokenBlock(const crypto::Signer& issuer, const TokenGrant& grant,
                                           absl::string_view previous, absl::string_view nonce) {
  ASSIGN_OR_RETURN(Resource resource, Resource::Parse(grant.resource));
  TokenBlock block{.issuer = issuer.public_key(),
                   .audience = grant.audience,
                   .resource = std::move(resource),
                   .actions = grant.actions,
                   .not_before = absl::FromUnixMillis(absl::ToUnixMillis(grant.not_before)),
                   .expires = absl::FromUnixMillis(absl::ToUnixMillis(grant.expires)),
                   .max_uses = grant.max_uses,
                   .nonce = std::string(nonce),
                   .previous = std::string(previous)};
  std::sort(block.actions.begin(), block.actions.end());
  RETURN_IF_ERROR(CheckBlock(block));
  v1::TokenBlock message;
  message.set_issuer(std::string(block.issuer.bytes()));
  message.set_audience(std::string(block.audience.bytes()));
  message.set_resource(block.resource.text());
  for (std::string& action : block.actions) message.add_actions(std::move(action));
  message.set_not_before_ms(absl::ToUnixMillis(block.not_before));
  message.set_expires_at_ms(absl::ToUnixMillis(block.expires));
  message.set_max_uses(block.max_uses);
  message.set_nonce(std::move(block.nonce));
  message.set_previous(std::move(block.previous));
  ASSIGN_OR_RETURN(const identity::v1::SignedStatement statement,
                   identity::SignStatement(issuer, kTokenBlockContext, message.SerializeAsString()));
  return statement.SerializeAsString();
}

absl::StatusOr<TokenEnvelope> ReadTokenEnvelope(absl::string_view statement) {
  StrictReader reader(statement);
  TokenEnvelope envelope{.payload = reader.Bytes(1), .public_key = reader.Bytes(2), .signature = reader.Bytes(3)};
  RETURN_IF_ERROR(reader.Finish("a block's SignedStatement"));
  if (envelope.payload.empty() || envelope.public_key.size() != crypto::kPublicKeySize ||
      envelope.signature.size() != crypto::kSignatureSize) {
    return BadToken("a block has a payload, a public key of 32 bytes and a signature of 64; this one does not");
  }
  envelope.signed_bytes = absl::StrCat(kTokenBlockContext, envelope.payload);
  envelope.id = crypto::Sha256(envelope.signed_bytes);
  return envelope;
}

absl::StatusOr<TokenBlock> VerifyTokenBlock(const TokenEnvelope& envelope) {
  ASSIGN_OR_RETURN(const crypto::PublicKey signer, crypto::PublicKey::FromUncheckedBytes(envelope.public_key));
  RETURN_IF_ERROR(crypto::Verify(signer, envelope.signed_bytes, envelope.signature));
  StrictReader reader(envelope.payload);
  const absl::string_view issuer = reader.Bytes(1);
  const absl::string_view audience_bytes = reader.Bytes(2);
  const absl::string_view resource_text = reader.Bytes(3);
  std::vector<std::string> actions;
  while (const std::optional<absl::string_view> action = reader.NextBytes(4)) {
    // One more than is allowed is enough to refuse the block, and thousands would take memory.
    if (actions.size() <= kMaxTokenActions) actions.emplace_back(*action);
  }
  const absl::Time not_before = TimeOf(reader.Number(5));
  const absl::Time expires = TimeOf(reader.Number(6));
  const uint64_t max_uses = reader.Number(7);
  const absl::string_view nonce = reader.Bytes(8);
  const absl::string_view previous = reader.Bytes(9);
  RETURN_IF_ERROR(reader.Finish("a TokenBlock"));
  if (issuer != envelope.public_key) return BadToken("its issuer is not the key that signed it");
  const absl::StatusOr<crypto::PublicKey> audience = crypto::PublicKey::FromUncheckedBytes(audience_bytes);
  if (!audience.ok()) return BadToken("its audience is no key of 32 bytes");
  ASSIGN_OR_RETURN(Resource resource, Resource::Parse(resource_text));
  TokenBlock block{.id = envelope.id,
                   .issuer = signer,
                   .audience = *audience,
                   .resource = std::move(resource),
                   .actions = std::move(actions),
                   .not_before = not_before,
                   .expires = expires,
                   .max_uses = max_uses,
                   .nonce = std::string(nonce),
                   .previous = std::string(previous)};
  RETURN_IF_ERROR(CheckBlock(block));
  return block;
}

absl::Status CheckNarrows(const TokenBlock& block, const TokenBlock& before) {
  if (block.issuer != before.audience) {
    return Widened("its issuer is not the key to which the block before was given");
  }
  if (!before.resource.Covers(block.resource)) {
    return Widened(absl::StrCat("its resource ", block.resource.text(), " is not below ", before.resource.text()));
  }
  if (!std::includes(before.actions.begin(), before.actions.end(), block.actions.begin(), block.actions.end())) {
    return Widened("it allows an action that the block before does not");
  }
  if (block.not_before < before.not_before || block.expires > before.expires) {
    return Widened("it holds at times at which the block before does not");
  }
  if (before.max_uses != 0 && (block.max_uses == 0 || block.max_uses > before.max_uses)) {
    return Widened(absl::StrCat("it allows more than the ", before.max_uses, " uses of the block before"));
  }
  return absl::OkStatus();
}

}  // namespace dotagent::capability
