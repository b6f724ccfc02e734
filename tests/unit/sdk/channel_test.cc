// Both ends of a channel, through a gateway that is played here.
#include "sdk/cpp/channel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "common/base/status.h"
#include "common/crypto/hash.h"
#include "tests/unit/sdk/fake_gateway.h"
#include "tests/unit/sdk/samples.h"

namespace dotagent::sdk {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

using OpenChannelResult = absl::StatusOr<std::unique_ptr<Channel>>;

class ChannelTest : public testing::Test {
 protected:
  ChannelTest() {
    gateway_.AddRecord(SignedRecord(alice_key_, "alice.agent"));
    gateway_.AddRecord(SignedRecord(bob_key_, "bob.agent"));
    alice_ = gateway_.Connect("alice.agent", alice_key_);
    bob_ = gateway_.Connect("bob.agent", bob_key_);
  }

  // Alice calls; Bob takes the call.
  std::pair<OpenChannelResult, OpenChannelResult> Open() {
    auto calling = std::async(std::launch::async, [&] { return alice_->OpenChannel("bob.agent"); });
    const auto offer = gateway_.AwaitOffer();
    OpenChannelResult taken = offer ? bob_->AcceptChannel(*offer) : absl::DeadlineExceededError("no offer came");
    return {calling.get(), std::move(taken)};
  }
  // As Open, when both must succeed.
  void MustOpen() {
    auto [called, taken] = Open();
    ASSERT_TRUE(called.ok()) << called.status();
    ASSERT_TRUE(taken.ok()) << taken.status();
    to_bob_ = *std::move(called);
    to_alice_ = *std::move(taken);
  }

  static absl::StatusOr<std::string> ReadAll(Channel& channel) {
    std::string all;
    for (;;) {
      ASSIGN_OR_RETURN(const std::string piece, channel.Read(100'000));
      if (piece.empty()) return all;
      all += piece;
    }
  }

  const crypto::SigningKey alice_key_ = KeyFromSeed(1);
  const crypto::SigningKey bob_key_ = KeyFromSeed(2);
  FakeGateway gateway_;
  std::unique_ptr<Agent> alice_;
  std::unique_ptr<Agent> bob_;
  std::unique_ptr<Channel> to_bob_;
  std::unique_ptr<Channel> to_alice_;
};

TEST_F(ChannelTest, TwoAgentsAskAndAnswerAndTheGatewaySeesCiphertext) {
  ASSERT_NO_FATAL_FAILURE(MustOpen());
  EXPECT_EQ(to_bob_->peer_key(), bob_key_.public_key());
  EXPECT_EQ(to_alice_->peer_key(), alice_key_.public_key());
  EXPECT_EQ(to_bob_->path(), "local");

  ASSERT_TRUE(to_bob_->Write("what is the answer to everything?").ok());
  ASSERT_TRUE(to_bob_->CloseWrite().ok());
  ASSERT_TRUE(to_bob_->CloseWrite().ok()) << "idempotent";
  EXPECT_EQ(*ReadAll(*to_alice_), "what is the answer to everything?");
  // One direction is closed; the other goes on.
  ASSERT_TRUE(to_alice_->Write("forty-two, they say").ok());
  ASSERT_TRUE(to_alice_->CloseWrite().ok());
  EXPECT_EQ(*ReadAll(*to_bob_), "forty-two, they say");
  EXPECT_EQ(*to_bob_->Read(10), "") << "the end stays the end";
  EXPECT_EQ(to_bob_->Finish(kPatience), absl::OkStatus());
  EXPECT_EQ(to_alice_->Finish(kPatience), absl::OkStatus());

  const std::string carried = gateway_.carried();
  EXPECT_GT(carried.size(), 50U);
  EXPECT_THAT(carried, Not(HasSubstr("everything")));
  EXPECT_THAT(carried, Not(HasSubstr("forty-two")));
}

TEST_F(ChannelTest, BothWriteMuchAtOnceWithoutWaitingForEachOther) {
  ASSERT_NO_FATAL_FAILURE(MustOpen());
  constexpr size_t kSize = 8 * 1024 * 1024;
  SeededRandom random(5);
  const std::string data[] = {random.Bytes(kSize), random.Bytes(kSize)};
  Channel* const ends[] = {to_bob_.get(), to_alice_.get()};
  std::future<absl::Status> written[2];
  std::future<absl::StatusOr<std::string>> read[2];
  for (int end = 0; end < 2; ++end) {
    written[end] = std::async(std::launch::async, [&, end]() -> absl::Status {
      absl::string_view rest = data[end];
      for (size_t size = 1; !rest.empty(); size = size * 3 % 500'009) {
        RETURN_IF_ERROR(ends[end]->Write(rest.substr(0, size)));
        rest.remove_prefix(std::min(size, rest.size()));
      }
      return ends[end]->CloseWrite();
    });
    read[end] = std::async(std::launch::async, [&, end] { return ReadAll(*ends[end]); });
  }
  for (int end = 0; end < 2; ++end) {
    EXPECT_EQ(written[end].get(), absl::OkStatus());
    const absl::StatusOr<std::string> came = read[end].get();
    ASSERT_TRUE(came.ok()) << came.status();
    EXPECT_EQ(came->size(), kSize);
    EXPECT_EQ(crypto::Sha256(*came), crypto::Sha256(data[1 - end]));
  }
  EXPECT_EQ(to_bob_->Finish(kPatience), absl::OkStatus());
  EXPECT_EQ(to_alice_->Finish(kPatience), absl::OkStatus());
}

TEST_F(ChannelTest, WhatWaitsGoesTogetherInChunksThatGatewaysTake) {
  ASSERT_NO_FATAL_FAILURE(MustOpen());
  // One chunk at a time, on gRPC's threads, which may still say something when all has come.
  auto largest = std::make_shared<std::atomic<size_t>>(0);
  gateway_.SetTamper([largest](std::string& bytes) { *largest = std::max<size_t>(*largest, bytes.size()); });
  constexpr size_t kSize = 1024 * 1024;
  auto read = std::async(std::launch::async, [&] { return ReadAll(*to_alice_); });
  ASSERT_TRUE(to_bob_->Write(std::string(kSize, 'x')).ok());
  ASSERT_TRUE(to_bob_->CloseWrite().ok());
  ASSERT_EQ(read.get()->size(), kSize);
  // The first Write fills the session's buffer before anything of it can leave.
  EXPECT_GT(*largest, 128U * 1024);
  EXPECT_LE(*largest, 256U * 1024);
}

TEST_F(ChannelTest, AWriterWaitsForItsReaderAndCancelFreesIt) {
  ASSERT_NO_FATAL_FAILURE(MustOpen());
  // Far more than windows and buffers hold, and nobody reads it.
  auto written = std::async(std::launch::async, [&] { return to_bob_->Write(std::string(16 * 1024 * 1024, 'x')); });
  EXPECT_EQ(to_alice_->Read(1)->size(), 1U);
  EXPECT_EQ(written.wait_for(std::chrono::seconds(0)), std::future_status::timeout);
  to_bob_->Cancel();
  EXPECT_EQ(written.get().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(to_bob_->Read(1).status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(to_bob_->CloseWrite().code(), absl::StatusCode::kCancelled);
  // The other end learns it too, at the latest when it has read what arrived.
  EXPECT_FALSE(ReadAll(*to_alice_).ok());
  EXPECT_FALSE(to_alice_->Write("x").ok());
}

TEST_F(ChannelTest, AnEndThatGoesIsNoticedByAReadThatWaits) {
  ASSERT_NO_FATAL_FAILURE(MustOpen());
  auto read = std::async(std::launch::async, [&] { return to_alice_->Read(1); });
  to_bob_.reset();
  EXPECT_EQ(read.get().status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(ChannelTest, ARevocationEndsItAtBothEndsWithItsReason) {
  ASSERT_NO_FATAL_FAILURE(MustOpen());
  auto read = std::async(std::launch::async, [&] { return to_alice_->Read(1); });
  gateway_.EndChannels(
      ErrorWithReason(absl::StatusCode::kPermissionDenied, reason::kKeyRevoked, "bob's key is revoked"));
  EXPECT_EQ(ReasonOf(read.get().status()), reason::kKeyRevoked);
  const auto end = to_bob_->Read(1);
  EXPECT_EQ(end.status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(ReasonOf(end.status()), reason::kKeyRevoked);
  EXPECT_EQ(ReasonOf(to_bob_->Write("x")), reason::kKeyRevoked);
}

TEST_F(ChannelTest, ACutIsNotTakenForTheEnd) {
  ASSERT_NO_FATAL_FAILURE(MustOpen());
  ASSERT_TRUE(to_bob_->Write("first half").ok());
  EXPECT_EQ(*to_alice_->Read(100), "first half");
  // As a gateway that lies would: it ends the channel as if all were well.
  gateway_.EndChannels(absl::OkStatus());
  const absl::Status status = to_alice_->Read(1).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ReasonOf(status), reason::kUnreachable);
  EXPECT_FALSE(to_bob_->Finish(kPatience).ok());
}

TEST_F(ChannelTest, AChangedBitEndsTheChannel) {
  ASSERT_NO_FATAL_FAILURE(MustOpen());
  gateway_.SetTamper([](std::string& bytes) { bytes.back() = static_cast<char>(bytes.back() ^ 1); });
  ASSERT_TRUE(to_bob_->Write("pay 10 to carol").ok());
  const auto read = ReadAll(*to_alice_);
  EXPECT_FALSE(read.ok());
}

TEST_F(ChannelTest, TheOtherEndMustProveTheKeyOfItsRecord) {
  // Bob's record holds another key than the agent that takes the call.
  gateway_.AddRecord(SignedRecord(KeyFromSeed(3), "bob.agent"));
  auto [called, taken] = Open();
  EXPECT_EQ(called.status().code(), absl::StatusCode::kUnauthenticated) << called.status();
  EXPECT_EQ(ReasonOf(called.status()), reason::kKeyMismatch);
  EXPECT_FALSE(taken.ok());
}

TEST_F(ChannelTest, TheCallerMustProveItsKeyToo) {
  gateway_.AddRecord(SignedRecord(KeyFromSeed(3), "alice.agent"));
  auto [called, taken] = Open();
  EXPECT_EQ(ReasonOf(taken.status()), reason::kKeyMismatch) << taken.status();
}

TEST_F(ChannelTest, ARefusedCallSaysWhy) {
  gateway_.Refuse("OpenChannel",
                  ErrorWithReason(absl::StatusCode::kUnavailable, reason::kRecipientOffline, "bob is away"));
  const absl::Status status = alice_->OpenChannel("bob.agent").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ReasonOf(status), reason::kRecipientOffline);
  EXPECT_THAT(std::string(status.message()), HasSubstr("bob is away"));
}

TEST_F(ChannelTest, AGatewayThatDoesNotKeepToTheProtocolIsLeft) {
  gateway_.AnswerChannels("data before it is open", /*opened=*/false);
  EXPECT_EQ(ReasonOf(alice_->OpenChannel("bob.agent").status()), reason::kProtocol);

  gateway_.AnswerChannels("\x05junk\n");  // a line of multistream-select, but none that an agent says
  EXPECT_FALSE(alice_->OpenChannel("bob.agent").ok());

  // Ends in order, before it was open.
  gateway_.AnswerChannels("", /*opened=*/false, /*then_end=*/true);
  const absl::Status status = alice_->OpenChannel("bob.agent").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;

  // Says nothing at all.
  gateway_.AnswerChannels("", /*opened=*/false);
  const auto impatient = gateway_.Connect("alice.agent", alice_key_, absl::Milliseconds(500));
  EXPECT_EQ(impatient->OpenChannel("bob.agent").status().code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(ChannelTest, ALapsedTokenIsRenewedBeforeACall) {
  gateway_.ForgetTokens();
  ASSERT_NO_FATAL_FAILURE(MustOpen());
}

}  // namespace
}  // namespace dotagent::sdk
