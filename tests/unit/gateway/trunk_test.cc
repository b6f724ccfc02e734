// Trunks and pipes between two nodes on loopback sockets: what one gateway says is what the other hears.
#include "services/gateway/trunk.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/abuse/refusal.h"
#include "common/base/retry_after.h"
#include "common/base/status.h"
#include "common/base/varint.h"
#include "common/record/message.h"
#include "dotagent/gateway/v1/gateway.pb.h"
#include "services/gateway/pipe.h"
#include "tests/unit/p2p/fixtures.h"

namespace dotagent::gateway_service {
namespace {

using p2p::Eventually;
using p2p::Outcome;
using ::testing::HasSubstr;

absl::Status Revoked() {
  return ErrorWithReason(absl::StatusCode::kPermissionDenied, reason::kKeyRevoked, "bob's key has been revoked");
}

// Gateway `near_` opens channels to gateway `far_`.
class TrunkTest : public testing::Test {
 protected:
  void SetUp() override {
    loop_.Run([&] {
      trunk_ = NewNodeTrunk(loop_.executor(), near_.node());
      ServeTrunk(
          loop_.executor(), far_.node(),
          {.deliver = [](const crypto::PublicKey&, const trunk::v1::DeliverRequest&, const auto& done) { done(true); },
           .channel = [this](IncomingTrunk incoming) { incoming_ = std::move(incoming); }});
    });
  }
  void TearDown() override {
    loop_.Run([&] {
      here_ = nullptr;
      there_ = nullptr;
      incoming_.reset();
      trunk_ = nullptr;
    });
  }

  void Ask() {
    loop_.Run([&] { trunk_->OpenChannel({far_.peer_}, trunk::v1::ChannelRequest(), opened_.Callback()); });
  }
  // Opens a channel; its pipes are here_ and there_.
  void Connect() {
    Ask();
    ASSERT_TRUE(Eventually(loop_, [&] { return incoming_.has_value(); }));
    Outcome<absl::StatusOr<std::shared_ptr<Pipe>>> accepted;
    loop_.Run([&] { incoming_->accept(accepted.Callback()); });
    auto there = accepted.Wait();
    ASSERT_TRUE(there.ok()) << there.status();
    there_ = *std::move(there);
    auto here = opened_.Wait();
    ASSERT_TRUE(here.ok()) << here.status();
    here_ = here->pipe;
    EXPECT_FALSE(here->relayed);
  }
  [[nodiscard]] absl::StatusOr<std::string> Read(const std::shared_ptr<Pipe>& pipe) {
    Outcome<absl::StatusOr<std::string>> read;
    loop_.Run([&] { pipe->Read(read.Callback()); });
    return read.Wait();
  }
  [[nodiscard]] absl::Status Write(const std::shared_ptr<Pipe>& pipe, const std::string& bytes) {
    Outcome<absl::Status> written;
    loop_.Run([&] { pipe->Write(bytes, written.Callback()); });
    return written.Wait();
  }

  p2p::Loop loop_;
  p2p::TestNode near_{loop_};
  struct Far : p2p::TestNode {
    explicit Far(p2p::Loop& loop) : TestNode(loop), peer_(peer()) {}
    const p2p::PeerAddress peer_;
  } far_{loop_};
  std::unique_ptr<Trunk> trunk_;
  std::optional<IncomingTrunk> incoming_;
  Outcome<absl::StatusOr<OpenTrunk>> opened_;
  std::shared_ptr<Pipe> here_;
  std::shared_ptr<Pipe> there_;
};

// They wait for the same session, the critical one last.
TEST_F(TrunkTest, ACriticalMessageOvertakesLowOnes) {
  constexpr int kLow = 24;
  std::vector<int32_t> came;  // priorities, in the order in which they came
  Far receiver(loop_);
  loop_.Run([&] {
    ServeTrunk(loop_.executor(), receiver.node(),
               {.deliver = [&](const crypto::PublicKey&, const trunk::v1::DeliverRequest& request, const auto& done) {
                 came.push_back(request.priority());
                 done(false);
               }});
  });
  const auto deliver = [&](gateway::v1::Priority priority, size_t size) {
    trunk::v1::DeliverRequest request;
    request.set_priority(priority);
    request.set_attachment(std::string(size, 'x'));
    trunk_->Deliver({receiver.peer_}, request, [](const absl::StatusOr<bool>&) {});
  };
  loop_.Run([&] { deliver(gateway::v1::PRIORITY_NORMAL, 1); });  // dials
  ASSERT_TRUE(Eventually(loop_, [&] { return came.size() == 1; }));
  loop_.Run([&] {
    for (int i = 0; i < kLow; ++i) deliver(gateway::v1::PRIORITY_LOW, record::kMaxAttachmentSize);
    deliver(gateway::v1::PRIORITY_CRITICAL, record::kMaxAttachmentSize);
  });
  ASSERT_TRUE(Eventually(loop_, [&] { return came.size() == kLow + 2; }));
  const auto critical = std::find(came.begin(), came.end(), gateway::v1::PRIORITY_CRITICAL);
  EXPECT_EQ(critical - came.begin(), 1) << "right behind the one that dialled";
}

TEST_F(TrunkTest, AVersionThatTheOtherGatewayDoesNotKnowFallsBack) {
  loop_.Run([&] {
    trunk_ = NewNodeTrunk(loop_.executor(), near_.node(), {.deliver = {"/dotagent/deliver/9.0.0", kDeliverProtocol}});
  });
  Outcome<absl::StatusOr<bool>> delivered;
  loop_.Run([&] { trunk_->Deliver({far_.peer_}, trunk::v1::DeliverRequest(), delivered.Callback()); });
  const auto duplicate = delivered.Wait();
  ASSERT_TRUE(duplicate.ok()) << duplicate.status();
  EXPECT_TRUE(*duplicate);  // as the handler of the known version says
}

TEST_F(TrunkTest, WithoutACommonVersionTheCallFailsAsThat) {
  loop_.Run([&] { trunk_ = NewNodeTrunk(loop_.executor(), near_.node(), {.deliver = {"/dotagent/deliver/9.0.0"}}); });
  Outcome<absl::StatusOr<bool>> delivered;
  loop_.Run([&] { trunk_->Deliver({far_.peer_}, trunk::v1::DeliverRequest(), delivered.Callback()); });
  const absl::Status status = delivered.Wait().status();
  EXPECT_TRUE(absl::IsUnimplemented(status)) << status;
  EXPECT_EQ(ReasonOf(status), reason::kProtocol);
}

TEST_F(TrunkTest, AbortTellsTheOtherGatewayWhy) {
  Connect();
  EXPECT_EQ(Write(here_, "hello"), absl::OkStatus());
  EXPECT_EQ(*Read(there_), "hello");
  Outcome<absl::StatusOr<std::string>> waiting;
  loop_.Run([&] { here_->Read(waiting.Callback()); });
  loop_.Run([&] { there_->Abort(Revoked()); });
  const absl::Status heard = waiting.Wait().status();
  EXPECT_EQ(heard.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(ReasonOf(heard), reason::kKeyRevoked);
  EXPECT_EQ(ReasonOf(Write(here_, "more")), reason::kKeyRevoked);
  EXPECT_EQ(ReasonOf(Read(here_).status()), reason::kKeyRevoked);
}

TEST_F(TrunkTest, AbortAfterTheEndOfOneDirectionStillTellsWhy) {
  Connect();
  loop_.Run([&] { there_->CloseWrite(); });
  EXPECT_EQ(*Read(here_), "");
  loop_.Run([&] { there_->Abort(Revoked()); });
  absl::Status heard;
  // Until the reset has arrived, the session's buffer takes it.
  while (heard.ok()) heard = Write(here_, "more");
  EXPECT_EQ(ReasonOf(heard), reason::kKeyRevoked);
}

TEST_F(TrunkTest, ARefusalIsTheAnswer) {
  Ask();
  ASSERT_TRUE(Eventually(loop_, [&] { return incoming_.has_value(); }));
  loop_.Run([&] { incoming_->refuse(Revoked()); });
  const absl::Status refused = opened_.Wait().status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(ReasonOf(refused), reason::kKeyRevoked);
  EXPECT_EQ(refused.message(), "bob's key has been revoked");
}

TEST_F(TrunkTest, ARefusalSaysWhenToComeAgain) {
  const absl::Status busy = abuse::Overloaded("messages", absl::Seconds(7));
  loop_.Run([&] {
    ServeTrunk(loop_.executor(), far_.node(),
               {.deliver = [&](const auto&, const auto&, const auto& done) { done(busy); },
                .request = [&](const auto&, const auto&, const auto& done) { done(busy); },
                .channel = [&](const IncomingTrunk& incoming) { incoming.refuse(busy); }});
  });
  Ask();
  EXPECT_EQ(RetryAfterOf(opened_.Wait().status()), absl::Seconds(7));
  Outcome<absl::StatusOr<bool>> delivered;
  Outcome<absl::StatusOr<Answer>> answered;
  loop_.Run([&] {
    trunk_->Deliver({far_.peer_}, trunk::v1::DeliverRequest(), delivered.Callback());
    trunk_->Request({far_.peer_}, trunk::v1::RequestCall(), answered.Callback());
  });
  EXPECT_EQ(RetryAfterOf(delivered.Wait().status()), absl::Seconds(7));
  EXPECT_EQ(RetryAfterOf(answered.Wait().status()), absl::Seconds(7));
}

TEST_F(TrunkTest, AResetBeforeTheAnswerSaysWhy) {
  loop_.Run([&] {
    far_.node().Serve(kChannelProtocol,
                      [](const std::shared_ptr<p2p::Stream>& stream) { stream->Reset(p2p::reset_code::kLimit); });
  });
  Ask();
  const absl::Status refused = opened_.Wait().status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReasonOf(refused), reason::kLimit);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("did not open the channel"));
}

// The far gateway's sessions end while it has a message and has not answered: `times` times, then it answers.
void BreakUnder(p2p::Loop& loop, p2p::TestNode& near, p2p::TestNode& far, int times, int* heard) {
  loop.Run([&] {
    ServeTrunk(loop.executor(), far.node(),
               {.deliver = [&near, &far, times, heard](const crypto::PublicKey&, const trunk::v1::DeliverRequest&,
                                                       const auto& done) {
                 if (++*heard > times) return done(*heard > 1);
                 far.node().Drop(near.key(), "a test");
               }});
  });
}

TEST_F(TrunkTest, AMessageIsSentAgainWhenItsSessionBreaks) {
  int heard = 0;
  BreakUnder(loop_, near_, far_, 1, &heard);
  Outcome<absl::StatusOr<bool>> delivered;
  loop_.Run([&] { trunk_->Deliver({far_.peer_}, trunk::v1::DeliverRequest(), delivered.Callback()); });
  const absl::StatusOr<bool> duplicate = delivered.Wait();
  ASSERT_TRUE(duplicate.ok()) << duplicate.status();
  EXPECT_TRUE(*duplicate) << "its id shows that it was there";
  EXPECT_EQ(heard, 2);
}

TEST_F(TrunkTest, AMessageIsSentAgainOnceOnly) {
  int heard = 0;
  BreakUnder(loop_, near_, far_, 100, &heard);
  Outcome<absl::StatusOr<bool>> delivered;
  loop_.Run([&] { trunk_->Deliver({far_.peer_}, trunk::v1::DeliverRequest(), delivered.Callback()); });
  EXPECT_EQ(delivered.Wait().status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(heard, 2);
}

TEST_F(TrunkTest, ARequestIsNotSentAgain) {
  int heard = 0;
  loop_.Run([&] {
    ServeTrunk(loop_.executor(), far_.node(),
               {.request = [&](const crypto::PublicKey&, const trunk::v1::RequestCall&, const auto&) {
                 ++heard;
                 far_.node().Drop(near_.key(), "a test");
               }});
  });
  Outcome<absl::StatusOr<Answer>> answered;
  trunk::v1::RequestCall call;
  call.set_timeout_ms(20'000);
  loop_.Run([&] { trunk_->Request({far_.peer_}, call, answered.Callback()); });
  EXPECT_EQ(answered.Wait().status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(heard, 1);
}

TEST_F(TrunkTest, ARequestThatIsNoneIsResetAsMalformed) {
  const auto stream = near_.Open(far_.peer_, kChannelProtocol);
  ASSERT_TRUE(stream.ok()) << stream.status();
  EXPECT_EQ(near_.Write(*stream, WithLength("\xff\xff")), absl::OkStatus());
  EXPECT_EQ(near_.Read(*stream).status(), p2p::StatusOfReset(p2p::reset_code::kBadMessage));
  EXPECT_FALSE(loop_.Run([&] { return incoming_.has_value(); }));
}

TEST(ForAgentsTest, KeepsACauseThatAnAgentCanActOn) {
  const absl::Status revoked = ForAgents(p2p::StatusOfReset(p2p::reset_code::kKeyRevoked), "the channel broke");
  EXPECT_EQ(revoked.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(ReasonOf(revoked), reason::kKeyRevoked);
  EXPECT_THAT(std::string(revoked.message()), HasSubstr("revoked"));
  const absl::Status large = ForAgents(
      ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kTooLarge, "at most 64 KiB"), "the channel broke");
  EXPECT_EQ(large.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ReasonOf(large), reason::kTooLarge);
  const absl::Status refused = ForAgents(p2p::StatusOfReset(p2p::reset_code::kRefused), "the channel broke");
  EXPECT_EQ(refused.code(), absl::StatusCode::kPermissionDenied);
}

TEST(ForAgentsTest, WhatIsAboutStreamsIsUnreachable) {
  for (const absl::Status& broken :
       {absl::CancelledError("reset here"), absl::UnavailableError("the session has ended"),
        p2p::StatusOfReset(p2p::reset_code::kDropped), p2p::StatusOfReset(p2p::reset_code::kTimeout),
        p2p::StatusOfReset(p2p::reset_code::kInternal), p2p::StatusOfReset(99)}) {
    const absl::Status told = ForAgents(broken, "the channel broke");
    EXPECT_EQ(told.code(), absl::StatusCode::kUnavailable) << broken;
    EXPECT_EQ(ReasonOf(told), reason::kUnreachable) << broken;
  }
}

}  // namespace
}  // namespace dotagent::gateway_service
