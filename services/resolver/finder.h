// Asks the DHT for one name and believes nothing of the answer: the record is verified, must not have run out, and its
// key must not be revoked, neither by what is known here nor by what the DHT says. Fails closed: a record whose
// revocation cannot be looked up is not handed out.
#ifndef DOTAGENT_SERVICES_RESOLVER_FINDER_H_
#define DOTAGENT_SERVICES_RESOLVER_FINDER_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/base/clock.h"
#include "common/crypto/keys.h"
#include "common/dht/dht.h"
#include "common/record/name.h"
#include "services/resolver/answer.h"

namespace dotagent::resolver_service {

// What must be known of revocations; host::RevocationFeed behind an interface, so that tests need no network.
class Revocations {
 public:
  virtual ~Revocations() = default;
  [[nodiscard]] virtual bool IsRevoked(const crypto::PublicKey& key) const = 0;
  // As identity::VerifyRevocationWith.
  [[nodiscard]] virtual absl::Status Learn(absl::string_view statement, absl::string_view rotation_chain) = 0;
};

// Everything must outlive it, and it the lookups that it has begun, unless the DHT goes first. Not thread-safe.
class Finder {
 public:
  Finder(dht::Dht& dht, Revocations& revocations, const Clock& clock)
      : dht_(dht), revocations_(revocations), clock_(clock) {}

  // `done` gets the answer, or NotFound (NAME_NOT_FOUND), PermissionDenied (KEY_REVOKED), Aborted (CONFLICT),
  // Unavailable (NOT_BOOTSTRAPPED, TOO_FEW_CLEAN_PATHS), DeadlineExceeded (UNREACHABLE).
  void Find(const record::Name& name, Callback<Answer> done);

  [[nodiscard]] absl::Status CheckNotRevoked(const record::Record& record) const;

 private:
  [[nodiscard]] absl::StatusOr<Answer> Check(const record::Name& name, const dht::GetResult& found) const;
  [[nodiscard]] absl::Status CheckRevocation(const Answer& answer, const absl::StatusOr<dht::GetResult>& found);

  dht::Dht& dht_;
  Revocations& revocations_;
  const Clock& clock_;
};

[[nodiscard]] absl::Status KeyRevoked(const record::Name& name);

}  // namespace dotagent::resolver_service

#endif  // DOTAGENT_SERVICES_RESOLVER_FINDER_H_
