// An answer to one service's challenge says nothing to another: the services as they run, and whoever carries a proof
// from one to the other.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "absl/time/clock.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/identity/challenge.h"
#include "common/rpc/channel.h"
#include "common/rpc/status.h"
#include "dotagent/gateway/v1/gateway.grpc.pb.h"
#include "dotagent/identity/v1/identity.grpc.pb.h"
#include "services/identity/identity_service.h"
#include "tests/unit/network/live_services.h"

namespace dotagent {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(30);

struct ForGateway {
  using Service = gateway::v1::GatewayService;
  using ChallengeRequest = gateway::v1::ChallengeRequest;
  using ChallengeResponse = gateway::v1::ChallengeResponse;
  static constexpr char kPurpose[] = "gateway";

  static grpc::Status Present(Service::Stub& stub, grpc::ClientContext& context, const std::string& challenge,
                              const std::string& signature) {
    gateway::v1::AuthenticateRequest request;
    request.set_challenge_id(challenge);
    request.set_signature(signature);
    gateway::v1::AuthenticateResponse response;
    return stub.Authenticate(&context, request, &response);
  }
};

struct ForIdentity {
  using Service = identity::v1::IdentityService;
  using ChallengeRequest = identity::v1::ChallengeRequest;
  using ChallengeResponse = identity::v1::ChallengeResponse;
  static constexpr char kPurpose[] = "certificate";

  static grpc::Status Present(Service::Stub& stub, grpc::ClientContext& context, const std::string& challenge,
                              const std::string& signature) {
    identity::v1::IssueCertificateRequest request;
    request.set_challenge_id(challenge);
    request.set_signature(signature);
    request.set_name("alice.agent");
    identity::v1::IssueCertificateResponse response;
    return stub.IssueCertificate(&context, request, &response);
  }
};

struct Asked {
  identity::AuthTranscript transcript;
  std::string challenge;
  std::string server_signature;
};

// One service's challenges and what it says to answers.
template <typename For>
class Door {
 public:
  explicit Door(const std::string& address) : channel_(*rpc::NewChannel(address, {})) {
    stub_ = For::Service::NewStub(channel_->grpc());
  }

  absl::StatusOr<Asked> Ask(const crypto::PublicKey& key, Random& random) {
    RETURN_IF_ERROR(channel_->WaitUntilReady(kPatience));
    ASSIGN_OR_RETURN(const identity::PeerCertificate server, channel_->server());
    typename For::ChallengeRequest request;
    request.set_public_key(std::string(key.bytes()));
    request.set_client_nonce(random.Bytes(32));
    typename For::ChallengeResponse response;
    grpc::ClientContext context;
    SetDeadline(context);
    RETURN_IF_ERROR(rpc::FromGrpc(stub_->Challenge(&context, request, &response)));
    return Asked{.transcript = {.purpose = For::kPurpose,
                                .client_nonce = request.client_nonce(),
                                .server_nonce = response.server_nonce(),
                                .client_key = key,
                                .server_key = server.node_key,
                                .channel_binding = server.sha256},
                 .challenge = response.challenge_id(),
                 .server_signature = response.server_signature()};
  }

  absl::Status Present(const std::string& challenge, const std::string& signature) {
    grpc::ClientContext context;
    SetDeadline(context);
    return rpc::FromGrpc(For::Present(*stub_, context, challenge, signature));
  }

 private:
  static void SetDeadline(grpc::ClientContext& context) {
    context.set_deadline(absl::ToChronoTime(absl::Now() + kPatience));
  }

  const std::unique_ptr<rpc::Channel> channel_;
  std::unique_ptr<typename For::Service::Stub> stub_;
};

class PurposeTest : public LiveServices {
 protected:
  // `there` hears what was answered `here`, and what was signed for `here`'s purpose over its own challenge.
  template <typename Here, typename There>
  void ExpectNothingCarriesOver(Door<Here>& here, Door<There>& there) {
    const auto asked_here = here.Ask(key_.public_key(), random_);
    const auto asked_there = there.Ask(key_.public_key(), random_);
    ASSERT_EQ(asked_here.status(), absl::OkStatus());
    ASSERT_EQ(asked_there.status(), absl::OkStatus());
    const auto answer = identity::AnswerChallenge(asked_here->transcript, asked_here->server_signature, key_);
    ASSERT_EQ(answer.status(), absl::OkStatus());
    EXPECT_EQ(ReasonOf(there.Present(asked_here->challenge, *answer)), reason::kNotAuthenticated);
    EXPECT_EQ(ReasonOf(there.Present(asked_there->challenge, *answer)), reason::kBadSignature);

    const auto again = there.Ask(key_.public_key(), random_);
    ASSERT_EQ(again.status(), absl::OkStatus());
    identity::AuthTranscript confused = again->transcript;
    confused.purpose = Here::kPurpose;
    // An honest agent sees that the server signed for something else; one that does not look is not heard.
    EXPECT_EQ(ReasonOf(identity::AnswerChallenge(confused, again->server_signature, key_).status()),
              reason::kBadSignature);
    const std::string blind = *key_.Sign(*identity::AuthBytes(confused, identity::AuthRole::kClient));
    EXPECT_EQ(ReasonOf(there.Present(again->challenge, blind)), reason::kBadSignature);
  }

  // Where it belongs it is heard.
  template <typename For>
  absl::Status Answer(Door<For>& door) {
    ASSIGN_OR_RETURN(const Asked asked, door.Ask(key_.public_key(), random_));
    ASSIGN_OR_RETURN(const std::string answer,
                     identity::AnswerChallenge(asked.transcript, asked.server_signature, key_));
    return door.Present(asked.challenge, answer);
  }

  SystemRandom random_;
  const crypto::SigningKey key_ = crypto::SigningKey::Generate(random_);
};

TEST_F(PurposeTest, AnAnswerMadeForOneServiceFailsAtAnother) {
  identity_service::Options options;
  options.host = HostAt("identity");
  const auto service = identity_service::Start(options);
  ASSERT_EQ(service.status(), absl::OkStatus());
  Door<ForIdentity> identity((*service)->host().grpc_address());
  Door<ForGateway> gateway(StartGateway("gateway", /*hidden=*/false));
  ExpectNothingCarriesOver(identity, gateway);
  ExpectNothingCarriesOver(gateway, identity);
  EXPECT_EQ(Answer(gateway), absl::OkStatus());
  // Heard, and refused for another reason: this identity has no resolver that could tell who holds the name.
  const absl::Status refused = Answer(identity);
  EXPECT_FALSE(refused.ok());
  EXPECT_NE(refused.code(), absl::StatusCode::kUnauthenticated) << refused;
}

}  // namespace
}  // namespace dotagent
