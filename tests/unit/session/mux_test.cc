#include "common/session/mux.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/base/varint.h"
#include "common/session/reset_code.h"

namespace dotagent::session {
namespace {

using ::testing::HasSubstr;
using Kind = Event::Kind;

constexpr MuxParameters kParameters = {.stream_window = 1000, .connection_window = 3000, .max_streams = 4};
const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);

std::string Bytes(std::initializer_list<Frame> frames) {
  std::string out;
  for (const Frame& frame : frames) AppendFrame(frame, &out);
  return out;
}

Frame Data(StreamId id, absl::string_view data, bool fin = false) {
  return {.type = FrameType::kStream, .stream = id, .fin = fin, .data = data};
}

std::vector<Frame> Parse(absl::string_view message) {
  std::vector<Frame> frames;
  while (!message.empty()) frames.push_back(*TakeFrame(&message));
  return frames;
}

// A listener, and a dialler that the test plays by hand.
class MuxTest : public testing::Test {
 protected:
  explicit MuxTest(MuxParameters ours = kParameters)
      : mux_({.role = Role::kListener, .ours = ours, .theirs = kParameters, .send_buffer = 500}) {}

  absl::Status Give(std::initializer_list<Frame> frames) { return mux_.OnMessage(Bytes(frames), kNow); }
  // What the mux has to say, in one message.
  std::string Take() {
    Message message;
    mux_.Fill(kMaxFrameSize, &message);
    return message.ToString();
  }
  std::vector<Kind> Events() {
    std::vector<Kind> kinds;
    for (const Event& event : mux_.TakeEvents()) kinds.push_back(event.kind);
    return kinds;
  }
  void OpenFour() {
    for (StreamId id = 0; id < 16; id += 4) ASSERT_TRUE(Give({Data(id, "\x02/p")}).ok());
    ASSERT_EQ(Events().size(), 4U);
  }
  void ExpectEnd(const absl::Status& status, EndCode code, absl::string_view what) {
    EXPECT_FALSE(status.ok());
    EXPECT_THAT(std::string(status.message()), HasSubstr(std::string(what)));
    EXPECT_EQ(mux_.end_code(), code);
  }

  Mux mux_;
};

TEST_F(MuxTest, StreamOpensWithItsFirstLineInAnyPieces) {
  const std::string header = WithLength("/p/1");
  ASSERT_TRUE(Give({Data(0, "")}).ok());
  for (const char& c : header.substr(0, header.size() - 1)) ASSERT_TRUE(Give({Data(0, {&c, 1})}).ok());
  EXPECT_TRUE(Events().empty());
  EXPECT_EQ(mux_.Read(0, 10).status().code(), absl::StatusCode::kNotFound);
  ASSERT_TRUE(Give({Data(0, "1hello", true)}).ok());
  const std::vector<Event> events = mux_.TakeEvents();
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(events[0].protocol, "/p/1");
  EXPECT_EQ(events[1].kind, Kind::kReadable);
  EXPECT_EQ(mux_.Read(0, 2)->data, "he");
  const auto rest = mux_.Read(0, 100);
  EXPECT_EQ(rest->data, "llo");
  EXPECT_TRUE(rest->finished);
}

TEST_F(MuxTest, BadFirstLinesEndTheSession) {
  const std::string cases[] = {std::string(1, '\0'), WithLength(std::string(256, 'x')).substr(0, 2), WithLength("a\nb"),
                               "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", std::string("\x80\x00", 2)};
  for (const std::string& line : cases) {
    Mux mux({.role = Role::kListener, .ours = kParameters, .theirs = kParameters});
    EXPECT_FALSE(mux.OnMessage(Bytes({Data(0, line)}), kNow).ok());
    EXPECT_EQ(mux.end_code(), EndCode::kProtocolViolation);
  }
  ExpectEnd(Give({Data(0, "\x05/p", true)}), EndCode::kProtocolViolation, "does not end");
}

TEST_F(MuxTest, StreamWindowIsEnforced) {
  const std::string most(997, 'x');
  ASSERT_TRUE(Give({Data(0, absl::StrCat("\x02/p", most))}).ok());
  ExpectEnd(Give({Data(0, "x")}), EndCode::kFlowControl, "with a credit of 0");
}

TEST_F(MuxTest, ConnectionWindowIsEnforced) {
  OpenFour();
  const std::string most(990, 'x');
  for (StreamId id = 0; id < 12; id += 4) ASSERT_TRUE(Give({Data(id, most)}).ok());
  ExpectEnd(Give({Data(12, std::string(100, 'x'))}), EndCode::kFlowControl, "for all streams");
}

TEST_F(MuxTest, CreditComesBackAsBytesAreRead) {
  ASSERT_TRUE(Give({Data(0, absl::StrCat("\x02/p", std::string(997, 'x')))}).ok());
  EXPECT_FALSE(mux_.HasFrames());
  ASSERT_TRUE(mux_.Read(0, 490).ok());
  EXPECT_FALSE(mux_.HasFrames()) << "less than half a window is not worth a frame";
  ASSERT_TRUE(mux_.Read(0, 100).ok());
  const std::string message = Take();
  const std::vector<Frame> frames = Parse(message);
  ASSERT_EQ(frames.size(), 1U);
  EXPECT_EQ(frames[0].type, FrameType::kMaxStreamData);
  EXPECT_EQ(frames[0].value, 1000U + 3 + 590);
  ASSERT_TRUE(Give({Data(0, std::string(593, 'y'))}).ok());
  ExpectEnd(Give({Data(0, "x")}), EndCode::kFlowControl, "with a credit of 0");
}

TEST_F(MuxTest, UnreadBytesOfAResetStreamAreCreditedToTheConnection) {
  for (StreamId id = 0; id < 12; id += 4)
    ASSERT_TRUE(Give({Data(id, absl::StrCat("\x02/p", std::string(900, 'x')))}).ok());
  EXPECT_FALSE(mux_.HasFrames());
  mux_.Reset(0, 5);
  ASSERT_TRUE(Give({{.type = FrameType::kResetStream, .stream = 4, .value = 9, .size = 903}}).ok());
  const std::string message = Take();
  EXPECT_EQ(Parse(message)[0].type, FrameType::kMaxData);
  EXPECT_EQ(Parse(message)[0].value, 3000U + 2 * 903 + 3);
}

TEST_F(MuxTest, StreamLimitIsEnforcedAndMovesOn) {
  OpenFour();
  mux_.Reset(0, 1);
  EXPECT_EQ(Parse(Take()).size(), 2U);  // RESET_STREAM and STOP_SENDING
  EXPECT_EQ(mux_.open_streams(), 3U);
  EXPECT_EQ(mux_.remembered_streams(), 4U) << "the peer's direction has not ended";
  EXPECT_FALSE(mux_.HasFrames());
  ASSERT_TRUE(Give({Data(0, "crossed")}).ok());
  ASSERT_TRUE(Give({{.type = FrameType::kResetStream, .stream = 0, .value = 1, .size = 10}}).ok());
  EXPECT_EQ(mux_.remembered_streams(), 3U);
  const std::string message = Take();
  EXPECT_EQ(Parse(message)[0].type, FrameType::kMaxStreams);
  EXPECT_EQ(Parse(message)[0].value, 5U);
  ASSERT_TRUE(Give({Data(16, "\x02/p")}).ok());
  ExpectEnd(Give({Data(20, "\x02/p")}), EndCode::kStreamLimit, "5 were allowed");
}

TEST_F(MuxTest, IdsOfOthersAndSkippedIdsAreRefused) {
  struct Case {
    Frame frame;
    const char* what;
  };
  const Case cases[] = {
      {Data(4, "\x02/p"), "before the one below it"},
      {Data(1, "x"), "never been opened"},  // ours, which we have not opened
      {Data(2, "x"), "no one-way streams"},
      {Data(3, "x"), "no one-way streams"},
      {{.type = FrameType::kMaxStreamData, .stream = 0, .value = 5000}, "never been opened"},
      {{.type = FrameType::kResetStream, .stream = 0}, "never been opened"},
      {{.type = FrameType::kStopSending, .stream = 4}, "never been opened"},
      {{.type = FrameType::kPriority, .stream = 0, .value = 1}, "never been opened"},
      {{.type = FrameType::kStreamDataBlocked, .stream = 5}, "never been opened"},
  };
  for (const Case& c : cases) {
    Mux mux({.role = Role::kListener, .ours = kParameters, .theirs = kParameters});
    const absl::Status status = mux.OnMessage(Bytes({c.frame}), kNow);
    EXPECT_THAT(std::string(status.message()), HasSubstr(c.what));
    EXPECT_EQ(mux.end_code(), EndCode::kStreamState);
  }
}

TEST_F(MuxTest, OwnStreamIsUnknownToThePeerUntilItIsSent) {
  ASSERT_EQ(*mux_.OpenStream("/p", Priority::kNormal), 1U);
  ExpectEnd(Give({Data(1, "x")}), EndCode::kStreamState, "never been opened");
}

TEST_F(MuxTest, NothingComesAfterAnEnd) {
  ASSERT_TRUE(Give({Data(0, "\x02/p", true)}).ok());
  ExpectEnd(Give({Data(0, "x")}), EndCode::kStreamState, "after its end");
}

TEST_F(MuxTest, NothingComesOnAForgottenStream) {
  ASSERT_TRUE(Give({Data(0, "\x02/p", true)}).ok());
  ASSERT_TRUE(mux_.CloseWrite(0).ok());
  EXPECT_TRUE(mux_.Read(0, 10)->finished);
  Take();
  EXPECT_EQ(mux_.remembered_streams(), 0U);
  // What may have crossed with the end is ignored.
  ASSERT_TRUE(Give({{.type = FrameType::kMaxStreamData, .stream = 0, .value = 9000},
                    {.type = FrameType::kStopSending, .stream = 0, .value = 1},
                    {.type = FrameType::kPriority, .stream = 0, .value = 1}})
                  .ok());
  EXPECT_EQ(Events(), std::vector<Kind>({Kind::kStreamOpened, Kind::kReadable}));
  ExpectEnd(Give({Data(0, "x")}), EndCode::kStreamState, "after its end");
}

TEST_F(MuxTest, FinalSizeMustBeTrue) {
  ASSERT_TRUE(Give({Data(0, "\x02/pabc")}).ok());
  ExpectEnd(Give({{.type = FrameType::kResetStream, .stream = 0, .value = 1, .size = 7}}), EndCode::kFinalSize,
            "at 7 bytes, but sent 6");
}

TEST_F(MuxTest, ResetByThePeerEndsBothDirections) {
  ASSERT_TRUE(Give({Data(0, "\x02/pabc")}).ok());
  ASSERT_EQ(*mux_.Write(0, "answer"), 6U);
  ASSERT_TRUE(Give({{.type = FrameType::kResetStream, .stream = 0, .value = 77, .size = 6}}).ok());
  const std::vector<Event> events = mux_.TakeEvents();
  EXPECT_EQ(events.back().kind, Kind::kStreamReset);
  EXPECT_EQ(events.back().code, 77U);
  EXPECT_EQ(mux_.Read(0, 10).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(mux_.Write(0, "x").status().code(), absl::StatusCode::kNotFound);
  const std::string message = Take();
  ASSERT_EQ(Parse(message).size(), 1U);
  EXPECT_EQ(Parse(message)[0].type, FrameType::kResetStream);
  EXPECT_EQ(Parse(message)[0].size, 0U) << "nothing of the answer was sent";
  EXPECT_EQ(mux_.remembered_streams(), 0U);
}

TEST_F(MuxTest, StopSendingEndsBothDirections) {
  ASSERT_TRUE(Give({Data(0, "\x02/p")}).ok());
  ASSERT_TRUE(Give({{.type = FrameType::kStopSending, .stream = 0, .value = 5}}).ok());
  EXPECT_EQ(Events(), std::vector<Kind>({Kind::kStreamOpened, Kind::kStreamReset}));
  const std::string message = Take();
  ASSERT_EQ(Parse(message).size(), 2U);
  EXPECT_EQ(Parse(message)[0].type, FrameType::kResetStream);
  EXPECT_EQ(Parse(message)[1].type, FrameType::kStopSending);
  ASSERT_TRUE(Give({{.type = FrameType::kResetStream, .stream = 0, .value = 5, .size = 3}}).ok());
  EXPECT_EQ(mux_.remembered_streams(), 0U);
}

TEST_F(MuxTest, StreamThatIsResetBeforeItWasAnnouncedKeepsTheIdsInOrder) {
  ASSERT_EQ(*mux_.OpenStream("/p", Priority::kHigh), 1U);
  ASSERT_EQ(*mux_.OpenStream("/q", Priority::kNormal), 5U);
  mux_.Reset(1, 3);
  const std::string message = Take();
  const std::vector<Frame> frames = Parse(message);
  ASSERT_EQ(frames.size(), 4U);
  EXPECT_EQ(frames[0].type, FrameType::kStream);
  EXPECT_EQ(frames[0].stream, 1U);
  EXPECT_EQ(frames[0].data, "");
  EXPECT_EQ(frames[1].stream, 5U);
  EXPECT_EQ(frames[1].data, "\x02/q");
  EXPECT_EQ(frames[2].type, FrameType::kResetStream);
  EXPECT_EQ(frames[3].type, FrameType::kStopSending);
}

TEST_F(MuxTest, SenderKeepsToItsCreditAndSaysWhenItWaits) {
  const StreamId id = *mux_.OpenStream("/p", Priority::kNormal);
  ASSERT_EQ(*mux_.Write(id, std::string(2000, 'x')), 497U) << "500 bytes of buffer, 3 of them the first line's";
  Take();
  EXPECT_EQ(Events(), std::vector<Kind>({Kind::kWritable}));
  ASSERT_EQ(*mux_.Write(id, std::string(500, 'x')), 500U);
  Take();
  ASSERT_EQ(*mux_.Write(id, std::string(400, 'x')), 400U);
  const std::string message = Take();
  ASSERT_EQ(Parse(message).size(), 1U);
  EXPECT_EQ(Parse(message)[0].type, FrameType::kStreamDataBlocked);
  EXPECT_EQ(Parse(message)[0].value, 1000U);
  EXPECT_FALSE(mux_.HasFrames());
  ASSERT_TRUE(Give({{.type = FrameType::kMaxStreamData, .stream = id, .value = 1100}}).ok());
  const std::string more = Take();
  EXPECT_EQ(Parse(more)[0].data.size(), 100U);
}

TEST_F(MuxTest, SenderKeepsToTheConnectionsCredit) {
  for (int i = 0; i < 4; ++i) {
    const StreamId id = *mux_.OpenStream("/p", Priority::kNormal);
    for (int j = 0; j < 2; ++j) {
      ASSERT_TRUE(mux_.Write(id, std::string(490, 'x')).ok());
      Take();
    }
  }
  std::string message = Take();
  EXPECT_FALSE(mux_.HasFrames()) << "four streams of 983 bytes are more than 3000";
  ASSERT_TRUE(Give({{.type = FrameType::kMaxData, .value = 3100}}).ok());
  ASSERT_TRUE(mux_.HasFrames());
  message = Take();
  const std::vector<Frame> frames = Parse(message);
  ASSERT_EQ(frames.size(), 2U);
  EXPECT_EQ(frames[0].data.size(), 100U);
  EXPECT_EQ(frames[1].type, FrameType::kDataBlocked);
  EXPECT_EQ(frames[1].value, 3100U);
}

TEST_F(MuxTest, OpensNoMoreThanThePeerAllows) {
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(mux_.OpenStream("/p", Priority::kNormal).ok());
  EXPECT_EQ(ReasonOf(mux_.OpenStream("/p", Priority::kNormal).status()), reason::kLimit);
  ASSERT_TRUE(Give({{.type = FrameType::kMaxStreams, .value = 5}}).ok());
  EXPECT_TRUE(mux_.OpenStream("/p", Priority::kNormal).ok());
  EXPECT_EQ(mux_.OpenStream("", Priority::kNormal).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(mux_.OpenStream("a\n", Priority::kNormal).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(mux_.OpenStream(std::string(256, 'x'), Priority::kNormal).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(MuxStreamsTest, TheLastOfManyAreForCalls) {
  Mux mux({.role = Role::kListener,
           .ours = kParameters,
           .theirs = {.stream_window = 1000, .connection_window = 3000, .max_streams = 64}});
  for (int i = 0; i < 48; ++i) ASSERT_TRUE(mux.OpenStream("/p", Priority::kNormal).ok()) << i;
  EXPECT_EQ(ReasonOf(mux.OpenStream("/p", Priority::kCritical).status()), reason::kLimit);
  for (int i = 0; i < 16; ++i) ASSERT_TRUE(mux.OpenStream("/c", Priority::kLow, StreamUse::kCall).ok()) << i;
  EXPECT_EQ(ReasonOf(mux.OpenStream("/c", Priority::kCritical, StreamUse::kCall).status()), reason::kLimit);
  ASSERT_TRUE(mux.OnMessage(Bytes({{.type = FrameType::kMaxStreams, .value = 65}}), kNow).ok());
  EXPECT_FALSE(mux.OpenStream("/p", Priority::kNormal).ok());
  EXPECT_TRUE(mux.OpenStream("/c", Priority::kNormal, StreamUse::kCall).ok());
}

TEST(MuxStreamsTest, WhoUsesHalfMayOpenMoreWithinTheBudget) {
  const auto budget = std::make_shared<WindowBudget>(5 * Mux::kStreamCost);
  {
    Mux mux({.role = Role::kListener,
             .ours = kParameters,
             .theirs = kParameters,
             .most_streams = 1000,
             .window_budget = budget});
    auto open_one = [&, next = StreamId{0}]() mutable {
      ASSERT_TRUE(mux.OnMessage(Bytes({Data(next, "\x02/p")}), kNow).ok());
      next += 4;
    };
    open_one();
    open_one();
    EXPECT_FALSE(mux.HasFrames());
    open_one();
    Message message;
    mux.Fill(kMaxFrameSize, &message);
    const std::string said = message.ToString();
    ASSERT_EQ(Parse(said).size(), 1U);
    EXPECT_EQ(Parse(said)[0].type, FrameType::kMaxStreams);
    EXPECT_EQ(Parse(said)[0].value, 8U);
    EXPECT_EQ(budget->left(), Mux::kStreamCost);
    for (int i = 3; i < 8; ++i) open_one();
    EXPECT_FALSE(mux.HasFrames()) << "there is no memory for eight more";
    EXPECT_EQ(mux.OnMessage(Bytes({Data(32, "\x02/p")}), kNow).code(), absl::StatusCode::kResourceExhausted);
  }
  EXPECT_EQ(budget->left(), 5 * Mux::kStreamCost);
}

TEST_F(MuxTest, FloodOfFramesThatChangeNothingIsRefused) {
  ASSERT_TRUE(Give({Data(0, "\x02/p")}).ok());
  const Frame idle[] = {{.type = FrameType::kPing},
                        Data(0, ""),
                        {.type = FrameType::kMaxData, .value = 1},
                        {.type = FrameType::kMaxStreams, .value = 1},
                        {.type = FrameType::kMaxStreamData, .stream = 0, .value = 1},
                        {.type = FrameType::kDataBlocked, .value = 0},
                        {.type = FrameType::kPriority, .stream = 0, .value = 2}};
  absl::Time now = kNow;
  for (uint64_t i = 0; i < Mux::kMaxIdleFrames; ++i)
    ASSERT_TRUE(mux_.OnMessage(Bytes({idle[i % std::size(idle)]}), now).ok());
  now += absl::Minutes(1);
  for (uint64_t i = 0; i < Mux::kMaxIdleFrames; ++i) ASSERT_TRUE(mux_.OnMessage("", now).ok()) << "a minute later";
  ExpectEnd(mux_.OnMessage("", now), EndCode::kProtocolViolation, "that change nothing");
}

TEST_F(MuxTest, RekeyInsideAMessageIsRefused) {
  ExpectEnd(Give({{.type = FrameType::kPing}, {.type = FrameType::kRekey}}), EndCode::kProtocolViolation, "REKEY");
}

TEST_F(MuxTest, UnknownFrameEndsTheSession) {
  ExpectEnd(mux_.OnMessage(std::string("\x01\x3f", 2), kNow), EndCode::kFrameEncoding, "unknown type 0x3f");
}

TEST_F(MuxTest, GoAwayStopsNewStreamsOnly) {
  ASSERT_TRUE(Give({Data(0, "\x02/p")}).ok());
  const StreamId own = *mux_.OpenStream("/p", Priority::kNormal);
  mux_.GoAway();
  EXPECT_EQ(mux_.OpenStream("/p", Priority::kNormal).status().code(), absl::StatusCode::kFailedPrecondition);
  const std::string message = Take();
  ASSERT_EQ(Parse(message).size(), 2U);
  EXPECT_EQ(Parse(message)[0].stream, own) << "opened before, sent before";
  EXPECT_EQ(Parse(message)[1].type, FrameType::kGoAway);
  Events();

  ASSERT_TRUE(Give({Data(4, "\x02/p"), Data(0, "still")}).ok());  // 4 crossed with the GOAWAY
  EXPECT_EQ(Events(), std::vector<Kind>({Kind::kReadable}));
  EXPECT_EQ(mux_.Read(0, 10)->data, "still");
  const std::string refusal = Take();
  EXPECT_EQ(Parse(refusal)[0].type, FrameType::kResetStream);
  EXPECT_EQ(Parse(refusal)[0].stream, 4U);
  EXPECT_EQ(Parse(refusal)[0].value, reset_code::kGoingAway);

  ASSERT_TRUE(Give({{.type = FrameType::kGoAway}}).ok());
  EXPECT_EQ(Events(), std::vector<Kind>({Kind::kGoAway}));
  ExpectEnd(Give({Data(8, "\x02/p")}), EndCode::kStreamState, "after its GOAWAY");
}

TEST_F(MuxTest, PeersPriorityCountsUntilOursIsSet) {
  ASSERT_TRUE(Give({Data(0, "\x02/p"), Data(4, "\x02/p")}).ok());
  ASSERT_TRUE(Give({{.type = FrameType::kPriority, .stream = 4, .value = 0}}).ok());
  ASSERT_TRUE(mux_.Write(0, "normal").ok());
  ASSERT_TRUE(mux_.Write(4, "critical").ok());
  std::string message = Take();
  EXPECT_EQ(Parse(message)[0].data, "critical");
  mux_.SetPriority(0, Priority::kHigh);
  mux_.SetPriority(4, Priority::kLow);
  ASSERT_TRUE(Give({{.type = FrameType::kPriority, .stream = 4, .value = 0}}).ok());
  ASSERT_TRUE(mux_.Write(4, "low").ok());
  ASSERT_TRUE(mux_.Write(0, "high").ok());
  message = Take();
  const std::vector<Frame> frames = Parse(message);
  ASSERT_EQ(frames.size(), 4U);
  EXPECT_EQ(frames[0].type, FrameType::kPriority);
  EXPECT_EQ(frames[2].data, "high");
  EXPECT_EQ(frames[3].data, "low");
}

// The stream of each STREAM frame that the mux sends now, in order.
std::vector<StreamId> Senders(absl::string_view message) {
  std::vector<StreamId> senders;
  for (const Frame& frame : Parse(message)) {
    if (frame.type == FrameType::kStream) senders.push_back(frame.stream);
  }
  return senders;
}

TEST_F(MuxTest, AStreamSendsAfterWhatItDependsOn) {
  OpenFour();
  ASSERT_TRUE(mux_.SetDependency(0, 4).ok());
  ASSERT_TRUE(mux_.SetDependency(4, 8).ok());
  for (const StreamId id : {0, 4, 8, 12}) ASSERT_TRUE(mux_.Write(id, "x").ok());
  EXPECT_EQ(Senders(Take()), std::vector<StreamId>({8, 4, 0, 12}));
  // The one in the middle has nothing to send: the order holds across it.
  for (const StreamId id : {0, 8}) ASSERT_TRUE(mux_.Write(id, "x").ok());
  EXPECT_EQ(Senders(Take()), std::vector<StreamId>({8, 0}));
  // What is depended on takes over the level of who waits for it.
  mux_.SetPriority(0, Priority::kCritical);
  for (const StreamId id : {12, 8, 0}) ASSERT_TRUE(mux_.Write(id, "x").ok());
  EXPECT_EQ(Senders(Take()), std::vector<StreamId>({8, 0, 12}));
  // Once that is gone, nothing waits for it.
  mux_.Reset(8, 0);
  ASSERT_TRUE(mux_.Write(0, "x").ok());
  EXPECT_EQ(Senders(Take()), std::vector<StreamId>({0}));
  ASSERT_TRUE(mux_.SetDependency(0, std::nullopt).ok());
}

TEST_F(MuxTest, ADependencyThatWaitsForCreditHoldsNobodyUp) {
  OpenFour();
  ASSERT_TRUE(mux_.SetDependency(0, 4).ok());
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(mux_.Write(4, std::string(500, 'x')).ok());
    Take();
  }
  ASSERT_TRUE(mux_.Write(0, "x").ok());
  EXPECT_EQ(Senders(Take()), std::vector<StreamId>({0}));
}

TEST(MuxDependencyTest, CirclesAndLongChainsAreRefused) {
  Mux mux({.role = Role::kDialler,
           .ours = {.stream_window = 10, .connection_window = 10, .max_streams = 50},
           .theirs = {.stream_window = 10, .connection_window = 10, .max_streams = 50}});
  std::vector<StreamId> ids;
  for (int i = 0; i < 20; ++i) ids.push_back(*mux.OpenStream("/p", Priority::kNormal));
  EXPECT_EQ(mux.SetDependency(ids[0], ids[0]).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(mux.SetDependency(ids[0], 4000).code(), absl::StatusCode::kNotFound);
  for (size_t i = 0; i < Mux::kMaxDependencyDepth - 1; ++i)
    ASSERT_TRUE(mux.SetDependency(ids[i], ids[i + 1]).ok()) << i;
  const StreamId last = ids[Mux::kMaxDependencyDepth - 1];
  EXPECT_THAT(std::string(mux.SetDependency(last, ids[0]).message()), HasSubstr("depend on itself"));
  EXPECT_THAT(std::string(mux.SetDependency(last, ids[19]).message()), HasSubstr("in a row")) << "above";
  EXPECT_THAT(std::string(mux.SetDependency(ids[19], ids[0]).message()), HasSubstr("in a row")) << "below";
  EXPECT_TRUE(mux.SetDependency(ids[19], ids[1]).ok()) << "beside";
}

TEST_F(MuxTest, ThePeersDependenciesCountUntilOursAreSet) {
  OpenFour();
  const auto depend = [](StreamId id, StreamId on) {
    return Frame{.type = FrameType::kDependency, .stream = id, .value = on};
  };
  ASSERT_TRUE(Give({depend(0, 4)}).ok());
  ASSERT_TRUE(Give({depend(4, 0)}).ok()) << "a circle is not granted";
  for (const StreamId id : {0, 4}) ASSERT_TRUE(mux_.Write(id, "x").ok());
  EXPECT_EQ(Senders(Take()), std::vector<StreamId>({4, 0}));
  ASSERT_TRUE(Give({depend(0, 0)}).ok());
  for (const StreamId id : {0, 4}) ASSERT_TRUE(mux_.Write(id, "x").ok());
  EXPECT_EQ(Senders(Take()), std::vector<StreamId>({0, 4}));
  ASSERT_TRUE(mux_.SetDependency(0, 8).ok());
  const std::string told = Take();
  ASSERT_EQ(Parse(told).size(), 1U);
  EXPECT_EQ(Parse(told)[0].value, 8U);
  ASSERT_TRUE(Give({depend(0, 4)}).ok());
  for (const StreamId id : {0, 4}) ASSERT_TRUE(mux_.Write(id, "x").ok());
  EXPECT_EQ(Senders(Take()), std::vector<StreamId>({0, 4})) << "ours is set";
}

}  // namespace
}  // namespace dotagent::session
