#include "services/host/node_key.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <string>

#include "absl/status/status.h"
#include "common/base/status.h"
#include "common/crypto/key_file.h"

namespace dotagent::host {
namespace {

using ::testing::HasSubstr;

class NodeKeyTest : public testing::Test {
 protected:
  NodeKeyTest() {
    std::string folder = testing::TempDir() + "/node_key_test_XXXXXX";
    EXPECT_NE(mkdtemp(folder.data()), nullptr);
    folder_ = folder;
    path_ = folder_ + "/node.pem";
  }
  ~NodeKeyTest() override { std::filesystem::remove_all(folder_); }

  SeededRandom random_{1};
  const SimulatedClock clock_{absl::UnixEpoch()};
  std::string folder_;
  std::string path_;
};

TEST_F(NodeKeyTest, TheFirstStartMakesAKeyThatSolvesThePuzzleAndTheNextReadsIt) {
  const auto made = ReadOrMakeNodeKey(path_, 5, random_, clock_);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_TRUE(dht::SolvesStatic((*made)->public_key(), 5));
  const auto read = ReadOrMakeNodeKey(path_, 4, random_, clock_);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ((*read)->public_key(), (*made)->public_key());
}

TEST_F(NodeKeyTest, WithoutAPuzzleAnyKeyDoes) {
  const auto made = ReadOrMakeNodeKey(path_, 0, random_, clock_);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ((*ReadOrMakeNodeKey(path_, 0, random_, clock_))->public_key(), (*made)->public_key());
}

TEST_F(NodeKeyTest, AKeyThatDoesNotSolveItIsRefusedAndKept) {
  ASSERT_TRUE(crypto::WriteKeyFile(path_, crypto::SigningKey::Generate(random_), std::nullopt).ok());
  const auto refused = ReadOrMakeNodeKey(path_, 30, random_, clock_);
  EXPECT_TRUE(absl::IsFailedPrecondition(refused.status()));
  EXPECT_EQ(ReasonOf(refused.status()), reason::kBadKey);
  EXPECT_THAT(refused.status().message(), HasSubstr(path_));
  EXPECT_THAT(refused.status().message(), HasSubstr("30 bits"));
  EXPECT_TRUE(std::filesystem::exists(path_));
}

TEST_F(NodeKeyTest, ASignalThatWaitsEndsLongWorkAndLeavesNoKey) {
  sigset_t term;
  sigemptyset(&term);
  sigaddset(&term, SIGTERM);
  ASSERT_EQ(pthread_sigmask(SIG_BLOCK, &term, nullptr), 0);
  ASSERT_EQ(pthread_kill(pthread_self(), SIGTERM), 0);
  const auto given_up = ReadOrMakeNodeKey(path_, dht::kMaxStaticBits, random_, clock_);
  int taken = 0;
  sigwait(&term, &taken);
  pthread_sigmask(SIG_UNBLOCK, &term, nullptr);
  EXPECT_EQ(taken, SIGTERM);
  EXPECT_TRUE(absl::IsCancelled(given_up.status())) << given_up.status();
  EXPECT_FALSE(std::filesystem::exists(path_));
}

}  // namespace
}  // namespace dotagent::host
