#include "tests/bench/nats_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "common/base/status.h"

namespace dotagent::bench {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(30);
constexpr char kHello[] = "CONNECT {\"verbose\":false,\"pedantic\":false}\r\nPING\r\n";

sockaddr_in Loopback(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

// One that was free a moment ago.
absl::StatusOr<uint16_t> FreePort() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = Loopback(0);
  socklen_t size = sizeof address;
  const bool ok = fd >= 0 && bind(fd, reinterpret_cast<sockaddr*>(&address), size) == 0 &&
                  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0;
  const absl::Status status = ok ? absl::OkStatus() : absl::ErrnoToStatus(errno, "no free port");
  if (fd >= 0) close(fd);
  if (!ok) return status;
  return ntohs(address.sin_port);
}

}  // namespace

absl::StatusOr<int> nats::Connect(uint16_t port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return absl::ErrnoToStatus(errno, "socket");
  const sockaddr_in address = Loopback(port);
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    const absl::Status status = absl::ErrnoToStatus(errno, "nats-server does not answer");
    close(fd);
    return status;
  }
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

absl::Status nats::WriteAll(int fd, absl::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (written < 0) return absl::ErrnoToStatus(errno, "nats-server's connection");
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<NatsServer>> NatsServer::Start() {
  std::string program;
  for (const char* path : {"/usr/sbin/nats-server", "/usr/bin/nats-server", "/usr/local/bin/nats-server"}) {
    if (std::filesystem::exists(path)) program = path;
  }
  if (program.empty()) {
    return absl::NotFoundError("nats-server is not installed (scripts/install-dependencies --bench)");
  }
  ASSIGN_OR_RETURN(const uint16_t port, FreePort());
  ASSIGN_OR_RETURN(auto process,
                   Process::Start({program, "-a", "127.0.0.1", "-p", absl::StrCat(port), "-l", "/dev/stdout"}));
  for (std::string line; !absl::StrContains(line, "Server is ready");) {
    ASSIGN_OR_RETURN(line, process->ReadLine(kPatience));
  }
  return std::unique_ptr<NatsServer>(new NatsServer(std::move(process), port));
}

absl::StatusOr<std::unique_ptr<NatsConnection>> NatsConnection::Dial(uint16_t port) {
  ASSIGN_OR_RETURN(const int fd, nats::Connect(port));
  std::unique_ptr<NatsConnection> connection(new NatsConnection(fd));
  RETURN_IF_ERROR(nats::WriteAll(fd, kHello));
  RETURN_IF_ERROR(connection->AwaitPong());
  return connection;
}

NatsConnection::~NatsConnection() { close(fd_); }

void NatsConnection::Close() { (void)shutdown(fd_, SHUT_RDWR); }

absl::Status NatsConnection::Subscribe(absl::string_view subject) {
  RETURN_IF_ERROR(nats::WriteAll(fd_, absl::StrCat("SUB ", subject, " 1\r\nPING\r\n")));
  return AwaitPong();
}

absl::Status NatsConnection::Publish(absl::string_view subject, absl::string_view payload, absl::string_view reply_to) {
  return nats::WriteAll(fd_, absl::StrCat("PUB ", subject, reply_to.empty() ? "" : " ", reply_to, " ", payload.size(),
                                          "\r\n", payload, "\r\n"));
}

absl::Status NatsConnection::AwaitPong() {
  for (;;) {
    ASSIGN_OR_RETURN(const absl::string_view line, Line());
    if (line == "PONG") return absl::OkStatus();
    if (absl::StartsWith(line, "-ERR")) return absl::InternalError(absl::StrCat("nats-server: ", line));
  }
}

absl::Status NatsConnection::Fill() {
  if (begin_ > 0) buffer_.erase(0, std::exchange(begin_, 0));
  const size_t before = buffer_.size();
  buffer_.resize(before + 64 * 1024);
  const ssize_t got = recv(fd_, buffer_.data() + before, buffer_.size() - before, 0);
  buffer_.resize(before + static_cast<size_t>(std::max<ssize_t>(got, 0)));
  if (got <= 0) return absl::UnavailableError("nats-server's connection has ended");
  return absl::OkStatus();
}

absl::StatusOr<absl::string_view> NatsConnection::Line() {
  for (;;) {
    const size_t end = buffer_.find("\r\n", begin_);
    if (end != std::string::npos) {
      const absl::string_view line(buffer_.data() + begin_, end - begin_);
      begin_ = end + 2;
      return line;
    }
    RETURN_IF_ERROR(Fill());
  }
}

absl::StatusOr<size_t> NatsConnection::Next(std::string* reply_to) {
  for (;;) {
    ASSIGN_OR_RETURN(const absl::string_view line, Line());
    if (line == "PING") {
      RETURN_IF_ERROR(nats::WriteAll(fd_, "PONG\r\n"));
      continue;
    }
    if (absl::StartsWith(line, "-ERR")) return absl::InternalError(absl::StrCat("nats-server: ", line));
    if (!absl::StartsWith(line, "MSG ")) continue;
    // MSG subject sid [reply-to] #bytes
    const std::vector<absl::string_view> words = absl::StrSplit(line, ' ');
    size_t size = 0;
    if (words.size() < 4 || !absl::SimpleAtoi(words.back(), &size)) {
      return absl::InternalError(absl::StrCat("nats-server said: ", line));
    }
    if (reply_to != nullptr) *reply_to = words.size() > 4 ? std::string(words[3]) : std::string();
    while (buffer_.size() - begin_ < size + 2) RETURN_IF_ERROR(Fill());
    begin_ += size + 2;
    return size;
  }
}

}  // namespace dotagent::bench
