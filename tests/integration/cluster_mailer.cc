// Agents of a cluster whose gateways come and go (cluster_test.py): Alice sends to all of the others, each of whom
// reads; whoever loses its gateway goes to the next. What they are told goes to standard output, a line each.
//
//   cluster_mailer READERS GATEWAY…
//
// Lines in: "gateways GATEWAY…" (where they go from then on), "register" (all sign their records anew), "stop" (Alice
// sends no more), "end" (the others read no more either). Lines out: "ready"; "sent N" once a gateway has confirmed
// message N; "got N" when it is delivered, each time; "refused N REASON" each time that it is turned away, and sent
// again; "registered"; "all" once all that was confirmed before "stop" has come; "done".
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "sdk/cpp/agent.h"

namespace dotagent::sdk {
namespace {

constexpr int kSenders = 4;
constexpr absl::Duration kTimeout = absl::Seconds(10);

[[noreturn]] void Fail(absl::string_view what) {
  std::fprintf(stderr, "cluster_mailer: %.*s\n", static_cast<int>(what.size()), what.data());
  std::_Exit(1);
}

void Say(const std::string& line) {
  static absl::Mutex mutex(absl::kConstInit);
  const absl::MutexLock lock(&mutex);
  std::puts(line.c_str());
  std::fflush(stdout);
}

// What a gateway that comes or goes says, or leaves of a call; anything else is a fault.
bool IsPassing(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) || absl::IsCancelled(status) ||
         ReasonOf(status) == reason::kNotAuthenticated || ReasonOf(status) == reason::kSuperseded;
}

class World {
 public:
  explicit World(std::vector<std::string> gateways) : gateways_(std::move(gateways)) {}

  void SetGateways(std::vector<std::string> gateways) {
    const absl::MutexLock lock(&mutex_);
    gateways_ = std::move(gateways);
  }
  [[nodiscard]] std::string Gateway(size_t number) {
    const absl::MutexLock lock(&mutex_);
    return gateways_[number % gateways_.size()];
  }
  void Sent(uint64_t number) {
    Say(absl::StrCat("sent ", number));
    const absl::MutexLock lock(&mutex_);
    if (!got_.contains(number)) missing_.insert(number);
  }
  void Got(uint64_t number) {
    Say(absl::StrCat("got ", number));
    const absl::MutexLock lock(&mutex_);
    got_.insert(number);
    missing_.erase(number);
  }
  [[nodiscard]] bool AwaitAll(absl::Duration timeout) {
    const absl::MutexLock lock(&mutex_);
    return mutex_.AwaitWithTimeout(absl::Condition(this, &World::HasAll), timeout);
  }
  [[nodiscard]] size_t missing() {
    const absl::MutexLock lock(&mutex_);
    return missing_.size();
  }

  std::atomic<bool> stopping = false;  // Alice
  std::atomic<bool> over = false;      // the others
  std::atomic<uint64_t> next = 1;

 private:
  [[nodiscard]] bool HasAll() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return missing_.empty(); }

  absl::Mutex mutex_;
  std::vector<std::string> gateways_ ABSL_GUARDED_BY(mutex_);
  std::set<uint64_t> got_ ABSL_GUARDED_BY(mutex_);
  std::set<uint64_t> missing_ ABSL_GUARDED_BY(mutex_);  // confirmed, and not delivered yet
};

// An agent that goes from gateway to gateway.
class Traveller {
 public:
  Traveller(World& world, std::string name, std::shared_ptr<const crypto::SigningKey> key, size_t first)
      : world_(world), name_(std::move(name)), key_(std::move(key)), next_(first) {}

  // Connected somewhere; nullptr if it is over before.
  Agent* Connect() {
    while (agent_ == nullptr && !world_.over) {
      auto agent = Agent::Connect(
          {.gateway = {.gateway = world_.Gateway(next_++), .known_nodes = "", .timeout = kTimeout}, .name = name_},
          key_);
      if (agent.ok()) {
        agent_ = *std::move(agent);
      } else if (!IsPassing(agent.status())) {
        Fail(agent.status().ToString());
      }
    }
    return agent_.get();
  }
  void Leave() { agent_ = nullptr; }
  void Register() {
    while (Agent* const agent = Connect()) {
      const auto registered = agent->Register({});
      if (registered.ok()) return;
      // The resolver may not have found its nodes yet.
      if (!IsPassing(registered.status()) && ReasonOf(registered.status()) != reason::kNotBootstrapped) {
        Fail(registered.status().ToString());
      }
      Leave();
    }
  }

 private:
  World& world_;
  const std::string name_;
  const std::shared_ptr<const crypto::SigningKey> key_;
  size_t next_;
  std::unique_ptr<Agent> agent_;
};

// Sends the next message until it is confirmed, whatever happens to gateways.
void SendOne(World& world, Traveller& alice, const crypto::SigningKey& key, size_t readers) {
  const uint64_t number = world.next++;
  record::MessageFields fields{.id = absl::StrCat(number),
                               .sender = "alice.agent",
                               .recipient = absl::StrCat("bob-", number % readers, ".agent"),
                               .timestamp = absl::Now()};
  fields.content["text"] = std::string(500, 'x');
  const auto message = record::Message::Sign(fields, key);
  if (!message.ok()) Fail(message.status().ToString());
  gateway::v1::SendRequest request;
  request.set_message_json(message->json());
  while (Agent* const agent = alice.Connect()) {
    gateway::v1::SendResponse response;
    GatewayClient& client = agent->gateway();
    const absl::Status sent =
        client.Run([&](grpc::ClientContext& context) { return client.stub().Send(&context, request, &response); });
    if (sent.ok()) return world.Sent(number);
    if (!IsPassing(sent)) Fail(sent.ToString());
    Say(absl::StrCat("refused ", number, " ", ReasonOf(sent)));
    alice.Leave();
  }
}

// Reads and acknowledges until it is over.
void Read(World& world, Traveller& reader) {
  while (Agent* const agent = reader.Connect()) {
    const auto inbox = agent->OpenInbox({});
    if (!inbox.ok() && !IsPassing(inbox.status())) Fail(inbox.status().ToString());
    bool open = inbox.ok();
    while (open && !world.over) {
      const auto item = (*inbox)->Next(absl::Milliseconds(200));
      if (absl::IsDeadlineExceeded(item.status())) continue;
      if (!item.ok() && !IsPassing(item.status())) Fail(item.status().ToString());
      const auto* received = item.ok() ? std::get_if<ReceivedMessage>(&*item) : nullptr;
      const auto* rejected = item.ok() ? std::get_if<RejectedMessage>(&*item) : nullptr;
      if (rejected != nullptr && !rejected->undecided()) Fail(rejected->why.ToString());
      open = received != nullptr;
      uint64_t number = 0;
      if (!open || !absl::SimpleAtoi(received->message.id(), &number)) continue;
      world.Got(number);
      open = (*inbox)->Ack(received->sequence).ok();
    }
    reader.Leave();
  }
}

std::shared_ptr<const crypto::SigningKey> NewKey() {
  SystemRandom random;
  return std::make_shared<const crypto::SigningKey>(crypto::SigningKey::Generate(random));
}

int Run(size_t readers, std::vector<std::string> gateways) {
  World world(std::move(gateways));
  const auto alice_key = NewKey();
  std::vector<std::shared_ptr<const crypto::SigningKey>> keys;
  for (size_t i = 0; i < readers; ++i) keys.push_back(NewKey());
  const auto name = [](size_t i) { return absl::StrCat("bob-", i, ".agent"); };
  const auto register_all = [&] {
    Traveller(world, "alice.agent", alice_key, 0).Register();
    for (size_t i = 0; i < readers; ++i) Traveller(world, name(i), keys[i], i).Register();
  };
  register_all();
  Say("ready");
  std::vector<std::thread> senders;
  std::vector<std::thread> others;
  for (int i = 0; i < kSenders; ++i) {
    senders.emplace_back([&world, &alice_key, readers, i] {
      Traveller alice(world, "alice.agent", alice_key, i);
      while (!world.stopping) SendOne(world, alice, *alice_key, readers);
    });
  }
  for (size_t i = 0; i < readers; ++i) {
    others.emplace_back([&, i] {
      Traveller reader(world, name(i), keys[i], i);
      Read(world, reader);
    });
  }
  for (std::string line; std::getline(std::cin, line) && line != "stop";) {
    std::vector<std::string> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
    if (words.empty()) continue;
    if (words[0] == "register") {
      register_all();
      Say("registered");
    } else {
      words.erase(words.begin());
      world.SetGateways(std::move(words));
    }
  }
  world.stopping = true;
  for (std::thread& thread : senders) thread.join();
  if (!world.AwaitAll(absl::Seconds(60)))
    Fail(absl::StrCat(world.missing(), " messages were confirmed and do not come"));
  Say("all");
  std::string end;
  std::getline(std::cin, end);
  world.over = true;
  for (std::thread& thread : others) thread.join();
  Say("done");
  return 0;
}

}  // namespace
}  // namespace dotagent::sdk

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  size_t readers = 0;
  if (arguments.size() < 2 || !absl::SimpleAtoi(arguments[0], &readers) || readers == 0) {
    std::fputs("usage: cluster_mailer READERS GATEWAY...\n", stderr);
    return 2;
  }
  return dotagent::sdk::Run(readers, {arguments.begin() + 1, arguments.end()});
}
