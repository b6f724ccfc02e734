#include "common/p2p/stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/base/varint.h"
#include "common/crypto/hash.h"
#include "tests/unit/p2p/fixtures.h"

namespace dotagent::p2p {
namespace {

using testing::HasSubstr;

// Holds the streams that a node is handed.
class Accepted {
 public:
  Accepted(Loop& loop, TestNode& node) : loop_(loop) {
    loop_.Run([&] {
      node.node().Serve("/test/stream/1", [this](std::shared_ptr<Stream> stream) { streams_.push_back(stream); });
    });
  }
  ~Accepted() {
    loop_.Run([&] { streams_.clear(); });
  }
  // The next one; waits for it.
  std::shared_ptr<Stream> Take() {
    std::shared_ptr<Stream> taken;
    EXPECT_TRUE(Eventually(loop_, [&] {
      if (streams_.empty()) return false;
      taken = streams_.front();
      streams_.pop_front();
      return true;
    }));
    return taken;
  }

 private:
  Loop& loop_;
  std::deque<std::shared_ptr<Stream>> streams_;
};

class StreamTest : public testing::Test {
 protected:
  void SetUp() override {
    auto opened = a_.Open(b_.peer(), "/test/stream/1");
    ASSERT_EQ(opened.status(), absl::OkStatus());
    near_ = *opened;
    far_ = accepted_.Take();
    ASSERT_NE(far_, nullptr);
  }
  void TearDown() override {
    loop_.Run([&] {
      near_ = nullptr;
      far_ = nullptr;
    });
  }
  void CloseWrite(const std::shared_ptr<Stream>& stream) {
    loop_.Run([&] { stream->CloseWrite(); });
  }

  Loop loop_;
  TestNode a_{loop_};
  TestNode b_{loop_};
  Accepted accepted_{loop_, b_};
  std::shared_ptr<Stream> near_;  // a's end
  std::shared_ptr<Stream> far_;   // b's end
};

TEST_F(StreamTest, KnowsItsPeerProtocolAndPath) {
  EXPECT_EQ(near_->peer(), b_.key());
  EXPECT_EQ(far_->peer(), a_.key());
  EXPECT_EQ(far_->protocol(), "/test/stream/1");
  EXPECT_FALSE(far_->relayed());
}

TEST_F(StreamTest, CarriesBytesBothWaysAndHalfCloses) {
  EXPECT_EQ(a_.Write(near_, "ping"), absl::OkStatus());
  CloseWrite(near_);
  EXPECT_EQ(*b_.Read(far_), "ping");
  EXPECT_EQ(*b_.Read(far_), "");
  EXPECT_EQ(*b_.Read(far_), "") << "the end stays the end";
  EXPECT_EQ(b_.Write(far_, "pong"), absl::OkStatus());
  CloseWrite(far_);
  EXPECT_EQ(*a_.Read(near_, 2), "po");
  EXPECT_EQ(*a_.Read(near_, 100), "ng");
  EXPECT_EQ(*a_.Read(near_), "");
  EXPECT_EQ(a_.Write(near_, "more").code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(StreamTest, TakesOneReadAndOneWriteAtATime) {
  Outcome<absl::StatusOr<std::string>> first;
  loop_.Run([&] { near_->Read(10, first.Callback()); });
  EXPECT_EQ(a_.Read(near_).status().code(), absl::StatusCode::kFailedPrecondition);
  // More than the buffers on the way hold, so that it waits.
  Outcome<absl::Status> large;
  loop_.Run([&] { near_->Write(std::string(8 << 20, 'x'), large.Callback()); });
  EXPECT_EQ(a_.Write(near_, "x").code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(b_.Write(far_, "here"), absl::OkStatus());
  EXPECT_EQ(*first.Wait(), "here");
  loop_.Run([&] { near_->Reset(reset_code::kCancelled); });
  EXPECT_EQ(large.Wait().code(), absl::StatusCode::kCancelled);
}

TEST_F(StreamTest, ResetReachesThePeer) {
  Outcome<absl::StatusOr<std::string>> waiting;
  loop_.Run([&] { far_->Read(10, waiting.Callback()); });
  loop_.Run([&] { near_->Reset(reset_code::kKeyRevoked); });
  const absl::Status status = waiting.Wait().status();
  EXPECT_EQ(status, StatusOfReset(reset_code::kKeyRevoked));
  EXPECT_EQ(ReasonOf(status), reason::kKeyRevoked);
  EXPECT_EQ(a_.Read(near_).status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(a_.sessions(), 1U);
}

TEST_F(StreamTest, TheLastReferenceResets) {
  loop_.Run([&] { near_ = nullptr; });
  const absl::Status status = b_.Read(far_).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kAborted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("let go of it"));
}

TEST_F(StreamTest, WhatWasWrittenBeforeCloseWriteOutlivesTheLastReference) {
  const std::string data(200 * 1024, 'x');
  Outcome<absl::Status> written;
  loop_.Run([&] {
    near_->Write(data, written.Callback());
    near_->CloseWrite();
  });
  EXPECT_EQ(written.Wait(), absl::OkStatus());
  loop_.Run([&] { near_ = nullptr; });
  EXPECT_EQ(b_.Write(far_, "thrown away"), absl::OkStatus());
  std::string received;
  for (auto piece = b_.Read(far_); piece.ok() && !piece->empty(); piece = b_.Read(far_)) received += *piece;
  EXPECT_EQ(received, data);
  EXPECT_EQ(*b_.Read(far_), "");
}

TEST_F(StreamTest, APeerThatFloodsAStreamThatWasLetGoIsReset) {
  loop_.Run([&] {
    near_->CloseWrite();
    near_ = nullptr;
  });
  EXPECT_EQ(b_.Write(far_, std::string(4 << 20, 'x')).code(), absl::StatusCode::kAborted);
  EXPECT_EQ(a_.sessions(), 1U);
}

TEST_F(StreamTest, WhatHadArrivedCanBeReadAfterTheSessionDied) {
  EXPECT_EQ(a_.Write(near_, "last words"), absl::OkStatus());
  // An echo on another stream of the session, which comes after those words.
  b_.ServeEcho("b");
  EXPECT_EQ(*a_.Call(b_.peer(), "x"), "b:x");
  a_.Destroy();
  ASSERT_TRUE(Eventually(loop_, [&] { return b_.node().open_sessions() == 0; }));
  EXPECT_EQ(*b_.Read(far_, 4), "last");
  EXPECT_EQ(*b_.Read(far_), " words");
  EXPECT_EQ(b_.Read(far_).status().code(), absl::StatusCode::kUnavailable);
}

// Writes `total` bytes, a piece at a time.
struct Sender : std::enable_shared_from_this<Sender> {
  std::shared_ptr<Stream> stream;
  size_t left = 0;
  crypto::Sha256Stream hash;
  size_t in_flight_limit = 0;
  std::function<void(absl::Status)> done;

  void Go() {
    if (left == 0) {
      stream->CloseWrite();
      return done(absl::OkStatus());
    }
    std::string piece(std::min<size_t>(left, 300'000), '\0');
    for (size_t i = 0; i < piece.size(); i += 7) piece[i] = static_cast<char>((left - i) * 31);
    hash.Update(piece);
    left -= piece.size();
    stream->Write(std::move(piece), [self = shared_from_this()](const absl::Status& status) {
      if (!status.ok()) return self->done(status);
      self->Go();
    });
  }
};

// Reads to the end, small pieces at a time, each on a new turn of the loop.
struct SlowReader : std::enable_shared_from_this<SlowReader> {
  std::shared_ptr<Stream> stream;
  size_t received = 0;
  size_t most_ahead = 0;
  std::shared_ptr<Sender> sender;
  size_t total = 0;
  crypto::Sha256Stream hash;
  std::function<void(absl::Status)> done;

  void Go() {
    stream->Read(10'000, [self = shared_from_this()](const absl::StatusOr<std::string>& piece) {
      if (!piece.ok()) return self->done(piece.status());
      if (piece->empty()) return self->done(absl::OkStatus());
      self->hash.Update(*piece);
      self->received += piece->size();
      self->most_ahead = std::max(self->most_ahead, self->total - self->sender->left - self->received);
      self->Go();
    });
  }
};

TEST_F(StreamTest, CarriesALargeTransferInBoundedMemoryWhenTheReaderIsSlow) {
  constexpr size_t kTotal = size_t{64} << 20;
  const auto sender = std::make_shared<Sender>();
  const auto reader = std::make_shared<SlowReader>();
  Outcome<absl::Status> sent;
  Outcome<absl::Status> received;
  loop_.Run([&] {
    sender->stream = near_;
    sender->left = kTotal;
    sender->done = sent.Callback();
    reader->stream = far_;
    reader->sender = sender;
    reader->total = kTotal;
    reader->done = received.Callback();
    sender->Go();
    reader->Go();
  });
  EXPECT_EQ(sent.Wait(), absl::OkStatus());
  EXPECT_EQ(received.Wait(), absl::OkStatus());
  EXPECT_EQ(reader->received, kTotal);
  EXPECT_EQ(reader->hash.Finish(), sender->hash.Finish());
  // Send buffer, window, one piece, and what the kernel holds of the ciphertext.
  EXPECT_LT(reader->most_ahead, size_t{2} << 20);
  loop_.Run([&] {
    sender->stream = nullptr;
    reader->stream = nullptr;
  });
}

TEST_F(StreamTest, ReadsMessagesOneByOne) {
  std::string wire = WithLength("one") + WithLength("") + WithLength("three") + "\x05" + "cut";
  EXPECT_EQ(a_.Write(near_, wire), absl::OkStatus());
  CloseWrite(near_);
  const auto reader = std::make_shared<MessageReader>(far_, 100);
  const auto next = [&] {
    Outcome<absl::StatusOr<std::string>> message;
    loop_.Run([&] { reader->Next(message.Callback()); });
    return message.Wait();
  };
  EXPECT_EQ(*next(), "one");
  EXPECT_EQ(*next(), "");
  EXPECT_EQ(*next(), "three");
  EXPECT_EQ(next().status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(StreamTest, ManyTinyMessagesDoNotNest) {
  std::string wire;
  for (int i = 0; i < 100'000; ++i) wire += WithLength("");
  Outcome<absl::Status> written;
  loop_.Run([&] { near_->Write(wire, written.Callback()); });
  CloseWrite(near_);
  struct Counter : std::enable_shared_from_this<Counter> {
    std::shared_ptr<MessageReader> reader;
    int count = 0;
    std::function<void(absl::Status)> done;
    void Go() {
      reader->Next([self = shared_from_this()](const absl::StatusOr<std::string>& message) {
        if (!message.ok()) return self->done(message.status());
        ++self->count;
        self->Go();
      });
    }
  };
  const auto counter = std::make_shared<Counter>();
  Outcome<absl::Status> ended;
  counter->reader = std::make_shared<MessageReader>(far_, 100);
  counter->done = ended.Callback();
  loop_.Run([&] { counter->Go(); });
  EXPECT_EQ(ended.Wait().code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(counter->count, 100'000);
  loop_.Run([&] { counter->reader = nullptr; });
}

TEST_F(StreamTest, AMessageOverTheLimitIsRefusedBeforeItArrives) {
  EXPECT_EQ(a_.Write(near_, std::string("\xff\xff\xff\x7f", 4)), absl::OkStatus());
  Outcome<absl::StatusOr<std::string>> message;
  loop_.Run([&] {
    ReadMessage(far_, 1000, [done = message.Callback()](absl::StatusOr<std::string> result, const std::string&) {
      done(std::move(result));
    });
  });
  EXPECT_EQ(message.Wait().status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(StreamTest, ReadMessageHandsOverWhatFollows) {
  EXPECT_EQ(a_.Write(near_, WithLength("head") + "tail"), absl::OkStatus());
  Outcome<absl::StatusOr<std::string>> both;
  loop_.Run([&] {
    ReadMessage(far_, 1000,
                [done = both.Callback()](const absl::StatusOr<std::string>& message, const std::string& rest) {
                  done(*message + "|" + rest);
                });
  });
  EXPECT_EQ(*both.Wait(), "head|tail");
}

// How often windows did not grow while 64 KiB went through a session that begins with 4 KiB and may have far more.
double RefusedGrowth(uint64_t growth_in_all) {
  constexpr size_t kSize = 64 * 1024;
  Loop loop;
  TestNode writer(loop);
  TestNode reader(loop, [growth_in_all](NodeOptions& options) {
    options.windows = {.stream = 4096, .connection = 4096, .growth_in_all = growth_in_all};
  });
  Accepted accepted(loop, reader);
  auto near = writer.Open(reader.peer(), "/test/stream/1");
  EXPECT_EQ(near.status(), absl::OkStatus());
  auto far = accepted.Take();
  EXPECT_EQ(writer.Write(*near, std::string(kSize, 'x')), absl::OkStatus());
  for (size_t got = 0; got < kSize;) {
    const auto piece = reader.Read(far);
    if (!piece.ok()) {
      ADD_FAILURE() << piece.status();
      break;
    }
    got += piece->size();
  }
  loop.Run([&] {
    far = nullptr;
    near = absl::UnavailableError("done with");
  });
  return reader.metrics().AddCounter("dotagent_p2p_window_growth_refused_total", "").Value();
}

// A node without memory to spare, and two streams that fill the window of their session and are never read.
TEST(StreamWindowTest, AStreamThatNobodyReadsGivesWayToACall) {
  Loop loop;
  TestNode writer(loop);
  TestNode reader(loop, [](NodeOptions& options) {
    options.windows = {
        .stream = 4096, .connection = 8192, .max_stream = 4096, .max_connection = 8192, .growth_in_all = 0};
  });
  Accepted accepted(loop, reader);
  reader.ServeEcho("reader");
  std::vector<std::shared_ptr<Stream>> streams;
  for (int i = 0; i < 2; ++i) {
    auto near = writer.Open(reader.peer(), "/test/stream/1");
    ASSERT_EQ(near.status(), absl::OkStatus());
    EXPECT_EQ(writer.Write(*near, std::string(64 * 1024, 'x')), absl::OkStatus());
    streams.push_back(*std::move(near));
    streams.push_back(accepted.Take());
  }
  EXPECT_EQ(*writer.Call(reader.peer(), "still there"), "reader:still there");
  EXPECT_GE(reader.metrics().AddCounter("dotagent_p2p_slow_streams_reset_total", "").Value(), 1);
  absl::Status here = reader.Read(streams[1]).status();
  const absl::Status there = writer.Read(streams[here.ok() ? 2 : 0]).status();
  if (here.ok()) here = reader.Read(streams[3]).status();
  EXPECT_EQ(ReasonOf(here), reason::kLimit) << here;
  EXPECT_THAT(std::string(here.message()), testing::HasSubstr("was not read"));
  EXPECT_EQ(ReasonOf(there), reason::kLimit) << there;
  loop.Run([&] { streams.clear(); });
}

TEST(StreamWindowTest, TheWindowsOfANodesSessionsGrowWithinItsBudget) {
  EXPECT_EQ(RefusedGrowth(uint64_t{1} << 20), 0);
  EXPECT_GT(RefusedGrowth(0), 0);
}

}  // namespace
}  // namespace dotagent::p2p
