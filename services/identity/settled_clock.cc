#include "services/identity/settled_clock.h"

namespace dotagent::identity_service {
namespace {

constexpr absl::Duration kJump = absl::Minutes(5);

}  // namespace

std::optional<absl::Time> SettledClock::Now() {
  const absl::Duration watched = clock_.Elapsed() - steady_;
  const absl::Time now = clock_.Now();
  if (absl::AbsDuration(now - (wall_ + watched)) > kJump) {
    Begin();
    return std::nullopt;
  }
  if (watched < kClockSettles) return std::nullopt;
  return now;
}

}  // namespace dotagent::identity_service
