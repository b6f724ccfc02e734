#include "common/crypto/hash.h"

#include <gtest/gtest.h>

#include <string>

#include "common/base/bytes.h"

namespace dotagent::crypto {
namespace {

std::string Hex(absl::string_view text) { return *HexDecode(text); }

struct Vector {
  std::string input;
  const char* digest;
};

// FIPS 180-2, appendix B, and the empty message of NIST's byte-oriented vectors.
TEST(Sha256Test, AgreesWithNist) {
  const Vector vectors[] = {
      {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
      {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
      {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
       "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
      {std::string(1000000, 'a'), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"},
  };
  for (const Vector& vector : vectors) {
    EXPECT_EQ(HexEncode(Sha256(vector.input)), vector.digest);
  }
}

TEST(Sha256StreamTest, DoesNotCareHowTheDataIsCut) {
  const std::string data(1000, 'x');
  for (const size_t piece : {1, 7, 63, 64, 65, 999}) {
    Sha256Stream stream;
    for (size_t at = 0; at < data.size(); at += piece) {
      stream.Update(absl::string_view(data).substr(at, piece));
    }
    Sha256Stream moved = std::move(stream);
    EXPECT_EQ(moved.Finish(), Sha256(data)) << piece;
  }
}

TEST(Sha256StreamTest, IsSha256OfEveryLength) {
  for (size_t size = 0; size < 600; ++size) {
    const std::string data(size, static_cast<char>(size));
    Sha256Stream stream;
    stream.Update(data);
    EXPECT_EQ(Sha256(data), stream.Finish()) << size;
  }
}

// RFC 4231 §4. Case 5 is printed there cut to 128 bits.
TEST(HmacSha256Test, AgreesWithRfc4231) {
  struct HmacVector {
    std::string key;
    std::string data;
    const char* mac;
  };
  const HmacVector vectors[] = {
      {std::string(20, '\x0b'), "Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
      {"Jefe", "what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
      {std::string(20, '\xaa'), std::string(50, '\xdd'),
       "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
      {Hex("0102030405060708090a0b0c0d0e0f10111213141516171819"), std::string(50, '\xcd'),
       "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"},
      {std::string(20, '\x0c'), "Test With Truncation", "a3b6167473100ee06e0c796c2955552b"},
      {std::string(131, '\xaa'), "Test Using Larger Than Block-Size Key - Hash Key First",
       "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
      {std::string(131, '\xaa'),
       "This is a test using a larger than block-size key and a larger than block-size data. The key needs to be "
       "hashed "
       "before being used by the HMAC algorithm.",
       "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"},
  };
  for (const HmacVector& vector : vectors) {
    const std::string mac = HexEncode(HmacSha256(vector.key, vector.data));
    EXPECT_EQ(mac.substr(0, std::string(vector.mac).size()), vector.mac);
  }
}

TEST(HmacSha256Test, TakesAnEmptyKey) {
  EXPECT_EQ(HexEncode(HmacSha256(absl::string_view(), absl::string_view())),
            "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

// RFC 5869 A.1 and A.3: with no info, HKDF-Expand's first two blocks are Noise's two outputs, and HKDF-Extract's salt
// is its chaining key. A.3 has no salt, which stands for 32 zero bytes.
TEST(NoiseHkdf2Test, IsRfc5869WithoutInfo) {
  const auto [first, second] = NoiseHkdf2(std::string(32, '\0'), std::string(22, '\x0b'));
  EXPECT_EQ(HexEncode(first + second).substr(0, 84),
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8");
}

}  // namespace
}  // namespace dotagent::crypto
