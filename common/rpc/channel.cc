#include "common/rpc/channel.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_certificate_verifier.h>
#include <grpcpp/security/tls_credentials_options.h>

#include <chrono>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "common/base/status.h"
#include "common/crypto/peer_id.h"
#include "common/rpc/hpack_guard.h"
#include "common/rpc/keepalive.h"
#include "common/rpc/known_nodes.h"

namespace dotagent::rpc {
namespace {

constexpr int kMaxMessageBytes = 2 * 1024 * 1024;
constexpr int kMaxReconnectPauseMs = 2000;

struct Target {
  std::string address;  // host:port
  std::optional<crypto::PublicKey> pin;
};

absl::StatusOr<Target> ParseTarget(absl::string_view text) {
  Target target;
  const std::vector<absl::string_view> parts = absl::StrSplit(text, '@');
  target.address = std::string(parts.back());
  const size_t colon = target.address.rfind(':');
  uint32_t port = 0;
  if (parts.size() > 2 || colon == std::string::npos || colon == 0 ||
      !absl::SimpleAtoi(target.address.substr(colon + 1), &port) || port == 0 || port > 65535) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kBadAddress,
                           absl::StrCat("'", text, "' is neither host:port nor PEER_ID@host:port"));
  }
  if (parts.size() == 2) {
    ASSIGN_OR_RETURN(target.pin, crypto::KeyFromPeerId(parts.front()));
  }
  return target;
}

// What the last handshake found out. Shared with the verifier, which gRPC owns and calls from its own threads.
struct Observed {
  absl::Mutex mutex;
  std::optional<identity::PeerCertificate> server ABSL_GUARDED_BY(mutex);
  absl::Status refusal ABSL_GUARDED_BY(mutex);
};

class NodeVerifier : public grpc::experimental::ExternalCertificateVerifier {
 public:
  NodeVerifier(Target target, std::shared_ptr<KnownNodes> known, std::shared_ptr<Observed> observed)
      : target_(std::move(target)), known_(std::move(known)), observed_(std::move(observed)) {}

  bool Verify(grpc::experimental::TlsCustomVerificationCheckRequest* request, std::function<void(grpc::Status)>,
              grpc::Status* sync_status) override {
    const auto certificate = request->peer_cert();
    const absl::Status checked = Check(absl::string_view(certificate.data(), certificate.size()));
    if (!checked.ok()) *sync_status = grpc::Status(grpc::StatusCode::UNAUTHENTICATED, std::string(checked.message()));
    return true;
  }
  void Cancel(grpc::experimental::TlsCustomVerificationCheckRequest*) override {}

 private:
  absl::Status Check(absl::string_view pem) {
    const auto peer = identity::CheckNodeCertificate(pem, absl::Now());
    absl::Status status = peer.status();
    if (peer.ok()) status = target_.pin ? CheckPin(*peer) : known_->CheckOrRemember(target_.address, peer->node_key);
    absl::MutexLock lock(&observed_->mutex);
    observed_->refusal = status;
    if (status.ok()) observed_->server = *peer;
    return status;
  }
  [[nodiscard]] absl::Status CheckPin(const identity::PeerCertificate& peer) const {
    if (peer.node_key == *target_.pin) return absl::OkStatus();
    return ErrorWithReason(
        absl::StatusCode::kUnauthenticated, reason::kKeyMismatch,
        absl::StrCat(target_.address, " answered with the key of ", crypto::PeerIdFromKey(peer.node_key), ", not of ",
                     crypto::PeerIdFromKey(*target_.pin)));
  }

  const Target target_;
  const std::shared_ptr<KnownNodes> known_;
  const std::shared_ptr<Observed> observed_;
};

std::shared_ptr<grpc::ChannelCredentials> MakeCredentials(const Target& target, const ChannelOptions& options,
                                                          const std::shared_ptr<Observed>& observed) {
  grpc::experimental::TlsChannelCredentialsOptions tls;
  if (options.certificate != nullptr) {
    tls.set_certificate_provider(std::make_shared<grpc::experimental::StaticDataCertificateProvider>(
        "", std::vector<grpc::experimental::IdentityKeyCertPair>{
                {options.certificate->private_key_pem, options.certificate->certificate_pem}}));
    tls.watch_identity_key_cert_pairs();
  }
  // There is no authority to check against: the verifier checks the key that the certificate proves.
  tls.set_verify_server_certs(false);
  tls.set_check_call_host(false);
  tls.set_certificate_verifier(grpc::experimental::ExternalCertificateVerifier::Create<NodeVerifier>(
      target, KnownNodes::Open(options.known_nodes), observed));
  return grpc::experimental::TlsCredentials(tls);
}

class GrpcChannel : public Channel {
 public:
  GrpcChannel(const Target& target, const ChannelOptions& options)
      : address_(target.address), observed_(std::make_shared<Observed>()) {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
    arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kMaxReconnectPauseMs);
    // What nobody looks at, and a filter that keeps each call for a second try which no service config of ours asks
    // for: without them a short call takes less (docs/benchmarks.md). One that never left fails as UNAVAILABLE.
    arguments.SetInt(GRPC_ARG_ENABLE_CHANNELZ, 0);
    arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
    SetKeepalive(kClientKeepalive, [&](const char* name, int value) { arguments.SetInt(name, value); });
    // Channels of one process to one address are apart: each has its own idea of whom it reached.
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    channel_ = grpc::CreateCustomChannel(
        address_, options.plaintext ? grpc::InsecureChannelCredentials() : MakeCredentials(target, options, observed_),
        arguments);
  }

  [[nodiscard]] const std::shared_ptr<grpc::Channel>& grpc() const override { return channel_; }

  [[nodiscard]] absl::StatusOr<identity::PeerCertificate> server() const override {
    absl::MutexLock lock(&observed_->mutex);
    if (observed_->server) return *observed_->server;
    return ErrorWithReason(absl::StatusCode::kUnavailable, reason::kUnreachable,
                           absl::StrCat("no TLS handshake with ", address_, " yet"));
  }

  [[nodiscard]] absl::Status WaitUntilReady(absl::Duration timeout) override {
    const absl::Time deadline = absl::Now() + timeout;
    for (;;) {
      const grpc_connectivity_state state = channel_->GetState(/*try_to_connect=*/true);
      if (state == GRPC_CHANNEL_READY) return absl::OkStatus();
      // A refused key or a closed port will not mend itself while somebody waits.
      if (state == GRPC_CHANNEL_TRANSIENT_FAILURE) break;
      if (!channel_->WaitForStateChange(state, absl::ToChronoTime(deadline))) break;
    }
    absl::MutexLock lock(&observed_->mutex);
    RETURN_IF_ERROR(observed_->refusal);
    return ErrorWithReason(
        absl::StatusCode::kUnavailable, reason::kUnreachable,
        absl::StrCat("nobody answers at ", address_, "; is the service running, and is this its gRPC port?"));
  }

 private:
  const std::string address_;
  const std::shared_ptr<Observed> observed_;
  std::shared_ptr<grpc::Channel> channel_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Channel>> NewChannel(absl::string_view target, const ChannelOptions& options) {
  RETURN_IF_ERROR(CheckHpackGuard());
  ASSIGN_OR_RETURN(const Target parsed, ParseTarget(target));
  return std::unique_ptr<Channel>(std::make_unique<GrpcChannel>(parsed, options));
}

}  // namespace dotagent::rpc
