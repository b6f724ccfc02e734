// Others' cases for Ed25519 (vectors/README.md), and those of "Taming the many EdDSAs" that are made from the curve's
// constants here: what a lax verifier takes and ours must not.
#include <gtest/gtest.h>

#include <array>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/bytes.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/crypto/keys.h"

namespace dotagent::crypto {
namespace {

std::string Bytes(absl::string_view hex) { return hex == "-" ? std::string() : HexDecode(hex).value(); }

// The lines of a file, in words; from the word `rest` on they are one.
std::vector<std::vector<std::string>> ReadVectors(const std::string& name, size_t rest) {
  std::ifstream file(absl::StrCat(DOTAGENT_SOURCE_DIR, "/tests/unit/crypto/vectors/", name));
  std::vector<std::vector<std::string>> lines;
  for (std::string line; std::getline(file, line);) {
    lines.push_back(absl::StrSplit(line, absl::MaxSplits(' ', rest)));
  }
  return lines;
}

// As everyone must verify who has the key as bytes.
absl::Status VerifyFromBytes(const std::string& key, const std::string& message, const std::string& signature) {
  ASSIGN_OR_RETURN(const PublicKey parsed, PublicKey::FromBytes(key));
  return Verify(parsed, message, signature);
}

TEST(KeyVectorsTest, WycheproofAgrees) {
  const auto cases = ReadVectors("wycheproof_ed25519.txt", 4);
  ASSERT_EQ(cases.size(), 151u);
  size_t valid = 0;
  for (const auto& words : cases) {
    ASSERT_EQ(words.size(), 5u);
    const absl::Status status = VerifyFromBytes(Bytes(words[1]), Bytes(words[2]), Bytes(words[3]));
    EXPECT_EQ(status.ok(), words[0] == "valid") << words[4] << ": " << status;
    if (words[0] == "valid") ++valid;
    if (!status.ok()) {
      EXPECT_EQ(ReasonOf(status), reason::kBadSignature) << words[4];
    }
  }
  EXPECT_EQ(valid, 88u);
}

TEST(KeyVectorsTest, NoneOfTheSpeccheckCasesPasses) {
  const auto cases = ReadVectors("speccheck.txt", 2);
  ASSERT_EQ(cases.size(), 12u);
  for (size_t i = 0; i < cases.size(); ++i) {
    const std::string key = Bytes(cases[i][0]);
    const std::string message = Bytes(cases[i][1]);
    const std::string signature = Bytes(cases[i][2]);
    EXPECT_FALSE(VerifyFromBytes(key, message, signature).ok()) << i;
    // Case 3, with a small-order component in the key and in R that cancel, verifies by RFC 8032's own equation; it is
    // the check of the key that refuses it.
    EXPECT_EQ(Verify(PublicKey::FromUncheckedBytes(key).value(), message, signature).ok(), i == 3) << i;
  }
}

// Little-endian 2^255 - 19 + `offset`, with the sign bit or without.
std::string FieldElement(int offset, bool sign) {
  std::string bytes(32, '\xff');
  bytes[0] = static_cast<char>(0xed + offset);
  bytes[31] = static_cast<char>(sign ? 0xff : 0x7f);
  return bytes;
}

// The eight points of small order, and every second encoding that they have (Table 1 of the paper's appendix).
std::vector<std::string> SmallOrderEncodings() {
  std::vector<std::string> all;
  for (const bool sign : {false, true}) {
    for (const unsigned char y : {0, 1}) {
      std::string bytes(32, '\0');
      bytes[0] = static_cast<char>(y);
      if (sign) bytes[31] = '\x80';
      all.push_back(bytes);
    }
    for (const int offset : {-1, 0, 1}) all.push_back(FieldElement(offset, sign));
    for (const char* y : {"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
                          "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"}) {
      std::string bytes = Bytes(y);
      if (sign) bytes[31] = static_cast<char>(bytes[31] | '\x80');
      all.push_back(bytes);
    }
  }
  return all;
}

TEST(KeyVectorsTest, NoPointOfSmallOrderIsAKeyOrAnR) {
  SeededRandom random(1);
  const SigningKey key = SigningKey::Generate(random);
  const std::vector<std::string> encodings = SmallOrderEncodings();
  EXPECT_EQ(encodings.size(), 14u);
  for (const std::string& point : encodings) {
    EXPECT_EQ(ReasonOf(PublicKey::FromBytes(point).status()), reason::kBadKey) << HexEncode(point);
    // With S = 0 such a key verifies, under lax rules, any message whose hash is a multiple of its order.
    const PublicKey unchecked = PublicKey::FromUncheckedBytes(point).value();
    for (int i = 0; i < 16; ++i) {
      const std::string signature = absl::StrCat(point, std::string(32, '\0'));
      EXPECT_FALSE(Verify(unchecked, absl::StrCat("message ", i), signature).ok()) << HexEncode(point);
      EXPECT_FALSE(Verify(key.public_key(), absl::StrCat("message ", i), signature).ok()) << HexEncode(point);
    }
  }
}

TEST(KeyVectorsTest, NoCoordinateAboveTheFieldIsAKey) {
  for (int offset = 0; offset < 19; ++offset) {
    for (const bool sign : {false, true}) {
      EXPECT_EQ(ReasonOf(PublicKey::FromBytes(FieldElement(offset, sign)).status()), reason::kBadKey) << offset << sign;
    }
  }
}

// S + L, S + 2L, … verify under lax rules, so that one signature would have many forms.
TEST(KeyVectorsTest, ASignatureHasOneForm) {
  const std::string order = Bytes("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
  SeededRandom random(2);
  const SigningKey key = SigningKey::Generate(random);
  const std::string good = key.Sign("message").value();
  ASSERT_TRUE(Verify(key.public_key(), "message", good).ok());
  std::string bad = good;
  for (int multiple = 1; multiple < 16; ++multiple) {
    int carry = 0;
    for (size_t i = 0; i < 32; ++i) {
      carry += static_cast<unsigned char>(bad[32 + i]) + static_cast<unsigned char>(order[i]);
      bad[32 + i] = static_cast<char>(carry);
      carry >>= 8;
    }
    if (carry != 0) break;
    EXPECT_EQ(ReasonOf(Verify(key.public_key(), "message", bad)), reason::kBadSignature) << multiple;
  }
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string flipped = good;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_FALSE(Verify(key.public_key(), "message", flipped).ok()) << bit;
  }
}

}  // namespace
}  // namespace dotagent::crypto
