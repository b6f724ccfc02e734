#include "common/crypto/key_address.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/base/bytes.h"
#include "common/base/status.h"

namespace dotagent::crypto {
namespace {

constexpr absl::string_view kPkcs11Scheme = "pkcs11:";
constexpr absl::string_view kTpmScheme = "tpm2:";

absl::Status BadAddress(absl::string_view message) {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kBadKey, absl::StrCat("key address: ", message));
}

absl::StatusOr<std::string> Unescape(absl::string_view name, absl::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      if (!absl::ascii_isgraph(static_cast<unsigned char>(text[i]))) {
        return BadAddress(absl::StrCat("the value of ", name, " has a character that must be written as %XX"));
      }
      out.push_back(text[i]);
      continue;
    }
    const absl::StatusOr<std::string> byte = HexDecode(text.substr(i + 1, 2));
    if (!byte.ok() || byte->size() != 1) {
      return BadAddress(absl::StrCat("the value of ", name, " has a % without two hexadecimal digits behind it"));
    }
    out.append(*byte);
    i += 2;
  }
  return out;
}

// Text goes to C interfaces, and so holds no zero byte.
absl::StatusOr<std::string> UnescapeText(absl::string_view name, absl::string_view text) {
  ASSIGN_OR_RETURN(std::string out, Unescape(name, text));
  if (out.empty() || absl::StrContains(out, '\0')) {
    return BadAddress(absl::StrCat("the value of ", name, " is empty or has a zero byte"));
  }
  return out;
}

// NAME=VALUE pairs, each name once.
using Pairs = std::vector<std::pair<absl::string_view, absl::string_view>>;
absl::StatusOr<Pairs> SplitPairs(absl::string_view text, char separator) {
  Pairs pairs;
  if (text.empty()) return pairs;
  for (const absl::string_view part : absl::StrSplit(text, separator)) {
    const size_t equals = part.find('=');
    if (equals == absl::string_view::npos || equals == 0) {
      return BadAddress(absl::StrCat("between its '", absl::string_view(&separator, 1), "' stands NAME=VALUE"));
    }
    const absl::string_view name = part.substr(0, equals);
    if (!std::all_of(name.begin(), name.end(), [](char c) { return absl::ascii_islower(c) || c == '-'; })) {
      return BadAddress("the name of an attribute has only lower-case letters and hyphens");
    }
    if (std::any_of(pairs.begin(), pairs.end(), [&](const auto& pair) { return pair.first == name; })) {
      return BadAddress(absl::StrCat(name, " stands there twice"));
    }
    pairs.emplace_back(name, part.substr(equals + 1));
  }
  return pairs;
}

absl::StatusOr<std::string> AbsolutePath(absl::string_view name, absl::string_view text) {
  absl::StatusOr<std::string> path = UnescapeText(name, text);
  if (path.ok() && path->front() != '/') return BadAddress(absl::StrCat(name, " must be an absolute path"));
  return path;
}

// RFC 7512 lets it be a file: URI or what the implementation takes; here a path.
absl::StatusOr<std::string> PinSource(absl::string_view text) {
  if (absl::ConsumePrefix(&text, "file:") && absl::StartsWith(text, "///")) text.remove_prefix(2);
  return AbsolutePath("pin-source", text);
}

absl::Status SetPathAttribute(absl::string_view name, absl::string_view value, Pkcs11KeyAddress& address) {
  const std::array<std::pair<absl::string_view, std::string*>, 5> texts{{{"token", &address.token},
                                                                         {"manufacturer", &address.manufacturer},
                                                                         {"model", &address.model},
                                                                         {"serial", &address.serial},
                                                                         {"object", &address.object}}};
  for (const auto& [text, member] : texts) {
    if (name != text) continue;
    ASSIGN_OR_RETURN(*member, UnescapeText(name, value));
    return absl::OkStatus();
  }
  if (name == "id") {
    ASSIGN_OR_RETURN(address.id, Unescape(name, value));
    return address.id.empty() ? BadAddress("the value of id is empty") : absl::OkStatus();
  }
  if (name == "slot-id") {
    uint64_t slot = 0;
    if (!std::all_of(value.begin(), value.end(), absl::ascii_isdigit) || !absl::SimpleAtoi(value, &slot)) {
      return BadAddress("the value of slot-id is no number");
    }
    address.slot_id = slot;
    return absl::OkStatus();
  }
  if (name == "type") {
    return value == "private" ? absl::OkStatus() : BadAddress("type must be private, or left out");
  }
  return BadAddress(absl::StrCat("the attribute ", name, " is not understood here"));
}

absl::StatusOr<KeyAddress> ParsePkcs11(absl::string_view path, absl::string_view query) {
  Pkcs11KeyAddress address;
  ASSIGN_OR_RETURN(const Pairs attributes, SplitPairs(path, ';'));
  for (const auto& [name, value] : attributes) RETURN_IF_ERROR(SetPathAttribute(name, value, address));
  ASSIGN_OR_RETURN(const Pairs options, SplitPairs(query, '&'));
  for (const auto& [name, value] : options) {
    if (name == "module-path") {
      ASSIGN_OR_RETURN(address.module_path, AbsolutePath(name, value));
    } else if (name == "pin-source") {
      ASSIGN_OR_RETURN(address.pin_source, PinSource(value));
    } else if (name == "pin-value") {
      return BadAddress("a PIN in it could be read by whoever lists processes; use pin-source=FILE, or a passphrase");
    } else {
      return BadAddress(absl::StrCat("the attribute ", name, " is not understood here"));
    }
  }
  return address;
}

absl::StatusOr<KeyAddress> ParseTpm(absl::string_view path, absl::string_view query) {
  TpmKeyAddress address;
  ASSIGN_OR_RETURN(address.path, UnescapeText("the path", path));
  ASSIGN_OR_RETURN(const Pairs options, SplitPairs(query, '&'));
  for (const auto& [name, value] : options) {
    if (name == "tcti") {
      ASSIGN_OR_RETURN(address.tcti, UnescapeText(name, value));
    } else if (name == "pin-source") {
      ASSIGN_OR_RETURN(address.pin_source, PinSource(value));
    } else {
      return BadAddress(
          absl::StrCat("the attribute ", name, " is not understood here; tpm2: takes tcti and pin-source"));
    }
  }
  return address;
}

}  // namespace

absl::StatusOr<KeyAddress> ParseKeyAddress(absl::string_view text) {
  if (text.empty() || text.size() > kMaxKeyAddress || absl::StrContains(text, '\0')) {
    return BadAddress("it has 1 to 4096 bytes, none of them zero");
  }
  const bool pkcs11 = absl::StartsWith(text, kPkcs11Scheme);
  if (!pkcs11 && !absl::StartsWith(text, kTpmScheme)) return FileKeyAddress{std::string(text)};
  text.remove_prefix(pkcs11 ? kPkcs11Scheme.size() : kTpmScheme.size());
  const size_t question = text.find('?');
  const absl::string_view path = text.substr(0, question);
  const absl::string_view query = question == absl::string_view::npos ? "" : text.substr(question + 1);
  return pkcs11 ? ParsePkcs11(path, query) : ParseTpm(path, query);
}

}  // namespace dotagent::crypto
