#include "common/identity/agent_id.h"

#include <gtest/gtest.h>

#include <string>

#include "common/base/bytes.h"
#include "common/base/status.h"

namespace dotagent::identity {
namespace {

TEST(AgentIdTest, IsTheSha256OfTheFirstKey) {
  // SHA-256 of the public key of RFC 8032's first vector, by sha256sum.
  const crypto::PublicKey key =
      crypto::PublicKey::FromBytes(*HexDecode("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"))
          .value();
  EXPECT_EQ(AgentId::FromFirstKey(key).ToString(), "21fe31dfa154a261626bf854046fd2271b7bed4b6abe45aa58877ef47f9721b9");
}

TEST(AgentIdTest, RoundTripsThroughBytesAndRefusesOtherSizes) {
  const std::string bytes = std::string(31, '\x01') + '\x02';
  const AgentId id = AgentId::FromBytes(bytes).value();
  EXPECT_EQ(id.bytes(), bytes);
  EXPECT_LT(AgentId(), id);
  for (const size_t size : {0, 31, 33}) {
    EXPECT_EQ(ReasonOf(AgentId::FromBytes(std::string(size, 'x')).status()), reason::kBadKey) << size;
  }
}

}  // namespace
}  // namespace dotagent::identity
