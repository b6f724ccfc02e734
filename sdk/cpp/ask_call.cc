#include "sdk/cpp/ask_call.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/time/clock.h"
#include "common/base/retry_after.h"
#include "common/base/status.h"
#include "common/rpc/status.h"

namespace dotagent::sdk {

namespace v1 = ::dotagent::gateway::v1;
namespace {

// As long as the gateway waits for an answer at most.
constexpr absl::Duration kLongest = absl::Minutes(10);
// A call that nobody has used for so long may have ended unseen.
constexpr absl::Duration kFresh = absl::Seconds(1);

absl::Status NoAnswer() {
  return ErrorWithReason(absl::StatusCode::kDeadlineExceeded, reason::kUnreachable,
                         "no answer has come in the time that it was given");
}

absl::Status StatusOf(const v1::RefusedRequest& refused) {
  absl::Status status = rpc::FromParts(refused.code(), refused.message(), refused.reason());
  if (refused.retry_after_ms() == 0) return status;
  const uint64_t after = std::min<uint64_t>(refused.retry_after_ms(), absl::ToInt64Milliseconds(absl::Hours(24)));
  return WithRetryAfter(std::move(status), absl::Milliseconds(static_cast<int64_t>(after)));
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
          [this](v1::AskResponse response) { Take(std::move(response)); }) {}

uint64_t AskCall::Begin() {
  absl::MutexLock lock(&mutex_);
  last_used_ = absl::Now();
  waiting_.emplace(++last_number_, std::nullopt);
  return last_number_;
}

bool AskCall::IsAnswered(uint64_t number) {
  absl::MutexLock lock(&mutex_);
  return waiting_.at(number).has_value();
}

std::optional<AskCall::Answer> AskCall::End(uint64_t number) {
  absl::MutexLock lock(&mutex_);
  return std::move(waiting_.extract(number).mapped());
}

void AskCall::Take(v1::AskResponse response) {
  absl::MutexLock lock(&mutex_);
  const auto found = waiting_.find(response.number());
  if (found == waiting_.end()) return;  // nobody waits for it any more
  if (response.has_answered()) {
    found->second = std::move(*response.mutable_answered());
  } else {
    found->second = StatusOf(response.refused());
  }
}

absl::StatusOr<v1::RequestResponse> AskCall::Ask(const v1::RequestRequest& request, absl::Time deadline) {
  const uint64_t number = Begin();
  v1::AskRequest ask;
  ask.set_number(number);
  *ask.mutable_request() = request;
  const absl::Duration left = std::clamp(deadline - absl::Now(), absl::Milliseconds(1), kLongest);
  ask.set_timeout_ms(static_cast<uint32_t>(absl::ToInt64Milliseconds(left)));
  absl::Status waited = stream_.Write(ask, deadline);
  // Also if it could not be written: how the stream ended says why.
  if (!absl::IsDeadlineExceeded(waited)) waited = stream_.Await([&] { return IsAnswered(number); }, deadline);
  std::optional<Answer> answer = End(number);
  if (answer) return *std::move(answer);
  return absl::IsDeadlineExceeded(waited) ? NoAnswer() : waited;
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
