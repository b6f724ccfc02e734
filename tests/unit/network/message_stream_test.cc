// Streams of messages between agents of the SDK, over the services as they run.
#include "sdk/cpp/message_stream.h"

#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <variant>

#include "absl/strings/str_format.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "sdk/cpp/agent.h"
#include "tests/unit/network/live_services.h"

namespace dotagent::sdk {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(30);

class LiveStreamTest : public LiveServices {
 protected:
  // The agent of that name, wherever it is: with the same key at each gateway.
  std::unique_ptr<Agent> Settle(const std::string& gateway, const std::string& name) {
    if (keys_[name] == nullptr) {
      keys_[name] = std::make_shared<const crypto::SigningKey>(crypto::SigningKey::Generate(random_));
    }
    auto agent = Agent::Connect({.gateway = {.gateway = gateway}, .name = name}, keys_[name]);
    EXPECT_TRUE(agent.ok()) << agent.status();
    if (!agent.ok()) return nullptr;
    const auto registered = (*agent)->Register({});
    EXPECT_TRUE(registered.ok()) << registered.status();
    return *std::move(agent);
  }

  struct Ends {
    std::unique_ptr<MessageStream> caller;
    std::unique_ptr<MessageStream> callee;
  };
  // Alice calls Bob, who takes it. A record that was published a moment ago may not be everywhere yet.
  Ends Connect(Agent& alice, Agent& bob) {
    Ends ends;
    const auto inbox = bob.OpenInbox({.accept_channels = true});
    EXPECT_TRUE(inbox.ok()) << inbox.status();
    if (!inbox.ok()) return ends;
    std::thread takes([&] {
      while (ends.callee == nullptr) {
        const auto item = (*inbox)->Next(kPatience);
        if (!item.ok()) return;
        auto accepted = bob.AcceptStream(std::get<ChannelOffer>(*item));
        if (accepted.ok()) ends.callee = *std::move(accepted);
      }
    });
    const absl::Time deadline = absl::Now() + kPatience;
    auto called = alice.OpenStream(bob.name());
    while (!called.ok() && absl::Now() < deadline) called = alice.OpenStream(bob.name());
    EXPECT_TRUE(called.ok()) << called.status();
    if (called.ok()) {
      ends.caller = *std::move(called);
    } else {
      (*inbox)->Cancel();
    }
    takes.join();
    return ends;
  }

  SystemRandom random_;
  std::map<std::string, std::shared_ptr<const crypto::SigningKey>> keys_;
};

// The number that a message carries.
int NumberIn(const absl::StatusOr<std::optional<StreamedMessage>>& next) {
  if (!next.ok() || !next->has_value()) return -1;
  return std::stoi((*next)->attachment.substr(0, 8));
}

// Nothing between the two, in two gateways and two agents, keeps more than its buffers.
TEST_F(LiveStreamTest, WhoSendsWaitsForASlowReaderAtAnotherGateway) {
  const auto alice = Settle(StartGateway("one", false), "alice.agent");
  const auto bob = Settle(StartGateway("two", false), "bob.agent");
  Ends ends = Connect(*alice, *bob);
  ASSERT_NE(ends.caller, nullptr);
  ASSERT_NE(ends.callee, nullptr);

  constexpr int kMessages = 512;
  constexpr int kBuffered = 64;  // 4 MiB: the ends' own buffers, whatever the gateways could hold beside
  const std::string body(64 * 1024, 'x');
  std::atomic<int> sent{0};
  std::thread sends([&] {
    for (int i = 0; i < kMessages; ++i) {
      if (!ends.caller->SendAttachment(absl::StrFormat("%08d", i) + body, "application/octet-stream").ok()) return;
      ++sent;
    }
    EXPECT_TRUE(ends.caller->CloseWrite().ok());
  });
  // Bob reads nothing until she stands still. Were she not held up, she would end with all of them.
  int before = -1;
  while (sent != before) {
    before = sent;
    absl::Notification never;
    never.WaitForNotificationWithTimeout(absl::Milliseconds(300));
  }
  EXPECT_GT(before, 0);
  EXPECT_LT(before, kBuffered);
  for (int i = 0; i < kMessages; ++i) ASSERT_EQ(NumberIn(ends.callee->Next()), i);
  const auto end = ends.callee->Next();
  ASSERT_TRUE(end.ok()) << end.status();
  EXPECT_FALSE(end->has_value());
  sends.join();
  EXPECT_EQ(sent, kMessages);
}

// Bob changes gateways in the middle of a stream: what he has read is in order, the stream ends for both with a reason
// that says that it is the way and not the agent, and Alice goes on at his new gateway where he left off.
TEST_F(LiveStreamTest, ACalleeThatMovesIsCalledAgainWhereItLivesNow) {
  const auto alice = Settle(StartGateway("one", false), "alice.agent");
  auto bob = Settle(StartGateway("two", false), "bob.agent");
  const std::string third = StartGateway("three", false);
  Ends ends = Connect(*alice, *bob);
  ASSERT_NE(ends.caller, nullptr);
  ASSERT_NE(ends.callee, nullptr);

  std::atomic<int> sent{0};
  absl::Status ended;
  std::thread sends([&] {
    const std::string body(64 * 1024, 'x');
    while (ended.ok()) {
      ended = ends.caller->SendAttachment(absl::StrFormat("%08d", sent.load()) + body, "application/octet-stream");
      if (ended.ok()) ++sent;
    }
  });
  int read = 0;
  while (read < 20) {
    ASSERT_EQ(NumberIn(ends.callee->Next()), read);
    ++read;
  }
  const auto moved = Settle(third, "bob.agent");
  StopGateway("two");
  for (int number = NumberIn(ends.callee->Next()); number >= 0; number = NumberIn(ends.callee->Next())) {
    ASSERT_EQ(number, read);
    ++read;
  }
  const absl::Time stopped = absl::Now();
  sends.join();
  EXPECT_LT(absl::Now() - stopped, absl::Seconds(25)) << "the keep-alive's bound";
  EXPECT_TRUE(absl::IsUnavailable(ended)) << ended;
  EXPECT_LE(read, sent);

  ends = Connect(*alice, *moved);
  ASSERT_NE(ends.caller, nullptr);
  ASSERT_NE(ends.callee, nullptr);
  ASSERT_TRUE(ends.caller->SendAttachment(absl::StrFormat("%08d", read), "application/octet-stream").ok());
  EXPECT_EQ(NumberIn(ends.callee->Next()), read);
}

}  // namespace
}  // namespace dotagent::sdk
