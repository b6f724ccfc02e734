#include "common/crypto/secret.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <new>
#include <string>
#include <type_traits>
#include <utility>

namespace dotagent::crypto {
namespace {

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
