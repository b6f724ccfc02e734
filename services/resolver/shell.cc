#include "services/resolver/shell.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "common/base/status.h"
#include "common/rpc/server_stream.h"

namespace dotagent::resolver_service {
namespace {

namespace v1 = ::dotagent::resolver::v1;

// One watcher. Only the newest news waits to be written: a slow watcher skips what has been replaced, and costs one
// message.
class NewsStream : public rpc::ServerStream<v1::WatchResponse> {
 public:
  NewsStream(const rpc::Executor& post, Handler& handler, std::string name)
      : ServerStream(post), handler_(handler), name_(std::move(name)) {}

 private:
  void Begin() override {
    const auto name = record::Name::Parse(name_);
    if (!name.ok()) return End(name.status());
    const auto watch = handler_.Watch(*name, [this, alive = weak_from_this()](const v1::WatchResponse& news) {
      if (const auto held = alive.lock()) Tell(news);
    });
    if (!watch.ok()) return End(watch.status());
    watch_ = *watch;
    v1::ResolveRequest now;
    now.set_name(name_);
    handler_.Resolve(now, [this, held = shared_from_this()](const absl::StatusOr<v1::ResolveResponse>& answer) {
      // The answer may already have been told as news, if it came from the DHT.
      if (told_any_) return;
      v1::WatchResponse first;
      if (answer.ok()) {
        first.set_record_json(answer->record_json());
      } else if (absl::IsNotFound(answer.status())) {
        first.set_absent(true);
      } else if (ReasonOf(answer.status()) == reason::kConflict) {
        first.set_conflict(std::string(answer.status().message()));
      } else {
        return End(answer.status());
      }
      Tell(first);
    });
  }
  absl::StatusOr<std::optional<v1::WatchResponse>> Next() override { return std::exchange(waiting_, std::nullopt); }
  void Over() override {
    if (watch_) handler_.Unwatch(*watch_);
  }
  void Tell(const v1::WatchResponse& news) {
    told_any_ = true;
    waiting_ = news;
    Wake();
  }

  Handler& handler_;
  const std::string name_;
  std::optional<uint64_t> watch_;
  std::optional<v1::WatchResponse> waiting_;
  bool told_any_ = false;
};

}  // namespace

grpc::ServerUnaryReactor* Shell::Publish(grpc::CallbackServerContext* context, const v1::PublishRequest* request,
                                         v1::PublishResponse* response) {
  return rpc::Unary(context, post_, response,
                    [this, request](auto done) { handler_.Publish(*request, std::move(done)); });
}

grpc::ServerUnaryReactor* Shell::Resolve(grpc::CallbackServerContext* context, const v1::ResolveRequest* request,
                                         v1::ResolveResponse* response) {
  if (const auto answered = handler_.AnswerFromCache(*request, *response)) {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(rpc::ToGrpc(*answered));
    return reactor;
  }
  return rpc::Unary(context, post_, response,
                    [this, request](auto done) { handler_.Resolve(*request, std::move(done)); });
}

grpc::ServerUnaryReactor* Shell::BatchResolve(grpc::CallbackServerContext* context,
                                              const v1::BatchResolveRequest* request,
                                              v1::BatchResolveResponse* response) {
  return rpc::Unary(context, post_, response,
                    [this, request](auto done) { handler_.BatchResolve(*request, std::move(done)); });
}

grpc::ServerWriteReactor<v1::WatchResponse>* Shell::Watch(grpc::CallbackServerContext*,
                                                          const v1::WatchRequest* request) {
  return NewsStream::Start(std::make_shared<NewsStream>(post_, handler_, request->name()));
}

grpc::ServerUnaryReactor* Shell::PublishRevocation(grpc::CallbackServerContext* context,
                                                   const v1::PublishRevocationRequest* request,
                                                   v1::PublishRevocationResponse* response) {
  return rpc::Unary(context, post_, response,
                    [this, request](auto done) { handler_.PublishRevocation(*request, std::move(done)); });
}

grpc::ServerUnaryReactor* Shell::PublishRotation(grpc::CallbackServerContext* context,
                                                 const v1::PublishRotationRequest* request,
                                                 v1::PublishRotationResponse* response) {
  return rpc::Unary(context, post_, response,
                    [this, request](auto done) { handler_.PublishRotation(*request, std::move(done)); });
}

grpc::ServerUnaryReactor* Shell::GetRotation(grpc::CallbackServerContext* context,
                                             const v1::GetRotationRequest* request, v1::GetRotationResponse* response) {
  return rpc::Unary(context, post_, response,
                    [this, request](auto done) { handler_.GetRotation(*request, std::move(done)); });
}

grpc::ServerUnaryReactor* Shell::GetStatus(grpc::CallbackServerContext* context, const v1::GetStatusRequest*,
                                           v1::GetStatusResponse* response) {
  return rpc::Unary(context, post_, response, [this](auto done) { done(status_()); });
}

}  // namespace dotagent::resolver_service
