#include "common/p2p/later.h"

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "tests/unit/p2p/fixtures.h"

namespace dotagent::p2p {
namespace {

class LaterTest : public testing::Test {
 protected:
  LaterTest() {
    loop_.Run([&] { later_ = std::make_unique<Later>(loop_.executor()); });
  }
  ~LaterTest() override {
    loop_.Run([&] { later_.reset(); });
  }
  [[nodiscard]] auto Note(int what) {
    return [this, what] { ran_.push_back(what); };
  }
  [[nodiscard]] std::vector<int> WaitFor(size_t count) {
    EXPECT_TRUE(Eventually(loop_, [&] { return ran_.size() >= count; }));
    return loop_.Run([&] { return ran_; });
  }

  std::vector<int> ran_;  // on the loop
  Loop loop_;
  std::unique_ptr<Later> later_;
};

TEST_F(LaterTest, RunsInTheOrderOfTheirTimes) {
  loop_.Run([&] {
    later_->RunAfter(absl::Milliseconds(30), Note(3));
    later_->RunAfter(absl::Milliseconds(10), Note(1));
    later_->RunAfter(absl::Milliseconds(20), Note(2));
    later_->RunAfter(absl::ZeroDuration(), Note(0));
    EXPECT_TRUE(ran_.empty());  // never from inside
  });
  EXPECT_EQ(WaitFor(4), std::vector<int>({0, 1, 2, 3}));
}

TEST_F(LaterTest, NothingRunsTooEarly) {
  const auto began = std::chrono::steady_clock::now();
  loop_.Run([&] { later_->RunAfter(absl::Milliseconds(40), Note(1)); });
  EXPECT_EQ(WaitFor(1).size(), 1U);
  EXPECT_GE(std::chrono::steady_clock::now() - began, std::chrono::milliseconds(40));
}

TEST_F(LaterTest, LongDelaysEndInOrderAndNotTooEarly) {
  const auto began = std::chrono::steady_clock::now();
  loop_.Run([&] {
    later_->RunAfter(absl::Milliseconds(540), Note(2));
    later_->RunAfter(absl::Milliseconds(500), Note(0));
    later_->RunAfter(absl::Milliseconds(500), Note(1));
  });
  EXPECT_EQ(WaitFor(3), std::vector<int>({0, 1, 2}));
  EXPECT_GE(std::chrono::steady_clock::now() - began, std::chrono::milliseconds(540));
}

TEST_F(LaterTest, WhatRunsMayAskForMore) {
  loop_.Run([&] {
    later_->RunAfter(absl::Milliseconds(1), [this] {
      ran_.push_back(1);
      later_->RunAfter(absl::Milliseconds(1), Note(2));
      later_->RunAfter(absl::Hours(1), Note(3));
    });
  });
  EXPECT_EQ(WaitFor(2), std::vector<int>({1, 2}));
}

TEST_F(LaterTest, ItsEndDropsTheRest) {
  loop_.Run([&] {
    later_->RunAfter(absl::ZeroDuration(), [this] {
      ran_.push_back(1);
      later_.reset();
    });
    later_->RunAfter(absl::ZeroDuration(), Note(2));
    later_->RunAfter(absl::InfiniteDuration(), Note(3));
  });
  EXPECT_EQ(WaitFor(1), std::vector<int>({1}));
  loop_.Run([] {});
  loop_.Run([&] { EXPECT_EQ(ran_.size(), 1U); });
}

}  // namespace
}  // namespace dotagent::p2p
