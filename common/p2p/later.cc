#include "common/p2p/later.h"

#include <asio/steady_timer.hpp>
#include <chrono>
#include <map>
#include <system_error>
#include <utility>

#include "common/p2p/timer.h"

namespace dotagent::p2p {
namespace {

// From this delay on, times are rounded up to a multiple of the grain, so that those near each other are one wake-up.
constexpr absl::Duration kCoarseFrom = absl::Milliseconds(500);
constexpr std::chrono::milliseconds kGrain(32);

}  // namespace

struct Later::State : std::enable_shared_from_this<State> {
  using Time = asio::steady_timer::time_point;

  explicit State(const asio::any_io_executor& executor) : timer(executor) {}

  void Arm() {
    if (waiting.empty() || waiting.begin()->first >= armed_for) return;
    armed_for = waiting.begin()->first;
    timer.expires_at(armed_for);
    timer.async_wait([weak = weak_from_this()](const std::error_code& error) {
      const auto state = weak.lock();
      if (!error && state != nullptr) state->RunDue();  // an error: it was set anew, for something earlier
    });
  }

  void RunDue() {
    armed_for = Time::max();
    const Time now = asio::steady_timer::clock_type::now();
    // Whatever runs may end the Later, and so empty this.
    while (!waiting.empty() && waiting.begin()->first <= now) {
      const auto due = waiting.extract(waiting.begin());
      due.mapped()();
    }
    Arm();
  }

  asio::steady_timer timer;
  std::multimap<Time, std::function<void()>> waiting;
  Time armed_for = Time::max();
};

Later::Later(const asio::any_io_executor& executor) : state_(std::make_shared<State>(executor)) {}

Later::~Later() {
  state_->waiting.clear();
  state_->timer.cancel();
}

void Later::RunAfter(absl::Duration delay, std::function<void()> run) {
  auto due = asio::steady_timer::clock_type::now() + TimerDelay(delay);
  if (delay >= kCoarseFrom) due += (kGrain - due.time_since_epoch() % kGrain) % kGrain;
  state_->waiting.emplace(due, std::move(run));
  state_->Arm();
}

}  // namespace dotagent::p2p
