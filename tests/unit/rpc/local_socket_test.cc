#include "common/rpc/local_socket.h"

#include <grpcpp/create_channel.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>

#include "common/base/status.h"
#include "common/rpc/server.h"

namespace dotagent::rpc {
namespace {

class LocalSocketTest : public testing::Test {
 protected:
  LocalSocketTest() {
    std::string made = testing::TempDir() + "/dotagent-XXXXXX";
    folder_ = mkdtemp(made.data());
    path_ = folder_ + "/mine/socket";
  }
  ~LocalSocketTest() override { std::filesystem::remove_all(folder_); }

  static mode_t ModeOf(const std::string& path) {
    struct stat info {};
    EXPECT_EQ(lstat(path.c_str(), &info), 0) << path;
    return info.st_mode & 07777;
  }

  std::string folder_;
  std::string path_;
};

TEST_F(LocalSocketTest, OnlyItsOwnerMayOpenIt) {
  const mode_t before = umask(0);
  const auto socket = ListenOnLocalSocket(path_);
  umask(before);
  ASSERT_TRUE(socket.ok()) << socket.status();
  EXPECT_EQ(ModeOf(path_), 0600u);
  EXPECT_EQ(ModeOf(folder_ + "/mine"), 0700u);
  close(socket->fd);
}

TEST_F(LocalSocketTest, ALiveSocketIsLeftAloneAndADeadOneReplaced) {
  const auto first = ListenOnLocalSocket(path_);
  ASSERT_TRUE(first.ok()) << first.status();
  const auto second = ListenOnLocalSocket(path_);
  EXPECT_TRUE(absl::IsUnavailable(second.status())) << second.status();
  EXPECT_EQ(ReasonOf(second.status()), reason::kUnreachable);
  close(first->fd);
  ASSERT_TRUE(std::filesystem::exists(path_));
  const auto third = ListenOnLocalSocket(path_);
  ASSERT_TRUE(third.ok()) << third.status();
  // A process that ends late does not take away its successor's socket.
  RemoveLocalSocket(path_, third->inode + 1);
  EXPECT_TRUE(std::filesystem::exists(path_));
  RemoveLocalSocket(path_, third->inode);
  EXPECT_FALSE(std::filesystem::exists(path_));
  close(third->fd);
}

TEST_F(LocalSocketTest, OtherFilesAndOpenFoldersAreRefused) {
  std::ofstream(folder_ + "/file") << "precious";
  EXPECT_EQ(ReasonOf(ListenOnLocalSocket(folder_ + "/file").status()), reason::kStorage);
  EXPECT_TRUE(std::filesystem::exists(folder_ + "/file"));
  ASSERT_EQ(mkdir((folder_ + "/open").c_str(), 0700), 0);
  ASSERT_EQ(chmod((folder_ + "/open").c_str(), 0777), 0);
  const auto open = ListenOnLocalSocket(folder_ + "/open/socket");
  EXPECT_TRUE(absl::IsFailedPrecondition(open.status())) << open.status();
  EXPECT_FALSE(std::filesystem::exists(folder_ + "/open/socket"));
  EXPECT_TRUE(absl::IsFailedPrecondition(ListenOnLocalSocket(folder_ + "/no/such/socket").status()));
}

TEST_F(LocalSocketTest, PathsThatAreNoneAreRefused) {
  for (const std::string& path : {std::string(), std::string("socket"), folder_ + "/", "/" + std::string(107, 'a')}) {
    EXPECT_EQ(ReasonOf(ListenOnLocalSocket(path).status()), reason::kBadAddress) << path;
  }
}

TEST_F(LocalSocketTest, KnowsItsOwnUser) {
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  EXPECT_TRUE(IsSameUser(ends[0]));
  close(ends[0]);
  close(ends[1]);
  EXPECT_FALSE(IsSameUser(-1));
}

TEST_F(LocalSocketTest, CarriesGrpc) {
  auto server = Server::Start({.listen = "unix:" + path_}, {});
  ASSERT_TRUE(server.ok()) << server.status();
  EXPECT_EQ((*server)->port(), 0);
  const auto channel = grpc::CreateChannel("unix:" + path_, grpc::InsecureChannelCredentials());
  EXPECT_TRUE(channel->WaitForConnected(std::chrono::system_clock::now() + std::chrono::seconds(10)));
  (*server)->Drain(absl::ZeroDuration());
  EXPECT_FALSE(std::filesystem::exists(path_));
}

}  // namespace
}  // namespace dotagent::rpc
