// Keeps an agent's name registered: its record runs out with its ttl, and only the owner's key can sign another, so the
// owner's program does, before that: after 80 to 100 % of nine tenths of the ttl or of 22 hours, whichever is less. The
// spread keeps the agents of one deployment, which started together, from renewing together.
//
// A registrar's certificate that goes with the record ends it too. So the record is also published anew once nine
// tenths of the certificate's remaining time have passed: with the one that the agent has by then
// (AgentOptions::proof).
//
// A failure is tried again after 1 s, then after pauses that double up to 5 minutes, each cut short by up to half at
// random. It ends when trying is of no use: the key is revoked, another holds the name, or the record is refused.
//
//   const auto renewal = sdk::Renewal::Start(*agent, [](const absl::StatusOr<record::Record>& renewed) { … });
#ifndef DOTAGENT_SDK_CPP_RENEWAL_H_
#define DOTAGENT_SDK_CPP_RENEWAL_H_

#include <functional>
#include <memory>
#include <optional>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/record/record.h"

namespace dotagent::sdk {

class Agent;

inline constexpr absl::Duration kLongestWithoutRenewal = absl::Hours(22);

// What to do when, without threads or waiting. Not thread-safe.
class Renewer {
 public:
  struct Parts {
    // The record as it is registered now.
    std::function<absl::StatusOr<record::Record>()> look_up;
    // Signs it anew and publishes it.
    std::function<absl::StatusOr<record::Record>(const record::Record&)> renew;
    const Clock& clock;
    Random& random;
    // When what goes with the record ends, and the record with it; null: never.
    std::function<absl::Time()> proof_ends = nullptr;
  };
  struct Step {
    absl::Duration wait;                                    // until the next step
    std::optional<absl::StatusOr<record::Record>> renewed;  // what came of renewing, if that was due
    bool ended = false;                                     // there is no next step
  };

  explicit Renewer(Parts parts) : parts_(std::move(parts)) {}

  // Does what is due.
  [[nodiscard]] Step Run();

 private:
  [[nodiscard]] absl::Time RenewalOf(const record::Record& record);
  // By when what goes with the record must have been looked at again.
  [[nodiscard]] absl::Time RenewalOfProof();
  [[nodiscard]] Step Failed(const absl::Status& why, bool renewing);
  // `whole` less a random part of it, at most `spread` of it.
  [[nodiscard]] absl::Duration Jittered(absl::Duration whole, double spread);

  const Parts parts_;
  std::optional<record::Record> record_;
  absl::Time due_;
  absl::Duration pause_;
};

// Does it on a thread of its own. Thread-safe.
class Renewal {
 public:
  // `told` is called on that thread with each renewed record, and with each failure to renew. `agent` must have a name,
  // and outlive this.
  [[nodiscard]] static std::unique_ptr<Renewal> Start(Agent& agent,
                                                      std::function<void(const absl::StatusOr<record::Record>&)> told);
  // Stops; waits for a call that runs, at most the gateway's timeout.
  ~Renewal();

 private:
  Renewal(Agent& agent, std::function<void(const absl::StatusOr<record::Record>&)> told);
  void Loop();

  const SystemClock clock_;
  SystemRandom random_;
  const std::function<void(const absl::StatusOr<record::Record>&)> told_;
  Renewer renewer_;
  absl::Mutex mutex_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace dotagent::sdk

#endif  // DOTAGENT_SDK_CPP_RENEWAL_H_
