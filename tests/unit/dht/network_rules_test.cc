#include "common/dht/network_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/dht/wire.h"
#include "tests/unit/dht/fixtures.h"

namespace dotagent::dht {
namespace {

using ::testing::MatchesRegex;

TEST(NetworkRulesTest, WithoutRulesTheProtocolIsThePlainOne) { EXPECT_EQ(ProtocolIdOf({}, {}), kProtocolId); }

TEST(NetworkRulesTest, EachRuleMakesAnotherProtocol) {
  const NamePolicy registrar{{KeyFromSeed(1).public_key()}};
  EXPECT_EQ(ProtocolIdOf({}, {.static_bits = 12, .dynamic_bits = 8}), "/dotagent/dht/1.0.0/puzzle/12/8");
  EXPECT_EQ(ProtocolIdOf({}, {.dynamic_bits = 8}), "/dotagent/dht/1.0.0/puzzle/0/8");
  EXPECT_THAT(ProtocolIdOf(registrar, {}), MatchesRegex("/dotagent/dht/1\\.0\\.0/registrar/[0-9a-f]{16}"));
  EXPECT_EQ(ProtocolIdOf(registrar, {.static_bits = 1}), ProtocolIdOf(registrar, {}) + "/puzzle/1/0");
  EXPECT_NE(ProtocolIdOf(registrar, {}), ProtocolIdOf({{KeyFromSeed(2).public_key()}}, {}));
}

TEST(NetworkRulesTest, TheOrderOfRegistrarsDoesNotMatter) {
  const crypto::PublicKey a = KeyFromSeed(1).public_key();
  const crypto::PublicKey b = KeyFromSeed(2).public_key();
  EXPECT_EQ(ProtocolIdOf({{a, b}}, {}), ProtocolIdOf({{b, a, b}}, {}));
  EXPECT_NE(ProtocolIdOf({{a, b}}, {}), ProtocolIdOf({{a}}, {}));
}

}  // namespace
}  // namespace dotagent::dht
