#include "sdk/cpp/ask_call.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "common/base/status.h"
#include "common/rpc/refusal.h"

namespace dotagent::sdk {

namespace v1 = ::dotagent::gateway::v1;
namespace {

// As long as the gateway waits for an answer at most.
constexpr absl::Duration kLongest = absl::Minutes(10);
// A call that nobody has used for so long may have ended unseen.
constexpr absl::Duration kFresh = absl::Seconds(1);

absl::Status NothingCame() {
  return ErrorWithReason(absl::StatusCode::kDeadlineExceeded, reason::kUnreachable,
                         "no answer has come in the time that it was given");
}

absl::Status WrongOutcome() {
  return ErrorWithReason(absl::StatusCode::kInternal, reason::kProtocol,
                         "the gateway said something else than what became of it");
}

}  // namespace

AskCall::AskCall(std::shared_ptr<GatewayClient> gateway)
    : gateway_(std::move(gateway)),
      last_used_(absl::Now()),
      stream_(
          [this](grpc::ClientContext& context, grpc::CompletionQueue* queue) {
            gateway_->Authorize(context);
            return gateway_->stub().PrepareAsyncAsk(&context, queue);
          },
          gateway_->options().spin, [this](v1::AskResponse response) { Take(std::move(response)); }) {}

uint64_t AskCall::Begin() {
  absl::MutexLock lock(&mutex_);
  last_used_ = absl::Now();
  waiting_.emplace(++last_number_, std::nullopt);
  return last_number_;
}

bool AskCall::IsDone(uint64_t number) {
  absl::MutexLock lock(&mutex_);
  return waiting_.at(number).has_value();
}

std::optional<v1::AskResponse> AskCall::End(uint64_t number) {
  absl::MutexLock lock(&mutex_);
  return std::move(waiting_.extract(number).mapped());
}

void AskCall::Take(v1::AskResponse response) {
  absl::MutexLock lock(&mutex_);
  const auto found = waiting_.find(response.number());
  if (found != waiting_.end()) found->second = std::move(response);  // else nobody waits for it any more
}

AskCall::Outcome AskCall::Exchange(v1::AskRequest ask, absl::Time deadline) {
  const uint64_t number = Begin();
  ask.set_number(number);
  absl::Status waited = stream_.Write(ask, deadline);
  // Also if it could not be written: how the stream ended says why.
  if (!absl::IsDeadlineExceeded(waited)) waited = stream_.Await([&] { return IsDone(number); }, deadline);
  std::optional<v1::AskResponse> response = End(number);
  if (!response) return absl::IsDeadlineExceeded(waited) ? NothingCame() : waited;
  if (response->has_refused()) return rpc::ReadRefusal(response->refused());
  return *std::move(response);
}

absl::StatusOr<v1::RequestResponse> AskCall::Ask(v1::RequestRequest request, absl::Time deadline) {
  v1::AskRequest ask;
  *ask.mutable_request() = std::move(request);
  const absl::Duration left = std::clamp(deadline - absl::Now(), absl::Milliseconds(1), kLongest);
  ask.set_timeout_ms(static_cast<uint32_t>(absl::ToInt64Milliseconds(left)));
  ASSIGN_OR_RETURN(v1::AskResponse response, Exchange(std::move(ask), deadline));
  if (!response.has_answered()) return WrongOutcome();
  return std::move(*response.mutable_answered());
}

absl::StatusOr<v1::SendResponse> AskCall::Send(v1::SendRequest request, absl::Time deadline) {
  v1::AskRequest ask;
  *ask.mutable_send() = std::move(request);
  ASSIGN_OR_RETURN(const v1::AskResponse response, Exchange(std::move(ask), deadline));
  if (!response.has_sent()) return WrongOutcome();
  return response.sent();
}

bool AskCall::HasEnded() {
  const bool fresh = [this] {
    absl::MutexLock lock(&mutex_);
    return absl::Now() - last_used_ < kFresh;
  }();
  // Without a look at the socket if it was used just now.
  if (fresh) return stream_.has_ended();
  return !absl::IsDeadlineExceeded(stream_.Await([] { return false; }, absl::Now()));
}

}  // namespace dotagent::sdk
