// Alice and Bob at one gateway or two, of which one is killed in the middle of it (inbox_kill_test.py): she sends with
// many messages under way, he reads; what each of them is told goes to standard output, a line each.
//
//   mailer ALICES BOBS FOLDER ack|keep TIME FIRST IN_FLIGHT [NUMBER…]     sends the NUMBERs again, then FIRST, …
//   mailer BOBS FOLDER drain                                              reads what waits, to the last
//
// ALICES and BOBS are their gateways, their keys FOLDER/alice.pem and FOLDER/bob.pem. Message n has the id "n" and is
// dated TIME (Unix seconds), so that it has the same bytes whenever it is sent: others would be a replay. Even ones go
// over one call (Ask), odd ones are calls of their own (Send), each without the SDK's second try. Prints
// "ready", then "begun N" before a message is sent, "sent N" or "again N" (it had come before) once the gateway has
// taken it, "got SEQUENCE N" when Bob has it, "acked SEQUENCE" behind it once he has acknowledged it (`keep`: he does
// not), and ends when a gateway does. Where that is hers alone, "settled" says that his has taken note of all that he
// has acknowledged. A refusal is an error.
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
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "common/base/status.h"
#include "common/crypto/key_file.h"
#include "sdk/cpp/agent.h"
#include "sdk/cpp/ask_call.h"
#include "sdk/cpp/gateway_client.h"

namespace dotagent::sdk {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(20);
// What Bob's gateway needs for what it has taken, once nothing more comes.
constexpr absl::Duration kQuiet = absl::Milliseconds(200);
// Whoever sends the same again and again without a pause is quarantined for it.
constexpr absl::Duration kBetweenTries = absl::Milliseconds(200);

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

std::shared_ptr<const crypto::Signer> KeyOf(const std::string& folder, const std::string& name) {
  auto key = crypto::ReadKeyFile(absl::StrCat(folder, "/", name, ".pem"), std::nullopt);
  if (!key.ok()) Fail(key.status().ToString());
  return std::make_shared<const crypto::SigningKey>(*std::move(key));
}

GatewayOptions OptionsOf(const std::string& gateway) {
  return {.gateway = gateway, .known_nodes = "", .timeout = kPatience};
}

std::unique_ptr<Agent> ConnectBob(const std::string& gateway, const std::string& folder) {
  auto agent = Agent::Connect({.gateway = OptionsOf(gateway), .name = "bob.agent"}, KeyOf(folder, "bob"));
  if (!agent.ok()) Fail(agent.status().ToString());
  return *std::move(agent);
}

std::unique_ptr<Inbox> Open(Agent& agent) {
  auto inbox = agent.OpenInbox({});
  if (!inbox.ok()) Fail(inbox.status().ToString());
  return *std::move(inbox);
}

class Alice {
 public:
  Alice(const std::string& gateway, const std::string& folder) : client_(Connect(gateway, folder)), call_(client_) {}

  [[nodiscard]] const crypto::Signer& key() const { return client_->key(); }
  absl::StatusOr<gateway::v1::SendResponse> Send(const gateway::v1::SendRequest& request, bool over_call) {
    if (over_call) return call_.Send(request, absl::Now() + kPatience);
    gateway::v1::SendResponse response;
    RETURN_IF_ERROR(
        client_->Run([&](grpc::ClientContext& context) { return client_->stub().Send(&context, request, &response); }));
    return response;
  }
  bool GatewayAnswers() {
    gateway::v1::GetInfoResponse info;
    return client_
        ->Run([&](grpc::ClientContext& context) {
          return client_->stub().GetInfo(&context, gateway::v1::GetInfoRequest(), &info);
        })
        .ok();
  }

 private:
  static std::shared_ptr<GatewayClient> Connect(const std::string& gateway, const std::string& folder) {
    auto client = GatewayClient::Connect(OptionsOf(gateway), KeyOf(folder, "alice"));
    if (!client.ok()) Fail(client.status().ToString());
    return *std::move(client);
  }

  const std::shared_ptr<GatewayClient> client_;
  AskCall call_;
};

enum class Heard { kMessage, kNothing, kTheEnd };

Heard ReadOne(Inbox& inbox, bool acknowledge, absl::Duration patience) {
  const auto item = inbox.Next(patience);
  if (absl::IsDeadlineExceeded(item.status())) return Heard::kNothing;
  if (!item.ok()) {
    if (GatewayGone(item.status())) return Heard::kTheEnd;
    Fail(item.status().ToString());
  }
  const auto* received = std::get_if<ReceivedMessage>(&*item);
  if (received == nullptr) {
    const auto* rejected = std::get_if<RejectedMessage>(&*item);
    // The sender's record could not be looked up, mostly because the gateway has died; it is delivered again.
    if (rejected != nullptr && rejected->undecided()) return Heard::kTheEnd;
    Fail(rejected != nullptr ? rejected->why.ToString() : "a channel is offered");
  }
  Say(absl::StrCat("got ", received->sequence, " ", received->message.id()));
  if (!acknowledge) return Heard::kMessage;
  if (!inbox.Ack(received->sequence).ok()) return Heard::kTheEnd;
  Say(absl::StrCat("acked ", received->sequence));
  return Heard::kMessage;
}

enum class Sent { kTaken, kUnreachable, kNowhere };

// Sends message `number`. kUnreachable: her gateway does not reach his, and says `why`; kNowhere: hers has gone.
Sent SendOne(Alice& alice, absl::Time dated, uint64_t number, absl::Status* why) {
  record::MessageFields fields{
      .id = absl::StrCat(number), .sender = "alice.agent", .recipient = "bob.agent", .timestamp = dated};
  fields.content["text"] = std::string(200, 'x');
  const auto message = record::Message::Sign(fields, alice.key());
  if (!message.ok()) Fail(message.status().ToString());
  gateway::v1::SendRequest request;
  request.set_message_json(message->json());
  Say(absl::StrCat("begun ", number));
  const auto sent = alice.Send(request, number % 2 == 0);
  if (!sent.ok()) {
    *why = sent.status();
    // He has moved, and hers has not heard of it yet: to be sent again, as it says.
    if (ReasonOf(*why) == reason::kBadAddress) return Sent::kUnreachable;
    if (!GatewayGone(*why)) Fail(why->ToString());
    return alice.GatewayAnswers() ? Sent::kUnreachable : Sent::kNowhere;
  }
  Say(absl::StrCat(sent->duplicate() ? "again " : "sent ", number));
  return Sent::kTaken;
}

int Drain(const std::string& gateway, const std::string& folder) {
  const auto bob = ConnectBob(gateway, folder);
  const auto inbox = Open(*bob);
  Say("ready");
  for (uint64_t left = inbox->pending(); left > 0; --left) {
    if (ReadOne(*inbox, true, kPatience) != Heard::kMessage) Fail("the inbox ended before all that waited had come");
  }
  Say("done");
  return 0;
}

struct Work {
  std::string alices;
  std::string bobs;
  std::string folder;
  bool acknowledge = false;
  absl::Time dated;
  uint64_t first = 0;
  int in_flight = 0;
  std::vector<uint64_t> again = {};
};

// Reads on, acknowledging, until his gateway says that nothing waits any more: what was acknowledged is then forgotten.
// False: the gateway has gone.
bool Settle(Agent& bob, Inbox& inbox) {
  const absl::Time deadline = absl::Now() + kPatience;
  while (Open(bob)->pending() > 0) {
    if (absl::Now() > deadline) Fail("what Bob has acknowledged waits for him still");
    if (ReadOne(inbox, true, kQuiet) == Heard::kTheEnd) return false;
  }
  return true;
}

int SendAndRead(const Work& work) {
  Alice alice(work.alices, work.folder);
  const auto bob = ConnectBob(work.bobs, work.folder);
  const auto inbox = Open(*bob);
  Say("ready");
  std::atomic<uint64_t> next = 0;
  absl::Notification his_gone;
  std::atomic<int> sending = work.in_flight;
  // His gateway may have been away a moment ago: hers finds it again, or there is something wrong.
  const auto send = [&](uint64_t number) {
    const absl::Time deadline = absl::Now() + kPatience;
    absl::Status why;
    Sent sent = SendOne(alice, work.dated, number, &why);
    while (sent == Sent::kUnreachable && !his_gone.HasBeenNotified()) {
      if (absl::Now() > deadline) Fail(absl::StrCat("Alice's gateway does not find Bob's again: ", why.ToString()));
      if (his_gone.WaitForNotificationWithTimeout(kBetweenTries)) break;
      sent = SendOne(alice, work.dated, number, &why);
    }
    return sent == Sent::kTaken;
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < work.in_flight; ++i) {
    threads.emplace_back([&] {
      for (bool gone = false; !gone;) {
        const uint64_t index = next++;
        const uint64_t count = work.again.size();
        gone = !send(index < count ? work.again[index] : work.first + index - count);
      }
      --sending;
    });
  }
  // Where it is hers that has gone, his goes on with what it has.
  Heard heard = Heard::kMessage;
  for (bool quiet = false; heard != Heard::kTheEnd && !(heard == Heard::kNothing && quiet);) {
    quiet = sending == 0;
    heard = ReadOne(*inbox, work.acknowledge, kQuiet);
  }
  if (heard == Heard::kTheEnd) his_gone.Notify();
  for (std::thread& thread : threads) thread.join();
  if (work.acknowledge && heard != Heard::kTheEnd && Settle(*bob, *inbox)) Say("settled");
  return 0;
}

}  // namespace
}  // namespace dotagent::sdk

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments.size() == 3 && arguments[2] == "drain") return dotagent::sdk::Drain(arguments[0], arguments[1]);
  if (arguments.size() < 7 || (arguments[3] != "ack" && arguments[3] != "keep")) {
    std::fputs(
        "usage: mailer ALICES BOBS FOLDER ack|keep TIME FIRST IN_FLIGHT [NUMBER...]\n       mailer BOBS FOLDER drain\n",
        stderr);
    return 2;
  }
  const auto number = [&](size_t i) { return std::strtoull(arguments[i].c_str(), nullptr, 10); };
  dotagent::sdk::Work work{.alices = arguments[0],
                           .bobs = arguments[1],
                           .folder = arguments[2],
                           .acknowledge = arguments[3] == "ack",
                           .dated = absl::FromUnixSeconds(static_cast<int64_t>(number(4))),
                           .first = number(5),
                           .in_flight = static_cast<int>(number(6))};
  for (size_t i = 7; i < arguments.size(); ++i) work.again.push_back(number(i));
  return dotagent::sdk::SendAndRead(work);
}
