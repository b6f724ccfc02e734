#include "common/dht/address_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
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

// Short addresses are in the object, longer ones in a block; both are values.
TEST(AddressListTest, AddressesOfEverySizeAreCopiedAndMovedWhole) {
  for (size_t size = 0; size <= 64; ++size) {
    const std::string address(size, 'a');
    const AddressList list = {address};
    AddressList copy = list;
    EXPECT_THAT(copy, ElementsAre(address));
    EXPECT_EQ(copy, list);
    EXPECT_NE(copy, AddressList{address + "a"});
    EXPECT_NE(copy, AddressList({address, ""}));
    const AddressList moved = std::move(copy);
    EXPECT_EQ(moved, list);
    copy = list;
    EXPECT_EQ(copy, moved) << "one that was moved from can be used again";
    EXPECT_EQ(list.block_size() == 0, size <= 30) << size;
  }
}

}  // namespace
}  // namespace dotagent::dht
