#include "common/telemetry/http_endpoint.h"

#include <array>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/read_until.hpp>
#include <asio/steady_timer.hpp>
#include <asio/write.hpp>
#include <chrono>
#include <system_error>
#include <thread>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "common/base/status.h"

namespace dotagent::telemetry {
namespace {

using asio::ip::tcp;

constexpr size_t kMaxRequestBytes = 8192;
constexpr size_t kMaxConnections = 64;
constexpr std::chrono::seconds kDeadline{5};            // for a whole connection
constexpr std::chrono::milliseconds kAcceptPause{100};  // after an accept failed, for want of file descriptors say

// What the endpoint answers; knows nothing of sockets.
class Pages {
 public:
  Pages(const Metrics& metrics, std::function<bool()> ready, JsonPages json)
      : metrics_(metrics), ready_(std::move(ready)), json_(std::move(json)) {}

  [[nodiscard]] std::string Answer(absl::string_view request) const {
    const absl::string_view line = request.substr(0, request.find("\r\n"));
    const std::vector<absl::string_view> words = absl::StrSplit(line, ' ');
    if (words.size() != 3 || !absl::StartsWith(words[2], "HTTP/1."))
      return Response("400 Bad Request", "bad request\n");
    const bool head = words[0] == "HEAD";
    if (!head && words[0] != "GET")
      return Response("405 Method Not Allowed", "only GET and HEAD\n", "Allow: GET, HEAD\r\n");
    const absl::string_view path = words[1].substr(0, words[1].find('?'));
    std::string response = Page(path);
    if (head) response.resize(response.find("\r\n\r\n") + 4);
    return response;
  }

 private:
  [[nodiscard]] std::string Page(absl::string_view path) const {
    if (path == "/metrics") {
      return Response("200 OK", metrics_.Render(), "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n");
    }
    if (path == "/livez") return Response("200 OK", "ok\n");
    if (path == "/readyz") {
      return ready_() ? Response("200 OK", "ready\n") : Response("503 Service Unavailable", "not ready\n");
    }
    if (const auto page = json_.find(std::string(path)); page != json_.end()) {
      return Response("200 OK", page->second(), "Content-Type: application/json\r\n");
    }
    return Response("404 Not Found", "there are /metrics, /livez and /readyz\n");
  }

  static std::string Response(absl::string_view status, absl::string_view body,
                              absl::string_view headers = "Content-Type: text/plain; charset=utf-8\r\n") {
    return absl::StrCat("HTTP/1.1 ", status, "\r\n", headers, "Content-Length: ", body.size(),
                        "\r\nConnection: close\r\n\r\n", body);
  }

  const Metrics& metrics_;
  const std::function<bool()> ready_;
  const JsonPages json_;
};

// One request and its answer. Kept alive by the operations that it waits for; the deadline closes the socket under
// them.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(tcp::socket socket, const Pages& pages, size_t* open)
      : socket_(std::move(socket)), deadline_(socket_.get_executor()), pages_(pages), open_(open) {
    ++*open_;
  }
  ~Connection() { --*open_; }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void Start() {
    deadline_.expires_after(kDeadline);
    deadline_.async_wait([weak = weak_from_this()](const std::error_code& error) {
      if (auto self = weak.lock(); self && !error) self->Close();
    });
    asio::async_read_until(socket_, asio::dynamic_buffer(request_, kMaxRequestBytes), "\r\n\r\n",
                           [self = shared_from_this()](const std::error_code& error, size_t size) {
                             if (error) return;
                             self->Respond(size);
                           });
  }

 private:
  void Respond(size_t request_size) {
    response_ = pages_.Answer(absl::string_view(request_).substr(0, request_size));
    asio::async_write(socket_, asio::buffer(response_),
                      [self = shared_from_this()](const std::error_code& error, size_t) {
                        if (!error) self->WaitForClose();
                      });
  }

  // Closing while unread input is left would reset the connection and could cost the client its answer.
  void WaitForClose() {
    std::error_code ignored;
    socket_.shutdown(tcp::socket::shutdown_send, ignored);
    Discard();
  }
  void Discard() {
    socket_.async_read_some(asio::buffer(discarded_),
                            [self = shared_from_this()](const std::error_code& error, size_t) {
                              if (!error) self->Discard();
                            });
  }

  void Close() {
    std::error_code ignored;
    socket_.close(ignored);
  }

  tcp::socket socket_;
  asio::steady_timer deadline_;
  const Pages& pages_;
  size_t* open_;
  std::string request_;
  std::string response_;
  std::array<char, 1024> discarded_{};
};

class AsioHttpEndpoint : public HttpEndpoint {
 public:
  AsioHttpEndpoint(const Metrics& metrics, std::function<bool()> ready, JsonPages pages)
      : pages_(metrics, std::move(ready), std::move(pages)), acceptor_(context_), pause_(context_) {}

  ~AsioHttpEndpoint() override {
    context_.stop();
    if (thread_.joinable()) thread_.join();
  }

  absl::Status Listen(const std::string& host, uint16_t port) {
    std::error_code error;
    const auto address = asio::ip::make_address(host == "localhost" ? "127.0.0.1" : host, error);
    if (error) {
      return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kBadAddress,
                             absl::StrCat("'", host, "' is no IP address to listen on; use 127.0.0.1, 0.0.0.0 or ::"));
    }
    const tcp::endpoint endpoint(address, port);
    acceptor_.open(endpoint.protocol(), error);
    if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor_.bind(endpoint, error);
    if (!error) acceptor_.listen(static_cast<int>(kMaxConnections), error);
    if (!error) port_ = acceptor_.local_endpoint(error).port();
    if (error) {
      return ErrorWithReason(
          absl::StatusCode::kUnavailable, reason::kUnreachable,
          absl::StrCat("cannot listen on ", host, ":", port, " for HTTP: ", error.message(),
                       "; stop the process that uses it, or choose another address with --http-listen"));
    }
    Accept();
    thread_ = std::thread([this] { context_.run(); });
    return absl::OkStatus();
  }

  [[nodiscard]] uint16_t port() const override { return port_; }

 private:
  void Accept() {
    acceptor_.async_accept([this](const std::error_code& error, tcp::socket socket) {
      if (error) {
        pause_.expires_after(kAcceptPause);
        pause_.async_wait([this](const std::error_code&) { Accept(); });
        return;
      }
      // Over the cap, the socket closes here.
      if (open_ < kMaxConnections) std::make_shared<Connection>(std::move(socket), pages_, &open_)->Start();
      Accept();
    });
  }

  const Pages pages_;
  size_t open_ = 0;  // the thread's own; before context_, whose destructor drops the connections
  asio::io_context context_{1};
  tcp::acceptor acceptor_;
  asio::steady_timer pause_;
  uint16_t port_ = 0;
  std::thread thread_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<HttpEndpoint>> StartHttpEndpoint(const std::string& host, uint16_t port,
                                                                const Metrics& metrics, std::function<bool()> ready,
                                                                JsonPages pages) {
  auto endpoint = std::make_unique<AsioHttpEndpoint>(metrics, std::move(ready), std::move(pages));
  RETURN_IF_ERROR(endpoint->Listen(host, port));
  return endpoint;
}

}  // namespace dotagent::telemetry
