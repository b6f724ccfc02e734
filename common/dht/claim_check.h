// Asks the other witnesses about claims that are still provisional, and settles them (claim_store.h).
//
// Why: a node that has just come near a key cannot know whether the first who stores there is the first at all, so
// thieves would wait for newcomers. And two who claim a name in the same moment may each reach some witnesses first.
// Here the witnesses compare what they know, and each adopts the owner that most of them name; of equals the one whose
// id is nearer to the key. Liars among them are outnumbered as in verdict.h.
//
// Works in rounds of at most kKeysPerRound claims that are at least kSettleAfter old, and asks each other witness about
// up to kMaxClaimKeys of them in one call, so that ten thousand new names cost some hundred calls, not hundreds of
// thousands.
#ifndef DOTAGENT_COMMON_DHT_CLAIM_CHECK_H_
#define DOTAGENT_COMMON_DHT_CLAIM_CHECK_H_

#include <cstddef>
#include <memory>
#include <string>

#include "absl/time/time.h"
#include "common/dht/lifeline.h"
#include "common/dht/peers.h"
#include "common/dht/value_store.h"

namespace dotagent::dht {

// Long enough for a registration under way to reach all its witnesses.
inline constexpr absl::Duration kSettleAfter = absl::Seconds(10);
inline constexpr size_t kKeysPerRound = 256;

class ClaimCheck {
 public:
  // Pointers must outlive it.
  ClaimCheck(Peers* peers, ValueStore* values) : peers_(peers), values_(values) {}

  // Call once.
  void Start();

 private:
  struct Round;

  void Schedule(absl::Duration pause);
  void Begin();
  void Ask(const std::shared_ptr<Round>& round);
  // Settles the round's claims from number `first` on, some at a time.
  void Conclude(const std::shared_ptr<Round>& round, size_t first);

  Peers* const peers_;
  ValueStore* const values_;
  std::string cursor_;
  Lifeline lifeline_;
};

}  // namespace dotagent::dht

#endif  // DOTAGENT_COMMON_DHT_CLAIM_CHECK_H_
