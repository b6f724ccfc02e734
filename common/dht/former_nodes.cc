#include "common/dht/former_nodes.h"

#include <algorithm>
#include <utility>

namespace dotagent::dht {

void FormerNodes::Add(const Contact& contact, absl::Duration lived, absl::Duration now) {
  std::erase_if(
      nodes_, [&](const Node& node) { return node.contact.id == contact.id || now - node.dropped >= kRememberedFor; });
  const auto place = std::find_if(nodes_.begin(), nodes_.end(), [&](const Node& node) { return node.lived <= lived; });
  nodes_.insert(place, {contact, lived, now});
  if (nodes_.size() > kMaxFormerNodes) nodes_.pop_back();
}

void FormerNodes::Remove(const Id& id) {
  std::erase_if(nodes_, [&](const Node& node) { return node.contact.id == id; });
}

std::vector<Contact> FormerNodes::Some(size_t count, Random& random) const {
  std::vector<Contact> all = All();
  const size_t wanted = std::min(count, all.size());
  for (size_t i = 0; i < wanted; ++i) std::swap(all[i], all[i + random.Below(all.size() - i)]);
  all.resize(wanted);
  return all;
}

std::vector<Contact> FormerNodes::All() const {
  std::vector<Contact> all;
  all.reserve(nodes_.size());
  for (const Node& node : nodes_) all.push_back(node.contact);
  return all;
}

}  // namespace dotagent::dht
