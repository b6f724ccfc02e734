#include "common/record/topic_trie.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace dotagent::record {
namespace {
constexpr absl::string_view kStar = "*";
constexpr absl::string_view kRest = ">";
}  // namespace

size_t TopicTrie::MissingNodes(Tokens path) const {
  const Node* node = &root_;
  for (size_t i = 0; i < path.size(); ++i) {
    const auto next = node->next.find(path[i]);
    if (next == node->next.end()) return path.size() - i;
    node = next->second.get();
  }
  return 0;
}

absl::Status TopicTrie::Add(const TopicPattern& pattern, Id id) {
  const std::vector<absl::string_view> tokens = pattern.tokens();
  const bool open_ended = tokens.back() == kRest;
  const Tokens path = Tokens(tokens).first(tokens.size() - (open_ended ? 1 : 0));
  const size_t missing = MissingNodes(path);
  if (missing > max_nodes_ - nodes_) {
    return ErrorWithReason(
        absl::StatusCode::kResourceExhausted, reason::kLimit,
        absl::StrCat("there are too many different patterns for these topics; ", pattern.text(), " does not fit in"));
  }
  Node* node = &root_;
  for (const absl::string_view token : path) {
    std::unique_ptr<Node>& next = node->next[token];
    if (next == nullptr) next = std::make_unique<Node>();
    node = next.get();
  }
  nodes_ += missing;
  (open_ended ? node->rest : node->here).insert(id);
  return absl::OkStatus();
}

void TopicTrie::Remove(const TopicPattern& pattern, Id id) {
  const std::vector<absl::string_view> tokens = pattern.tokens();
  RemoveBelow(root_, tokens, id);
}

// As deep as a pattern has tokens.
void TopicTrie::RemoveBelow(Node& node, Tokens tokens, Id id) {
  if (tokens.empty()) {
    node.here.erase(id);
  } else if (tokens.front() == kRest) {
    node.rest.erase(id);
  } else if (const auto next = node.next.find(tokens.front()); next != node.next.end()) {
    RemoveBelow(*next->second, tokens.subspan(1), id);
    if (!next->second->empty()) return;
    node.next.erase(next);
    --nodes_;
  }
}

void TopicTrie::Collect(const Node& node, Tokens tokens, std::vector<Id>* ids) {
  if (tokens.empty()) {
    ids->insert(ids->end(), node.here.begin(), node.here.end());
    return;
  }
  ids->insert(ids->end(), node.rest.begin(), node.rest.end());
  for (const absl::string_view token : {tokens.front(), kStar}) {
    const auto next = node.next.find(token);
    if (next != node.next.end()) Collect(*next->second, tokens.subspan(1), ids);
  }
}

std::vector<TopicTrie::Id> TopicTrie::Match(const Topic& topic) const {
  const std::vector<absl::string_view> tokens = topic.tokens();
  std::vector<Id> ids;
  Collect(root_, tokens, &ids);
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

}  // namespace dotagent::record
