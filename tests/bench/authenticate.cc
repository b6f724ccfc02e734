#include "tests/bench/authenticate.h"

#include <algorithm>
#include <atomic>
#include <iostream>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/crypto/keys.h"
#include "common/identity/challenge.h"
#include "tests/bench/drive.h"
#include "tests/bench/gateway_link.h"
#include "tests/bench/resolver_client.h"
#include "tests/bench/service_process.h"
#include "tests/bench/temporary_folder.h"

namespace dotagent::bench {
namespace {

constexpr size_t kAgents = 1'000;
constexpr size_t kProofs = 20'000;  // a repetition
constexpr size_t kFirstProofs = 4'000;
constexpr size_t kInFlight = 256;
constexpr size_t kConnections = 4;

void Say(const std::string& what) { std::cerr << what << std::endl; }

class Bench {
 public:
  [[nodiscard]] absl::Status Start(const std::string& programs) {
    ASSIGN_OR_RETURN(resolver_, StartResolver(programs, folder_.Path("resolver"), "127.0.0.1", ""));
    ASSIGN_OR_RETURN(gateway_, StartService(programs, "gateway", folder_.Path("gateway"), "127.0.0.1",
                                            {"--resolver", resolver_.grpc}));
    for (size_t i = 0; i < kConnections; ++i) {
      ASSIGN_OR_RETURN(links_.emplace_back(), GatewayLink::Connect(gateway_.grpc));
    }
    agents_ = NewAgents(kAgents);
    return absl::OkStatus();
  }

  // Of keys that the gateway knows after the first turn.
  [[nodiscard]] absl::StatusOr<Timing> Prove(size_t count, size_t in_flight) {
    return Prove(agents_, count, in_flight);
  }
  // Of keys that it has never seen, whose form it has to check as well.
  [[nodiscard]] absl::StatusOr<Timing> ProveFirst() {
    const std::vector<crypto::SigningKey> strangers = NewAgents(kFirstProofs);
    return Prove(strangers, strangers.size(), kInFlight);
  }

  // What a proof needs of signatures, and nothing else, on every core: each side makes one and checks the other's.
  [[nodiscard]] absl::StatusOr<double> SignaturesAlone() {
    ASSIGN_OR_RETURN(const std::string message, identity::AuthBytes({.purpose = "gateway",
                                                                     .client_nonce = random_.Bytes(32),
                                                                     .server_nonce = random_.Bytes(32),
                                                                     .client_key = agents_[0].public_key(),
                                                                     .server_key = agents_[1].public_key(),
                                                                     .channel_binding = random_.Bytes(32)},
                                                                    identity::AuthRole::kClient));
    const size_t cores = std::max(std::thread::hardware_concurrency(), 1U);
    std::atomic<size_t> wrong = 0;
    const auto work = [&] {
      for (size_t i = 0; i < kProofs / cores; ++i) {
        for (size_t side = 0; side < 2; ++side) {
          const crypto::SigningKey& key = agents_[(i + side) % agents_.size()];
          const auto signature = key.Sign(message);
          if (!signature.ok() || !crypto::Verify(key.public_key(), message, *signature).ok()) ++wrong;
        }
      }
    };
    const absl::Time from = absl::Now();
    std::vector<std::thread> threads;
    for (size_t i = 0; i < cores; ++i) threads.emplace_back(work);
    for (std::thread& thread : threads) thread.join();
    const double seconds = absl::ToDoubleSeconds(absl::Now() - from);
    if (wrong > 0) return absl::InternalError("a signature did not verify");
    return static_cast<double>(kProofs / cores * cores) / seconds;
  }

 private:
  std::vector<crypto::SigningKey> NewAgents(size_t count) {
    std::vector<crypto::SigningKey> agents;
    for (size_t i = 0; i < count; ++i) agents.push_back(crypto::SigningKey::Generate(random_));
    return agents;
  }
  // Proofs by `agents` in turn.
  [[nodiscard]] absl::StatusOr<Timing> Prove(const std::vector<crypto::SigningKey>& agents, size_t count,
                                             size_t in_flight) {
    const Timing timing = Drive(0, count, in_flight, [&](size_t i, std::function<void(bool)> done) {
      links_[i % links_.size()]->Authenticate(
          agents[i % agents.size()],
          [done = std::move(done)](const absl::StatusOr<std::string>& token) { done(token.ok()); });
    });
    if (timing.failed > 0) return absl::UnavailableError(absl::StrCat(timing.failed, " authentications failed"));
    return timing;
  }

  const TemporaryFolder folder_;
  RunningService resolver_;  // a gateway wants one; nobody asks it
  RunningService gateway_;
  std::vector<std::unique_ptr<GatewayLink>> links_;
  SystemRandom random_;
  std::vector<crypto::SigningKey> agents_;
};

}  // namespace

absl::Status MeasureAuthentication(const std::string& programs, size_t repetitions, Report& report) {
  Bench bench;
  RETURN_IF_ERROR(bench.Start(programs));
  Row rate{
      .what = absl::StrCat("agents authenticated by a gateway, known keys, gRPC over TLS, ", kInFlight, " in flight"),
      .unit = "a second",
      .peer_name = "its four Ed25519 operations alone",
      .at_least = 0.5};
  Row first{.what = "the same, keys that the gateway has not seen", .unit = "a second"};
  Row single{.what = "known keys, one at a time, p50", .unit = "ms"};
  for (size_t i = 0; i <= repetitions; ++i) {
    Say(i == 0 ? "warm-up" : absl::StrCat("repetition ", i));
    ASSIGN_OR_RETURN(const Timing together, bench.Prove(kProofs, kInFlight));
    ASSIGN_OR_RETURN(const double alone, bench.SignaturesAlone());
    ASSIGN_OR_RETURN(const Timing strangers, bench.ProveFirst());
    ASSIGN_OR_RETURN(const Timing serial, bench.Prove(kProofs / 20, 1));
    if (i == 0) continue;
    rate.ours.push_back(static_cast<double>(together.us.size()) / together.seconds);
    rate.peers.push_back(alone);
    first.ours.push_back(static_cast<double>(strangers.us.size()) / strangers.seconds);
    single.ours.push_back(Median(serial.us) / 1000);
  }
  report.Add(std::move(rate));
  report.Add(std::move(first));
  report.Add(std::move(single));
  report.Note(absl::StrCat(
      "Gateway and agents share the machine's cores, and so do the operations alone, as many threads as cores: a "
      "signature made and one checked for each side. ",
      kAgents, " agents in turn, over ", kConnections,
      " connections that are open. A key's form (that it has prime order) is checked at its first proof and then "
      "remembered; the row of keys that the gateway has not seen pays for it each time."));
  return absl::OkStatus();
}

}  // namespace dotagent::bench
