#include "common/session/libp2p_noise.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/base/varint.h"

namespace dotagent::session {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Libp2pNoiseTest : public testing::Test {
 protected:
  SeededRandom random_{3};
  crypto::SigningKey key_ = crypto::SigningKey::Generate(random_);
  std::string static_ = random_.Bytes(32);
};

TEST_F(Libp2pNoiseTest, PayloadIsTheProtobufOfTheSpecification) {
  const auto payload =
      MakeHandshakePayload(key_, static_, {"/m"}, {.stream_window = 1, .connection_window = 300, .max_streams = 5});
  ASSERT_TRUE(payload.ok());
  const std::string signature = *key_.Sign(absl::StrCat("noise-libp2p-static-key:", static_));
  EXPECT_EQ(HexEncode(*payload), absl::StrCat("0a24", "08011220", HexEncode(key_.public_key().bytes()),  //
                                              "1240", HexEncode(signature),                              //
                                              "220e", "12022f6d", "824007", "0801", "10ac02", "1805"));
}

TEST_F(Libp2pNoiseTest, RoundTrip) {
  const auto payload = MakeHandshakePayload(key_, static_, {"/yamux/1.0.0", "/dotagent/mux/1.0.0"},
                                            {.stream_window = 65'536, .connection_window = 1, .max_streams = 9});
  const auto decoded = VerifyHandshakePayload(*payload, static_);
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(decoded->key, key_.public_key());
  EXPECT_THAT(decoded->muxers, ElementsAre("/yamux/1.0.0", "/dotagent/mux/1.0.0"));
  EXPECT_EQ(decoded->parameters.stream_window, 65'536U);
  EXPECT_EQ(decoded->parameters.connection_window, 1U);
  EXPECT_EQ(decoded->parameters.max_streams, 9U);
}

TEST_F(Libp2pNoiseTest, SignatureOfAnotherStaticKeyIsRefused) {
  const auto payload = MakeHandshakePayload(key_, static_, {}, {});
  const auto refused = VerifyHandshakePayload(*payload, random_.Bytes(32));
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kUnauthenticated);
  EXPECT_EQ(ReasonOf(refused.status()), reason::kBadSignature);
}

TEST_F(Libp2pNoiseTest, UnknownFieldsAreSkipped) {
  const std::string payload = *MakeHandshakePayload(key_, static_, {"/m"}, {});
  const std::string unknown = absl::StrCat(*HexDecode("2805"),                // varint
                                           *HexDecode("310102030405060708"),  // fixed64
                                           *HexDecode("3d01020304"),          // fixed32
                                           *HexDecode("42026869"));           // bytes
  const auto decoded = VerifyHandshakePayload(absl::StrCat(unknown, payload, unknown), static_);
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_THAT(decoded->muxers, ElementsAre("/m"));
}

TEST_F(Libp2pNoiseTest, MalformedPayloadsAreRefused) {
  const std::string payload = *MakeHandshakePayload(key_, static_, {"/m"}, {});
  // Every cut but the one before the extensions, which are optional.
  for (size_t cut = 0; cut < payload.size(); ++cut) {
    if (cut == 38 + 66) continue;
    EXPECT_FALSE(DecodeHandshakePayload(absl::string_view(payload).substr(0, cut)).ok()) << cut;
  }
  EXPECT_FALSE(DecodeHandshakePayload(absl::StrCat(payload, payload.substr(0, 38))).ok()) << "a second key";
  EXPECT_FALSE(DecodeHandshakePayload(absl::StrCat(payload, *HexDecode("0b"))).ok()) << "a group";
  EXPECT_FALSE(DecodeHandshakePayload(absl::StrCat(payload, *HexDecode("ffffffffffffffffffff01"))).ok());
  EXPECT_FALSE(DecodeHandshakePayload(absl::StrCat(payload, "\x2a\x80\x20", std::string(kMaxPayload, 'x'))).ok());

  const std::vector<std::string> many(kMaxMuxers + 1, "/m");
  const auto refused = DecodeHandshakePayload(*MakeHandshakePayload(key_, static_, many, {}));
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("muxers"));
}

TEST_F(Libp2pNoiseTest, OnlyEd25519KeysAreTaken) {
  std::string payload = *MakeHandshakePayload(key_, static_, {}, {});
  payload[3] = 2;  // KeyType Secp256k1
  EXPECT_FALSE(DecodeHandshakePayload(payload).ok());
}

}  // namespace
}  // namespace dotagent::session
