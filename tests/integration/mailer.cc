// Alice and Bob at one gateway that is killed in the middle of it (inbox_kill_test.py): she sends with many messages
// under way, he reads; what each of them is told goes to standard output, a line each.
//
//   mailer GATEWAY FOLDER ack|keep FIRST IN_FLIGHT [NUMBER…]     sends the NUMBERs again, then FIRST, FIRST + 1, …
//   mailer GATEWAY FOLDER drain                                  reads what waits, to the last
//
// Their keys are FOLDER/alice.pem and FOLDER/bob.pem. Message n has the id "n". Prints "ready", then "begun N" before a
// message is sent, "sent N" or "again N" (it had come before) once the gateway has taken it, "got SEQUENCE N" when Bob
// has it, before he acknowledges it (`keep`: he does not), and ends when the gateway does. A refusal is an error.
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "common/base/status.h"
#include "common/crypto/key_file.h"
#include "sdk/cpp/agent.h"

namespace dotagent::sdk {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(20);

[[noreturn]] void Fail(absl::string_view what) {
  std::fprintf(stderr, "mailer: %.*s\n", static_cast<int>(what.size()), what.data());
  std::_Exit(1);
}

void Say(const std::string& line) {
  static absl::Mutex mutex(absl::kConstInit);
  const absl::MutexLock lock(&mutex);
  std::puts(line.c_str());
  std::fflush(stdout);
}

// What a gateway that dies leaves of a call.
bool GatewayGone(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) || absl::IsCancelled(status);
}

std::unique_ptr<Agent> Connect(const std::string& gateway, const std::string& folder, const std::string& name) {
  auto key = crypto::ReadKeyFile(absl::StrCat(folder, "/", name, ".pem"), std::nullopt);
  if (!key.ok()) Fail(key.status().ToString());
  auto agent = Agent::Connect(
      {.gateway = {.gateway = gateway, .known_nodes = "", .timeout = kPatience}, .name = absl::StrCat(name, ".agent")},
      std::make_shared<const crypto::SigningKey>(*std::move(key)));
  if (!agent.ok()) Fail(agent.status().ToString());
  return *std::move(agent);
}

std::unique_ptr<Inbox> Open(Agent& agent) {
  auto inbox = agent.OpenInbox({});
  if (!inbox.ok()) Fail(inbox.status().ToString());
  return *std::move(inbox);
}

// Returns false once the inbox has ended.
bool ReadOne(Inbox& inbox, bool acknowledge) {
  const auto item = inbox.Next(kPatience);
  if (!item.ok()) {
    if (GatewayGone(item.status())) return false;
    Fail(item.status().ToString());
  }
  const auto* received = std::get_if<ReceivedMessage>(&*item);
  if (received == nullptr) {
    const auto* rejected = std::get_if<RejectedMessage>(&*item);
    // The gateway died before the sender's record could be looked up.
    if (rejected != nullptr && rejected->undecided()) return false;
    Fail(rejected != nullptr ? rejected->why.ToString() : "a channel is offered");
  }
  Say(absl::StrCat("got ", received->sequence, " ", received->message.id()));
  return !acknowledge || inbox.Ack(received->sequence).ok();
}

// Sends message `number`; returns false once the gateway has gone.
bool SendOne(GatewayClient& alice, uint64_t number) {
  record::MessageFields fields{
      .id = absl::StrCat(number), .sender = "alice.agent", .recipient = "bob.agent", .timestamp = absl::Now()};
  fields.content["text"] = std::string(200, 'x');
  const auto message = record::Message::Sign(fields, alice.key());
  if (!message.ok()) Fail(message.status().ToString());
  gateway::v1::SendRequest request;
  request.set_message_json(message->json());
  gateway::v1::SendResponse response;
  Say(absl::StrCat("begun ", number));
  const absl::Status sent =
      alice.Run([&](grpc::ClientContext& context) { return alice.stub().Send(&context, request, &response); });
  if (!sent.ok()) {
    if (GatewayGone(sent)) return false;
    Fail(sent.ToString());
  }
  Say(absl::StrCat(response.duplicate() ? "again " : "sent ", number));
  return true;
}

int Drain(const std::string& gateway, const std::string& folder) {
  const auto bob = Connect(gateway, folder, "bob");
  const auto inbox = Open(*bob);
  Say("ready");
  for (uint64_t left = inbox->pending(); left > 0; --left) {
    if (!ReadOne(*inbox, true)) Fail("the inbox ended before all that waited had come");
  }
  Say("done");
  return 0;
}

int SendAndRead(const std::string& gateway, const std::string& folder, bool acknowledge, uint64_t first, int in_flight,
                const std::vector<uint64_t>& again) {
  const auto alice = Connect(gateway, folder, "alice");
  const auto bob = Connect(gateway, folder, "bob");
  const auto inbox = Open(*bob);
  Say("ready");
  std::atomic<uint64_t> next = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < in_flight; ++i) {
    threads.emplace_back([&] {
      for (bool gone = false; !gone;) {
        const uint64_t index = next++;
        gone = !SendOne(alice->gateway(), index < again.size() ? again[index] : first + index - again.size());
      }
    });
  }
  while (ReadOne(*inbox, acknowledge)) {
  }
  for (std::thread& thread : threads) thread.join();
  return 0;
}

}  // namespace
}  // namespace dotagent::sdk

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments.size() == 3 && arguments[2] == "drain") return dotagent::sdk::Drain(arguments[0], arguments[1]);
  if (arguments.size() < 5 || (arguments[2] != "ack" && arguments[2] != "keep")) {
    std::fputs(
        "usage: mailer GATEWAY FOLDER ack|keep FIRST IN_FLIGHT [NUMBER...]\n       mailer GATEWAY FOLDER drain\n",
        stderr);
    return 2;
  }
  const auto number = [&](size_t i) { return std::strtoull(arguments[i].c_str(), nullptr, 10); };
  std::vector<uint64_t> again;
  for (size_t i = 5; i < arguments.size(); ++i) again.push_back(number(i));
  return dotagent::sdk::SendAndRead(arguments[0], arguments[1], arguments[2] == "ack", number(3),
                                    static_cast<int>(number(4)), again);
}
