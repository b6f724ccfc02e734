#include "services/host/ready_file.h"

#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"

namespace dotagent::host {

absl::Status WriteReadyFile(const std::string& path, const ReadyInfo& info) {
  const nlohmann::ordered_json json = {
      {"peer_id", info.peer_id}, {"grpc", info.grpc}, {"http", info.http}, {"p2p", info.p2p}};
  const std::string draft = absl::StrCat(path, ".new");
  std::ofstream file(draft);
  file << json.dump() << '\n';
  file.close();
  if (!file || std::rename(draft.c_str(), path.c_str()) != 0)
    return absl::FailedPreconditionError(absl::StrCat("cannot write --ready-file ", path));
  return absl::OkStatus();
}

}  // namespace dotagent::host
