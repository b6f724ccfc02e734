// A server that does nothing but stand there, as every service's gRPC port does: what grpc_abuse.py attacks.
//
// Prints {"plain": PORT, "tls": PORT} and serves health checks until its standard input ends. Exit status 0 after a
// clean drain.
#include <cstdio>
#include <iostream>
#include <string>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "common/base/random.h"
#include "common/crypto/keys.h"
#include "common/identity/certificate.h"
#include "common/rpc/server.h"

int main() {
  using namespace dotagent;
  SystemRandom random;
  const auto key = crypto::SigningKey::Generate(random);
  const auto certificate = identity::MakeNodeCertificate(key, {}, absl::Now());
  if (!certificate.ok()) {
    std::cerr << certificate.status() << '\n';
    return 1;
  }
  auto plain = rpc::Server::Start({}, {});
  auto tls = rpc::Server::Start({.certificate = &*certificate}, {});
  if (!plain.ok() || !tls.ok()) {
    std::cerr << plain.status() << ' ' << tls.status() << '\n';
    return 1;
  }
  (*plain)->SetServing(true);
  (*tls)->SetServing(true);
  std::cout << absl::StreamFormat("{\"plain\": %d, \"tls\": %d}", (*plain)->port(), (*tls)->port()) << std::endl;
  while (std::getchar() != EOF) {
  }
  (*plain)->Drain(absl::Seconds(2));
  (*tls)->Drain(absl::Seconds(2));
  return 0;
}
