#include "common/p2p/session_stream.h"

#include <asio/post.hpp>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/p2p/connection.h"

namespace dotagent::p2p {
namespace {

absl::Status SessionGone() { return absl::UnavailableError("the session has ended"); }

}  // namespace

SessionStream::SessionStream(const std::shared_ptr<Connection>& connection, session::StreamId id, std::string protocol)
    : connection_(connection),
      executor_(connection->executor()),
      id_(id),
      peer_(*connection->peer_key()),
      protocol_(std::move(protocol)),
      relayed_(connection->relayed()) {}

SessionStream::~SessionStream() {
  const bool gone = dead_.has_value();
  const bool ended = read_finished_ && write_closed_;
  const bool cut_off = !write_closed_;
  Fail(absl::CancelledError("the stream was dropped"));
  const auto connection = connection_.lock();
  if (connection == nullptr) return;
  if (gone || ended) {
    connection->Forget(id_);
  } else if (cut_off) {
    connection->Reset(id_, reset_code::kDropped);
  } else {
    connection->Linger(id_);
  }
}

void SessionStream::Read(size_t max, std::function<void(absl::StatusOr<std::string>)> done) {
  if (read_.has_value()) {
    asio::post(executor_,
               [done = std::move(done)] { done(absl::FailedPreconditionError("a Read is waiting already")); });
    return;
  }
  read_.emplace(PendingRead{max, std::move(done)});
  OnReadable();
}

void SessionStream::OnReadable() {
  if (!read_.has_value()) return;
  if (!kept_.empty()) {
    std::string piece = kept_.substr(0, read_->max);
    kept_.erase(0, piece.size());
    return FinishRead(std::move(piece));
  }
  if (read_finished_) return FinishRead(std::string());
  if (dead_.has_value()) return FinishRead(*dead_);
  const auto connection = connection_.lock();
  if (connection == nullptr) return FinishRead(SessionGone());
  auto result = connection->session().Read(id_, read_->max);
  if (!result.ok()) return FinishRead(result.status());
  read_finished_ = result->finished;
  if (result->data.empty() && !result->finished) return;
  FinishRead(std::move(result->data));
  connection->ScheduleFlush();  // the peer gets credit back
}

void SessionStream::KeepReceived() {
  const auto connection = connection_.lock();
  if (connection == nullptr || dead_.has_value() || read_finished_) return;
  auto rest = connection->session().Read(id_, std::numeric_limits<size_t>::max());
  if (!rest.ok()) return;
  kept_ = std::move(rest->data);
  read_finished_ = rest->finished;
}

void SessionStream::Write(std::string data, std::function<void(absl::Status)> done) {
  absl::Status refused;
  if (write_.has_value()) {
    refused = absl::FailedPreconditionError("a Write is waiting already");
  } else if (close_requested_) {
    refused = absl::FailedPreconditionError("the stream was closed for writing");
  }
  if (!refused.ok()) {
    asio::post(executor_, [done = std::move(done), refused] { done(refused); });
    return;
  }
  write_.emplace(PendingWrite{std::make_shared<const std::string>(std::move(data)), 0, std::move(done)});
  OnWritable();
}

void SessionStream::OnWritable() {
  if (!write_.has_value()) return;
  if (dead_.has_value()) return FinishWrite(*dead_);
  const auto connection = connection_.lock();
  if (connection == nullptr) return FinishWrite(SessionGone());
  const auto taken = connection->session().Write(id_, write_->data, write_->taken);
  if (!taken.ok()) return FinishWrite(taken.status());
  write_->taken += *taken;
  if (write_->taken == write_->data->size()) FinishWrite(absl::OkStatus());
  connection->ScheduleFlush();
}

void SessionStream::CloseWrite() {
  if (std::exchange(close_requested_, true)) return;
  if (!write_.has_value()) CloseNow();
}

void SessionStream::CloseNow() {
  write_closed_ = true;
  const auto connection = connection_.lock();
  if (connection == nullptr || dead_.has_value()) return;
  connection->session().CloseWrite(id_).IgnoreError();  // it fails only for a stream that is gone, which reads tell
  connection->ScheduleFlush();
}

void SessionStream::Reset(uint64_t code) {
  if (dead_.has_value()) return;
  if (const auto connection = connection_.lock(); connection != nullptr) connection->Reset(id_, code);
  Fail(absl::CancelledError(absl::StrCat("the stream was reset here, code ", code)));
}

void SessionStream::Fail(const absl::Status& why) {
  if (!dead_.has_value()) dead_ = why;
  FinishRead(*dead_);
  FinishWrite(*dead_);
}

void SessionStream::FinishRead(absl::StatusOr<std::string> result) {
  if (!read_.has_value()) return;
  asio::post(executor_,
             [done = std::move(read_->done), result = std::move(result)]() mutable { done(std::move(result)); });
  read_.reset();
}

void SessionStream::FinishWrite(absl::Status result) {
  if (!write_.has_value()) return;
  asio::post(executor_, [done = std::move(write_->done), result = std::move(result)] { done(result); });
  write_.reset();
  if (close_requested_ && !write_closed_) CloseNow();
}

}  // namespace dotagent::p2p
