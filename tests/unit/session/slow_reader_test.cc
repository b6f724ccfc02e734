// What a reader that does not read leaves to the other streams of its session.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/session/mux.h"
#include "common/session/reset_code.h"
#include "common/session/window_budget.h"
#include "tests/unit/session/session_pair.h"

namespace dotagent::session {
namespace {

using Kind = Event::Kind;

constexpr size_t kMib = 1024 * 1024;
constexpr size_t kPiece = 64 * 1024;
constexpr absl::Duration kStep = absl::Milliseconds(100);
constexpr absl::Duration kPatience = absl::Seconds(20);

PairOptions With(const std::shared_ptr<WindowBudget>& budget) {
  PairOptions options;
  options.listener.window_budget = budget;
  return options;
}

void WriteAll(SessionPair& pair, StreamId id) {
  static const std::string piece(kPiece, 'x');
  for (auto taken = pair.a.session.Write(id, piece); taken.ok() && *taken > 0;) taken = pair.a.session.Write(id, piece);
}

void Wait(SessionPair& pair) {
  pair.now += kStep;
  for (End* end : {&pair.a, &pair.b}) ASSERT_TRUE(end->session.OnTimeout(pair.now).ok());
}

// As much as can be sent on a stream that nobody reads.
StreamId FillUnread(SessionPair& pair) {
  const StreamId id = *pair.a.session.OpenStream("/unread");
  for (int i = 0; i < 4; ++i) {
    WriteAll(pair, id);
    pair.Settle();
  }
  return id;
}

// Sends `bytes` on the stream to a reader that keeps up; how long all of it had to wait for credit.
absl::Duration Pass(SessionPair& pair, StreamId id, size_t bytes) {
  const absl::Time begun = pair.now;
  for (size_t got = 0; got < bytes && pair.now - begun < kPatience;) {
    for (int i = 0; i < 4; ++i) {  // more than the window, so that it grows
      WriteAll(pair, id);
      pair.Settle();
    }
    const auto read = pair.b.session.Read(id, kAll);
    if (read.ok() && !read->data.empty()) {
      got += read->data.size();
    } else {
      Wait(pair);
    }
  }
  return pair.now - begun;
}

absl::Duration PassTenMebibytes(SessionPair& pair) {
  return Pass(pair, *pair.a.session.OpenStream("/read"), 10 * kMib);
}

TEST(SlowReaderTest, OneThatKeptUpAndStopsLeavesHalf) {
  SessionPair pair(With(std::make_shared<WindowBudget>(0)));
  pair.Settle();
  const StreamId stops = *pair.a.session.OpenStream("/stops");
  ASSERT_EQ(Pass(pair, stops, 10 * kMib), absl::ZeroDuration());
  for (int i = 0; i < 20; ++i) {
    WriteAll(pair, stops);
    pair.Settle();
  }
  ASSERT_EQ(PassTenMebibytes(pair), absl::ZeroDuration());
  EXPECT_EQ(pair.b.session.Read(stops, kAll)->data.size(), kMib / 2);
}

TEST(SlowReaderTest, EightThatStopHoldUpNobody) {
  const auto budget = std::make_shared<WindowBudget>(64 * kMib);
  {
    SessionPair pair(With(budget));
    pair.Settle();
    std::vector<StreamId> unread;
    for (int i = 0; i < 8; ++i) unread.push_back(FillUnread(pair));
    ASSERT_LE(PassTenMebibytes(pair), absl::Seconds(2));
    EXPECT_TRUE(pair.b.Of(Kind::kStreamGivenUp).empty());
    const uint64_t lent = budget->left();
    size_t got = 0;
    for (const StreamId id : unread) got += pair.b.session.Read(id, kAll)->data.size();
    EXPECT_EQ(got, 2 * kMib - 8 * (1 + std::string("/unread").size())) << "their first windows, less what opens them";
    EXPECT_GT(budget->left(), lent);
    for (const StreamId id : unread) EXPECT_LE(Pass(pair, id, kMib), absl::Seconds(2)) << "once it reads again";
  }
  EXPECT_EQ(budget->left(), 64 * kMib);
}

TEST(SlowReaderTest, IsResetWhereThereIsNoMemoryForIt) {
  const auto budget = std::make_shared<WindowBudget>(0);
  SessionPair pair(With(budget));
  pair.Settle();
  for (int i = 0; i < 8; ++i) (void)FillUnread(pair);
  EXPECT_LE(PassTenMebibytes(pair), absl::Seconds(4));
  pair.Settle();
  const std::vector<Event> given_up = pair.b.Of(Kind::kStreamGivenUp);
  const std::vector<Event> reset = pair.a.Of(Kind::kStreamReset);
  ASSERT_GE(given_up.size(), 2U);
  EXPECT_LT(given_up.size(), 8U) << "no more than is needed";
  ASSERT_EQ(reset.size(), given_up.size());
  EXPECT_EQ(reset[0].code, reset_code::kLimit);
  EXPECT_EQ(pair.b.session.Read(given_up[0].stream, 1).status().code(), absl::StatusCode::kNotFound);
}

// A session lends as much as its largest window, whatever the budget has.
TEST(SlowReaderTest, ASessionLendsNoMoreThanItsLargestWindow) {
  const auto budget = std::make_shared<WindowBudget>(64 * kMib);
  PairOptions options = With(budget);
  options.listener.max_connection_window = kMib;  // as it begins
  SessionPair pair(options);
  pair.Settle();
  for (int i = 0; i < 30; ++i) {
    (void)FillUnread(pair);
    Wait(pair);
    EXPECT_GE(budget->left(), 63 * kMib);
  }
  EXPECT_LE(PassTenMebibytes(pair), absl::Seconds(4));
  EXPECT_GE(budget->left(), 63 * kMib);
  EXPECT_FALSE(pair.b.Of(Kind::kStreamGivenUp).empty());
}

// A listener whose dialler the test plays by hand.
class LentCreditTest : public testing::Test {
 protected:
  static constexpr MuxParameters kWindows = {.stream_window = 1000, .connection_window = 3000, .max_streams = 8};

  absl::Status Give(const Frame& frame) {
    std::string bytes;
    AppendFrame(frame, &bytes);
    return mux_.OnMessage(bytes, now_);
  }
  // The last MAX_DATA in what the mux has to say; 0: there is none.
  uint64_t TakeMaxData() {
    Message message;
    mux_.Fill(kMaxFrameSize, &message);
    const std::string said = message.ToString();
    uint64_t limit = 0;
    for (absl::string_view rest = said; !rest.empty();) {
      const Frame frame = *TakeFrame(&rest);
      if (frame.type == FrameType::kMaxData) limit = frame.value;
    }
    return limit;
  }
  void Look() {
    ASSERT_EQ(mux_.NextTimeout(), now_ + Mux::kSlow);
    now_ += Mux::kSlow;
    mux_.OnTimeout(now_);
  }

  absl::Time now_ = absl::FromUnixSeconds(1'800'000'000);
  std::shared_ptr<WindowBudget> budget_ = std::make_shared<WindowBudget>(2500);
  Mux mux_{{.role = Role::kListener, .ours = kWindows, .theirs = kWindows, .window_budget = budget_}};
};

TEST_F(LentCreditTest, IsCountedOnceAndGoesBack) {
  const std::string first = absl::StrCat("\x02/p", std::string(997, 'x'));
  for (const StreamId id : {0, 4, 8}) ASSERT_TRUE(Give({.type = FrameType::kStream, .stream = id, .data = first}).ok());
  Look();
  EXPECT_EQ(budget_->left(), 2500U) << "nobody is slow yet";
  ASSERT_EQ(mux_.Read(8, 300)->data.size(), 300U);
  Look();
  EXPECT_EQ(mux_.NextTimeout(), absl::InfiniteFuture());
  EXPECT_EQ(budget_->left(), 2500U - 2 * 997) << "of those that did not read";
  EXPECT_EQ(TakeMaxData(), 3000U + 9 + 300 + 2 * 997);

  ASSERT_EQ(mux_.Read(0, 400)->data.size(), 400U);
  EXPECT_EQ(budget_->left(), 2500U - 2 * 997 + 400);
  mux_.Reset(4, 0);
  EXPECT_EQ(budget_->left(), 2500U - 597);
  ASSERT_TRUE(Give({.type = FrameType::kResetStream, .stream = 0, .value = 5, .size = 1000}).ok());
  EXPECT_EQ(budget_->left(), 2500U);
  EXPECT_EQ(TakeMaxData(), 0U) << "the connection has had its credit";

  ASSERT_EQ(mux_.Read(8, 697)->data.size(), 697U);
  ASSERT_TRUE(Give({.type = FrameType::kStream, .stream = 12, .data = first}).ok());
  ASSERT_EQ(mux_.Read(12, 997)->data.size(), 997U);
  EXPECT_EQ(TakeMaxData(), 3000U + 4 * 1000) << "what has come, to the byte";
}

TEST_F(LentCreditTest, WhatIsUsedIsEnforcedAsBefore) {
  const std::string first = absl::StrCat("\x02/p", std::string(997, 'x'));
  for (const StreamId id : {0, 4, 8}) ASSERT_TRUE(Give({.type = FrameType::kStream, .stream = id, .data = first}).ok());
  Look();
  Look();
  EXPECT_EQ(budget_->left(), 2500U - 2 * 997) << "there is no room for the third, and no need";
  EXPECT_EQ(mux_.TakeEvents().size(), 6U) << "opened and readable; none is reset";
  EXPECT_EQ(TakeMaxData(), 3000U + 9 + 2 * 997);
  for (const StreamId id : {12, 16}) {
    ASSERT_TRUE(Give({.type = FrameType::kStream, .stream = id, .data = first}).ok());
  }
  EXPECT_FALSE(Give({.type = FrameType::kStream, .stream = 20, .data = "\x02/pxx"}).ok()) << "2003 were left";
  EXPECT_EQ(mux_.end_code(), EndCode::kFlowControl);
}

}  // namespace
}  // namespace dotagent::session
