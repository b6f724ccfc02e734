#include "services/resolver/shell.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace dotagent::resolver_service {
namespace {

namespace v1 = ::dotagent::resolver::v1;

// One watcher. Only the newest news waits to be written: a slow watcher skips what has been replaced, and costs one
// message. All but the gRPC reactions runs on the loop.
class NewsStream : public grpc::ServerWriteReactor<v1::WatchResponse> {
 public:
  NewsStream(Handler& handler, const rpc::Executor& post, std::string name)
      : handler_(handler), post_(post), name_(std::move(name)) {}

  void Start(const std::shared_ptr<NewsStream>& self) {
    self_ = self;
    post_([self] { self->Begin(self); });
  }

  void OnWriteDone(bool ok) override {
    post_([self = self_, ok] {
      self->writing_ = false;
      ok ? self->WriteNext() : self->End(grpc::Status::CANCELLED);
    });
  }
  void OnCancel() override {
    post_([self = self_] { self->End(grpc::Status::CANCELLED); });
  }
  void OnDone() override {
    post_([self = std::move(self_)] {
      if (self->watch_) self->handler_.Unwatch(*self->watch_);
    });
  }

 private:
  void Begin(const std::shared_ptr<NewsStream>& self) {
    const auto name = record::Name::Parse(name_);
    if (!name.ok()) return End(rpc::ToGrpc(name.status()));
    const auto watch = handler_.Watch(*name, [weak = std::weak_ptr(self)](const v1::WatchResponse& news) {
      if (auto stream = weak.lock()) stream->Tell(news);
    });
    if (!watch.ok()) return End(rpc::ToGrpc(watch.status()));
    watch_ = *watch;
    v1::ResolveRequest now;
    now.set_name(name_);
    handler_.Resolve(now, [self](const absl::StatusOr<v1::ResolveResponse>& answer) {
      // The answer may already have been told as news, if it came from the DHT.
      if (self->told_any_) return;
      v1::WatchResponse first;
      if (answer.ok()) {
        first.set_record_json(answer->record_json());
      } else if (absl::IsNotFound(answer.status())) {
        first.set_absent(true);
      } else {
        return self->End(rpc::ToGrpc(answer.status()));
      }
      self->Tell(first);
    });
  }
  void Tell(const v1::WatchResponse& news) {
    told_any_ = true;
    waiting_ = news;
    WriteNext();
  }
  void WriteNext() {
    if (writing_ || ended_ || !waiting_) return;
    written_ = *std::exchange(waiting_, std::nullopt);
    writing_ = true;
    StartWrite(&written_);
  }
  void End(const grpc::Status& status) {
    if (std::exchange(ended_, true)) return;
    Finish(status);
  }

  Handler& handler_;
  const rpc::Executor post_;
  const std::string name_;
  std::shared_ptr<NewsStream> self_;  // until OnDone
  std::optional<uint64_t> watch_;
  std::optional<v1::WatchResponse> waiting_;
  v1::WatchResponse written_;
  bool told_any_ = false;
  bool writing_ = false;
  bool ended_ = false;
};

}  // namespace

grpc::ServerUnaryReactor* Shell::Publish(grpc::CallbackServerContext* context, const v1::PublishRequest* request,
                                         v1::PublishResponse* response) {
  return rpc::Unary(context, post_, response,
                    [this, request](auto done) { handler_.Publish(*request, std::move(done)); });
}

grpc::ServerUnaryReactor* Shell::Resolve(grpc::CallbackServerContext* context, const v1::ResolveRequest* request,
                                         v1::ResolveResponse* response) {
  return rpc::Unary(context, post_, response,
                    [this, request](auto done) { handler_.Resolve(*request, std::move(done)); });
}

grpc::ServerWriteReactor<v1::WatchResponse>* Shell::Watch(grpc::CallbackServerContext*,
                                                          const v1::WatchRequest* request) {
  auto stream = std::make_shared<NewsStream>(handler_, post_, request->name());
  stream->Start(stream);
  return stream.get();
}

grpc::ServerUnaryReactor* Shell::PublishRevocation(grpc::CallbackServerContext* context,
                                                   const v1::PublishRevocationRequest* request,
                                                   v1::PublishRevocationResponse* response) {
  return rpc::Unary(context, post_, response,
                    [this, request](auto done) { handler_.PublishRevocation(*request, std::move(done)); });
}

grpc::ServerUnaryReactor* Shell::GetStatus(grpc::CallbackServerContext* context, const v1::GetStatusRequest*,
                                           v1::GetStatusResponse* response) {
  return rpc::Unary(context, post_, response, [this](auto done) { done(status_()); });
}

}  // namespace dotagent::resolver_service
