#include "common/session/frame.h"

#include <optional>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/session/quic_varint.h"

namespace dotagent::session {
namespace {

absl::Status Malformed(absl::string_view what) {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kProtocol, what);
}

// How many integers a type is followed by, before any data; -1 for a type that there is not.
int IntegerFields(FrameType type) {
  switch (type) {
    case FrameType::kPing:
    case FrameType::kRekey:
      return 0;
    case FrameType::kMaxData:
    case FrameType::kMaxStreams:
    case FrameType::kDataBlocked:
      return 1;
    case FrameType::kStopSending:
    case FrameType::kStream:
    case FrameType::kStreamFin:
    case FrameType::kMaxStreamData:
    case FrameType::kStreamDataBlocked:
    case FrameType::kPriority:
    case FrameType::kDependency:
    case FrameType::kGoAway:
      return 2;
    case FrameType::kResetStream:
      return 3;
    case FrameType::kFreshOffer:
    case FrameType::kFreshAnswer:
    case FrameType::kFreshDone:
      break;  // first in a message or not at all; what opens the message has taken them
  }
  return -1;
}

bool BelongsToStream(FrameType type) {
  switch (type) {
    case FrameType::kResetStream:
    case FrameType::kStopSending:
    case FrameType::kStream:
    case FrameType::kStreamFin:
    case FrameType::kMaxStreamData:
    case FrameType::kStreamDataBlocked:
    case FrameType::kPriority:
    case FrameType::kDependency:
      return true;
    default:
      return false;
  }
}

absl::Status CheckValue(const Frame& frame) {
  if (frame.type == FrameType::kPriority && frame.value >= kPriorities)
    return Malformed(absl::StrCat("PRIORITY of level ", frame.value, "; levels are 0 to 3"));
  if (frame.type == FrameType::kMaxStreams && frame.value > kMaxStreamCount)
    return Malformed(absl::StrCat("MAX_STREAMS of ", frame.value, "; at most 2^60 can be numbered"));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Frame> TakeFrame(absl::string_view* in) {
  if (in->empty()) return Malformed("no frame where one was expected");
  const absl::string_view whole = *in;
  Frame frame;
  frame.type = static_cast<FrameType>(in->front());
  const int fields = IntegerFields(frame.type);
  if (fields < 0)
    return Malformed(absl::StrCat("frame of unknown type 0x", absl::Hex(static_cast<uint8_t>(in->front()))));
  in->remove_prefix(1);

  uint64_t values[3] = {};
  for (int i = 0; i < fields; ++i) {
    const std::optional<uint64_t> value = TakeQuicVarint(in);
    if (!value) return Malformed(absl::StrCat("frame of type 0x", absl::Hex(whole.front()), " is cut short"));
    values[i] = *value;
  }
  const bool of_stream = BelongsToStream(frame.type);
  if (of_stream) frame.stream = values[0];
  frame.value = of_stream ? values[1] : values[0];
  frame.size = values[2];
  RETURN_IF_ERROR(CheckValue(frame));

  const bool is_stream = frame.type == FrameType::kStream || frame.type == FrameType::kStreamFin;
  if (is_stream || frame.type == FrameType::kGoAway) {
    const uint64_t length = values[1];
    if (length > in->size())
      return Malformed(absl::StrCat("frame says that ", length, " bytes follow, but the message has ", in->size()));
    if (frame.type == FrameType::kGoAway && length > kMaxGoAwayReason)
      return Malformed(absl::StrCat("GOAWAY with a reason of ", length, " bytes; at most ", kMaxGoAwayReason));
    frame.data = in->substr(0, length);
    in->remove_prefix(length);
  }
  if (is_stream) {
    frame.fin = frame.type == FrameType::kStreamFin;
    frame.type = FrameType::kStream;
    frame.value = 0;
  }
  if (whole.size() - in->size() > kMaxFrameSize)
    return Malformed(absl::StrCat("frame of ", whole.size() - in->size(), " bytes; at most ", kMaxFrameSize));
  return frame;
}

void AppendFrame(const Frame& frame, std::string* out) {
  const FrameType type = frame.type;
  if (type == FrameType::kStream) {
    AppendStreamHeader(frame.stream, frame.fin, frame.data.size(), out);
    out->append(frame.data.data(), frame.data.size());
    return;
  }
  out->push_back(static_cast<char>(type));
  if (BelongsToStream(type)) AppendQuicVarint(frame.stream, out);
  if (IntegerFields(type) > 0) AppendQuicVarint(frame.value, out);
  if (type == FrameType::kResetStream) AppendQuicVarint(frame.size, out);
  if (type == FrameType::kGoAway) {
    AppendQuicVarint(frame.data.size(), out);
    out->append(frame.data.data(), frame.data.size());
  }
}

void AppendStreamHeader(StreamId stream, bool fin, size_t data_size, std::string* out) {
  out->push_back(static_cast<char>(fin ? FrameType::kStreamFin : FrameType::kStream));
  AppendQuicVarint(stream, out);
  AppendQuicVarint(data_size, out);
}

size_t StreamFrameOverhead(StreamId stream, size_t data_size) {
  return 1 + QuicVarintSize(stream) + QuicVarintSize(data_size);
}

}  // namespace dotagent::session
