// dotagent cert.
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "cli/command.h"
#include "cli/exit_status.h"
#include "cli/report.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/crypto/peer_id.h"
#include "common/identity/certificate.h"
#include "common/identity/certificate_request.h"
#include "common/identity/challenge.h"
#include "common/identity/name_certificate.h"
#include "common/identity/rotation.h"
#include "common/record/name.h"
#include "common/rpc/channel.h"
#include "common/rpc/status.h"
#include "dotagent/identity/v1/identity.grpc.pb.h"

namespace dotagent::cli {
namespace {

namespace v1 = ::dotagent::identity::v1;

constexpr size_t kNonceSize = 32;

struct CertArguments {
  std::string name;
  std::string out;
  std::string svid;
  std::string rotation_chain;
};

// In one step, so that an agent that reads the file meanwhile sees the old certificate or the new one.
absl::Status WriteFileAtOnce(const std::string& path, const std::string& content) {
  const std::string temporary = absl::StrCat(path, ".", getpid(), ".new");
  std::FILE* file = std::fopen(temporary.c_str(), "wb");
  bool written = file != nullptr && std::fwrite(content.data(), 1, content.size(), file) == content.size();
  if (file != nullptr) written = std::fclose(file) == 0 && written;
  if (written && std::rename(temporary.c_str(), path.c_str()) == 0) return absl::OkStatus();
  const int error = errno;
  std::remove(temporary.c_str());
  return ErrorWithReason(absl::StatusCode::kUnavailable, reason::kStorage,
                         absl::StrCat("cannot write ", path, ": ", std::strerror(error)));
}

// Calls to identity, each with the deadline.
class Identity {
 public:
  static absl::StatusOr<Identity> Dial(const Globals& globals) {
    Identity identity;
    identity.timeout_ = absl::Seconds(static_cast<double>(globals.timeout_s));
    ASSIGN_OR_RETURN(identity.channel_, rpc::NewChannel(globals.identity, {.known_nodes = globals.KnownNodes()}));
    RETURN_IF_ERROR(identity.channel_->WaitUntilReady(identity.timeout_));
    identity.stub_ = v1::IdentityService::NewStub(identity.channel_->grpc());
    return identity;
  }

  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (v1::IdentityService::Stub::*method)(grpc::ClientContext*, const Request&,
                                                                                  Response*),
                                const Request& request) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + absl::ToChronoMilliseconds(timeout_));
    Response response;
    RETURN_IF_ERROR(rpc::FromGrpc((stub_.get()->*method)(&context, request, &response)));
    return response;
  }

  // Answers a challenge: the proof that goes with a request for a certificate.
  absl::StatusOr<v1::IssueCertificateRequest> Prove(const crypto::Signer& key) {
    identity::AuthTranscript transcript{
        .purpose = "certificate", .client_nonce = SystemRandom().Bytes(kNonceSize), .client_key = key.public_key()};
    v1::ChallengeRequest ask;
    ask.set_public_key(std::string(key.public_key().bytes()));
    ask.set_client_nonce(transcript.client_nonce);
    ASSIGN_OR_RETURN(const auto challenge, Call(&v1::IdentityService::Stub::Challenge, ask));
    transcript.server_nonce = challenge.server_nonce();
    ASSIGN_OR_RETURN(transcript.server_key, crypto::PublicKey::FromBytes(challenge.server_key()));
    ASSIGN_OR_RETURN(const identity::PeerCertificate server, channel_->server());
    if (server.node_key != transcript.server_key) {
      return ErrorWithReason(absl::StatusCode::kUnauthenticated, reason::kKeyMismatch,
                             "identity signs with another key than its TLS certificate proves; do not trust it");
    }
    transcript.channel_binding = server.sha256;
    ASSIGN_OR_RETURN(std::string signature, identity::AnswerChallenge(transcript, challenge.server_signature(), key));
    v1::IssueCertificateRequest request;
    request.set_challenge_id(challenge.challenge_id());
    request.set_signature(std::move(signature));
    registrar_ = transcript.server_key;
    return request;
  }
  [[nodiscard]] const crypto::PublicKey& registrar() const { return registrar_; }

 private:
  std::unique_ptr<rpc::Channel> channel_;
  std::unique_ptr<v1::IdentityService::Stub> stub_;
  absl::Duration timeout_;
  crypto::PublicKey registrar_;
};

absl::StatusOr<int> RequestCertificate(const Globals& globals, const CertArguments& arguments) {
  ASSIGN_OR_RETURN(const record::Name name, record::Name::Parse(arguments.name));
  std::string chain;
  if (!arguments.rotation_chain.empty()) {
    ASSIGN_OR_RETURN(chain, ReadInput(arguments.rotation_chain, identity::kMaxRotationChainSize));
  }
  ASSIGN_OR_RETURN(const auto key, globals.Key());
  ASSIGN_OR_RETURN(Identity identity, Identity::Dial(globals));
  ASSIGN_OR_RETURN(v1::IssueCertificateRequest request, identity.Prove(*key));
  ASSIGN_OR_RETURN(*request.mutable_csr_der(), identity::MakeCertificateRequest(*key, name.text()));
  request.set_name(name.text());
  request.set_rotation_chain(chain);
  ASSIGN_OR_RETURN(const auto issued, identity.Call(&v1::IdentityService::Stub::IssueCertificate, request));
  // What came is what was asked for, by its own word at least: another registrar's would be of no use.
  ASSIGN_OR_RETURN(const identity::NameCertificate certificate,
                   identity::VerifyNameCertificateFor(key->public_key(), issued.name_certificate_der(),
                                                      {&identity.registrar(), 1}, absl::Now()));
  RETURN_IF_ERROR(WriteFileAtOnce(arguments.out, identity::NameCertificateToPem(issued.name_certificate_der())));
  if (!arguments.svid.empty()) {
    RETURN_IF_ERROR(
        WriteFileAtOnce(arguments.svid, absl::StrCat(identity::NameCertificateToPem(issued.certificate_der()),
                                                     identity::NameCertificateToPem(issued.issuer_der()))));
  }
  Report report;
  report.Add("name", "Certified", certificate.name);
  report.Add("agent_id", "Agent id", certificate.agent.ToString());
  report.Add("registrar", "Registrar", crypto::PeerIdFromKey(certificate.registrar));
  report.Add("expires", "Expires", absl::FormatTime(absl::RFC3339_sec, certificate.not_after, absl::UTCTimeZone()));
  report.Add("certificate", "Certificate", arguments.out);
  report.Print(globals.json);
  return kOk;
}

}  // namespace

void AddCertCommand(CLI::App& app, Globals& globals, Chosen& chosen) {
  CLI::App* cert = AddCommand(&app, "cert", "Certificates of names, from the identity service", {});
  cert->require_subcommand(1);
  auto arguments = std::make_shared<CertArguments>();
  CLI::App* command = AddCommand(cert, "request", "Get a certificate that --key holds a name",
                                 {"dotagent cert request alice.agent --key alice.pem --out alice.crt",
                                  "dotagent register --name alice.agent --key alice.pem --certificate alice.crt"});
  command->add_option("agent-name", arguments->name, "The name, such as alice.agent")->required();
  command->add_option("--out", arguments->out, "Where to write it (PEM); what is there is replaced")->required();
  command->add_option("--svid", arguments->svid,
                      "Where to write the X509-SVID too, and its issuer behind it: for TLS, not for registering");
  command->add_option("--rotation-chain", arguments->rotation_chain,
                      "File with the agent's rotation chain, where the key is not its first");
  command->callback([&globals, &chosen, arguments] {
    chosen.run = [&globals, arguments] { return RequestCertificate(globals, *arguments); };
  });
}

}  // namespace dotagent::cli
