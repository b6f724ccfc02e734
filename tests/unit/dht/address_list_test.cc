#include "common/dht/address_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace dotagent::dht {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(AddressListTest, HoldsWhatItWasGivenInThatOrder) {
  const AddressList list = {"/ip4/192.0.2.1/tcp/1", "", std::string(300, 'a')};
  EXPECT_EQ(list.size(), 3);
  EXPECT_FALSE(list.empty());
  EXPECT_EQ(list.front(), "/ip4/192.0.2.1/tcp/1");
  EXPECT_THAT(list, ElementsAre("/ip4/192.0.2.1/tcp/1", "", std::string(300, 'a')));
  EXPECT_EQ(AddressList(list.ToVector()), list);
}

TEST(AddressListTest, EmptyLists) {
  const AddressList none;
  EXPECT_TRUE(none.empty());
  EXPECT_EQ(none.size(), 0);
  EXPECT_EQ(none.block_size(), 0);
  EXPECT_THAT(none, IsEmpty());
  EXPECT_THAT(none.ToVector(), IsEmpty());
  EXPECT_EQ(none, AddressList(std::vector<std::string>()));
  EXPECT_NE(none, AddressList{""});
}

TEST(AddressListTest, EqualListsAreEqualHoweverTheyWereMade) {
  const AddressList list = {"a", "bc"};
  AddressList copy = list;
  EXPECT_EQ(copy, list);
  EXPECT_EQ(AddressList(std::vector<std::string>{"a", "bc"}), list);
  // The same bytes, parted elsewhere.
  EXPECT_NE(AddressList({"ab", "c"}), list);
  EXPECT_NE(AddressList({"a"}), list);
  copy = {"d"};
  EXPECT_THAT(copy, ElementsAre("d"));
  EXPECT_THAT(list, ElementsAre("a", "bc"));
}

}  // namespace
}  // namespace dotagent::dht
