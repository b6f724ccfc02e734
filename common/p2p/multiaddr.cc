#include "common/p2p/multiaddr.h"

#include <asio/ip/address_v4.hpp>
#include <asio/ip/address_v6.hpp>
#include <cstddef>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/status.h"
#include "common/crypto/peer_id.h"

namespace dotagent::p2p {
namespace {

constexpr size_t kMaxLength = 512;
constexpr size_t kMaxHostLength = 253;  // RFC 1035 §2.3.4

absl::Status BadAddress(absl::string_view text, absl::string_view what) {
  return ErrorWithReason(
      absl::StatusCode::kInvalidArgument, reason::kBadAddress,
      absl::StrCat("\"", absl::CHexEscape(text.substr(0, kMaxLength)), "\" is not an address: ", what,
                   "; write it like /ip4/192.0.2.1/tcp/4001 or /dns/example.com/tcp/4001, with /p2p/PEER if need be"));
}

absl::string_view KindName(Multiaddr::HostKind kind) {
  switch (kind) {
    case Multiaddr::HostKind::kIp4:
      return "ip4";
    case Multiaddr::HostKind::kIp6:
      return "ip6";
    case Multiaddr::HostKind::kDns:
      return "dns";
    case Multiaddr::HostKind::kDns4:
      return "dns4";
    case Multiaddr::HostKind::kDns6:
      return "dns6";
  }
  return "";
}

std::optional<Multiaddr::HostKind> KindOf(absl::string_view name) {
  using Kind = Multiaddr::HostKind;
  for (const Kind kind : {Kind::kIp4, Kind::kIp6, Kind::kDns, Kind::kDns4, Kind::kDns6}) {
    if (KindName(kind) == name) return kind;
  }
  return std::nullopt;
}

// RFC 1123 labels, and "_" for service names; lower-cased. std::nullopt if it is not a host name.
std::optional<std::string> HostName(absl::string_view text) {
  if (text.empty() || text.size() > kMaxHostLength) return std::nullopt;
  for (const absl::string_view label : absl::StrSplit(text, '.')) {
    if (label.empty() || label.size() > 63 || label.front() == '-' || label.back() == '-') return std::nullopt;
    for (const char c : label) {
      if (!absl::ascii_isalnum(static_cast<unsigned char>(c)) && c != '-' && c != '_') return std::nullopt;
    }
  }
  return absl::AsciiStrToLower(text);
}

// In its one canonical text form. std::nullopt if it is not a host of this kind.
std::optional<std::string> Host(Multiaddr::HostKind kind, absl::string_view text) {
  std::error_code error;
  if (kind == Multiaddr::HostKind::kIp4) {
    const auto address = asio::ip::make_address_v4(std::string(text), error);
    return error ? std::nullopt : std::optional(address.to_string());
  }
  if (kind == Multiaddr::HostKind::kIp6) {
    if (text.find('%') != absl::string_view::npos) return std::nullopt;  // a zone means nothing to others
    const auto address = asio::ip::make_address_v6(std::string(text), error);
    return error ? std::nullopt : std::optional(address.to_string());
  }
  return HostName(text);
}

std::optional<uint16_t> Port(absl::string_view text) {
  if (text.empty() || text.size() > 5 || (text.size() > 1 && text.front() == '0')) return std::nullopt;
  uint32_t port = 0;
  for (const char c : text) {
    if (!absl::ascii_isdigit(static_cast<unsigned char>(c))) return std::nullopt;
    port = port * 10 + static_cast<uint32_t>(c - '0');
  }
  if (port > 65535) return std::nullopt;
  return static_cast<uint16_t>(port);
}

// Reads "/p2p/PEER" at `at` and moves past it; std::nullopt if it is not there.
absl::StatusOr<std::optional<crypto::PublicKey>> TakePeer(absl::string_view text,
                                                          const std::vector<absl::string_view>& parts, size_t& at) {
  if (at >= parts.size() || parts[at] != "p2p") return std::nullopt;
  if (at + 1 >= parts.size()) return BadAddress(text, "/p2p needs a peer id");
  auto key = crypto::KeyFromPeerId(parts[at + 1]);
  if (!key.ok()) return BadAddress(text, key.status().message());
  at += 2;
  return *key;
}

}  // namespace

absl::StatusOr<Multiaddr> Multiaddr::Parse(absl::string_view text) {
  if (text.size() > kMaxLength)
    return BadAddress(text.substr(0, 40), absl::StrCat("it is over ", kMaxLength, " bytes"));
  if (text.empty() || text.front() != '/') return BadAddress(text, "it must start with \"/\"");
  const std::vector<absl::string_view> parts = absl::StrSplit(text.substr(1), '/');
  const std::optional<HostKind> kind = KindOf(parts[0]);
  if (!kind.has_value()) return BadAddress(text, "it must start with /ip4, /ip6, /dns, /dns4 or /dns6");
  if (parts.size() < 2) return BadAddress(text, "the host is missing");
  std::optional<std::string> host = p2p::Host(*kind, parts[1]);
  if (!host.has_value()) return BadAddress(text, absl::StrCat("the host is no ", parts[0], " host"));
  if (parts.size() < 4 || parts[2] != "tcp") return BadAddress(text, "/tcp/PORT must follow the host");
  const std::optional<uint16_t> port = p2p::Port(parts[3]);
  if (!port.has_value()) return BadAddress(text, "the port must be 0 to 65535, without leading zeros");

  Multiaddr address;
  address.kind = *kind;
  address.host = *std::move(host);
  address.port = *port;
  size_t at = 4;
  ASSIGN_OR_RETURN(address.peer, TakePeer(text, parts, at));
  if (at < parts.size() && parts[at] == "p2p-circuit") {
    if (!address.peer.has_value()) return BadAddress(text, "the relay's /p2p/PEER must come before /p2p-circuit");
    address.relay = std::exchange(address.peer, std::nullopt);
    ++at;
    ASSIGN_OR_RETURN(address.peer, TakePeer(text, parts, at));
  }
  if (at != parts.size()) return BadAddress(text, absl::StrCat("nothing known may follow at \"/", parts[at], "\""));
  return address;
}

std::string Multiaddr::ToString() const {
  std::string text = Transport();
  if (relay.has_value()) absl::StrAppend(&text, "/p2p/", crypto::PeerIdFromKey(*relay), "/p2p-circuit");
  if (peer.has_value()) absl::StrAppend(&text, "/p2p/", crypto::PeerIdFromKey(*peer));
  return text;
}

std::string Multiaddr::Transport() const { return absl::StrCat("/", KindName(kind), "/", host, "/tcp/", port); }

}  // namespace dotagent::p2p
