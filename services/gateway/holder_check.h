// "Does this agent hold that name?": asked before an agent sends as alice.agent, reads her inbox or calls in her name.
#ifndef DOTAGENT_SERVICES_GATEWAY_HOLDER_CHECK_H_
#define DOTAGENT_SERVICES_GATEWAY_HOLDER_CHECK_H_

#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "common/base/clock.h"
#include "common/record/name.h"
#include "services/gateway/token_table.h"
#include "services/host/directory.h"

namespace dotagent::gateway_service {

// A yes is believed for a minute for the same token, so that a busy sender costs the resolver one call a minute.
// PermissionDenied (KEY_MISMATCH) if another key holds the name, FailedPrecondition (NAME_NOT_FOUND) if nobody does;
// otherwise as host::Directory::Resolve. `done` may be called from inside.
void CheckHolder(host::Directory& directory, const Clock& clock, const std::shared_ptr<Agent>& agent,
                 const record::Name& name, std::function<void(absl::Status)> done);

// What CheckHolder notes after a yes; also after a registration.
void NoteHolder(Agent& agent, const record::Name& name, absl::Time now);

}  // namespace dotagent::gateway_service

#endif  // DOTAGENT_SERVICES_GATEWAY_HOLDER_CHECK_H_
