// That an agent offers a capability: signed by the agent, found in the DHT under the capability's name (§5.3).
//
//   signed bytes  "dotagent capability advert v1\0" ‖ serialized v1.CapabilityAdvert (protos/dotagent/capability/v1)
//   DHT key       SHA-256("capability:" ‖ capability)
//
// Defends against adverts in another agent's name (the signer's key must be the AgentId's, or be shown to be by the
// rotation chain that goes with it), replay of older ones (the newest counts, and none lasts longer than
// kMaxAdvertLifetime), statements of another kind (context string), parsing what is not signed (verified first), and a
// second form of the same statement (statement.h). It does not say that the agent does what it offers, nor that the
// name is the agent's: resolve the name, and compare the AgentIds.
#ifndef DOTAGENT_COMMON_CAPABILITY_ADVERT_H_
#define DOTAGENT_COMMON_CAPABILITY_ADVERT_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/capability/semantic_version.h"
#include "common/crypto/keys.h"
#include "common/identity/agent_id.h"
#include "common/record/name.h"

namespace dotagent::capability {

inline constexpr size_t kMaxAdvertSize = 1024;
inline constexpr size_t kMaxCapabilityName = 64;
inline constexpr size_t kMaxAdvertVersions = 8;
inline constexpr absl::Duration kMaxAdvertLifetime = absl::Hours(24);

// A value.
struct CapabilityAdvert {
  identity::AgentId agent;
  std::string agent_name;             // what the agent says is its name; lower case
  std::string capability;             // CheckCapabilityName
  std::vector<std::string> versions;  // the highest first; none: it is offered no longer
  absl::Time signed_at;
  absl::Time expires;
  crypto::PublicKey signer;
};

// 1 to 64 bytes: labels of lower-case letters, digits and inner hyphens, with dots between. InvalidArgument
// (BAD_STATEMENT).
[[nodiscard]] absl::Status CheckCapabilityName(absl::string_view name);

// What is to be signed. Versions may come in any order.
struct AdvertFields {
  identity::AgentId agent;  // the identity that the key is of
  std::string agent_name;
  std::string capability;
  std::vector<std::string> versions;
  absl::Duration lifetime = kMaxAdvertLifetime;
};
// A serialized SignedStatement. InvalidArgument as VerifyCapabilityAdvert says, or whatever the signer fails with.
[[nodiscard]] absl::StatusOr<std::string> SignCapabilityAdvert(const crypto::Signer& key, const AdvertFields& fields,
                                                               absl::Time now);

// Checks size, form, signature, then what was signed. InvalidArgument: TOO_LARGE, BAD_SIGNATURE, BAD_NAME,
// BAD_STATEMENT (form, lifetime, capability, versions: over 8, twice, not the highest first). FailedPrecondition:
// FUTURE_DATED if it is dated over 5 minutes ahead, STALE once it has ended. That `signer` is `agent`'s key remains to
// be checked. About 60 µs.
[[nodiscard]] absl::StatusOr<CapabilityAdvert> VerifyCapabilityAdvert(absl::string_view statement, absl::Time now);

// Of one that has been verified: whether it offers a version in `range`. Does not verify again.
[[nodiscard]] bool Offers(absl::string_view verified_statement, const VersionRange& range);

// The DHT key, 32 bytes: SHA-256("capability:" ‖ capability).
[[nodiscard]] std::string CapabilityKey(absl::string_view capability);

}  // namespace dotagent::capability

#endif  // DOTAGENT_COMMON_CAPABILITY_ADVERT_H_
