#include "common/telemetry/http_endpoint.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"

namespace dotagent::telemetry {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

// A client's TCP connection.
class Client {
 public:
  explicit Client(uint16_t port) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  }
  ~Client() { close(fd_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  void Send(absl::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
  }
  // Everything until the server closes.
  std::string ReadAll() {
    shutdown(fd_, SHUT_WR);
    std::string all;
    char buffer[4096];
    for (ssize_t got = 0; (got = recv(fd_, buffer, sizeof(buffer), 0)) > 0;)
      all.append(buffer, static_cast<size_t>(got));
    return all;
  }

 private:
  const int fd_;
};

class HttpEndpointTest : public testing::Test {
 protected:
  HttpEndpointTest() {
    metrics_.AddCounter("dotagent_test_total", "Test.").Increment();
    endpoint_ = *StartHttpEndpoint("127.0.0.1", 0, metrics_, [this] { return ready_.load(); },
                                   {{"/standings", [] { return std::string("{}"); }}});
  }
  std::string Get(absl::string_view request) {
    Client client(endpoint_->port());
    client.Send(request);
    return client.ReadAll();
  }

  Metrics metrics_;
  std::atomic<bool> ready_ = false;
  std::unique_ptr<HttpEndpoint> endpoint_;
};

TEST_F(HttpEndpointTest, ServesMetrics) {
  EXPECT_THAT(Get("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"),
              AllOf(StartsWith("HTTP/1.1 200 OK\r\n"), HasSubstr("text/plain; version=0.0.4"),
                    HasSubstr("\ndotagent_test_total 1")));
}

TEST_F(HttpEndpointTest, LivenessAndReadinessDiffer) {
  EXPECT_THAT(Get("GET /livez HTTP/1.1\r\n\r\n"), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(Get("GET /readyz HTTP/1.1\r\n\r\n"), StartsWith("HTTP/1.1 503"));
  ready_ = true;
  EXPECT_THAT(Get("GET /readyz?verbose HTTP/1.0\r\n\r\n"), StartsWith("HTTP/1.1 200"));
}

TEST_F(HttpEndpointTest, HeadHasNoBody) {
  EXPECT_THAT(Get("HEAD /metrics HTTP/1.1\r\n\r\n"),
              AllOf(StartsWith("HTTP/1.1 200"), Not(HasSubstr("dotagent_test_total"))));
}

TEST_F(HttpEndpointTest, ServesPagesOfAServicesOwn) {
  const std::string answer = Get("GET /standings HTTP/1.1\r\n\r\n");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(answer, HasSubstr("Content-Type: application/json\r\n"));
  EXPECT_THAT(answer, HasSubstr("\r\n\r\n{}"));
}

TEST_F(HttpEndpointTest, RefusesWhatItDoesNotServe) {
  EXPECT_THAT(Get("GET / HTTP/1.1\r\n\r\n"), StartsWith("HTTP/1.1 404"));
  EXPECT_THAT(Get("POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"), StartsWith("HTTP/1.1 405"));
  EXPECT_THAT(Get("GARBAGE\r\n\r\n"), StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(Get(std::string("\x16\x03\x01\x02\x00\x01\xff\0\r\n\r\n", 12)), StartsWith("HTTP/1.1 400"));
}

TEST_F(HttpEndpointTest, ARequestHasABoundedSize) {
  EXPECT_EQ(Get(absl::StrCat("GET /livez HTTP/1.1\r\nX: ", std::string(20'000, 'x'), "\r\n\r\n")), "");
}

TEST_F(HttpEndpointTest, IdleConnectionsEndAndMakeRoom) {
  std::vector<std::unique_ptr<Client>> idle;
  for (int i = 0; i < 64; ++i) idle.push_back(std::make_unique<Client>(endpoint_->port()));
  for (auto& client : idle) client->Send("GET /livez HT");
  const absl::Time start = absl::Now();
  // The deadline ends a half-sent request; then there is room again.
  Client& first = *idle.front();
  EXPECT_EQ(first.ReadAll(), "");
  EXPECT_LT(absl::Now() - start, absl::Seconds(30));
  idle.clear();
  EXPECT_THAT(Get("GET /livez HTTP/1.1\r\n\r\n"), StartsWith("HTTP/1.1 200"));
}

TEST_F(HttpEndpointTest, SaysThatThePortIsTaken) {
  const auto second = StartHttpEndpoint("127.0.0.1", endpoint_->port(), metrics_, [] { return true; });
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(second.status().message(), HasSubstr(absl::StrCat("127.0.0.1:", endpoint_->port())));
  EXPECT_EQ(StartHttpEndpoint("not-an-address", 0, metrics_, [] { return true; }).status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace dotagent::telemetry
