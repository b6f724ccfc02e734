#include "common/dht/size_estimate.h"

#include <algorithm>
#include <cmath>

namespace dotagent::dht {
namespace {

// distance / 2^256.
double Fraction(const Id& distance) {
  double fraction = 0;
  for (size_t i = kIdBits / 8; i-- > 0;) fraction = (fraction + static_cast<uint8_t>(distance.bytes()[i])) / 256;
  return fraction;
}

// What the k nodes nearest to `target` say of the network's size; 0 if there are fewer.
double SizeFrom(const Id& target, const std::vector<Contact>& nodes) {
  if (nodes.size() < kBucketSize) return 0;
  std::vector<Id> distances;
  distances.reserve(nodes.size());
  for (const Contact& node : nodes) distances.push_back(target.DistanceTo(node.id));
  const auto kth = distances.begin() + (kBucketSize - 1);
  std::nth_element(distances.begin(), kth, distances.end());
  const double fraction = Fraction(*kth);
  return fraction == 0 ? 0 : (static_cast<double>(kBucketSize) - 1.0 / 3) / fraction;
}

}  // namespace

void SizeEstimate::AddLookup(const Id& target, const std::vector<Contact>& nearest) {
  const double sample = SizeFrom(target, nearest);
  if (sample == 0) return;
  lookups_[next_] = sample;
  next_ = (next_ + 1) % kMaxSamples;
  lookups_size_ = std::min(lookups_size_ + 1, kMaxSamples);
  Reckon();
}

void SizeEstimate::SetNeighbourhood(const Id& self, const std::vector<Contact>& nearest, size_t known) {
  neighbourhood_ = SizeFrom(self, nearest);
  known_ = known;
  known_is_all_ = known < kBucketSize;
  Reckon();
}

void SizeEstimate::Reckon() {
  const auto known = static_cast<double>(known_);
  std::array<double, kMaxSamples + 1> samples{};
  auto end = std::copy_n(lookups_.begin(), lookups_size_, samples.begin());
  if (neighbourhood_ > 0) *end++ = neighbourhood_;
  const auto count = end - samples.begin();
  if (known_is_all_ || count == 0) {
    nodes_ = known;
    return;
  }
  std::sort(samples.begin(), end);
  // Of an even number of samples, the geometric mean of the middle two: a sample's errors are ratios.
  const double median =
      std::sqrt(samples[static_cast<size_t>((count - 1) / 2)] * samples[static_cast<size_t>(count / 2)]);
  nodes_ = std::max(known, median);
}

double SizeEstimate::ExpectedNodesWithin(const Id& distance) const { return nodes_ * Fraction(distance); }

}  // namespace dotagent::dht
