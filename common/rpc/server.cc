#include "common/rpc/server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>
#include <grpcpp/server_builder.h>

#include <chrono>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/rpc/hpack_guard.h"
#include "common/rpc/poller_crew.h"
#include "common/rpc/reset_guard.h"

namespace dotagent::rpc {
namespace {

constexpr size_t kMaxMemory = size_t{512} * 1024 * 1024;
constexpr int kMaxThreads = 64;
constexpr auto kHandshake = std::chrono::seconds(10);
constexpr auto kIdle = std::chrono::minutes(30);

int Milliseconds(std::chrono::milliseconds duration) { return static_cast<int>(duration.count()); }

std::shared_ptr<grpc::ServerCredentials> MakeCredentials(const identity::NodeCertificate* certificate) {
  if (certificate == nullptr) return grpc::InsecureServerCredentials();
  grpc::experimental::TlsServerCredentialsOptions options(
      std::make_shared<grpc::experimental::StaticDataCertificateProvider>(
          "", std::vector<grpc::experimental::IdentityKeyCertPair>{
                  {certificate->private_key_pem, certificate->certificate_pem}}));
  options.watch_identity_key_cert_pairs();
  // PeerKey verifies, when a method wants to know: certificates are self-signed, and say whose key they are, not whom
  // to trust.
  options.set_cert_request_type(GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_BUT_DONT_VERIFY);
  return grpc::experimental::TlsServerCredentials(options);
}

// Or closer still.
bool IsLoopback(absl::string_view listen) {
  return absl::StartsWith(listen, "127.") || absl::StartsWith(listen, "localhost:") ||
         absl::StartsWith(listen, "[::1]:") || absl::StartsWith(listen, "unix:");
}

void SetLimits(grpc::ServerBuilder& builder, const ServerOptions& options) {
  builder.SetMaxReceiveMessageSize(options.max_message_bytes);
  builder.SetMaxSendMessageSize(options.max_message_bytes);
  builder.SetResourceQuota(grpc::ResourceQuota("dotagent").Resize(kMaxMemory).SetMaxThreads(kMaxThreads));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, options.max_concurrent_streams);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, Milliseconds(kIdle));
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, Milliseconds(kShortestPing));
  builder.AddChannelArgument(GRPC_ARG_ENABLE_CHANNELZ, 0);
  SetKeepalive(options.keepalive, [&](const char* name, int value) { builder.AddChannelArgument(name, value); });
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, Milliseconds(kHandshake));
}

// Health checks and reflection are switched on for the process, before its first server.
void EnablePlugins() {
  static const bool once = [] {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    return true;
  }();
  static_cast<void>(once);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const ServerOptions& options,
                                                      const std::vector<grpc::Service*>& services) {
  if (options.certificate == nullptr && !IsLoopback(options.listen)) {
    return absl::InvalidArgumentError(
        absl::StrCat("refusing to serve without TLS on ", options.listen, ", which others can reach"));
  }
  RETURN_IF_ERROR(CheckHpackGuard());
  RETURN_IF_ERROR(CheckResetGuard());
  RETURN_IF_ERROR(CheckPollerCrew());
  EnablePlugins();
  grpc::ServerBuilder builder;
  SetLimits(builder, options);
  std::unique_ptr<Server> server(new Server());
  ASSIGN_OR_RETURN(server->acceptor_, Acceptor::Bind(options.listen));
  using FromDescriptor = grpc::ServerBuilder::experimental_type::ExternalConnectionType;
  server->connections_ = builder.experimental().AddExternalConnectionAcceptor(FromDescriptor::FROM_FD,
                                                                              MakeCredentials(options.certificate));
  for (grpc::Service* service : services) builder.RegisterService(service);
  server->server_ = builder.BuildAndStart();
  if (!server->server_) return absl::InternalError("gRPC refused to start a server");
  server->SetServing(false);
  server->acceptor_->Start([connections = server->connections_.get()](int fd) {
    grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters connection;
    connection.fd = fd;
    connections->HandleNewConnection(&connection);
  });
  return server;
}

Server::~Server() { Drain(absl::ZeroDuration()); }

void Server::SetServing(bool serving) { server_->GetHealthCheckService()->SetServingStatus(serving); }

void Server::Drain(absl::Duration grace) {
  if (!server_) return;
  SetServing(false);
  acceptor_->Stop();
  // Past the deadline gRPC cancels what still runs, streams included.
  server_->Shutdown(std::chrono::system_clock::now() + absl::ToChronoMilliseconds(grace));
  server_->Wait();
  server_.reset();
}

absl::StatusOr<crypto::PublicKey> PeerKey(const grpc::ServerContextBase& context, absl::Time now) {
  const std::vector<grpc::string_ref> certificates = context.auth_context()->FindPropertyValues("x509_pem_cert");
  if (certificates.empty()) {
    return ErrorWithReason(absl::StatusCode::kUnauthenticated, reason::kNotAuthenticated,
                           "this call needs a TLS client certificate that proves a node key");
  }
  ASSIGN_OR_RETURN(
      const identity::PeerCertificate peer,
      identity::CheckNodeCertificate(absl::string_view(certificates.front().data(), certificates.front().size()), now));
  return peer.node_key;
}

}  // namespace dotagent::rpc
