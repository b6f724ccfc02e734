// What one stream leaves to the others: a slow reader must not keep them from the connection's credit.
//
// While at most half of the connection's window lies unread, credit comes back in halves of the window to those who
// read. Once it is more, the streams are looked at twice a second: slow is who has read, since the look before, less
// than a quarter of what waited then. What waits in slow streams then no longer counts against the connection's window
// but against the budget of all sessions (it is lent), until it is read or the stream ends. If that is not enough,
// because the budget is used up or as much as the largest window is lent already, slow streams are reset, those with
// the most unread first.
//
// Cost: a walk over the streams of a session, twice a second, while it is so.
#include <algorithm>
#include <functional>
#include <utility>
#include <vector>

#include "common/session/mux.h"
#include "common/session/reset_code.h"

namespace dotagent::session {

bool Mux::Crowded() const { return receive_.used - consumed_ > window_ / 2; }

void Mux::WatchReaders(absl::Time now) {
  if (look_at_ == absl::InfiniteFuture() && Crowded()) look_at_ = now + kSlow;
}

void Mux::OnTimeout(absl::Time now) {
  if (now < look_at_) return;
  look_at_ = absl::InfiniteFuture();
  if (!Crowded()) return;
  std::vector<StreamId> slow = SlowStreams();
  std::erase_if(slow, [this](StreamId id) { return Lend(*Find(id)); });
  for (const StreamId id : slow) {
    if (!Crowded()) break;
    GiveUp(*Find(id));
  }
  WatchReaders(now);
}

// Those with something that is not lent yet, the most first; and notes what the readers of all have to do till the next
// look. An older note than the last look's still counts: whoever is below it has been slow for longer.
std::vector<StreamId> Mux::SlowStreams() {
  std::vector<std::pair<uint64_t, StreamId>> slow;
  for (const auto& [id, stream] : streams_) {
    const uint64_t unread = stream->unread.size();
    if (unread == 0) continue;
    if (stream->consumed < stream->slow_below && unread > stream->lent) slow.emplace_back(unread - stream->lent, id);
    stream->slow_below = stream->consumed + (unread + 3) / 4;
  }
  std::sort(slow.begin(), slow.end(), std::greater<>());
  std::vector<StreamId> ids;
  ids.reserve(slow.size());
  for (const auto& [bytes, id] : slow) ids.push_back(id);
  return ids;
}

// Not by ConsumeOfConnection: that nobody reads is no reason for a window to grow.
bool Mux::Lend(StreamState& stream) {
  const uint64_t bytes = stream.unread.size() - stream.lent;
  if (bytes > options_.max_connection_window - lent_ || !lease_.Take(bytes)) return false;
  stream.lent += bytes;
  lent_ += bytes;
  consumed_ += bytes;
  return true;
}

void Mux::GiveUp(StreamState& stream) {
  if (stream.visible()) Tell(Event::Kind::kStreamGivenUp, stream.id, "", reset_code::kLimit);
  Detach(stream, reset_code::kLimit);
  if (!stream.receive_done) Owe(stream, &StreamState::owes_stop);
  ForgetIfOver(stream);
}

}  // namespace dotagent::session
