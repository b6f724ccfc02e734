#include "services/gateway/holder_check.h"

#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace dotagent::gateway_service {
namespace {
constexpr absl::Duration kBelieved = absl::Minutes(1);
constexpr size_t kMaxNames = 32;  // a token; beyond it all are asked again
}  // namespace

void NoteHolder(Agent& agent, const record::Name& name, absl::Time now) {
  if (agent.names.size() >= kMaxNames) agent.names.clear();
  agent.names.insert_or_assign(name.text(), now + kBelieved);
}

void CheckHolder(host::Directory& directory, const Clock& clock, const std::shared_ptr<Agent>& agent,
                 const record::Name& name, std::function<void(absl::Status)> done) {
  const auto known = agent->names.find(name.text());
  if (known != agent->names.end() && clock.Now() < known->second) return done(absl::OkStatus());
  directory.Resolve(
      name, false, [agent, name, &clock, done = std::move(done)](const absl::StatusOr<host::Resolution>& found) {
        if (absl::IsNotFound(found.status())) {
          return done(ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kNameNotFound,
                                      absl::StrCat(name.text(), " is not registered; register it first")));
        }
        if (!found.ok()) return done(WithContext(found.status(), absl::StrCat("cannot check who holds ", name.text())));
        if (found->record.public_key() != agent->key) {
          return done(ErrorWithReason(
              absl::StatusCode::kPermissionDenied, reason::kKeyMismatch,
              absl::StrCat(name.text(), " is held by another key than the one that you authenticated with")));
        }
        NoteHolder(*agent, name, clock.Now());
        done(absl::OkStatus());
      });
}

}  // namespace dotagent::gateway_service
