#include "common/dht/size_estimate.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "tests/unit/dht/fixtures.h"

namespace dotagent::dht {
namespace {

Contact At(const Id& id) { return Contact{.id = id}; }

// The ids of a network's nodes, in order, so that a point's nearest are found without looking at all of them.
class Network {
 public:
  Network(size_t size, uint64_t seed) : random_(seed) {
    ids_.reserve(size);
    for (size_t i = 0; i < size; ++i) ids_.push_back(RandomId(random_));
    std::sort(ids_.begin(), ids_.end());
  }

  // What a perfect lookup for `target` finds: XOR-nearest nodes share the longest prefix with it, and those of one
  // prefix lie side by side.
  std::vector<Contact> Nearest(const Id& target, size_t count) {
    size_t first = 0;
    size_t last = ids_.size();
    for (int prefix = 1; prefix < 64; ++prefix) {
      const auto shorter = [&](const Id& id, const Id& wanted) {
        return id < wanted && id.CommonPrefix(wanted) < prefix;
      };
      const auto longer = [&](const Id& wanted, const Id& id) {
        return wanted < id && id.CommonPrefix(wanted) < prefix;
      };
      const auto low = std::lower_bound(ids_.begin(), ids_.end(), target, shorter);
      const auto high = std::upper_bound(ids_.begin(), ids_.end(), target, longer);
      if (static_cast<size_t>(high - low) < count) break;
      first = static_cast<size_t>(low - ids_.begin());
      last = static_cast<size_t>(high - ids_.begin());
    }
    std::vector<Id> found(ids_.begin() + static_cast<std::ptrdiff_t>(first),
                          ids_.begin() + static_cast<std::ptrdiff_t>(last));
    std::sort(found.begin(), found.end(),
              [&](const Id& a, const Id& b) { return target.DistanceTo(a) < target.DistanceTo(b); });
    std::vector<Contact> nearest;
    for (size_t i = 0; i < std::min(count, found.size()); ++i) nearest.push_back(At(found[i]));
    return nearest;
  }

  Random& random() { return random_; }

 private:
  SeededRandom random_;
  std::vector<Id> ids_;
};

class NetworkSizes : public testing::TestWithParam<size_t> {};

TEST_P(NetworkSizes, OneSampleDeviatesByAFifth) {
  Network network(GetParam(), 1);
  constexpr int kSamples = 400;
  int high = 0;
  double squares = 0;
  for (int i = 0; i < kSamples; ++i) {
    const Id self = RandomId(network.random());
    SizeEstimate size;
    size.SetNeighbourhood(self, network.Nearest(self, kBucketSize), kBucketSize);
    const double error = std::log(size.nodes() / static_cast<double>(GetParam()));
    squares += error * error;
    if (error > 0) ++high;
  }
  EXPECT_LT(std::sqrt(squares / kSamples), 0.26);
  // As often too high as too low, give or take four deviations.
  // In a small network samples share their nodes, and so their errors.
  EXPECT_NEAR(high, kSamples / 2, GetParam() < 1000 ? 100 : 40);
}

TEST_P(NetworkSizes, SixteenSamplesDeviateByLessThanATenth) {
  constexpr uint64_t kTrials = 30;
  // Making a million ids thirty times would only be slow: so many nodes are hardly ever shared by two samples.
  const uint64_t networks = GetParam() > 10'000 ? 1 : kTrials;
  double squares = 0;
  double worst = 0;
  for (uint64_t seed = 0; seed < networks; ++seed) {
    Network network(GetParam(), seed);
    for (uint64_t trial = 0; trial < kTrials / networks; ++trial) {
      SizeEstimate size;
      const Id self = RandomId(network.random());
      size.SetNeighbourhood(self, network.Nearest(self, kBucketSize), kBucketSize);
      for (int i = 0; i < 40; ++i) {
        const Id target = RandomId(network.random());
        size.AddLookup(target, network.Nearest(target, kBucketSize));
      }
      const double error = std::log(size.nodes() / static_cast<double>(GetParam()));
      squares += error * error;
      worst = std::max(worst, std::abs(error));
    }
  }
  EXPECT_LT(std::sqrt(squares / kTrials), 0.10);
  EXPECT_LT(worst, 0.25);
}

INSTANTIATE_TEST_SUITE_P(Sizes, NetworkSizes, testing::Values(100, 10'000, 1'000'000));

TEST(SizeEstimateTest, ANetworkThatTheTableHoldsIsCounted) {
  SizeEstimate size;
  EXPECT_EQ(size.nodes(), 0);
  std::vector<Contact> nodes;
  for (size_t known = 1; known < kBucketSize; ++known) {
    nodes.push_back(ContactFromSeed(known));
    size.SetNeighbourhood(Id(), nodes, known);
    EXPECT_EQ(size.nodes(), static_cast<double>(known));
  }
}

TEST(SizeEstimateTest, IsNeverBelowWhatIsKnown) {
  std::vector<Contact> nodes;
  std::string far(32, '\xff');
  for (uint8_t i = 0; i < kBucketSize; ++i) {
    far[31] = static_cast<char>(i);
    nodes.push_back(At(*Id::FromBytes(far)));
  }
  SizeEstimate size;
  size.SetNeighbourhood(Id(), nodes, 47);
  EXPECT_EQ(size.nodes(), 47);
}

TEST(SizeEstimateTest, LookupsThatFoundFewOrNothingButTheTargetDoNotCount) {
  Network network(1000, 1);
  SizeEstimate size;
  const Id target = RandomId(network.random());
  size.AddLookup(target, network.Nearest(target, kBucketSize - 1));
  size.AddLookup(target, std::vector<Contact>(kBucketSize, At(target)));
  EXPECT_EQ(size.nodes(), 0);
  size.AddLookup(target, network.Nearest(target, kBucketSize));
  EXPECT_GT(size.nodes(), 500);
}

TEST(SizeEstimateTest, SevenLyingSamplesOfSixteenDoNotLeaveTheHonestRange) {
  constexpr size_t kNodes = 10'000;
  for (const bool inflate : {true, false}) {
    Network network(kNodes, 5);
    SizeEstimate size;
    for (int i = 0; i < 15; ++i) {
      const Id target = RandomId(network.random());
      std::vector<Contact> nearest = network.Nearest(target, kBucketSize);
      if (i % 2 == 1) {
        // Twenty ids mined next to the target, or twenty nodes from anywhere in place of its own.
        for (Contact& node : nearest) {
          std::string bytes = network.random().Bytes(32);
          if (inflate) bytes.replace(0, 8, target.bytes().substr(0, 8).data(), 8);
          node.id = *Id::FromBytes(bytes);
        }
      }
      size.AddLookup(target, nearest);
    }
    const Id self = RandomId(network.random());
    size.SetNeighbourhood(self, network.Nearest(self, kBucketSize), 300);
    EXPECT_GT(size.nodes(), 0.5 * kNodes);
    EXPECT_LT(size.nodes(), 1.9 * kNodes);
  }
}

TEST(SizeEstimateTest, FollowsANetworkThatGrows) {
  SizeEstimate size;
  for (const size_t nodes : {1000, 20'000}) {
    Network network(nodes, nodes);
    for (size_t i = 0; i < SizeEstimate::kMaxSamples; ++i) {
      const Id target = RandomId(network.random());
      size.AddLookup(target, network.Nearest(target, kBucketSize));
    }
    EXPECT_NEAR(size.nodes(), static_cast<double>(nodes), 0.3 * static_cast<double>(nodes));
  }
}

TEST(SizeEstimateTest, ANeighbourhoodUnlikeTheSamplesRaisesDoubtButIsNotBelieved) {
  SizeEstimate size;
  const Id self = ContactFromSeed(1).id;
  const auto sample = [&](Network& network, size_t count) {
    for (size_t i = 0; i < count; ++i) {
      const Id target = RandomId(network.random());
      size.AddLookup(target, network.Nearest(target, kBucketSize));
    }
  };
  Network small(1000, 1);
  size.SetNeighbourhood(self, small.Nearest(self, kBucketSize), 300);
  EXPECT_TRUE(size.InDoubt()) << "it is the only sample";
  sample(small, 1);
  EXPECT_FALSE(size.InDoubt()) << "one that agrees is enough";
  sample(small, 2);
  EXPECT_FALSE(size.InDoubt());
  // Grown, or mined next to this node: that cannot be told from here.
  Network large(20'000, 2);
  size.SetNeighbourhood(self, large.Nearest(self, kBucketSize), 300);
  EXPECT_TRUE(size.InDoubt());
  EXPECT_LT(size.nodes(), 2500);
  size.Renew();
  EXPECT_LT(size.nodes(), 2500) << "until there is something better";
  sample(large, 3);
  EXPECT_FALSE(size.InDoubt());
  EXPECT_NEAR(size.nodes(), 20'000, 8000);
}

TEST(SizeEstimateTest, ExpectedNodesAreProportionalToDistance) {
  SizeEstimate size;
  std::vector<Contact> nodes(8, ContactFromSeed(1));
  size.SetNeighbourhood(Id(), nodes, nodes.size());
  std::string distance(32, '\0');
  EXPECT_EQ(size.ExpectedNodesWithin(*Id::FromBytes(distance)), 0);
  distance[0] = '\x80';
  EXPECT_DOUBLE_EQ(size.ExpectedNodesWithin(*Id::FromBytes(distance)), 4);
  distance[0] = 0;
  distance[16] = 1;  // 2^-136: far below what an integer part could show
  EXPECT_DOUBLE_EQ(size.ExpectedNodesWithin(*Id::FromBytes(distance)), 8 * std::ldexp(1, -136));
}

}  // namespace
}  // namespace dotagent::dht
