// One event loop: where a service's node, DHT and handlers live, so that none of them needs a lock.
//
// It is a monitor. One thing runs on it at a time: mostly its own thread, which waits for sockets and timers; and
// whoever Enters while nothing else runs there, on the thread that it is on. So a gRPC call is served where it was
// read. To wake another thread for it, which sleeps on another core, costs more than most handlers do: of a request
// and its answer, half (docs/adr/0031). "On the loop" therefore means: not beside anything else on it; not: on one
// certain thread.
//
// What is made on the loop takes its executor, and so its callbacks come to the loop as well.
#ifndef DOTAGENT_COMMON_P2P_LOOP_H_
#define DOTAGENT_COMMON_P2P_LOOP_H_

#include <asio/any_io_executor.hpp>
#include <asio/execution.hpp>
#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <asio/post.hpp>
#include <atomic>
#include <cstddef>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/synchronization/mutex.h"

namespace dotagent::p2p {

// Starts its thread at once; Stop (or the destructor) drops what has not run yet and joins it.
class Loop {
 public:
  class Executor;

  Loop() : guard_(asio::make_work_guard(context_)), thread_([this] { context_.run(); }) {}
  ~Loop() { Stop(); }
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // For sockets and timers; whatever they complete runs on the loop. Thread-safe; the loop must outlive what has it.
  [[nodiscard]] asio::any_io_executor executor();

  // Runs `work` on the loop, later. From any thread.
  template <typename Work>
  void Post(Work&& work) {
    asio::post(context_, [this, held = std::decay_t<Work>(std::forward<Work>(work))]() mutable { RunAlone(held); });
  }

  // Runs `work` on the loop: now, if nothing else runs there, or else by whoever is there before it leaves; in the
  // order in which one thread entered. From threads that are not on the loop, and that `work` may hold up.
  template <typename Work>
  void Enter(Work work) {
    if (waiting_.load(std::memory_order_acquire) == 0 && mutex_.TryLock()) {
      const bool open = !stopped_;
      if (open) RunHere(work);
      mutex_.Unlock();
      if (open) return RunWaiting();
    }
    {
      const absl::MutexLock lock(&door_);
      queue_.emplace_back(std::move(work));
      waiting_.fetch_add(1, std::memory_order_acq_rel);
    }
    RunWaiting();
  }

  // Runs `work` on the loop and waits for what it returns. Never from the loop itself.
  template <typename Work>
  auto Run(Work&& work) -> decltype(work()) {
    std::packaged_task<decltype(work())()> task(std::forward<Work>(work));
    auto result = task.get_future();
    Post([&task] { task(); });
    return result.get();
  }

  // Not from the loop itself. Idempotent. When it returns, nothing runs on the loop, and nothing will.
  void Stop() {
    guard_.reset();
    context_.stop();
    if (thread_.joinable()) thread_.join();
    const absl::MutexLock lock(&mutex_);
    stopped_ = true;
  }

 private:
  [[nodiscard]] bool IsHere() const { return running_.load(std::memory_order_relaxed) == std::this_thread::get_id(); }
  template <typename Work>
  void RunHere(Work& work) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    running_.store(std::this_thread::get_id(), std::memory_order_relaxed);
    work();
    running_.store({}, std::memory_order_relaxed);
  }
  // On the loop's own thread: waits while somebody who has Entered is at it.
  template <typename Work>
  void RunAlone(Work& work) {
    {
      const absl::MutexLock lock(&mutex_);
      RunHere(work);
    }
    RunWaiting();
  }
  // Runs what has Entered while somebody else was there. Who is there looks again after it has left, so that nothing
  // stays behind.
  void RunWaiting() {
    for (;;) {
      // Either who leaves sees what has come, or who came sees that the loop is free.
      std::atomic_thread_fence(std::memory_order_seq_cst);
      if (waiting_.load(std::memory_order_acquire) == 0 || !mutex_.TryLock()) return;
      const bool open = !stopped_;
      while (open && waiting_.load(std::memory_order_acquire) > 0) {
        absl::AnyInvocable<void()> next = TakeWaiting();
        RunHere(next);
      }
      mutex_.Unlock();
      if (!open) return;
    }
  }
  absl::AnyInvocable<void()> TakeWaiting() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const absl::MutexLock lock(&door_);
    absl::AnyInvocable<void()> next = std::move(queue_.front());
    queue_.pop_front();
    waiting_.fetch_sub(1, std::memory_order_acq_rel);
    return next;
  }

  asio::io_context context_{1};
  asio::executor_work_guard<asio::io_context::executor_type> guard_;
  absl::Mutex mutex_;                     // held while something runs on the loop
  std::atomic<std::thread::id> running_;  // who holds it
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Mutex door_;
  std::deque<absl::AnyInvocable<void()>> queue_ ABSL_GUARDED_BY(door_);  // have Entered
  std::atomic<size_t> waiting_ = 0;                                      // its size
  std::thread thread_;
};

// The loop as Asio sees it (the executor requirements of Asio's documentation).
class Loop::Executor {
 public:
  explicit Executor(Loop& loop) : loop_(&loop) {}

  [[nodiscard]] asio::execution_context& query(asio::execution::context_t) const noexcept { return loop_->context_; }
  [[nodiscard]] asio::execution::blocking_t query(asio::execution::blocking_t) const noexcept {
    return never_blocks_ ? asio::execution::blocking_t(asio::execution::blocking.never)
                         : asio::execution::blocking_t(asio::execution::blocking.possibly);
  }
  [[nodiscard]] Executor require(asio::execution::blocking_t::never_t) const noexcept { return Executor(*loop_, true); }
  [[nodiscard]] Executor require(asio::execution::blocking_t::possibly_t) const noexcept {
    return Executor(*loop_, false);
  }

  // At once if this is the loop's own thread, or on the loop already; as Asio calls it when an operation has completed.
  template <typename Work>
  void execute(Work&& work) const {
    if (never_blocks_) return loop_->Post(std::forward<Work>(work));
    if (loop_->IsHere()) return std::decay_t<Work>(std::forward<Work>(work))();
    if (std::this_thread::get_id() != loop_->thread_.get_id()) return loop_->Post(std::forward<Work>(work));
    std::decay_t<Work> held(std::forward<Work>(work));
    loop_->RunAlone(held);
  }

  friend bool operator==(const Executor& a, const Executor& b) noexcept {
    return a.loop_ == b.loop_ && a.never_blocks_ == b.never_blocks_;
  }
  friend bool operator!=(const Executor& a, const Executor& b) noexcept { return !(a == b); }

 private:
  Executor(Loop& loop, bool never_blocks) : loop_(&loop), never_blocks_(never_blocks) {}
  Loop* loop_;
  bool never_blocks_ = false;
};

inline asio::any_io_executor Loop::executor() { return Executor(*this); }

}  // namespace dotagent::p2p

#endif  // DOTAGENT_COMMON_P2P_LOOP_H_
