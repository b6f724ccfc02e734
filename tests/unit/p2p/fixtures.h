// Nodes on real loopback sockets, and waiting for what they do.
#ifndef DOTAGENT_TESTS_UNIT_P2P_FIXTURES_H_
#define DOTAGENT_TESTS_UNIT_P2P_FIXTURES_H_

#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/crypto/keys.h"
#include "common/p2p/loop.h"
#include "common/p2p/node.h"
#include "common/p2p/stream.h"
#include "common/telemetry/metrics.h"

namespace dotagent::p2p {

inline constexpr std::chrono::seconds kPatience{30};

// A callback's result, to be waited for from the test's thread.
template <typename T>
class Outcome {
 public:
  // Copyable, as callbacks are; call it once.
  [[nodiscard]] auto Callback() {
    return [promise = promise_](T value) { promise->set_value(std::move(value)); };
  }
  [[nodiscard]] T Wait() {
    if (future_.wait_for(kPatience) == std::future_status::ready) return future_.get();
    return T(absl::DeadlineExceededError("the test waited in vain"));
  }

 private:
  std::shared_ptr<std::promise<T>> promise_ = std::make_shared<std::promise<T>>();
  std::future<T> future_ = promise_->get_future();
};

// A node with its key and metrics on a loop that others may share. Every method is for the test's thread.
class TestNode {
 public:
  explicit TestNode(Loop& loop, const std::function<void(NodeOptions&)>& change = nullptr)
      : loop_(loop), key_(crypto::SigningKey::Generate(random_)) {
    NodeOptions options;
    options.key = &key_;
    options.random = &random_;
    options.clock = &clock_;
    options.metrics = &metrics_;
    if (change != nullptr) change(options);
    public_key_ = options.key->public_key();
    node_ = loop_.Run([&] { return std::make_unique<Node>(loop_.executor(), options); });
    EXPECT_EQ(loop_.Run([&] { return node_->Listen(); }), absl::OkStatus());
  }
  ~TestNode() { Destroy(); }
  TestNode(const TestNode&) = delete;
  TestNode& operator=(const TestNode&) = delete;

  void Destroy() {
    loop_.Run([&] { node_.reset(); });
  }

  [[nodiscard]] Node& node() { return *node_; }
  [[nodiscard]] const crypto::PublicKey& key() const { return public_key_; }
  // The node's own key, unless `change` gave it another.
  [[nodiscard]] const crypto::Signer& signer() const { return key_; }
  [[nodiscard]] telemetry::Metrics& metrics() { return metrics_; }
  [[nodiscard]] const Clock& clock() const { return clock_; }
  [[nodiscard]] Random& random() { return random_; }

  [[nodiscard]] Multiaddr address() {
    auto address = Multiaddr::Parse(loop_.Run([&] { return node_->addresses(); }).at(0));
    EXPECT_EQ(address.status(), absl::OkStatus());
    return *address;
  }
  [[nodiscard]] PeerAddress peer() { return {key(), {address()}}; }

  // Answers each request with "NAME:" and the request.
  void ServeEcho(const std::string& name) {
    loop_.Run([&] {
      node_->ServeCalls("/test/echo/1", 1024,
                        [name](const crypto::PublicKey&, const std::string& request, auto respond) {
                          respond(name + ":" + request);
                        });
    });
  }
  [[nodiscard]] absl::StatusOr<std::string> Call(const PeerAddress& to, const std::string& request,
                                                 const std::string& protocol = "/test/echo/1") {
    Outcome<absl::StatusOr<std::string>> response;
    loop_.Run([&] { node_->Call(to, protocol, request, 4096, absl::Seconds(20), response.Callback()); });
    return response.Wait();
  }
  [[nodiscard]] absl::StatusOr<std::shared_ptr<Stream>> Open(const PeerAddress& to, const std::string& protocol) {
    Outcome<absl::StatusOr<std::shared_ptr<Stream>>> stream;
    loop_.Run([&] { node_->OpenStream(to, protocol, session::Priority::kNormal, stream.Callback()); });
    return stream.Wait();
  }
  [[nodiscard]] absl::StatusOr<crypto::PublicKey> Connect(const PeerAddress& to) {
    Outcome<absl::StatusOr<crypto::PublicKey>> key;
    loop_.Run([&] { node_->Connect(to, key.Callback()); });
    return key.Wait();
  }
  [[nodiscard]] absl::StatusOr<std::string> Read(const std::shared_ptr<Stream>& stream, size_t max = 65536) {
    Outcome<absl::StatusOr<std::string>> piece;
    loop_.Run([&] { stream->Read(max, piece.Callback()); });
    return piece.Wait();
  }
  [[nodiscard]] absl::Status Write(const std::shared_ptr<Stream>& stream, std::string data) {
    Outcome<absl::Status> written;
    loop_.Run([&] { stream->Write(std::move(data), written.Callback()); });
    return written.Wait();
  }
  [[nodiscard]] size_t sessions() {
    return loop_.Run([&] { return node_->open_sessions(); });
  }
  [[nodiscard]] std::optional<PathKind> PathTo(const crypto::PublicKey& peer) {
    return loop_.Run([&] { return node_->PathTo(peer); });
  }

 private:
  Loop& loop_;
  SystemRandom random_;
  SystemClock clock_;
  telemetry::Metrics metrics_;
  crypto::SigningKey key_;  // used unless `change` sets another
  crypto::PublicKey public_key_;
  std::unique_ptr<Node> node_;
};

// Looks until `condition` holds, on the loop, between the loop's other work. False if it never does.
inline bool Eventually(Loop& loop, const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (std::chrono::steady_clock::now() < deadline) {
    if (loop.Run(condition)) return true;
  }
  return false;
}

}  // namespace dotagent::p2p

#endif  // DOTAGENT_TESTS_UNIT_P2P_FIXTURES_H_
