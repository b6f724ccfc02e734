#include "common/session/mux.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/base/varint.h"
#include "common/session/quic_varint.h"

namespace dotagent::session {
namespace {

// Leaves room below the largest varint for limits to grow, for longer than a session can last.
constexpr uint64_t kMaxWindow = uint64_t{1} << 61;

MuxOptions Bounded(MuxOptions options) {
  options.ours.max_streams = std::min<uint64_t>(options.ours.max_streams, Mux::kMaxStreams);
  options.ours.stream_window = std::min(options.ours.stream_window, kMaxWindow);
  options.ours.connection_window = std::min(options.ours.connection_window, kMaxWindow);
  options.most_streams = std::clamp<uint64_t>(options.most_streams, options.ours.max_streams, Mux::kMaxStreams);
  options.theirs.max_streams = std::min(options.theirs.max_streams, kMaxStreamCount);
  options.max_stream_window = std::clamp(options.max_stream_window, options.ours.stream_window, kMaxWindow);
  options.max_connection_window = std::clamp(options.max_connection_window, options.ours.connection_window, kMaxWindow);
  return options;
}

// A shorter write is cheaper to copy.
constexpr size_t kWorthSharing = 16 * 1024;

// Of so many streams, those that are for calls only.
uint64_t KeptForCalls(uint64_t streams) { return streams < 64 ? 0 : std::max<uint64_t>(streams / 16, 16); }

uint64_t FirstId(Role opener) { return opener == Role::kDialler ? 0 : 1; }

}  // namespace

Mux::Mux(MuxOptions options) : options_(Bounded(std::move(options))), lease_(options_.window_budget) {
  own_limit_ = options_.theirs.max_streams;
  kept_for_calls_ = KeptForCalls(options_.theirs.max_streams);
  peer_limit_ = options_.ours.max_streams;
  allowed_ = options_.ours.max_streams;
  send_.limit = options_.theirs.connection_window;
  receive_.limit = options_.ours.connection_window;
  window_ = options_.ours.connection_window;
}

StreamState* Mux::Find(StreamId id) {
  const auto found = streams_.find(id);
  return found == streams_.end() ? nullptr : found->second.get();
}

absl::StatusOr<StreamState*> Mux::FindVisible(StreamId id) {
  StreamState* stream = Find(id);
  if (stream == nullptr || !stream->visible())
    return absl::NotFoundError(absl::StrCat("stream ", id, " is not open: it was never, or has ended or been reset"));
  return stream;
}

StreamState& Mux::Create(StreamId id) {
  std::unique_ptr<StreamState>& stream = streams_[id];
  stream = std::make_unique<StreamState>(id);
  stream->send_limit = options_.theirs.stream_window;
  stream->receive_limit = options_.ours.stream_window;
  stream->window = options_.ours.stream_window;
  return *stream;
}

void Mux::Tell(Event::Kind kind, StreamId id, std::string protocol, uint64_t code) {
  events_.push_back({.kind = kind, .stream = id, .protocol = std::move(protocol), .code = code});
}

std::vector<Event> Mux::TakeEvents() { return std::exchange(events_, {}); }

absl::StatusOr<StreamId> Mux::OpenStream(absl::string_view protocol, Priority priority, StreamUse use) {
  if (protocol.empty() || protocol.size() > kMaxProtocol ||
      !std::all_of(protocol.begin(), protocol.end(), absl::ascii_isprint))
    return absl::InvalidArgumentError("a stream's protocol is 1 to 255 printable bytes");
  if (going_away_ || peer_gone_)
    return absl::FailedPreconditionError("the session opens no more streams after a GOAWAY; use a new session");
  const uint64_t kept = use == StreamUse::kCall ? 0 : kept_for_calls_;
  if (own_limit_ - next_own_ <= kept || streams_.size() >= kMaxStreams) {
    return ErrorWithReason(
        absl::StatusCode::kResourceExhausted, reason::kLimit,
        absl::StrCat("the peer lets us open ", own_limit_ - next_own_, " more streams now, of which ", kept,
                     " are for calls; try again when one has ended"));
  }
  StreamState& stream = Create(next_own_ * 4 + FirstId(options_.role));
  ++next_own_;
  stream.unsent.Append(WithLength(protocol));
  stream.header_size = stream.unsent.size();
  openers_.push_back(stream.id);
  if (priority != Priority::kNormal) SetPriority(stream.id, priority);
  return stream.id;
}

// How many of `wanted` bytes a Write may take.
absl::StatusOr<size_t> Mux::Room(StreamState& stream, size_t wanted) const {
  if (stream.write_closed)
    return absl::FailedPreconditionError(absl::StrCat("stream ", stream.id, " is closed for writing"));
  const size_t room = options_.send_buffer - std::min(options_.send_buffer, stream.unsent.size());
  if (room < wanted) stream.write_refused = true;
  return std::min(room, wanted);
}

absl::StatusOr<size_t> Mux::Write(StreamId id, absl::string_view data) {
  ASSIGN_OR_RETURN(StreamState * stream, FindVisible(id));
  ASSIGN_OR_RETURN(const size_t taken, Room(*stream, data.size()));
  stream->unsent.Append(data.substr(0, taken));
  Schedule(*stream);
  return taken;
}

absl::StatusOr<size_t> Mux::Write(StreamId id, const std::shared_ptr<const std::string>& data, size_t from) {
  if (data->size() - from < kWorthSharing) return Write(id, absl::string_view(*data).substr(from));
  ASSIGN_OR_RETURN(StreamState * stream, FindVisible(id));
  ASSIGN_OR_RETURN(const size_t taken, Room(*stream, data->size() - from));
  if (taken > 0) stream->unsent.Append({data, from, taken});
  Schedule(*stream);
  return taken;
}

absl::Status Mux::CloseWrite(StreamId id) {
  ASSIGN_OR_RETURN(StreamState * stream, FindVisible(id));
  stream->write_closed = true;
  Schedule(*stream);
  return absl::OkStatus();
}

absl::StatusOr<ReadResult> Mux::Read(StreamId id, size_t max) {
  ASSIGN_OR_RETURN(StreamState * stream, FindVisible(id));
  ReadResult result;
  const size_t size = std::min(max, stream->unread.size());
  result.data = stream->unread.Take(size);
  stream->readable_told = false;
  Consume(*stream, size);
  result.finished = stream->receive_done && stream->unread.empty();
  if (result.finished) {
    stream->end_read = true;
    ForgetIfOver(*stream);
  }
  return result;
}

void Mux::Reset(StreamId id, uint64_t code) {
  StreamState* stream = Find(id);
  if (stream == nullptr || !stream->visible()) return;
  Detach(*stream, code);
  if (!stream->receive_done) Owe(*stream, &StreamState::owes_stop);
  ForgetIfOver(*stream);
}

void Mux::SetPriority(StreamId id, Priority priority) {
  StreamState* stream = Find(id);
  if (stream == nullptr || !stream->visible()) return;
  stream->priority_is_ours = true;
  if (stream->priority == priority) return;
  stream->priority = priority;
  scheduler_.SetPriority(id, priority);
  Owe(*stream, &StreamState::owes_priority);
}

absl::Status Mux::SetDependency(StreamId id, std::optional<StreamId> on) {
  ASSIGN_OR_RETURN(StreamState * stream, FindVisible(id));
  RETURN_IF_ERROR(on ? FindVisible(*on).status() : absl::OkStatus());
  RETURN_IF_ERROR(Depend(*stream, on));
  stream->dependency_is_ours = true;
  Owe(*stream, &StreamState::owes_dependency);
  return absl::OkStatus();
}

// A chain's length is counted from what depends on its middle, too. That count is not taken back when a dependent ends,
// so it may refuse early what depends on such a stream, and never takes too much.
absl::Status Mux::Depend(StreamState& stream, std::optional<StreamId> on) {
  size_t below = stream.dependents_depth + 1;
  for (const StreamState* above = on ? Find(*on) : nullptr; above != nullptr;
       above = above->depends_on ? Find(*above->depends_on) : nullptr) {
    if (above->id == stream.id)
      return absl::InvalidArgumentError(absl::StrCat("stream ", stream.id, " would depend on itself"));
    ++below;
  }
  if (below > kMaxDependencyDepth) {
    return absl::InvalidArgumentError(absl::StrCat("stream ", stream.id, " would be one of over ", kMaxDependencyDepth,
                                                   " that depend on each other in a row"));
  }
  stream.depends_on = on;
  size_t depth = stream.dependents_depth;
  for (StreamState* above = on ? Find(*on) : nullptr; above != nullptr;
       above = above->depends_on ? Find(*above->depends_on) : nullptr) {
    above->dependents_depth = std::max(above->dependents_depth, ++depth);
  }
  return absl::OkStatus();
}

void Mux::GoAway() {
  if (going_away_) return;
  going_away_ = true;
  owes_goaway_ = true;
}

// The stream is gone for the layer above. The peer is owed the end of our direction, if it has not had it.
void Mux::Detach(StreamState& stream, uint64_t code) {
  if (stream.detached) return;
  stream.detached = true;
  stream.reset_code = std::min(code, kMaxQuicVarint);
  ++detached_;
  stream.unsent.Clear();
  stream.write_refused = false;
  LetGo(stream, stream.unread.size());
  stream.unread.Clear();
  scheduler_.Remove(stream.id);
  if (!stream.send_done) Owe(stream, &StreamState::owes_reset);
}

void Mux::ConsumeOfConnection(uint64_t bytes) {
  consumed_ += bytes;
  GrowWindowIfWanted(0);
}

// The oldest `bytes` of what is unread leave. The connection has its credit back for those that were lent: the budget
// gets them.
void Mux::LetGo(StreamState& stream, uint64_t bytes) {
  const uint64_t lent = std::min(bytes, stream.lent);
  stream.lent -= lent;
  lent_ -= lent;
  lease_.Return(lent);
  ConsumeOfConnection(bytes - lent);
}

void Mux::GrowWindowIfWanted(uint64_t unread_at_most) {
  if (!peer_waits_ || receive_.used - consumed_ + lent_ > unread_at_most) return;
  peer_waits_ = false;
  GrowWindow();
}

void Mux::GrowWindow() {
  const uint64_t grown = std::min(2 * window_, options_.max_connection_window);
  if (lease_.Take(grown - window_)) window_ = grown;
}

// No stream grows over half of what all have together, which grows first where that is not enough: or a reader that
// kept up once, and stops, would hold what the others need.
void Mux::GrowWindow(StreamState& stream, uint64_t unread_at_most) {
  if (!stream.peer_waits || stream.unread.size() > unread_at_most) return;
  stream.peer_waits = false;
  const uint64_t wanted = std::min(2 * stream.window, options_.max_stream_window);
  if (wanted > window_ / 2 && receive_.used - consumed_ + lent_ <= window_ / 2) GrowWindow();
  stream.window = std::max(stream.window, std::min(wanted, window_ / 2));
  OweCredit(stream);
}

void Mux::Consume(StreamState& stream, size_t bytes) {
  LetGo(stream, bytes);
  stream.consumed += bytes;
  OweCredit(stream);
  GrowWindow(stream, 0);
}

// Credit is given in halves of the window: a frame for each read would be too many.
void Mux::OweCredit(StreamState& stream) {
  const uint64_t due = stream.consumed + stream.window - stream.receive_limit;
  if (due >= std::max<uint64_t>(stream.window / 2, 1) && !stream.receive_done) Owe(stream, &StreamState::owes_credit);
}

void Mux::ForgetIfOver(StreamState& stream) {
  if (!stream.over()) return;
  if (stream.detached) --detached_;
  if ((stream.id & 1) != FirstId(options_.role)) ++forgotten_peer_;
  scheduler_.Remove(stream.id);
  streams_.erase(stream.id);
}

}  // namespace dotagent::session
