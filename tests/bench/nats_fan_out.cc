#include "tests/bench/nats_fan_out.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/base/status.h"

namespace dotagent::bench {
namespace {

constexpr char kTopic[] = "prices.eu";

}  // namespace

absl::StatusOr<std::unique_ptr<NatsFanOut>> NatsFanOut::Start(size_t subscribers, size_t connections) {
  ASSIGN_OR_RETURN(auto server, NatsServer::Start());
  const uint16_t port = server->port();
  std::unique_ptr<NatsFanOut> peer(new NatsFanOut(std::move(server)));
  RETURN_IF_ERROR(peer->Subscribe(port, subscribers, connections));
  return peer;
}

absl::Status NatsFanOut::Subscribe(uint16_t port, size_t subscribers, size_t connections) {
  epoll_ = epoll_create1(EPOLL_CLOEXEC);
  connections_.resize(connections);
  for (size_t i = 0; i < connections; ++i) {
    ASSIGN_OR_RETURN(connections_[i].fd, nats::Connect(port));
    std::string hello = "CONNECT {\"verbose\":false}\r\n";
    for (size_t id = i; id < subscribers; id += connections)
      absl::StrAppend(&hello, "SUB ", "prices.> ", id + 1, "\r\n");
    RETURN_IF_ERROR(nats::WriteAll(connections_[i].fd, absl::StrCat(hello, "PING\r\n")));
    epoll_event event{.events = EPOLLIN, .data = {.u64 = i}};
    epoll_ctl(epoll_, EPOLL_CTL_ADD, connections_[i].fd, &event);
  }
  ASSIGN_OR_RETURN(publisher_, nats::Connect(port));
  RETURN_IF_ERROR(nats::WriteAll(publisher_, "CONNECT {\"verbose\":false}\r\n"));
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
      static_cast<void>(nats::WriteAll(connection.fd, "PONG\r\n"));
    } else if (line == "PONG") {
      ready_.Add(1);
    }
    rest.remove_prefix(size);
  }
  connection.buffer = std::string(rest);
  if (messages > 0) delivered_.Add(messages);
}

absl::Status NatsFanOut::Publish(size_t payload) {
  return nats::WriteAll(publisher_,
                        absl::StrCat("PUB ", kTopic, " ", payload, "\r\n", std::string(payload, 'x'), "\r\n"));
}

}  // namespace dotagent::bench
