// Who is in this gateway's cluster, as far as it can tell, and so where an inbox is at home (docs/adr/0025).
//
// The members that are *active* share the inboxes by rendezvous hash. A member is active while it answers, is not
// draining, has all inbox policies (from us: Told; and, by its own word, from the others: `joined`), and is not on hold
// for having come and gone too often. This gateway itself is active once it has looked for the others, each of those
// that answered has told it its policies, and none that has stayed has it on hold for restarts.
//
// Each member has its own view; they agree once each has heard of each. Departs from failure detectors of the
// literature (SWIM, phi accrual) by being simpler: a handful of members probe each other every second.
//
// Defends against a member that flaps: each time that it comes back within kFlapMemory it must stay twice as long as
// the time before. Of strangers it knows nothing: who calls Heard has verified the member's proof (cluster_link.h).
#ifndef DOTAGENT_SERVICES_GATEWAY_CLUSTER_MEMBERS_H_
#define DOTAGENT_SERVICES_GATEWAY_CLUSTER_MEMBERS_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/crypto/keys.h"

namespace dotagent::gateway_service {

// What a member says of itself.
struct ClusterMember {
  crypto::PublicKey key;
  std::vector<std::string> addresses;  // multiaddrs with /p2p/
  uint64_t generation = 0;             // another one: it has restarted
  bool draining = false;
  bool joined = false;
  uint64_t told_generation = 0;  // our generation to which it has told all policies
  bool holds_us = false;         // on hold, for restarts
};

// Values without I/O: `now` is Clock::Elapsed. Not thread-safe.
class ClusterMembers {
 public:
  struct Limits {
    size_t max_members = 64;                       // beside this one
    absl::Duration down_after = absl::Seconds(5);  // of silence
    absl::Duration first_hold = absl::Seconds(5);
    absl::Duration longest_hold = absl::Minutes(5);
    absl::Duration forget_after = absl::Hours(24);
  };
  // For so long a member must have stayed for its coming and going to be forgotten.
  static constexpr absl::Duration kFlapMemory = absl::Minutes(10);

  ClusterMembers(const crypto::PublicKey& self, uint64_t generation, const Limits& limits)
      : self_(self), generation_(generation), limits_(limits) {}

  // A member has answered, or asked. ResourceExhausted (LIMIT) if there are too many.
  [[nodiscard]] absl::Status Heard(const ClusterMember& member, absl::Duration now);
  // It has all of our policies, in this life of its.
  void Told(const crypto::PublicKey& key, uint64_t generation);
  // Every address that we know has been asked once, and has answered or failed.
  void Looked();
  // This gateway leaves: it is no home from now on, if there is another.
  void Drain();
  // Notices who is silent. Call about once a second, and before time counts.
  void Tick(absl::Duration now);

  [[nodiscard]] const crypto::PublicKey& self() const { return self_; }
  [[nodiscard]] uint64_t generation() const { return generation_; }
  [[nodiscard]] bool joined() const { return joined_; }
  [[nodiscard]] bool draining() const { return draining_; }
  // Rises whenever others are active than before.
  [[nodiscard]] uint64_t version() const { return version_; }
  // This gateway too.
  [[nodiscard]] const std::vector<crypto::PublicKey>& active() const { return active_; }

  // The member at which the inbox of `name` is now, maybe this one. std::nullopt while there is none: this gateway has
  // not joined yet, and knows of nobody who has. Of a gateway that drains and is the last one, this one.
  [[nodiscard]] std::optional<crypto::PublicKey> HomeOf(absl::string_view name) const;

  // nullptr: never heard of, or forgotten.
  [[nodiscard]] const ClusterMember* Find(const crypto::PublicKey& key) const;
  // All others, also those that are down or gone.
  [[nodiscard]] std::vector<ClusterMember> Others() const;
  // Those of them that answer.
  [[nodiscard]] std::vector<ClusterMember> Up() const;
  // Those that answer and do not have all of our policies yet.
  [[nodiscard]] std::vector<ClusterMember> Untold() const;
  // The generation in which it was told all of our policies; 0: it was not yet.
  [[nodiscard]] uint64_t ToldGeneration(const crypto::PublicKey& key) const;
  // We have it on hold since it restarts too often: it should know.
  [[nodiscard]] bool HoldsForRestarts(const crypto::PublicKey& key) const;

 private:
  struct State {
    ClusterMember member;
    absl::Duration heard;
    bool up = false;
    bool told = false;
    absl::Duration changed;  // when it last came up
    int returns = 0;         // that have not been forgotten
    absl::Duration hold_until;
    bool restarted = false;  // it came up with another generation than before
  };

  void ComeUp(State& state, bool restarted, absl::Duration now);
  [[nodiscard]] absl::Status MakeRoom();
  void Count();

  const crypto::PublicKey self_;
  const uint64_t generation_;
  const Limits limits_;
  std::map<crypto::PublicKey, State> others_;
  std::vector<crypto::PublicKey> active_;
  absl::Duration now_;
  uint64_t version_ = 0;
  bool looked_ = false;
  bool joined_ = false;
  bool draining_ = false;
};

}  // namespace dotagent::gateway_service

#endif  // DOTAGENT_SERVICES_GATEWAY_CLUSTER_MEMBERS_H_
