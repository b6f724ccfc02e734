#include "tests/bench/two_agents.h"

#include <iostream>
#include <utility>
#include <variant>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/base/status.h"
#include "common/record/message.h"
#include "tests/bench/resolver_client.h"

namespace dotagent::bench {
namespace {

constexpr char kAlice[] = "alice.bench.agent";
constexpr char kBob[] = "bob.bench.agent";
constexpr char kEcho[] = "echo";
constexpr char kSink[] = "sink";
constexpr size_t kRead = 64 * 1024;
constexpr absl::Duration kPatience = absl::Seconds(30);
constexpr int kSignatures = 500;

// What bob does is nobody's to wait for, so what goes wrong there is told here and shows in alice's figures.
void Say(const absl::Status& status) { std::cerr << "bob: " << status << std::endl; }

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
  ASSIGN_OR_RETURN(two->bob_, sdk::Agent::Connect({.gateway = {.gateway = two->gateways_.back().grpc}, .name = kBob},
                                                  two->bobs_key_));
  RETURN_IF_ERROR(two->alice_->Register({}).status());
  RETURN_IF_ERROR(two->bob_->Register({}).status());
  ASSIGN_OR_RETURN(two->inbox_, two->bob_->OpenInbox({.accept_channels = true, .accept_requests = true}));
  two->server_ = std::thread([bob = two.get()] { bob->Serve(); });
  return two;
}

TwoAgents::~TwoAgents() {
  if (inbox_) inbox_->Cancel();
  if (server_.joinable()) server_.join();
  for (std::thread& channel : channels_) channel.join();
}

void TwoAgents::Serve() {
  for (;;) {
    absl::StatusOr<sdk::InboxItem> item = inbox_->Next(absl::Hours(1));
    if (!item.ok()) {
      if (!absl::IsCancelled(item.status())) Say(item.status());
      return;
    }
    if (const auto* request = std::get_if<sdk::ReceivedRequest>(&*item)) {
      const absl::Status answered = inbox_->Answer(*request, request->message.content());
      if (!answered.ok()) Say(answered);
    } else if (const auto* offer = std::get_if<sdk::ChannelOffer>(&*item)) {
      auto channel = bob_->AcceptChannel(*offer);
      if (!channel.ok()) {
        Say(channel.status());
        continue;
      }
      const Role role = offer->method == kSink ? Role::kSink : Role::kEcho;
      channels_.emplace_back(
          [shared = std::shared_ptr<sdk::Channel>(*std::move(channel)), role] { Answer(shared, role); });
    } else if (const auto* rejected = std::get_if<sdk::RejectedMessage>(&*item)) {
      Say(rejected->why);
    }
  }
}

void TwoAgents::Answer(const std::shared_ptr<sdk::Channel>& channel, Role role) {
  for (;;) {
    const absl::StatusOr<std::string> read = channel->Read(kRead);
    if (!read.ok()) return Say(read.status());
    if (read->empty()) break;
    if (role == Role::kSink) continue;
    const absl::Status written = channel->Write(*read);
    if (!written.ok()) return Say(written);
  }
  absl::Status closed = channel->CloseWrite();
  if (closed.ok()) closed = channel->Finish(kPatience);
  if (!closed.ok()) Say(closed);
}

absl::Status TwoAgents::Ask(const record::Json& content) {
  return alice_->Request({.recipient = kBob, .content = content}, kPatience).status();
}

absl::StatusOr<std::unique_ptr<sdk::Channel>> TwoAgents::OpenChannel(Role role) {
  return alice_->OpenChannel(kBob, {.method = role == Role::kSink ? kSink : kEcho});
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
