#include "services/gateway/tap.h"

#include <memory>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace dotagent::gateway_service {

absl::StatusOr<std::unique_ptr<Tap>> Tap::Open(const std::string& path) {
  std::unique_ptr<Tap> tap(new Tap());  // NOLINT: the constructor is private
  if (path.empty()) return tap;
  tap->file_.open(path, std::ios::binary | std::ios::app);
  if (!tap->file_) {
    return ErrorWithReason(absl::StatusCode::kUnavailable, reason::kStorage,
                           absl::StrCat("cannot append to the --tap file ", path, "; give a path that can be written"));
  }
  return tap;
}

}  // namespace dotagent::gateway_service
