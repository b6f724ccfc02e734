// An agent with an Inbox open at every gateway, and a channel to another, that notes when and how each of them ended.
#ifndef DOTAGENT_TESTS_BENCH_LIVE_AGENT_H_
#define DOTAGENT_TESTS_BENCH_LIVE_AGENT_H_

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/crypto/keys.h"
#include "tests/bench/gateway_link.h"

namespace dotagent::bench {

// Calls back on gRPC's threads. Goes once all its calls have ended: after the gateways have.
class LiveAgent {
 public:
  using Done = std::function<void(bool ok)>;

  LiveAgent(std::string name, crypto::SigningKey key) : name_(std::move(name)), key_(std::move(key)) {}
  ~LiveAgent();
  LiveAgent(const LiveAgent&) = delete;
  LiveAgent& operator=(const LiveAgent&) = delete;

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] const crypto::SigningKey& key() const { return *key_; }
  // Once it has done what needs it: a key lives in pages of its own, of which a process may have some 65,000.
  void ForgetKey() { key_.reset(); }

  // Proves the key to a gateway; links are numbered in the order of these calls.
  void Authenticate(GatewayLink& link, Done done);
  // Publishes the record with `addresses` through link 0, and so makes that gateway its home.
  void Register(const std::vector<std::string>& addresses, Done done);
  // `done` once the inbox is open.
  void OpenInbox(size_t link, Done done);
  // Calls `other` through link 0; who takes the call at its own home. `done` once both ends are open.
  void Call(LiveAgent& other, Done done);

  // Waits until all that is open with this key, and the other end of its channel, has ended; the time of the last end.
  // DeadlineExceeded, or Internal if one ended otherwise than because the key was revoked.
  [[nodiscard]] absl::StatusOr<absl::Time> AwaitRevoked(absl::Duration patience);

 private:
  struct Home {
    GatewayLink* link;
    std::string token;
  };
  void OnOffer(const gateway::v1::ChannelOffer& offer);
  void OnEnd(const absl::Status& why);

  const std::string name_;
  std::optional<crypto::SigningKey> key_;
  std::vector<Home> homes_;
  LiveAgent* other_ = nullptr;         // at the channel's other end
  std::function<void(bool)> on_open_;  // of the channel, at the end that was called
  absl::Mutex mutex_;
  size_t open_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Time last_end_ ABSL_GUARDED_BY(mutex_);
  absl::Status other_end_ ABSL_GUARDED_BY(mutex_);  // of what ended otherwise
};

}  // namespace dotagent::bench

#endif  // DOTAGENT_TESTS_BENCH_LIVE_AGENT_H_
