#include "common/crypto/key_agreement.h"

#include <gtest/gtest.h>

#include <string>

#include "common/base/bytes.h"
#include "common/base/random.h"
#include "common/base/status.h"

namespace dotagent::crypto {
namespace {

TEST(KeyAgreementTest, BothHalvesAreOfOneKey) {
  SeededRandom random(1);
  for (int i = 0; i < 100; ++i) {
    const SigningKey alice = SigningKey::Generate(random);
    const SigningKey bob = SigningKey::Generate(random);
    const auto bobs = X25519PublicOf(bob.public_key());
    ASSERT_TRUE(bobs.ok()) << bobs.status();
    EXPECT_EQ(X25519KeyOf(bob).public_bytes(), *bobs);
    EXPECT_EQ(X25519KeyOf(alice).Agree(*bobs)->view(),
              X25519KeyOf(bob).Agree(*X25519PublicOf(alice.public_key()))->view());
  }
}

// The base point of Ed25519 (y = 4/5) is that of X25519 (u = 9): RFC 7748 §4.1.
TEST(KeyAgreementTest, MapsTheBasePoint) {
  const auto base = PublicKey::FromBytes(*HexDecode("58" + std::string(62, '6')));
  ASSERT_TRUE(base.ok()) << base.status();
  EXPECT_EQ(HexEncode(*X25519PublicOf(*base)), "09" + std::string(62, '0'));
}

TEST(KeyAgreementTest, RefusesPointsThatWouldGiveTheSecretAway) {
  // 1 is the neutral element, 0 has order 4; the last is no point.
  for (const std::string& bytes : {"01" + std::string(62, '0'), std::string(64, '0'), "02" + std::string(62, '0')}) {
    const PublicKey key = *PublicKey::FromUncheckedBytes(*HexDecode(bytes));
    const auto converted = X25519PublicOf(key);
    EXPECT_TRUE(absl::IsInvalidArgument(converted.status())) << bytes;
    EXPECT_EQ(ReasonOf(converted.status()), reason::kBadKey);
  }
}

}  // namespace
}  // namespace dotagent::crypto
