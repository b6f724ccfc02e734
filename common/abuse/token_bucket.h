// A token bucket: so much a second, and so much saved up.
//
// Time is what passes (Clock::Elapsed): a wall clock that is set back would leave buckets empty until it has caught up.
#ifndef DOTAGENT_COMMON_ABUSE_TOKEN_BUCKET_H_
#define DOTAGENT_COMMON_ABUSE_TOKEN_BUCKET_H_

#include <algorithm>

#include "absl/time/time.h"

namespace dotagent::abuse {

struct Rate {
  double per_second = 0;  // 0: no limit
  double burst = 1;       // tokens at once; at least 1
};

// The rate is handed in each time, so that many buckets share one, and one may be slowed down.
class TokenBucket {
 public:
  // Begins with `tokens`.
  TokenBucket(double tokens, absl::Duration now) : tokens_(tokens), at_(now) {}

  // Takes `cost` tokens, or as many as there ever are. Zero if they were there; otherwise nothing is taken, and this is
  // how long until they are.
  [[nodiscard]] absl::Duration Take(const Rate& rate, double cost, absl::Duration now) {
    if (rate.per_second <= 0) return absl::ZeroDuration();
    const double burst = std::max(rate.burst, 1.0);
    if (now > at_) {
      tokens_ = std::min(burst, tokens_ + absl::ToDoubleSeconds(now - at_) * rate.per_second);
      at_ = now;
    }
    const double wanted = std::min(cost, burst);
    // Who waits for as long as it was told finds it, however that was rounded.
    if (tokens_ + kRounding < wanted) return absl::Seconds((wanted - tokens_) / rate.per_second);
    tokens_ = std::max(tokens_ - wanted, 0.0);
    return absl::ZeroDuration();
  }

 private:
  static constexpr double kRounding = 1e-6;

  double tokens_;
  absl::Duration at_;  // when it had them
};

}  // namespace dotagent::abuse

#endif  // DOTAGENT_COMMON_ABUSE_TOKEN_BUCKET_H_
