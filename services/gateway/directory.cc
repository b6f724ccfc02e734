#include "services/gateway/directory.h"

#include <grpcpp/client_context.h>

#include <chrono>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "common/base/status.h"
#include "common/rpc/status.h"
#include "dotagent/resolver/v1/resolver.grpc.pb.h"

namespace dotagent::gateway_service {
namespace {

namespace pb = ::dotagent::resolver::v1;

constexpr std::chrono::seconds kResolveTimeout{10};
constexpr std::chrono::seconds kPublishTimeout{20};

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
absl::Status FromResolver(const grpc::Status& grpc_status) {
  absl::Status status = rpc::FromGrpc(grpc_status);
  if (!ReasonOf(status).empty()) return status;
  if (absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status)) {
    return ErrorWithReason(status.code(), reason::kUnreachable,
                           absl::StrCat("the gateway's resolver does not answer; try again: ", status.message()));
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
                    .remaining_ttl_s = response.remaining_ttl_s()};
}

// Calls in flight, so that Shutdown can cancel them and wait. Shared with them. Thread-safe.
class CallsInFlight {
 public:
  // False: shut down, do not call.
  [[nodiscard]] bool Add(grpc::ClientContext* context) {
    absl::MutexLock lock(&mutex_);
    if (shut_down_) return false;
    contexts_.insert(context);
    return true;
  }
  // Forgets the call and posts what becomes of it, as one step. `post_answer` takes the call with it, so that the call,
  // which holds the channel, never dies on gRPC's own thread: gRPC 1.51 would join that thread from itself and abort.
  void Finish(grpc::ClientContext* context, absl::FunctionRef<void()> post_answer) {
    absl::MutexLock lock(&mutex_);
    contexts_.erase(context);
    post_answer();
  }
  void CancelAndWait() {
    absl::MutexLock lock(&mutex_);
    shut_down_ = true;
    for (grpc::ClientContext* context : contexts_) context->TryCancel();
    mutex_.Await(absl::Condition(
        +[](absl::flat_hash_set<grpc::ClientContext*>* contexts) { return contexts->empty(); }, &contexts_));
  }

 private:
  absl::Mutex mutex_;
  bool shut_down_ ABSL_GUARDED_BY(mutex_) = false;
  absl::flat_hash_set<grpc::ClientContext*> contexts_ ABSL_GUARDED_BY(mutex_);
};

template <typename Request, typename Response>
struct PendingCall {
  grpc::ClientContext context;
  Request request;
  Response response;
};

class ResolverDirectory : public Directory {
 public:
  ResolverDirectory(std::shared_ptr<grpc::Channel> channel, rpc::Executor post, const Clock& clock)
      : stub_(pb::ResolverService::NewStub(std::move(channel))), post_(std::move(post)), clock_(clock) {}
  ~ResolverDirectory() override { calls_->CancelAndWait(); }

  void Resolve(const record::Name& name, bool bypass_cache,
               std::function<void(absl::StatusOr<Resolution>)> done) override {
    auto call = std::make_shared<PendingCall<pb::ResolveRequest, pb::ResolveResponse>>();
    call->request.set_name(name.text());
    call->request.set_bypass_cache(bypass_cache);
    call->context.set_deadline(std::chrono::system_clock::now() + kResolveTimeout);
    if (!calls_->Add(&call->context)) return;
    stub_->async()->Resolve(
        &call->context, &call->request, &call->response,
        [call, name, done = std::move(done), post = post_, calls = calls_,
         &clock = clock_](const grpc::Status& status) mutable {
          calls->Finish(&call->context, [&] {
            post([call = std::move(call), name, done = std::move(done), status, &clock] {
              done(status.ok() ? CheckAnswer(name, call->response, clock.Now()) : FromResolver(status));
            });
          });
        });
  }

  void Publish(const std::string& record_json, std::function<void(absl::StatusOr<Publication>)> done) override {
    auto call = std::make_shared<PendingCall<pb::PublishRequest, pb::PublishResponse>>();
    call->request.set_record_json(record_json);
    call->context.set_deadline(std::chrono::system_clock::now() + kPublishTimeout);
    if (!calls_->Add(&call->context)) return;
    stub_->async()->Publish(
        &call->context, &call->request, &call->response,
        [call, done = std::move(done), post = post_, calls = calls_](const grpc::Status& status) mutable {
          calls->Finish(&call->context, [&] {
            post([call = std::move(call), done = std::move(done), status] {
              if (!status.ok()) return done(FromResolver(status));
              const auto& stored_by = call->response.stored_by();
              done(Publication{{stored_by.begin(), stored_by.end()}, call->response.asked()});
            });
          });
        });
  }

  void Shutdown() override { calls_->CancelAndWait(); }

 private:
  const std::unique_ptr<pb::ResolverService::Stub> stub_;
  const rpc::Executor post_;
  const Clock& clock_;
  const std::shared_ptr<CallsInFlight> calls_ = std::make_shared<CallsInFlight>();
};

}  // namespace

std::unique_ptr<Directory> NewResolverDirectory(std::shared_ptr<grpc::Channel> resolver, rpc::Executor post,
                                                const Clock& clock) {
  return std::make_unique<ResolverDirectory>(std::move(resolver), std::move(post), clock);
}

}  // namespace dotagent::gateway_service
