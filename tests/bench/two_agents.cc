#include "tests/bench/two_agents.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/base/status.h"
#include "common/record/message.h"
#include "tests/bench/resolver_client.h"

namespace dotagent::bench {
namespace {

constexpr char kAlice[] = "alice.bench.agent";
constexpr char kBob[] = "bob.bench.agent";
constexpr char kSink[] = "sink";
constexpr absl::Duration kPatience = absl::Seconds(30);
constexpr int kSignatures = 500;

}  // namespace

absl::StatusOr<std::unique_ptr<TwoAgents>> TwoAgents::Start(const std::string& programs, bool two_gateways) {
  std::unique_ptr<TwoAgents> two(new TwoAgents());
  ASSIGN_OR_RETURN(two->resolver_, StartResolver(programs, two->folder_.Path("resolver"), "127.0.0.1", ""));
  for (size_t i = 0; i < (two_gateways ? 2 : 1); ++i) {
    ASSIGN_OR_RETURN(two->gateways_.emplace_back(),
                     StartService(programs, "gateway", two->folder_.Path("gateway-" + std::to_string(i)), "127.0.0.1",
                                  {"--resolver", two->resolver_.grpc}));
  }
  ASSIGN_OR_RETURN(
      two->alice_,
      sdk::Agent::Connect({.gateway = {.gateway = two->gateways_.front().grpc}, .name = kAlice}, two->alices_key_));
  RETURN_IF_ERROR(two->alice_->Register({}).status());
  ASSIGN_OR_RETURN(
      two->bob_, Process::Start({absl::StrCat(programs, "/bench-answering-agent"), two->gateways_.back().grpc, kBob}));
  RETURN_IF_ERROR(two->bob_->ReadLine(kPatience).status());
  return two;
}

absl::Status TwoAgents::Ask(const record::Json& content) {
  return alice_->Request({.recipient = kBob, .content = content}, kPatience).status();
}

absl::StatusOr<std::unique_ptr<sdk::Channel>> TwoAgents::OpenSink() {
  return alice_->OpenChannel(kBob, {.method = kSink});
}

absl::StatusOr<std::unique_ptr<sdk::Channel>> TwoAgents::OpenEcho(size_t message_bytes) {
  return alice_->OpenChannel(kBob, {.method = absl::StrCat("echo/", message_bytes)});
}

absl::StatusOr<double> TwoAgents::SignatureCost(const record::Json& content) const {
  ASSIGN_OR_RETURN(const record::Message message, record::Message::Sign({.id = "m1",
                                                                         .type = record::MessageType::kRequest,
                                                                         .sender = kAlice,
                                                                         .recipient = kBob,
                                                                         .timestamp = absl::Now(),
                                                                         .content = content},
                                                                        *alices_key_));
  absl::Duration signing;
  absl::Duration checking;
  for (int i = 0; i < kSignatures; ++i) {
    const absl::Time begun = absl::Now();
    ASSIGN_OR_RETURN(const std::string signature, alices_key_->Sign(message.json()));
    const absl::Time made = absl::Now();
    RETURN_IF_ERROR(crypto::Verify(alices_key_->public_key(), message.json(), signature));
    signing += made - begun;
    checking += absl::Now() - made;
  }
  return absl::ToDoubleMicroseconds(2 * signing + 4 * checking) / kSignatures;
}

}  // namespace dotagent::bench
