#include "tests/bench/resolver_client.h"

#include <grpcpp/client_context.h>

#include <chrono>
#include <utility>

#include "absl/time/clock.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/crypto/keys.h"
#include "common/rpc/status.h"

namespace dotagent::bench {
namespace {

namespace v1 = ::dotagent::resolver::v1;

constexpr absl::Duration kStartTime = absl::Seconds(60);
constexpr auto kCallTime = std::chrono::seconds(30);

template <typename Request, typename Response>
struct Call {
  grpc::ClientContext context;
  Request request;
  Response response;
};

template <typename Request, typename Response>
std::shared_ptr<Call<Request, Response>> NewCall() {
  auto call = std::make_shared<Call<Request, Response>>();
  call->context.set_deadline(std::chrono::system_clock::now() + kCallTime);
  return call;
}

}  // namespace

absl::StatusOr<RunningService> StartResolver(const std::string& programs, const std::string& data_dir,
                                             const std::string& host, const std::string& bootstrap) {
  // Benchmarks connect as often as no stranger may, and measure what that costs, not how long it has to wait.
  std::vector<std::string> options = {"--p2p-connect-rate", "0", "--p2p-newcomer-share", "1"};
  if (!bootstrap.empty()) options.insert(options.end(), {"--bootstrap", bootstrap});
  return StartService(programs, "resolver", data_dir, host, options);
}

absl::StatusOr<identity::NodeCertificate> MakeClientCertificate() {
  SystemRandom random;
  return identity::MakeNodeCertificate(crypto::SigningKey::Generate(random), {}, absl::Now());
}

absl::StatusOr<std::unique_ptr<ResolverClient>> ResolverClient::Connect(const std::string& address,
                                                                        const identity::NodeCertificate& certificate) {
  ASSIGN_OR_RETURN(auto channel, rpc::NewChannel(address, {.certificate = &certificate}));
  RETURN_IF_ERROR(channel->WaitUntilReady(kStartTime));
  return std::unique_ptr<ResolverClient>(new ResolverClient(std::move(channel)));
}

void ResolverClient::Publish(const std::string& record, std::function<void(bool)> done) {
  const auto call = NewCall<v1::PublishRequest, v1::PublishResponse>();
  call->request.set_record_json(record);
  stub_->async()->Publish(&call->context, &call->request, &call->response,
                          [call, done = std::move(done)](const grpc::Status& status) { done(status.ok()); });
}

absl::Status ResolverClient::Publish(const std::string& record) {
  const auto call = NewCall<v1::PublishRequest, v1::PublishResponse>();
  call->request.set_record_json(record);
  return rpc::FromGrpc(stub_->Publish(&call->context, call->request, &call->response));
}

void ResolverClient::Resolve(const std::string& name, bool bypass_cache, size_t expected_size,
                             std::function<void(bool)> done) {
  const auto call = NewCall<v1::ResolveRequest, v1::ResolveResponse>();
  call->request.set_name(name);
  call->request.set_bypass_cache(bypass_cache);
  stub_->async()->Resolve(&call->context, &call->request, &call->response,
                          [call, expected_size, done = std::move(done)](const grpc::Status& status) {
                            done(status.ok() && call->response.record_json().size() == expected_size);
                          });
}

absl::Status ResolverClient::Ask(const std::string& name) {
  const auto call = NewCall<v1::ResolveRequest, v1::ResolveResponse>();
  call->request.set_name(name);
  return rpc::FromGrpc(stub_->Resolve(&call->context, call->request, &call->response));
}

absl::StatusOr<uint32_t> ResolverClient::KnownNodes() {
  const auto call = NewCall<v1::GetStatusRequest, v1::GetStatusResponse>();
  const grpc::Status status = stub_->GetStatus(&call->context, call->request, &call->response);
  if (!status.ok()) return absl::UnavailableError(status.error_message());
  return call->response.known_nodes();
}

}  // namespace dotagent::bench
