#include "common/rpc/acceptor.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/local/stream_protocol.hpp>
#include <asio/steady_timer.hpp>
#include <chrono>
#include <system_error>
#include <thread>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/status.h"
#include "common/rpc/local_socket.h"

namespace dotagent::rpc {
namespace {

using asio::ip::tcp;

constexpr std::chrono::milliseconds kPause{100};  // after an accept that failed
constexpr rlim_t kLeastReserve = 32;              // descriptors that connections leave to the rest of the process

// The kernel gives the lowest free descriptor, so a high one means that nearly all are taken.
int HighestDescriptor() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return 1 << 20;
  const rlim_t reserve = std::max(kLeastReserve, limit.rlim_cur / 8);
  return static_cast<int>(std::min<rlim_t>(limit.rlim_cur > reserve ? limit.rlim_cur - reserve : 0, 1 << 20));
}

struct HostPort {
  std::string host;
  std::string port;
};

absl::StatusOr<HostPort> Split(const std::string& listen) {
  const size_t colon = listen.rfind(':');
  uint32_t port = 0;
  if (colon == std::string::npos || colon == 0 || !absl::SimpleAtoi(listen.substr(colon + 1), &port) || port > 65535) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kBadAddress,
                           absl::StrCat("'", listen, "' is not host:port (or [host]:port) to listen on"));
  }
  HostPort parts{listen.substr(0, colon), listen.substr(colon + 1)};
  if (parts.host.size() > 2 && parts.host.front() == '[' && parts.host.back() == ']') {
    parts.host = parts.host.substr(1, parts.host.size() - 2);
  }
  return parts;
}

// What both kinds share: the thread, and going on whatever happens.
template <typename Protocol>
class AsioAcceptor : public Acceptor {
 public:
  AsioAcceptor() : acceptor_(context_), pause_(context_) {}

  void Start(std::function<void(int fd)> take) override {
    take_ = std::move(take);
    Accept();
    thread_ = std::thread([this] { context_.run(); });
  }

  void Stop() override {
    context_.stop();
    if (thread_.joinable()) thread_.join();
    std::error_code ignored;
    acceptor_.close(ignored);
  }

 protected:
  [[nodiscard]] virtual bool Welcomes(int /*fd*/) const { return true; }

  asio::io_context context_{1};
  asio::basic_socket_acceptor<Protocol> acceptor_;

 private:
  void Accept() {
    acceptor_.async_accept([this](const std::error_code& error, asio::basic_stream_socket<Protocol> socket) {
      if (error) {
        pause_.expires_after(kPause);
        pause_.async_wait([this](const std::error_code&) { Accept(); });
        return;
      }
      if (socket.native_handle() < highest_descriptor_ && Welcomes(socket.native_handle())) Take(std::move(socket));
      Accept();
    });
  }

  void Take(asio::basic_stream_socket<Protocol> socket) {
    std::error_code error;
    const int fd = socket.release(error);
    if (error) return;
    // gRPC's poller expects what its own accept4 would have set.
    const bool ready = fcntl(fd, F_SETFL, O_NONBLOCK) == 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) == 0;
    if (ready) {
      take_(fd);
    } else {
      close(fd);
    }
  }

  const int highest_descriptor_ = HighestDescriptor();
  asio::steady_timer pause_;
  std::function<void(int fd)> take_;
  std::thread thread_;
};

class TcpAcceptor final : public AsioAcceptor<tcp> {
 public:
  ~TcpAcceptor() override { Stop(); }

  absl::Status Open(const std::string& listen) {
    ASSIGN_OR_RETURN(const HostPort parts, Split(listen));
    std::error_code error;
    const auto found = tcp::resolver(context_).resolve(parts.host, parts.port, tcp::resolver::passive, error);
    if (error || found.empty()) {
      return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kBadAddress,
                             absl::StrCat("'", parts.host, "' is no address to listen on: ", error.message()));
    }
    const tcp::endpoint endpoint = *found.begin();
    acceptor_.open(endpoint.protocol(), error);
    if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
    // Connections inherit it. Without it an answer in two segments waits for a delayed acknowledgement, 40 ms.
    if (!error) acceptor_.set_option(tcp::no_delay(true), error);
    if (!error) acceptor_.bind(endpoint, error);
    if (!error) acceptor_.listen(tcp::acceptor::max_listen_connections, error);
    if (!error) port_ = acceptor_.local_endpoint(error).port();
    if (!error) return absl::OkStatus();
    return ErrorWithReason(absl::StatusCode::kUnavailable, reason::kUnreachable,
                           absl::StrCat("cannot listen on ", listen, " for gRPC: ", error.message(),
                                        "; stop the process that uses it, or choose another with --grpc-listen"));
  }

  [[nodiscard]] uint16_t port() const override { return port_; }

 private:
  uint16_t port_ = 0;
};

class LocalAcceptor final : public AsioAcceptor<asio::local::stream_protocol> {
 public:
  ~LocalAcceptor() override { Stop(); }

  absl::Status Open(const std::string& path) {
    ASSIGN_OR_RETURN(const LocalSocket socket, ListenOnLocalSocket(path));
    path_ = path;
    inode_ = socket.inode;
    std::error_code error;
    acceptor_.assign(asio::local::stream_protocol(), socket.fd, error);
    if (!error) return absl::OkStatus();
    close(socket.fd);
    return absl::InternalError(absl::StrCat("cannot accept on ", path, ": ", error.message()));
  }

  void Stop() override {
    AsioAcceptor::Stop();
    if (!path_.empty()) RemoveLocalSocket(path_, inode_);
    path_.clear();
  }

  [[nodiscard]] uint16_t port() const override { return 0; }

 private:
  [[nodiscard]] bool Welcomes(int fd) const override { return IsSameUser(fd); }

  std::string path_;  // empty: removed
  unsigned long inode_ = 0;
};

template <typename Kind>
absl::StatusOr<std::unique_ptr<Acceptor>> Open(const std::string& where) {
  auto acceptor = std::make_unique<Kind>();
  RETURN_IF_ERROR(acceptor->Open(where));
  return acceptor;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Acceptor>> Acceptor::Bind(const std::string& listen) {
  absl::string_view path = listen;
  return absl::ConsumePrefix(&path, "unix:") ? Open<LocalAcceptor>(std::string(path)) : Open<TcpAcceptor>(listen);
}

}  // namespace dotagent::rpc
