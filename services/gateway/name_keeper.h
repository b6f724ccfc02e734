// Keeps the name of the agent beside which this gateway runs (sidecar.h) registered: signs its record when the gateway
// starts and again before it runs out, after 80 to 100 % of nine tenths of its ttl or of its certificate's remaining
// time. What the SDK's Renewal does for an agent of its own, without a thread.
//
// A failure is tried again after 1 s, then after pauses that double up to 5 minutes, each cut short by up to half at
// random, for as long as the gateway runs: a name that another holds may lapse, a certificate may come.
#ifndef DOTAGENT_SERVICES_GATEWAY_NAME_KEEPER_H_
#define DOTAGENT_SERVICES_GATEWAY_NAME_KEEPER_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/crypto/keys.h"
#include "common/record/name.h"
#include "common/record/name_proof.h"
#include "dotagent/gateway/v1/gateway.pb.h"

namespace dotagent::gateway_service {

// On the loop.
class NameKeeper {
 public:
  using Registered = std::function<void(absl::StatusOr<gateway::v1::RegisterResponse>)>;
  struct Parts {
    record::Name name;
    const crypto::Signer& key;
    std::function<std::vector<std::string>()> addresses;
    // What goes with the record; asked each time, so that a renewed certificate is taken up.
    std::function<absl::StatusOr<record::NameProof>()> proof;
    std::function<void(const gateway::v1::RegisterRequest&, Registered)> publish;
    const Clock& clock;
    Random& random;
  };
  // All parts must outlive it, and the callbacks that it gives to `publish`.
  explicit NameKeeper(Parts parts) : parts_(std::move(parts)) {}

  // Does what is due; call about once a second.
  void Tick();

  // When the record in the DHT runs out; InfinitePast if there is none of this process's.
  [[nodiscard]] absl::Time expires() const { return expires_; }
  // Of the newest attempt.
  [[nodiscard]] const absl::Status& outcome() const { return outcome_; }

 private:
  struct Draft {
    gateway::v1::RegisterRequest request;
    absl::Time expires;  // of the record
    absl::Time due;      // when the next one has to be signed
  };
  [[nodiscard]] absl::StatusOr<Draft> Sign();
  void Finish(const Draft& draft, const absl::Status& published);
  void Fail(const absl::Status& why);
  // `whole` less a random part of it, at most `spread` of it.
  [[nodiscard]] absl::Duration Jittered(absl::Duration whole, double spread);

  const Parts parts_;
  absl::Time due_ = absl::InfinitePast();
  absl::Duration pause_;
  bool under_way_ = false;
  absl::Time expires_ = absl::InfinitePast();
  absl::Status outcome_;
};

}  // namespace dotagent::gateway_service

#endif  // DOTAGENT_SERVICES_GATEWAY_NAME_KEEPER_H_
