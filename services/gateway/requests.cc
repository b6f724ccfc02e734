#include "services/gateway/requests.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace dotagent::gateway_service {
namespace {

constexpr char kRequests[] = "dotagent_gateway_requests_total";
constexpr char kRequestsHelp[] = "Requests handed to agents here, by what became of them.";
// Longer than a message may be ahead of time and then old enough to be refused.
constexpr absl::Duration kRemembered = absl::Minutes(10);

absl::Status TooMany(absl::string_view what) {
  return ErrorWithReason(absl::StatusCode::kResourceExhausted, reason::kLimit,
                         absl::StrCat("too many requests ", what, " at the recipient's gateway; try again later"));
}

}  // namespace

Requests::Requests(Listeners& listeners, Charge charge, const Clock& clock, telemetry::Metrics& metrics)
    : listeners_(listeners),
      clock_(clock),
      answered_(metrics.AddCounter(kRequests, kRequestsHelp, {{"outcome", "answered"}})),
      unanswered_(metrics.AddCounter(kRequests, kRequestsHelp, {{"outcome", "unanswered"}})),
      refused_(metrics.AddCounter(kRequests, kRequestsHelp, {{"outcome", "refused"}})),
      waiting_gauge_(metrics.AddGauge("dotagent_gateway_requests_waiting", "Requests that wait for their answer.")) {
  listeners_.SetRequestHooks(
      {.answered = [this](const InboxId& inbox,
                          const gateway::v1::InboxAnswer& answer) { return OnAnswer(inbox, answer); },
       .refused = [charge = std::move(charge)](const InboxId& inbox,
                                               const absl::Status& why) { return charge(inbox.key, why); },
       .gone = [this](const InboxId& inbox) { OnGone(inbox); }});
}

absl::Status Requests::CheckForm(const record::Message& request, absl::Time now) {
  if (request.type() != record::MessageType::kRequest) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kBadMessage,
                           absl::StrCat("only a REQUEST can be answered; this is a ",
                                        record::MessageTypeName(request.type()), ": use Send for it"));
  }
  if (request.timestamp() + kMaxRequestAge < now) {
    return ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kStale,
                           "a REQUEST to be answered is signed within the last 5 minutes; sign it anew");
  }
  return absl::OkStatus();
}

std::string Requests::KeyOf(const InboxId& inbox, const std::string& sender, const std::string& id) {
  return absl::StrCat(inbox.ToString(), "/", sender, "/", id);
}

absl::Status Requests::Remember(const std::string& key, absl::Time now) {
  while (!forget_.empty() && forget_.front().first <= now) {
    seen_.erase(forget_.front().second);
    forget_.pop_front();
  }
  if (seen_.contains(key)) {
    return ErrorWithReason(absl::StatusCode::kAlreadyExists, reason::kStale,
                           "this REQUEST has been handed over before; sign a new one to ask again");
  }
  if (seen_.size() >= kMaxRequestsRemembered) return TooMany("have come in the last minutes");
  seen_.insert(key);
  forget_.emplace_back(now + kRemembered, key);
  return absl::OkStatus();
}

void Requests::Present(const InboxId& inbox, const record::Message& request, const std::string& attachment,
                       const crypto::PublicKey& sender_key, absl::Time deadline, Done done) {
  const absl::Time now = clock_.Now();
  const std::string key = KeyOf(inbox, request.sender().text(), request.id());
  gateway::v1::ReceivedRequest event;
  Places::Place at_inbox = at_inbox_.Take(inbox.ToString());
  Places::Place of_sender = of_sender_.Take(sender_key.bytes());
  const absl::Status handed_over = [&]() -> absl::Status {
    if (waiting_.size() >= kMaxRequestsWaiting) return TooMany("wait for an answer");
    if (at_inbox == nullptr) return TooMany(absl::StrCat("wait for ", inbox.name.text(), " to answer"));
    if (of_sender == nullptr) return TooMany(absl::StrCat("of ", request.sender().text(), " wait for an answer"));
    // Who is not there is not asked, and may be asked again.
    RETURN_IF_ERROR(listeners_.CanAsk(inbox));
    RETURN_IF_ERROR(Remember(key, now));
    event.set_message_json(request.json());
    event.set_attachment(attachment);
    event.set_sender_key(std::string(sender_key.bytes()));
    const absl::Duration left = std::clamp(deadline - now, absl::ZeroDuration(), kMaxRequestTimeout);
    event.set_timeout_ms(static_cast<uint32_t>(absl::ToInt64Milliseconds(left)));
    return absl::OkStatus();
  }();
  if (!handed_over.ok()) {
    refused_.Increment();
    return done(handed_over);
  }
  waiting_.insert_or_assign(key, Waiting{record::Question(request), std::min(deadline, now + kMaxRequestTimeout),
                                         std::move(done), std::move(at_inbox), std::move(of_sender)});
  waiting_gauge_.Set(static_cast<double>(waiting_.size()));
  listeners_.Ask(inbox, std::move(event));
}

absl::Status Requests::CheckAnswer(const record::Message& request, const Answer& answer, const crypto::PublicKey& key,
                                   absl::Time now) {
  ASSIGN_OR_RETURN(const record::Message message, record::Message::Verify(answer.message_json, key, now));
  RETURN_IF_ERROR(message.CheckAttachment(answer.attachment));
  return record::CheckAnswers(request, message);
}

absl::Status Requests::OnAnswer(const InboxId& inbox, const gateway::v1::InboxAnswer& given) {
  ASSIGN_OR_RETURN(const record::Message message,
                   record::Message::Verify(given.message_json(), inbox.key, clock_.Now()));
  RETURN_IF_ERROR(message.CheckAttachment(given.attachment()));
  const std::string key = KeyOf(inbox, message.recipient().text(), message.id());
  const auto found = waiting_.find(key);
  if (found == waiting_.end()) {
    return ErrorWithReason(absl::StatusCode::kNotFound, reason::kStale,
                           absl::StrCat("nobody waits for an answer with the id ", message.id(),
                                        ": it was answered, its time was up, or it was never asked here"));
  }
  RETURN_IF_ERROR(record::CheckAnswers(found->second.question, message));
  answered_.Increment();
  End(key, Answer{given.message_json(), given.attachment()});
  return absl::OkStatus();
}

void Requests::End(const std::string& key, absl::StatusOr<Answer> result) {
  const auto found = waiting_.find(key);
  if (found == waiting_.end()) return;
  const Done done = std::move(found->second.done);
  waiting_.erase(found);
  waiting_gauge_.Set(static_cast<double>(waiting_.size()));
  if (!result.ok()) unanswered_.Increment();
  done(std::move(result));
}

void Requests::OnGone(const InboxId& inbox) {
  const std::string prefix = absl::StrCat(inbox.ToString(), "/");
  std::vector<std::string> keys;
  for (auto next = waiting_.lower_bound(prefix); next != waiting_.end() && absl::StartsWith(next->first, prefix);) {
    keys.push_back((next++)->first);
  }
  for (const std::string& key : keys) {
    End(key,
        ErrorWithReason(absl::StatusCode::kUnavailable, reason::kRecipientOffline,
                        absl::StrCat(inbox.name.text(), " went away before it answered; it may have acted on it")));
  }
}

void Requests::Expire(absl::Time now) {
  std::vector<std::string> late;
  for (const auto& [key, waiting] : waiting_) {
    if (waiting.deadline <= now) late.push_back(key);
  }
  for (const std::string& key : late) {
    End(key, ErrorWithReason(absl::StatusCode::kDeadlineExceeded, reason::kUnreachable,
                             "the recipient has not answered in the time that it was given"));
  }
}

}  // namespace dotagent::gateway_service
