#include "common/session/noise.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "common/base/bytes.h"

namespace dotagent::session {
namespace {

// haskell-cryptography/cacophony, vectors/cacophony.txt: Noise_XX_25519_ChaChaPoly_SHA256.
struct Message {
  const char* payload;
  const char* ciphertext;
};
constexpr const char* kPrologue = "4a6f686e2047616c74";
constexpr const char* kInitStatic = "e61ef9919cde45dd5f82166404bd08e38bceb5dfdfded0a34c8df7ed542214d1";
constexpr const char* kInitEphemeral = "893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a";
constexpr const char* kRespStatic = "4a3acbfdb163dec651dfa3194dece676d437029c62a408b4c5ea9114246e4893";
constexpr const char* kRespEphemeral = "bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b";
constexpr const char* kHandshakeHash = "c8e5f64e846193be2a834104c2a009868d6c9f3bd3c186299888b488b2f1f58e";
const std::vector<Message> kMessages = {
    {"4c756477696720766f6e204d69736573",
     "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c79444c756477696720766f6e204d69736573"},
    {"4d757272617920526f746862617264",
     "95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f14480884381cbad1f276e038c48378ffce2b65285e08d6b68aaa3629a"
     "5a8639392490e5b9bd5269c2f1e4f488ed8831161f19b7815528f8982ffe09be9b5c412f8a0db50f8814c7194e83f23dbd8d162c9326ad"},
    {"462e20412e20486179656b",
     "c7195ffacac1307ff99046f219750fc47693e23c3cb08b89c2af808b444850a80ae475b9df0f169ae80a89be0865b57f58c9fea0d4ec82a2"
     "86427402f113e4b6ae769a1d95941d49b25030"},
    {"4361726c204d656e676572", "96763ed773f8e47bb3712f0e29b3060ffc956ffc146cee53d5e1df"},
    {"4a65616e2d426170746973746520536179", "3e40f15f6f3a46ae446b253bf8b1d9ffb6ed9b174d272328ff91a7e2e5c79c07f5"},
    {"457567656e2042f6686d20766f6e2042617765726b",
     "eb3f3515110702e047a6c9da4478b6ead94873c11c0f2d710ddb3f09fce024b3a58502ae3f"},
};

crypto::DhKey Key(const char* hex) { return *crypto::DhKey::FromPrivate(*HexDecode(hex)); }

HandshakeState Initiator() { return {Role::kDialler, *HexDecode(kPrologue), Key(kInitStatic), Key(kInitEphemeral)}; }
HandshakeState Responder() { return {Role::kListener, *HexDecode(kPrologue), Key(kRespStatic), Key(kRespEphemeral)}; }

TEST(NoiseTest, CacophonyVector) {
  HandshakeState initiator = Initiator();
  HandshakeState responder = Responder();
  for (int i = 0; i < 3; ++i) {
    HandshakeState& writer = i % 2 == 0 ? initiator : responder;
    HandshakeState& reader = i % 2 == 0 ? responder : initiator;
    std::string message;
    ASSERT_TRUE(writer.WriteMessage(*HexDecode(kMessages[i].payload), &message).ok());
    EXPECT_EQ(HexEncode(message), kMessages[i].ciphertext) << "message " << i;
    const auto payload = reader.ReadMessage(message);
    ASSERT_TRUE(payload.ok()) << payload.status();
    EXPECT_EQ(HexEncode(*payload), kMessages[i].payload);
  }
  ASSERT_TRUE(initiator.finished());
  ASSERT_TRUE(responder.finished());
  EXPECT_EQ(HexEncode(initiator.handshake_hash()), kHandshakeHash);
  EXPECT_EQ(HexEncode(responder.handshake_hash()), kHandshakeHash);
  EXPECT_EQ(initiator.remote_static(), Key(kRespStatic).public_bytes());
  EXPECT_EQ(responder.remote_static(), Key(kInitStatic).public_bytes());

  CipherPair of_initiator = initiator.Split();
  CipherPair of_responder = responder.Split();
  for (int i = 3; i < 6; ++i) {  // the vector goes on in turns: the responder is next
    CipherState& sender = i % 2 == 0 ? of_initiator.send : of_responder.send;
    CipherState& receiver = i % 2 == 0 ? of_responder.receive : of_initiator.receive;
    std::string sealed;
    sender.Seal("", *HexDecode(kMessages[i].payload), &sealed);
    EXPECT_EQ(HexEncode(sealed), kMessages[i].ciphertext) << "message " << i;
    std::string opened;
    ASSERT_TRUE(receiver.Open("", sealed, &opened).ok());
    EXPECT_EQ(HexEncode(opened), kMessages[i].payload);
  }
}

TEST(NoiseTest, AnyChangedBitOfTheSecondOrThirdMessageIsNoticed) {
  for (size_t bit = 0; bit < 8 * 111; bit += 7) {
    HandshakeState initiator = Initiator();
    HandshakeState responder = Responder();
    std::string first;
    std::string second;
    ASSERT_TRUE(initiator.WriteMessage("", &first).ok());
    ASSERT_TRUE(responder.ReadMessage(first).ok());
    ASSERT_TRUE(responder.WriteMessage("payload of 15 b", &second).ok());
    ASSERT_EQ(second.size(), 32U + 48 + 16 + 15);
    second[bit / 8] = static_cast<char>(second[bit / 8] ^ (1 << (bit % 8)));
    // The top bit of an X25519 key is ignored by the key agreement, but not by the transcript.
    EXPECT_FALSE(initiator.ReadMessage(second).ok()) << "bit " << bit;
  }
  HandshakeState initiator = Initiator();
  HandshakeState responder = Responder();
  std::string messages[3];
  ASSERT_TRUE(initiator.WriteMessage("", &messages[0]).ok());
  ASSERT_TRUE(responder.ReadMessage(messages[0]).ok());
  ASSERT_TRUE(responder.WriteMessage("", &messages[1]).ok());
  ASSERT_TRUE(initiator.ReadMessage(messages[1]).ok());
  ASSERT_TRUE(initiator.WriteMessage("", &messages[2]).ok());
  messages[2].back() = static_cast<char>(messages[2].back() ^ 1);
  EXPECT_EQ(responder.ReadMessage(messages[2]).status().code(), absl::StatusCode::kDataLoss);
}

TEST(NoiseTest, AnotherPrologueFailsTheHandshake) {
  HandshakeState initiator = Initiator();
  HandshakeState responder(Role::kListener, "another", Key(kRespStatic), Key(kRespEphemeral));
  std::string first;
  std::string second;
  ASSERT_TRUE(initiator.WriteMessage("", &first).ok());
  ASSERT_TRUE(responder.ReadMessage(first).ok());
  ASSERT_TRUE(responder.WriteMessage("", &second).ok());
  EXPECT_EQ(initiator.ReadMessage(second).status().code(), absl::StatusCode::kDataLoss);
}

TEST(NoiseTest, TurnsAreKept) {
  HandshakeState initiator = Initiator();
  HandshakeState responder = Responder();
  std::string out;
  EXPECT_EQ(responder.WriteMessage("", &out).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(initiator.ReadMessage(std::string(32, 'x')).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(responder.ReadMessage("short").status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(NoiseTest, LowOrderKeysAreRefused) {
  HandshakeState responder = Responder();
  ASSERT_TRUE(responder.ReadMessage(std::string(32, '\0')).ok());  // no agreement yet
  std::string out;
  EXPECT_FALSE(responder.WriteMessage("", &out).ok());
}

// RUSTSEC-2024-0011: a forged message must not move the receiver's nonce.
TEST(NoiseTest, NonceStaysWhenAMessageDoesNotAuthenticate) {
  const std::string key(32, 'k');
  CipherState sender(key);
  CipherState receiver(key);
  std::string sealed;
  sender.Seal("", "hello", &sealed);
  std::string opened;
  EXPECT_EQ(receiver.Open("", std::string(21, 'x'), &opened).code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(receiver.nonce(), 0U);
  EXPECT_EQ(opened, "");
  ASSERT_TRUE(receiver.Open("", sealed, &opened).ok());
  EXPECT_EQ(opened, "hello");
  EXPECT_EQ(receiver.nonce(), 1U);
  EXPECT_FALSE(receiver.Open("", sealed, &opened).ok()) << "a replay";
}

// §4.2: REKEY(k) is the first 32 bytes of ENCRYPT(k, 2^64-1, "", 32 zeros); the nonce goes on.
TEST(NoiseTest, RekeyIsTheSpecifications) {
  const std::string old_key(32, 'k');
  CipherState sender(old_key);
  std::string sealed;
  sender.Seal("", "one", &sealed);
  sender.Rekey();
  sealed.clear();
  sender.Seal("", "two", &sealed);

  std::string new_key;
  crypto::Aead(old_key).Seal(*HexDecode("00000000ffffffffffffffff"), "", std::string(32, '\0'), &new_key);
  std::string expected;
  crypto::Aead(new_key.substr(0, 32)).Seal(*HexDecode("000000000100000000000000"), "", "two", &expected);
  EXPECT_EQ(HexEncode(sealed), HexEncode(expected));
}

}  // namespace
}  // namespace dotagent::session
