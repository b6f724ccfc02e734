#include "services/host/caller_address.h"

#include <asio/ip/address.hpp>
#include <cstddef>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/str_replace.h"
#include "common/p2p/address_group.h"

namespace dotagent::host {

std::string CallerAddress(const grpc::ServerContextBase& context) {
  const std::string peer = context.peer();  // ipv4:192.0.2.1:4711 or ipv6:%5B2001:db8::1%5D:4711
  const size_t scheme = peer.find(':');
  const size_t port = peer.rfind(':');
  if (!absl::StartsWith(peer, "ipv") || port <= scheme) return "";
  const std::string text = absl::StrReplaceAll(peer.substr(scheme + 1, port - scheme - 1),
                                               {{"%5B", ""}, {"%5D", ""}, {"[", ""}, {"]", ""}, {"%25", "%"}});
  std::error_code error;
  const auto address = asio::ip::make_address(text, error);
  return error ? text : p2p::AddressGroup(address);
}

}  // namespace dotagent::host
