// Frames in: what a peer, who may be hostile, may and may not say to a Mux.
#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/base/varint.h"
#include "common/session/mux.h"
#include "common/session/reset_code.h"

namespace dotagent::session {

absl::Status Mux::Violation(EndCode code, absl::string_view what) {
  end_code_ = code;
  const bool over_limit = code == EndCode::kFlowControl || code == EndCode::kStreamLimit;
  return ErrorWithReason(over_limit ? absl::StatusCode::kResourceExhausted : absl::StatusCode::kInvalidArgument,
                         over_limit ? reason::kLimit : reason::kProtocol, absl::StrCat("the peer ", what));
}

// For frames that change nothing: harmless each, but a flood of them is work for nothing.
absl::Status Mux::CountIdle(absl::Time now) {
  if (now - idle_since_ >= absl::Minutes(1)) {
    idle_since_ = now;
    idle_frames_ = 0;
  }
  if (++idle_frames_ <= kMaxIdleFrames) return absl::OkStatus();
  return Violation(EndCode::kProtocolViolation,
                   absl::StrCat("sent over ", kMaxIdleFrames, " frames in a minute that change nothing"));
}

absl::Status Mux::OnMessage(absl::string_view frames, absl::Time now) {
  if (frames.empty()) return CountIdle(now);
  while (!frames.empty()) {
    absl::StatusOr<Frame> frame = TakeFrame(&frames);
    if (!frame.ok()) {
      end_code_ = EndCode::kFrameEncoding;
      return std::move(frame).status();
    }
    RETURN_IF_ERROR(OnFrame(*frame, now));
  }
  return absl::OkStatus();
}

absl::Status Mux::OnFrame(const Frame& frame, absl::Time now) {
  switch (frame.type) {
    case FrameType::kMaxData:
      if (frame.value <= send_.limit) return CountIdle(now);
      send_.limit = frame.value;
      return absl::OkStatus();
    case FrameType::kMaxStreams:
      if (frame.value <= own_limit_) return CountIdle(now);
      own_limit_ = frame.value;
      return absl::OkStatus();
    case FrameType::kDataBlocked:
      return OnDataBlocked(frame.value, now);
    case FrameType::kPing:
      return CountIdle(now);
    case FrameType::kGoAway:
      return OnGoAway(frame, now);
    case FrameType::kRekey:
      return Violation(EndCode::kProtocolViolation, "sent a REKEY that is not the first frame of its message");
    default:
      return OnStreamFrame(frame, now);
  }
}

absl::Status Mux::OnGoAway(const Frame& frame, absl::Time now) {
  if (frame.value != static_cast<uint64_t>(EndCode::kNone)) {
    return ErrorWithReason(
        absl::StatusCode::kAborted, reason::kProtocol,
        absl::StrCat("the peer ended the session with code ", frame.value, ": \"", absl::CHexEscape(frame.data), "\""));
  }
  if (peer_gone_) return CountIdle(now);
  peer_gone_ = true;
  Tell(Event::Kind::kGoAway, 0);
  return absl::OkStatus();
}

absl::Status Mux::OnStreamFrame(const Frame& frame, absl::Time now) {
  const uint64_t known = next_peer_;
  ASSIGN_OR_RETURN(StreamState * stream, Lookup(frame));
  if (stream == nullptr) {
    // Frames about a stream that we have forgotten may have crossed with its end; data may not, since the peer has
    // ended its own direction.
    if (frame.type != FrameType::kStream) return absl::OkStatus();
    return Violation(EndCode::kStreamState, absl::StrCat("sent data on stream ", frame.stream, " after its end"));
  }
  switch (frame.type) {
    case FrameType::kStream:
      return OnData(*stream, frame, /*opens=*/next_peer_ != known, now);
    case FrameType::kResetStream:
      return OnReset(*stream, frame);
    case FrameType::kStopSending:
      OnStopSending(*stream, frame);
      return absl::OkStatus();
    case FrameType::kMaxStreamData:
      return OnMaxStreamData(*stream, frame.value, now);
    case FrameType::kStreamDataBlocked:
      return OnStreamDataBlocked(*stream, frame.value, now);
    case FrameType::kDependency:
      return OnDependency(*stream, frame.value, now);
    default:
      return OnPriority(*stream, static_cast<Priority>(frame.value), now);
  }
}

// The stream that a frame is about, which a STREAM frame may open; nullptr if it is over and forgotten.
absl::StatusOr<StreamState*> Mux::Lookup(const Frame& frame) {
  const StreamId id = frame.stream;
  const uint64_t index = id >> 2;
  const bool diallers = (id & 1) == 0;
  const bool ours = diallers == (options_.role == Role::kDialler);
  if ((id & 2) != 0)
    return Violation(EndCode::kStreamState, absl::StrCat("used stream ", id, ", but there are no one-way streams"));
  if (ours ? index < announced_own_ : index < next_peer_) return Find(id);
  if (!ours && frame.type == FrameType::kStream) return Accept(id);
  return Violation(EndCode::kStreamState,
                   absl::StrCat("sent a frame for stream ", id, ", which has never been opened"));
}

absl::StatusOr<StreamState*> Mux::Accept(StreamId id) {
  const uint64_t index = id >> 2;
  if (index >= peer_limit_) {
    return Violation(EndCode::kStreamLimit,
                     absl::StrCat("opened stream ", id, ", its ", index + 1, "th; ", peer_limit_, " were allowed"));
  }
  if (index != next_peer_)
    return Violation(EndCode::kStreamState, absl::StrCat("opened stream ", id, " before the one below it"));
  if (peer_gone_) return Violation(EndCode::kStreamState, "opened a stream after its GOAWAY");
  StreamState& stream = Create(id);
  ++next_peer_;
  AllowMoreStreams();
  stream.announced = true;
  stream.awaits_header = true;
  if (going_away_) {
    Detach(stream, reset_code::kGoingAway);
    Owe(stream, &StreamState::owes_stop);
  }
  return &stream;
}

void Mux::AllowMoreStreams() {
  if (next_peer_ - forgotten_peer_ <= allowed_ / 2) return;
  const uint64_t grown = std::min(2 * allowed_, options_.most_streams);
  if (grown > allowed_ && lease_.Take((grown - allowed_) * kStreamCost)) allowed_ = grown;
}

absl::Status Mux::OnData(StreamState& stream, const Frame& frame, bool opens, absl::Time now) {
  const size_t size = frame.data.size();
  if (stream.receive_done)
    return Violation(EndCode::kStreamState, absl::StrCat("sent data on stream ", stream.id, " after its end"));
  if (size > stream.receive_limit - stream.received) {
    return Violation(EndCode::kFlowControl, absl::StrCat("sent ", size, " bytes on stream ", stream.id,
                                                         " with a credit of ", stream.receive_limit - stream.received));
  }
  if (size > receive_.limit - receive_.used) {
    return Violation(EndCode::kFlowControl, absl::StrCat("sent ", size, " bytes with a credit of ",
                                                         receive_.limit - receive_.used, " for all streams"));
  }
  if (size == 0 && !frame.fin && !opens) return CountIdle(now);
  stream.received += size;
  receive_.used += size;
  stream.receive_done = frame.fin;
  if (stream.detached) {
    ConsumeOfConnection(size);
    ForgetIfOver(stream);
    return absl::OkStatus();
  }
  stream.unread.Append(frame.data);
  WatchReaders(now);
  if (stream.awaits_header) RETURN_IF_ERROR(TakeHeader(stream));
  const bool readable = !stream.unread.empty() || stream.receive_done;
  if (stream.visible() && readable && !stream.readable_told) {
    stream.readable_told = true;
    Tell(Event::Kind::kReadable, stream.id);
  }
  return absl::OkStatus();
}

absl::Status Mux::TakeHeader(StreamState& stream) {
  const auto bad = [&](absl::string_view what) {
    return Violation(EndCode::kProtocolViolation,
                     absl::StrCat("began stream ", stream.id, " with a protocol line that ", what));
  };
  const absl::StatusOr<std::optional<Varint>> length = ReadVarint(stream.unread.front());
  if (!length.ok()) return bad("has no proper length");
  const bool whole = *length && stream.unread.size() - (*length)->size >= (*length)->value;
  if (*length && ((*length)->value == 0 || (*length)->value > kMaxProtocol))
    return bad(absl::StrCat("is ", (*length)->value, " bytes long; 1 to ", kMaxProtocol, " are allowed"));
  if (!whole) return stream.receive_done ? bad("does not end") : absl::OkStatus();

  const size_t size = (*length)->size + (*length)->value;
  std::string protocol(stream.unread.front().substr((*length)->size, (*length)->value));
  if (!std::all_of(protocol.begin(), protocol.end(), absl::ascii_isprint)) return bad("is not printable");
  stream.unread.Drop(size);
  stream.awaits_header = false;
  Consume(stream, size);
  Tell(Event::Kind::kStreamOpened, stream.id, std::move(protocol));
  return absl::OkStatus();
}

absl::Status Mux::OnReset(StreamState& stream, const Frame& frame) {
  if (frame.size != stream.received) {
    return Violation(EndCode::kFinalSize, absl::StrCat("reset stream ", stream.id, " at ", frame.size,
                                                       " bytes, but sent ", stream.received));
  }
  // After a FIN there is nothing left to take back.
  if (stream.receive_done) return absl::OkStatus();
  stream.receive_done = true;
  if (stream.visible()) Tell(Event::Kind::kStreamReset, stream.id, "", frame.value);
  Detach(stream, frame.value);
  ForgetIfOver(stream);
  return absl::OkStatus();
}

void Mux::OnStopSending(StreamState& stream, const Frame& frame) {
  if (stream.detached || stream.send_done) return;
  if (stream.visible()) Tell(Event::Kind::kStreamReset, stream.id, "", frame.value);
  Detach(stream, frame.value);
  if (!stream.receive_done) Owe(stream, &StreamState::owes_stop);
}

absl::Status Mux::OnDataBlocked(uint64_t limit, absl::Time now) {
  if (limit <= peer_blocked_at_) return CountIdle(now);
  peer_blocked_at_ = limit;
  peer_waits_ = true;
  GrowWindowIfWanted(window_ / 2);
  return absl::OkStatus();
}

absl::Status Mux::OnStreamDataBlocked(StreamState& stream, uint64_t limit, absl::Time now) {
  if (limit <= stream.peer_blocked_at) return CountIdle(now);
  stream.peer_blocked_at = limit;
  stream.peer_waits = true;
  GrowWindow(stream, stream.window / 2);
  return absl::OkStatus();
}

absl::Status Mux::OnMaxStreamData(StreamState& stream, uint64_t limit, absl::Time now) {
  if (limit <= stream.send_limit) return CountIdle(now);
  stream.send_limit = limit;
  Schedule(stream);
  return absl::OkStatus();
}

// A wish that cannot be granted is not an offence: dependencies that the ends set at the same time may cross.
absl::Status Mux::OnDependency(StreamState& stream, StreamId on, absl::Time now) {
  if (stream.dependency_is_ours) return absl::OkStatus();
  const std::optional<StreamId> wanted = on == stream.id ? std::nullopt : std::optional<StreamId>(on);
  if (stream.depends_on == wanted || !Depend(stream, wanted).ok()) return CountIdle(now);
  return absl::OkStatus();
}

absl::Status Mux::OnPriority(StreamState& stream, Priority priority, absl::Time now) {
  if (stream.priority_is_ours) return absl::OkStatus();
  if (stream.priority == priority) return CountIdle(now);
  stream.priority = priority;
  scheduler_.SetPriority(stream.id, priority);
  return absl::OkStatus();
}

}  // namespace dotagent::session
