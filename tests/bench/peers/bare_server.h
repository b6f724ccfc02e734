// A gRPC server of Debian's gRPC, callback API, with the credentials that dotagent's services use (mutual TLS) and
// nothing else of theirs: what gRPC itself allows.
#ifndef DOTAGENT_TESTS_BENCH_PEERS_BARE_SERVER_H_
#define DOTAGENT_TESTS_BENCH_PEERS_BARE_SERVER_H_

#include <grpcpp/security/server_credentials.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <initializer_list>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "common/base/random.h"
#include "common/crypto/keys.h"
#include "common/identity/certificate.h"

namespace dotagent::bench {

// Serves on a port of 127.0.0.1, prints {"address": "127.0.0.1:PORT"}, and returns when standard input ends: the
// process's exit status.
inline int ServeBare(std::initializer_list<grpc::Service*> services) {
  SystemRandom random;
  const auto key = crypto::SigningKey::Generate(random);
  const auto certificate = identity::MakeNodeCertificate(key, {}, absl::Now());
  if (!certificate.ok()) {
    std::cerr << certificate.status() << "\n";
    return 1;
  }
  grpc::experimental::TlsServerCredentialsOptions options(
      std::make_shared<grpc::experimental::StaticDataCertificateProvider>(
          "", std::vector<grpc::experimental::IdentityKeyCertPair>{
                  {certificate->private_key_pem, certificate->certificate_pem}}));
  options.watch_identity_key_cert_pairs();
  options.set_cert_request_type(GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_BUT_DONT_VERIFY);
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::experimental::TlsServerCredentials(options), &port);
  for (grpc::Service* service : services) builder.RegisterService(service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr || port == 0) {
    std::cerr << "gRPC refused to start a server\n";
    return 1;
  }
  std::cout << R"({"address":"127.0.0.1:)" << port << "\"}" << std::endl;
  for (std::string line; std::getline(std::cin, line);) {
  }
  server->Shutdown();
  return 0;
}

}  // namespace dotagent::bench

#endif  // DOTAGENT_TESTS_BENCH_PEERS_BARE_SERVER_H_
