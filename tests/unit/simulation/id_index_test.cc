#include "tests/simulation/id_index.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "common/base/random.h"

namespace dotagent::simulation {
namespace {

TEST(IdIndexTest, FindsTheNearestAsSortingByDistanceDoes) {
  SeededRandom random(3);
  const auto random_id = [&] { return dht::Id::FromBytes(random.Bytes(32)).value(); };
  std::vector<dht::Id> ids;
  IdIndex index;
  for (size_t i = 0; i < 500; ++i) {
    ids.push_back(random_id());
    index.Add(ids.back(), i);
  }
  for (size_t i = 0; i < 500; i += 7) index.Remove(ids[i]);
  EXPECT_EQ(index.size(), 500U - 72);
  for (int round = 0; round < 50; ++round) {
    const dht::Id target = round == 0 ? ids[1] : random_id();
    std::vector<size_t> expected;
    for (size_t i = 0; i < 500; ++i) {
      if (i % 7 != 0) expected.push_back(i);
    }
    std::sort(expected.begin(), expected.end(),
              [&](size_t a, size_t b) { return target.DistanceTo(ids[a]) < target.DistanceTo(ids[b]); });
    const std::vector<size_t> nearest = index.Nearest(target, 40);
    expected.resize(40);
    EXPECT_EQ(nearest, expected);
  }
  EXPECT_EQ(index.Nearest(random_id(), 1000).size(), index.size());
}

}  // namespace
}  // namespace dotagent::simulation
