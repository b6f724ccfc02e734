#include "common/p2p/newcomers.h"

#include <asio/post.hpp>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/p2p/timer.h"

namespace dotagent::p2p {
namespace {

telemetry::Counter& Admitted(telemetry::Metrics& metrics, const std::string& lane) {
  return metrics.AddCounter("dotagent_p2p_admitted_total",
                            "Handshakes of others that were begun, by whether they had shown work.", {{"lane", lane}});
}

absl::Status MadeRoom() {
  return ErrorWithReason(absl::StatusCode::kResourceExhausted, reason::kLimit,
                         "the handshake made room for another: too many are under way");
}

}  // namespace

Newcomers::Place::~Place() {
  if (const auto owner = owner_.lock(); owner != nullptr) owner->Leave(id_);
}

Newcomers::Newcomers(const asio::any_io_executor& executor, const NewcomerLimits& limits, const Clock* clock,
                     Random& random, telemetry::Metrics& metrics, std::function<void(absl::string_view)> on_refused)
    : executor_(executor),
      clock_(clock),
      on_refused_(std::move(on_refused)),
      buckets_(limits.connections_per_second, limits.connection_burst, limits.max_addresses),
      budget_(limits.share, limits.share_burst, SteadyNow(*clock)),
      queue_(limits.max_handshakes, limits.max_handshakes_per_address),
      price_(limits.min_cookie_bits, limits.max_cookie_bits),
      mint_(random),
      timer_(executor),
      waiting_(metrics.AddGauge("dotagent_p2p_handshakes_waiting",
                                "Handshakes of others that wait for their share of the loop's time.")),
      bits_(metrics.AddGauge("dotagent_p2p_cookie_bits",
                             "Bits of work that diallers are asked for before a handshake; 0: none.")),
      seconds_(metrics.AddCounter("dotagent_p2p_newcomer_seconds_total",
                                  "The loop's time that went into connections before their handshake was over.")),
      admitted_paid_(Admitted(metrics, "paid")),
      admitted_unpaid_(Admitted(metrics, "unpaid")) {
  for (const char* result : {"paid", "unpaid", "forged", "stale", "unsolved"}) {
    cookies_[result] = &metrics.AddCounter(
        "dotagent_p2p_cookies_total", "Diallers that were asked for work, by what they showed.", {{"result", result}});
  }
}

bool Newcomers::MayConnect(const std::string& group) {
  if (buckets_.Take(group, Now())) return true;
  on_refused_("rate");
  return false;
}

absl::Duration Newcomers::Pause() { return budget_.Pause(Now()); }

void Newcomers::Measured(absl::Duration spent) {
  measuring_ = false;
  budget_.Spend(spent, Now());
  seconds_.Increment(absl::ToDoubleSeconds(spent));
}

std::shared_ptr<Newcomers::Place> Newcomers::Enter(const std::string& group) {
  const HandshakeQueue::Entered entered = queue_.Enter(group, Now());
  if (entered.evicted) Evict(*entered.evicted, "evicted");
  if (entered.refusal != HandshakeQueue::Refusal::kNone) {
    on_refused_(entered.refusal == HandshakeQueue::Refusal::kInAll ? "handshakes" : "handshakes_of_address");
    return nullptr;
  }
  return std::make_shared<Place>(weak_from_this(), entered.id);
}

void Newcomers::Bind(const Place& place, Handshake handshake) { handshakes_[place.id()] = std::move(handshake); }

void Newcomers::Prepare(session::Options& options, const Place& place, absl::string_view peer) {
  options.gated = true;
  options.mint = &mint_;
  options.cookie_bits = Price();
  // The id is no other connection's, so a proof is good for this one only.
  options.cookie_peer = absl::StrCat(peer, "#", place.id());
}

void Newcomers::Knock(const Place& place, uint64_t bits) {
  if (bits > 0) cookies_.at("paid")->Increment();
  if (!queue_.Knock(place.id(), bits > 0)) return Evict(place.id(), "handshakes");
  waiting_.Set(static_cast<double>(queue_.waiting()));
  SchedulePump();
}

void Newcomers::CountFailure(bool asked, const absl::Status& why) {
  if (!asked) return;
  const std::string reason = ReasonOf(why);
  const char* result = "unpaid";
  if (reason == reason::kBadSignature) result = "forged";
  if (reason == reason::kStale) result = "stale";
  if (reason == reason::kLimit) result = "unsolved";
  cookies_.at(result)->Increment();
}

void Newcomers::Close() {
  closed_ = true;
  timer_.cancel();
  handshakes_.clear();
}

void Newcomers::Leave(HandshakeQueue::Id id) {
  queue_.Leave(id);
  handshakes_.erase(id);
  waiting_.Set(static_cast<double>(queue_.waiting()));
}

// Later: whoever has to go may be in the middle of something.
void Newcomers::Evict(HandshakeQueue::Id id, absl::string_view cause) {
  on_refused_(cause);
  const auto found = handshakes_.find(id);
  if (found == handshakes_.end()) return;
  asio::post(executor_, [self = shared_from_this(), evict = std::move(found->second.evict)] {
    self->Measure([&] { evict(MadeRoom()); });
  });
  handshakes_.erase(found);
}

void Newcomers::SchedulePump() {
  if (closed_ || std::exchange(pumping_, true)) return;
  asio::post(executor_, [weak = weak_from_this()] {
    if (const auto self = weak.lock(); self != nullptr) self->Pump();
  });
}

// One handshake, if there is time for it; what else the loop has to do comes before the next one.
void Newcomers::Pump() {
  pumping_ = false;
  if (closed_ || queue_.waiting() == 0) return;
  if (const absl::Duration pause = Pause(); pause > absl::ZeroDuration()) {
    pumping_ = true;
    timer_.expires_after(TimerDelay(pause));
    timer_.async_wait([weak = weak_from_this()](const std::error_code& error) {
      const auto self = weak.lock();
      if (!error && self != nullptr) self->Pump();
    });
    return;
  }
  const std::optional<HandshakeQueue::Turn> turn = queue_.Next(Now());
  if (!turn) return;
  (turn->paid ? admitted_paid_ : admitted_unpaid_).Increment();
  waiting_.Set(static_cast<double>(queue_.waiting()));
  if (const auto found = handshakes_.find(turn->id); found != handshakes_.end()) {
    const std::function<void()> admit = found->second.admit;  // which may end it
    Measure(admit);
  }
  SchedulePump();
}

int Newcomers::Price() {
  const absl::Time now = Now();
  const bool behind = budget_.Short(now) || queue_.waiting() > queue_.max() / 4;
  const int bits = price_.At(now, {.behind = behind, .waiting_paid = queue_.waiting_paid(), .room = queue_.max()});
  bits_.Set(bits);
  return bits;
}

absl::Time Newcomers::Now() const { return SteadyNow(*clock_); }

}  // namespace dotagent::p2p
