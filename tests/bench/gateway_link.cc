#include "tests/bench/gateway_link.h"

#include <grpcpp/client_context.h>

#include <chrono>
#include <utility>

#include "common/base/status.h"
#include "common/identity/challenge.h"
#include "common/rpc/status.h"

namespace dotagent::bench {
namespace {

namespace v1 = ::dotagent::gateway::v1;

constexpr size_t kNonceSize = 32;
constexpr auto kPatience = std::chrono::seconds(30);

}  // namespace

// The two calls of one agent.
struct GatewayLink::Proof {
  const crypto::SigningKey& key;
  std::function<void(absl::StatusOr<std::string>)> done;
  identity::AuthTranscript transcript;
  grpc::ClientContext ask_context;
  v1::ChallengeRequest ask;
  v1::ChallengeResponse challenge;
  grpc::ClientContext prove_context;
  v1::AuthenticateRequest prove;
  v1::AuthenticateResponse proved;
};

absl::StatusOr<std::unique_ptr<GatewayLink>> GatewayLink::Connect(const std::string& address) {
  ASSIGN_OR_RETURN(auto channel, rpc::NewChannel(address, {}));
  RETURN_IF_ERROR(channel->WaitUntilReady(absl::Seconds(30)));
  ASSIGN_OR_RETURN(identity::PeerCertificate server, channel->server());
  return std::unique_ptr<GatewayLink>(new GatewayLink(std::move(channel), std::move(server)));
}

void GatewayLink::Authenticate(const crypto::SigningKey& key, std::function<void(absl::StatusOr<std::string>)> done) {
  const std::shared_ptr<Proof> proof(new Proof{.key = key, .done = std::move(done)});
  proof->transcript = {.purpose = "gateway",
                       .client_nonce = random_.Bytes(kNonceSize),
                       .client_key = key.public_key(),
                       .server_key = server_.node_key,
                       .channel_binding = server_.sha256};
  proof->ask.set_public_key(std::string(key.public_key().bytes()));
  proof->ask.set_client_nonce(proof->transcript.client_nonce);
  proof->ask_context.set_deadline(std::chrono::system_clock::now() + kPatience);
  stub_->async()->Challenge(
      &proof->ask_context, &proof->ask, &proof->challenge,
      [this, proof](const grpc::Status& status) { status.ok() ? Answer(proof) : proof->done(rpc::FromGrpc(status)); });
}

void GatewayLink::Answer(const std::shared_ptr<Proof>& proof) {
  if (proof->challenge.server_key() != server_.node_key.bytes()) {
    return proof->done(absl::UnauthenticatedError("the gateway signs with another key than its certificate's"));
  }
  proof->transcript.server_nonce = proof->challenge.server_nonce();
  auto signature = identity::AnswerChallenge(proof->transcript, proof->challenge.server_signature(), proof->key);
  if (!signature.ok()) return proof->done(signature.status());
  proof->prove.set_challenge_id(proof->challenge.challenge_id());
  proof->prove.set_signature(*std::move(signature));
  proof->prove_context.set_deadline(std::chrono::system_clock::now() + kPatience);
  stub_->async()->Authenticate(&proof->prove_context, &proof->prove, &proof->proved,
                               [proof](const grpc::Status& status) {
                                 if (!status.ok()) return proof->done(rpc::FromGrpc(status));
                                 proof->done(proof->proved.token());
                               });
}

}  // namespace dotagent::bench
