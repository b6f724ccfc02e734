#include "common/storage/read_cache.h"

#include <iterator>
#include <utility>

namespace dotagent::storage {
namespace {

// The list's and the map's share of an entry.
constexpr size_t kOverhead = 160;

}  // namespace

ReadCache::Answer ReadCache::Get(absl::string_view key) {
  const Lock lock(mutex_);
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return {.ticket = writes_};
  entries_.splice(entries_.begin(), entries_, found->second);
  return {.known = true, .found = found->second->found};
}

void ReadCache::AddRead(absl::string_view key, const Found& found, uint64_t ticket) {
  const Lock lock(mutex_);
  if (ticket == writes_) Put(key, found);
}

ReadCache::WriteTicket ReadCache::BeginWrite(const Batch& batch) {
  const Lock lock(mutex_);
  WriteTicket ticket;
  for (const auto& [key, value] : batch.changes()) {
    if (Remove(key)) ticket.known.insert(key);
  }
  ticket.number = ++writes_;
  return ticket;
}

void ReadCache::EndWrite(const Batch& batch, bool written, const WriteTicket& ticket) {
  const Lock lock(mutex_);
  // Of writes that overlap no one here knows which came last.
  const bool alone = ticket.number == writes_;
  ++writes_;
  for (const auto& [key, value] : batch.changes()) {
    // What was deleted is seldom asked for, and would take the place of what is.
    if (written && alone && value.has_value() && ticket.known.contains(key)) {
      Put(key, value);
    } else {
      Remove(key);
    }
  }
}

size_t ReadCache::bytes() const {
  const Lock lock(mutex_);
  return bytes_;
}

size_t ReadCache::SizeOf(const Entry& entry) {
  return kOverhead + entry.key.size() + (entry.found ? entry.found->size() : 0);
}

void ReadCache::Put(absl::string_view key, const Found& found) {
  Remove(key);
  entries_.push_front({std::string(key), found});
  by_key_.emplace(entries_.front().key, entries_.begin());
  bytes_ += SizeOf(entries_.front());
  while (bytes_ > max_bytes_) Remove(std::prev(entries_.end()));
}

bool ReadCache::Remove(absl::string_view key) {
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return false;
  Remove(found->second);
  return true;
}

void ReadCache::Remove(Entries::iterator entry) {
  bytes_ -= SizeOf(*entry);
  by_key_.erase(entry->key);
  entries_.erase(entry);
}

}  // namespace dotagent::storage
