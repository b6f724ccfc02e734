#include "common/record/address.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/status.h"

namespace dotagent::record {
namespace {

enum class Role { kHost, kPort, kPeer, kOther };

bool IsIp(int family, absl::string_view text) {
  std::array<unsigned char, sizeof(in6_addr)> parsed{};
  return inet_pton(family, std::string(text).c_str(), parsed.data()) == 1;
}
bool IsIp4(absl::string_view text) { return IsIp(AF_INET, text); }
bool IsIp6(absl::string_view text) { return IsIp(AF_INET6, text); }

bool IsDnsName(absl::string_view text) {
  if (text.empty() || text.size() > 253) return false;
  for (const absl::string_view label : absl::StrSplit(text, '.')) {
    if (label.empty() || label.size() > 63 || label.front() == '-' || label.back() == '-') return false;
    if (!std::all_of(label.begin(), label.end(),
                     [](unsigned char c) { return absl::ascii_isalnum(c) || c == '-' || c == '_'; })) {
      return false;
    }
  }
  return true;
}

bool IsPort(absl::string_view text) {
  uint32_t port = 0;
  return !text.empty() && text.size() <= 5 && std::all_of(text.begin(), text.end(), absl::ascii_isdigit) &&
         absl::SimpleAtoi(text, &port) && port >= 1 && port <= 65535 && text.front() != '0';
}

// Base58 (12D3KooW…, Qm…) or a base32 CID (bafz…): letters and digits.
bool IsPeerId(absl::string_view text) {
  return text.size() >= 32 && text.size() <= 128 && std::all_of(text.begin(), text.end(), absl::ascii_isalnum);
}

struct Component {
  absl::string_view name;
  Role role;
  bool (*is_value)(absl::string_view);  // nullptr: takes no value
  absl::string_view expects;
};

constexpr Component kComponents[] = {
    {"ip4", Role::kHost, IsIp4, "an IPv4 address"},
    {"ip6", Role::kHost, IsIp6, "an IPv6 address"},
    {"dns", Role::kHost, IsDnsName, "a host name"},
    {"dns4", Role::kHost, IsDnsName, "a host name"},
    {"dns6", Role::kHost, IsDnsName, "a host name"},
    {"tcp", Role::kPort, IsPort, "a port, 1–65535"},
    {"udp", Role::kPort, IsPort, "a port, 1–65535"},
    {"p2p", Role::kPeer, IsPeerId, "a peer id"},
    {"p2p-circuit", Role::kOther, nullptr, ""},
    {"quic-v1", Role::kOther, nullptr, ""},
    {"ws", Role::kOther, nullptr, ""},
    {"wss", Role::kOther, nullptr, ""},
    {"tls", Role::kOther, nullptr, ""},
    {"noise", Role::kOther, nullptr, ""},
    {"http", Role::kOther, nullptr, ""},
    {"https", Role::kOther, nullptr, ""},
    {"webtransport", Role::kOther, nullptr, ""},
};

const Component* FindComponent(absl::string_view name) {
  const auto* found = std::find_if(std::begin(kComponents), std::end(kComponents),
                                   [&](const Component& component) { return component.name == name; });
  return found == std::end(kComponents) ? nullptr : found;
}

absl::Status BadAddress(absl::string_view address, absl::string_view problem) {
  constexpr size_t kShown = 80;
  const absl::string_view dots = address.size() > kShown ? "…" : "";
  return ErrorWithReason(
      absl::StatusCode::kInvalidArgument, reason::kBadAddress,
      absl::StrCat("\"", absl::CHexEscape(address.substr(0, kShown)), dots, "\" is no multiaddr: ", problem,
                   "; write it like /ip4/192.0.2.1/tcp/4001 or /dns/example.com/tcp/4001/p2p/ID"));
}

std::string Quoted(absl::string_view text) { return absl::StrCat("\"", absl::CHexEscape(text.substr(0, 64)), "\""); }

// Whether the component may stand there: host, then port, then the rest; or a peer id first.
bool MayFollow(const std::vector<Role>& before, Role role) {
  if (before.empty()) return role == Role::kHost || role == Role::kPeer;
  if (before.back() == Role::kHost) return role == Role::kPort;
  return role == Role::kPeer || role == Role::kOther;
}

}  // namespace

absl::Status CheckAddress(absl::string_view address) {
  if (address.size() > kMaxAddressSize) {
    return BadAddress(address,
                      absl::StrCat("it has ", address.size(), " bytes; at most ", kMaxAddressSize, " are allowed"));
  }
  if (address.empty() || address.front() != '/') return BadAddress(address, "it must begin with /");
  // Also keeps a zero byte, which would end the text early, away from inet_pton.
  if (!std::all_of(address.begin(), address.end(), absl::ascii_isgraph)) {
    return BadAddress(address, "it may hold printable ASCII characters only");
  }
  const std::vector<absl::string_view> parts = absl::StrSplit(address.substr(1), '/');
  std::vector<Role> roles;
  for (size_t i = 0; i < parts.size(); ++i) {
    const Component* component = FindComponent(parts[i]);
    if (component == nullptr) return BadAddress(address, absl::StrCat("component ", Quoted(parts[i]), " is not known"));
    if (!MayFollow(roles, component->role)) {
      return BadAddress(address, absl::StrCat("/", component->name, " may not stand there"));
    }
    roles.push_back(component->role);
    if (component->is_value == nullptr) continue;
    if (++i == parts.size() || !component->is_value(parts[i])) {
      return BadAddress(
          address, absl::StrCat("after /", component->name, " comes ", i == parts.size() ? "nothing" : Quoted(parts[i]),
                                ", not ", component->expects));
    }
  }
  if (roles.back() == Role::kHost) return BadAddress(address, "it has no port");
  return absl::OkStatus();
}

}  // namespace dotagent::record
