#include "common/p2p/rendezvous.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/crypto/hash.h"

namespace dotagent::p2p {
namespace {

constexpr absl::string_view kContext("dotagent rendezvous v1\0", 23);
constexpr size_t kWeightSize = 8;

// Keys have one length, so that no two pairs of key and id are the same bytes. Weights compare as bytes.
std::string WeightOf(absl::string_view id, const crypto::PublicKey& node) {
  return crypto::Sha256(absl::StrCat(kContext, node.bytes(), id)).substr(0, kWeightSize);
}

}  // namespace

std::optional<crypto::PublicKey> RendezvousNode(absl::string_view id, absl::Span<const crypto::PublicKey> nodes) {
  const std::vector<crypto::PublicKey> first = RendezvousNodes(id, nodes, 1);
  if (first.empty()) return std::nullopt;
  return first.front();
}

std::vector<crypto::PublicKey> RendezvousNodes(absl::string_view id, absl::Span<const crypto::PublicKey> nodes,
                                               size_t count) {
  std::vector<std::pair<std::string, crypto::PublicKey>> weighed;
  weighed.reserve(nodes.size());
  for (const crypto::PublicKey& node : nodes) weighed.emplace_back(WeightOf(id, node), node);
  count = std::min(count, weighed.size());
  const auto heavier = [](const auto& a, const auto& b) { return b < a; };  // of equal weights, the greater key
  std::partial_sort(weighed.begin(), weighed.begin() + static_cast<ptrdiff_t>(count), weighed.end(), heavier);
  std::vector<crypto::PublicKey> first;
  for (size_t i = 0; i < count; ++i) first.push_back(weighed[i].second);
  return first;
}

}  // namespace dotagent::p2p
