// The plaintext of one Noise message while it is being put together: frames, and data that stays where it is until it
// is sealed, so that bulk data is copied once on its way into a session and not again.
#ifndef DOTAGENT_COMMON_SESSION_MESSAGE_H_
#define DOTAGENT_COMMON_SESSION_MESSAGE_H_

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/session/frame.h"
#include "common/session/send_queue.h"

namespace dotagent::session {

class Message {
 public:
  using Pieces = absl::InlinedVector<absl::string_view, 5>;

  void Add(const Frame& frame) { AppendFrame(frame, &copied_); }
  // Frames that are encoded already.
  void Append(absl::string_view frames) { absl::StrAppend(&copied_, frames); }
  // A STREAM frame. All but the beginning and the end of long data stays where it is. So much of both is copied that
  // what stays starts and ends at a multiple of what the cipher works on at once: a piece of any other length costs it
  // as much as 4 KiB more.
  void AddData(StreamId stream, bool fin, Slice data) {
    AppendStreamHeader(stream, fin, data.size, &copied_);
    if (data.size < kWorthKeeping) return Append(data.view());
    const size_t beginning = kCipherStride - size() % kCipherStride;
    Append(data.view().substr(0, beginning));
    const size_t kept = (data.size - beginning) / kCipherStride * kCipherStride;
    kept_size_ += kept;
    const absl::string_view end = data.view().substr(beginning + kept);
    kept_.push_back({copied_.size(), {std::move(data.owner), data.from + beginning, kept}});
    Append(end);
  }

  [[nodiscard]] size_t size() const { return copied_.size() + kept_size_; }
  [[nodiscard]] bool empty() const { return size() == 0; }
  // In order; they live until the message changes.
  [[nodiscard]] Pieces pieces() const {
    Pieces pieces;
    const absl::string_view copied = copied_;
    size_t at = 0;
    for (const Kept& kept : kept_) {
      if (kept.after > at) pieces.push_back(copied.substr(at, kept.after - at));
      pieces.push_back(kept.data.view());
      at = kept.after;
    }
    if (copied.size() > at) pieces.push_back(copied.substr(at));
    return pieces;
  }
  [[nodiscard]] std::string ToString() const {
    std::string bytes;
    for (const absl::string_view piece : pieces()) absl::StrAppend(&bytes, piece);
    return bytes;
  }
  void Clear() {
    copied_.clear();
    kept_.clear();
    kept_size_ = 0;
  }

 private:
  static constexpr size_t kCipherStride = 1024;  // 16 blocks of ChaCha20, as AVX-512 takes them
  static constexpr size_t kWorthKeeping = 4 * kCipherStride;

  struct Kept {
    size_t after;  // bytes of copied_ before it
    Slice data;
  };
  std::string copied_;
  std::vector<Kept> kept_;
  size_t kept_size_ = 0;
};

}  // namespace dotagent::session

#endif  // DOTAGENT_COMMON_SESSION_MESSAGE_H_
