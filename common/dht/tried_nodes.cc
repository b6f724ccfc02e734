#include "common/dht/tried_nodes.h"

#include <algorithm>

namespace dotagent::dht {

bool TriedNodes::Insert(const Id& node, absl::Duration now) {
  const int64_t now_ms = absl::ToInt64Milliseconds(now);
  const int64_t forgotten_ms = now_ms - absl::ToInt64Milliseconds(retry_after_);
  while (!tried_.empty() && tried_.front().at_ms <= forgotten_ms) tried_.pop_front();
  const uint64_t head = node.Head();
  if (std::any_of(tried_.begin(), tried_.end(), [&](const Tried& tried) { return tried.head == head; })) return false;
  if (tried_.size() == most_) tried_.pop_front();
  tried_.push_back({head, now_ms});
  return true;
}

}  // namespace dotagent::dht
