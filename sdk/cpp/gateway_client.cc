#include "sdk/cpp/gateway_client.h"

#include <chrono>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/crypto/hash.h"
#include "common/identity/challenge.h"
#include "common/rpc/status.h"

namespace dotagent::sdk {
namespace {

namespace v1 = ::dotagent::gateway::v1;

constexpr size_t kNonceSize = 32;
constexpr char kSpoken[] = "1.0.0";  // of the gateway protocol

void SetDeadline(grpc::ClientContext& context, absl::Duration timeout) {
  context.set_deadline(std::chrono::system_clock::now() + absl::ToChronoMilliseconds(timeout));
}

}  // namespace

absl::StatusOr<std::shared_ptr<GatewayClient>> GatewayClient::Connect(const GatewayOptions& options,
                                                                      std::shared_ptr<const crypto::Signer> key) {
  std::shared_ptr<GatewayClient> client(new GatewayClient(options, std::move(key)));
  ASSIGN_OR_RETURN(client->channel_, rpc::NewChannel(options.gateway, {.known_nodes = options.known_nodes,
                                                                       .plaintext = options.plaintext}));
  RETURN_IF_ERROR(client->channel_->WaitUntilReady(options.timeout));
  client->stub_ = v1::GatewayService::NewStub(client->channel_->grpc());
  RETURN_IF_ERROR(client->Negotiate());
  RETURN_IF_ERROR(client->Authenticate());
  return client;
}

absl::Status GatewayClient::Negotiate() {
  v1::NegotiateRequest ask;
  ask.add_versions(kSpoken);
  grpc::ClientContext context;
  SetDeadline(context, options_.timeout);
  const absl::Status answered = rpc::FromGrpc(stub_->Negotiate(&context, ask, &spoken_));
  if (absl::IsUnimplemented(answered)) {
    return ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kVersion,
                           absl::StrCat("what answers at ", options_.gateway,
                                        " does not negotiate versions: it is no gateway for agents, "
                                        "or one that is older than this program, which speaks ",
                                        kSpoken, " of the gateway protocol"));
  }
  RETURN_IF_ERROR(WithContext(answered, absl::StrCat("the gateway at ", options_.gateway)));
  if (spoken_.version() == kSpoken) return absl::OkStatus();
  return ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kVersion,
                         absl::StrCat("the gateway at ", options_.gateway, " chose a version that was not offered"));
}

bool GatewayClient::Speaks(absl::string_view feature) const {
  return absl::c_linear_search(spoken_.features(), feature);
}

absl::Status GatewayClient::Require(const std::string& feature) const {
  if (Speaks(feature)) return absl::OkStatus();
  return ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kVersion,
                         absl::StrCat("the gateway at ", options_.gateway, " (release ",
                                      absl::CHexEscape(spoken_.release().substr(0, 64)), ") has no ", feature));
}

absl::Status GatewayClient::Authenticate() {
  identity::AuthTranscript transcript{
      .purpose = "gateway", .client_nonce = SystemRandom().Bytes(kNonceSize), .client_key = key_->public_key()};

  v1::ChallengeRequest ask;
  ask.set_public_key(std::string(key_->public_key().bytes()));
  ask.set_client_nonce(transcript.client_nonce);
  v1::ChallengeResponse challenge;
  grpc::ClientContext ask_context;
  SetDeadline(ask_context, options_.timeout);
  RETURN_IF_ERROR(rpc::FromGrpc(stub_->Challenge(&ask_context, ask, &challenge)));

  transcript.server_nonce = challenge.server_nonce();
  ASSIGN_OR_RETURN(transcript.server_key, crypto::PublicKey::FromBytes(challenge.server_key()));
  transcript.channel_binding = std::string(crypto::kSha256Size, '\0');
  if (!options_.plaintext) {
    ASSIGN_OR_RETURN(const identity::PeerCertificate server, channel_->server());
    if (server.node_key != transcript.server_key) {
      return ErrorWithReason(absl::StatusCode::kUnauthenticated, reason::kKeyMismatch,
                             absl::StrCat("the gateway at ", options_.gateway,
                                          " signs with another key than its TLS certificate proves; do not trust it"));
    }
    transcript.channel_binding = server.sha256;
  }
  ASSIGN_OR_RETURN(std::string signature, identity::AnswerChallenge(transcript, challenge.server_signature(), *key_));

  v1::AuthenticateRequest prove;
  prove.set_challenge_id(challenge.challenge_id());
  prove.set_signature(std::move(signature));
  v1::AuthenticateResponse proved;
  grpc::ClientContext prove_context;
  SetDeadline(prove_context, options_.timeout);
  RETURN_IF_ERROR(rpc::FromGrpc(stub_->Authenticate(&prove_context, prove, &proved)));

  absl::MutexLock lock(&mutex_);
  gateway_key_ = transcript.server_key;
  token_ = proved.token();
  return absl::OkStatus();
}

void GatewayClient::Authorize(grpc::ClientContext& context) {
  absl::MutexLock lock(&mutex_);
  context.AddMetadata("authorization", absl::StrCat("Bearer ", token_));
}

absl::Status GatewayClient::Run(const std::function<grpc::Status(grpc::ClientContext&)>& call, absl::Duration timeout) {
  const auto once = [&] {
    grpc::ClientContext context;
    Authorize(context);
    SetDeadline(context, timeout);
    return rpc::FromGrpc(call(context));
  };
  const absl::Status first = once();
  if (ReasonOf(first) != reason::kNotAuthenticated) return first;
  RETURN_IF_ERROR(Authenticate());
  return once();
}

}  // namespace dotagent::sdk
