#include "common/storage/group_writer.h"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <utility>

#include "common/base/status.h"

namespace dotagent::storage {
namespace {

// What an entry costs besides its bytes, roughly, so that many small ones are bounded too.
constexpr uint64_t kOverhead = 100;

uint64_t BytesOf(const Batch& batch) {
  uint64_t bytes = 0;
  for (const auto& [key, value] : batch.changes()) bytes += kOverhead + key.size() + (value ? value->size() : 0);
  return bytes;
}

}  // namespace

GroupWriter::GroupWriter(Store& store, Post post, const GroupWriterLimits& limits)
    : store_(store), post_(std::move(post)), limits_(limits), thread_([this] { Run(); }) {}

GroupWriter::~GroupWriter() {
  {
    const Lock lock(mutex_);
    stopping_ = true;
  }
  woken_.notify_one();
  thread_.join();
}

absl::Status GroupWriter::Write(Batch batch, Durability durability, Done done) {
  const uint64_t bytes = BytesOf(batch);
  const uint64_t times = durability == Durability::kBuffered ? 2 : 1;
  if (waiting_ >= times * limits_.max_waiting || waiting_bytes_ + bytes > times * limits_.max_waiting_bytes) {
    return ErrorWithReason(absl::StatusCode::kResourceExhausted, reason::kLimit,
                           "too much waits for the disk; try again later");
  }
  ++waiting_;
  waiting_bytes_ += bytes;
  {
    const Lock lock(mutex_);
    queue_.push_back({std::move(batch), bytes, durability, std::move(done), absl::OkStatus()});
  }
  woken_.notify_one();
  return absl::OkStatus();
}

bool GroupWriter::Flush() {
  if (waiting_ == 0) return false;
  {
    const Lock lock(mutex_);
    while (writing_ || !queue_.empty()) idle_.wait(mutex_);
  }
  CallBack();
  return true;
}

void GroupWriter::Run() {
  while (true) {
    std::vector<Item> group = NextGroup();
    if (group.empty()) return;
    Commit(std::move(group));
  }
}

std::vector<GroupWriter::Item> GroupWriter::NextGroup() {
  const Lock lock(mutex_);
  while (!stopping_ && queue_.empty()) woken_.wait(mutex_);
  uint64_t bytes = 0;
  const auto end = std::find_if(queue_.begin(), queue_.end(), [&](const Item& item) {
    const bool first = bytes == 0;
    bytes += item.bytes;
    return !first && bytes > limits_.max_group_bytes;
  });
  std::vector<Item> group(std::make_move_iterator(queue_.begin()), std::make_move_iterator(end));
  queue_.erase(queue_.begin(), end);
  writing_ = !group.empty();
  return group;
}

void GroupWriter::Commit(std::vector<Item> group) {
  Batch batch;
  Durability durability = Durability::kBuffered;
  for (Item& item : group) {
    batch.Append(std::move(item.batch));
    if (item.durability == Durability::kSync) durability = Durability::kSync;
  }
  const absl::Status written = store_.Write(batch, durability);
  ++groups_;
  bool told = false;
  {
    const Lock lock(mutex_);
    told = !written_.empty();
    for (Item& item : group) {
      item.written = written;
      written_.push_back(std::move(item));
    }
    writing_ = false;
    idle_.notify_one();
  }
  // If others wait to be called back, these go with them.
  if (told) return;
  post_([weak = std::weak_ptr<GroupWriter*>(self_)] {
    if (const auto self = weak.lock()) (*self)->CallBack();
  });
}

void GroupWriter::CallBack() {
  std::vector<Item> written;
  {
    const Lock lock(mutex_);
    written.swap(written_);
  }
  waiting_ -= written.size();
  for (const Item& item : written) waiting_bytes_ -= item.bytes;
  for (const Item& item : written) item.done(item.written);
}

}  // namespace dotagent::storage
