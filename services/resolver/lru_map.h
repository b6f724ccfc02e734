// A map that holds at most so many entries: the least recently used one makes room.
#ifndef DOTAGENT_SERVICES_RESOLVER_LRU_MAP_H_
#define DOTAGENT_SERVICES_RESOLVER_LRU_MAP_H_

#include <cstddef>
#include <list>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_map.h"

namespace dotagent::resolver_service {

// Not thread-safe. All operations in constant time, but EraseIf.
template <typename Key, typename Value>
class LruMap {
 public:
  // `capacity` is at least 1.
  explicit LruMap(size_t capacity) : capacity_(capacity) {}

  // nullptr if there is none; otherwise it is now the most recently used. Valid until it is erased.
  [[nodiscard]] Value* Find(const Key& key) {
    const auto found = index_.find(key);
    if (found == index_.end()) return nullptr;
    entries_.splice(entries_.begin(), entries_, found->second);
    return &found->second->second;
  }

  // Replaces what there is. Returns the key that had to make room, if one had to.
  std::optional<Key> Put(const Key& key, Value value) {
    if (Value* held = Find(key)) {
      *held = std::move(value);
      return std::nullopt;
    }
    std::optional<Key> pushed_out;
    if (entries_.size() >= capacity_) {
      pushed_out = entries_.back().first;
      index_.erase(entries_.back().first);
      entries_.pop_back();
    }
    entries_.emplace_front(key, std::move(value));
    index_.emplace(key, entries_.begin());
    return pushed_out;
  }

  bool Erase(const Key& key) {
    const auto found = index_.find(key);
    if (found == index_.end()) return false;
    entries_.erase(found->second);
    index_.erase(found);
    return true;
  }

  // Erases each entry for which `condition(key, value)` is true. Looks at every one.
  template <typename Condition>
  void EraseIf(Condition condition) {
    for (auto entry = entries_.begin(); entry != entries_.end();) {
      const auto current = entry++;
      if (!condition(current->first, current->second)) continue;
      index_.erase(current->first);
      entries_.erase(current);
    }
  }

  [[nodiscard]] size_t size() const { return entries_.size(); }

 private:
  using Entries = std::list<std::pair<Key, Value>>;  // most recently used first
  const size_t capacity_;
  Entries entries_;
  absl::flat_hash_map<Key, typename Entries::iterator> index_;
};

}  // namespace dotagent::resolver_service

#endif  // DOTAGENT_SERVICES_RESOLVER_LRU_MAP_H_
