// The client's side of a bidirectional call without a thread of its own: whoever waits for something drives it.
//
// gRPC's synchronous streams cannot be given up at a deadline, and a thread that only reads hands every message over to
// another one, which costs more than the message. Here one of those who wait polls for all; when it has what it wanted,
// the next one takes over. While nobody waits, nothing is read, and the peer is held back by HTTP/2's flow control. Nor
// is a read begun before somebody waits: gRPC 1.51 tells the peer at each (WINDOW_UPDATE, a packet of its own), which
// whoever works on what came before need not wait for. Whoever polls may look for a while before it sleeps
// (adaptive_spin.h).
//
//   DrivenStream<InboxRequest, InboxResponse> stream(prepare, spin);  // calls stub.PrepareAsyncInbox(&context, queue)
//   RETURN_IF_ERROR(stream.Write(open, deadline));
//   ASSIGN_OR_RETURN(const InboxResponse ready, stream.Read(deadline));
#ifndef DOTAGENT_COMMON_RPC_DRIVEN_STREAM_H_
#define DOTAGENT_COMMON_RPC_DRIVEN_STREAM_H_

#include <grpcpp/client_context.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/support/async_stream.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/base/status.h"
#include "common/rpc/adaptive_spin.h"
#include "common/rpc/status.h"

namespace dotagent::rpc {

// Thread-safe.
template <typename Request, typename Response>
class DrivenStream {
 public:
  using Call = std::unique_ptr<grpc::ClientAsyncReaderWriter<Request, Response>>;
  // Sets up the context (metadata) and prepares the call on the queue.
  using Prepare = std::function<Call(grpc::ClientContext&, grpc::CompletionQueue*)>;

  // Messages that have been read and not been taken.
  static constexpr size_t kMaxWaiting = 64;

  // Takes a message instead of Read. Runs in whatever waits here, and must not wait for anything itself.
  using Take = std::function<void(Response)>;

  // Starts the call; what it talks to must outlive this. `spin`: how long a wait for a message may keep a core busy,
  // at most.
  DrivenStream(const Prepare& prepare, absl::Duration spin, Take take = nullptr)
      : take_(std::move(take)), call_(prepare(context_, &queue_)), spin_(spin) {
    call_->StartCall(Tag(Operation::kStart));
  }
  // Cancels the call. Nobody may be waiting any more.
  ~DrivenStream() {
    context_.TryCancel();
    {
      absl::MutexLock lock(&mutex_);
      waiting_.clear();
      // What was cancelled ends by itself, and at once.
      AwaitLocked([this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return ended_; }, absl::InfiniteFuture());
    }
    queue_.Shutdown();
    void* tag = nullptr;
    bool ok = false;
    while (queue_.Next(&tag, &ok)) {
    }
  }
  DrivenStream(const DrivenStream&) = delete;
  DrivenStream& operator=(const DrivenStream&) = delete;

  // Returns when the message is on its way. DeadlineExceeded, or why the stream has ended.
  [[nodiscard]] absl::Status Write(const Request& request, absl::Time deadline) {
    const auto can_write = [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return ended_ || broken_ || CanWrite(); };
    absl::MutexLock lock(&mutex_);
    if (!AwaitLocked(can_write, deadline)) return absl::DeadlineExceededError("the stream takes nothing more");
    if (ended_ || broken_) return End();
    writing_ = true;
    const uint64_t turn = ++writes_;
    call_->Write(request, Tag(Operation::kWrite));
    const auto written = [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return ended_ || !writing_ || writes_ != turn; };
    if (!AwaitLocked(written, deadline)) return absl::DeadlineExceededError("the stream takes nothing more");
    return ended_ || broken_ ? End() : absl::OkStatus();
  }

  // The next message. DeadlineExceeded, or why the stream has ended: Unavailable if its server ended it with OK,
  // Cancelled if this side did.
  [[nodiscard]] absl::StatusOr<Response> Read(absl::Time deadline) {
    const auto can_read = [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return ended_ || !waiting_.empty(); };
    absl::MutexLock lock(&mutex_);
    if (!AwaitLocked(can_read, deadline)) return absl::DeadlineExceededError("nothing has come");
    if (waiting_.empty()) return End();
    Response response = std::move(waiting_.front());
    waiting_.pop_front();
    return response;
  }

  // Drives the call until `done`, which changes only by what Take does. DeadlineExceeded, or why the stream has ended.
  [[nodiscard]] absl::Status Await(absl::FunctionRef<bool()> done, absl::Time deadline) {
    const auto over = [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return ended_ || done(); };
    absl::MutexLock lock(&mutex_);
    if (!AwaitLocked(over, deadline)) return absl::DeadlineExceededError("nothing has come");
    return done() ? absl::OkStatus() : End();
  }

  // Whether the stream has ended, as far as anybody who waited has seen.
  [[nodiscard]] bool has_ended() {
    absl::MutexLock lock(&mutex_);
    return ended_;
  }

  // Ends the call, and every wait in it.
  void Cancel() { context_.TryCancel(); }

 private:
  enum class Operation : uintptr_t { kStart = 1, kRead, kWrite, kFinish };
  static void* Tag(Operation operation) { return reinterpret_cast<void*>(operation); }

  // Until `done` or `deadline`; returns done().
  template <typename Done>
  bool AwaitLocked(const Done& done, absl::Time deadline) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const auto can_go_on = [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return !polling_ || done(); };
    while (!done()) {
      if (!mutex_.AwaitWithDeadline(absl::Condition(&can_go_on), deadline)) return false;
      if (done()) break;
      if (!Poll(deadline)) return done();
    }
    return true;
  }

  // Reads on, waits for one event without the lock, and takes note of it. False: none came.
  bool Poll(absl::Time deadline) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    ReadOn();
    polling_ = true;
    const absl::Time look_until = std::min(spin_.Until(), deadline);
    mutex_.Unlock();
    void* tag = nullptr;
    bool ok = false;
    const auto next = Next(look_until, deadline, &tag, &ok);
    mutex_.Lock();
    polling_ = false;
    if (next != grpc::CompletionQueue::GOT_EVENT) return false;
    Note(static_cast<Operation>(reinterpret_cast<uintptr_t>(tag)), ok);
    return true;
  }

  // Looks for an event until `look_until`, and then sleeps for it. Between looks all who can run go first: what is
  // waited for may be theirs to send.
  grpc::CompletionQueue::NextStatus Next(absl::Time look_until, absl::Time deadline, void** tag, bool* ok) {
    constexpr std::chrono::system_clock::time_point kPast;  // long gone: do not sleep
    while (absl::Now() < look_until) {
      const auto next = queue_.AsyncNext(tag, ok, kPast);
      if (next != grpc::CompletionQueue::TIMEOUT) return next;
      std::this_thread::yield();
    }
    return queue_.AsyncNext(tag, ok, absl::ToChronoTime(deadline));
  }

  void Note(Operation operation, bool ok) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    switch (operation) {
      case Operation::kStart:
        started_ = true;
        if (!ok) Finish();
        return;
      case Operation::kRead:
        reading_ = false;
        if (!ok) return Finish();
        spin_.End(absl::Now());
        if (take_) {
          take_(std::move(incoming_));
        } else {
          waiting_.push_back(std::move(incoming_));
        }
        return;
      case Operation::kWrite:
        writing_ = false;
        broken_ |= !ok;
        return;
      case Operation::kFinish:
        ended_ = true;
        return;
    }
  }
  // Not while it ends: gRPC fails a write that comes with Finish, and the caller would not hear why it has ended.
  [[nodiscard]] bool CanWrite() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return started_ && !writing_ && !finishing_;
  }
  void ReadOn() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (reading_ || finishing_ || !started_ || waiting_.size() >= kMaxWaiting) return;
    reading_ = true;
    spin_.Begin(absl::Now());
    call_->Read(&incoming_, Tag(Operation::kRead));
  }
  void Finish() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    finishing_ = true;
    call_->Finish(&status_, Tag(Operation::kFinish));
  }
  [[nodiscard]] absl::Status End() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (!ended_) {  // a write has failed; a Read will tell why, behind what came before
      return ErrorWithReason(absl::StatusCode::kUnavailable, reason::kUnreachable, "the stream has broken");
    }
    if (!status_.ok()) return FromGrpc(status_);
    return ErrorWithReason(absl::StatusCode::kUnavailable, reason::kUnreachable, "the server ended the stream");
  }

  const Take take_;
  grpc::ClientContext context_;
  grpc::CompletionQueue queue_;
  const Call call_;
  absl::Mutex mutex_;
  bool polling_ ABSL_GUARDED_BY(mutex_) = false;  // somebody is, without the lock
  bool started_ ABSL_GUARDED_BY(mutex_) = false;
  bool reading_ ABSL_GUARDED_BY(mutex_) = false;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool broken_ ABSL_GUARDED_BY(mutex_) = false;  // a write has failed
  bool finishing_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t writes_ ABSL_GUARDED_BY(mutex_) = 0;
  AdaptiveSpin spin_ ABSL_GUARDED_BY(mutex_);  // for messages; a write is over at once
  Response incoming_ ABSL_GUARDED_BY(mutex_);
  std::deque<Response> waiting_ ABSL_GUARDED_BY(mutex_);
  grpc::Status status_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace dotagent::rpc

#endif  // DOTAGENT_COMMON_RPC_DRIVEN_STREAM_H_
