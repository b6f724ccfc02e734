// Who may write to an agent: its inbox policy, and the capability tokens that it asks for (§3.3).
//
// The policy is the agent's own (SetInboxPolicy), kept at the gateway where it lives, and enforced there on each
// message for it, wherever the message comes from. An agent that has set none has an open inbox.
//
//   open         everyone may write
//   contacts     contacts may: others are refused (NOT_A_CONTACT)
//   capability   contacts may, and whoever shows a token: others are refused (TOKEN_REQUIRED)
//
// Whatever the mode, a REQUEST to a guarded method needs a token, also from a contact. The method is the member
// `method` of the content, written as the path of a resource: calendar/events. A token must allow "call" on
// agent://RECIPIENT/METHOD, or, for messages of other types and requests without a method, "send" and "call" on
// agent://RECIPIENT. A method that is no such path counts as guarded, and as the whole agent: so no second spelling of
// one slips through.
//
// The presenter's key is the one that signed the message, which the sender's gateway has authenticated and this one
// verified. If the token's uses are counted, one is redeemed at identity before the message is kept; sent again, it is
// the same use.
#ifndef DOTAGENT_SERVICES_GATEWAY_INBOX_GUARD_H_
#define DOTAGENT_SERVICES_GATEWAY_INBOX_GUARD_H_

#include <cstddef>
#include <functional>
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
#include "dotagent/gateway/v1/gateway.pb.h"
#include "services/gateway/redeemer.h"

namespace dotagent::gateway_service {

inline constexpr size_t kMaxContacts = 1'000;
inline constexpr size_t kMaxGuardedMethods = 256;

// On the loop's thread.
class InboxGuard {
 public:
  using KeyRevoked = std::function<bool(const crypto::PublicKey&)>;

  // All must outlive it. Table "policy/": by name, so that neither a rotation of the key nor a new one opens an inbox.
  InboxGuard(storage::Store& store, Redeemer& redeemer, KeyRevoked key_revoked, const Clock& clock,
             telemetry::Metrics& metrics);

  // On disk when it returns. InvalidArgument (BAD_MESSAGE) says what is wrong with it; Unavailable (STORAGE).
  [[nodiscard]] absl::Status SetPolicy(const record::Name& name, const gateway::v1::InboxPolicy& policy);

  // Whether `message`, which `sender_key` signed, may be put into its recipient's inbox. PermissionDenied:
  // NOT_A_CONTACT, TOKEN_REQUIRED; as TokenCache::Check and Redeemer::Redeem. `done` may be called from inside.
  void Check(const record::Message& message, const crypto::PublicKey& sender_key, const record::Record& recipient,
             const std::string& token, std::function<void(absl::Status)> done);

  void OnKeyRevoked(const crypto::PublicKey& key) { tokens_.OnKeyRevoked(key); }
  void OnTokenRevoked(const capability::TokenRevocation& revocation) {
    tokens_.OnBlockRevoked(revocation.block, revocation.signer);
  }

 private:
  enum class Verdict { kAllowed, kNotAContact, kTokenRequired };

  [[nodiscard]] absl::StatusOr<gateway::v1::InboxPolicy> PolicyOf(const record::Name& name) const;
  [[nodiscard]] static Verdict Judge(const gateway::v1::InboxPolicy& policy, const record::Message& message);

  storage::Store& store_;
  Redeemer& redeemer_;
  const Clock& clock_;
  capability::TokenCache tokens_;
  telemetry::Counter& allowed_;
  telemetry::Counter& refused_;
};

}  // namespace dotagent::gateway_service

#endif  // DOTAGENT_SERVICES_GATEWAY_INBOX_GUARD_H_
