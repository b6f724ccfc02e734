#include "common/session/session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "common/base/status.h"
#include "tests/unit/session/session_pair.h"

namespace dotagent::session {
namespace {

using ::testing::HasSubstr;
using Kind = Event::Kind;

std::string Pattern(size_t size, uint64_t seed) { return SeededRandom(seed).Bytes(size); }

TEST(SessionTest, EndsKnowEachOtherAfterTheHandshake) {
  SessionPair pair;
  EXPECT_FALSE(pair.a.session.established());
  pair.Settle();
  ASSERT_TRUE(pair.a.session.established());
  ASSERT_TRUE(pair.b.session.established());
  EXPECT_EQ(pair.a.session.peer_key(), pair.listener_key());
  EXPECT_EQ(pair.b.session.peer_key(), pair.dialler_key());
  EXPECT_EQ(pair.a.session.channel_id().size(), 32U);
  EXPECT_EQ(pair.a.session.channel_id(), pair.b.session.channel_id());
  EXPECT_EQ(pair.a.Of(Kind::kEstablished).size(), 1U);
  EXPECT_EQ(pair.b.Of(Kind::kEstablished).size(), 1U);
}

class Chunking : public testing::TestWithParam<size_t> {};

TEST_P(Chunking, DoesNotMatter) {
  SessionPair pair;
  pair.Settle(GetParam());
  ASSERT_TRUE(pair.a.session.established());
  const StreamId id = *pair.a.session.OpenStream("/echo/1");
  const std::string sent = Pattern(20'000, 1);
  ASSERT_EQ(*pair.a.session.Write(id, sent), sent.size());
  ASSERT_TRUE(pair.a.session.CloseWrite(id).ok());
  pair.Settle(GetParam());
  ASSERT_EQ(pair.b.Of(Kind::kStreamOpened).size(), 1U);
  EXPECT_EQ(pair.b.Of(Kind::kStreamOpened)[0].protocol, "/echo/1");
  const auto read = pair.b.session.Read(id, kAll);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->data, sent);
  EXPECT_TRUE(read->finished);
}

INSTANTIATE_TEST_SUITE_P(Sizes, Chunking, testing::Values(1, 2, 3, 17, 100, 1000, 20'000));

}  // namespace
}  // namespace dotagent::session
