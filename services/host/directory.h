// The names as the other services see them: an asynchronous client of a resolver.
//
// The resolver belongs to the deployment, but its answers come from strangers' nodes, so every record is verified here
// again and must bear the name that was asked for.
#ifndef DOTAGENT_SERVICES_HOST_DIRECTORY_H_
#define DOTAGENT_SERVICES_HOST_DIRECTORY_H_

#include <grpcpp/channel.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/identity/agent_id.h"
#include "common/record/name.h"
#include "common/record/name_proof.h"
#include "common/record/record.h"
#include "common/rpc/call.h"

namespace dotagent::host {

struct Resolution {
  record::Record record;
  std::string source;  // "cache", "store" or "dht"
  uint32_t hops = 0;
  uint32_t agreeing_nodes = 0;
  bool stale = false;
  uint32_t paths_agreed = 0;
  uint32_t receipts = 0;
  uint32_t messages = 0;
  uint32_t remaining_ttl_s = 0;
  std::string owner = {};  // AgentId, 32 bytes, says the resolver
};

struct Publication {
  std::vector<std::string> stored_by;  // peer ids
  uint32_t asked = 0;
};

struct FoundRotation {
  std::string bytes;  // as EncodeRotationChain
  uint32_t agreeing_nodes = 0;
};

// Everything on the loop, but Shutdown. Callbacks run on the loop, never from inside the call.
class Directory {
 public:
  virtual ~Directory() = default;

  // NotFound (NAME_NOT_FOUND) if there is no such name; Unavailable (UNREACHABLE) if the resolver cannot be reached;
  // otherwise as the resolver says.
  virtual void Resolve(const record::Name& name, bool bypass_cache,
                       std::function<void(absl::StatusOr<Resolution>)> done) = 0;
  virtual void Publish(const std::string& record_json, const record::NameProof& proof,
                       std::function<void(absl::StatusOr<Publication>)> done) = 0;

  // `statement`: a signed revocation, for the DHT; with what it takes to verify it (identity::VerifyRevocationWith).
  virtual void PublishRevocation(const std::string& statement, const std::string& rotation_chain,
                                 std::function<void(absl::Status)> done) = 0;

  // An identity's rotation chain, verified. NotFound if no node of the DHT has one; otherwise as Resolve.
  virtual void GetRotation(const identity::AgentId& agent, std::function<void(absl::StatusOr<FoundRotation>)> done) = 0;

  // Cancels what waits and returns when none does; later callbacks are dropped. From outside the loop.
  virtual void Shutdown() = 0;
};

// `post` runs work on the loop; `clock` must outlive the directory. Its destructor shuts it down.
[[nodiscard]] std::unique_ptr<Directory> NewResolverDirectory(std::shared_ptr<grpc::Channel> resolver,
                                                              rpc::Executor post, const Clock& clock);

}  // namespace dotagent::host

#endif  // DOTAGENT_SERVICES_HOST_DIRECTORY_H_
