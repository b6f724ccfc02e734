// dotagent cert.
#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
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
constexpr size_t kMaxPem = 16 * 1024;

struct CertArguments {
  std::string name;
  std::string out;
  std::string svid;
  std::string rotation_chain;
  std::vector<std::string> registrars;
  bool force = false;
  bool watch = false;
};

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

std::string Text(absl::Time when) { return absl::FormatTime(absl::RFC3339_sec, when, absl::UTCTimeZone()); }

struct Issued {
  identity::NameCertificate certificate;  // verified
  v1::IssueCertificateResponse response;
};

absl::StatusOr<Issued> Ask(const Globals& globals, const std::string& agent_name, const std::string& rotation_chain) {
  ASSIGN_OR_RETURN(const record::Name name, record::Name::Parse(agent_name));
  std::string chain;
  if (!rotation_chain.empty()) {
    ASSIGN_OR_RETURN(chain, ReadInput(rotation_chain, identity::kMaxRotationChainSize));
  }
  ASSIGN_OR_RETURN(const auto key, globals.Key());
  ASSIGN_OR_RETURN(Identity identity, Identity::Dial(globals));
  ASSIGN_OR_RETURN(v1::IssueCertificateRequest request, identity.Prove(*key));
  ASSIGN_OR_RETURN(*request.mutable_csr_der(), identity::MakeCertificateRequest(*key, name.text()));
  request.set_name(name.text());
  request.set_rotation_chain(chain);
  Issued issued;
  ASSIGN_OR_RETURN(issued.response, identity.Call(&v1::IdentityService::Stub::IssueCertificate, request));
  // What came is what was asked for, by its own word at least: another registrar's would be of no use.
  ASSIGN_OR_RETURN(issued.certificate,
                   identity::VerifyNameCertificateFor(key->public_key(), issued.response.name_certificate_der(),
                                                      {&identity.registrar(), 1}, absl::Now()));
  return issued;
}

absl::Status Keep(const Issued& issued, const std::string& out, const std::string& svid) {
  RETURN_IF_ERROR(WriteFileAtOnce(out, identity::NameCertificateToPem(issued.response.name_certificate_der())));
  if (svid.empty()) return absl::OkStatus();
  return WriteFileAtOnce(svid, absl::StrCat(identity::NameCertificateToPem(issued.response.certificate_der()),
                                            identity::NameCertificateToPem(issued.response.issuer_der())));
}

Report Describe(const Issued& issued, const std::string& out) {
  Report report;
  report.Add("name", "Certified", issued.certificate.name);
  report.Add("agent_id", "Agent id", issued.certificate.agent.ToString());
  report.Add("registrar", "Registrar", crypto::PeerIdFromKey(issued.certificate.registrar));
  report.Add("expires", "Expires", Text(issued.certificate.not_after));
  report.Add("certificate", "Certificate", out);
  return report;
}

absl::StatusOr<int> RequestCertificate(const Globals& globals, const CertArguments& arguments) {
  ASSIGN_OR_RETURN(const Issued issued, Ask(globals, arguments.name, arguments.rotation_chain));
  RETURN_IF_ERROR(Keep(issued, arguments.out, arguments.svid));
  Describe(issued, arguments.out).Print(globals.json);
  return kOk;
}

absl::StatusOr<std::string> ReadCertificate(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string pem, ReadInput(path, kMaxPem));
  auto der = identity::NameCertificateFromPem(pem);
  return der.ok() ? std::move(der) : WithContext(der.status(), path);
}

// Whether it is valid now: by its dates; and by the registrar's key, where that is given.
absl::Status CheckShown(const std::string& der, const identity::NameCertificateText& text,
                        const std::vector<std::string>& registrars) {
  if (registrars.empty()) {
    const absl::Time now = absl::Now();
    if (now < text.says.not_before) {
      return ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kFutureDated, "it is not valid yet");
    }
    if (now >= text.says.not_after + absl::Seconds(1)) {
      return ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kStale, "it has ended");
    }
    return absl::OkStatus();
  }
  std::vector<crypto::PublicKey> keys;
  for (const std::string& registrar : registrars) {
    ASSIGN_OR_RETURN(crypto::PublicKey key, crypto::KeyFromPeerId(registrar));
    keys.push_back(key);
  }
  return identity::VerifyNameCertificate(der, keys, absl::Now()).status();
}

absl::StatusOr<int> ShowCertificate(const Globals& globals, const CertArguments& arguments) {
  ASSIGN_OR_RETURN(const std::string der, ReadCertificate(arguments.out));
  ASSIGN_OR_RETURN(const identity::NameCertificateText text, identity::ReadNameCertificate(der));
  const absl::Status valid = CheckShown(der, text, arguments.registrars);
  if (ReasonOf(valid) == reason::kBadKey) return valid;  // no peer id was given
  Report report;
  report.Add("name", "For", text.says.name);
  report.Add("agent_id", "Agent id", text.says.agent.ToString());
  report.Add("peer_id", "Key", crypto::PeerIdFromKey(text.says.key));
  report.Add("serial", "Serial number", text.serial);
  report.Add("registrar_key_id", "Registrar's key", text.registrar_key);
  report.Add("not_before", "Valid from", Text(text.says.not_before));
  report.Add("expires", "Expires", Text(text.says.not_after));
  report.Add("renew_at", "Renew at", Text(text.renew_at()));
  report.Add("signature", "Signature",
             arguments.registrars.empty() ? "not checked; give --registrar"
             : valid.ok()                 ? "verified"
                                          : "not trusted");
  report.Add("valid", "Valid", valid.ok());
  if (!valid.ok()) {
    report.Add("reason", "", ReasonOf(valid));
    report.Add("error", "But", std::string(valid.message()));
  }
  report.Print(globals.json);
  return valid.ok() ? kOk : kFailed;
}

// One round: whether there was something to do, and when to look again.
struct Renewal {
  bool renewed = false;
  absl::Time next;
};
absl::StatusOr<Renewal> RenewOnce(const Globals& globals, const CertArguments& arguments) {
  ASSIGN_OR_RETURN(const std::string der, ReadCertificate(arguments.out));
  ASSIGN_OR_RETURN(const identity::NameCertificateText text, identity::ReadNameCertificate(der));
  if (!arguments.force && absl::Now() < text.renew_at()) {
    Report report;
    report.Add("renewed", "Renewed", false);
    report.Add("name", "For", text.says.name);
    report.Add("expires", "Expires", Text(text.says.not_after));
    report.Add("renew_at", "Renew at", Text(text.renew_at()));
    report.Print(globals.json);
    return Renewal{false, text.renew_at()};
  }
  ASSIGN_OR_RETURN(const Issued issued, Ask(globals, text.says.name, arguments.rotation_chain));
  RETURN_IF_ERROR(Keep(issued, arguments.out, arguments.svid));
  Report report = Describe(issued, arguments.out);
  report.Add("renewed", "Renewed", true);
  report.Print(globals.json);
  // Of the life that is ahead: a certificate begins some minutes before it is issued.
  return Renewal{true, absl::Now() + (issued.certificate.not_after - absl::Now()) / 2};
}

absl::StatusOr<int> RenewCertificate(const Globals& globals, const CertArguments& arguments) {
  if (!arguments.watch) {
    RETURN_IF_ERROR(RenewOnce(globals, arguments).status());
    return kOk;
  }
  // Until it is interrupted. What fails is tried again, more and more slowly, up to a minute: half of a certificate's
  // life is left for that.
  absl::Duration pause = absl::Seconds(1);
  while (true) {
    const absl::StatusOr<Renewal> renewal = RenewOnce(globals, arguments);
    absl::Time next = absl::Now() + pause;
    if (renewal.ok()) {
      pause = absl::Seconds(1);
      next = std::max(renewal->next, absl::Now() + pause);
    } else {
      std::fprintf(stderr, "dotagent: not renewed: %s\n", Printable(std::string(renewal.status().message())).c_str());
      pause = std::min(pause * 2, absl::Duration(absl::Minutes(1)));
    }
    absl::SleepFor(next - absl::Now());
  }
}

absl::StatusOr<int> FetchBundle(const Globals& globals, const CertArguments& arguments) {
  ASSIGN_OR_RETURN(Identity identity, Identity::Dial(globals));
  ASSIGN_OR_RETURN(const auto bundle, identity.Call(&v1::IdentityService::Stub::GetTrustBundle, {}));
  Report report;
  if (arguments.out.empty()) {
    if (globals.json) {
      report.Add("bundle_pem", "", bundle.bundle_pem());
      report.Print(true);
    } else {
      std::fputs(bundle.bundle_pem().c_str(), stdout);
    }
    return kOk;
  }
  RETURN_IF_ERROR(WriteFileAtOnce(arguments.out, bundle.bundle_pem()));
  report.Add("bundle", "Trust bundle", arguments.out);
  report.Print(globals.json);
  return kOk;
}

void AddSvidAndChain(CLI::App* command, CertArguments& arguments) {
  command->add_option("--svid", arguments.svid,
                      "Where to write the X509-SVID too, and its issuer behind it: for TLS, not for registering");
  command->add_option("--rotation-chain", arguments.rotation_chain,
                      "File with the agent's rotation chain, where the key is not its first");
}

}  // namespace

void AddCertCommand(CLI::App& app, Globals& globals, Chosen& chosen) {
  CLI::App* cert = AddCommand(&app, "cert", "Certificates of names, from the identity service", {});
  cert->require_subcommand(1);
  const auto add = [&](const char* name, const char* what, const std::vector<std::string>& examples, auto run) {
    auto arguments = std::make_shared<CertArguments>();
    CLI::App* command = AddCommand(cert, name, what, examples);
    command->callback([&globals, &chosen, arguments, run] {
      chosen.run = [&globals, arguments, run] { return run(globals, *arguments); };
    });
    return std::pair(command, arguments);
  };
  {
    auto [command, arguments] = add("request", "Get a certificate that --key holds a name",
                                    {"dotagent cert request alice.agent --key alice.pem --out alice.crt",
                                     "dotagent register --name alice.agent --key alice.pem --certificate alice.crt"},
                                    RequestCertificate);
    command->add_option("agent-name", arguments->name, "The name, such as alice.agent")->required();
    command->add_option("--out", arguments->out, "Where to write it (PEM); what is there is replaced")->required();
    AddSvidAndChain(command, *arguments);
  }
  {
    auto [command, arguments] =
        add("show", "Show what a certificate says, and whether it is valid",
            {"dotagent cert show alice.crt", "dotagent cert show alice.crt --registrar 12D3KooW…"}, ShowCertificate);
    command->add_option("file", arguments->out, "The certificate (PEM)")->required();
    command->add_option("--registrar", arguments->registrars,
                        "Peer id of a registrar to trust; repeatable. Without it only form and dates are checked");
  }
  {
    auto [command, arguments] =
        add("renew", "Replace a certificate once half of its life is over",
            {"dotagent cert renew alice.crt --key alice.pem",
             "dotagent cert renew alice.crt --key alice.pem --watch    # beside `dotagent listen --certificate`"},
            RenewCertificate);
    command->add_option("file", arguments->out, "The certificate (PEM), which is replaced")->required();
    command->add_flag("--force", arguments->force, "Now, however young it is");
    command->add_flag("--watch", arguments->watch, "Go on, and renew it each time");
    AddSvidAndChain(command, *arguments);
  }
  {
    auto [command, arguments] = add(
        "bundle", "Fetch the trust bundle: the certificates that vouch for those issued",
        {"dotagent cert bundle --out root.pem && openssl verify -x509_strict -CAfile root.pem alice.crt"}, FetchBundle);
    command->add_option("--out", arguments->out, "Where to write it (PEM); standard output without it");
  }
}

}  // namespace dotagent::cli
