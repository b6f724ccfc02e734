// Tells whoever started a service that it is ready, and where: a JSON object, there completely or not at all.
#ifndef DOTAGENT_SERVICES_HOST_READY_FILE_H_
#define DOTAGENT_SERVICES_HOST_READY_FILE_H_

#include <string>
#include <vector>

#include "absl/status/status.h"

namespace dotagent::host {

struct ReadyInfo {
  std::string peer_id;
  std::string grpc;              // host:port
  std::string http;              // host:port
  std::vector<std::string> p2p;  // multiaddrs with /p2p/
};

[[nodiscard]] absl::Status WriteReadyFile(const std::string& path, const ReadyInfo& info);

}  // namespace dotagent::host

#endif  // DOTAGENT_SERVICES_HOST_READY_FILE_H_
