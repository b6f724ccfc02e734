// Channels over one gateway and over two.
#include "services/gateway/channels.h"

#include <gtest/gtest.h>

#include "tests/unit/gateway/fakes.h"

namespace dotagent::gateway_service {
namespace {

class ChannelsTest : public testing::Test {
 protected:
  void SetUp() override {
    alice_.Settle();
    bob_.Settle();
    bobs_inbox_ = bob_.OpenInbox();
  }

  [[nodiscard]] static gateway::v1::OpenChannelRequest Data(const std::string& bytes) {
    gateway::v1::OpenChannelRequest request;
    request.set_data(bytes);
    return request;
  }

  // The bytes that came out at an agent's end.
  [[nodiscard]] static std::string Received(const ChannelCall& call) {
    std::string bytes;
    for (const auto& response : call.received) bytes += response.data();
    return bytes;
  }

  // Alice calls Bob, who takes the call.
  void Connect() {
    alices_ = alice_.Call("bob.agent");
    ASSERT_TRUE(bobs_inbox_->received.back().has_offer());
    const auto& offer = bobs_inbox_->received.back().offer();
    EXPECT_EQ(offer.caller(), "alice.agent");
    EXPECT_EQ(offer.caller_key(), alice_.key.public_key().bytes());
    bobs_ = bob_.Accept(offer.channel_id());
    ASSERT_FALSE(alices_->received.empty());
    ASSERT_FALSE(bobs_->received.empty());
  }

  World world_;
  TestGateway one_{world_, 2};
  TestGateway two_{world_, 2};
  TestAgent alice_{world_, one_, "alice.agent"};
  TestAgent bob_{world_, two_, "bob.agent"};
  std::shared_ptr<InboxCall> bobs_inbox_;
  std::shared_ptr<ChannelCall> alices_;
  std::shared_ptr<ChannelCall> bobs_;
};

TEST_F(ChannelsTest, CarriesBytesBothWaysAndEndsWhenEitherSideHasFinished) {
  Connect();
  EXPECT_EQ(alices_->received[0].opened().path(), "direct");
  EXPECT_EQ(bobs_->received[0].opened().path(), "direct");
  std::string sent;
  for (int i = 0; i < 100; ++i) {
    sent += absl::StrCat("chunk ", i, ";");
    alices_->Send(Data(absl::StrCat("chunk ", i, ";")));
  }
  bobs_->Send(Data("answer"));
  world_.tasks.Run();
  EXPECT_EQ(Received(*bobs_), sent);
  EXPECT_EQ(Received(*alices_), "answer");

  alices_->HalfClose();
  world_.tasks.Run();
  ASSERT_TRUE(bobs_->finished && alices_->finished);
  EXPECT_TRUE(bobs_->finished->ok()) << *bobs_->finished;
  EXPECT_TRUE(alices_->finished->ok()) << *alices_->finished;
}

TEST_F(ChannelsTest, TellsThatAPathIsRelayed) {
  world_.trunks.relayed = true;
  Connect();
  EXPECT_EQ(alices_->received[0].opened().path(), "relayed");
  EXPECT_EQ(bobs_->received[0].opened().path(), "relayed");
}

TEST_F(ChannelsTest, JoinsTwoAgentsOfOneGateway) {
  TestAgent carol(world_, two_, "carol.agent");
  carol.Settle();
  const auto carols = carol.Call("bob.agent");
  const auto bobs = bob_.Accept(bobs_inbox_->received.back().offer().channel_id());
  ASSERT_EQ(carols->received.size(), 1u);
  EXPECT_EQ(carols->received[0].opened().path(), "local");
  carols->Send(Data("hello"));
  bobs->Send(Data("world"));
  world_.tasks.Run();
  EXPECT_EQ(Received(*bobs), "hello");
  EXPECT_EQ(Received(*carols), "world");
  bobs->HalfClose();
  world_.tasks.Run();
  EXPECT_TRUE(carols->finished && carols->finished->ok());
}

TEST_F(ChannelsTest, AReaderThatStallsHoldsTheWriterBack) {
  Connect();
  bobs_->stalled = true;
  const std::string chunk(1000, 'x');
  for (int i = 0; i < 50; ++i) alices_->Send(Data(chunk));
  world_.tasks.Run();
  // One chunk is on its way to Bob; the rest waits with Alice, but for one a hop.
  EXPECT_LE(Received(*bobs_).size(), chunk.size());
  bobs_->Resume();
  world_.tasks.Run();
  EXPECT_EQ(Received(*bobs_).size(), 50 * chunk.size());
}

TEST_F(ChannelsTest, RefusesCallsThatCannotBe) {
  EXPECT_EQ(ReasonOf(*alice_.Call("nobody.agent")->finished), reason::kNameNotFound);
  EXPECT_EQ(ReasonOf(*alice_.Call("not a name")->finished), reason::kBadName);
  bobs_inbox_->Cancel();
  world_.tasks.Run();
  const auto offline = alice_.Call("bob.agent");
  EXPECT_TRUE(absl::IsUnavailable(*offline->finished));
  EXPECT_EQ(ReasonOf(*offline->finished), reason::kRecipientOffline);
  const auto messages_only = bob_.OpenInbox(false);
  EXPECT_EQ(ReasonOf(*alice_.Call("bob.agent")->finished), reason::kRecipientOffline);
  world_.trunks.Leave(two_.key.public_key());
  EXPECT_EQ(ReasonOf(*alice_.Call("bob.agent")->finished), reason::kUnreachable);
}

TEST_F(ChannelsTest, AnOfferLapses) {
  const auto call = alice_.Call("bob.agent");
  const std::string id = bobs_inbox_->received.back().offer().channel_id();
  world_.clock.Advance(kOfferLifetime);
  two_.logic->Tick();
  world_.tasks.Run();
  ASSERT_TRUE(call->finished);
  EXPECT_EQ(ReasonOf(*call->finished), reason::kRecipientOffline);
  EXPECT_EQ(ReasonOf(*bob_.Accept(id)->finished), reason::kStale);
}

TEST_F(ChannelsTest, AnOfferIsForOneAgentAndGoodOnce) {
  const auto call = alice_.Call("bob.agent");
  const std::string id = bobs_inbox_->received.back().offer().channel_id();
  TestAgent eve(world_, two_, "eve.agent");
  eve.Settle();
  EXPECT_TRUE(absl::IsNotFound(*eve.Accept(id)->finished));
  const auto bobs = bob_.Accept(id);
  EXPECT_FALSE(bobs->finished);
  EXPECT_TRUE(absl::IsNotFound(*bob_.Accept(id)->finished));
}

TEST_F(ChannelsTest, ALocalCallerWhoHangsUpTakesTheOfferAlong) {
  TestAgent carol(world_, two_, "carol.agent");
  carol.Settle();
  const auto call = carol.Call("bob.agent");
  const std::string id = bobs_inbox_->received.back().offer().channel_id();
  call->Cancel();
  world_.tasks.Run();
  EXPECT_EQ(ReasonOf(*bob_.Accept(id)->finished), reason::kStale);
}

TEST_F(ChannelsTest, ACallThatSaysNothingOrNonsenseEnds) {
  auto silent = std::make_shared<ChannelCall>(world_.tasks);
  one_.logic->OpenChannel(alice_.token, silent);
  world_.tasks.Run();
  EXPECT_FALSE(silent->finished);
  world_.clock.Advance(kSetupTime);
  one_.logic->Tick();
  ASSERT_TRUE(silent->finished);
  EXPECT_TRUE(absl::IsDeadlineExceeded(*silent->finished));

  auto nonsense = std::make_shared<ChannelCall>(world_.tasks);
  nonsense->Send(Data("first"));
  one_.logic->OpenChannel(alice_.token, nonsense);
  world_.tasks.Run();
  EXPECT_EQ(ReasonOf(*nonsense->finished), reason::kProtocol);

  Connect();
  alices_->Send(Data(std::string(kMaxChunk + 1, 'x')));
  world_.tasks.Run();
  EXPECT_EQ(ReasonOf(*alices_->finished), reason::kTooLarge);
  EXPECT_TRUE(bobs_->finished);
}

TEST_F(ChannelsTest, AnAgentHasAtMostSoManyChannels) {
  const auto first = alice_.Call("bob.agent");
  const auto second = alice_.Call("bob.agent");
  const auto third = alice_.Call("bob.agent");
  ASSERT_TRUE(third->finished);
  EXPECT_TRUE(absl::IsResourceExhausted(*third->finished));
  EXPECT_EQ(ReasonOf(*third->finished), reason::kLimit);
  first->Cancel();
  world_.tasks.Run();
  EXPECT_FALSE(alice_.Call("bob.agent")->finished);
}

TEST_F(ChannelsTest, ABrokenPathEndsTheChannelAtBothEnds) {
  Connect();
  world_.trunks.pipes[0]->Break();
  world_.tasks.Run();
  ASSERT_TRUE(alices_->finished && bobs_->finished);
  EXPECT_TRUE(absl::IsUnavailable(*alices_->finished));
  EXPECT_EQ(ReasonOf(*alices_->finished), reason::kUnreachable);
  EXPECT_TRUE(absl::IsUnavailable(*bobs_->finished));
}

TEST_F(ChannelsTest, AnAgentThatVanishesEndsTheChannelForTheOther) {
  Connect();
  alices_->Cancel();
  world_.tasks.Run();
  EXPECT_TRUE(bobs_->finished);
}

TEST_F(ChannelsTest, RevocationOfTheCalleeEndsTheCallersChannel) {
  Connect();
  world_.revoked.insert(bob_.key.public_key());
  one_.logic->OnRevoked(bob_.key.public_key());
  world_.tasks.Run();
  ASSERT_TRUE(alices_->finished);
  EXPECT_TRUE(absl::IsPermissionDenied(*alices_->finished));
  EXPECT_EQ(ReasonOf(*alices_->finished), reason::kKeyRevoked);
  EXPECT_EQ(ReasonOf(*alice_.Call("bob.agent")->finished), reason::kKeyRevoked);
}

TEST_F(ChannelsTest, RevocationOfTheCallerEndsTheCalleesChannel) {
  Connect();
  world_.revoked.insert(alice_.key.public_key());
  two_.logic->OnRevoked(alice_.key.public_key());
  world_.tasks.Run();
  ASSERT_TRUE(bobs_->finished);
  EXPECT_EQ(ReasonOf(*bobs_->finished), reason::kKeyRevoked);
}

TEST_F(ChannelsTest, ARevocationThatTheOtherGatewayLearnsFirstIsToldAsOne) {
  Connect();
  alices_->Send(Data("in flight"));
  two_.logic->OnRevoked(bob_.key.public_key());
  world_.tasks.Run();
  ASSERT_TRUE(alices_->finished && bobs_->finished);
  EXPECT_TRUE(absl::IsPermissionDenied(*alices_->finished)) << *alices_->finished;
  EXPECT_EQ(ReasonOf(*alices_->finished), reason::kKeyRevoked);
  EXPECT_EQ(ReasonOf(*bobs_->finished), reason::kKeyRevoked);
}

TEST_F(ChannelsTest, TheOtherAgentsFaultIsNotCalledMine) {
  Connect();
  bobs_->Send(Data(std::string(kMaxChunk + 1, 'x')));
  world_.tasks.Run();
  EXPECT_EQ(ReasonOf(*bobs_->finished), reason::kTooLarge);
  ASSERT_TRUE(alices_->finished);
  EXPECT_TRUE(absl::IsAborted(*alices_->finished)) << *alices_->finished;
  EXPECT_EQ(ReasonOf(*alices_->finished), reason::kProtocol);
}

TEST_F(ChannelsTest, RevocationWhileTheCallWaitsEndsIt) {
  const auto call = alice_.Call("bob.agent");
  world_.revoked.insert(bob_.key.public_key());
  one_.logic->OnRevoked(bob_.key.public_key());
  world_.tasks.Run();
  ASSERT_TRUE(call->finished);
  EXPECT_EQ(ReasonOf(*call->finished), reason::kKeyRevoked);
}

TEST_F(ChannelsTest, NothingIsLeftBehind) {
  Connect();
  alices_->Send(Data("hello"));
  world_.tasks.Run();
  alices_->HalfClose();
  world_.tasks.Run();
  for (TestGateway* gateway : {&one_, &two_}) {
    EXPECT_NE(gateway->metrics.Render().find("dotagent_gateway_channels 0"), std::string::npos)
        << gateway->metrics.Render();
  }
  EXPECT_NE(one_.metrics.Render().find("dotagent_gateway_channel_bytes_total{direction=\"from_agent\"} 5"),
            std::string::npos);
  EXPECT_NE(two_.metrics.Render().find("dotagent_gateway_channel_bytes_total{direction=\"to_agent\"} 5"),
            std::string::npos);
}

}  // namespace
}  // namespace dotagent::gateway_service
