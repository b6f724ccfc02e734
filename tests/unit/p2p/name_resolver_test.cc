#include "common/p2p/name_resolver.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <asio/io_context.hpp>
#include <cstdio>
#include <fstream>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/random.h"
#include "common/crypto/keys.h"
#include "common/crypto/peer_id.h"

namespace dotagent::p2p {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

std::vector<std::string> Texts(const std::vector<Multiaddr>& addresses) {
  std::vector<std::string> texts;
  for (const Multiaddr& address : addresses) texts.push_back(address.ToString());
  return texts;
}

std::vector<std::string> At(const std::string& name, const std::vector<std::string>& addresses) {
  std::vector<asio::ip::address> parsed;
  for (const std::string& address : addresses) parsed.push_back(asio::ip::make_address(address));
  return Texts(AtAddresses(*Multiaddr::Parse(name), parsed));
}

TEST(AtAddressesTest, ANameOfSeveralAddressesIsSeveralNodes) {
  EXPECT_THAT(At("/dns/pods.example/tcp/4001", {"10.1.0.1", "10.1.0.2", "10.1.0.3", "fd00::1"}),
              ElementsAre("/ip4/10.1.0.1/tcp/4001", "/ip4/10.1.0.2/tcp/4001", "/ip4/10.1.0.3/tcp/4001",
                          "/ip6/fd00::1/tcp/4001"));
}

TEST(AtAddressesTest, EachOnceAndWithThePeerThatIsWanted) {
  SeededRandom random(1);
  const std::string peer =
      absl::StrCat("/p2p/", crypto::PeerIdFromKey(crypto::SigningKey::Generate(random).public_key()));
  EXPECT_THAT(At(absl::StrCat("/dns4/pods.example/tcp/4001", peer), {"10.1.0.1", "10.1.0.2", "10.1.0.1"}),
              ElementsAre(absl::StrCat("/ip4/10.1.0.1/tcp/4001", peer), absl::StrCat("/ip4/10.1.0.2/tcp/4001", peer)));
}

TEST(AtAddressesTest, LinkLocalOnesAreOfNoUse) {
  EXPECT_THAT(At("/dns/pods.example/tcp/4001", {"fe80::1", "fd00::1"}), ElementsAre("/ip6/fd00::1/tcp/4001"));
  EXPECT_THAT(At("/dns6/pods.example/tcp/4001", {"fe80::1"}), IsEmpty());
}

absl::StatusOr<std::vector<Multiaddr>> Resolve(const std::string& name) {
  asio::io_context context;
  const auto resolver = NewSystemNameResolver(context.get_executor());
  std::optional<absl::StatusOr<std::vector<Multiaddr>>> answer;
  resolver->Resolve(*Multiaddr::Parse(name), [&](auto addresses) { answer = std::move(addresses); });
  context.run();
  return answer.value_or(absl::InternalError("it was not called back"));
}

// A system whose /etc/hosts knows one name more, for this thread and those that it starts.
bool KnowName(const std::string& hosts) {
  if (unshare(CLONE_NEWNS) != 0 || mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return false;
  const std::string path = absl::StrCat(testing::TempDir(), "hosts-", getpid());
  std::ofstream(path) << hosts;
  const bool mounted = mount(path.c_str(), "/etc/hosts", nullptr, MS_BIND, nullptr) == 0;
  std::remove(path.c_str());
  return mounted;
}

TEST(SystemNameResolverTest, EveryAddressOfAName) {
  bool known = false;
  std::thread([&] {
    known = KnowName("10.1.0.1 pods.test\n10.1.0.2 pods.test\n10.1.0.3 pods.test\nfd00::1 pods.test\n");
    if (!known) return;
    const auto four = Resolve("/dns4/pods.test/tcp/4001");
    ASSERT_EQ(four.status(), absl::OkStatus());
    EXPECT_THAT(Texts(*four),
                UnorderedElementsAre("/ip4/10.1.0.1/tcp/4001", "/ip4/10.1.0.2/tcp/4001", "/ip4/10.1.0.3/tcp/4001"));
    const auto six = Resolve("/dns6/pods.test/tcp/4001");
    ASSERT_EQ(six.status(), absl::OkStatus());
    EXPECT_THAT(Texts(*six), ElementsAre("/ip6/fd00::1/tcp/4001"));
    const auto any = Resolve("/dns/pods.test/tcp/4001");
    ASSERT_EQ(any.status(), absl::OkStatus());
    EXPECT_EQ(any->size(), 4);
  }).join();
  if (!known) GTEST_SKIP() << "a file system of its own needs root";
}

}  // namespace
}  // namespace dotagent::p2p
