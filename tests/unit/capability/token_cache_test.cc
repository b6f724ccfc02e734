#include "common/capability/token_cache.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "tests/unit/capability/token_samples.h"

namespace dotagent::capability {
namespace {

class TokenCacheTest : public testing::Test {
 protected:
  absl::Status Check(const std::string& token, const crypto::SigningKey& presenter, absl::string_view action = "read",
                     absl::Time now = kNow) {
    const std::vector<crypto::PublicKey> owners = {samples_.bob.public_key()};
    return cache_
        .Check(token,
               {.owners = owners,
                .presenter = presenter.public_key(),
                .resource = Resource::Parse("agent://bob.agent/calendar").value(),
                .action = action},
               now)
        .status();
  }
  void RevokeBlock(const std::string& block, const crypto::SigningKey& signer) {
    const std::string statement = SignTokenRevocation(signer, block, "", kNow).value();
    const auto revocation = VerifyTokenRevocation(statement, kNow);
    ASSERT_TRUE(revocation.ok()) << revocation.status();
    cache_.OnBlockRevoked(revocation->block, revocation->signer);
  }
  void RevokeKey(const crypto::SigningKey& key) {
    revoked_keys_.insert(key.public_key());
    cache_.OnKeyRevoked(key.public_key());
  }

  TokenSamples samples_;
  std::set<crypto::PublicKey> revoked_keys_;
  TokenCache cache_{2000, [this](const crypto::PublicKey& key) { return revoked_keys_.contains(key); }};
};

TEST_F(TokenCacheTest, VerifiesATokenOnce) {
  const std::string token = samples_.Chain(2);
  EXPECT_TRUE(Check(token, samples_.carol).ok());
  EXPECT_TRUE(Check(token, samples_.carol).ok());
  EXPECT_EQ(cache_.hits(), 1U);
  EXPECT_EQ(cache_.misses(), 1U);
  // What is asked for is looked at every time.
  EXPECT_EQ(ReasonOf(Check(token, samples_.alice)), reason::kKeyMismatch);
  EXPECT_EQ(ReasonOf(Check(token, samples_.carol, "delete")), reason::kNotCovered);
  EXPECT_EQ(ReasonOf(Check(token, samples_.carol, "read", kNow - absl::Hours(2))), reason::kFutureDated);
  EXPECT_EQ(cache_.hits(), 4U);
}

TEST_F(TokenCacheTest, ForgetsATokenThatEnded) {
  const std::string token = samples_.Chain(1);
  EXPECT_TRUE(Check(token, samples_.alice).ok());
  EXPECT_EQ(ReasonOf(Check(token, samples_.alice, "read", kNow + absl::Hours(24))), reason::kStale);
  EXPECT_EQ(cache_.size(), 0U);
  EXPECT_EQ(cache_.bytes(), 0U);
}

TEST_F(TokenCacheTest, KeepsWhatItsOwnerSignedAndItsHolderShowsOnly) {
  const std::string forged = IssueToken(samples_.dave, TokenSamples::To(samples_.alice), samples_.Nonce()).value();
  EXPECT_EQ(ReasonOf(Check(forged, samples_.alice)), reason::kNotOwner);
  EXPECT_EQ(ReasonOf(Check(samples_.Chain(1), samples_.dave)), reason::kKeyMismatch);
  EXPECT_EQ(cache_.size(), 0U);
  EXPECT_EQ(ReasonOf(Check(samples_.Chain(1), samples_.alice, "delete")), reason::kNotCovered);
  EXPECT_EQ(cache_.size(), 1U);
}

TEST_F(TokenCacheTest, IsBounded) {
  std::vector<std::string> tokens;
  for (int i = 0; i < 20; ++i) {
    tokens.push_back(samples_.Chain(1));
    EXPECT_TRUE(Check(tokens.back(), samples_.alice).ok());
    EXPECT_LE(cache_.bytes(), 2000U);
  }
  const size_t kept = 2000 / tokens[0].size();
  EXPECT_EQ(cache_.size(), kept);
  EXPECT_TRUE(Check(tokens.back(), samples_.alice).ok());
  EXPECT_EQ(cache_.hits(), 1U);
  EXPECT_TRUE(Check(tokens.front(), samples_.alice).ok());
  EXPECT_EQ(cache_.hits(), 1U);
}

TEST_F(TokenCacheTest, AnyBlockIsRevocable) {
  for (size_t block = 0; block < 3; ++block) {
    const std::string token = samples_.Chain(3);
    const Token parsed = *VerifyToken(token);
    EXPECT_TRUE(Check(token, samples_.dave).ok());
    const std::vector<const crypto::SigningKey*> issuers = {&samples_.bob, &samples_.alice, &samples_.carol};
    RevokeBlock(parsed.blocks()[block].id, *issuers[block]);
    EXPECT_EQ(ReasonOf(Check(token, samples_.dave)), reason::kTokenRevoked) << block;
    EXPECT_EQ(ReasonOf(Check(token, samples_.dave)), reason::kTokenRevoked) << "not only the first time";
    EXPECT_EQ(cache_.size(), 0U);
    // Another token of the same people's goes on.
    EXPECT_TRUE(Check(samples_.Chain(3), samples_.dave).ok());
    cache_.OnKeyRevoked(samples_.dave.public_key());  // empties it; the key itself is not revoked
    EXPECT_EQ(cache_.size(), 0U);
  }
}

TEST_F(TokenCacheTest, AnEarlierIssuerMayRevokeALaterBlock) {
  const std::string token = samples_.Chain(3);
  EXPECT_TRUE(Check(token, samples_.dave).ok());
  RevokeBlock(VerifyToken(token)->blocks()[2].id, samples_.bob);
  EXPECT_EQ(ReasonOf(Check(token, samples_.dave)), reason::kTokenRevoked);
}

TEST_F(TokenCacheTest, NobodyElseMayRevoke) {
  const std::string token = samples_.Chain(3);
  const Token parsed = *VerifyToken(token);
  EXPECT_TRUE(Check(token, samples_.dave).ok());
  RevokeBlock(parsed.blocks()[2].id, samples_.dave);   // its holder
  RevokeBlock(parsed.blocks()[0].id, samples_.alice);  // a later issuer
  EXPECT_TRUE(Check(token, samples_.dave).ok());
  EXPECT_EQ(cache_.hits(), 1U);
  // However many try, the issuer's own counts.
  for (int i = 0; i < 50; ++i) {
    RevokeBlock(parsed.blocks()[0].id, crypto::SigningKey::Generate(samples_.random));
  }
  RevokeBlock(parsed.blocks()[0].id, samples_.bob);
  EXPECT_EQ(ReasonOf(Check(token, samples_.dave)), reason::kTokenRevoked);
}

TEST_F(TokenCacheTest, ARevokedKeyEndsEveryTokenThatItIsIn) {
  for (const crypto::SigningKey* key : {&samples_.bob, &samples_.alice, &samples_.carol, &samples_.dave}) {
    revoked_keys_.clear();
    const std::string token = samples_.Chain(3);
    EXPECT_TRUE(Check(token, samples_.dave).ok());
    RevokeKey(*key);
    EXPECT_EQ(cache_.size(), 0U);
    EXPECT_EQ(ReasonOf(Check(token, samples_.dave)), reason::kKeyRevoked);
  }
}

TEST(TokenRevocationTest, RefusesWhatIsNone) {
  TokenSamples samples;
  const std::string good = SignTokenRevocation(samples.bob, std::string(32, 'b'), "lost", kNow).value();
  EXPECT_EQ(VerifyTokenRevocation(good, kNow)->reason, "lost");
  EXPECT_EQ(VerifyTokenRevocation(good, kNow)->signer, samples.bob.public_key());
  EXPECT_EQ(ReasonOf(VerifyTokenRevocation(good, kNow - absl::Hours(1)).status()), reason::kBadStatement);
  EXPECT_EQ(ReasonOf(VerifyTokenRevocation(good + "x", kNow).status()), reason::kBadStatement);
  EXPECT_EQ(ReasonOf(VerifyTokenRevocation(std::string(513, 'x'), kNow).status()), reason::kTooLarge);
  std::string flipped = good;
  flipped.back() = static_cast<char>(flipped.back() ^ 1);
  EXPECT_EQ(ReasonOf(VerifyTokenRevocation(flipped, kNow).status()), reason::kBadSignature);
  EXPECT_EQ(ReasonOf(SignTokenRevocation(samples.bob, "short", "", kNow).status()), reason::kBadStatement);
  EXPECT_EQ(ReasonOf(SignTokenRevocation(samples.bob, std::string(32, 'b'), "\xff", kNow).status()),
            reason::kBadStatement);
  EXPECT_EQ(ReasonOf(SignTokenRevocation(samples.bob, std::string(32, 'b'), std::string(257, 'x'), kNow).status()),
            reason::kBadStatement);
}

}  // namespace
}  // namespace dotagent::capability
