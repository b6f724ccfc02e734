#include "common/p2p/listener.h"

#include <array>
#include <asio/buffer.hpp>
#include <asio/error.hpp>
#include <asio/ip/address.hpp>
#include <asio/socket_base.hpp>
#include <chrono>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/p2p/tcp_dial.h"
#include "common/p2p/timer.h"

namespace dotagent::p2p {
namespace {

using asio::ip::tcp;

constexpr int kBacklog = 1024;
// How long to wait when the system has no descriptor left for another connection.
constexpr auto kAcceptPause = std::chrono::milliseconds(100);

// What one customer of an access network holds: an IPv4 address, or an IPv6 /64.
std::string AddressGroup(const asio::ip::address& address) {
  if (address.is_v4()) return address.to_string();
  const asio::ip::address_v6 v6 = address.to_v6();
  const auto bytes = v6.to_bytes();
  // ::ffff:a.b.c.d, as a dual-stack socket shows IPv4
  if (v6.is_v4_mapped()) return absl::StrCat(bytes[12], ".", bytes[13], ".", bytes[14], ".", bytes[15]);
  return std::string(reinterpret_cast<const char*>(bytes.data()), 8);
}

}  // namespace

ConnectionLimits::Admission ConnectionLimits::Admit(const asio::ip::address& from) {
  if (taken_ >= in_all_) return {nullptr, Refusal::kInAll};
  const std::string group = AddressGroup(from);
  size_t& of_group = by_address_[group];
  if (of_group >= per_address_) return {nullptr, Refusal::kPerAddress};
  ++of_group;
  ++taken_;
  const auto release = [self = shared_from_this(), group](void*) {
    --self->taken_;
    const auto found = self->by_address_.find(group);
    if (--found->second == 0) self->by_address_.erase(found);
  };
  return {std::shared_ptr<void>(this, release), Refusal::kNone};
}

// A connection that has not said yet what it is.
class Listener::Newcomer {
 public:
  Newcomer(tcp::socket accepted, std::shared_ptr<void> place)
      : socket(std::move(accepted)), slot(std::move(place)), timer(socket.get_executor()) {}

  void Close() {
    std::error_code ignored;
    socket.close(ignored);
    timer.cancel();
  }

  tcp::socket socket;
  std::shared_ptr<void> slot;
  asio::steady_timer timer;
  std::array<char, 512> buffer{};
  size_t size = 0;
};

Listener::Listener(asio::io_context& context, ListenerOptions options)
    : options_(std::move(options)),
      limits_(std::make_shared<ConnectionLimits>(options_.max_connections, options_.max_connections_per_address)),
      acceptor_(context),
      pause_(context) {}

absl::Status Listener::Listen(const Multiaddr& address) {
  using Kind = Multiaddr::HostKind;
  std::error_code error;
  const auto ip = asio::ip::make_address(address.host, error);
  if (error || (address.kind != Kind::kIp4 && address.kind != Kind::kIp6) || address.relay.has_value()) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kBadAddress,
                           absl::StrCat("cannot listen on ", address.ToString(),
                                        ": name an IP address of this machine, such as /ip4/0.0.0.0/tcp/4001"));
  }
  const tcp::endpoint wanted(ip, address.port);
  acceptor_.open(wanted.protocol(), error);
  if (!error) acceptor_.set_option(asio::socket_base::reuse_address(true), error);
  if (!error) acceptor_.bind(wanted, error);
  if (!error) acceptor_.listen(kBacklog, error);
  if (!error) endpoint_ = acceptor_.local_endpoint(error);
  if (error) {
    std::error_code ignored;
    acceptor_.close(ignored);
    return absl::UnavailableError(
        absl::StrCat("cannot listen on ", address.Transport(), ": ", error.message(), "; choose another port"));
  }
  Accept();
  return absl::OkStatus();
}

void Listener::Close() {
  if (std::exchange(closed_, true)) return;
  std::error_code ignored;
  acceptor_.close(ignored);
  pause_.cancel();
  for (const auto& newcomer : std::exchange(newcomers_, {})) newcomer->Close();
}

void Listener::Accept() {
  acceptor_.async_accept([self = shared_from_this()](const std::error_code& error, tcp::socket socket) {
    if (self->closed_) return;
    if (!error) {
      self->OnAccepted(std::move(socket));
      if (!self->closed_) self->Accept();
    } else if (error == asio::error::connection_aborted || error == asio::error::interrupted) {
      self->Accept();
    } else {
      self->Refuse("accept");
      self->PauseThenAccept();
    }
  });
}

void Listener::PauseThenAccept() {
  pause_.expires_after(kAcceptPause);
  pause_.async_wait([self = shared_from_this()](const std::error_code& error) {
    if (!error && !self->closed_) self->Accept();
  });
}

void Listener::OnAccepted(tcp::socket socket) {
  std::error_code error;
  const auto remote = socket.remote_endpoint(error);
  if (error) return;  // gone already
  auto admission = limits_->Admit(remote.address());
  if (admission.slot == nullptr) {
    return Refuse(admission.refusal == ConnectionLimits::Refusal::kInAll ? "connections" : "address");
  }
  TuneTcp(socket);
  const auto newcomer = std::make_shared<Newcomer>(std::move(socket), std::move(admission.slot));
  newcomers_.insert(newcomer);
  newcomer->timer.expires_after(TimerDelay(options_.first_bytes_timeout));
  newcomer->timer.async_wait([self = shared_from_this(), newcomer](const std::error_code& failed) {
    if (failed || self->newcomers_.erase(newcomer) == 0) return;
    self->Refuse("deadline");
    newcomer->Close();
  });
  ReadFirstBytes(newcomer);
}

void Listener::Refuse(absl::string_view cause) { options_.on_refused(cause); }

void Listener::ReadFirstBytes(const std::shared_ptr<Newcomer>& newcomer) {
  newcomer->socket.async_read_some(asio::buffer(newcomer->buffer) + newcomer->size,
                                   [self = shared_from_this(), newcomer](const std::error_code& error, size_t size) {
                                     if (!self->newcomers_.contains(newcomer)) return;
                                     newcomer->size += size;
                                     if (error) return self->TurnAway(newcomer);
                                     self->Sort(newcomer);
                                   });
}

void Listener::TurnAway(const std::shared_ptr<Newcomer>& newcomer) {
  newcomers_.erase(newcomer);
  Refuse("first_bytes");
  newcomer->Close();
}

void Listener::Sort(const std::shared_ptr<Newcomer>& newcomer) {
  const absl::string_view read(newcomer->buffer.data(), newcomer->size);
  if (read.front() == kSessionFirstByte) {
    TakeOut(newcomer);
    return options_.on_session(std::move(newcomer->socket), std::string(read), std::move(newcomer->slot));
  }
  const std::string start = CircuitHeader("");
  if (read.substr(0, start.size()) != absl::string_view(start).substr(0, read.size())) return TurnAway(newcomer);
  if (read.size() < kCircuitHeaderSize) return ReadFirstBytes(newcomer);
  TakeOut(newcomer);
  const std::string voucher(read.substr(start.size(), kVoucherSize));
  options_.on_circuit(CircuitSocket(std::move(newcomer->socket), std::string(read.substr(kCircuitHeaderSize)),
                                    std::move(newcomer->slot)),
                      voucher);
}

// It is somebody else's now.
void Listener::TakeOut(const std::shared_ptr<Newcomer>& newcomer) {
  newcomers_.erase(newcomer);
  newcomer->timer.cancel();
}

}  // namespace dotagent::p2p
