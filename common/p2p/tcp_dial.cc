#include "common/p2p/tcp_dial.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <asio/connect.hpp>
#include <asio/detail/socket_option.hpp>
#include <asio/ip/address.hpp>
#include <asio/post.hpp>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace dotagent::p2p {
namespace {

using asio::ip::tcp;

class TcpDial : public Operation, public std::enable_shared_from_this<TcpDial> {
 public:
  using Done = std::function<void(absl::StatusOr<tcp::socket>)>;

  TcpDial(const asio::any_io_executor& executor, Done done)
      : resolver_(executor), socket_(executor), done_(std::move(done)) {}

  void Start(const Multiaddr& address) {
    using Kind = Multiaddr::HostKind;
    if (address.kind == Kind::kIp4 || address.kind == Kind::kIp6) {
      std::error_code error;
      const auto ip = asio::ip::make_address(address.host, error);
      if (!error) return Connect({tcp::endpoint(ip, address.port)});
    }
    const auto on_resolved = [self = shared_from_this()](const std::error_code& error,
                                                         const tcp::resolver::results_type& results) {
      if (self->done_ == nullptr) return;
      if (error) return self->Finish(absl::UnavailableError(absl::StrCat("cannot resolve: ", error.message())));
      std::vector<tcp::endpoint> endpoints;
      for (const auto& result : results) endpoints.push_back(result.endpoint());
      self->Connect(std::move(endpoints));
    };
    const std::string port = absl::StrCat(address.port);
    constexpr auto kFlags = tcp::resolver::numeric_service;
    if (address.kind == Kind::kDns4) {
      resolver_.async_resolve(tcp::v4(), address.host, port, kFlags, on_resolved);
    } else if (address.kind == Kind::kDns6) {
      resolver_.async_resolve(tcp::v6(), address.host, port, kFlags, on_resolved);
    } else {
      resolver_.async_resolve(address.host, port, kFlags, on_resolved);
    }
  }

  void Cancel() override {
    if (done_ == nullptr) return;
    done_ = nullptr;
    resolver_.cancel();
    std::error_code ignored;
    socket_.close(ignored);
  }

 private:
  void Connect(std::vector<tcp::endpoint> endpoints) {
    endpoints_ = std::move(endpoints);
    // Once cancelled, async_connect must not go on to the next endpoint.
    const auto go_on = [self = shared_from_this()](const std::error_code&, const tcp::endpoint&) {
      return self->done_ != nullptr;
    };
    asio::async_connect(socket_, endpoints_, go_on,
                        [self = shared_from_this()](const std::error_code& error, const tcp::endpoint&) {
                          if (self->done_ == nullptr) return;
                          if (error) return self->Finish(absl::UnavailableError(error.message()));
                          TuneTcp(self->socket_);
                          self->Finish(std::move(self->socket_));
                        });
  }

  void Finish(absl::StatusOr<tcp::socket> result) { std::exchange(done_, nullptr)(std::move(result)); }

  tcp::resolver resolver_;
  tcp::socket socket_;
  std::vector<tcp::endpoint> endpoints_;
  Done done_;
};

template <typename Socket>
void Tune(Socket& socket) {
  using asio::detail::socket_option::integer;
  std::error_code ignored;  // a socket that refuses one works all the same
  socket.set_option(tcp::no_delay(true), ignored);
  socket.set_option(asio::socket_base::keep_alive(true), ignored);
  socket.set_option(integer<IPPROTO_TCP, TCP_KEEPIDLE>(10), ignored);  // seconds
  socket.set_option(integer<IPPROTO_TCP, TCP_KEEPINTVL>(3), ignored);  // seconds
  socket.set_option(integer<IPPROTO_TCP, TCP_KEEPCNT>(3), ignored);
  socket.set_option(integer<IPPROTO_TCP, TCP_USER_TIMEOUT>(20000), ignored);  // milliseconds
  socket.set_option(integer<IPPROTO_TCP, TCP_NOTSENT_LOWAT>(kMaxUnsent), ignored);
}

}  // namespace

std::shared_ptr<Operation> DialTcp(const asio::any_io_executor& executor, const Multiaddr& address,
                                   std::function<void(absl::StatusOr<tcp::socket>)> done) {
  auto dial = std::make_shared<TcpDial>(executor, std::move(done));
  dial->Start(address);
  return dial;
}

void TuneTcp(tcp::socket& socket) { Tune(socket); }

void TuneTcp(tcp::acceptor& acceptor) { Tune(acceptor); }

}  // namespace dotagent::p2p
