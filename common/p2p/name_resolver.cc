#include "common/p2p/name_resolver.h"

#include <asio/ip/tcp.hpp>
#include <string>
#include <system_error>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace dotagent::p2p {
namespace {

using asio::ip::tcp;

std::vector<asio::ip::address> AddressesOf(const tcp::resolver::results_type& results) {
  std::vector<asio::ip::address> addresses;
  for (const auto& result : results) addresses.push_back(result.endpoint().address());
  return addresses;
}

class SystemNameResolver : public NameResolver {
 public:
  explicit SystemNameResolver(const asio::any_io_executor& executor) : resolver_(executor) {}

  void Resolve(const Multiaddr& name, std::function<void(absl::StatusOr<std::vector<Multiaddr>>)> done) override {
    const auto on_resolved = [alive = std::weak_ptr(alive_), name, done = std::move(done)](
                                 const std::error_code& error, const tcp::resolver::results_type& results) {
      if (alive.expired()) return;
      std::vector<Multiaddr> addresses = AtAddresses(name, AddressesOf(results));
      if (!addresses.empty()) return done(std::move(addresses));
      done(ErrorWithReason(
          absl::StatusCode::kUnavailable, reason::kUnreachable,
          absl::StrCat("cannot resolve ", name.host, ": ", error ? error.message() : "it has no usable address")));
    };
    const std::string port = absl::StrCat(name.port);
    constexpr auto kFlags = tcp::resolver::numeric_service;
    if (name.kind == Multiaddr::HostKind::kDns4) {
      resolver_.async_resolve(tcp::v4(), name.host, port, kFlags, on_resolved);
    } else if (name.kind == Multiaddr::HostKind::kDns6) {
      resolver_.async_resolve(tcp::v6(), name.host, port, kFlags, on_resolved);
    } else {
      resolver_.async_resolve(name.host, port, kFlags, on_resolved);
    }
  }

 private:
  tcp::resolver resolver_;
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace

std::vector<Multiaddr> AtAddresses(const Multiaddr& name, absl::Span<const asio::ip::address> addresses) {
  std::vector<Multiaddr> all;
  for (const asio::ip::address& ip : addresses) {
    if (ip.is_v6() && ip.to_v6().is_link_local()) continue;
    Multiaddr address = name;
    address.kind = ip.is_v4() ? Multiaddr::HostKind::kIp4 : Multiaddr::HostKind::kIp6;
    address.host = ip.to_string();
    if (!absl::c_linear_search(all, address)) all.push_back(std::move(address));
  }
  return all;
}

std::unique_ptr<NameResolver> NewSystemNameResolver(const asio::any_io_executor& executor) {
  return std::make_unique<SystemNameResolver>(executor);
}

}  // namespace dotagent::p2p
