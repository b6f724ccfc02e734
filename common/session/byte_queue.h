// Bytes in, bytes out at the front, each copied once on the way in: in blocks, so that a long queue is never moved, and
// so that a whole block goes out without another copy. An empty queue holds no memory to speak of: thousands of idle
// streams cost little.
#ifndef DOTAGENT_COMMON_SESSION_BYTE_QUEUE_H_
#define DOTAGENT_COMMON_SESSION_BYTE_QUEUE_H_

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace dotagent::session {

class ByteQueue {
 public:
  static constexpr size_t kBlock = 16 * 1024;

  [[nodiscard]] size_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }
  // What lies together at the front: the rest of the first block. Valid until the next call that is not const.
  [[nodiscard]] absl::string_view front() const {
    if (empty()) return {};
    return absl::string_view(blocks_[first_]).substr(taken_);
  }

  void Append(absl::string_view bytes) {
    size_ += bytes.size();
    while (!bytes.empty()) {
      if (first_ == blocks_.size() || blocks_.back().size() >= kBlock) {
        blocks_.emplace_back();
        // Frames are a little shorter than blocks: one that grew to take the next one's first bytes would be copied.
        if (bytes.size() >= kBlock / 2) blocks_.back().reserve(kBlock);
      }
      std::string& last = blocks_.back();
      const size_t piece = std::min(bytes.size(), kBlock - last.size());
      last.append(bytes.data(), piece);
      bytes.remove_prefix(piece);
    }
  }

  // Takes `count` bytes, at most size(); without a copy if they are a whole block.
  [[nodiscard]] std::string Take(size_t count) {
    assert(count <= size_);
    std::string taken;
    if (taken_ == 0 && count > 0 && count == front().size()) {
      taken = std::move(blocks_[first_]);
      size_ -= count;
      DropBlock();
      return taken;
    }
    taken.reserve(count);
    while (taken.size() < count) {
      const absl::string_view piece = front().substr(0, count - taken.size());
      taken.append(piece.data(), piece.size());
      Drop(piece.size());
    }
    return taken;
  }

  // `count` must not be over size().
  void Drop(size_t count) {
    assert(count <= size_);
    size_ -= count;
    while (count > 0) {
      const size_t rest = blocks_[first_].size() - taken_;
      const size_t piece = std::min(count, rest);
      taken_ += piece;
      count -= piece;
      if (piece == rest) DropBlock();
    }
  }

  void Clear() {
    blocks_ = std::vector<std::string>();
    first_ = 0;
    size_ = 0;
    taken_ = 0;
  }

 private:
  void DropBlock() {
    blocks_[first_] = std::string();
    taken_ = 0;
    if (++first_ == blocks_.size()) return Clear();
    if (first_ < blocks_.size() / 2) return;
    blocks_.erase(blocks_.begin(), blocks_.begin() + static_cast<std::ptrdiff_t>(first_));
    first_ = 0;
  }

  std::vector<std::string> blocks_;
  size_t first_ = 0;  // of them that is still here
  size_t size_ = 0;
  size_t taken_ = 0;  // of the first one's bytes
};

}  // namespace dotagent::session

#endif  // DOTAGENT_COMMON_SESSION_BYTE_QUEUE_H_
