#include "services/gateway/redeemer.h"

#include <utility>

#include "common/base/status.h"
#include "common/rpc/client_call.h"
#include "dotagent/identity/v1/identity.grpc.pb.h"

namespace dotagent::gateway_service {
namespace {

namespace pb = ::dotagent::identity::v1;

constexpr absl::Duration kTimeout = absl::Seconds(5);

class IdentityRedeemer : public Redeemer {
 public:
  IdentityRedeemer(rpc::Channel* channel, rpc::Executor post)
      : stub_(channel == nullptr ? nullptr : pb::IdentityService::NewStub(channel->grpc())),
        post_(post),
        calls_(std::move(post)) {}

  void Redeem(const std::string& token, const std::string& id, std::function<void(absl::Status)> done) override {
    if (stub_ == nullptr) {
      return post_([done = std::move(done)] {
        done(ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kUnreachable,
                             "this gateway has no identity service that could count the token's uses; use a token "
                             "without max_uses, or have the operator set --identity"));
      });
    }
    pb::RedeemRequest request;
    request.set_token(token);
    request.set_redemption_id(id);
    using Async = pb::IdentityService::StubInterface::async_interface;
    calls_.Unary<Async, pb::RedeemRequest, pb::RedeemResponse>(
        stub_->async(), &Async::Redeem, std::move(request), kTimeout,
        [done = std::move(done)](const absl::StatusOr<pb::RedeemResponse>& taken) {
          done(WithContext(taken.status(), "counting a use of the token"));
        });
  }
  void Shutdown() override { calls_.Shutdown(); }

 private:
  const std::unique_ptr<pb::IdentityService::Stub> stub_;
  const rpc::Executor post_;
  rpc::ClientCalls calls_;  // goes before the stub
};

}  // namespace

std::unique_ptr<Redeemer> NewIdentityRedeemer(rpc::Channel* channel, rpc::Executor post) {
  return std::make_unique<IdentityRedeemer>(channel, std::move(post));
}

}  // namespace dotagent::gateway_service
