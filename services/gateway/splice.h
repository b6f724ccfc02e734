// Joins two pipes: copies bytes both ways, one chunk in flight a direction, so that a slow reader slows the writer at
// the other end of the world and no gateway between them piles up bytes.
#ifndef DOTAGENT_SERVICES_GATEWAY_SPLICE_H_
#define DOTAGENT_SERVICES_GATEWAY_SPLICE_H_

#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "services/gateway/pipe.h"

namespace dotagent::gateway_service {

// On the loop. Keeps itself alive while it copies.
class Splice : public std::enable_shared_from_this<Splice> {
 public:
  // `on_bytes` sees each chunk before it is passed on; `from_a` tells its direction. `done` is called once, when both
  // directions have ended (OK) or one of them broke; both pipes are then over.
  static std::shared_ptr<Splice> Start(std::shared_ptr<Pipe> a, std::shared_ptr<Pipe> b,
                                       std::function<void(bool from_a, absl::string_view bytes)> on_bytes,
                                       std::function<void(absl::Status)> done);

  // Ends both pipes with `why`. No effect once done.
  void Abort(const absl::Status& why);

 private:
  Splice(std::shared_ptr<Pipe> a, std::shared_ptr<Pipe> b,
         std::function<void(bool from_a, absl::string_view bytes)> on_bytes, std::function<void(absl::Status)> done);
  void Copy(bool from_a);

  const std::shared_ptr<Pipe> a_;
  const std::shared_ptr<Pipe> b_;
  const std::function<void(bool, absl::string_view)> on_bytes_;
  std::function<void(absl::Status)> done_;  // empty once called
  int open_directions_ = 2;
};

}  // namespace dotagent::gateway_service

#endif  // DOTAGENT_SERVICES_GATEWAY_SPLICE_H_
