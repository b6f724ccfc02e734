#include "common/capability/token.h"

#include <algorithm>
#include <array>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status.h"
#include "common/base/varint.h"
#include "common/capability/strict_reader.h"

namespace dotagent::capability {
namespace {

constexpr char kBlockTag = (1 << 3) | 2;  // field 1 of v1.Token

absl::Status Invalid(absl::string_view reason, absl::string_view message) {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason, message);
}

absl::Status Denied(absl::string_view reason, absl::string_view message) {
  return ErrorWithReason(absl::StatusCode::kPermissionDenied, reason, message);
}

// The blocks' bytes, at most kMaxTokenBlocks of them.
struct BlockBytes {
  std::array<absl::string_view, kMaxTokenBlocks> blocks;
  size_t count = 0;
};

absl::StatusOr<BlockBytes> SplitToken(absl::string_view bytes) {
  if (bytes.size() > kMaxTokenSize) {
    return Invalid(reason::kTooLarge, absl::StrCat("a token has at most 8192 bytes; this one has ", bytes.size()));
  }
  BlockBytes split;
  StrictReader reader(bytes);
  while (const std::optional<absl::string_view> block = reader.NextBytes(1)) {
    if (split.count == kMaxTokenBlocks)
      return Invalid(reason::kTooLarge, "a token has at most 8 blocks; this has more");
    split.blocks[split.count++] = *block;
  }
  RETURN_IF_ERROR(reader.Finish("a Token"));
  if (split.count == 0) return BadToken("a token has at least one block; this one has none");
  return split;
}

std::string NameOfBlock(size_t index) { return absl::StrCat("block ", index + 1); }

absl::StatusOr<std::vector<TokenEnvelope>> ReadEnvelopes(const BlockBytes& split) {
  std::vector<TokenEnvelope> envelopes;
  envelopes.reserve(split.count);
  for (size_t i = 0; i < split.count; ++i) {
    absl::StatusOr<TokenEnvelope> envelope = ReadTokenEnvelope(split.blocks[i]);
    if (!envelope.ok()) return WithContext(envelope.status(), NameOfBlock(i));
    const auto same = std::find_if(envelopes.begin(), envelopes.end(),
                                   [&](const TokenEnvelope& other) { return other.id == envelope->id; });
    if (same != envelopes.end()) {
      return Invalid(reason::kTokenReplayed, absl::StrCat(NameOfBlock(i), " is the same as ",
                                                          NameOfBlock(static_cast<size_t>(same - envelopes.begin())),
                                                          "; a block stands in a token once"));
    }
    envelopes.push_back(*std::move(envelope));
  }
  return envelopes;
}

// That `block`, the one at `index`, follows the one that it names.
absl::Status CheckLink(const TokenBlock& block, size_t index, const std::vector<TokenEnvelope>& envelopes) {
  if (block.previous == (index == 0 ? absl::string_view() : envelopes[index - 1].id)) return absl::OkStatus();
  if (block.previous.empty()) {
    return Invalid(reason::kTokenSpliced, "it is the first block of a chain, and stands behind another");
  }
  for (size_t i = 0; i < envelopes.size(); ++i) {
    if (envelopes[i].id != block.previous) continue;
    return Invalid(reason::kTokenReordered, absl::StrCat("it follows ", NameOfBlock(i), ", and does not stand there"));
  }
  if (index == 0) {
    return Invalid(reason::kTokenCut, "it follows a block that is missing: the beginning of the chain was cut off");
  }
  return Invalid(reason::kTokenSpliced, "it follows a block of another chain, or one that was taken out");
}

// The token of one message with `blocks`, in their order.
std::string Join(absl::string_view blocks, absl::string_view block) {
  std::string token(blocks);
  token.push_back(kBlockTag);
  AppendVarint(block.size(), &token);
  token.append(block.data(), block.size());
  return token;
}

}  // namespace

absl::StatusOr<Token> VerifyToken(absl::string_view bytes) {
  ASSIGN_OR_RETURN(const BlockBytes split, SplitToken(bytes));
  ASSIGN_OR_RETURN(const std::vector<TokenEnvelope> envelopes, ReadEnvelopes(split));
  std::vector<TokenBlock> blocks;
  blocks.reserve(envelopes.size());
  for (size_t i = 0; i < envelopes.size(); ++i) {
    absl::StatusOr<TokenBlock> block = VerifyTokenBlock(envelopes[i]);
    absl::Status status = block.status();
    if (status.ok()) status = CheckLink(*block, i, envelopes);
    if (status.ok() && i > 0) status = CheckNarrows(*block, blocks.back());
    if (!status.ok()) return WithContext(status, NameOfBlock(i));
    blocks.push_back(*std::move(block));
  }
  return Token(std::move(blocks));
}

absl::Status Token::HoldsAt(absl::Time now) const {
  if (now < last().not_before) {
    return ErrorWithReason(
        absl::StatusCode::kFailedPrecondition, reason::kFutureDated,
        absl::StrCat("the token holds from ", absl::FormatTime(last().not_before, absl::UTCTimeZone()),
                     " on; wait, or check the clocks"));
  }
  if (now >= last().expires) {
    return ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kStale,
                           absl::StrCat("the token ended at ", absl::FormatTime(last().expires, absl::UTCTimeZone()),
                                        "; ask for a new one"));
  }
  return absl::OkStatus();
}

absl::Status Token::Allows(const TokenAccess& access, absl::Time now) const {
  if (std::find(access.owners.begin(), access.owners.end(), owner()) == access.owners.end()) {
    return Denied(reason::kNotOwner, absl::StrCat("the token is not signed by the key that owns ",
                                                  access.resource.agent(), "; ask its agent for one"));
  }
  if (access.presenter != last().audience) {
    return Denied(reason::kKeyMismatch,
                  "the token is made out to another key than the one that shows it; have its holder delegate it");
  }
  RETURN_IF_ERROR(HoldsAt(now));
  if (!last().resource.Covers(access.resource)) {
    return Denied(reason::kNotCovered, absl::StrCat("the token is for ", last().resource.text(), ", and ",
                                                    access.resource.text(), " is not below that"));
  }
  if (!std::binary_search(last().actions.begin(), last().actions.end(), access.action)) {
    return Denied(reason::kNotCovered, absl::StrCat("the token allows ", absl::StrJoin(last().actions, ", "), " on ",
                                                    last().resource.text(), ", but not ", access.action));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> IssueToken(const crypto::Signer& owner, const TokenGrant& grant, absl::string_view nonce) {
  ASSIGN_OR_RETURN(const std::string block, SignTokenBlock(owner, grant, "", nonce));
  std::string token = Join("", block);
  // What no one would take is not handed out.
  RETURN_IF_ERROR(VerifyToken(token).status());
  return token;
}

absl::StatusOr<std::string> DelegateToken(absl::string_view token, const crypto::Signer& holder,
                                          const TokenGrant& grant, absl::string_view nonce) {
  ASSIGN_OR_RETURN(const Token verified, VerifyToken(token));
  if (holder.public_key() != verified.last().audience) {
    return Denied(reason::kKeyMismatch, "the token is made out to another key than the one that delegates it");
  }
  if (verified.blocks().size() == kMaxTokenBlocks) {
    return ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kLimit,
                           "the token has 8 blocks already and cannot be handed on; ask for one nearer to its owner");
  }
  ASSIGN_OR_RETURN(const std::string block, SignTokenBlock(holder, grant, verified.last().id, nonce));
  std::string longer = Join(token, block);
  RETURN_IF_ERROR(VerifyToken(longer).status());
  return longer;
}

}  // namespace dotagent::capability
