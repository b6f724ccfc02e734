#include "services/host/directory.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/base/status.h"
#include "common/identity/rotation.h"
#include "common/rpc/client_call.h"
#include "dotagent/resolver/v1/resolver.grpc.pb.h"

namespace dotagent::host {
namespace {

namespace pb = ::dotagent::resolver::v1;

constexpr absl::Duration kResolveTimeout = absl::Seconds(10);
constexpr absl::Duration kPublishTimeout = absl::Seconds(20);
constexpr absl::Duration kPublishRevocationTimeout = absl::Seconds(10);

const char* SourceName(pb::AnswerSource source) {
  switch (source) {
    case pb::ANSWER_SOURCE_CACHE:
      return "cache";
    case pb::ANSWER_SOURCE_STORE:
      return "store";
    default:
      return "dht";
  }
}

// gRPC's own "cannot connect" carries no reason; the resolver's refusals do.
absl::Status FromResolver(const absl::Status& status) {
  if (!ReasonOf(status).empty()) return status;
  if (absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status)) {
    return ErrorWithReason(status.code(), reason::kUnreachable,
                           absl::StrCat("the resolver does not answer; try again: ", status.message()));
  }
  return WithContext(status, "resolver");
}

absl::StatusOr<Resolution> CheckAnswer(const record::Name& name, const pb::ResolveResponse& response, absl::Time now) {
  auto record = record::Record::Verify(response.record_json(), now);
  if (!record.ok()) return WithContext(record.status(), absl::StrCat("the record found for ", name.text()));
  if (record->name() != name) {
    return ErrorWithReason(absl::StatusCode::kDataLoss, reason::kBadRecord,
                           absl::StrCat("asked for ", name.text(), ", got the record of ", record->name().text()));
  }
  return Resolution{.record = *std::move(record),
                    .source = SourceName(response.source()),
                    .hops = response.hops(),
                    .agreeing_nodes = response.agreeing_nodes(),
                    .stale = response.stale(),
                    .paths_agreed = response.paths_agreed(),
                    .receipts = response.receipt_count(),
                    .messages = response.messages(),
                    .remaining_ttl_s = response.remaining_ttl_s(),
                    .owner = response.owner()};
}

absl::StatusOr<FoundRotation> CheckRotation(const identity::AgentId& agent, const pb::GetRotationResponse& response,
                                            absl::Time now) {
  ASSIGN_OR_RETURN(const std::vector<std::string> statements, identity::DecodeRotationChain(response.rotation_chain()));
  ASSIGN_OR_RETURN(const identity::RotationChain chain, identity::VerifyRotationChain(statements, now));
  if (chain.agent != agent) {
    return ErrorWithReason(absl::StatusCode::kDataLoss, reason::kBadStatement,
                           "asked for one identity's rotation chain, got another's");
  }
  return FoundRotation{response.rotation_chain(), response.agreeing_nodes()};
}

class ResolverDirectory : public Directory {
 public:
  ResolverDirectory(std::shared_ptr<grpc::Channel> channel, rpc::Executor post, const Clock& clock)
      : stub_(pb::ResolverService::NewStub(std::move(channel))), clock_(clock), calls_(std::move(post)) {}

  void Resolve(const record::Name& name, bool bypass_cache,
               std::function<void(absl::StatusOr<Resolution>)> done) override {
    pb::ResolveRequest request;
    request.set_name(name.text());
    request.set_bypass_cache(bypass_cache);
    calls_.Unary<Async, pb::ResolveRequest, pb::ResolveResponse>(
        stub_->async(), &Async::Resolve, std::move(request), kResolveTimeout,
        [name, done = std::move(done), &clock = clock_](const absl::StatusOr<pb::ResolveResponse>& response) {
          done(response.ok() ? CheckAnswer(name, *response, clock.Now()) : FromResolver(response.status()));
        });
  }

  void Publish(const std::string& record_json, const record::NameProof& proof,
               std::function<void(absl::StatusOr<Publication>)> done) override {
    pb::PublishRequest request;
    request.set_record_json(record_json);
    request.set_rotation_chain(proof.rotation_chain);
    request.set_name_certificate(proof.name_certificate);
    calls_.Unary<Async, pb::PublishRequest, pb::PublishResponse>(
        stub_->async(), &Async::Publish, std::move(request), kPublishTimeout,
        [done = std::move(done)](const absl::StatusOr<pb::PublishResponse>& response) {
          if (!response.ok()) return done(FromResolver(response.status()));
          done(Publication{{response->stored_by().begin(), response->stored_by().end()}, response->asked()});
        });
  }

  void PublishRevocation(const std::string& statement, const std::string& rotation_chain,
                         std::function<void(absl::Status)> done) override {
    pb::PublishRevocationRequest request;
    request.set_statement(statement);
    request.set_rotation_chain(rotation_chain);
    calls_.Unary<Async, pb::PublishRevocationRequest, pb::PublishRevocationResponse>(
        stub_->async(), &Async::PublishRevocation, std::move(request), kPublishRevocationTimeout,
        [done = std::move(done)](const absl::StatusOr<pb::PublishRevocationResponse>& response) {
          done(response.ok() ? absl::OkStatus() : FromResolver(response.status()));
        });
  }

  void GetRotation(const identity::AgentId& agent, std::function<void(absl::StatusOr<FoundRotation>)> done) override {
    pb::GetRotationRequest request;
    request.set_agent_id(std::string(agent.bytes()));
    calls_.Unary<Async, pb::GetRotationRequest, pb::GetRotationResponse>(
        stub_->async(), &Async::GetRotation, std::move(request), kResolveTimeout,
        [agent, done = std::move(done), &clock = clock_](const absl::StatusOr<pb::GetRotationResponse>& response) {
          done(response.ok() ? CheckRotation(agent, *response, clock.Now()) : FromResolver(response.status()));
        });
  }

  void Shutdown() override { calls_.Shutdown(); }

 private:
  using Async = pb::ResolverService::StubInterface::async_interface;
  const std::unique_ptr<pb::ResolverService::Stub> stub_;
  const Clock& clock_;
  rpc::ClientCalls calls_;  // goes before the stub
};

}  // namespace

std::unique_ptr<Directory> NewResolverDirectory(std::shared_ptr<grpc::Channel> resolver, rpc::Executor post,
                                                const Clock& clock) {
  return std::make_unique<ResolverDirectory>(std::move(resolver), std::move(post), clock);
}

}  // namespace dotagent::host
