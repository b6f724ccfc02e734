// What a stream has still to send: bytes in, slices out. Long writes that come in shared memory stay there until they
// are sealed; others are copied once, into blocks.
#ifndef DOTAGENT_COMMON_SESSION_SEND_QUEUE_H_
#define DOTAGENT_COMMON_SESSION_SEND_QUEUE_H_

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <deque>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"

namespace dotagent::session {

// Some of a string's bytes, and a share in it.
struct Slice {
  std::shared_ptr<const std::string> owner;
  size_t from = 0;
  size_t size = 0;

  [[nodiscard]] absl::string_view view() const {
    return owner == nullptr ? absl::string_view() : absl::string_view(*owner).substr(from, size);
  }
};

class SendQueue {
 public:
  // `block`: bytes of a block that copies go into, at least 1.
  explicit SendQueue(size_t block) : block_(block) {}

  [[nodiscard]] size_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }
  // How many bytes lie together at the front.
  [[nodiscard]] size_t front_size() const { return empty() ? 0 : slices_->front().size; }

  void Append(absl::string_view bytes) {
    size_ += bytes.size();
    while (!bytes.empty()) {
      if (tail_ == nullptr || tail_->size() >= block_) {
        tail_ = std::make_shared<std::string>();
        Push({tail_, 0, 0});
      }
      const size_t piece = std::min(bytes.size(), block_ - tail_->size());
      tail_->append(bytes.data(), piece);
      slices_->back().size += piece;
      bytes.remove_prefix(piece);
    }
  }

  // The same without a copy.
  void Append(Slice slice) {
    size_ += slice.size;
    tail_ = nullptr;
    Push(std::move(slice));
  }

  // Takes the first `count` bytes, at most front_size().
  [[nodiscard]] Slice Take(size_t count) {
    if (count == 0) return {};
    assert(count <= front_size());
    Slice& front = slices_->front();
    Slice taken{front.owner, front.from, count};
    front.from += count;
    front.size -= count;
    size_ -= count;
    if (size_ == 0) {
      Clear();
    } else if (front.size == 0) {
      slices_->pop_front();
    }
    return taken;
  }

  void Clear() {
    slices_.reset();
    tail_.reset();
    size_ = 0;
  }

 private:
  void Push(Slice slice) {
    if (slices_ == nullptr) slices_ = std::make_unique<std::deque<Slice>>();
    slices_->push_back(std::move(slice));
  }

  size_t block_;
  std::unique_ptr<std::deque<Slice>> slices_;  // none while there is nothing: an empty deque takes half a KiB
  std::shared_ptr<std::string> tail_;          // the last one's, if it may still grow
  size_t size_ = 0;
};

}  // namespace dotagent::session

#endif  // DOTAGENT_COMMON_SESSION_SEND_QUEUE_H_
