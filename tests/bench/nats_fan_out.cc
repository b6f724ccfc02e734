#include "tests/bench/nats_fan_out.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/base/status.h"

namespace dotagent::bench {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(30);
constexpr char kTopic[] = "prices.eu";

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

absl::StatusOr<int> Dial(uint16_t port) {
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

absl::Status WriteAll(int fd, absl::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (written < 0) return absl::ErrnoToStatus(errno, "nats-server's connection");
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<NatsFanOut>> NatsFanOut::Start(size_t subscribers, size_t connections) {
  std::string program;
  for (const char* path : {"/usr/sbin/nats-server", "/usr/bin/nats-server", "/usr/local/bin/nats-server"}) {
    if (std::filesystem::exists(path)) program = path;
  }
  if (program.empty())
    return absl::NotFoundError("nats-server is not installed (scripts/install-dependencies --bench)");
  ASSIGN_OR_RETURN(const uint16_t port, FreePort());
  ASSIGN_OR_RETURN(auto server,
                   Process::Start({program, "-a", "127.0.0.1", "-p", absl::StrCat(port), "-l", "/dev/stdout"}));
  for (std::string line; !absl::StrContains(line, "Server is ready");) {
    ASSIGN_OR_RETURN(line, server->ReadLine(kPatience));
  }
  std::unique_ptr<NatsFanOut> peer(new NatsFanOut(std::move(server)));
  RETURN_IF_ERROR(peer->Subscribe(port, subscribers, connections));
  return peer;
}

absl::Status NatsFanOut::Subscribe(uint16_t port, size_t subscribers, size_t connections) {
  epoll_ = epoll_create1(EPOLL_CLOEXEC);
  connections_.resize(connections);
  for (size_t i = 0; i < connections; ++i) {
    ASSIGN_OR_RETURN(connections_[i].fd, Dial(port));
    std::string hello = "CONNECT {\"verbose\":false}\r\n";
    for (size_t id = i; id < subscribers; id += connections)
      absl::StrAppend(&hello, "SUB ", "prices.> ", id + 1, "\r\n");
    RETURN_IF_ERROR(WriteAll(connections_[i].fd, absl::StrCat(hello, "PING\r\n")));
    epoll_event event{.events = EPOLLIN, .data = {.u64 = i}};
    epoll_ctl(epoll_, EPOLL_CTL_ADD, connections_[i].fd, &event);
  }
  ASSIGN_OR_RETURN(publisher_, Dial(port));
  RETURN_IF_ERROR(WriteAll(publisher_, "CONNECT {\"verbose\":false}\r\n"));
  reader_ = std::thread([this] { ReadAll(); });
  return ready_.AwaitAtLeast(connections);
}

NatsFanOut::~NatsFanOut() {
  stopping_ = true;
  if (reader_.joinable()) reader_.join();
  for (const Connection& connection : connections_) {
    if (connection.fd >= 0) close(connection.fd);
  }
  if (publisher_ >= 0) close(publisher_);
  if (epoll_ >= 0) close(epoll_);
}

void NatsFanOut::ReadAll() {
  constexpr int kEvents = 64;
  constexpr int kTimeoutMs = 50;
  epoll_event events[kEvents];
  while (!stopping_) {
    const int count = epoll_wait(epoll_, events, kEvents, kTimeoutMs);
    for (int i = 0; i < count; ++i) Read(connections_[events[i].data.u64]);
  }
}

// Lines, and behind each MSG its payload.
void NatsFanOut::Read(Connection& connection) {
  char chunk[64 * 1024];
  const ssize_t got = recv(connection.fd, chunk, sizeof chunk, 0);
  if (got <= 0) {
    epoll_ctl(epoll_, EPOLL_CTL_DEL, connection.fd, nullptr);  // the count will tell
    return;
  }
  connection.buffer.append(chunk, static_cast<size_t>(got));
  absl::string_view rest = connection.buffer;
  uint64_t messages = 0;
  for (;;) {
    const size_t end = rest.find("\r\n");
    if (end == absl::string_view::npos) break;
    const absl::string_view line = rest.substr(0, end);
    size_t size = end + 2;
    if (absl::StartsWith(line, "MSG ")) {
      size_t payload = 0;
      if (!absl::SimpleAtoi(line.substr(line.rfind(' ') + 1), &payload)) break;
      size += payload + 2;
      if (rest.size() < size) break;
      ++messages;
    } else if (line == "PING") {
      static_cast<void>(WriteAll(connection.fd, "PONG\r\n"));
    } else if (line == "PONG") {
      ready_.Add(1);
    }
    rest.remove_prefix(size);
  }
  connection.buffer = std::string(rest);
  if (messages > 0) delivered_.Add(messages);
}

absl::Status NatsFanOut::Publish(size_t payload) {
  return WriteAll(publisher_, absl::StrCat("PUB ", kTopic, " ", payload, "\r\n", std::string(payload, 'x'), "\r\n"));
}

}  // namespace dotagent::bench
