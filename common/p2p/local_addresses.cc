#include "common/p2p/local_addresses.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>

namespace dotagent::p2p {
namespace {

std::optional<asio::ip::address> ToAddress(const sockaddr* address) {
  if (address == nullptr) return std::nullopt;
  if (address->sa_family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, address, sizeof(v4));
    return asio::ip::address_v4(ntohl(v4.sin_addr.s_addr));
  }
  if (address->sa_family == AF_INET6) {
    sockaddr_in6 v6{};
    std::memcpy(&v6, address, sizeof(v6));
    asio::ip::address_v6::bytes_type bytes;
    std::memcpy(bytes.data(), &v6.sin6_addr, bytes.size());
    return asio::ip::address_v6(bytes);
  }
  return std::nullopt;
}

bool IsForOthers(const asio::ip::address& address) {
  return !address.is_loopback() && !address.is_unspecified() && !(address.is_v6() && address.to_v6().is_link_local());
}

}  // namespace

std::vector<asio::ip::address> DiallableAddresses(const asio::ip::address& bound) {
  if (!bound.is_unspecified()) return {bound};
  std::vector<asio::ip::address> found;
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) == 0) {
    const std::unique_ptr<ifaddrs, decltype(&freeifaddrs)> owner(list, &freeifaddrs);
    for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
      const auto address = ToAddress(entry->ifa_addr);
      if (!address.has_value() || (entry->ifa_flags & IFF_UP) == 0 || !IsForOthers(*address)) continue;
      // 0.0.0.0 takes IPv4 only; :: takes both.
      if (bound.is_v4() && address->is_v6()) continue;
      if (std::find(found.begin(), found.end(), *address) == found.end()) found.push_back(*address);
    }
  }
  if (!found.empty()) return found;
  if (bound.is_v4()) return {asio::ip::address_v4::loopback()};
  return {asio::ip::address_v6::loopback()};
}

}  // namespace dotagent::p2p
