// An agent in a process of its own, as agents are: answers requests with what they came with, and does on a channel
// what its method says: "echo/N" sends messages of N bytes back, each when it is there as a whole; "sink" swallows.
//
//   bench-answering-agent GATEWAY NAME        prints {"name": NAME} when it listens, until standard input ends
#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/crypto/keys.h"
#include "common/record/canonical_json.h"
#include "sdk/cpp/agent.h"

namespace dotagent::bench {
namespace {

constexpr size_t kRead = 64 * 1024;
constexpr absl::Duration kPatience = absl::Seconds(30);

void Say(const absl::Status& status) { std::cerr << "bench-answering-agent: " << status << std::endl; }

// `size` bytes, or nothing at the end.
absl::StatusOr<std::string> ReadMessage(sdk::Channel& channel, size_t size) {
  std::string message;
  while (message.size() < size) {
    ASSIGN_OR_RETURN(const std::string read, channel.Read(size - message.size()));
    if (read.empty()) break;
    message += read;
  }
  if (!message.empty() && message.size() < size) return absl::DataLossError("the last message is cut");
  return message;
}

// Each message is one here too: read, then written by itself.
absl::Status Echo(sdk::Channel& channel, size_t size) {
  for (;;) {
    ASSIGN_OR_RETURN(const std::string message, ReadMessage(channel, size));
    if (message.empty()) return absl::OkStatus();
    RETURN_IF_ERROR(channel.Write(message));
  }
}

absl::Status Swallow(sdk::Channel& channel) {
  for (;;) {
    ASSIGN_OR_RETURN(const std::string read, channel.Read(kRead));
    if (read.empty()) return absl::OkStatus();
  }
}

absl::Status Serve(sdk::Channel& channel, absl::string_view method) {
  size_t size = 0;
  if (absl::ConsumePrefix(&method, "echo/")) {
    if (!absl::SimpleAtoi(method, &size) || size == 0) return absl::InvalidArgumentError("echo/N wants a size");
    RETURN_IF_ERROR(Echo(channel, size));
  } else {
    RETURN_IF_ERROR(Swallow(channel));
  }
  RETURN_IF_ERROR(channel.CloseWrite());
  return channel.Finish(kPatience);
}

// Until the inbox ends; Cancelled if it was closed here.
absl::Status Listen(sdk::Agent& agent, sdk::Inbox& inbox, std::vector<std::thread>& channels) {
  for (;;) {
    ASSIGN_OR_RETURN(const sdk::InboxItem item, inbox.Next(absl::Hours(1)));
    if (const auto* request = std::get_if<sdk::ReceivedRequest>(&item)) {
      RETURN_IF_ERROR(inbox.Answer(*request, request->message.content()));
    } else if (const auto* offer = std::get_if<sdk::ChannelOffer>(&item)) {
      ASSIGN_OR_RETURN(auto channel, agent.AcceptChannel(*offer));
      channels.emplace_back([channel = std::move(channel), method = offer->method] {
        if (const absl::Status served = Serve(*channel, method); !served.ok()) Say(served);
      });
    } else if (const auto* rejected = std::get_if<sdk::RejectedMessage>(&item)) {
      return rejected->why;
    }
  }
}

absl::Status Run(const std::string& gateway, const std::string& name) {
  SystemRandom random;
  ASSIGN_OR_RETURN(
      const auto agent,
      sdk::Agent::Connect({.gateway = {.gateway = gateway}, .name = name},
                          std::make_shared<const crypto::SigningKey>(crypto::SigningKey::Generate(random))));
  RETURN_IF_ERROR(agent->Register({}).status());
  ASSIGN_OR_RETURN(const auto inbox, agent->OpenInbox({.accept_channels = true, .accept_requests = true}));
  std::cout << record::Json({{"name", name}}).dump() << std::endl;
  std::thread watch([&] {
    while (std::cin.get() != std::char_traits<char>::eof()) {
    }
    inbox->Cancel();
  });
  std::vector<std::thread> channels;
  const absl::Status ended = Listen(*agent, *inbox, channels);
  // With this process's input its owner has gone, and its channels with it.
  watch.join();
  for (std::thread& channel : channels) channel.join();
  return absl::IsCancelled(ended) ? absl::OkStatus() : ended;
}

}  // namespace
}  // namespace dotagent::bench

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: bench-answering-agent GATEWAY NAME\n";
    return 2;
  }
  const absl::Status status = dotagent::bench::Run(argv[1], argv[2]);
  if (status.ok()) return 0;
  dotagent::bench::Say(status);
  return 1;
}
