// The same fan-out with Debian's nats-server: plain TCP, no signatures, core NATS (at most once, as our topics are).
//
// Its clients are a loop over sockets that only counts, which costs less than any NATS library would.
#ifndef DOTAGENT_TESTS_BENCH_NATS_FAN_OUT_H_
#define DOTAGENT_TESTS_BENCH_NATS_FAN_OUT_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tests/bench/nats_server.h"
#include "tests/bench/progress.h"

namespace dotagent::bench {

class NatsFanOut {
 public:
  // NotFound if there is no nats-server on this machine.
  [[nodiscard]] static absl::StatusOr<std::unique_ptr<NatsFanOut>> Start(size_t subscribers, size_t connections);
  ~NatsFanOut();
  NatsFanOut(const NatsFanOut&) = delete;
  NatsFanOut& operator=(const NatsFanOut&) = delete;

  [[nodiscard]] absl::Status Publish(size_t payload);
  // All subscribers'.
  [[nodiscard]] const Progress& delivered() const { return delivered_; }

 private:
  struct Connection {
    int fd = -1;
    std::string buffer;
  };
  explicit NatsFanOut(std::unique_ptr<NatsServer> server) : server_(std::move(server)) {}
  [[nodiscard]] absl::Status Subscribe(uint16_t port, size_t subscribers, size_t connections);
  void ReadAll();
  void Read(Connection& connection);

  const std::unique_ptr<NatsServer> server_;
  std::vector<Connection> connections_;
  int publisher_ = -1;
  int epoll_ = -1;
  Progress delivered_{"messages of nats-server"};
  Progress ready_{"connections that nats-server has confirmed"};
  std::atomic<bool> stopping_ = false;
  std::thread reader_;
};

}  // namespace dotagent::bench

#endif  // DOTAGENT_TESTS_BENCH_NATS_FAN_OUT_H_
