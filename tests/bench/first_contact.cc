#include "tests/bench/first_contact.h"

#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_certificate_verifier.h>
#include <grpcpp/security/tls_credentials_options.h>

#include <chrono>
#include <future>
#include <utility>

#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/crypto/keys.h"
#include "common/dht/types.h"
#include "common/p2p/dht_network.h"
#include "common/p2p/loop.h"
#include "common/p2p/multiaddr.h"
#include "common/p2p/node.h"
#include "common/telemetry/metrics.h"
#include "dotagent/resolver/v1/resolver.grpc.pb.h"

namespace dotagent::bench {
namespace {

using Steady = std::chrono::steady_clock;

double MicrosecondsSince(Steady::time_point began) {
  return std::chrono::duration<double, std::micro>(Steady::now() - began).count();
}

}  // namespace

struct FirstContact::Impl {
  SystemRandom random;
  SystemClock clock;
  telemetry::Metrics metrics;
  const crypto::SigningKey key = crypto::SigningKey::Generate(random);
  dht::Contact peer;
  p2p::Loop loop;
  std::unique_ptr<p2p::Node> node;
  std::unique_ptr<p2p::DhtNetwork> network;
};

FirstContact::FirstContact() : impl_(std::make_unique<Impl>()) {
  impl_->loop.Run([this] {
    impl_->node = std::make_unique<p2p::Node>(impl_->loop.executor(), p2p::NodeOptions{.key = &impl_->key,
                                                                                       .random = &impl_->random,
                                                                                       .clock = &impl_->clock,
                                                                                       .metrics = &impl_->metrics,
                                                                                       .listen = ""});
    impl_->network = std::make_unique<p2p::DhtNetwork>(impl_->loop.executor(), *impl_->node);
  });
}

FirstContact::~FirstContact() {
  impl_->loop.Run([this] {
    impl_->network.reset();
    impl_->node.reset();
  });
}

absl::StatusOr<std::unique_ptr<FirstContact>> FirstContact::Create(const std::string& node) {
  ASSIGN_OR_RETURN(const p2p::Multiaddr address, p2p::Multiaddr::Parse(node));
  if (!address.peer.has_value()) return absl::InvalidArgumentError("the node's address needs /p2p/");
  std::unique_ptr<FirstContact> contact(new FirstContact());
  contact->impl_->peer = {dht::Id::OfNode(*address.peer), *address.peer, {address.Transport()}};
  return contact;
}

absl::StatusOr<std::vector<double>> FirstContact::Measure(size_t count) {
  std::vector<double> us;
  for (size_t i = 0; i < count; ++i) {
    impl_->loop.Run([this] { impl_->node->Drop(impl_->peer.key, "measured"); });
    const dht::Id target = dht::Id::OfNode(crypto::SigningKey::Generate(impl_->random).public_key());
    const dht::Request request{{dht::Id::OfNode(impl_->key.public_key()), impl_->key.public_key(), {}},
                               dht::FindNodeCall{target}};
    std::promise<absl::Status> answered;
    const auto began = Steady::now();
    impl_->loop.Post([&] {
      impl_->network->Call(impl_->peer, request, [&](const absl::StatusOr<dht::Response>& response) {
        answered.set_value(response.status());
      });
    });
    RETURN_IF_ERROR(answered.get_future().get());
    us.push_back(MicrosecondsSince(began));
  }
  return us;
}

absl::StatusOr<std::vector<double>> MeasureGrpcContacts(const std::string& address,
                                                        const identity::NodeCertificate& certificate,
                                                        const std::string& name, size_t count) {
  grpc::experimental::TlsChannelCredentialsOptions tls;
  tls.set_certificate_provider(std::make_shared<grpc::experimental::StaticDataCertificateProvider>(
      "", std::vector<grpc::experimental::IdentityKeyCertPair>{
              {certificate.private_key_pem, certificate.certificate_pem}}));
  tls.watch_identity_key_cert_pairs();
  tls.set_verify_server_certs(false);
  tls.set_check_call_host(false);
  tls.set_certificate_verifier(std::make_shared<grpc::experimental::NoOpCertificateVerifier>());
  const auto credentials = grpc::experimental::TlsCredentials(tls);
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // no connection is shared

  std::vector<double> us;
  for (size_t i = 0; i < count; ++i) {
    resolver::v1::ResolveRequest request;
    resolver::v1::ResolveResponse response;
    request.set_name(name);
    grpc::ClientContext context;
    context.set_wait_for_ready(true);
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
    const auto began = Steady::now();
    const auto channel = grpc::CreateCustomChannel(address, credentials, arguments);
    const auto stub = resolver::v1::ResolverService::NewStub(channel);
    const grpc::Status status = stub->Resolve(&context, request, &response);
    us.push_back(MicrosecondsSince(began));
    if (!status.ok()) return absl::UnavailableError("gRPC first contact: " + status.error_message());
  }
  return us;
}

}  // namespace dotagent::bench
