#include "common/capability/token.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/base/varint.h"
#include "common/crypto/hash.h"
#include "common/identity/statement.h"
#include "dotagent/capability/v1/token.pb.h"
#include "tests/unit/capability/token_samples.h"

namespace dotagent::capability {
namespace {

using testing::HasSubstr;

std::vector<std::string> BlocksOf(const std::string& token) {
  v1::Token message;
  EXPECT_TRUE(message.ParseFromString(token));
  return {message.blocks().begin(), message.blocks().end()};
}

std::string TokenOf(const std::vector<std::string>& blocks) {
  v1::Token message;
  for (const std::string& block : blocks) message.add_blocks(block);
  return message.SerializeAsString();
}

std::string ReasonFor(const std::string& token) {
  const absl::Status status = VerifyToken(token).status();
  EXPECT_LT(status.message().size(), 500U);
  return ReasonOf(status);
}

class TokenTest : public testing::Test {
 protected:
  // A block with `spoil` done to its fields, well signed by `signer`.
  std::string Signed(const std::string& block, const std::function<void(v1::TokenBlock&)>& spoil,
                     const crypto::SigningKey& signer, absl::string_view context = kTokenBlockContext) const {
    v1::TokenBlock fields;
    EXPECT_TRUE(fields.ParseFromString(identity::ParseStatement(block)->payload()));
    spoil(fields);
    return identity::SignStatement(signer, context, fields.SerializeAsString()).value().SerializeAsString();
  }
  std::string SpoiltRoot(const std::function<void(v1::TokenBlock&)>& spoil) {
    return ReasonFor(TokenOf({Signed(BlocksOf(samples_.Chain(1))[0], spoil, samples_.bob)}));
  }
  std::string SpoiltSecond(const std::function<void(v1::TokenBlock&)>& spoil) {
    const auto blocks = BlocksOf(samples_.Chain(2));
    return ReasonFor(TokenOf({blocks[0], Signed(blocks[1], spoil, samples_.alice)}));
  }
  absl::Status Allows(const Token& token, const crypto::PublicKey& presenter, absl::string_view resource,
                      absl::string_view action, absl::Time now = kNow) const {
    const std::vector<crypto::PublicKey> owners = {samples_.bob.public_key()};
    return token.Allows(
        {.owners = owners, .presenter = presenter, .resource = Resource::Parse(resource).value(), .action = action},
        now);
  }

  TokenSamples samples_;
};

TEST_F(TokenTest, SaysWhatWasSigned) {
  const auto token = VerifyToken(samples_.Chain(3));
  ASSERT_TRUE(token.ok()) << token.status();
  ASSERT_EQ(token->blocks().size(), 3U);
  const TokenBlock& root = token->blocks()[0];
  EXPECT_EQ(root.issuer, samples_.bob.public_key());
  EXPECT_EQ(root.audience, samples_.alice.public_key());
  EXPECT_EQ(root.resource.text(), "agent://bob.agent/calendar");
  EXPECT_EQ(root.actions, (std::vector<std::string>{"read", "write"}));
  EXPECT_EQ(root.not_before, kNow - absl::Hours(1));
  EXPECT_EQ(root.expires, kNow + absl::Hours(24));
  EXPECT_EQ(root.max_uses, 10U);
  EXPECT_EQ(root.nonce.size(), 16U);
  EXPECT_EQ(root.previous, "");
  EXPECT_EQ(token->blocks()[1].previous, root.id);
  EXPECT_EQ(token->blocks()[2].previous, token->blocks()[1].id);
  EXPECT_EQ(token->owner(), samples_.bob.public_key());
  EXPECT_TRUE(token->counted());
}

TEST_F(TokenTest, IdIsTheHashOfWhatWasSigned) {
  const std::string bytes = samples_.Chain(1);
  const std::string payload = identity::ParseStatement(BlocksOf(bytes)[0])->payload();
  EXPECT_EQ(VerifyToken(bytes)->last().id, crypto::Sha256(absl::StrCat(kTokenBlockContext, payload)));
}

TEST_F(TokenTest, AllowsItsHolderWhatItCovers) {
  const Token token = *VerifyToken(samples_.Chain(2));
  const crypto::PublicKey& carol = samples_.carol.public_key();
  EXPECT_TRUE(Allows(token, carol, "agent://bob.agent/calendar", "read").ok());
  EXPECT_TRUE(Allows(token, carol, "agent://bob.agent/calendar/events/7", "write").ok());
  EXPECT_EQ(ReasonOf(Allows(token, carol, "agent://bob.agent", "read")), reason::kNotCovered);
  EXPECT_EQ(ReasonOf(Allows(token, carol, "agent://bob.agent/calendars", "read")), reason::kNotCovered);
  EXPECT_EQ(ReasonOf(Allows(token, carol, "agent://bob.agent/calendar", "delete")), reason::kNotCovered);
  // Alice delegated it, and has her own.
  EXPECT_EQ(ReasonOf(Allows(token, samples_.alice.public_key(), "agent://bob.agent/calendar", "read")),
            reason::kKeyMismatch);
}

TEST_F(TokenTest, IsRefusedOutsideOfItsTime) {
  const Token token = *VerifyToken(samples_.Chain(1));
  const auto at = [&](absl::Time when) {
    return ReasonOf(Allows(token, samples_.alice.public_key(), "agent://bob.agent/calendar", "read", when));
  };
  const absl::Duration tick = absl::Milliseconds(1);
  EXPECT_EQ(at(token.last().not_before - tick), reason::kFutureDated);
  EXPECT_EQ(at(token.last().not_before), "");
  EXPECT_EQ(at(token.expires() - tick), "");
  EXPECT_EQ(at(token.expires()), reason::kStale);
}

TEST_F(TokenTest, OfSomebodyWhoOwnsNothingIsRefused) {
  const std::string forged = IssueToken(samples_.dave, TokenSamples::To(samples_.alice), samples_.Nonce()).value();
  EXPECT_EQ(ReasonOf(Allows(*VerifyToken(forged), samples_.alice.public_key(), "agent://bob.agent/calendar", "read")),
            reason::kNotOwner);
}

TEST_F(TokenTest, CutIsRefused) {
  const auto blocks = BlocksOf(samples_.Chain(3));
  EXPECT_EQ(ReasonFor(TokenOf({blocks[1], blocks[2]})), reason::kTokenCut);
  EXPECT_EQ(ReasonFor(TokenOf({blocks[2]})), reason::kTokenCut);
  // Cut at the end it is Alice's own token, and nobody else's.
  EXPECT_TRUE(VerifyToken(TokenOf({blocks[0]})).ok());
  // Between any two of its bytes.
  const std::string whole = samples_.Chain(2);
  const size_t boundary = TokenOf({BlocksOf(whole)[0]}).size();
  for (size_t size = 1; size < whole.size(); ++size) {
    if (size == boundary) continue;
    EXPECT_EQ(ReasonFor(whole.substr(0, size)), reason::kTokenCut) << size;
  }
}

TEST_F(TokenTest, SplicedIsRefused) {
  const auto blocks = BlocksOf(samples_.Chain(3));
  const auto other = BlocksOf(samples_.Chain(3));
  EXPECT_EQ(ReasonFor(TokenOf({blocks[0], other[1]})), reason::kTokenSpliced);
  EXPECT_EQ(ReasonFor(TokenOf({blocks[0], blocks[2]})), reason::kTokenSpliced);  // the middle one was taken out
  EXPECT_EQ(ReasonFor(TokenOf({blocks[0], other[0]})), reason::kTokenSpliced);
}

TEST_F(TokenTest, ReorderedIsRefused) {
  const auto blocks = BlocksOf(samples_.Chain(3));
  EXPECT_EQ(ReasonFor(TokenOf({blocks[1], blocks[0], blocks[2]})), reason::kTokenReordered);
  EXPECT_EQ(ReasonFor(TokenOf({blocks[0], blocks[2], blocks[1]})), reason::kTokenReordered);
}

TEST_F(TokenTest, ReplayedBlockIsRefused) {
  const auto blocks = BlocksOf(samples_.Chain(2));
  EXPECT_EQ(ReasonFor(TokenOf({blocks[0], blocks[1], blocks[1]})), reason::kTokenReplayed);
  EXPECT_EQ(ReasonFor(TokenOf({blocks[0], blocks[0]})), reason::kTokenReplayed);
}

TEST_F(TokenTest, WidenedIsRefused) {
  const auto widened = [&](const std::function<void(v1::TokenBlock&)>& spoil, const char* what) {
    const auto blocks = BlocksOf(samples_.Chain(2));
    const absl::Status status = VerifyToken(TokenOf({blocks[0], Signed(blocks[1], spoil, samples_.alice)})).status();
    EXPECT_EQ(ReasonOf(status), reason::kTokenWidened) << what;
    EXPECT_THAT(std::string(status.message()), HasSubstr(what));
    EXPECT_THAT(std::string(status.message()), HasSubstr("block 2"));
  };
  widened([](auto& block) { block.set_resource("agent://bob.agent"); }, "resource");
  widened([](auto& block) { block.set_resource("agent://bob.agent/calendars"); }, "resource");
  widened([](auto& block) { block.set_resource("agent://rob.agent/calendar"); }, "resource");
  widened([](auto& block) { block.set_actions(0, "admin"); }, "action");
  widened([](auto& block) { block.set_not_before_ms(block.not_before_ms() - 1); }, "times");
  widened([](auto& block) { block.set_expires_at_ms(block.expires_at_ms() + 1); }, "times");
  widened([](auto& block) { block.set_max_uses(11); }, "uses");
  widened([](auto& block) { block.clear_max_uses(); }, "uses");
  EXPECT_EQ(SpoiltSecond([](auto& block) { block.set_resource("agent://bob.agent/calendar/events"); }), "");
  EXPECT_EQ(SpoiltSecond([](auto& block) { block.mutable_actions()->RemoveLast(); }), "");
  EXPECT_EQ(SpoiltSecond([](auto& block) { block.set_max_uses(1); }), "");
  // A stranger signs on.
  const auto blocks = BlocksOf(samples_.Chain(2));
  EXPECT_EQ(ReasonFor(TokenOf(
                {blocks[0],
                 Signed(
                     blocks[1], [&](auto& block) { block.set_issuer(std::string(samples_.dave.public_key().bytes())); },
                     samples_.dave)})),
            reason::kTokenWidened);
}

TEST_F(TokenTest, UncountedMayBecomeCounted) {
  TokenGrant grant = TokenSamples::To(samples_.alice);
  grant.max_uses = 0;
  const std::string root = IssueToken(samples_.bob, grant, samples_.Nonce()).value();
  EXPECT_FALSE(VerifyToken(root)->counted());
  EXPECT_TRUE(DelegateToken(root, samples_.alice, TokenSamples::To(samples_.carol), samples_.Nonce()).ok());
}

TEST_F(TokenTest, FieldsKeepTheirRules) {
  EXPECT_EQ(SpoiltRoot([](auto&) {}), "");
  const std::vector<std::function<void(v1::TokenBlock&)>> spoils = {
      [](auto& block) { block.set_issuer(std::string(32, 'x')); },
      [](auto& block) { block.clear_audience(); },
      [](auto& block) { block.set_audience("short"); },
      [](auto& block) { block.set_resource("agent://bob.agent/../x"); },
      [](auto& block) { block.clear_resource(); },
      [](auto& block) { block.clear_actions(); },
      [](auto& block) { block.add_actions("admin"); },  // not in order
      [](auto& block) { block.add_actions("write"); },  // twice
      [](auto& block) { block.add_actions("x!"); },     // no action
      [](auto& block) { block.add_actions(""); },       // no action
      [](auto& block) { block.add_actions("z" + std::string(64, 'z')); },
      [](auto& block) {
        for (char c = 'a'; c <= 'q'; ++c) block.add_actions(std::string(1, 'x') + c);
      },
      [](auto& block) { block.clear_not_before_ms(); },
      [](auto& block) { block.set_not_before_ms(-1); },
      [](auto& block) { block.set_expires_at_ms(block.not_before_ms()); },
      [](auto& block) { block.set_expires_at_ms(block.not_before_ms() + 366 * int64_t{86'400'000} + 1); },
      [](auto& block) { block.set_max_uses(kMaxTokenUses + 1); },
      [](auto& block) { block.clear_nonce(); },
      [](auto& block) { block.set_nonce(std::string(17, 'n')); },
      [](auto& block) { block.set_previous("short"); },
  };
  for (size_t i = 0; i < spoils.size(); ++i) EXPECT_EQ(SpoiltRoot(spoils[i]), reason::kBadToken) << i;
}

TEST_F(TokenTest, SignatureIsVerified) {
  const auto blocks = BlocksOf(samples_.Chain(2));
  const auto nothing = [](v1::TokenBlock&) {};
  EXPECT_EQ(ReasonFor(TokenOf({Signed(blocks[0], nothing, samples_.bob, "dotagent token revocation v1\0")})),
            reason::kBadSignature);
  std::string flipped = blocks[1];
  flipped.back() = static_cast<char>(flipped.back() ^ 1);
  EXPECT_EQ(ReasonFor(TokenOf({blocks[0], flipped})), reason::kBadSignature);
  // The neutral point is a key for which anyone can sign.
  identity::v1::SignedStatement statement = *identity::ParseStatement(blocks[0]);
  std::string neutral(32, '\0');
  neutral[0] = 1;
  statement.set_public_key(neutral);
  statement.set_signature(neutral + std::string(32, '\0'));
  EXPECT_EQ(ReasonFor(TokenOf({statement.SerializeAsString()})), reason::kBadSignature);
}

TEST_F(TokenTest, UnknownFieldIsRefused) {
  const std::string block = BlocksOf(samples_.Chain(1))[0];
  const std::string unknown("\x50\x01", 2);  // field 10, varint
  EXPECT_EQ(ReasonFor(TokenOf({block}) + unknown), reason::kUnknownField);
  EXPECT_EQ(ReasonFor(TokenOf({block + unknown})), reason::kUnknownField);
  const std::string payload = identity::ParseStatement(block)->payload() + unknown;
  EXPECT_EQ(
      ReasonFor(TokenOf({identity::SignStatement(samples_.bob, kTokenBlockContext, payload)->SerializeAsString()})),
      reason::kUnknownField);
  // A rotation's second signature has no place here.
  identity::v1::SignedStatement statement = *identity::ParseStatement(block);
  statement.set_successor_signature(std::string(64, 's'));
  EXPECT_EQ(ReasonFor(TokenOf({statement.SerializeAsString()})), reason::kUnknownField);
}

TEST_F(TokenTest, OtherFormsAreRefused) {
  const std::string token = samples_.Chain(1);
  const std::string block = BlocksOf(token)[0];
  EXPECT_EQ(ReasonFor(""), reason::kBadToken);
  EXPECT_EQ(ReasonFor(TokenOf({""})), reason::kBadToken);
  // A length in a longer varint than it needs.
  std::string length;
  AppendVarint(block.size(), &length);
  length.back() = static_cast<char>(length.back() | 0x80);
  EXPECT_EQ(ReasonFor(absl::StrCat("\x0a", length, absl::string_view("\0", 1), block)), reason::kBadToken);
  // Fields in another order, and one twice.
  const std::string payload = identity::ParseStatement(block)->payload();
  for (const std::string& other : {payload.substr(34) + payload.substr(0, 34), payload.substr(0, 34) + payload}) {
    EXPECT_EQ(
        ReasonFor(TokenOf({identity::SignStatement(samples_.bob, kTokenBlockContext, other)->SerializeAsString()})),
        reason::kBadToken);
  }
}

TEST_F(TokenTest, IsBounded) {
  std::string eight = samples_.Chain(1);
  for (size_t i = 1; i < kMaxTokenBlocks; ++i) {
    eight = DelegateToken(eight, samples_.alice, TokenSamples::To(samples_.alice), samples_.Nonce()).value();
  }
  EXPECT_TRUE(VerifyToken(eight).ok());
  EXPECT_EQ(ReasonOf(DelegateToken(eight, samples_.alice, TokenSamples::To(samples_.alice), samples_.Nonce()).status()),
            reason::kLimit);
  std::vector<std::string> blocks = BlocksOf(eight);
  blocks.push_back("x");
  EXPECT_EQ(ReasonFor(TokenOf(blocks)), reason::kTooLarge);
  EXPECT_EQ(ReasonFor(TokenOf(std::vector<std::string>(4000))), reason::kTooLarge);
  EXPECT_EQ(ReasonFor(TokenOf(std::vector<std::string>(10'000, blocks[0]))), reason::kTooLarge);
  EXPECT_EQ(ReasonFor(std::string(kMaxTokenSize + 1, '\x0a')), reason::kTooLarge);
}

TEST_F(TokenTest, OnlyItsHolderDelegatesIt) {
  const std::string token = samples_.Chain(1);
  EXPECT_EQ(ReasonOf(DelegateToken(token, samples_.carol, TokenSamples::To(samples_.dave), samples_.Nonce()).status()),
            reason::kKeyMismatch);
  TokenGrant wider = TokenSamples::To(samples_.carol);
  wider.resource = "agent://bob.agent";
  EXPECT_EQ(ReasonOf(DelegateToken(token, samples_.alice, wider, samples_.Nonce()).status()), reason::kTokenWidened);
}

}  // namespace
}  // namespace dotagent::capability
