// How much work a node asks of diallers (session/cookie.h): nothing while it keeps up, then as much as it takes for
// those that pay not to queue.
//
// Looked at once an interval: the price rises by a bit, which doubles the work, while more than an eighth of the queue
// has paid and waits, and falls by one when nobody does. It starts at min_bits when the node cannot keep up, and ends
// after kCalm in which it could.
#ifndef DOTAGENT_COMMON_P2P_COOKIE_PRICE_H_
#define DOTAGENT_COMMON_P2P_COOKIE_PRICE_H_

#include <algorithm>
#include <cstddef>

#include "absl/time/time.h"

namespace dotagent::p2p {

class CookiePrice {
 public:
  static constexpr absl::Duration kInterval = absl::Milliseconds(250);
  static constexpr absl::Duration kCalm = absl::Seconds(5);

  // In bits; `max` 0: never asks.
  CookiePrice(int min, int max) : min_(std::min(min, max)), max_(max) {}

  struct Load {
    bool behind = false;  // there is more to do than time for it
    size_t waiting_paid = 0;
    size_t room = 0;  // that there is in the queue in all
  };
  // What to ask of one that comes now; 0: nothing.
  [[nodiscard]] int At(absl::Time now, const Load& load) {
    if (max_ <= 0) return 0;
    if (load.behind) behind_at_ = now;
    if (bits_ == 0) {
      if (load.behind) Set(min_, now);
    } else if (now - behind_at_ >= kCalm) {
      bits_ = 0;
    } else if (now - changed_ >= kInterval) {
      const int step = load.waiting_paid > load.room / 8 ? 1 : load.waiting_paid == 0 ? -1 : 0;
      Set(std::clamp(bits_ + step, min_, max_), now);
    }
    return bits_;
  }
  [[nodiscard]] int bits() const { return bits_; }

 private:
  void Set(int bits, absl::Time now) {
    bits_ = bits;
    changed_ = now;
  }

  const int min_;
  const int max_;
  int bits_ = 0;
  absl::Time changed_;
  absl::Time behind_at_;
};

}  // namespace dotagent::p2p

#endif  // DOTAGENT_COMMON_P2P_COOKIE_PRICE_H_
