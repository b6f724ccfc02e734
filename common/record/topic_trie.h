// Who wants what: the patterns of the subscribers to one publisher's topics, as a trie of tokens.
//
// A match follows at most two branches a token, the token itself and `*`, and patterns have at most kMaxStars of these
// (record/topic.h): so it looks at no more than Σ C(tokens, k), k ≤ 4, nodes however hostile the patterns are, and at
// about one a token in ordinary use. Memory: at most `max_nodes` nodes, and an id an entry.
#ifndef DOTAGENT_COMMON_RECORD_TOPIC_TRIE_H_
#define DOTAGENT_COMMON_RECORD_TOPIC_TRIE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/record/topic.h"

namespace dotagent::record {

// Not thread-safe.
class TopicTrie {
 public:
  using Id = uint64_t;

  explicit TopicTrie(size_t max_nodes) : max_nodes_(max_nodes) {}

  // `id` wants what `pattern` matches; an id may want several, and the same one twice is one. ResourceExhausted (LIMIT)
  // if there is no room for more patterns.
  [[nodiscard]] absl::Status Add(const TopicPattern& pattern, Id id);
  // Undoes one Add; no effect if there was none.
  void Remove(const TopicPattern& pattern, Id id);
  // Who wants it: each once, in ascending order.
  [[nodiscard]] std::vector<Id> Match(const Topic& topic) const;

  [[nodiscard]] size_t nodes() const { return nodes_; }
  [[nodiscard]] bool empty() const { return nodes_ == 0; }

 private:
  struct Node {
    absl::flat_hash_map<std::string, std::unique_ptr<Node>> next;  // by token, `*` among them
    absl::flat_hash_set<Id> here;                                  // patterns that end here
    absl::flat_hash_set<Id> rest;                                  // patterns that go on with `>`
    [[nodiscard]] bool empty() const { return next.empty() && here.empty() && rest.empty(); }
  };
  using Tokens = absl::Span<const absl::string_view>;

  [[nodiscard]] size_t MissingNodes(Tokens path) const;
  void RemoveBelow(Node& node, Tokens tokens, Id id);
  static void Collect(const Node& node, Tokens tokens, std::vector<Id>* ids);

  const size_t max_nodes_;
  size_t nodes_ = 0;  // but the root
  Node root_;
};

}  // namespace dotagent::record

#endif  // DOTAGENT_COMMON_RECORD_TOPIC_TRIE_H_
