// A resolver as a child process, and a gRPC client of it that is told in callbacks: what Drive wants.
#ifndef DOTAGENT_TESTS_BENCH_RESOLVER_CLIENT_H_
#define DOTAGENT_TESTS_BENCH_RESOLVER_CLIENT_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/identity/certificate.h"
#include "common/rpc/channel.h"
#include "dotagent/resolver/v1/resolver.grpc.pb.h"
#include "tests/bench/service_process.h"

namespace dotagent::bench {

// StartService for a resolver; `bootstrap` may be empty.
[[nodiscard]] absl::StatusOr<RunningService> StartResolver(const std::string& programs, const std::string& data_dir,
                                                           const std::string& host, const std::string& bootstrap);

// What such a client shows: of a key that nobody knows.
[[nodiscard]] absl::StatusOr<identity::NodeCertificate> MakeClientCertificate();

// `address` host:port of whatever speaks dotagent.resolver.v1. Each call's `done` runs on one of gRPC's threads.
class ResolverClient {
 public:
  [[nodiscard]] static absl::StatusOr<std::unique_ptr<ResolverClient>> Connect(
      const std::string& address, const identity::NodeCertificate& certificate);

  void Publish(const std::string& record, std::function<void(bool)> done);
  // The same, and waits.
  [[nodiscard]] absl::Status Publish(const std::string& record);
  // Ok if the answer is a record of `expected_size` bytes.
  void Resolve(const std::string& name, bool bypass_cache, size_t expected_size, std::function<void(bool)> done);
  // Resolves `name`, from the cache or not, and waits.
  [[nodiscard]] absl::Status Ask(const std::string& name);
  [[nodiscard]] absl::StatusOr<uint32_t> KnownNodes();

 private:
  explicit ResolverClient(std::unique_ptr<rpc::Channel> channel)
      : channel_(std::move(channel)), stub_(resolver::v1::ResolverService::NewStub(channel_->grpc())) {}

  const std::unique_ptr<rpc::Channel> channel_;
  const std::unique_ptr<resolver::v1::ResolverService::Stub> stub_;
};

}  // namespace dotagent::bench

#endif  // DOTAGENT_TESTS_BENCH_RESOLVER_CLIENT_H_
