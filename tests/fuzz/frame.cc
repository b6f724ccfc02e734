// The muxer's frames, from a peer that may send anything: parsing ends, stays in bounds, and what it accepts can be
// written again and means the same.
#include "common/session/frame.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using dotagent::session::Frame;
  absl::string_view in(reinterpret_cast<const char*>(data), size);
  while (!in.empty()) {
    const size_t before = in.size();
    const absl::StatusOr<Frame> frame = dotagent::session::TakeFrame(&in);
    if (!frame.ok()) break;
    if (in.size() >= before) std::abort();

    std::string bytes;
    dotagent::session::AppendFrame(*frame, &bytes);
    absl::string_view again = bytes;
    const absl::StatusOr<Frame> copy = dotagent::session::TakeFrame(&again);
    if (!copy.ok() || !again.empty() || copy->type != frame->type || copy->stream != frame->stream ||
        copy->value != frame->value || copy->size != frame->size || copy->fin != frame->fin ||
        copy->data != frame->data)
      std::abort();
  }
  return 0;
}
