// What strangers may cost a node: see newcomers.h.
#ifndef DOTAGENT_COMMON_P2P_NEWCOMER_LIMITS_H_
#define DOTAGENT_COMMON_P2P_NEWCOMER_LIMITS_H_

#include <cstddef>

#include "absl/time/time.h"

namespace dotagent::p2p {

struct NewcomerLimits {
  // New connections of an address (an IPv6 /64): a second, 0 for no limit; and at once.
  double connections_per_second = 64;
  double connection_burst = 512;
  size_t max_addresses = 65536;  // that are remembered for it, about 100 bytes each
  // Handshakes under way.
  size_t max_handshakes = 512;
  size_t max_handshakes_per_address = 128;
  // How much of the loop's time newcomers get, and how much of it they may have saved up.
  double share = 0.1;
  absl::Duration share_burst = absl::Milliseconds(300);
  // Bits of work that are asked for under load, at first and at most; 0 at most: none. The most that is done for others
  // that we dial, too.
  int min_cookie_bits = 12;
  int max_cookie_bits = 18;
};

}  // namespace dotagent::p2p

#endif  // DOTAGENT_COMMON_P2P_NEWCOMER_LIMITS_H_
