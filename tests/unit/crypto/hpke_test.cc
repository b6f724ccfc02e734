#include "common/crypto/hpke.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "common/base/bytes.h"
#include "common/base/random.h"
#include "common/base/status.h"

namespace dotagent::crypto {
namespace {

std::string Hex(absl::string_view text) { return *HexDecode(text); }

// RFC 9180 A.2.1: mode base; the message of sequence number 0.
struct HpkeTest : testing::Test {
  [[nodiscard]] static DhKey Ephemeral() {
    return *DhKey::FromPrivate(Hex("f4ec9b33b792c372c1d2c2063507b684ef925b8c75a42dbcbf57d63ccd381600"));
  }
  const DhKey recipient = *DhKey::FromPrivate(Hex("8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb"));
  const std::string recipient_public = Hex("4310ee97d88cc1f088a5576c77ab0cf5c3ac797f3d95139c6c84b5429c59662a");
  const std::string info = Hex("4f6465206f6e2061204772656369616e2055726e");
  const std::string aad = Hex("436f756e742d30");
  const std::string plaintext = Hex("4265617574792069732074727574682c20747275746820626561757479");
  const std::string sealed =
      Hex("1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a"
          "1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28");
};

TEST_F(HpkeTest, AgreesWithRfc9180) {
  EXPECT_EQ(recipient.public_bytes(), recipient_public);
  const auto ours = HpkeSeal(Ephemeral(), recipient_public, info, aad, plaintext);
  ASSERT_TRUE(ours.ok()) << ours.status();
  EXPECT_EQ(HexEncode(*ours), HexEncode(sealed));
  const auto opened = HpkeOpen(recipient, info, aad, sealed);
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ(*opened, plaintext);
}

TEST_F(HpkeTest, OpensWhateverItSealed) {
  SeededRandom random(1);
  for (const size_t size : {0, 1, 63, 64, 65, 100'000}) {
    const std::string text = random.Bytes(size);
    const auto ours = HpkeSeal(DhKey::Generate(random), recipient_public, "", "", text);
    ASSERT_TRUE(ours.ok()) << ours.status();
    EXPECT_EQ(ours->size(), size + kHpkeOverhead);
    EXPECT_EQ(HpkeOpen(recipient, "", "", *ours).value_or("?"), text);
  }
}

TEST_F(HpkeTest, RefusesEveryChange) {
  for (size_t bit = 0; bit < sealed.size() * 8; ++bit) {
    std::string changed = sealed;
    changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ (1 << bit % 8));
    EXPECT_TRUE(absl::IsInvalidArgument(HpkeOpen(recipient, info, aad, changed).status())) << bit;
  }
  for (size_t size = 0; size < sealed.size(); ++size) {
    EXPECT_TRUE(absl::IsInvalidArgument(HpkeOpen(recipient, info, aad, sealed.substr(0, size)).status())) << size;
  }
  EXPECT_FALSE(HpkeOpen(recipient, info, aad, sealed + '\0').ok());
  EXPECT_FALSE(HpkeOpen(recipient, info + "x", aad, sealed).ok());
  EXPECT_FALSE(HpkeOpen(recipient, "", aad, sealed).ok());
  EXPECT_FALSE(HpkeOpen(recipient, info, aad + "x", sealed).ok());
  EXPECT_FALSE(HpkeOpen(recipient, info, "", sealed).ok());
  EXPECT_FALSE(HpkeOpen(Ephemeral(), info, aad, sealed).ok());
}

TEST_F(HpkeTest, RefusesKeysOfSmallOrderAtBothEnds) {
  // 0, 1, and a point of order 8.
  for (const std::string& key : {std::string(64, '0'), "01" + std::string(62, '0'),
                                 std::string("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800")}) {
    EXPECT_EQ(ReasonOf(HpkeSeal(Ephemeral(), Hex(key), info, aad, plaintext).status()), reason::kBadKey) << key;
    EXPECT_EQ(ReasonOf(HpkeOpen(recipient, info, aad, Hex(key) + sealed.substr(32)).status()), reason::kBadKey) << key;
  }
  EXPECT_EQ(ReasonOf(HpkeSeal(Ephemeral(), "short", info, aad, plaintext).status()), reason::kBadKey);
}

}  // namespace
}  // namespace dotagent::crypto
