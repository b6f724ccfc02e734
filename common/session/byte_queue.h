// Bytes in, bytes out at the front, each in amortised constant time (erasing the front of a string every time would be
// quadratic). An empty queue holds no memory to speak of, so that thousands of idle streams cost little.
#ifndef DOTAGENT_COMMON_SESSION_BYTE_QUEUE_H_
#define DOTAGENT_COMMON_SESSION_BYTE_QUEUE_H_

#include <cstddef>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"

namespace dotagent::session {

class ByteQueue {
 public:
  [[nodiscard]] size_t size() const { return bytes_.size() - taken_; }
  [[nodiscard]] bool empty() const { return size() == 0; }
  // Valid until the next call that is not const.
  [[nodiscard]] absl::string_view view() const { return absl::string_view(bytes_).substr(taken_); }

  void Append(absl::string_view bytes) { bytes_.append(bytes.data(), bytes.size()); }

  // Takes `count` bytes, at most size(); without a copy if that is all there is.
  [[nodiscard]] std::string Take(size_t count) {
    if (taken_ == 0 && count == bytes_.size()) return std::exchange(bytes_, std::string());
    std::string taken(view().substr(0, count));
    Drop(count);
    return taken;
  }

  // `count` must not be over size().
  void Drop(size_t count) {
    taken_ += count;
    if (taken_ == bytes_.size()) {
      Clear();
    } else if (taken_ >= kCompactAt && taken_ >= bytes_.size() / 2) {
      bytes_.erase(0, taken_);
      taken_ = 0;
    }
  }

  void Clear() {
    taken_ = 0;
    if (bytes_.capacity() > kKeepCapacity) {
      bytes_ = std::string();
    } else {
      bytes_.clear();
    }
  }

 private:
  static constexpr size_t kCompactAt = 4096;
  static constexpr size_t kKeepCapacity = 4096;

  std::string bytes_;
  size_t taken_ = 0;
};

}  // namespace dotagent::session

#endif  // DOTAGENT_COMMON_SESSION_BYTE_QUEUE_H_
