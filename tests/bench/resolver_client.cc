#include "tests/bench/resolver_client.h"

#include <grpcpp/client_context.h>
#include <poll.h>

#include <chrono>
#include <fstream>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/status.h"

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

absl::StatusOr<RunningResolver> StartResolver(const std::string& programs, const std::string& data_dir,
                                              const std::string& host, const std::string& bootstrap) {
  const std::string ready_file = data_dir + ".ready";
  std::vector<std::string> command = {
      absl::StrCat(programs, "/dotagent-resolver"), "--data-dir",  data_dir, "--ready-file", ready_file, "--p2p-listen",
      absl::StrCat("/ip4/", host, "/tcp/0"),        "--log-level", "error"};
  if (!bootstrap.empty()) command.insert(command.end(), {"--bootstrap", bootstrap});
  RunningResolver resolver;
  ASSIGN_OR_RETURN(resolver.process, Process::Start(command));
  const absl::Time deadline = absl::Now() + kStartTime;
  std::ifstream file(ready_file);
  while (!file.is_open()) {
    if (!resolver.process->Running() || absl::Now() > deadline) {
      return absl::UnavailableError(absl::StrCat(command[0], " did not start"));
    }
    poll(nullptr, 0, 10);
    file.open(ready_file);
  }
  const auto ready = nlohmann::json::parse(file, nullptr, /*allow_exceptions=*/false);
  resolver.grpc = ready.at("grpc");
  resolver.p2p = ready.at("p2p").at(0);
  resolver.peer_id = ready.at("peer_id");
  return resolver;
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

absl::StatusOr<uint32_t> ResolverClient::KnownNodes() {
  const auto call = NewCall<v1::GetStatusRequest, v1::GetStatusResponse>();
  const grpc::Status status = stub_->GetStatus(&call->context, call->request, &call->response);
  if (!status.ok()) return absl::UnavailableError(status.error_message());
  return call->response.known_nodes();
}

}  // namespace dotagent::bench
