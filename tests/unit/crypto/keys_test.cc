#include "common/crypto/keys.h"

#include <gtest/gtest.h>

#include <string>
#include <type_traits>
#include <utility>

#include "common/base/bytes.h"
#include "common/base/random.h"
#include "common/base/status.h"

namespace dotagent::crypto {
namespace {

std::string Hex(absl::string_view text) { return *HexDecode(text); }

static_assert(!std::is_copy_constructible_v<SigningKey> && !std::is_copy_constructible_v<DhKey>);

// The message of "TEST 1024".
constexpr char kLongMessage[] =
    "08b8b2b733424243760fe426a4b54908632110a66c2f6591eabd3345e3e4eb98fa6e264bf09efe12ee50f8f54e9f77b1e355f6c50544e23f"
    "b1433ddf73be84d879de7c0046dc4996d9e773f4bc9efe5738829adb26c81b37c93a1b270b20329d658675fc6ea534e0810a4432826bf58c"
    "941efb65d57a338bbd2e26640f89ffbc1a858efcb8550ee3a5e1998bd177e93a7363c344fe6b199ee5d02e82d522c4feba15452f80288a82"
    "1a579116ec6dad2b3b310da903401aa62100ab5d1a36553e06203b33890cc9b832f79ef80560ccb9a39ce767967ed628c6ad573cb116dbef"
    "efd75499da96bd68a8a97b928a8bbc103b6621fcde2beca1231d206be6cd9ec7aff6f6c94fcd7204ed3455c68c83f4a41da4af2b74ef5c53"
    "f1d8ac70bdcb7ed185ce81bd84359d44254d95629e9855a94a7c1958d1f8ada5d0532ed8a5aa3fb2d17ba70eb6248e594e1a2297acbbb39d"
    "502f1a8c6eb6f1ce22b3de1a1f40cc24554119a831a9aad6079cad88425de6bde1a9187ebb6092cf67bf2b13fd65f27088d78b7e883c8759"
    "d2c4f5c65adb7553878ad575f9fad878e80a0c9ba63bcbcc2732e69485bbc9c90bfbd62481d9089beccf80cfe2df16a2cf65bd92dd597b07"
    "07e0917af48bbb75fed413d238f5555a7a569d80c3414a8d0859dc65a46128bab27af87a71314f318c782b23ebfe808b82b0ce26401d2e22"
    "f04d83d1255dc51addd3b75a2b1ae0784504df543af8969be3ea7082ff7fc9888c144da2af58429ec96031dbcad3dad9af0dcbaaaf268cb8"
    "fcffead94f3c7ca495e056a9b47acdb751fb73e666c6c655ade8297297d07ad1ba5e43f1bca32301651339e22904cc8c42f58c30c04aafdb"
    "038dda0847dd988dcda6f3bfd15c4b4c4525004aa06eeff8ca61783aacec57fb3d1f92b0fe2fd1a85f6724517b65e614ad6808d6f6ee34df"
    "f7310fdc82aebfd904b01e1dc54b2927094b2db68d6f903b68401adebf5a7e08d78ff4ef5d63653a65040cf9bfd4aca7984a74d371459867"
    "80fc0b16ac451649de6188a7dbdf191f64b5fc5e2ab47b57f7f7276cd419c17a3ca8e1b939ae49e488acba6b965610b5480109c8b17b80e1"
    "b7b750dfc7598d5d5011fd2dcc5600a32ef5b52a1ecc820e308aa342721aac0943bf6686b64b2579376504ccc493d97e6aed3fb0f9cd71a4"
    "3dd497f01f17c0e2cb3797aa2a2f256656168e6c496afc5fb93246f6b1116398a346f1a641f3b041e989f7914f90cc2c7fff357876e506b5"
    "0d334ba77c225bc307ba537152f3f1610e4eafe595f6d9d90d11faa933a15ef1369546868a7f3a45a96768d40fd9d03412c091c6315cf4fd"
    "e7cb68606937380db2eaaa707b4c4185c32eddcdd306705e4dc1ffc872eeee475a64dfac86aba41c0618983f8741c5ef68d3a101e8a3b8ca"
    "c60c905c15fc910840b94c00a0b9d0";

struct Ed25519Vector {
  const char* seed;
  const char* public_key;
  const char* message;
  const char* signature;
};

// RFC 8032 §7.1.
const Ed25519Vector kVectors[] = {
    {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
     "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
     "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"},
    {"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
     "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
     "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"},
    {"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
     "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
     "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
     "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"},
    {"f5e5767cf153319517630f226876b86c8160cc583bc013744c6bf255f5cc0ee5",
     "278117fc144c72340f67d0f2316e8386ceffbf2b2428c9c51fef7c597f1d426e", kLongMessage,
     "0aab4c900501b3e24d7cdf4663326a3a87df5e4843b2cbdb67cbf6e460fec350"
     "aa5371b1508f9f4528ecea23c436d94b5e8fcd4f681e30a6ac00a9704a188a03"},
    {"833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
     "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
     "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
     "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
     "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b589"
     "09351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704"},
};

TEST(Ed25519Test, AgreesWithRfc8032) {
  for (const Ed25519Vector& vector : kVectors) {
    const absl::StatusOr<SigningKey> key = SigningKey::FromSeed(Hex(vector.seed));
    ASSERT_TRUE(key.ok());
    EXPECT_EQ(HexEncode(key->public_key().bytes()), vector.public_key);
    EXPECT_EQ(HexEncode(key->Sign(Hex(vector.message)).value()), vector.signature);
    EXPECT_EQ(HexEncode(key->seed().view()), vector.seed);

    const absl::StatusOr<PublicKey> public_key = PublicKey::FromBytes(Hex(vector.public_key));
    ASSERT_TRUE(public_key.ok()) << public_key.status();
    EXPECT_TRUE(Verify(*public_key, Hex(vector.message), Hex(vector.signature)).ok());
  }
}

TEST(Ed25519Test, RefusesEveryChangeOfOneBit) {
  const Ed25519Vector& vector = kVectors[2];
  const PublicKey key = PublicKey::FromBytes(Hex(vector.public_key)).value();
  for (size_t bit = 0; bit < kSignatureSize * 8; ++bit) {
    std::string signature = Hex(vector.signature);
    signature[bit / 8] = static_cast<char>(signature[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_EQ(ReasonOf(Verify(key, Hex(vector.message), signature)), reason::kBadSignature) << bit;
  }
  EXPECT_FALSE(Verify(key, Hex("af83"), Hex(vector.signature)).ok());
  EXPECT_FALSE(Verify(key, Hex("af8200"), Hex(vector.signature)).ok());
  EXPECT_FALSE(
      Verify(PublicKey::FromBytes(Hex(kVectors[0].public_key)).value(), Hex("af82"), Hex(vector.signature)).ok());
  EXPECT_FALSE(Verify(PublicKey(), Hex("af82"), Hex(vector.signature)).ok());
}

TEST(Ed25519Test, RefusesASignatureOfAnotherSize) {
  const PublicKey key = PublicKey::FromBytes(Hex(kVectors[0].public_key)).value();
  const std::string signature = Hex(kVectors[0].signature);
  EXPECT_FALSE(Verify(key, "", "").ok());
  EXPECT_FALSE(Verify(key, "", signature.substr(0, 63)).ok());
  EXPECT_FALSE(Verify(key, "", signature + '\0').ok());
}

// Without a check of S < L (RFC 8032 §5.1.7), S + L would make a second valid signature of the same message.
TEST(Ed25519Test, RefusesTheMalleatedSignature) {
  const PublicKey key = PublicKey::FromBytes(Hex(kVectors[0].public_key)).value();
  EXPECT_FALSE(Verify(key, "",
                      Hex("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
                          "4c8c7872aa064e049dbb3013fbf29380d25bf5f0595bbe24655141438e7a101b"))
                   .ok());
}

// With a small-order R and S = 0, a lax verifier takes R ‖ 0 for many messages under a small-order key.
TEST(Ed25519Test, RefusesASmallOrderR) {
  const PublicKey key = PublicKey::FromBytes(Hex(kVectors[0].public_key)).value();
  const std::string identity = '\x01' + std::string(31, '\0');
  for (int i = 0; i < 16; ++i) {
    EXPECT_FALSE(Verify(key, std::to_string(i), identity + std::string(32, '\0')).ok());
  }
}

TEST(PublicKeyTest, RefusesWhatNoHonestKeyIs) {
  const std::pair<const char*, const char*> bad[] = {
      // The eight points of small order.
      {"order 1", "0100000000000000000000000000000000000000000000000000000000000000"},
      {"order 2", "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"},
      {"order 4", "0000000000000000000000000000000000000000000000000000000000000000"},
      {"order 4", "0000000000000000000000000000000000000000000000000000000000000080"},
      {"order 8", "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"},
      {"order 8", "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85"},
      {"order 8", "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"},
      {"order 8", "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa"},
      // Not canonical: y is p + 3, p + 18 (both on the curve once reduced), p and p + 1; and x = 0 with a sign.
      {"y = p + 3", "f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"},
      {"y = p + 18", "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"},
      {"y = p", "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"},
      {"y = p + 1", "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"},
      {"minus zero", "0100000000000000000000000000000000000000000000000000000000000080"},
      {"off the curve", "0200000000000000000000000000000000000000000000000000000000000000"},
      // The key of the first vector plus a point of order 8.
      {"mixed order", "9158312a9a8d6e3b34c891d6d61444f8b8211c5117ebad15bdb0bd68b07e0245"},
  };
  for (const auto& [what, bytes] : bad) {
    EXPECT_EQ(ReasonOf(PublicKey::FromBytes(Hex(bytes)).status()), reason::kBadKey) << what;
  }
  const std::string good = Hex(kVectors[0].public_key);
  for (const std::string& bytes : {std::string(), good.substr(0, 31), good + '\0'}) {
    EXPECT_EQ(ReasonOf(PublicKey::FromBytes(bytes).status()), reason::kBadKey) << bytes.size();
  }
}

TEST(SigningKeyTest, GenerateWhereTakesTheFirstKeyThatIsWanted) {
  SeededRandom random(1);
  int tried = 0;
  const auto key = SigningKey::GenerateWhere(random, 10'000, [&](const PublicKey& candidate) {
    ++tried;
    return candidate.data()[0] == 0x42;
  });
  ASSERT_TRUE(key);
  EXPECT_EQ(key->public_key().data()[0], 0x42);
  EXPECT_TRUE(Verify(key->public_key(), "message", key->Sign("message").value()).ok());
  EXPECT_EQ(SigningKey::FromSeed(key->seed().view())->public_key(), key->public_key());
  // The keys of one source are those that Generate makes of it.
  SeededRandom again(1);
  for (int i = 1; i < tried; ++i) EXPECT_NE(SigningKey::Generate(again).public_key().data()[0], 0x42);
  EXPECT_EQ(SigningKey::Generate(again).public_key(), key->public_key());
}

TEST(SigningKeyTest, GenerateWhereGivesUp) {
  SeededRandom random(1);
  int tried = 0;
  EXPECT_FALSE(SigningKey::GenerateWhere(random, 5, [&](const PublicKey&) { return ++tried > 5; }));
  EXPECT_EQ(tried, 5);
  EXPECT_FALSE(SigningKey::GenerateWhere(random, 0, [](const PublicKey&) { return true; }));
}

TEST(SigningKeyTest, SignsWhatItsPublicKeyVerifies) {
  SystemRandom random;
  SigningKey key = SigningKey::Generate(random);
  const SigningKey other = SigningKey::Generate(random);
  EXPECT_NE(key.public_key(), other.public_key());
  EXPECT_TRUE(PublicKey::FromBytes(key.public_key().bytes()).ok());
  const SigningKey moved = std::move(key);
  const std::string signature = moved.Sign("message").value();
  EXPECT_TRUE(Verify(moved.public_key(), "message", signature).ok());
  EXPECT_FALSE(Verify(other.public_key(), "message", signature).ok());
}

TEST(SigningKeyTest, RefusesASeedOfAnotherSize) {
  EXPECT_EQ(ReasonOf(SigningKey::FromSeed(std::string(31, 's')).status()), reason::kBadKey);
  EXPECT_EQ(ReasonOf(SigningKey::FromSeed(std::string(64, 's')).status()), reason::kBadKey);
}

// RFC 7748 §5.2.
TEST(X25519Test, AgreesWithRfc7748) {
  const char* vectors[][3] = {
      {"a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
       "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
       "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"},
      {"4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
       "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
       "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957"},
  };
  for (const auto& [scalar, point, product] : vectors) {
    const auto shared = DhKey::FromPrivate(Hex(scalar))->Agree(Hex(point));
    ASSERT_TRUE(shared.ok()) << shared.status();
    EXPECT_EQ(HexEncode(shared->view()), product);
  }
}

TEST(X25519Test, AgreesWithRfc7748After1000Rounds) {
  std::string k = '\x09' + std::string(31, '\0');
  std::string u = k;
  for (int round = 1; round <= 1000; ++round) {
    const auto shared = DhKey::FromPrivate(k)->Agree(u).value();
    u = k;
    k = std::string(shared.view());
    if (round == 1) {
      EXPECT_EQ(HexEncode(k), "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079");
    }
  }
  EXPECT_EQ(HexEncode(k), "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51");
}

// RFC 7748 §6.1.
TEST(X25519Test, TwoSidesAgree) {
  const DhKey alice =
      DhKey::FromPrivate(Hex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")).value();
  const DhKey bob = DhKey::FromPrivate(Hex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")).value();
  EXPECT_EQ(HexEncode(alice.public_bytes()), "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
  EXPECT_EQ(HexEncode(bob.public_bytes()), "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
  const char kShared[] = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742";
  EXPECT_EQ(HexEncode(alice.Agree(bob.public_bytes())->view()), kShared);
  EXPECT_EQ(HexEncode(bob.Agree(alice.public_bytes())->view()), kShared);
}

TEST(X25519Test, RefusesPointsThatGiveAKnownSecret) {
  SystemRandom random;
  const DhKey key = DhKey::Generate(random);
  const char* points[] = {
      "0000000000000000000000000000000000000000000000000000000000000000",
      "0100000000000000000000000000000000000000000000000000000000000000",
      "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
      "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
      "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
      "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
      "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
  };
  for (const char* point : points) {
    EXPECT_EQ(ReasonOf(key.Agree(Hex(point)).status()), reason::kBadKey) << point;
  }
  EXPECT_FALSE(key.Agree("").ok());
  EXPECT_FALSE(key.Agree(std::string(33, '\x09')).ok());
  EXPECT_FALSE(DhKey::FromPrivate(std::string(31, 'k')).ok());
}

}  // namespace
}  // namespace dotagent::crypto
