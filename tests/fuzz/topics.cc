// Topics, patterns and the trie of them: the input is a sequence of subscriptions made and undone, and of topics that
// are published. Whoever is found must be who a plain list of patterns finds, one by one.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/record/topic.h"
#include "common/record/topic_trie.h"
#include "tests/fuzz/signed_again.h"

namespace {

using dotagent::record::Topic;
using dotagent::record::TopicPattern;
using dotagent::record::TopicTrie;

constexpr size_t kMaxNodes = 24;  // so few that an input reaches the bound

class Model {
 public:
  void Step(uint8_t op, absl::string_view text) {
    const TopicTrie::Id id = (op >> 2) % 4;
    if (op % 4 == 0) return Publish(text);
    const auto pattern = TopicPattern::Parse(text);
    if (!pattern.ok()) return dotagent::record::CheckRefusal(pattern.status());
    if (pattern->text() != text) std::abort();
    op % 4 == 1 ? Remove(*pattern, id) : Add(*pattern, id);
  }

  void CheckThatNothingIsLeft() {
    while (!wanted_.empty()) {
      const auto [text, id] = *wanted_.begin();
      Remove(*TopicPattern::Parse(text), id);
    }
    if (!subscriptions_.empty()) std::abort();
  }

 private:
  void Add(const TopicPattern& pattern, TopicTrie::Id id) {
    const size_t before = subscriptions_.nodes();
    if (subscriptions_.Add(pattern, id).ok()) {
      wanted_.emplace(pattern.text(), id);
      if (subscriptions_.nodes() > kMaxNodes) std::abort();
    } else if (before != subscriptions_.nodes() || before + pattern.tokens().size() <= kMaxNodes) {
      std::abort();  // it would have fitted in, or a part of it was left behind
    }
  }

  void Remove(const TopicPattern& pattern, TopicTrie::Id id) {
    subscriptions_.Remove(pattern, id);
    wanted_.erase({pattern.text(), id});
  }

  void Publish(absl::string_view text) {
    const auto topic = Topic::Parse(text);
    if (!topic.ok()) return dotagent::record::CheckRefusal(topic.status());
    if (topic->text() != text || !TopicPattern::Parse(text)->Matches(*topic)) std::abort();
    std::set<TopicTrie::Id> expected;
    for (const auto& [pattern, id] : wanted_) {
      if (TopicPattern::Parse(pattern)->Matches(*topic)) expected.insert(id);
    }
    if (subscriptions_.Match(*topic) != std::vector<TopicTrie::Id>(expected.begin(), expected.end())) std::abort();
  }

  TopicTrie subscriptions_{kMaxNodes};
  std::set<std::pair<std::string, TopicTrie::Id>> wanted_;
};

}  // namespace

// Lines: an operation's byte, then a topic or a pattern.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  absl::string_view input(reinterpret_cast<const char*>(data), size);
  Model model;
  while (!input.empty()) {
    const uint8_t op = static_cast<uint8_t>(input.front());
    input.remove_prefix(1);
    const absl::string_view line = input.substr(0, input.find('\n'));
    model.Step(op, line);
    input.remove_prefix(std::min(input.size(), line.size() + 1));
  }
  model.CheckThatNothingIsLeft();
  return 0;
}
