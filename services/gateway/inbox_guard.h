// Who may write to an agent or open a channel to it: its inbox policy, and the capability tokens that it asks for
// (§3.3).
//
// The policy is the agent's own (SetInboxPolicy), kept at the gateway where it lives, and enforced there on each
// message and each channel for it, wherever it comes from. An agent that has set none has an open inbox.
//
//   open         everyone may write and call
//   contacts     contacts may: others are refused (NOT_A_CONTACT)
//   capability   contacts may, and whoever shows a token: others are refused (TOKEN_REQUIRED)
//
// Whatever the mode, a REQUEST to a guarded method needs a token, also from a contact. The method is the member
// `method` of the content, written as the path of a resource: calendar/events. A token must allow "call" on
// agent://RECIPIENT/METHOD, or, for messages of other types and requests without a method, "send" and "call" on
// agent://RECIPIENT. A method that is no such path counts as guarded, and as the whole agent: so no second spelling of
// one slips through.
//
// A channel may name a method as well; a token for it must allow "channel" there, or on the whole agent if it names
// none. What is no path is refused.
//
// The presenter's key is the one that signed the message, which the sender's gateway has authenticated and this one
// verified; of a channel, the one that the caller's record holds, which the agents' session then proves. If the token's
// uses are counted, one is redeemed at identity before the message is kept (sent again, it is the same use), or before
// the callee hears of the call.
#ifndef DOTAGENT_SERVICES_GATEWAY_INBOX_GUARD_H_
#define DOTAGENT_SERVICES_GATEWAY_INBOX_GUARD_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/base/clock.h"
#include "common/capability/token_cache.h"
#include "common/capability/token_revocation.h"
#include "common/crypto/keys.h"
#include "common/record/message.h"
#include "common/record/name.h"
#include "common/record/record.h"
#include "common/storage/store.h"
#include "common/telemetry/metrics.h"
#include "dotagent/cluster/v1/cluster.pb.h"
#include "dotagent/gateway/v1/gateway.pb.h"
#include "services/gateway/redeemer.h"

namespace dotagent::gateway_service {

inline constexpr size_t kMaxContacts = 1'000;
inline constexpr size_t kMaxGuardedMethods = 256;
inline constexpr size_t kMaxChannelMethod = 256;  // bytes

// A channel that an agent asks for.
struct AskedChannel {
  record::Name caller;
  crypto::PublicKey caller_key;  // the one that the caller's record holds
  std::string method;            // what for; empty: nothing in particular
  std::string token;
  std::string id;  // the channel's, random: names the use
  // Asked before a use is counted, so that none is lost on a callee that is away.
  std::function<absl::Status()> can_be_offered;
};

// On the loop.
class InboxGuard {
 public:
  using KeyRevoked = std::function<bool(const crypto::PublicKey&)>;

  // All must outlive it. Table "policy/": by name, so that neither a rotation of the key nor a new one opens an inbox;
  // beside it "policy-version/", microseconds since the Unix epoch in decimal digits.
  // `token_cache_bytes`: of tokens that have been verified, as TokenCache's `max_bytes`.
  InboxGuard(storage::Store& store, Redeemer& redeemer, KeyRevoked key_revoked, const Clock& clock,
             telemetry::Metrics& metrics, size_t token_cache_bytes = size_t{16} << 20);

  // On disk when it returns. InvalidArgument (BAD_MESSAGE) says what is wrong with it; Unavailable (STORAGE).
  [[nodiscard]] absl::Status SetPolicy(const record::Name& name, const gateway::v1::InboxPolicy& policy);

  // Policies as the members of a cluster hand them on, each with the version that its SetPolicy gave it.
  //
  // Of names above `after`, in their order: about `max_bytes`, but at least one if there is one.
  [[nodiscard]] absl::StatusOr<cluster::v1::Policies> PoliciesAfter(const std::string& after, size_t max_bytes) const;
  // NotFound if the name has none.
  [[nodiscard]] absl::StatusOr<cluster::v1::Policy> FindPolicy(const record::Name& name) const;
  // Takes it if it is newer than what is here. On disk when it returns. As SetPolicy.
  [[nodiscard]] absl::Status TakePolicy(const cluster::v1::Policy& policy);

  // The token that allows it, or nullptr if none was needed.
  using Admitted = absl::StatusOr<std::shared_ptr<const capability::Token>>;
  using Done = std::function<void(Admitted)>;

  // Whether `message`, which `sender_key` signed, may be put into its recipient's inbox. PermissionDenied:
  // NOT_A_CONTACT, TOKEN_REQUIRED; as TokenCache::Check and Redeemer::Redeem. `done` may be called from inside.
  void Check(const record::Message& message, const crypto::PublicKey& sender_key, const record::Record& recipient,
             const std::string& token, Done done);

  // InvalidArgument: BAD_MESSAGE if the method is no path, TOO_LARGE. What an agent is shown or another gateway is sent
  // has passed it, also where no token is asked for.
  [[nodiscard]] static absl::Status CheckForm(const record::Name& recipient, absl::string_view method,
                                              absl::string_view token);
  // Whether a channel may be offered to its callee. As Check.
  void CheckChannel(const AskedChannel& request, const record::Record& recipient, Done done);
  // That nothing in the token of what still runs, a channel or a subscription, has been revoked since: PermissionDenied
  // (TOKEN_REVOKED, KEY_REVOKED).
  [[nodiscard]] absl::Status StillHolds(const capability::Token& token) const {
    return tokens_.CheckRevocations(token);
  }

  // Likewise, that its time is not up: FailedPrecondition (STALE).
  [[nodiscard]] static absl::Status InTime(const capability::Token& token, absl::Time now);

  void OnKeyRevoked(const crypto::PublicKey& key) { tokens_.OnKeyRevoked(key); }
  void OnTokenRevoked(const capability::TokenRevocation& revocation) {
    tokens_.OnBlockRevoked(revocation.block, revocation.signer);
  }

 private:
  enum class Verdict { kAllowed, kNotAContact, kTokenRequired };
  struct Approach;  // what somebody wants of an agent

  [[nodiscard]] absl::StatusOr<gateway::v1::InboxPolicy> PolicyOf(const record::Name& name) const;
  [[nodiscard]] absl::StatusOr<uint64_t> VersionOf(absl::string_view name) const;
  [[nodiscard]] absl::Status WritePolicy(const record::Name& name, const std::string& policy, uint64_t version);
  [[nodiscard]] static Verdict Judge(const gateway::v1::InboxPolicy& policy, const record::Name& recipient,
                                     const Approach& approach);
  void Admit(const gateway::v1::InboxPolicy& policy, const Approach& approach, const record::Record& recipient,
             Done done);

  storage::Store& store_;
  Redeemer& redeemer_;
  const Clock& clock_;
  capability::TokenCache tokens_;
  telemetry::Counter& allowed_;
  telemetry::Counter& refused_;
};

}  // namespace dotagent::gateway_service

#endif  // DOTAGENT_SERVICES_GATEWAY_INBOX_GUARD_H_
