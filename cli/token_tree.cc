#include "cli/token_tree.h"

#include <cstddef>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/command.h"
#include "common/base/bytes.h"
#include "common/base/status.h"

namespace dotagent::cli {
namespace {

using capability::Token;
using capability::TokenBlock;

std::string Key(const crypto::PublicKey& key) { return Base64Encode(key.bytes()); }

std::string Uses(const TokenBlock& block) {
  if (block.max_uses == 0) return "uses without limit";
  return absl::StrCat(block.max_uses, block.max_uses == 1 ? " use" : " uses");
}

std::string Validity(const Token& token, absl::Time now) {
  if (now < token.last().not_before)
    return absl::StrCat("Not valid before ", FormatTokenTime(token.last().not_before), ".");
  if (now >= token.expires()) return absl::StrCat("Ended ", FormatTokenTime(token.expires()), ".");
  return absl::StrCat("The chain is valid until ", FormatTokenTime(token.expires()), ", for ",
                      Key(token.last().audience), " alone.");
}

}  // namespace

absl::StatusOr<std::string> ReadToken(const std::string& path) {
  constexpr size_t kMaxText = 2 * capability::kMaxTokenSize;
  ASSIGN_OR_RETURN(const std::string text, ReadInput(path, kMaxText));
  const absl::StatusOr<std::string> bytes = Base64Decode(absl::StripAsciiWhitespace(text));
  return bytes.ok() ? *bytes : text;
}

std::string FormatTokenTime(absl::Time time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E*SZ", time, absl::UTCTimeZone());
}

std::string TokenTree(const Token& token, absl::Time now) {
  std::string tree =
      absl::StrCat("agent://", token.blocks().front().resource.agent(), "  signed by ", Key(token.owner()), "\n");
  std::string indent;
  for (size_t i = 0; i < token.blocks().size(); ++i) {
    const TokenBlock& block = token.blocks()[i];
    const bool last = i + 1 == token.blocks().size();
    const std::string below = absl::StrCat(indent, last ? "   " : "   │", last ? "   " : "  ");
    absl::StrAppend(&tree, indent, "└─ ", i + 1, ". to ", Key(block.audience), "\n");
    absl::StrAppend(&tree, below, absl::StrJoin(block.actions, ", "), " on ", block.resource.text(), "\n");
    absl::StrAppend(&tree, below, FormatTokenTime(block.not_before), " to ", FormatTokenTime(block.expires), ", ",
                    Uses(block), "\n");
    absl::StrAppend(&tree, below, "id ", HexEncode(block.id), "\n");
    indent += "   ";
  }
  absl::StrAppend(&tree, Validity(token, now), "\n");
  return tree;
}

nlohmann::ordered_json TokenJson(const Token& token) {
  nlohmann::ordered_json blocks = nlohmann::ordered_json::array();
  for (const TokenBlock& block : token.blocks()) {
    nlohmann::ordered_json one = {{"id", HexEncode(block.id)},
                                  {"issuer", Key(block.issuer)},
                                  {"audience", Key(block.audience)},
                                  {"resource", block.resource.text()},
                                  {"actions", block.actions},
                                  {"not_before", FormatTokenTime(block.not_before)},
                                  {"expires", FormatTokenTime(block.expires)}};
    if (block.max_uses != 0) one["max_uses"] = block.max_uses;
    blocks.push_back(std::move(one));
  }
  return blocks;
}

}  // namespace dotagent::cli
