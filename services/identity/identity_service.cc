#include "services/identity/identity_service.h"

#include <optional>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/crypto/peer_id.h"
#include "common/telemetry/log.h"
#include "services/identity/certificate_log.h"
#include "services/identity/handler.h"
#include "services/identity/resolver_directory.h"
#include "services/identity/revocation_log.h"
#include "services/identity/shell.h"
#include "services/identity/use_ledger.h"

namespace dotagent::identity_service {
namespace {

// 2: counts of uses, and revocations of tokens, which the releases before would miss in the log.
constexpr uint32_t kSchemaVersion = 2;
constexpr char kRootKey[] = "issuer-root";
constexpr absl::string_view kFirstClaim = "first-claim";
constexpr absl::string_view kRegistrar = "registrar";

// The root certificate is kept, so that certificates issued before a restart still verify.
absl::StatusOr<identity::Issuer> OpenIssuer(host::Host& host, const Options& options) {
  const identity::IssuerOptions issuer_options{.trust_domain = options.trust_domain,
                                               .leaf_lifetime = options.certificate_lifetime};
  const auto root = host.store().Get(kRootKey);
  if (root.ok()) return identity::Issuer::Load(host.key(), issuer_options, *root);
  if (!absl::IsNotFound(root.status())) return root.status();
  ASSIGN_OR_RETURN(identity::Issuer issuer, identity::Issuer::Create(host.key(), issuer_options, host.clock().Now()));
  RETURN_IF_ERROR(host.store().Put(kRootKey, issuer.root_pem(), storage::Durability::kSync));
  return issuer;
}

absl::StatusOr<absl::flat_hash_set<crypto::PublicKey>> ParseRedeemers(const std::vector<std::string>& peer_ids) {
  absl::flat_hash_set<crypto::PublicKey> redeemers;
  for (const std::string& peer_id : peer_ids) {
    const auto key = crypto::KeyFromPeerId(peer_id);
    if (!key.ok()) return WithContext(key.status(), absl::StrCat("--redeemer ", peer_id));
    redeemers.insert(*key);
  }
  if (redeemers.empty()) {
    telemetry::Log(telemetry::Level::kWarning,
                   "any node that reaches this port may have uses of capability tokens counted; name the gateways with "
                   "--redeemer");
  }
  return redeemers;
}

class IdentityServer : public host::Service {
 public:
  explicit IdentityServer(std::unique_ptr<host::Host> host) : host_(std::move(host)) {}
  ~IdentityServer() override {
    host_->Drain();
    if (publisher_) host_->loop().Run([this] { publisher_->Stop(); });
    host_->loop().Stop();
  }

  [[nodiscard]] absl::Status Start(const Options& options) {
    std::unique_ptr<rpc::Channel> channel;
    if (!options.resolver.empty()) {
      ASSIGN_OR_RETURN(channel, host_->Dial(options.resolver));
    }
    directory_ = std::make_unique<ResolverDirectory>(std::move(channel), host_->clock(), host_->executor());
    ASSIGN_OR_RETURN(identity::Issuer issuer, OpenIssuer(*host_, options));
    ASSIGN_OR_RETURN(RevocationLog log, RevocationLog::Open(&host_->store()));
    ASSIGN_OR_RETURN(CertificateLog certificates, CertificateLog::Open(&host_->store()));
    std::optional<NameBook> book;
    if (options.name_policy == kRegistrar) {
      ASSIGN_OR_RETURN(book, NameBook::Open(&host_->store(), host_->clock().Now()));
      telemetry::Log(
          telemetry::Level::kInfo, "this is a registrar of names",
          {{"registrar", crypto::PeerIdFromKey(host_->key().public_key())}, {"names", absl::StrCat(book->size())}});
    }
    ASSIGN_OR_RETURN(uses_, UseLedger::Open(&host_->store(), host_->clock()));
    ASSIGN_OR_RETURN(auto redeemers, ParseRedeemers(options.redeemers));
    handler_ = std::make_unique<Handler>(host_->key(), host_->certificate(), std::move(issuer), std::move(log),
                                         std::move(certificates), *directory_, std::move(book), *uses_, host_->clock(),
                                         host_->random(), host_->metrics(), host_->executor(), std::move(redeemers),
                                         options.strangers);
    RETURN_IF_ERROR(handler_->Load());
    publisher_ = std::make_shared<RevocationPublisher>(*host_, *handler_, *directory_);
    RETURN_IF_ERROR(host_->loop().Run([this] { return publisher_->Start(); }));
    shell_ = std::make_unique<Shell>(*handler_, host_->entrance(), host_->clock());
    return host_->Serve({shell_.get()});
  }

  [[nodiscard]] host::Host& host() override { return *host_; }

 private:
  // Destroyed from the last to the first: the host, which all of them use, goes last.
  std::unique_ptr<host::Host> host_;
  std::unique_ptr<ResolverDirectory> directory_;
  std::unique_ptr<Handler> handler_;
  std::unique_ptr<UseLedger> uses_;  // its last answers go through the handler
  std::shared_ptr<RevocationPublisher> publisher_;
  std::unique_ptr<Shell> shell_;
};

}  // namespace

void Options::AddTo(OptionTable& table) {
  table.Add("resolver", &resolver, "host:port of a resolver: names are checked and revocations published there");
  table.Add(
      "name-policy", &name_policy,
      "first-claim: who holds a name by the DHT gets a certificate. registrar: the first who asks for a name gets "
      "it; for networks with --name-policy registrar");
  table.Add("trust-domain", &trust_domain, "SPIFFE trust domain of the certificates issued here");
  table.Add("certificate-lifetime", &certificate_lifetime, "How long a certificate is valid");
  table.Add("stranger-revocation-rate", &strangers.rate.per_second,
            "Revocations a second that an address may bring of keys without a certificate from here; 0: any number");
  table.Add("stranger-revocation-burst", &strangers.rate.burst, "And so many at once");
  table.Add("stranger-revocation-bytes", &strangers.max_bytes,
            "Bytes that the revocations of keys without a certificate from here may take in all, for good");
  table.Add(
      "redeemer", &redeemers,
      "Peer id of a gateway that may have uses of capability tokens counted here; repeatable; none lets every node");
  table.AddExample("dotagent-identity --data-dir /var/lib/dotagent-identity --resolver resolver-0:7443");
}

absl::StatusOr<std::unique_ptr<host::Service>> Start(const Options& options) {
  if (options.name_policy != kRegistrar && options.name_policy != kFirstClaim) {
    return ErrorWithReason(
        absl::StatusCode::kInvalidArgument, reason::kLimit,
        absl::StrCat("--name-policy ", options.name_policy, " is neither first-claim nor registrar"));
  }
  if (options.strangers.rate.per_second < 0 || options.strangers.rate.burst < 1) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kLimit,
                           "--stranger-revocation-rate is at least 0, --stranger-revocation-burst at least 1");
  }
  ASSIGN_OR_RETURN(auto host, host::Host::Create("identity", options.host, kSchemaVersion));
  auto server = std::make_unique<IdentityServer>(std::move(host));
  RETURN_IF_ERROR(server->Start(options));
  return std::unique_ptr<host::Service>(std::move(server));
}

}  // namespace dotagent::identity_service
