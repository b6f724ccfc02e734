#include "common/crypto/peer_id.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "common/base/bytes.h"
#include "common/base/random.h"
#include "common/base/status.h"

namespace dotagent::crypto {
namespace {

// The Ed25519 vector of the libp2p peer-ids specification.
constexpr char kProtobuf[] = "080112201ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e";
constexpr char kPeerId[] = "12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq";

TEST(PeerIdTest, AgreesWithTheLibp2pSpecification) {
  const absl::StatusOr<PublicKey> key = DecodeLibp2pKey(*HexDecode(kProtobuf));
  ASSERT_TRUE(key.ok()) << key.status();
  EXPECT_EQ(HexEncode(EncodeLibp2pKey(*key)), kProtobuf);
  EXPECT_EQ(PeerIdFromKey(*key), kPeerId);
  const absl::StatusOr<PublicKey> back = KeyFromPeerId(kPeerId);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(*back, *key);
}

TEST(PeerIdTest, RoundTripsAndDiffersForEachKey) {
  SeededRandom random(1);
  std::set<std::string> seen;
  for (int i = 0; i < 50; ++i) {
    const SigningKey key = SigningKey::Generate(random);
    const std::string id = PeerIdFromKey(key.public_key());
    EXPECT_TRUE(seen.insert(id).second);
    EXPECT_EQ(KeyFromPeerId(id).value(), key.public_key());
  }
}

TEST(PeerIdTest, RefusesWhatIsNotAnEd25519PeerId) {
  const std::string good = kPeerId;
  const std::string bad[] = {
      "",
      "1",
      good + "1",
      "1" + good,
      good.substr(1),
      good.substr(0, good.size() - 1),
      "12D3KooW0tg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq",  // 0 is not in the alphabet
      " " + good,
      good + "\n",
      "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N",         // a hashed RSA key: the key itself is not in it
      "16Uiu2HAmLhLvBoYaoZfaMUKuibM6ac163GwKY74c5kiSLg5KvLpY",  // secp256k1
      std::string(1000000, 'z'),
  };
  for (const std::string& text : bad) {
    const absl::StatusOr<PublicKey> key = KeyFromPeerId(text);
    ASSERT_FALSE(key.ok()) << text;
    EXPECT_EQ(ReasonOf(key.status()), reason::kBadAddress);
  }
}

TEST(Libp2pKeyTest, RefusesOtherTypesSizesAndPoints) {
  const std::string good = *HexDecode(kProtobuf);
  std::string rsa = good;
  rsa[1] = 0;
  std::string small_order = good.substr(0, 4) + '\x01' + std::string(31, '\0');
  for (const std::string& bytes : {std::string(), good.substr(0, 35), good + '\0', rsa, small_order}) {
    EXPECT_EQ(ReasonOf(DecodeLibp2pKey(bytes).status()), reason::kBadKey) << HexEncode(bytes);
  }
}

}  // namespace
}  // namespace dotagent::crypto
