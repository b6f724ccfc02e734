// What a peer may try that knows the keys: each attack ends the session, or costs us no more than we allow.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <random>
#include <string>
#include <vector>

#include "common/session/mux.h"
#include "common/session/quic_varint.h"
#include "tests/unit/session/session_pair.h"

namespace dotagent::session {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);
constexpr MuxParameters kParameters = {.stream_window = 4096, .connection_window = 16'384, .max_streams = 8};

Mux Victim(MuxParameters theirs = kParameters) {
  return Mux({.role = Role::kListener, .ours = kParameters, .theirs = theirs, .send_buffer = 4096});
}

std::string Bytes(const Frame& frame) {
  std::string out;
  AppendFrame(frame, &out);
  return out;
}

// Frames that are mostly well formed, about few streams, so that they meet.
Frame RandomFrame(std::mt19937_64& random, const std::string& data) {
  constexpr std::array kTypes = {FrameType::kPing,        FrameType::kResetStream, FrameType::kStopSending,
                                 FrameType::kStream,      FrameType::kStream,      FrameType::kStream,
                                 FrameType::kMaxData,     FrameType::kMaxStreams,  FrameType::kMaxStreamData,
                                 FrameType::kDataBlocked, FrameType::kPriority,    FrameType::kStreamDataBlocked,
                                 FrameType::kDependency};
  const FrameType type = kTypes[random() % kTypes.size()];
  const bool extreme = random() % 16 == 0;
  uint64_t value = extreme ? kMaxQuicVarint - random() % 3 : random() % 20'000;
  if (type == FrameType::kPriority) value %= 4;
  if (type == FrameType::kMaxStreams) value %= kMaxStreamCount;
  if (type == FrameType::kDependency) value = random() % 12;
  return {.type = type,
          .stream = extreme ? kMaxQuicVarint - random() % 8 : random() % 12,
          .value = value,
          .size = random() % 64,
          .fin = random() % 8 == 0,
          .data = absl::string_view(data).substr(0, random() % 100)};
}

// A million frames, a third of them with changed bytes. Each session ends, with a reason; none remembers more than it
// may, and what it says is made of frames.
TEST(HostilePeerTest, AMillionRandomAndMutatedFrames) {
  std::mt19937_64 random(11);
  const std::string data = "\x02/p" + std::string(100, 'd');
  size_t sessions = 0;
  for (size_t frames = 0; frames < 1'000'000; ++sessions) {
    Mux victim = Victim();
    absl::Status status;
    while (status.ok() && frames < 1'000'000) {
      std::string bytes = Bytes(RandomFrame(random, data));
      if (random() % 3 == 0) bytes[random() % bytes.size()] = static_cast<char>(random());
      if (random() % 64 == 0) bytes.resize(random() % bytes.size());
      ++frames;
      status = victim.OnMessage(bytes, kNow);
      ASSERT_LE(victim.remembered_streams(), kParameters.max_streams);
      for (const Event& event : victim.TakeEvents()) {
        if (event.kind == Event::Kind::kReadable) (void)victim.Read(event.stream, random() % 100);
        if (event.kind == Event::Kind::kStreamOpened) (void)victim.Write(event.stream, "answer");
      }
      if (random() % 8 != 0) continue;
      Message message;
      victim.Fill(kMaxFrameSize, &message);
      const std::string said = message.ToString();
      absl::string_view rest = said;
      while (!rest.empty()) ASSERT_TRUE(TakeFrame(&rest).ok());
    }
    ASSERT_TRUE(status.ok() || !status.message().empty());
  }
  EXPECT_GT(sessions, 10'000U);
}

TEST(HostilePeerTest, StreamsOpenedAndResetAsFastAsPossible) {
  SessionPair pair;
  pair.Settle();
  const StreamId honest = *pair.a.session.OpenStream("/honest");
  pair.Settle();
  size_t opened = 0;
  for (int round = 0; round < 500; ++round) {
    while (true) {  // until the limit stops it, which moves on only as the listener answers
      const auto id = pair.a.session.OpenStream("/rapid");
      if (!id.ok()) break;
      ++opened;
      pair.Carry(pair.a, pair.b);
      pair.a.session.Reset(*id, 0);
      pair.Carry(pair.a, pair.b);
      ASSERT_LE(pair.b.session.open_streams(), 2U);
    }
    ASSERT_TRUE(pair.a.session.Write(honest, "still here").ok());
    pair.Settle();
    ASSERT_EQ(pair.b.session.Read(honest, 100)->data, "still here") << round;
    pair.b.events.clear();
    pair.a.events.clear();
  }
  EXPECT_GT(opened, 50'000U);
}

TEST(HostilePeerTest, APeerThatGivesNoCreditHoldsUpNobodyElse) {
  Mux victim = Victim({.stream_window = 0, .connection_window = 1 << 20, .max_streams = 8});
  for (const StreamId id : {0, 4}) {
    ASSERT_TRUE(victim.OnMessage(Bytes({.type = FrameType::kStream, .stream = id, .data = "\x02/p"}), kNow).ok());
  }
  ASSERT_EQ(*victim.Write(0, std::string(10'000, 'x')), 4096U) << "no more than the send buffer";
  ASSERT_EQ(*victim.Write(0, "more"), 0U);
  ASSERT_EQ(*victim.Write(4, "for the other"), 13U);
  ASSERT_TRUE(victim.OnMessage(Bytes({.type = FrameType::kMaxStreamData, .stream = 4, .value = 100}), kNow).ok());
  Message message;
  victim.Fill(kMaxFrameSize, &message);
  EXPECT_THAT(message.ToString(), testing::HasSubstr("for the other"));
}

TEST(HostilePeerTest, CreditBeyondAllBoundsDoesNotOverflow) {
  Mux victim = Victim();
  ASSERT_TRUE(victim.OnMessage(Bytes({.type = FrameType::kStream, .stream = 0, .data = "\x02/p"}), kNow).ok());
  for (const FrameType type : {FrameType::kMaxData, FrameType::kMaxStreamData}) {
    ASSERT_TRUE(victim.OnMessage(Bytes({.type = type, .value = kMaxQuicVarint}), kNow).ok());
  }
  for (int i = 0; i < 100; ++i) {
    ASSERT_EQ(*victim.Write(0, std::string(4096, 'x')), 4096U);
    Message message;
    victim.Fill(kMaxFrameSize, &message);
    ASSERT_GT(message.size(), 4096U);
  }
  // And from the other side: a byte over what we have given ends it.
  const std::string much(4096 - 3, 'x');
  ASSERT_TRUE(victim.OnMessage(Bytes({.type = FrameType::kStream, .stream = 0, .data = much}), kNow).ok());
  EXPECT_FALSE(victim.OnMessage(Bytes({.type = FrameType::kStream, .stream = 0, .data = "x"}), kNow).ok());
  EXPECT_EQ(victim.end_code(), EndCode::kFlowControl);
}

TEST(HostilePeerTest, ALyingPeerGrowsNoWindowPastItsLimit) {
  Mux victim({.role = Role::kListener,
              .ours = kParameters,
              .theirs = kParameters,
              .max_stream_window = 8192,
              .max_connection_window = 32'768,
              .send_buffer = 4096});
  ASSERT_TRUE(victim.OnMessage(Bytes({.type = FrameType::kStream, .stream = 0, .data = "\x02/p"}), kNow).ok());
  uint64_t most = 0;
  for (uint64_t i = 1; i < 5000; ++i) {  // it says that it waits, and sends nothing
    ASSERT_TRUE(victim.OnMessage(Bytes({.type = FrameType::kDataBlocked, .value = i}), kNow).ok());
    ASSERT_TRUE(victim.OnMessage(Bytes({.type = FrameType::kStreamDataBlocked, .value = i}), kNow).ok());
    Message message;
    victim.Fill(kMaxFrameSize, &message);
    const std::string said = message.ToString();
    for (absl::string_view rest = said; !rest.empty();) {
      const Frame frame = *TakeFrame(&rest);
      if (frame.type == FrameType::kMaxData || frame.type == FrameType::kMaxStreamData)
        most = std::max(most, frame.value);
    }
  }
  EXPECT_GT(most, 16'384U) << "it does grow";
  EXPECT_LE(most, 32'768U + 3) << "and three bytes were read";
}

}  // namespace
}  // namespace dotagent::session
