#include "common/crypto/secret.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <new>
#include <string>
#include <type_traits>
#include <utility>

#include "common/base/random.h"
#include "common/crypto/keys.h"

namespace dotagent::crypto {
namespace {

// The sanitizers make mlock do nothing.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kCanLock = false;
#elif defined(__has_feature)
constexpr bool kCanLock = !__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer);
#else
constexpr bool kCanLock = true;
#endif

static_assert(!std::is_copy_constructible_v<SecretBytes> && !std::is_copy_assignable_v<SecretBytes>);

TEST(SecretBytesTest, HoldsZerosOrACopy) {
  EXPECT_EQ(SecretBytes(4).view(), std::string(4, '\0'));
  EXPECT_EQ(SecretBytes("key").view(), "key");
  EXPECT_EQ(SecretBytes().size(), 0);
  EXPECT_EQ(SecretBytes("").view(), "");
}

TEST(SecretBytesTest, MovesWithoutCopying) {
  SecretBytes first("one");
  const uint8_t* const address = first.data();
  SecretBytes second(std::move(first));
  EXPECT_EQ(second.data(), address);
  SecretBytes third("three");
  third = std::move(second);
  EXPECT_EQ(third.data(), address);
  EXPECT_EQ(third.view(), "one");
}

TEST(SecretBytesDeathTest, EndsAtAGuardPage) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_DEATH(
      {
        SecretBytes secret(32);
        volatile uint8_t* const data = secret.data();
        data[32] = 1;
      },
      "");
}

TEST(SecretBytesTest, IsGoneFromMemoryAfterItsOwner) {
  const uint8_t* address = nullptr;
  {
    const SecretBytes secret("secret");
    address = secret.data();
  }
  // The page is unmapped: mincore says so without touching it.
  const auto page_size = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  unsigned char resident = 0;
  const auto page = reinterpret_cast<uintptr_t>(address) & ~(page_size - 1);
  EXPECT_EQ(mincore(reinterpret_cast<void*>(page), page_size, &resident), -1);
  EXPECT_EQ(errno, ENOMEM);
}

// What the kernel says of the mapping that holds an address (proc(5), VmFlags), between blanks.
std::string FlagsOfMapping(const void* address) {
  const auto wanted = reinterpret_cast<uintptr_t>(address);
  std::ifstream maps("/proc/self/smaps");
  bool here = false;
  for (std::string line; std::getline(maps, line);) {
    uintptr_t begin = 0;
    uintptr_t end = 0;
    if (std::sscanf(line.c_str(), "%zx-%zx ", &begin, &end) == 2) here = begin <= wanted && wanted < end;
    if (here && line.rfind("VmFlags:", 0) == 0) return line.substr(8) + " ";
  }
  return "";
}

// Of a secret's own bytes, and of what a key keeps; not of the memory around them.
TEST(SecretBytesTest, LivesInLockedMemoryThatNoCoreDumpHolds) {
  const SecretBytes secret("secret");
  SeededRandom random(1);
  const SigningKey key = SigningKey::Generate(random);
  for (const uint8_t* const data : {secret.data(), key.seed().data()}) {
    const std::string flags = FlagsOfMapping(data);
    EXPECT_EQ(flags.find(" lo ") != std::string::npos, kCanLock) << "not locked (is `ulimit -l` 0?):" << flags;
    EXPECT_NE(flags.find(" dd "), std::string::npos) << "core dumps would hold it:" << flags;
  }
  const std::string other = FlagsOfMapping(&secret);
  EXPECT_FALSE(other.empty());
  EXPECT_EQ(other.find(" lo "), std::string::npos) << "all is locked, so that this test says nothing:" << other;
}

static_assert(!std::is_copy_constructible_v<BriefSecret<4>> && !std::is_copy_assignable_v<BriefSecret<4>>);

TEST(BriefSecretTest, MovesAndWipesWhereItWas) {
  BriefSecret<4> first;
  EXPECT_EQ(first.view(), std::string(4, '\0'));
  std::memcpy(first.data(), "four", 4);
  BriefSecret<4> second(std::move(first));
  EXPECT_EQ(second.view(), "four");
  EXPECT_EQ(first.view(), std::string(4, '\0'));  // NOLINT(bugprone-use-after-move): what is left there is the point
  BriefSecret<4> third;
  third = std::move(second);
  EXPECT_EQ(third.view(), "four");
}

TEST(BriefSecretTest, IsWipedWithItsOwner) {
  alignas(BriefSecret<4>) unsigned char place[sizeof(BriefSecret<4>)] = {};
  auto* const secret = new (place) BriefSecret<4>();
  std::memcpy(secret->data(), "four", 4);
  secret->~BriefSecret();
  for (const unsigned char byte : place) EXPECT_EQ(byte, 0);
}

TEST(WipeTest, LeavesZeros) {
  std::string text = "secret";
  Wipe(text.data(), text.size());
  EXPECT_EQ(text, std::string(6, '\0'));
  Wipe(nullptr, 0);
}

}  // namespace
}  // namespace dotagent::crypto
