// Who may call, how fast, and what is refused first when the gateway cannot keep up: asked before anything costly is
// done, and told afterwards what came of it.
//
// What is charged to whom:
// - an agent's calls to its key, which it has proved: those that cost more take more of its bucket;
// - calls before there is a proof (Challenge, Authenticate) to the address, an IPv4 address or an IPv6 /64;
// - what comes from another gateway to that gateway, and to the sender *as that gateway has it*: what a gateway claims
//   of agents is proved later, and must not cost them anything elsewhere;
// - a signature that does not verify to whoever vouched for it: the agent, or the gateway, which should have checked;
// - publications once, when they are published. Deliveries have bounds of their own (topic_backlog.h).
//
// The score of anomalies, and what follows from it, is common/abuse/conduct.h's; what an overload sheds
// common/abuse/overload.h's.
#ifndef DOTAGENT_SERVICES_GATEWAY_ADMISSION_H_
#define DOTAGENT_SERVICES_GATEWAY_ADMISSION_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/abuse/conduct.h"
#include "common/abuse/overload.h"
#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/base/random.h"
#include "common/crypto/keys.h"
#include "common/record/message.h"
#include "common/telemetry/metrics.h"

namespace dotagent::gateway_service {

struct AdmissionLimits {
  abuse::ConductLimits agents;  // also of senders as other gateways have them
  abuse::ConductLimits gateways;
  abuse::ConductLimits addresses;
  absl::Duration overload_target;  // 0: waits shed nothing
};

// What calls take of a bucket.
namespace call_cost {
inline constexpr double kOne = 1;         // a lookup, a signature checked
inline constexpr double kStream = 10;     // what stays open: an inbox, a subscription, a channel
inline constexpr double kDisk = 10;       // a policy, a page of dead letters
inline constexpr double kRegister = 100;  // five resolvers store it
// A message: by its bytes, and by how urgent it is.
[[nodiscard]] double OfMessage(size_t bytes, abuse::Priority priority);
}  // namespace call_cost

// Thread-safe.
class Admission {
 public:
  // All must outlive it.
  Admission(const AdmissionLimits& limits, const Clock& clock, Random& random, telemetry::Metrics& metrics);
  ~Admission();

  // ResourceExhausted (RATE_LIMITED, QUARANTINED).
  [[nodiscard]] absl::Status AdmitAgent(const crypto::PublicKey& agent, double cost);
  // `address`: as p2p::AddressGroup; empty: none that could be told apart, such as a Unix socket's, which has no limit.
  [[nodiscard]] absl::Status AdmitAddress(absl::string_view address, double cost);
  [[nodiscard]] absl::Status AdmitGateway(const crypto::PublicKey& gateway, double cost);
  // `sender`: the bytes of the key that `gateway` says has sent it.
  [[nodiscard]] absl::Status AdmitSender(const crypto::PublicKey& gateway, absl::string_view sender, double cost);

  // An agent's message, whose signature is in order. ResourceExhausted (TOO_MANY_RECIPIENTS). Notes a message that has
  // come before, and an id that was used for another message.
  [[nodiscard]] absl::Status AdmitMessage(const crypto::PublicKey& agent, const record::Message& message);

  // What our own check of what came has found: a signature that does not verify, and what is too old, count. Not what
  // another gateway says, nor of a capability token or an answer, which are others'.
  void NoteChecked(const crypto::PublicKey& agent, const absl::Status& result);
  void NoteResend(const crypto::PublicKey& agent);
  void NoteCheckedOf(const crypto::PublicKey& gateway, const crypto::PublicKey& sender, const absl::Status& result);
  void NoteResendOf(const crypto::PublicKey& gateway, absl::string_view sender);
  void NoteProof(absl::string_view address, const absl::Status& result);

  // Work has waited so long for the loop.
  void SawWait(absl::Duration wait);
  // 0 to 1: how much waits for the disk, of what may.
  void SawBacklog(double share);
  // Unavailable (OVERLOADED). `what`: "messages", say.
  [[nodiscard]] absl::Status CheckLoad(abuse::Priority priority, absl::string_view what);

  [[nodiscard]] abuse::Record StandingOf(const crypto::PublicKey& agent);
  [[nodiscard]] const AdmissionLimits& limits() const { return limits_; }
  // JSON for the operator: the worst of each kind, with peer ids and addresses.
  [[nodiscard]] std::string Standings();

  // Housekeeping; call about once a second.
  void Tick();

 private:
  class Side;
  [[nodiscard]] bool CameBefore(const crypto::PublicKey& agent, const record::Message& message, bool* other_bytes);

  const AdmissionLimits limits_;
  const Clock& clock_;
  const uint64_t seed_;
  const std::unique_ptr<Side> agents_;
  const std::unique_ptr<Side> gateways_;
  const std::unique_ptr<Side> senders_;
  const std::unique_ptr<Side> addresses_;
  std::array<telemetry::Counter*, 3> shed_;  // by priority
  telemetry::Gauge& level_;

  Mutex mutex_;
  abuse::Overload overload_ ABSL_GUARDED_BY(mutex_);
  // Of messages that agents sent lately, by sender and id: what they were. Two generations.
  absl::flat_hash_map<uint64_t, uint64_t> sent_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<uint64_t, uint64_t> sent_before_ ABSL_GUARDED_BY(mutex_);
  absl::Duration next_sweep_ ABSL_GUARDED_BY(mutex_) = absl::ZeroDuration();
};

}  // namespace dotagent::gateway_service

#endif  // DOTAGENT_SERVICES_GATEWAY_ADMISSION_H_
