// A copy of everything that is forwarded for agents, appended to a file: for an operator (or the demo) who wants to see
// with their own eyes what a gateway can see. Off unless asked for.
#ifndef DOTAGENT_SERVICES_GATEWAY_TAP_H_
#define DOTAGENT_SERVICES_GATEWAY_TAP_H_

#include <fstream>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace dotagent::gateway_service {

// Not thread-safe.
class Tap {
 public:
  // Empty path: a tap that keeps nothing. Unavailable (STORAGE) if the file cannot be opened.
  [[nodiscard]] static absl::StatusOr<std::unique_ptr<Tap>> Open(const std::string& path);

  void Append(absl::string_view bytes) {
    if (!file_.is_open()) return;
    file_.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    file_.flush();
  }

 private:
  Tap() = default;
  std::ofstream file_;
};

}  // namespace dotagent::gateway_service

#endif  // DOTAGENT_SERVICES_GATEWAY_TAP_H_
