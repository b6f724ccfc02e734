// A token bucket an address: how fast each may open connections.
//
// Defends against floods from few addresses, for the price of one look into a table. The table is bounded: it is kept
// as two generations, and when the young one is half of what there may be, the old one goes. What is forgotten begins
// with a full bucket; whoever has so many addresses gains nothing by that, since each new one does.
#ifndef DOTAGENT_COMMON_P2P_ADDRESS_BUCKETS_H_
#define DOTAGENT_COMMON_P2P_ADDRESS_BUCKETS_H_

#include <cstddef>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "common/abuse/token_bucket.h"

namespace dotagent::p2p {

class AddressBuckets {
 public:
  // `per_second` tokens, 0: no limit; at most `burst` at once, at least 1.
  AddressBuckets(double per_second, double burst, size_t max_addresses);

  // Takes a token of `group` (address_group.h); false if it has none.
  [[nodiscard]] bool Take(const std::string& group, absl::Time now);
  // Addresses that are remembered.
  [[nodiscard]] size_t size() const { return young_.size() + old_.size(); }

 private:
  using Table = absl::flat_hash_map<std::string, abuse::TokenBucket>;

  [[nodiscard]] abuse::TokenBucket& Find(const std::string& group, absl::Duration now);

  const abuse::Rate rate_;
  const size_t max_young_;
  Table young_;
  Table old_;
};

}  // namespace dotagent::p2p

#endif  // DOTAGENT_COMMON_P2P_ADDRESS_BUCKETS_H_
