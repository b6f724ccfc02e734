#include "common/rpc/known_nodes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/crypto/peer_id.h"

namespace dotagent::rpc {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

crypto::PublicKey Key(uint64_t seed) {
  SeededRandom random(seed);
  return crypto::SigningKey::Generate(random).public_key();
}

class KnownNodesTest : public testing::Test {
 protected:
  ~KnownNodesTest() override { std::remove(path_.c_str()); }
  const std::string path_ = absl::StrCat(testing::TempDir(), "/known_nodes_", getpid(), "_",
                                         testing::UnitTest::GetInstance()->current_test_info()->name());
};

TEST_F(KnownNodesTest, RemembersTheFirstKeyAcrossObjects) {
  ASSERT_TRUE(KnownNodes::Open(path_)->CheckOrRemember("a:1", Key(1)).ok());
  EXPECT_TRUE(KnownNodes::Open(path_)->CheckOrRemember("a:1", Key(1)).ok());
  EXPECT_TRUE(KnownNodes::Open(path_)->CheckOrRemember("a:2", Key(2)).ok());
  const absl::Status changed = KnownNodes::Open(path_)->CheckOrRemember("a:1", Key(2));
  EXPECT_EQ(changed.code(), absl::StatusCode::kUnauthenticated);
  EXPECT_EQ(ReasonOf(changed), reason::kKeyMismatch);
  EXPECT_THAT(changed.message(), AllOf(HasSubstr("a:1"), HasSubstr(crypto::PeerIdFromKey(Key(1))), HasSubstr(path_)));
}

TEST_F(KnownNodesTest, TheFileIsReadableAndClosedToOthers) {
  ASSERT_TRUE(KnownNodes::Open(path_)->CheckOrRemember("a:1", Key(1)).ok());
  std::stringstream content;
  content << std::ifstream(path_).rdbuf();
  EXPECT_EQ(content.str(), absl::StrCat("a:1 ", crypto::PeerIdFromKey(Key(1)), "\n"));
  struct stat info {};
  ASSERT_EQ(stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600U);
}

TEST_F(KnownNodesTest, WithoutAFileItRemembersInMemory) {
  const auto known = KnownNodes::Open("");
  ASSERT_TRUE(known->CheckOrRemember("a:1", Key(1)).ok());
  EXPECT_FALSE(known->CheckOrRemember("a:1", Key(2)).ok());
  EXPECT_TRUE(KnownNodes::Open("")->CheckOrRemember("a:1", Key(2)).ok());
}

TEST_F(KnownNodesTest, AFileThatCannotBeWrittenIsAnError) {
  const absl::Status status = KnownNodes::Open("/nonexistent/folder/known")->CheckOrRemember("a:1", Key(1));
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(status.message(), HasSubstr("/nonexistent/folder/known"));
}

}  // namespace
}  // namespace dotagent::rpc
