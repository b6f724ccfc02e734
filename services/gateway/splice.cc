#include "services/gateway/splice.h"

#include <string>
#include <utility>

#include "absl/status/statusor.h"

namespace dotagent::gateway_service {
namespace {

absl::Status Broken(const absl::Status& why) { return ForAgents(why, "the channel broke"); }

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
    if (!bytes.ok()) return self->Abort(Broken(bytes.status()));
    const auto& to = from_a ? self->b_ : self->a_;
    if (bytes->empty()) {
      to->CloseWrite();
      if (--self->open_directions_ == 0) std::exchange(self->done_, nullptr)(absl::OkStatus());
      return;
    }
    self->on_bytes_(from_a, *bytes);
    to->Write(*std::move(bytes), [self, from_a](const absl::Status& written) {
      if (!self->done_) return;
      if (!written.ok()) return self->Abort(Broken(written));
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
