// Frames out: what a Mux puts into the next message.
#include <algorithm>

#include "common/session/mux.h"
#include "common/session/quic_varint.h"

namespace dotagent::session {
namespace {

// A stream's frames other than data come together: room for one of each kind.
constexpr size_t kStreamControlSize = 7 * kMaxControlFrameSize;
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

bool Mux::OwesMaxData() const { return consumed_ + window_ - receive_.limit >= std::max<uint64_t>(window_ / 2, 1); }

// Well before those that the peer keeps for calls are used up, which are a sixteenth.
bool Mux::OwesMaxStreams() const {
  return forgotten_peer_ + allowed_ - peer_limit_ >= std::max<uint64_t>(options_.ours.max_streams / 64, 1);
}

bool Mux::OwesDataBlocked() const {
  return !scheduler_.empty() && send_.used == send_.limit && told_blocked_at_ != send_.limit;
}

bool Mux::HasFrames() const {
  return !openers_.empty() || !owing_.empty() || owes_goaway_ || OwesMaxData() || OwesMaxStreams() ||
         OwesDataBlocked() || (!scheduler_.empty() && send_.used < send_.limit);
}

void Mux::Fill(size_t limit, Message* message) {
  if (OwesMaxData()) {
    receive_.limit = consumed_ + window_;
    message->Add({.type = FrameType::kMaxData, .value = receive_.limit});
  }
  if (OwesMaxStreams()) {
    peer_limit_ = std::min(forgotten_peer_ + allowed_, kMaxStreamCount);
    message->Add({.type = FrameType::kMaxStreams, .value = peer_limit_});
  }
  FillOpeners(limit, message);
  if (!openers_.empty()) return;
  if (owes_goaway_) {
    owes_goaway_ = false;
    message->Add({.type = FrameType::kGoAway, .value = static_cast<uint64_t>(EndCode::kNone)});
  }
  FillControl(limit, message);
  if (!owing_.empty()) return;
  FillData(limit, message);
}

// Streams become known to the peer in the order of their ids, before anything is said about them, with as much of their
// first line as credit allows. Whatever else they have to send then waits its turn by priority.
void Mux::FillOpeners(size_t limit, Message* message) {
  while (!openers_.empty() && message->size() + kOpenerSize <= limit) {
    StreamState& stream = *Find(openers_.front());  // never forgotten before its end has been sent
    openers_.pop_front();
    stream.announced = true;
    ++announced_own_;
    const auto credit = std::min<uint64_t>(stream.sendable(), send_.limit - send_.used);
    SendData(stream, static_cast<size_t>(std::min<uint64_t>(stream.header_size, credit)), message);
  }
}

void Mux::FillControl(size_t limit, Message* message) {
  while (!owing_.empty() && message->size() + kStreamControlSize <= limit) {
    StreamState* stream = Find(owing_.front());
    owing_.pop_front();
    if (stream != nullptr) FillStreamControl(*stream, message);
  }
}

void Mux::FillStreamControl(StreamState& stream, Message* message) {
  const StreamId id = stream.id;
  stream.queued = false;
  if (stream.owes_reset && !stream.send_done) {
    message->Add({.type = FrameType::kResetStream, .stream = id, .value = stream.reset_code, .size = stream.sent});
    stream.send_done = true;
  }
  if (stream.owes_stop && !stream.receive_done)
    message->Add({.type = FrameType::kStopSending, .stream = id, .value = stream.reset_code});
  if (stream.owes_fin && !stream.send_done) {
    message->Add({.type = FrameType::kStream, .stream = id, .fin = true});
    stream.send_done = true;
  }
  if (stream.owes_credit && !stream.receive_done && !stream.detached) {
    stream.receive_limit = stream.consumed + stream.window;
    message->Add({.type = FrameType::kMaxStreamData, .stream = id, .value = stream.receive_limit});
  }
  if (stream.owes_priority && !stream.detached) {
    message->Add({.type = FrameType::kPriority, .stream = id, .value = static_cast<uint64_t>(stream.priority)});
  }
  if (stream.owes_dependency && !stream.detached) {
    message->Add(
        {.type = FrameType::kDependency, .stream = id, .value = stream.depends_on ? *stream.depends_on : stream.id});
  }
  if (stream.owes_blocked && !stream.send_done && stream.sent == stream.send_limit) {
    stream.told_blocked_at = stream.send_limit;
    message->Add({.type = FrameType::kStreamDataBlocked, .stream = id, .value = stream.send_limit});
  }
  stream.owes_reset = stream.owes_stop = stream.owes_fin = false;
  stream.owes_credit = stream.owes_priority = stream.owes_dependency = stream.owes_blocked = false;
  ForgetIfOver(stream);
}

void Mux::FillData(size_t limit, Message* message) {
  while (send_.used < send_.limit) {
    const std::optional<StreamId> turn = scheduler_.Next();
    if (!turn) return;
    StreamState& stream = NextSender(*turn);
    const size_t room = std::min(limit - message->size(), kMaxFrameSize);
    const auto available = static_cast<size_t>(std::min<uint64_t>(stream.sendable(), send_.limit - send_.used));
    const size_t overhead = StreamFrameOverhead(stream.id, std::min(available, room));
    if (room < overhead + std::min(available, kSmallestPiece)) return;
    // What lies together goes out without a copy.
    const size_t bytes = std::min({available, room - overhead, stream.unsent.front_size()});
    scheduler_.Charge(*turn, overhead + bytes);
    SendData(stream, bytes, message);
  }
  if (OwesDataBlocked() && message->size() + kMaxControlFrameSize <= limit) {
    told_blocked_at_ = send_.limit;
    message->Add({.type = FrameType::kDataBlocked, .value = send_.limit});
  }
}

// Who sends in the turn of stream `id`: what it depends on, as far as that has something to send.
StreamState& Mux::NextSender(StreamId id) {
  StreamState* sender = Find(id);
  for (const StreamState* above = sender; above->depends_on.has_value();) {
    StreamState* const next = Find(*above->depends_on);
    if (next == nullptr) break;
    if (scheduler_.Waits(next->id)) sender = next;
    above = next;
  }
  return *sender;
}

// Appends a STREAM frame with the next `bytes` that the stream has to send, and the end if nothing comes after them.
void Mux::SendData(StreamState& stream, size_t bytes, Message* message) {
  const bool fin = stream.write_closed && !stream.detached && bytes == stream.unsent.size();
  message->AddData(stream.id, fin, stream.unsent.Take(bytes));
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
