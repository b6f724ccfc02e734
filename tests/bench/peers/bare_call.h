// A client's stream (OpenChannel) over a connection of its own, with the credentials that dotagent's services use and
// gRPC's synchronous API: what gRPC itself allows.
#ifndef DOTAGENT_TESTS_BENCH_PEERS_BARE_CALL_H_
#define DOTAGENT_TESTS_BENCH_PEERS_BARE_CALL_H_

#include <grpcpp/client_context.h>
#include <grpcpp/support/sync_stream.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/base/status.h"
#include "common/crypto/keys.h"
#include "common/identity/certificate.h"
#include "common/rpc/channel.h"
#include "dotagent/gateway/v1/gateway.grpc.pb.h"

namespace dotagent::bench {

struct BareCall {
  using Request = gateway::v1::OpenChannelRequest;
  using Response = gateway::v1::OpenChannelResponse;

  [[nodiscard]] static absl::StatusOr<std::unique_ptr<BareCall>> Open(const std::string& address,
                                                                      const crypto::SigningKey& key) {
    auto call = std::make_unique<BareCall>();
    ASSIGN_OR_RETURN(const identity::NodeCertificate certificate, identity::MakeNodeCertificate(key, {}, absl::Now()));
    ASSIGN_OR_RETURN(call->channel, rpc::NewChannel(address, {.certificate = &certificate}));
    RETURN_IF_ERROR(call->channel->WaitUntilReady(absl::Seconds(30)));
    call->stub = gateway::v1::GatewayService::NewStub(call->channel->grpc());
    call->stream = call->stub->OpenChannel(&call->context);
    return call;
  }

  std::unique_ptr<rpc::Channel> channel;
  std::unique_ptr<gateway::v1::GatewayService::Stub> stub;
  grpc::ClientContext context;
  std::unique_ptr<grpc::ClientReaderWriter<Request, Response>> stream;
};

}  // namespace dotagent::bench

#endif  // DOTAGENT_TESTS_BENCH_PEERS_BARE_CALL_H_
