// nats-server as a process, and plain connections to it: its protocol is lines of text
// (docs.nats.io/reference/reference-protocols/nats-protocol), and a socket that is written and read by hand is the
// quickest client that it can have.
#ifndef DOTAGENT_TESTS_BENCH_NATS_SERVER_H_
#define DOTAGENT_TESTS_BENCH_NATS_SERVER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tests/bench/process.h"

namespace dotagent::bench {

class NatsServer {
 public:
  // NotFound if there is no nats-server on this machine.
  [[nodiscard]] static absl::StatusOr<std::unique_ptr<NatsServer>> Start();
  [[nodiscard]] uint16_t port() const { return port_; }

 private:
  NatsServer(std::unique_ptr<Process> process, uint16_t port) : process_(std::move(process)), port_(port) {}

  const std::unique_ptr<Process> process_;
  const uint16_t port_;
};

// A blocking connection. Not thread-safe, but that one thread may write while another reads.
class NatsConnection {
 public:
  // Connected, and the server has said so.
  [[nodiscard]] static absl::StatusOr<std::unique_ptr<NatsConnection>> Dial(uint16_t port);
  ~NatsConnection();
  NatsConnection(const NatsConnection&) = delete;
  NatsConnection& operator=(const NatsConnection&) = delete;

  // Complete once the server has confirmed it.
  [[nodiscard]] absl::Status Subscribe(absl::string_view subject);
  [[nodiscard]] absl::Status Publish(absl::string_view subject, absl::string_view payload,
                                     absl::string_view reply_to = "");
  // The payload's size of the next message; `reply_to` gets where its answer goes. Unavailable when it was closed.
  [[nodiscard]] absl::StatusOr<size_t> Next(std::string* reply_to = nullptr);
  // Ends a Next that waits.
  void Close();

 private:
  explicit NatsConnection(int fd) : fd_(fd) {}
  [[nodiscard]] absl::Status AwaitPong();
  [[nodiscard]] absl::Status Fill();
  [[nodiscard]] absl::StatusOr<absl::string_view> Line();

  const int fd_;
  std::string buffer_;
  size_t begin_ = 0;  // of what has not been read
};

// Blocking sockets' parts, for those who read many at once.
namespace nats {
[[nodiscard]] absl::StatusOr<int> Connect(uint16_t port);
[[nodiscard]] absl::Status WriteAll(int fd, absl::string_view bytes);
}  // namespace nats

}  // namespace dotagent::bench

#endif  // DOTAGENT_TESTS_BENCH_NATS_SERVER_H_
