#include "services/gateway/splice.h"

#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace dotagent::gateway_service {
namespace {

// What the agents hear when a pipe breaks: the codes of streams are about streams, so that only what is the agent's
// own doing is passed on as it is.
absl::Status Explain(const absl::Status& broken) {
  if (absl::IsInvalidArgument(broken)) return broken;
  return ErrorWithReason(absl::StatusCode::kUnavailable, reason::kUnreachable,
                         absl::StrCat("the channel broke; open it again: ", broken.message()));
}

}  // namespace

std::shared_ptr<Splice> Splice::Start(std::shared_ptr<Pipe> a, std::shared_ptr<Pipe> b,
                                      std::function<void(bool from_a, absl::string_view bytes)> on_bytes,
                                      std::function<void(absl::Status)> done) {
  std::shared_ptr<Splice> splice(  // NOLINT: the constructor is private
      new Splice(std::move(a), std::move(b), std::move(on_bytes), std::move(done)));
  splice->Copy(true);
  splice->Copy(false);
  return splice;
}

Splice::Splice(std::shared_ptr<Pipe> a, std::shared_ptr<Pipe> b,
               std::function<void(bool from_a, absl::string_view bytes)> on_bytes,
               std::function<void(absl::Status)> done)
    : a_(std::move(a)), b_(std::move(b)), on_bytes_(std::move(on_bytes)), done_(std::move(done)) {}

void Splice::Copy(bool from_a) {
  const auto& from = from_a ? a_ : b_;
  from->Read([self = shared_from_this(), from_a](absl::StatusOr<std::string> bytes) {
    if (!self->done_) return;
    if (!bytes.ok()) return self->Abort(Explain(bytes.status()));
    const auto& to = from_a ? self->b_ : self->a_;
    if (bytes->empty()) {
      to->CloseWrite();
      if (--self->open_directions_ == 0) std::exchange(self->done_, nullptr)(absl::OkStatus());
      return;
    }
    self->on_bytes_(from_a, *bytes);
    to->Write(*std::move(bytes), [self, from_a](const absl::Status& written) {
      if (!self->done_) return;
      if (!written.ok()) return self->Abort(Explain(written));
      self->Copy(from_a);
    });
  });
}

void Splice::Abort(const absl::Status& why) {
  if (!done_) return;
  const auto done = std::exchange(done_, nullptr);
  a_->Abort(why);
  b_->Abort(why);
  done(why);
}

}  // namespace dotagent::gateway_service
