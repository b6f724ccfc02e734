// Two nodes find each other through an avahi-daemon of the test's own, on a link of its own: a network and mount
// namespace that end with the test.
#include "services/host/mdns.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/base/random.h"
#include "common/crypto/keys.h"
#include "common/crypto/peer_id.h"

extern char** environ;

namespace dotagent::host {
namespace {

using ::testing::UnorderedElementsAre;

constexpr absl::Duration kPatience = absl::Seconds(30);
constexpr char kAvahi[] = "/usr/sbin/avahi-daemon";
constexpr char kDbus[] = "/usr/bin/dbus-daemon";

std::string NewPeerId() {
  SystemRandom random;
  return crypto::PeerIdFromKey(crypto::SigningKey::Generate(random).public_key());
}

// A child process, killed with this.
class Child {
 public:
  explicit Child(std::vector<std::string> arguments) {
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    EXPECT_EQ(posix_spawn(&pid_, argv[0], nullptr, nullptr, argv.data(), environ), 0) << arguments[0];
  }
  ~Child() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

 private:
  pid_t pid_ = -1;
};

// What one node has found. Thread-safe.
class Found {
 public:
  [[nodiscard]] std::function<void(const std::string&)> Collector() {
    return [this](const std::string& address) {
      absl::MutexLock lock(&mutex_);
      addresses_.insert(address);
    };
  }
  [[nodiscard]] bool AwaitAny() {
    absl::MutexLock lock(&mutex_);
    return mutex_.AwaitWithTimeout(
        absl::Condition(
            +[](std::set<std::string>* addresses) { return !addresses->empty(); }, &addresses_),
        kPatience);
  }
  [[nodiscard]] std::set<std::string> addresses() {
    absl::MutexLock lock(&mutex_);
    return addresses_;
  }

 private:
  absl::Mutex mutex_;
  std::set<std::string> addresses_;
};

class MdnsTest : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* program : {kAvahi, kDbus}) {
      if (access(program, X_OK) != 0) GTEST_SKIP() << program << " is not installed";
    }
    if (unshare(CLONE_NEWNET | CLONE_NEWNS) != 0) {
      GTEST_SKIP() << "a network namespace needs root: " << std::strerror(errno);
    }
    folder_ = absl::StrCat(testing::TempDir(), "/mdns-", getpid());
    std::filesystem::create_directories(folder_);
    // avahi-daemon keeps its pid file and socket in /run, and there may be another one.
    ASSERT_EQ(mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0) << std::strerror(errno);
    ASSERT_EQ(mount("none", "/run", "tmpfs", 0, nullptr), 0) << std::strerror(errno);
    ASSERT_EQ(std::system("ip link set lo up && ip link add link0 type veth peer name link1 && ip link set link1 up && "
                          "ip address add 10.77.0.1/24 dev link0 && ip link set link0 up"),
              0);
    StartDaemons();
  }
  void TearDown() override {
    avahi_.reset();
    dbus_.reset();
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }

  void StartDaemons() {
    const std::string bus = absl::StrCat("unix:path=", folder_, "/bus");
    std::ofstream(folder_ + "/bus.conf")
        << "<busconfig><type>system</type><listen>" << bus
        << "</listen><auth>EXTERNAL</auth><policy context=\"default\">"
           "<allow send_destination=\"*\" eavesdrop=\"true\"/><allow eavesdrop=\"true\"/>"
           "<allow own=\"*\"/><allow user=\"*\"/></policy></busconfig>";
    std::ofstream(folder_ + "/avahi.conf")
        << "[server]\nhost-name=node\nuse-ipv4=yes\nuse-ipv6=no\nallow-interfaces=link0\n"
           "[publish]\npublish-workstation=no\n[wide-area]\nenable-wide-area=no\n";
    setenv("DBUS_SYSTEM_BUS_ADDRESS", bus.c_str(), 1);
    int ready[2];
    ASSERT_EQ(pipe(ready), 0) << std::strerror(errno);
    dbus_.emplace(std::vector<std::string>{kDbus, "--nofork", absl::StrCat("--config-file=", folder_, "/bus.conf"),
                                           absl::StrCat("--print-address=", ready[1])});
    close(ready[1]);
    // It says its address when it listens there.
    char first = 0;
    ASSERT_EQ(read(ready[0], &first, 1), 1) << "dbus-daemon did not start";
    close(ready[0]);
    avahi_.emplace(std::vector<std::string>{kAvahi, "--no-drop-root", "--no-chroot", "--no-rlimits",
                                            absl::StrCat("--file=", folder_, "/avahi.conf")});
  }

  std::string folder_;
  std::optional<Child> dbus_;
  std::optional<Child> avahi_;
};

TEST_F(MdnsTest, NodesFindEachOtherAlsoAfterTheDaemonCameBack) {
  Found by_alice;
  Found by_bob;
  const std::string alice_id = NewPeerId();
  const std::string bob_id = NewPeerId();
  auto alice = Mdns::Start({.peer_id = alice_id, .port = 4001, .found = by_alice.Collector()});
  ASSERT_TRUE(alice.ok()) << alice.status();
  {
    const auto bob = Mdns::Start({.peer_id = bob_id, .port = 4002, .found = by_bob.Collector()});
    ASSERT_TRUE(bob.ok()) << bob.status();
    EXPECT_TRUE(by_alice.AwaitAny());
    EXPECT_TRUE(by_bob.AwaitAny());
    EXPECT_THAT(by_alice.addresses(), UnorderedElementsAre(absl::StrCat("/ip4/10.77.0.1/tcp/4002/p2p/", bob_id)));
    EXPECT_THAT(by_bob.addresses(), UnorderedElementsAre(absl::StrCat("/ip4/10.77.0.1/tcp/4001/p2p/", alice_id)));
  }

  avahi_.reset();
  std::filesystem::remove_all("/run/avahi-daemon");
  avahi_.emplace(std::vector<std::string>{kAvahi, "--no-drop-root", "--no-chroot", "--no-rlimits",
                                          absl::StrCat("--file=", folder_, "/avahi.conf")});
  Found by_carol;
  const auto carol = Mdns::Start({.peer_id = NewPeerId(), .port = 4003, .found = by_carol.Collector()});
  ASSERT_TRUE(carol.ok()) << carol.status();
  EXPECT_TRUE(by_carol.AwaitAny()) << "alice has announced herself to the new daemon";
  EXPECT_THAT(by_carol.addresses(), UnorderedElementsAre(absl::StrCat("/ip4/10.77.0.1/tcp/4001/p2p/", alice_id)));
}

}  // namespace
}  // namespace dotagent::host
