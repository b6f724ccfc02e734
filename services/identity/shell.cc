#include "services/identity/shell.h"

#include <memory>
#include <optional>
#include <utility>

#include "absl/status/statusor.h"
#include "common/base/status.h"
#include "common/rpc/server_stream.h"
#include "services/host/caller_address.h"

namespace dotagent::identity_service {
namespace {

namespace v1 = ::dotagent::identity::v1;

// One watcher: reads each revocation from the log when the one before has been written, so that a slow watcher costs
// nothing.
class RevocationStream : public rpc::ServerStream<v1::WatchRevocationsResponse> {
 public:
  RevocationStream(const rpc::Executor& post, Handler& handler, uint64_t after)
      : ServerStream(post), handler_(handler), cursor_(after) {}

 private:
  void Begin() override {
    watch_ = handler_.Watch([this, alive = weak_from_this()] {
      if (const auto held = alive.lock()) Wake();
    });
    Wake();
  }
  absl::StatusOr<std::optional<v1::WatchRevocationsResponse>> Next() override {
    ASSIGN_OR_RETURN(const auto entry, handler_.NextAfter(cursor_));
    if (!entry && std::exchange(told_up_to_date_, true)) return std::nullopt;
    if (entry) cursor_ = entry->sequence;
    v1::WatchRevocationsResponse response;
    response.set_sequence(cursor_);
    if (entry && entry->of_token) response.set_token_statement(entry->statement);
    if (entry && !entry->of_token) response.set_statement(entry->statement);
    if (entry) response.set_rotation_chain(entry->rotation_chain);
    return response;
  }
  void Over() override { handler_.Unwatch(watch_); }

  Handler& handler_;
  uint64_t cursor_;
  uint64_t watch_ = 0;
  bool told_up_to_date_ = false;
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
  return rpc::Unary(context, post_, response, [this, request, address = host::CallerAddress(*context)](auto done) {
    done(handler_.Revoke(address, *request));
  });
}

grpc::ServerUnaryReactor* Shell::RevokeToken(grpc::CallbackServerContext* context,
                                             const v1::RevokeTokenRequest* request, v1::RevokeTokenResponse* response) {
  return rpc::Unary(context, post_, response, [this, request, address = host::CallerAddress(*context)](auto done) {
    done(handler_.RevokeToken(address, *request));
  });
}

grpc::ServerUnaryReactor* Shell::Redeem(grpc::CallbackServerContext* context, const v1::RedeemRequest* request,
                                        v1::RedeemResponse* response) {
  return rpc::Unary(context, post_, response, [this, request, caller = callers_.Of(*context)](auto done) {
    handler_.Redeem(caller, *request, std::move(done));
  });
}

grpc::ServerUnaryReactor* Shell::GetKeyStatus(grpc::CallbackServerContext* context,
                                              const v1::GetKeyStatusRequest* request,
                                              v1::GetKeyStatusResponse* response) {
  return rpc::Unary(context, post_, response, [this, request](auto done) { done(handler_.GetKeyStatus(*request)); });
}

grpc::ServerWriteReactor<v1::WatchRevocationsResponse>* Shell::WatchRevocations(
    grpc::CallbackServerContext*, const v1::WatchRevocationsRequest* request) {
  return RevocationStream::Start(std::make_shared<RevocationStream>(post_, handler_, request->after_sequence()));
}

}  // namespace dotagent::identity_service
