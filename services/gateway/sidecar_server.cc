#include "services/gateway/sidecar_server.h"

#include <fstream>
#include <iterator>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/identity/name_certificate.h"
#include "common/rpc/server.h"
#include "common/telemetry/log.h"
#include "services/gateway/shell.h"
#include "services/gateway/sidecar.h"
#include "services/gateway/sidecar_shell.h"
#include "services/host/node_key.h"

namespace dotagent::gateway_service {
namespace {

constexpr size_t kMaxPem = 16 * 1024;  // bytes

absl::StatusOr<record::NameProof> ReadProof(const std::string& path) {
  record::NameProof proof;
  if (path.empty()) return proof;
  std::ifstream file(path, std::ios::binary);
  std::string pem(kMaxPem + 1, '\0');
  file.read(pem.data(), static_cast<std::streamsize>(pem.size()));
  pem.resize(static_cast<size_t>(file.gcount()));
  if (pem.empty() || pem.size() > kMaxPem) {
    return ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kNotCertified,
                           absl::StrCat("--agent-certificate ", path, " cannot be read, or is no certificate"));
  }
  auto der = identity::NameCertificateFromPem(pem);
  if (!der.ok()) return WithContext(der.status(), path);
  proof.name_certificate = *std::move(der);
  return proof;
}

absl::Status Missing(absl::string_view option, absl::string_view what) {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kBadName,
                         absl::StrCat("--sidecar-socket also needs --", option, ": ", what));
}

class SidecarServerImpl final : public SidecarServer {
 public:
  SidecarServerImpl(host::Host& host, Gateway& gateway, Sidecar::Parts parts)
      : sidecar_(parts),
        gateway_shell_(gateway, host.loop(), host.clock(), host.metrics(), sidecar_.token()),
        shell_(sidecar_, host.loop(), host.clock()) {}

  absl::Status Serve(const std::string& path) {
    ASSIGN_OR_RETURN(server_, rpc::Server::Start({.listen = absl::StrCat("unix:", path)}, {&gateway_shell_, &shell_}));
    server_->SetServing(true);
    return absl::OkStatus();
  }

  void Tick() override { sidecar_.Tick(); }
  void Drain(absl::Duration grace) override {
    if (server_) server_->Drain(grace);
  }

 private:
  Sidecar sidecar_;
  Shell gateway_shell_;
  SidecarShell shell_;
  std::unique_ptr<rpc::Server> server_;
};

}  // namespace

void SidecarOptions::AddTo(OptionTable& table) {
  table.Add("sidecar-socket", &socket,
            "Serve one agent, whose key this gateway holds, on a Unix socket at this absolute path; and no agent on "
            "the gRPC port");
  table.Add("agent-name", &name, "With --sidecar-socket: the agent's name, which is kept registered");
  table.Add("agent-key", &key,
            "With --sidecar-socket: the agent's private key: a PEM file, pkcs11:… (RFC 7512) or tpm2:FILE; made at "
            "the first start");
  table.Add("agent-certificate", &certificate,
            "With --sidecar-socket: PEM file with a registrar's certificate for the name, where names need one; read "
            "again at each registration");
}

absl::StatusOr<std::unique_ptr<SidecarServer>> StartSidecar(const SidecarOptions& options, host::Host& host,
                                                            Gateway& gateway,
                                                            std::function<std::vector<std::string>()> addresses) {
  if (options.name.empty()) return Missing("agent-name", "whose gateway this is, such as alice.agent");
  if (options.key.empty()) return Missing("agent-key", "where the agent's private key is");
  auto name = record::Name::Parse(options.name);
  if (!name.ok()) return WithContext(name.status(), "--agent-name");
  auto key = host::ReadOrMakeNodeKey(options.key, 0, host.random(), host.clock());
  if (!key.ok()) return WithContext(key.status(), "--agent-key");
  auto server = host.loop().Run([&] {
    return std::make_unique<SidecarServerImpl>(
        host, gateway,
        Sidecar::Parts{.gateway = gateway,
                       .name = *std::move(name),
                       .key = *std::move(key),
                       .addresses = std::move(addresses),
                       .proof = [path = options.certificate] { return ReadProof(path); },
                       .clock = host.clock(),
                       .random = host.random(),
                       .metrics = host.metrics()});
  });
  RETURN_IF_ERROR(server->Serve(options.socket));
  telemetry::Log(telemetry::Level::kInfo, "serving one agent", {{"name", options.name}, {"socket", options.socket}});
  return std::unique_ptr<SidecarServer>(std::move(server));
}

}  // namespace dotagent::gateway_service
