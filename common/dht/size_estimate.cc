#include "common/dht/size_estimate.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace dotagent::dht {
namespace {

// Both samples deviate by about a fifth, so for 1 node in 200 they differ that much without a cause.
constexpr double kDoubtful = 2;
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
  if (std::exchange(renewing_, false)) lookups_size_ = next_ = 0;
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

double SizeEstimate::Median(bool with_neighbourhood) const {
  std::array<double, kMaxSamples + 1> samples{};
  auto end = std::copy_n(lookups_.begin(), lookups_size_, samples.begin());
  if (with_neighbourhood && neighbourhood_ > 0) *end++ = neighbourhood_;
  const auto count = end - samples.begin();
  if (count == 0) return 0;
  std::sort(samples.begin(), end);
  // Of an even number of samples, the geometric mean of the middle two: a sample's errors are ratios.
  return std::sqrt(samples[static_cast<size_t>((count - 1) / 2)] * samples[static_cast<size_t>(count / 2)]);
}

bool SizeEstimate::InDoubt() const {
  if (known_is_all_ || neighbourhood_ == 0) return false;
  if (lookups_size_ == 0) return true;  // the neighbourhood alone is off by half for 1 node in 30
  const double lookups = Median(false);
  return neighbourhood_ > kDoubtful * lookups || lookups > kDoubtful * neighbourhood_;
}

void SizeEstimate::Reckon() {
  const auto known = static_cast<double>(known_);
  nodes_ = known_is_all_ ? known : std::max(known, Median(true));
}

double SizeEstimate::ExpectedNodesWithin(const Id& distance) const { return nodes_ * Fraction(distance); }

}  // namespace dotagent::dht
