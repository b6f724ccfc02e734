#include "common/p2p/listener.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <asio/buffer.hpp>
#include <asio/error.hpp>
#include <asio/ip/address.hpp>
#include <asio/socket_base.hpp>
#include <cerrno>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/p2p/address_group.h"
#include "common/p2p/tcp_dial.h"
#include "common/p2p/timer.h"

namespace dotagent::p2p {
namespace {

using asio::ip::tcp;

constexpr int kBacklog = 1024;
// How long to wait when the system has no descriptor left for another connection.
constexpr absl::Duration kAcceptPause = absl::Milliseconds(100);

// Connections that are taken from the kernel before the loop's other work has its turn.
constexpr int kAcceptedAtOnce = 16;

// Closes without a word and without a trace: a connection that was refused must not cost the kernel a minute of memory.
void HangUp(int descriptor) {
  const linger at_once{.l_onoff = 1, .l_linger = 0};
  (void)setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  (void)close(descriptor);
}

// Whether its peer has reset it already: what a flood leaves behind in the kernel's queue.
bool IsGone(int descriptor) {
  sockaddr_storage peer{};
  socklen_t size = sizeof peer;
  return getpeername(descriptor, reinterpret_cast<sockaddr*>(&peer), &size) != 0;
}

}  // namespace

ConnectionLimits::Admission ConnectionLimits::Admit(const std::string& group) {
  if (taken_ >= in_all_) return {nullptr, Refusal::kInAll};
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
  Newcomer(tcp::socket accepted, const tcp::endpoint& from, std::shared_ptr<void> taken,
           std::shared_ptr<Newcomers::Place> entered)
      : socket(std::move(accepted)),
        remote(from),
        slot(std::move(taken)),
        place(std::move(entered)),
        timer(socket.get_executor()) {}

  void Close() {
    std::error_code ignored;
    socket.close(ignored);
    timer.cancel();
    place.reset();
  }

  tcp::socket socket;
  const tcp::endpoint remote;
  std::shared_ptr<void> slot;
  std::shared_ptr<Newcomers::Place> place;
  asio::steady_timer timer;
  std::array<char, 512> buffer{};
  size_t size = 0;
};

Listener::Listener(const asio::any_io_executor& executor, ListenerOptions options)
    : options_(std::move(options)),
      limits_(std::make_shared<ConnectionLimits>(options_.max_connections, options_.max_connections_per_address)),
      acceptor_(executor),
      pause_(executor) {}

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
  if (!error) acceptor_.non_blocking(true, error);
  if (!error) TuneTcp(acceptor_);
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
  const absl::Duration pause = options_.newcomers->Pause();
  if (pause > absl::ZeroDuration()) return PauseThenAccept(pause);
  acceptor_.async_wait(tcp::acceptor::wait_read, [self = shared_from_this()](const std::error_code& error) {
    if (self->closed_) return;
    if (error) {
      self->Refuse("accept");
      return self->PauseThenAccept(kAcceptPause);
    }
    self->options_.newcomers->Measure([&] { self->TakeIn(); });
  });
}

// By hand: a connection that is refused is never made known to the loop, which would cost more than all the rest.
void Listener::TakeIn() {
  for (int taken = 0; taken < kAcceptedAtOnce && !closed_; ++taken) {
    tcp::endpoint remote;
    auto size = static_cast<socklen_t>(remote.capacity());
    const int descriptor = accept4(acceptor_.native_handle(), remote.data(), &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (descriptor < 0) {
      if (errno == EAGAIN || errno == EWOULDBLOCK) break;
      if (errno == ECONNABORTED || errno == EINTR) continue;
      Refuse("accept");
      return PauseThenAccept(kAcceptPause);
    }
    remote.resize(size);
    OnAccepted(descriptor, remote);
  }
  if (!closed_) Accept();
}

void Listener::PauseThenAccept(absl::Duration pause) {
  pause_.expires_after(TimerDelay(pause));
  pause_.async_wait([self = shared_from_this()](const std::error_code& error) {
    if (!error && !self->closed_) self->Accept();
  });
}

void Listener::OnAccepted(int descriptor, const tcp::endpoint& remote) {
  const std::string group = AddressGroup(remote.address());
  if (!options_.newcomers->MayConnect(group)) return HangUp(descriptor);
  if (IsGone(descriptor)) {
    Refuse("gone");
    (void)close(descriptor);
    return;
  }
  auto admission = limits_->Admit(group);
  if (admission.slot == nullptr) {
    Refuse(admission.refusal == ConnectionLimits::Refusal::kInAll ? "connections" : "address");
    return HangUp(descriptor);
  }
  auto place = options_.newcomers->Enter(group);
  if (place == nullptr) return HangUp(descriptor);
  std::error_code error;
  tcp::socket socket(acceptor_.get_executor());
  socket.assign(remote.protocol(), descriptor, error);
  if (error) {
    Refuse("accept");
    return HangUp(descriptor);
  }
  const auto newcomer =
      std::make_shared<Newcomer>(std::move(socket), remote, std::move(admission.slot), std::move(place));
  // A dialler speaks first, so it mostly has.
  const ssize_t size = recv(descriptor, newcomer->buffer.data(), newcomer->buffer.size(), MSG_DONTWAIT);
  if (size == 0 || (size < 0 && errno != EAGAIN && errno != EWOULDBLOCK)) return TurnAway(newcomer);
  newcomer->size = static_cast<size_t>(std::max<ssize_t>(size, 0));
  if (!Sort(newcomer)) Keep(newcomer);
}

void Listener::Keep(const std::shared_ptr<Newcomer>& newcomer) {
  newcomers_.insert(newcomer);
  const auto evict = [self = shared_from_this(), weak = std::weak_ptr<Newcomer>(newcomer)](const absl::Status&) {
    const auto evicted = weak.lock();
    if (evicted != nullptr && self->newcomers_.erase(evicted) > 0) evicted->Close();
  };
  options_.newcomers->Bind(*newcomer->place, {.evict = evict});
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
                                     self->options_.newcomers->Measure([&] {
                                       if (error) return self->TurnAway(newcomer);
                                       if (!self->Sort(newcomer)) self->ReadFirstBytes(newcomer);
                                     });
                                   });
}

void Listener::TurnAway(const std::shared_ptr<Newcomer>& newcomer) {
  newcomers_.erase(newcomer);
  Refuse("first_bytes");
  newcomer->Close();
}

bool Listener::Sort(const std::shared_ptr<Newcomer>& newcomer) {
  if (newcomer->size == 0) return false;
  const absl::string_view read(newcomer->buffer.data(), newcomer->size);
  if (read.front() == kSessionFirstByte) {
    TakeOut(newcomer);
    options_.on_session({.socket = std::move(newcomer->socket),
                         .remote = newcomer->remote,
                         .early = std::string(read),
                         .slot = std::move(newcomer->slot),
                         .place = std::move(newcomer->place)});
    return true;
  }
  const std::string start = CircuitHeader("");
  if (read.substr(0, start.size()) != absl::string_view(start).substr(0, read.size())) {
    TurnAway(newcomer);
    return true;
  }
  if (read.size() < kCircuitHeaderSize) return false;
  TakeOut(newcomer);
  newcomer->place.reset();
  const std::string voucher(read.substr(start.size(), kVoucherSize));
  options_.on_circuit(CircuitSocket(std::move(newcomer->socket), std::string(read.substr(kCircuitHeaderSize)),
                                    std::move(newcomer->slot)),
                      voucher);
  return true;
}

// It is somebody else's now.
void Listener::TakeOut(const std::shared_ptr<Newcomer>& newcomer) {
  newcomers_.erase(newcomer);
  newcomer->timer.cancel();
}

}  // namespace dotagent::p2p
