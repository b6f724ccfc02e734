#include "common/session/session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "tests/unit/session/session_pair.h"

namespace dotagent::session {
namespace {

using ::testing::HasSubstr;
using Kind = Event::Kind;

std::string Pattern(size_t size, uint64_t seed) { return SeededRandom(seed).Bytes(size); }

TEST(SessionTest, EndsKnowEachOtherAfterTheHandshake) {
  SessionPair pair;
  EXPECT_FALSE(pair.a.session.established());
  pair.Settle();
  ASSERT_TRUE(pair.a.session.established());
  ASSERT_TRUE(pair.b.session.established());
  EXPECT_EQ(pair.a.session.peer_key(), pair.listener_key());
  EXPECT_EQ(pair.b.session.peer_key(), pair.dialler_key());
  EXPECT_EQ(pair.a.session.channel_id().size(), 32U);
  EXPECT_EQ(pair.a.session.channel_id(), pair.b.session.channel_id());
  EXPECT_EQ(pair.a.Of(Kind::kEstablished).size(), 1U);
  EXPECT_EQ(pair.b.Of(Kind::kEstablished).size(), 1U);
}

class Chunking : public testing::TestWithParam<size_t> {};

TEST_P(Chunking, DoesNotMatter) {
  SessionPair pair;
  pair.Settle(GetParam());
  ASSERT_TRUE(pair.a.session.established());
  const StreamId id = *pair.a.session.OpenStream("/echo/1");
  const std::string sent = Pattern(20'000, 1);
  ASSERT_EQ(*pair.a.session.Write(id, sent), sent.size());
  ASSERT_TRUE(pair.a.session.CloseWrite(id).ok());
  pair.Settle(GetParam());
  ASSERT_EQ(pair.b.Of(Kind::kStreamOpened).size(), 1U);
  EXPECT_EQ(pair.b.Of(Kind::kStreamOpened)[0].protocol, "/echo/1");
  const auto read = pair.b.session.Read(id, kAll);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->data, sent);
  EXPECT_TRUE(read->finished);
}

INSTANTIATE_TEST_SUITE_P(Sizes, Chunking, testing::Values(1, 2, 3, 17, 100, 1000, 20'000));

// Streams whole strings from one end to the other through whatever windows there are.
class Transfer {
 public:
  Transfer(End& from, End& to, StreamId id, std::string data, size_t read_size = 4096)
      : from_(from), to_(to), id_(id), data_(std::move(data)), read_size_(read_size) {}

  void Push() {
    if (sent_ < data_.size()) {
      const auto taken = from_.session.Write(id_, absl::string_view(data_).substr(sent_));
      ASSERT_TRUE(taken.ok()) << taken.status();
      sent_ += *taken;
      if (sent_ == data_.size()) {
        ASSERT_TRUE(from_.session.CloseWrite(id_).ok());
      }
    }
  }
  void Pull() {
    while (!finished_) {
      const auto read = to_.session.Read(id_, read_size_);
      if (!read.ok()) return;  // not opened yet
      got_ += read->data;
      finished_ = read->finished;
      if (read->data.empty()) return;
    }
  }
  [[nodiscard]] bool finished() const { return finished_; }
  [[nodiscard]] size_t got() const { return got_.size(); }
  [[nodiscard]] bool whole() const { return finished_ && got_ == data_; }

 private:
  End& from_;
  End& to_;
  StreamId id_;
  std::string data_;
  size_t read_size_;
  size_t sent_ = 0;
  std::string got_;
  bool finished_ = false;
};

PairOptions SmallWindows() {
  PairOptions options;
  for (Options* o : {&options.dialler, &options.listener}) {
    o->stream_window = 10'000;
    o->connection_window = 30'000;
    o->send_buffer = 7'000;
  }
  return options;
}

TEST(SessionTest, TenMebibytesBothWaysThroughSmallWindows) {
  SessionPair pair(SmallWindows());
  pair.Settle();
  const StreamId id = *pair.a.session.OpenStream("/bulk");
  const size_t size = 10 << 20;
  Transfer there(pair.a, pair.b, id, Pattern(size, 1));
  Transfer back(pair.b, pair.a, id, Pattern(size, 2));
  pair.Settle();
  for (int i = 0; i < 20'000 && !(there.finished() && back.finished()); ++i) {
    there.Push();
    back.Push();
    pair.Settle(9973);
    there.Pull();
    back.Pull();
  }
  EXPECT_TRUE(there.whole());
  EXPECT_TRUE(back.whole());
  pair.Settle();
  EXPECT_EQ(pair.a.session.open_streams(), 0U);
  EXPECT_EQ(pair.b.session.open_streams(), 0U);
}

TEST(SessionTest, ManyStreamsAtOnceFromBothEnds) {
  PairOptions options;
  options.dialler.max_streams = options.listener.max_streams = 116;  // with 16 for calls
  SessionPair pair(options);
  pair.Settle();
  std::vector<Transfer> transfers;
  for (uint64_t i = 0; i < 100; ++i) {
    const auto priority = static_cast<Priority>(i % 4);
    const StreamId from_a = *pair.a.session.OpenStream("/a", priority);
    const StreamId from_b = *pair.b.session.OpenStream("/b", priority);
    EXPECT_EQ(from_a, 4 * i);
    EXPECT_EQ(from_b, 4 * i + 1);
    transfers.emplace_back(pair.a, pair.b, from_a, Pattern(20'000 + i, 2 * i));
    transfers.emplace_back(pair.b, pair.a, from_b, Pattern(20'000 + i, 2 * i + 1));
  }
  EXPECT_EQ(ReasonOf(pair.a.session.OpenStream("/one-too-many").status()), reason::kLimit);
  for (int i = 0; i < 1000; ++i) {
    for (Transfer& transfer : transfers) transfer.Push();
    pair.Settle();
    for (Transfer& transfer : transfers) transfer.Pull();
  }
  for (Transfer& transfer : transfers) EXPECT_TRUE(transfer.whole());
}

TEST(SessionTest, StreamsComeAndGoWithoutEnd) {
  PairOptions options;
  options.listener.max_streams = 2;
  SessionPair pair(options);
  pair.Settle();
  for (int i = 0; i < 3000; ++i) {
    const auto id = pair.a.session.OpenStream("/rpc");
    ASSERT_TRUE(id.ok()) << i << ": " << id.status();
    ASSERT_EQ(*pair.a.session.Write(*id, "ask"), 3U);
    ASSERT_TRUE(pair.a.session.CloseWrite(*id).ok());
    pair.Settle();
    if (i % 3 == 0) {
      pair.b.session.Reset(*id, 1);
    } else {
      ASSERT_TRUE(pair.b.session.Read(*id, 100)->finished);
      ASSERT_EQ(*pair.b.session.Write(*id, "answer"), 6U);
      ASSERT_TRUE(pair.b.session.CloseWrite(*id).ok());
      pair.Settle();
      const auto answer = pair.a.session.Read(*id, 100);
      ASSERT_TRUE(answer.ok()) << answer.status();
      EXPECT_EQ(answer->data, "answer");
      EXPECT_TRUE(answer->finished);
    }
    pair.Settle();
    ASSERT_EQ(pair.a.session.open_streams(), 0U);
    ASSERT_EQ(pair.b.session.open_streams(), 0U);
  }
  EXPECT_TRUE(pair.a.status.ok()) << pair.a.status;
  EXPECT_TRUE(pair.b.status.ok()) << pair.b.status;
}

TEST(SessionTest, SlowReaderOnOneStreamDoesNotStopAnother) {
  SessionPair pair(SmallWindows());
  pair.Settle();
  const StreamId slow = *pair.a.session.OpenStream("/slow");
  const StreamId quick = *pair.a.session.OpenStream("/quick");
  Transfer unread(pair.a, pair.b, slow, Pattern(100'000, 1));
  Transfer read(pair.a, pair.b, quick, Pattern(100'000, 2));
  for (int i = 0; i < 200; ++i) {
    unread.Push();
    read.Push();
    pair.Settle();
    read.Pull();
  }
  EXPECT_TRUE(read.whole());
  EXPECT_FALSE(unread.finished());
  for (int i = 0; i < 200; ++i) {
    unread.Push();
    pair.Settle();
    unread.Pull();
  }
  EXPECT_TRUE(unread.whole());
}

TEST(SessionTest, ResetOfOneStreamDoesNotTouchAnother) {
  SessionPair pair(SmallWindows());
  pair.Settle();
  const StreamId one = *pair.a.session.OpenStream("/one");
  const StreamId two = *pair.a.session.OpenStream("/two");
  Transfer doomed(pair.a, pair.b, one, Pattern(100'000, 1));
  Transfer survivor(pair.a, pair.b, two, Pattern(100'000, 2));
  for (int i = 0; i < 5; ++i) {
    doomed.Push();
    survivor.Push();
    pair.Settle();
    doomed.Pull();
    survivor.Pull();
  }
  pair.b.session.Reset(one, 4242);
  for (int i = 0; i < 200; ++i) {
    survivor.Push();
    pair.Settle();
    survivor.Pull();
  }
  EXPECT_TRUE(survivor.whole());
  const auto resets = pair.a.Of(Kind::kStreamReset);
  ASSERT_EQ(resets.size(), 1U);
  EXPECT_EQ(resets[0].stream, one);
  EXPECT_EQ(resets[0].code, 4242U);
  EXPECT_EQ(pair.b.Of(Kind::kStreamReset).size(), 0U) << "who resets is not told of it";
  EXPECT_EQ(pair.a.session.Write(one, "x").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(pair.b.session.Read(one, 1).status().code(), absl::StatusCode::kNotFound);
}

TEST(SessionTest, HalfCloseLeavesTheOtherDirectionOpen) {
  SessionPair pair;
  pair.Settle();
  const StreamId id = *pair.a.session.OpenStream("/ask");
  ASSERT_TRUE(pair.a.session.CloseWrite(id).ok());
  EXPECT_EQ(pair.a.session.Write(id, "x").status().code(), absl::StatusCode::kFailedPrecondition);
  pair.Settle();
  EXPECT_TRUE(pair.b.session.Read(id, 1)->finished);
  for (int i = 0; i < 10; ++i) {
    ASSERT_EQ(*pair.b.session.Write(id, "more"), 4U);
    pair.Settle();
    EXPECT_EQ(pair.a.session.Read(id, 100)->data, "more");
  }
  EXPECT_FALSE(pair.a.session.Read(id, 1)->finished);
  ASSERT_TRUE(pair.b.session.CloseWrite(id).ok());
  pair.Settle();
  EXPECT_TRUE(pair.a.session.Read(id, 1)->finished);
  EXPECT_EQ(pair.a.session.Read(id, 1).status().code(), absl::StatusCode::kNotFound);
}

TEST(SessionTest, CriticalLeavesWithinOneMessageWhileLowSaturates) {
  PairOptions options;
  options.listener.stream_window = options.listener.connection_window = 8 << 20;
  options.dialler.send_buffer = 4 << 20;
  SessionPair pair(options);
  pair.Settle();
  const StreamId low = *pair.a.session.OpenStream("/bulk", Priority::kLow);
  const StreamId critical = *pair.a.session.OpenStream("/urgent", Priority::kCritical);
  pair.Settle();
  ASSERT_EQ(*pair.a.session.Write(low, std::string(4 << 20, 'x')), size_t{4} << 20);
  for (int i = 0; i < 100; ++i) {
    const std::string message = pair.a.session.TakeOutput(16 * 1024, pair.now);
    ASSERT_TRUE(pair.b.session.Receive(message, pair.now).ok());
    ASSERT_EQ(*pair.a.session.Write(critical, "now"), 3U);
    const std::string next = pair.a.session.TakeOutput(16 * 1024, pair.now);
    ASSERT_LE(next.size(), kMinOutput);
    ASSERT_TRUE(pair.b.session.Receive(next, pair.now).ok());
    ASSERT_EQ(pair.b.session.Read(critical, 100)->data, "now") << i;
    ASSERT_FALSE(pair.b.session.Read(low, kAll)->data.empty());
  }
}

TEST(SessionTest, KeysChangeByCountAndByTime) {
  SessionPair pair;
  pair.Settle();
  const StreamId id = *pair.a.session.OpenStream("/many");
  pair.Settle();
  for (int i = 0; i < 3500; ++i) {
    ASSERT_EQ(*pair.a.session.Write(id, "x"), 1U);
    pair.Settle();
    ASSERT_EQ(pair.b.session.Read(id, 10)->data, "x") << i;
  }
  for (int i = 0; i < 10; ++i) {
    pair.now += absl::Minutes(10);
    EXPECT_LE(pair.a.session.NextTimeout(), pair.now);
    ASSERT_TRUE(pair.a.session.OnTimeout(pair.now).ok());
    ASSERT_TRUE(pair.b.session.OnTimeout(pair.now).ok());
    EXPECT_TRUE(pair.a.session.HasOutput());
    pair.Settle();
    EXPECT_GT(pair.a.session.NextTimeout(), pair.now);
  }
  EXPECT_TRUE(pair.a.status.ok()) << pair.a.status;
  EXPECT_TRUE(pair.b.status.ok()) << pair.b.status;
}

TEST(SessionTest, PeerThatDoesNotRekeyIsRefusedAndTold) {
  PairOptions options;
  options.dialler.rekey_messages = 1'000'000;
  options.listener.rekey_messages = 20;
  SessionPair pair(options);
  pair.Settle();
  const StreamId id = *pair.a.session.OpenStream("/many");
  for (int i = 0; i < 30 && pair.b.status.ok(); ++i) {
    ASSERT_EQ(*pair.a.session.Write(id, "x"), 1U);
    pair.Carry(pair.a, pair.b);
  }
  EXPECT_EQ(ReasonOf(pair.b.status), reason::kLimit);
  pair.Carry(pair.b, pair.a);
  EXPECT_EQ(pair.a.status.code(), absl::StatusCode::kAborted);
  EXPECT_THAT(std::string(pair.a.status.message()), HasSubstr("without a REKEY"));
}

TEST(SessionTest, AnyKeyButTheExpectedOneIsRefused) {
  SeededRandom random(99);
  const crypto::SigningKey stranger = crypto::SigningKey::Generate(random);
  for (const Role role : {Role::kDialler, Role::kListener}) {
    PairOptions options;
    (role == Role::kDialler ? options.dialler : options.listener).expected_peer = stranger.public_key();
    SessionPair pair(options);
    pair.Settle();
    End& picky = role == Role::kDialler ? pair.a : pair.b;
    EXPECT_EQ(picky.status.code(), absl::StatusCode::kUnauthenticated);
    EXPECT_EQ(ReasonOf(picky.status), reason::kKeyMismatch);
    EXPECT_FALSE(picky.session.established());
    EXPECT_EQ(picky.session.NextTimeout(), absl::InfiniteFuture());
  }
  const SessionPair probe;
  PairOptions options;
  options.dialler.expected_peer = probe.listener_key();
  options.listener.expected_peer = probe.dialler_key();
  SessionPair pair(options);  // the same seed, so the same keys
  pair.Settle();
  EXPECT_TRUE(pair.a.session.established());
  EXPECT_TRUE(pair.b.session.established());
}

TEST(SessionTest, ChangedReplayedOrReorderedBytesEndTheSession) {
  for (int kind = 0; kind < 4; ++kind) {
    SessionPair pair;
    pair.Settle();
    const StreamId id = *pair.a.session.OpenStream("/x");
    ASSERT_TRUE(pair.a.session.Write(id, "one").ok());
    const std::string first = pair.a.session.TakeOutput(kAll, pair.now);
    ASSERT_TRUE(pair.a.session.Write(id, "two").ok());
    const std::string second = pair.a.session.TakeOutput(kAll, pair.now);
    std::string bytes;
    if (kind == 0) bytes = first + first;
    if (kind == 1) bytes = second + first;
    if (kind == 2) bytes = first.substr(0, first.size() - 1) + second;
    if (kind == 3) {
      bytes = first;
      bytes[10] = static_cast<char>(bytes[10] ^ 1);
    }
    const absl::Status status = pair.b.session.Receive(bytes, pair.now);
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << kind;
    EXPECT_EQ(pair.b.session.Receive("more", pair.now), status) << "an error is final";
    EXPECT_EQ(pair.b.session.OpenStream("/y").status().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_TRUE(pair.b.session.HasOutput()) << "a GOAWAY with the cause";
    pair.Carry(pair.b, pair.a);
    constexpr const char* kReasons[] = {"message 0 was replayed: 1 was due", "message 1 came when 0 was due",
                                        "message 0 was changed on its way", "message 0 was changed on its way"};
    EXPECT_THAT(std::string(pair.a.status.message()), HasSubstr(kReasons[kind]));
    EXPECT_FALSE(pair.b.session.HasOutput());
  }
}

TEST(SessionTest, AnEndInsideAMessageIsToldFromOneBetweenTwo) {
  SessionPair pair;
  EXPECT_THAT(std::string(pair.b.session.TransportEnded().message()), HasSubstr("before the handshake was over"));
  pair.Settle();
  EXPECT_EQ(pair.b.session.TransportEnded().code(), absl::StatusCode::kUnavailable);
  const StreamId id = *pair.a.session.OpenStream("/x");
  ASSERT_TRUE(pair.a.session.Write(id, "cut short").ok());
  const std::string bytes = pair.a.session.TakeOutput(kAll, pair.now);
  ASSERT_TRUE(pair.b.session.Receive(bytes.substr(0, 20), pair.now).ok());
  const absl::Status cut = pair.b.session.TransportEnded();
  EXPECT_EQ(cut.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(cut.message()), HasSubstr(absl::StrCat("20 of ", bytes.size(), " bytes")));
  ASSERT_TRUE(pair.b.session.Receive(bytes.substr(20), pair.now).ok());
  EXPECT_EQ(pair.b.session.TransportEnded().code(), absl::StatusCode::kUnavailable);
}

TEST(SessionTest, SharedAndCopiedWritesArriveInOrder) {
  SessionPair pair;
  pair.Settle();
  const StreamId id = *pair.a.session.OpenStream("/x");
  std::string expected;
  for (int i = 0; i < 40; ++i) {
    const auto data = std::make_shared<const std::string>(size_t{1} << (i % 20), static_cast<char>('a' + i % 26));
    for (size_t from = 0; from < data->size();) {
      const auto taken = i % 3 == 0 ? pair.a.session.Write(id, absl::string_view(*data).substr(from))
                                    : pair.a.session.Write(id, data, from);
      ASSERT_TRUE(taken.ok());
      from += *taken;
      pair.Settle();
      expected += pair.b.session.Read(id, kAll)->data;
    }
    ASSERT_TRUE(expected.ends_with(*data)) << i;
  }
}

TEST(SessionTest, WindowsGrowForAReaderThatKeepsUp) {
  PairOptions options;
  options.listener.stream_window = 4096;
  options.listener.connection_window = 4096;
  options.listener.max_stream_window = 64 * 1024;
  options.listener.max_connection_window = 64 * 1024;
  for (const bool keeps_up : {true, false}) {
    SessionPair pair(options);
    pair.Settle();
    const StreamId id = *pair.a.session.OpenStream("/x");
    size_t most = 0;  // that came without any of it being read
    for (int i = 0; i < 60; ++i) {
      while (*pair.a.session.Write(id, std::string(64 * 1024, 'x')) > 0) {
      }
      pair.Settle();
      const size_t waiting = pair.b.session.Read(id, keeps_up ? kAll : 1)->data.size();
      most = std::max(most, waiting);
    }
    pair.Settle();
    if (keeps_up) {
      EXPECT_EQ(most, 32U * 1024) << "half of the connection's";
    } else {
      EXPECT_LE(pair.b.session.Read(id, kAll)->data.size(), 4096U);
    }
  }
}

// How much the dialler can send before any of it is read, once windows have had every reason to grow.
size_t WindowOf(SessionPair& pair) {
  pair.Settle();
  const StreamId id = *pair.a.session.OpenStream("/x");
  size_t most = 0;
  for (int i = 0; i < 60; ++i) {
    while (*pair.a.session.Write(id, std::string(64 * 1024, 'x')) > 0) {
    }
    pair.Settle();
    most = std::max(most, pair.b.session.Read(id, kAll)->data.size());
  }
  return most;
}

TEST(SessionTest, WindowsOfSessionsGrowWithinTheirBudgetTogether) {
  int refused = 0;
  PairOptions options;
  options.listener.stream_window = options.listener.connection_window = 4096;
  options.listener.max_stream_window = options.listener.max_connection_window = 64 * 1024;
  // For one to grow to the most, and another from 4 to 16 KiB.
  const auto budget = std::make_shared<WindowBudget>((60 + 12 + 3) * 1024, [&] { ++refused; });
  options.listener.window_budget = budget;
  auto first = std::make_unique<SessionPair>(options);
  EXPECT_EQ(WindowOf(*first), 32U * 1024) << "half of the connection's";
  EXPECT_EQ(refused, 0);
  EXPECT_EQ(budget->left(), 15U * 1024);
  SessionPair second(options);
  EXPECT_EQ(WindowOf(second), 8U * 1024);
  EXPECT_GT(refused, 0);
  SessionPair third(options);
  EXPECT_EQ(WindowOf(third), 4096U) << "a first window needs no budget";
  first.reset();
  EXPECT_EQ(budget->left(), 63U * 1024) << "what a session had comes back with its end";
  SessionPair fourth(options);
  EXPECT_EQ(WindowOf(fourth), 32U * 1024);
}

TEST(SessionTest, WhatArrivedBeforeTheEndCanStillBeRead) {
  SessionPair pair;
  pair.Settle();
  const StreamId id = *pair.a.session.OpenStream("/x");
  ASSERT_TRUE(pair.a.session.Write(id, "last words").ok());
  pair.Settle();
  ASSERT_FALSE(pair.b.session.Receive(std::string(100, '\0'), pair.now).ok());
  EXPECT_EQ(pair.b.session.Read(id, 100)->data, "last words");
  EXPECT_EQ(pair.b.session.Write(id, "x").status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST(SessionTest, EveryChangedByteOfTheHandshakeIsNoticed) {
  // The dialler's first flight is hers alone (the negotiation, and a key that the transcript covers); then his; then
  // hers.
  std::string flights[3];
  {
    SessionPair pair;
    flights[0] = pair.a.session.TakeOutput(kAll, pair.now);
    ASSERT_TRUE(pair.b.session.Receive(flights[0], pair.now).ok());
    flights[1] = pair.b.session.TakeOutput(kAll, pair.now);
    ASSERT_TRUE(pair.a.session.Receive(flights[1], pair.now).ok());
    flights[2] = pair.a.session.TakeOutput(kAll, pair.now);
  }
  for (int flight = 0; flight < 3; ++flight) {
    for (size_t at = 0; at < flights[flight].size(); ++at) {
      SessionPair pair;
      bool established = true;
      for (int i = 0; i < 3 && established; ++i) {
        End& from = i % 2 == 0 ? pair.a : pair.b;
        End& to = i % 2 == 0 ? pair.b : pair.a;
        std::string bytes = from.session.TakeOutput(kAll, pair.now);
        if (i == flight) bytes[at] = static_cast<char>(bytes[at] ^ 1);
        established = to.session.Receive(bytes, pair.now).ok();
      }
      EXPECT_FALSE(established && pair.a.session.established() && pair.b.session.established())
          << "flight " << flight << " byte " << at;
    }
  }
}

TEST(SessionTest, GarbageIsRefused) {
  SeededRandom random(5);
  for (const Role role : {Role::kDialler, Role::kListener}) {
    for (int i = 0; i < 200; ++i) {
      SessionPair pair;
      Session& victim = role == Role::kDialler ? pair.a.session : pair.b.session;
      absl::Status status;
      for (int j = 0; j < 100 && status.ok(); ++j) status = victim.Receive(random.Bytes(300), pair.now);
      EXPECT_FALSE(status.ok());
      EXPECT_FALSE(victim.established());
    }
  }
}

TEST(SessionTest, HandshakeThatTakesTooLongIsGivenUp) {
  SessionPair pair;
  const absl::Time deadline = pair.now + absl::Seconds(10);
  EXPECT_EQ(pair.b.session.NextTimeout(), deadline);
  EXPECT_TRUE(pair.b.session.OnTimeout(deadline - absl::Nanoseconds(1)).ok());
  EXPECT_EQ(pair.b.session.OnTimeout(deadline).code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(pair.b.session.NextTimeout(), absl::InfiniteFuture());
  // Also if bytes keep trickling in.
  EXPECT_EQ(pair.a.session.Receive("\x13", deadline).code(), absl::StatusCode::kDeadlineExceeded);
}

TEST(SessionTest, NothingCanBeOpenedBeforeTheHandshakeIsOver) {
  SessionPair pair;
  EXPECT_EQ(pair.a.session.OpenStream("/x").status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(pair.a.session.Write(0, "x").status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(pair.a.session.open_streams(), 0U);
}

TEST(SessionTest, GoAwayLetsOpenStreamsFinish) {
  SessionPair pair;
  pair.Settle();
  const StreamId id = *pair.a.session.OpenStream("/x");
  pair.Settle();
  pair.b.session.GoAway();
  pair.Settle();
  EXPECT_EQ(pair.a.Of(Kind::kGoAway).size(), 1U);
  EXPECT_EQ(pair.a.session.OpenStream("/y").status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(pair.b.session.OpenStream("/y").status().code(), absl::StatusCode::kFailedPrecondition);
  ASSERT_EQ(*pair.a.session.Write(id, "on"), 2U);
  pair.Settle();
  EXPECT_EQ(pair.b.session.Read(id, 10)->data, "on");
  EXPECT_TRUE(pair.a.status.ok());
  EXPECT_TRUE(pair.b.status.ok());
}

TEST(SessionTest, PlaintextDoesNotShow) {
  SessionPair pair;
  pair.Settle();
  const StreamId id = *pair.a.session.OpenStream("/secret-protocol");
  ASSERT_TRUE(pair.a.session.Write(id, "the quick brown fox").ok());
  const std::string bytes = pair.a.session.TakeOutput(kAll, pair.now);
  EXPECT_THAT(bytes, testing::Not(HasSubstr("quick")));
  EXPECT_THAT(bytes, testing::Not(HasSubstr("secret")));
}

}  // namespace
}  // namespace dotagent::session
