#include "common/telemetry/http_endpoint.h"

#include <httplib.h>
#include <sys/socket.h>

#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace dotagent::telemetry {
namespace {

constexpr size_t kThreads = 4;
constexpr int kTimeoutSeconds = 5;
constexpr size_t kMaxRequestsAConnection = 100;

class HttplibEndpoint : public HttpEndpoint {
 public:
  HttplibEndpoint(const Metrics& metrics, std::function<bool()> ready) : ready_(std::move(ready)) {
    server_.new_task_queue = [] { return new httplib::ThreadPool(kThreads); };  // httplib deletes it
    server_.set_read_timeout(kTimeoutSeconds);
    server_.set_write_timeout(kTimeoutSeconds);
    server_.set_keep_alive_timeout(kTimeoutSeconds);
    server_.set_keep_alive_max_count(kMaxRequestsAConnection);
    server_.set_payload_max_length(0);
    // httplib's default would let two processes share the port.
    server_.set_socket_options([](socket_t socket) {
      const int yes = 1;
      setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    });
    server_.Get("/metrics", [&metrics](const httplib::Request&, httplib::Response& response) {
      response.set_content(metrics.Render(), "text/plain; version=0.0.4; charset=utf-8");
    });
    server_.Get("/livez", [](const httplib::Request&, httplib::Response& response) {
      response.set_content("ok\n", "text/plain");
    });
    server_.Get("/readyz", [this](const httplib::Request&, httplib::Response& response) {
      const bool is_ready = ready_();
      response.status = is_ready ? 200 : 503;
      response.set_content(is_ready ? "ok\n" : "not ready\n", "text/plain");
    });
  }

  ~HttplibEndpoint() override {
    if (!thread_.joinable()) return;
    server_.stop();
    thread_.join();
  }

  [[nodiscard]] bool Bind(const std::string& host, uint16_t port) {
    const int bound =
        port == 0 ? server_.bind_to_any_port(host.c_str()) : (server_.bind_to_port(host.c_str(), port) ? port : -1);
    if (bound < 0) return false;
    port_ = static_cast<uint16_t>(bound);
    thread_ = std::thread([this] { server_.listen_after_bind(); });
    // stop() has no effect before the loop runs, so whoever has an endpoint has a running one. A matter of
    // microseconds.
    while (!server_.is_running()) std::this_thread::yield();
    return true;
  }

  [[nodiscard]] uint16_t port() const override { return port_; }

 private:
  const std::function<bool()> ready_;
  httplib::Server server_;
  uint16_t port_ = 0;
  std::thread thread_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<HttpEndpoint>> StartHttpEndpoint(const std::string& host, uint16_t port,
                                                                const Metrics& metrics, std::function<bool()> ready) {
  auto endpoint = std::make_unique<HttplibEndpoint>(metrics, std::move(ready));
  if (!endpoint->Bind(host, port)) {
    return ErrorWithReason(absl::StatusCode::kUnavailable, reason::kUnreachable,
                           absl::StrCat("cannot listen on ", host, ":", port,
                                        " for HTTP; is another process using it? Choose another with --http-listen"));
  }
  return std::unique_ptr<HttpEndpoint>(std::move(endpoint));
}

}  // namespace dotagent::telemetry
