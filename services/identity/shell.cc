#include "services/identity/shell.h"

#include <memory>
#include <optional>
#include <utility>

namespace dotagent::identity_service {
namespace {

namespace v1 = ::dotagent::identity::v1;

// One watcher. Keeps no queue: each revocation is read from the log when the one before has been written, so a slow
// watcher costs nothing. All but the gRPC reactions runs on the loop.
class RevocationStream : public grpc::ServerWriteReactor<v1::WatchRevocationsResponse> {
 public:
  RevocationStream(Handler& handler, const rpc::Executor& post, uint64_t after)
      : handler_(handler), post_(post), cursor_(after) {}

  void Start(const std::shared_ptr<RevocationStream>& self) {
    self_ = self;
    post_([self] {
      self->watch_ = self->handler_.Watch([weak = std::weak_ptr(self)] {
        if (auto stream = weak.lock()) stream->WriteNext();
      });
      self->WriteNext();
    });
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
    // The handler still knows this stream until the loop has seen its end.
    post_([self = std::move(self_)] { self->handler_.Unwatch(self->watch_); });
  }

 private:
  void WriteNext() {
    if (writing_ || ended_) return;
    auto next = handler_.NextAfter(cursor_);
    if (!next.ok()) return End(rpc::ToGrpc(next.status()));
    if (*next) {
      cursor_ = (*next)->sequence;
      response_.set_sequence(cursor_);
      response_.set_statement((*next)->statement);
    } else if (!told_up_to_date_) {
      told_up_to_date_ = true;
      response_.set_sequence(cursor_);
      response_.clear_statement();
    } else {
      return;
    }
    writing_ = true;
    StartWrite(&response_);
  }
  void End(const grpc::Status& status) {
    if (std::exchange(ended_, true)) return;
    Finish(status);
  }

  Handler& handler_;
  const rpc::Executor post_;
  std::shared_ptr<RevocationStream> self_;  // until OnDone
  v1::WatchRevocationsResponse response_;
  uint64_t cursor_;
  uint64_t watch_ = 0;
  bool told_up_to_date_ = false;
  bool writing_ = false;
  bool ended_ = false;
};

}  // namespace

grpc::ServerUnaryReactor* Shell::Challenge(grpc::CallbackServerContext* context, const v1::ChallengeRequest* request,
                                           v1::ChallengeResponse* response) {
  return rpc::Unary(context, post_, response, [this, request](auto done) { done(handler_.Challenge(*request)); });
}

grpc::ServerUnaryReactor* Shell::IssueCertificate(grpc::CallbackServerContext* context,
                                                  const v1::IssueCertificateRequest* request,
                                                  v1::IssueCertificateResponse* response) {
  return rpc::Unary(context, post_, response,
                    [this, request](auto done) { handler_.IssueCertificate(*request, std::move(done)); });
}

grpc::ServerUnaryReactor* Shell::GetTrustBundle(grpc::CallbackServerContext* context, const v1::GetTrustBundleRequest*,
                                                v1::GetTrustBundleResponse* response) {
  return rpc::Unary(context, post_, response, [this](auto done) { done(handler_.GetTrustBundle()); });
}

grpc::ServerUnaryReactor* Shell::Revoke(grpc::CallbackServerContext* context, const v1::RevokeRequest* request,
                                        v1::RevokeResponse* response) {
  return rpc::Unary(context, post_, response, [this, request](auto done) { done(handler_.Revoke(*request)); });
}

grpc::ServerUnaryReactor* Shell::GetKeyStatus(grpc::CallbackServerContext* context,
                                              const v1::GetKeyStatusRequest* request,
                                              v1::GetKeyStatusResponse* response) {
  return rpc::Unary(context, post_, response, [this, request](auto done) { done(handler_.GetKeyStatus(*request)); });
}

grpc::ServerWriteReactor<v1::WatchRevocationsResponse>* Shell::WatchRevocations(
    grpc::CallbackServerContext*, const v1::WatchRevocationsRequest* request) {
  auto stream = std::make_shared<RevocationStream>(handler_, post_, request->after_sequence());
  stream->Start(stream);
  return stream.get();
}

}  // namespace dotagent::identity_service
