#include "services/resolver/network_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/crypto/peer_id.h"
#include "common/dht/dht.h"
#include "tests/unit/resolver/samples.h"

namespace dotagent::resolver_service {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

absl::StatusOr<NetworkSettings> Parse(const std::vector<const char*>& flags) {
  NetworkOptions options;
  OptionTable table("dotagent-resolver", "");
  options.AddTo(table);
  std::vector<const char*> argv = {"dotagent-resolver"};
  argv.insert(argv.end(), flags.begin(), flags.end());
  RETURN_IF_ERROR(table.Parse(static_cast<int>(argv.size()), argv.data()).status());
  return CheckNetworkOptions(options);
}

TEST(NetworkOptionsTest, TheDefaultsAreFirstClaimWithoutPuzzles) {
  const auto settings = Parse({});
  ASSERT_TRUE(settings.ok()) << settings.status();
  EXPECT_FALSE(settings->registrar_decides);
  EXPECT_TRUE(settings->policy.registrars.empty());
  EXPECT_EQ(settings->puzzle.static_bits, 0);
  EXPECT_EQ(settings->puzzle.dynamic_bits, 0);
  EXPECT_EQ(settings->paths, dht::DhtOptions().paths);
  EXPECT_EQ(settings->table.max_per_group_in_bucket, dht::RoutingTableOptions().max_per_group_in_bucket);
  EXPECT_EQ(settings->table.max_per_group_in_table, dht::RoutingTableOptions().max_per_group_in_table);
}

TEST(NetworkOptionsTest, EachOptionReachesItsSetting) {
  const crypto::PublicKey one = KeyFromSeed(1).public_key();
  const crypto::PublicKey two = KeyFromSeed(2).public_key();
  const std::string first = crypto::PeerIdFromKey(one);
  const std::string second = crypto::PeerIdFromKey(two);
  const auto settings =
      Parse({"--name-policy", "registrar", "--registrar", first.c_str(), "--registrar", second.c_str(),
             "--puzzle-static-bits", "12", "--puzzle-dynamic-bits", "9", "--disjoint-paths", "4",
             "--max-nodes-per-ip-group-in-bucket", "0", "--max-nodes-per-ip-group-in-table", "7"});
  ASSERT_TRUE(settings.ok()) << settings.status();
  EXPECT_TRUE(settings->registrar_decides);
  EXPECT_THAT(settings->policy.registrars, ElementsAre(one, two));
  EXPECT_EQ(settings->puzzle.static_bits, 12);
  EXPECT_EQ(settings->puzzle.dynamic_bits, 9);
  EXPECT_EQ(settings->paths, 4U);
  EXPECT_EQ(settings->table.max_per_group_in_bucket, 0U);
  EXPECT_EQ(settings->table.max_per_group_in_table, 7U);
}

TEST(NetworkOptionsTest, WhatCannotBeIsRefusedByName) {
  struct Case {
    std::vector<const char*> flags;
    const char* message;
  };
  for (const Case& bad :
       std::vector<Case>{{{"--name-policy", "auction"}, "auction is neither first-claim nor registrar"},
                         {{"--name-policy", "registrar", "--registrar", "bob"}, "--registrar bob is no peer id"},
                         {{"--registrar", "12D3KooW"}, "no registrar counts"},
                         {{"--puzzle-static-bits", "33"}, "--puzzle-static-bits 33 is out of range; give 0 to 32"},
                         {{"--puzzle-dynamic-bits", "41"}, "give 0 to 40"},
                         {{"--disjoint-paths", "0"}, "give 1 to 20"},
                         {{"--disjoint-paths", "21"}, "give 1 to 20"}}) {
    const auto refused = Parse(bad.flags);
    EXPECT_TRUE(absl::IsInvalidArgument(refused.status())) << refused.status();
    EXPECT_THAT(refused.status().message(), HasSubstr(bad.message));
  }
}

TEST(NetworkOptionsTest, ARegistrarsPolicyNeedsARegistrar) {
  const auto settings = Parse({"--name-policy", "registrar"});
  ASSERT_TRUE(settings.ok()) << settings.status();
  EXPECT_TRUE(settings->registrar_decides);
  EXPECT_TRUE(settings->policy.registrars.empty()) << "then identity is asked";
}

}  // namespace
}  // namespace dotagent::resolver_service
