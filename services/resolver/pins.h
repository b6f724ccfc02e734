// Who this resolver has seen hold each name, remembered as SSH remembers hosts' keys: a thief who gets the DHT to
// answer for a name is noticed by every resolver that has asked for it before.
//
// A pin holds the owner's AgentId, which stays when the owner rotates its key. It lapses as the name's binding does: 30
// days after the date of the newest record seen. Revoking the key frees no name, and so ends no pin; an operator may
// (Forget).
//
// Departs from SSH in being bounded: the names least recently seen are forgotten first.
#ifndef DOTAGENT_SERVICES_RESOLVER_PINS_H_
#define DOTAGENT_SERVICES_RESOLVER_PINS_H_

#include <cstddef>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/identity/agent_id.h"
#include "common/record/name.h"
#include "common/storage/store.h"
#include "common/telemetry/metrics.h"
#include "services/resolver/answer.h"
#include "services/resolver/lru_map.h"

namespace dotagent::resolver_service {

inline constexpr absl::Duration kPinLapses = absl::Hours(24 * 30);

// Not thread-safe. Memory: about 250 bytes a pin. On disk under "resolver/pin/": a name, when it is seen for the first
// time or with another owner, and then at most once a day. A disk that fails costs the memory across a restart, and is
// logged.
class Pins {
 public:
  // Reads what `store` keeps; entries beyond `capacity` are dropped. DataLoss (STORAGE) if one is damaged. `store` and
  // `metrics` must outlive it.
  [[nodiscard]] static absl::StatusOr<std::unique_ptr<Pins>> Load(storage::Store& store, telemetry::Metrics& metrics,
                                                                  size_t capacity = 50'000);

  // Aborted (CONFLICT) if another owner is pinned, and that has not lapsed. Says which two, and what to do.
  [[nodiscard]] absl::Status Check(const record::Name& name, const identity::AgentId& owner, absl::Time now);
  // Pins the answer's owner. Call after Check.
  void See(const Answer& answer, absl::Time now);
  // False if there was no pin.
  bool Forget(const record::Name& name);

  [[nodiscard]] size_t size() const { return pins_.size(); }

 private:
  struct Pin {
    identity::AgentId owner;
    absl::Time newest;  // date of the newest record seen
    absl::Time first_seen;
    absl::Time saved;  // `newest` as it is on disk
  };

  Pins(storage::Store& store, telemetry::Metrics& metrics, size_t capacity);
  [[nodiscard]] static absl::StatusOr<Pin> Decode(absl::string_view bytes);
  [[nodiscard]] static std::string Encode(const Pin& pin);
  void Write(const storage::Batch& batch);

  storage::Store& store_;
  LruMap<record::Name, Pin> pins_;
  telemetry::Gauge& size_;
  telemetry::Counter& lapsed_;
  telemetry::Counter& pushed_out_;
  telemetry::Counter& forgotten_;
};

}  // namespace dotagent::resolver_service

#endif  // DOTAGENT_SERVICES_RESOLVER_PINS_H_
