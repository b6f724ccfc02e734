#include "common/dht/ip_group.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "common/dht/types.h"

namespace dotagent::dht {
namespace {

// Where an address is: its group, or that it is private and its group.
struct Place {
  IpGroup group;
  bool is_private;
};
constexpr Place kUnknown = {kUnknownIpGroup, false};

using Ip4 = std::array<uint8_t, 4>;
using Ip6 = std::array<uint8_t, 16>;

struct Prefix4 {
  uint32_t prefix;
  int bits;
};
// IANA's IPv4 special-purpose registry: what is not globally reachable.
constexpr Prefix4 kPrivate4[] = {
    {0x00000000, 8},   // this network
    {0x0a000000, 8},   // RFC 1918
    {0x64400000, 10},  // shared address space, RFC 6598
    {0x7f000000, 8},   // loopback
    {0xa9fe0000, 16},  // link-local
    {0xac100000, 12},  // RFC 1918
    {0xc0000000, 24},  // IETF protocol assignments
    {0xc0000200, 24},  // documentation
    {0xc0a80000, 16},  // RFC 1918
    {0xc6120000, 15},  // benchmarking
    {0xc6336400, 24},  // documentation
    {0xcb007100, 24},  // documentation
};

// The value between an address's first component and the next slash.
std::optional<absl::string_view> ValueOf(absl::string_view address, absl::string_view component) {
  if (!absl::ConsumePrefix(&address, component)) return std::nullopt;
  return address.substr(0, address.find('/'));
}

// inet_pton wants a terminated string.
template <typename Ip>
std::optional<Ip> ParseIp(int family, absl::string_view text) {
  std::array<char, INET6_ADDRSTRLEN> terminated{};
  Ip ip{};
  if (text.size() >= terminated.size()) return std::nullopt;
  std::copy(text.begin(), text.end(), terminated.begin());
  if (text.find('\0') != absl::string_view::npos || inet_pton(family, terminated.data(), ip.data()) != 1) {
    return std::nullopt;
  }
  return ip;
}

Place PlaceOf(const Ip4& ip) {
  const uint32_t value = uint32_t{ip[0]} << 24 | uint32_t{ip[1]} << 16 | uint32_t{ip[2]} << 8 | ip[3];
  const bool is_private = std::any_of(std::begin(kPrivate4), std::end(kPrivate4), [&](const Prefix4& range) {
    return (value ^ range.prefix) >> (32 - range.bits) == 0;
  });
  return {0x20020000 | value >> 16, is_private};
}

Place PlaceOf(const Ip6& ip) {
  const auto starts_with = [&](std::initializer_list<uint8_t> prefix) {
    return std::equal(prefix.begin(), prefix.end(), ip.begin());
  };
  // IPv4 inside IPv6: mapped addresses, and NAT64 (RFC 6052).
  if (starts_with({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}) ||
      starts_with({0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0})) {
    return PlaceOf(Ip4{ip[12], ip[13], ip[14], ip[15]});
  }
  const uint32_t group = uint32_t{ip[0]} << 24 | uint32_t{ip[1]} << 16 | uint32_t{ip[2]} << 8 | ip[3];
  const bool is_loopback = starts_with({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}) && ip[15] <= 1;
  const bool is_unique_local = (ip[0] & 0xfe) == 0xfc;
  const bool is_link_local = ip[0] == 0xfe && (ip[1] & 0xc0) == 0x80;
  const bool is_documentation = group == 0x20010db8;
  return {group, is_loopback || is_unique_local || is_link_local || is_documentation};
}

Place PlaceOfName(absl::string_view name) {
  absl::ConsumeSuffix(&name, ".");
  const std::string lower = absl::AsciiStrToLower(name);
  const size_t top = lower.rfind('.');
  const bool has_form = std::all_of(lower.begin(), lower.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '.';
  });
  if (lower.empty() || top == 0 || !has_form) return kUnknown;
  // A resolver takes 8.9.10.11, 134810123 and 0x8090a0b for addresses; no top-level domain starts with a digit.
  if (absl::ascii_isdigit(static_cast<unsigned char>(lower[top == std::string::npos ? 0 : top + 1]))) return kUnknown;
  const size_t before = top == std::string::npos ? top : lower.rfind('.', top - 1);
  const absl::string_view domain = absl::string_view(lower).substr(before == std::string::npos ? 0 : before + 1);
  // FNV-1a: the same on every run, and needs to keep apart honest names only.
  uint32_t hash = 2166136261;
  for (const char c : domain) hash = (hash ^ static_cast<uint8_t>(c)) * 16777619;
  const bool is_private = top == std::string::npos || absl::EndsWith(lower, ".local") ||
                          absl::EndsWith(lower, ".internal") || absl::EndsWith(lower, ".localhost") ||
                          absl::EndsWith(lower, ".test");
  return {0xf0000000 | hash >> 4, is_private};
}

Place PlaceOfAddress(absl::string_view address) {
  if (const auto text = ValueOf(address, "/ip4/")) {
    const std::optional<Ip4> ip = ParseIp<Ip4>(AF_INET, *text);
    return ip ? PlaceOf(*ip) : kUnknown;
  }
  if (const auto text = ValueOf(address, "/ip6/")) {
    const std::optional<Ip6> ip = ParseIp<Ip6>(AF_INET6, *text);
    return ip ? PlaceOf(*ip) : kUnknown;
  }
  for (const absl::string_view component : {"/dns/", "/dns4/", "/dns6/"}) {
    if (const auto name = ValueOf(address, component)) return PlaceOfName(*name);
  }
  return kUnknown;
}

}  // namespace

IpGroups IpGroupsOf(const AddressList& addresses, PrivateAddresses private_addresses) {
  IpGroups groups;
  size_t left = kMaxContactAddresses;
  for (const absl::string_view address : addresses) {
    if (left-- == 0) break;
    const Place place = PlaceOfAddress(address);
    if (!place.is_private || private_addresses == PrivateAddresses::kCount) groups.push_back(place.group);
  }
  std::sort(groups.begin(), groups.end());
  groups.erase(std::unique(groups.begin(), groups.end()), groups.end());
  return groups;
}

}  // namespace dotagent::dht
