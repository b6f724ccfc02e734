// Frames out: what a Mux puts into the next message.
#include <algorithm>

#include "common/session/mux.h"
#include "common/session/quic_varint.h"

namespace dotagent::session {
namespace {

// A stream's frames other than data come together: room for one of each kind.
constexpr size_t kStreamControlSize = 6 * kMaxControlFrameSize;
// A first line with its length, in a STREAM frame.
constexpr size_t kOpenerSize = 2 + Mux::kMaxProtocol + kMaxControlFrameSize;
// Data is not split to put fewer bytes than this into the rest of a message.
constexpr size_t kSmallestPiece = 64;

}  // namespace

void Mux::Owe(StreamState& stream, bool StreamState::*frame) {
  stream.*frame = true;
  if (stream.queued) return;
  stream.queued = true;
  owing_.push_back(stream.id);
}

// Brings the scheduler, and the frames that tell of blocking or the end, up to date with what the stream has to send.
void Mux::Schedule(StreamState& stream) {
  if (!stream.announced || stream.detached || stream.send_done) return;
  if (stream.sendable() > 0) {
    scheduler_.Add(stream.id, stream.priority);
    return;
  }
  scheduler_.Remove(stream.id);
  if (!stream.unsent.empty()) {
    if (stream.told_blocked_at != stream.send_limit) Owe(stream, &StreamState::owes_blocked);
  } else if (stream.write_closed) {
    Owe(stream, &StreamState::owes_fin);
  }
}

bool Mux::OwesMaxData() const {
  const uint64_t window = options_.ours.connection_window;
  return consumed_ + window - receive_.limit >= std::max<uint64_t>(window / 2, 1);
}

bool Mux::OwesMaxStreams() const {
  const uint64_t allowed = options_.ours.max_streams;
  return forgotten_peer_ + allowed - peer_limit_ >= std::max<uint64_t>(allowed / 8, 1);
}

bool Mux::OwesDataBlocked() const {
  return !scheduler_.empty() && send_.used == send_.limit && told_blocked_at_ != send_.limit;
}

bool Mux::HasFrames() const {
  return !openers_.empty() || !owing_.empty() || owes_goaway_ || OwesMaxData() || OwesMaxStreams() ||
         OwesDataBlocked() || (!scheduler_.empty() && send_.used < send_.limit);
}

void Mux::Fill(size_t limit, std::string* message) {
  if (OwesMaxData()) {
    receive_.limit = consumed_ + options_.ours.connection_window;
    AppendFrame({.type = FrameType::kMaxData, .value = receive_.limit}, message);
  }
  if (OwesMaxStreams()) {
    peer_limit_ = std::min(forgotten_peer_ + options_.ours.max_streams, kMaxStreamCount);
    AppendFrame({.type = FrameType::kMaxStreams, .value = peer_limit_}, message);
  }
  FillOpeners(limit, message);
  if (!openers_.empty()) return;
  if (owes_goaway_) {
    owes_goaway_ = false;
    AppendFrame({.type = FrameType::kGoAway, .value = static_cast<uint64_t>(EndCode::kNone)}, message);
  }
  FillControl(limit, message);
  if (!owing_.empty()) return;
  FillData(limit, message);
}

// Streams become known to the peer in the order of their ids, before anything is said about them, with as much of their
// first line as credit allows. Whatever else they have to send then waits its turn by priority.
void Mux::FillOpeners(size_t limit, std::string* message) {
  while (!openers_.empty() && message->size() + kOpenerSize <= limit) {
    StreamState& stream = *Find(openers_.front());  // never forgotten before its end has been sent
    openers_.pop_front();
    stream.announced = true;
    ++announced_own_;
    const auto credit = std::min<uint64_t>(stream.sendable(), send_.limit - send_.used);
    SendData(stream, static_cast<size_t>(std::min<uint64_t>(stream.header_size, credit)), message);
  }
}

void Mux::FillControl(size_t limit, std::string* message) {
  while (!owing_.empty() && message->size() + kStreamControlSize <= limit) {
    StreamState* stream = Find(owing_.front());
    owing_.pop_front();
    if (stream != nullptr) FillStreamControl(*stream, message);
  }
}

void Mux::FillStreamControl(StreamState& stream, std::string* message) {
  const StreamId id = stream.id;
  stream.queued = false;
  if (stream.owes_reset && !stream.send_done) {
    AppendFrame({.type = FrameType::kResetStream, .stream = id, .value = stream.reset_code, .size = stream.sent},
                message);
    stream.send_done = true;
  }
  if (stream.owes_stop && !stream.receive_done)
    AppendFrame({.type = FrameType::kStopSending, .stream = id, .value = stream.reset_code}, message);
  if (stream.owes_fin && !stream.send_done) {
    AppendFrame({.type = FrameType::kStream, .stream = id, .fin = true}, message);
    stream.send_done = true;
  }
  if (stream.owes_credit && !stream.receive_done && !stream.detached) {
    stream.receive_limit = stream.consumed + options_.ours.stream_window;
    AppendFrame({.type = FrameType::kMaxStreamData, .stream = id, .value = stream.receive_limit}, message);
  }
  if (stream.owes_priority && !stream.detached) {
    AppendFrame({.type = FrameType::kPriority, .stream = id, .value = static_cast<uint64_t>(stream.priority)}, message);
  }
  if (stream.owes_blocked && !stream.send_done && stream.sent == stream.send_limit) {
    stream.told_blocked_at = stream.send_limit;
    AppendFrame({.type = FrameType::kStreamDataBlocked, .stream = id, .value = stream.send_limit}, message);
  }
  stream.owes_reset = stream.owes_stop = stream.owes_fin = false;
  stream.owes_credit = stream.owes_priority = stream.owes_blocked = false;
  ForgetIfOver(stream);
}

void Mux::FillData(size_t limit, std::string* message) {
  while (send_.used < send_.limit) {
    const std::optional<StreamId> id = scheduler_.Next();
    if (!id) return;
    StreamState& stream = *Find(*id);
    const size_t room = std::min(limit - message->size(), kMaxFrameSize);
    const auto available = static_cast<size_t>(std::min<uint64_t>(stream.sendable(), send_.limit - send_.used));
    const size_t overhead = StreamFrameOverhead(*id, std::min(available, room));
    if (room < overhead + std::min(available, kSmallestPiece)) return;
    const size_t bytes = std::min(available, room - overhead);
    scheduler_.Charge(*id, overhead + bytes);
    SendData(stream, bytes, message);
  }
  if (OwesDataBlocked() && message->size() + kMaxControlFrameSize <= limit) {
    told_blocked_at_ = send_.limit;
    AppendFrame({.type = FrameType::kDataBlocked, .value = send_.limit}, message);
  }
}

// Appends a STREAM frame with the next `bytes` that the stream has to send, and the end if nothing comes after them.
void Mux::SendData(StreamState& stream, size_t bytes, std::string* message) {
  const bool fin = stream.write_closed && !stream.detached && bytes == stream.unsent.size();
  AppendFrame(
      {.type = FrameType::kStream, .stream = stream.id, .fin = fin, .data = stream.unsent.view().substr(0, bytes)},
      message);
  stream.unsent.Drop(bytes);
  stream.sent += bytes;
  send_.used += bytes;
  const size_t room = options_.send_buffer - std::min(options_.send_buffer, stream.unsent.size());
  if (stream.write_refused && room >= std::max<size_t>(options_.send_buffer / 2, 1)) {
    stream.write_refused = false;
    Tell(Event::Kind::kWritable, stream.id);
  }
  if (fin) {
    stream.send_done = true;
    scheduler_.Remove(stream.id);
    ForgetIfOver(stream);
    return;
  }
  Schedule(stream);
}

}  // namespace dotagent::session
