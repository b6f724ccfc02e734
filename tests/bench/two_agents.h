// Two agents of the SDK: alice in this process, bob (answering_agent.cc), their gateways and the resolver in processes
// of their own. In one process the two would share what gRPC polls with, and wake each other. bob answers requests,
// echoes on a channel or swallows what comes over it.
#ifndef DOTAGENT_TESTS_BENCH_TWO_AGENTS_H_
#define DOTAGENT_TESTS_BENCH_TWO_AGENTS_H_

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/random.h"
#include "common/crypto/keys.h"
#include "sdk/cpp/agent.h"
#include "tests/bench/process.h"
#include "tests/bench/service_process.h"
#include "tests/bench/temporary_folder.h"

namespace dotagent::bench {

class TwoAgents {
 public:
  // At one gateway, or each at its own. bob answers a request with the content that it came with.
  [[nodiscard]] static absl::StatusOr<std::unique_ptr<TwoAgents>> Start(const std::string& programs, bool two_gateways);

  // alice asks bob, and waits for his answer.
  [[nodiscard]] absl::Status Ask(const record::Json& content);

  // A channel from alice to bob, who swallows what comes until it is closed; or who sends it back, in messages of so
  // many bytes, each read as a whole and written by itself.
  [[nodiscard]] absl::StatusOr<std::unique_ptr<sdk::Channel>> OpenSink();
  [[nodiscard]] absl::StatusOr<std::unique_ptr<sdk::Channel>> OpenEcho(size_t message_bytes);

  // What one request and its answer take of signatures, alone, in µs: two made, and each checked at the gateway and by
  // who gets it.
  [[nodiscard]] absl::StatusOr<double> SignatureCost(const record::Json& content) const;

 private:
  TwoAgents() = default;

  const TemporaryFolder folder_;
  SystemRandom random_;
  const std::shared_ptr<const crypto::SigningKey> alices_key_ =
      std::make_shared<crypto::SigningKey>(crypto::SigningKey::Generate(random_));
  RunningService resolver_;
  std::vector<RunningService> gateways_;
  std::unique_ptr<sdk::Agent> alice_;
  std::unique_ptr<Process> bob_;
};

}  // namespace dotagent::bench

#endif  // DOTAGENT_TESTS_BENCH_TWO_AGENTS_H_
