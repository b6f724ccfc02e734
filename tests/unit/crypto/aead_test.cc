#include "common/crypto/aead.h"

#include <gtest/gtest.h>

#include <string>

#include "common/base/bytes.h"
#include "common/base/random.h"

namespace dotagent::crypto {
namespace {

std::string Hex(absl::string_view text) { return *HexDecode(text); }

// RFC 8439 §2.8.2.
struct AeadTest : testing::Test {
  const std::string key = Hex("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f");
  const std::string nonce = Hex("070000004041424344454647");
  const std::string associated_data = Hex("50515253c0c1c2c3c4c5c6c7");
  const std::string plaintext =
      "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be "
      "it.";
  const std::string sealed =
      Hex("d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b"
          "1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc"
          "3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd0600691");
  const Aead aead{key};
};

TEST_F(AeadTest, AgreesWithRfc8439EachTimeItIsUsed) {
  for (int i = 0; i < 3; ++i) {
    std::string out = "before";
    aead.Seal(nonce, associated_data, plaintext, &out);
    EXPECT_EQ(out, "before" + sealed);
    out = "before";
    ASSERT_TRUE(aead.Open(nonce, associated_data, sealed, &out).ok());
    EXPECT_EQ(out, "before" + plaintext);
  }
}

TEST_F(AeadTest, RefusesEveryChangeOfOneBitAndLeavesTheOutputAlone) {
  std::string out = "before";
  for (size_t bit = 0; bit < sealed.size() * 8; ++bit) {
    std::string altered = sealed;
    altered[bit / 8] = static_cast<char>(altered[bit / 8] ^ (1 << (bit % 8)));
    ASSERT_FALSE(aead.Open(nonce, associated_data, altered, &out).ok()) << bit;
    ASSERT_EQ(out, "before");
  }
  // The key still works afterwards.
  EXPECT_TRUE(aead.Open(nonce, associated_data, sealed, &out).ok());
}

TEST_F(AeadTest, RefusesOtherNonceOtherDataOtherKeyAndCutInput) {
  std::string out;
  EXPECT_FALSE(aead.Open(NoiseNonce(0), associated_data, sealed, &out).ok());
  EXPECT_FALSE(aead.Open(nonce, "", sealed, &out).ok());
  EXPECT_FALSE(Aead(std::string(kAeadKeySize, 'k')).Open(nonce, associated_data, sealed, &out).ok());
  for (size_t size = 0; size < sealed.size(); ++size) {
    EXPECT_FALSE(aead.Open(nonce, associated_data, sealed.substr(0, size), &out).ok()) << size;
  }
  EXPECT_EQ(out, "");
}

TEST_F(AeadTest, SealsAndOpensAnySize) {
  SeededRandom random(1);
  for (const size_t size : {0, 1, 15, 16, 17, 63, 64, 65, 16384, 1 << 20}) {
    const std::string data = random.Bytes(size);
    std::string wire;
    aead.Seal(NoiseNonce(size), "", data, &wire);
    EXPECT_EQ(wire.size(), size + kAeadTagSize);
    std::string back;
    ASSERT_TRUE(aead.Open(NoiseNonce(size), "", wire, &back).ok()) << size;
    EXPECT_EQ(back, data);
  }
}

TEST_F(AeadTest, MovesWithItsKey) {
  Aead other(std::string(kAeadKeySize, 'k'));
  other = Aead(key);
  const Aead moved = std::move(other);
  std::string out;
  moved.Seal(nonce, associated_data, plaintext, &out);
  EXPECT_EQ(out, sealed);
}

TEST(AeadDeathTest, RefusesAKeyOrNonceOfAnotherSize) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  std::string out;
  EXPECT_DEATH(Aead(std::string(31, 'k')), "32 bytes");
  EXPECT_DEATH(Aead(std::string(32, 'k')).Seal("short", "", "text", &out), "12 bytes");
}

TEST(NoiseNonceTest, IsFourZeroBytesAndALittleEndianCounter) {
  EXPECT_EQ(HexEncode(NoiseNonce(0)), "000000000000000000000000");
  EXPECT_EQ(HexEncode(NoiseNonce(0x0102030405060708)), "000000000807060504030201");
}

}  // namespace
}  // namespace dotagent::crypto
