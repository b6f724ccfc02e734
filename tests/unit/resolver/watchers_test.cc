#include "services/resolver/watchers.h"

#include <gtest/gtest.h>

#include "common/base/status.h"
#include "tests/unit/resolver/samples.h"

namespace dotagent::resolver_service {
namespace {

namespace v1 = ::dotagent::resolver::v1;

TEST(WatchersTest, OneThatIsToldMayRemoveItselfAndTheNext) {
  Watchers watchers;
  int told = 0;
  uint64_t first = 0;
  uint64_t second = 0;
  const auto leave_both = [&](const v1::WatchResponse&) {
    ++told;
    watchers.Remove(first);
    watchers.Remove(second);
  };
  first = watchers.Add(NameOf("bob.agent"), leave_both).value();
  second = watchers.Add(NameOf("bob.agent"), leave_both).value();
  watchers.Tell(NameOf("carol.agent"), {});
  EXPECT_EQ(told, 0);
  watchers.Tell(NameOf("bob.agent"), {});
  watchers.Tell(NameOf("bob.agent"), {});
  EXPECT_EQ(told, 1);
}

TEST(WatchersTest, TheyAreLimited) {
  Watchers watchers;
  for (size_t i = 0; i < Watchers::kMax; ++i) {
    ASSERT_TRUE(watchers.Add(NameOf("bob.agent"), [](const v1::WatchResponse&) {}).ok());
  }
  const auto refused = watchers.Add(NameOf("bob.agent"), [](const v1::WatchResponse&) {});
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReasonOf(refused.status()), reason::kLimit);
  watchers.Remove(1);
  watchers.Remove(1);
  EXPECT_TRUE(watchers.Add(NameOf("bob.agent"), [](const v1::WatchResponse&) {}).ok());
  EXPECT_FALSE(watchers.Add(NameOf("bob.agent"), [](const v1::WatchResponse&) {}).ok());
}

}  // namespace
}  // namespace dotagent::resolver_service
