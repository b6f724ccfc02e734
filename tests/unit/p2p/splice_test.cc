#include "common/p2p/splice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <asio/read.hpp>
#include <asio/write.hpp>
#include <string>
#include <system_error>
#include <utility>

#include "common/base/status.h"
#include "tests/unit/p2p/fixtures.h"

namespace dotagent::p2p {
namespace {

using asio::ip::tcp;

// Two connected sockets on `io`.
std::pair<tcp::socket, tcp::socket> Connected(asio::io_context& io) {
  tcp::acceptor acceptor(io, tcp::endpoint(asio::ip::address_v4::loopback(), 0));
  tcp::socket near(io);
  near.connect(acceptor.local_endpoint());
  return {std::move(near), acceptor.accept()};
}

// A splice whose outer ends the test holds.
class SpliceTest : public testing::Test {
 protected:
  void Join(const SpliceLimits& limits, const std::string& early = "") {
    auto [left, relay_left] = Connected(io_);
    auto [right, relay_right] = Connected(io_);
    left_.emplace(std::move(left));
    right_.emplace(std::move(right));
    operation_ = Splice(
        CircuitSocket(std::move(relay_left), early, nullptr), CircuitSocket(std::move(relay_right), "", nullptr),
        limits, [this](absl::string_view piece) { copy_ += std::string(piece); },
        [this](const absl::Status& why, uint64_t bytes) {
          why_ = why;
          bytes_ = bytes;
        });
  }
  // Runs until `condition` holds.
  bool RunUntil(const std::function<bool()>& condition) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (!condition() && std::chrono::steady_clock::now() < deadline) {
      io_.restart();
      io_.run_one_until(deadline);
    }
    return condition();
  }
  // Reads exactly `size` bytes.
  std::string Hear(tcp::socket& socket, size_t size) {
    std::string heard(size, '\0');
    bool over = false;
    asio::async_read(socket, asio::buffer(heard), [&](const std::error_code& error, size_t got) {
      heard.resize(got);
      ended_ = error == asio::error::eof;
      over = true;
    });
    EXPECT_TRUE(RunUntil([&] { return over; }));
    return heard;
  }
  void Say(tcp::socket& socket, const std::string& bytes) {
    bool over = false;
    asio::async_write(socket, asio::buffer(bytes), [&](const std::error_code&, size_t) { over = true; });
    EXPECT_TRUE(RunUntil([&] { return over; }));
  }

  asio::io_context io_;
  std::optional<tcp::socket> left_;
  std::optional<tcp::socket> right_;
  std::shared_ptr<Operation> operation_;
  std::string copy_;
  std::optional<absl::Status> why_;
  uint64_t bytes_ = 0;
  bool ended_ = false;
};

TEST_F(SpliceTest, TellsBothEndsCarriesBytesAndPassesOnHalfCloses) {
  Join({});
  EXPECT_EQ(Hear(*left_, 1), std::string(1, kCircuitJoined));
  EXPECT_EQ(Hear(*right_, 1), std::string(1, kCircuitJoined));
  Say(*left_, "to the right");
  EXPECT_EQ(Hear(*right_, 12), "to the right");
  left_->shutdown(tcp::socket::shutdown_send);
  EXPECT_EQ(Hear(*right_, 1), "");
  EXPECT_TRUE(ended_);
  Say(*right_, "to the left");
  EXPECT_EQ(Hear(*left_, 11), "to the left") << "the other direction goes on";
  right_->shutdown(tcp::socket::shutdown_send);
  ASSERT_TRUE(RunUntil([&] { return why_.has_value(); }));
  EXPECT_EQ(*why_, absl::OkStatus());
  EXPECT_EQ(bytes_, 23U);
  EXPECT_EQ(copy_, "to the rightto the left");
}

TEST_F(SpliceTest, PassesOnWhatCameWithTheHeader) {
  Join({}, "early");
  EXPECT_EQ(Hear(*right_, 6), std::string(1, kCircuitJoined) + "early");
  EXPECT_EQ(copy_, "early");
}

TEST_F(SpliceTest, NeverCarriesMoreThanItsLimit) {
  Join({.max_bytes = 10});
  Say(*left_, "12345");
  EXPECT_EQ(Hear(*right_, 6), std::string(1, kCircuitJoined) + "12345");
  Say(*right_, "678901");
  ASSERT_TRUE(RunUntil([&] { return why_.has_value(); }));
  EXPECT_EQ(why_->code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReasonOf(*why_), reason::kLimit);
  EXPECT_EQ(bytes_, 5U);
  EXPECT_EQ(copy_, "12345");
}

TEST_F(SpliceTest, AHeaderWithMoreThanTheLimitEndsItBeforeABytePasses) {
  Join({.max_bytes = 4}, "early");
  ASSERT_TRUE(RunUntil([&] { return why_.has_value(); }));
  EXPECT_EQ(why_->code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(bytes_, 0U);
}

TEST_F(SpliceTest, EndsAtItsDeadline) {
  Join({.max_time = absl::Milliseconds(20)});
  ASSERT_TRUE(RunUntil([&] { return why_.has_value(); }));
  EXPECT_EQ(why_->code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(Hear(*left_, 2), std::string(1, kCircuitJoined));
  EXPECT_TRUE(ended_);
}

TEST_F(SpliceTest, CancelClosesBothAndCallsNobody) {
  Join({});
  EXPECT_EQ(Hear(*left_, 1).size(), 1U);
  operation_->Cancel();
  operation_->Cancel();
  EXPECT_EQ(Hear(*left_, 1), "");
  EXPECT_EQ(Hear(*right_, 2).size(), 1U);
  EXPECT_FALSE(why_.has_value());
}

TEST_F(SpliceTest, AnEndThatBreaksOffEndsIt) {
  Join({});
  EXPECT_EQ(Hear(*left_, 1).size(), 1U);
  left_->set_option(asio::socket_base::linger(true, 0));  // closing resets
  left_->close();
  ASSERT_TRUE(RunUntil([&] { return why_.has_value(); }));
  EXPECT_EQ(why_->code(), absl::StatusCode::kUnavailable);
}

TEST_F(SpliceTest, AnEndThatDoesNotReadSlowsTheOtherDown) {
  Join({});
  left_->non_blocking(true);
  const std::string piece(64 * 1024, 'x');
  std::error_code error;
  size_t taken = 0;
  // Until neither the kernel nor the splice takes more.
  while (true) {
    const size_t size = left_->write_some(asio::buffer(piece), error);
    taken += size;
    if (!error) continue;
    io_.restart();
    if (io_.poll() == 0) break;
  }
  EXPECT_EQ(error, asio::error::would_block);
  EXPECT_LT(taken, size_t{64} << 20);
  EXPECT_EQ(Hear(*right_, taken + 1).size(), taken + 1) << "and nothing is lost";
}

}  // namespace
}  // namespace dotagent::p2p
