#include "common/p2p/calls.h"

#include <asio/post.hpp>
#include <limits>
#include <optional>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/base/varint.h"
#include "common/p2p/connection.h"

namespace dotagent::p2p {

// What a handler answers with. The last reference resets a stream that was not answered.
class Calls::Answer {
 public:
  Answer(std::weak_ptr<Connection> connection, session::StreamId id) : connection_(std::move(connection)), id_(id) {}
  ~Answer() {
    const auto connection = connection_.lock();
    if (connection != nullptr && !given_) connection->calls().Refuse(id_, reset_code::kDropped);
  }
  Answer(const Answer&) = delete;
  Answer& operator=(const Answer&) = delete;

  void Give(const std::string& response) {
    const auto connection = connection_.lock();
    if (connection != nullptr && !std::exchange(given_, true)) connection->calls().Respond(id_, response);
  }

 private:
  const std::weak_ptr<Connection> connection_;
  const session::StreamId id_;
  bool given_ = false;
};

void Calls::Make(const CallOptions& options, absl::string_view request, CallCallback done) {
  const auto opened = connection_.session().OpenStream(options.protocol, options.priority, session::StreamUse::kCall);
  if (!opened.ok()) {
    return asio::post(connection_.executor(), [done = std::move(done), why = opened.status()] { done(why); });
  }
  const session::StreamId id = *opened;
  Call& call = calls_[id];
  call.done = std::move(done);
  call.max_message = options.max_response;
  call.deadline = options.deadline;
  call.timeout = options.timeout;
  deadlines_.emplace(call.deadline, id);
  Send(id, call, request);
}

void Calls::Accept(session::StreamId id, const Served& served) {
  Call& call = calls_[id];
  call.served = &served;
  call.max_message = served.max_request;
}

void Calls::Send(session::StreamId id, Call& call, absl::string_view message) {
  std::string length;
  AppendVarint(message.size(), &length);
  SendMore(id, call, length);
  SendMore(id, call, message);
  CloseIfSent(id, call);
}

// What the session does not take waits in `unsent`.
void Calls::SendMore(session::StreamId id, Call& call, absl::string_view bytes) {
  if (call.unsent.empty()) {
    const auto taken = connection_.session().Write(id, bytes);
    if (!taken.ok()) return;  // the stream is gone, which is told as such
    bytes.remove_prefix(*taken);
  }
  call.unsent.append(bytes.data(), bytes.size());
}

void Calls::CloseIfSent(session::StreamId id, const Call& call) {
  // It fails only for a stream that is gone.
  if (call.unsent.empty()) connection_.session().CloseWrite(id).IgnoreError();
  connection_.ScheduleFlush();
}

bool Calls::OnWritable(session::StreamId id) {
  const auto found = calls_.find(id);
  if (found == calls_.end()) return false;
  Call& call = found->second;
  if (call.unsent.empty()) return true;
  SendMore(id, call, std::exchange(call.unsent, std::string()));
  CloseIfSent(id, call);
  // Answered, and all of it is with the session.
  if (call.unsent.empty() && call.done == nullptr) Finish(id, std::string());
  return true;
}

bool Calls::OnReadable(session::StreamId id) {
  const auto found = calls_.find(id);
  if (found == calls_.end()) return false;
  Call& call = found->second;
  if (call.done == nullptr && call.served == nullptr) return true;  // its request is complete; credit bounds the rest
  auto piece = connection_.session().Read(id, std::numeric_limits<size_t>::max());
  if (!piece.ok()) {
    Finish(id, piece.status());
    return true;
  }
  call.all_received = piece->finished;
  if (call.received.empty()) {
    call.received = std::move(piece->data);
  } else {
    call.received += piece->data;
  }
  absl::StatusOr<std::optional<std::string>> message = TakeLengthPrefixed(&call.received, call.max_message);
  const bool complete = !message.ok() || message->has_value();
  if (!complete && !call.all_received) return true;
  absl::StatusOr<std::string> result =
      call.received.empty()
          ? absl::UnavailableError("the peer ended the call without an answer")
          : ErrorWithReason(absl::StatusCode::kDataLoss, reason::kProtocol, "the stream ended inside a message");
  if (!message.ok()) {
    result = message.status();
  } else if (message->has_value()) {
    result = **std::move(message);
  }
  if (call.served == nullptr) {
    Finish(id, std::move(result));
  } else {
    OnRequest(id, std::move(result));
  }
  return true;
}

void Calls::OnRequest(session::StreamId id, absl::StatusOr<std::string> request) {
  Call& call = calls_[id];
  if (!request.ok() || !call.received.empty()) return Refuse(id, reset_code::kBadMessage);
  const CallHandler& handler = std::exchange(call.served, nullptr)->calls;
  const auto answer = std::make_shared<Answer>(connection_.weak_from_this(), id);
  handler(*connection_.peer_key(), *std::move(request),
          [answer](const std::string& response) { answer->Give(response); });
}

void Calls::Respond(session::StreamId id, const std::string& response) {
  const auto found = calls_.find(id);
  if (found == calls_.end()) return;  // the peer has given up
  Send(id, found->second, response);
  if (found->second.unsent.empty()) Finish(id, std::string());
}

void Calls::Refuse(session::StreamId id, uint64_t code) {
  if (calls_.erase(id) != 0) connection_.Reset(id, code);
}

bool Calls::OnReset(session::StreamId id, const absl::Status& why) {
  if (!calls_.contains(id)) return false;
  const Call call = Take(id);
  if (call.done != nullptr) call.done(why);
  return true;
}

Calls::Call Calls::Take(session::StreamId id) {
  const auto found = calls_.find(id);
  Call call = std::move(found->second);
  calls_.erase(found);
  if (call.done != nullptr) deadlines_.erase({call.deadline, id});
  return call;
}

void Calls::Finish(session::StreamId id, absl::StatusOr<std::string> result) {
  const Call call = Take(id);
  if (!call.unsent.empty()) {
    connection_.Reset(id, reset_code::kDropped);  // answered before it was asked
  } else if (call.all_received) {
    connection_.Forget(id);
  } else {
    connection_.Linger(id);
  }
  if (call.done != nullptr) call.done(std::move(result));
}

void Calls::Fail(const absl::Status& why) {
  deadlines_.clear();
  for (auto& [id, call] : std::exchange(calls_, {})) {
    if (call.done == nullptr) continue;
    asio::post(connection_.executor(), [done = std::move(call.done), why] { done(why); });
  }
}

absl::Time Calls::NextDeadline() const {
  return deadlines_.empty() ? absl::InfiniteFuture() : deadlines_.begin()->first;
}

void Calls::OnDeadlines(absl::Time now) {
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    const session::StreamId id = deadlines_.begin()->second;
    const Call call = Take(id);
    connection_.Reset(id, reset_code::kTimeout);
    call.done(absl::DeadlineExceededError(absl::StrCat("no answer within ", absl::FormatDuration(call.timeout))));
  }
}

}  // namespace dotagent::p2p
