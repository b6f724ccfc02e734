#include "services/gateway/token_table.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "common/base/status.h"

namespace dotagent::gateway_service {
namespace {

class TokenTableTest : public testing::Test {
 protected:
  SeededRandom random_{7};
  crypto::PublicKey alice_ = crypto::SigningKey::Generate(random_).public_key();
  crypto::PublicKey bob_ = crypto::SigningKey::Generate(random_).public_key();
  absl::Time now_ = absl::FromUnixSeconds(1'800'000'000);
  TokenTable table_{random_, {.lifetime = absl::Hours(1), .max_per_key = 2, .max_tokens = 3}};
};

TEST_F(TokenTableTest, ATokenNamesItsKey) {
  const auto issued = table_.Issue(alice_, now_);
  ASSERT_TRUE(issued.ok()) << issued.status();
  EXPECT_EQ(issued->expires, now_ + absl::Hours(1));
  EXPECT_EQ(issued->token.size(), 64u);
  const auto agent = table_.Check(issued->token, now_);
  ASSERT_TRUE(agent.ok()) << agent.status();
  EXPECT_EQ((*agent)->key, alice_);
}

TEST_F(TokenTableTest, RefusesWhatItDidNotIssue) {
  const auto issued = table_.Issue(alice_, now_);
  ASSERT_TRUE(issued.ok());
  std::string other = issued->token;
  other[0] = other[0] == 'a' ? 'b' : 'a';
  for (const std::string& token : {std::string(), std::string("x"), other, issued->token + "0"}) {
    const auto agent = table_.Check(token, now_);
    EXPECT_TRUE(absl::IsUnauthenticated(agent.status())) << token;
    EXPECT_EQ(ReasonOf(agent.status()), reason::kNotAuthenticated);
  }
}

TEST_F(TokenTableTest, ATokenEndsWithItsTime) {
  const auto issued = table_.Issue(alice_, now_);
  ASSERT_TRUE(issued.ok());
  EXPECT_TRUE(table_.Check(issued->token, issued->expires - absl::Milliseconds(1)).ok());
  EXPECT_FALSE(table_.Check(issued->token, issued->expires).ok());
  table_.DropExpired(issued->expires);
  EXPECT_EQ(table_.size(), 0u);
}

TEST_F(TokenTableTest, TokensDieWithTheirKey) {
  const auto a = table_.Issue(alice_, now_);
  const auto b = table_.Issue(bob_, now_);
  ASSERT_TRUE(a.ok() && b.ok());
  EXPECT_EQ(table_.Revoke(alice_), 1u);
  EXPECT_EQ(table_.Revoke(alice_), 0u);
  EXPECT_FALSE(table_.Check(a->token, now_).ok());
  EXPECT_TRUE(table_.Check(b->token, now_).ok());
}

TEST_F(TokenTableTest, AKeyThatHoardsLosesItsOldestToken) {
  std::vector<std::string> tokens;
  for (int i = 0; i < 3; ++i) {
    const auto issued = table_.Issue(alice_, now_);
    ASSERT_TRUE(issued.ok());
    tokens.push_back(issued->token);
  }
  EXPECT_FALSE(table_.Check(tokens[0], now_).ok());
  EXPECT_TRUE(table_.Check(tokens[1], now_).ok());
  EXPECT_TRUE(table_.Check(tokens[2], now_).ok());
}

TEST_F(TokenTableTest, RefusesMoreThanItMayHold) {
  ASSERT_TRUE(table_.Issue(alice_, now_).ok());
  ASSERT_TRUE(table_.Issue(alice_, now_).ok());
  ASSERT_TRUE(table_.Issue(bob_, now_).ok());
  const auto fourth = table_.Issue(bob_, now_);
  EXPECT_TRUE(absl::IsResourceExhausted(fourth.status()));
  EXPECT_EQ(ReasonOf(fourth.status()), reason::kLimit);
  table_.DropExpired(now_ + absl::Hours(2));
  EXPECT_TRUE(table_.Issue(bob_, now_ + absl::Hours(2)).ok());
}

}  // namespace
}  // namespace dotagent::gateway_service
