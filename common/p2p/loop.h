// One event loop on one thread: where a service's node, DHT and handlers live, so that none of them needs a lock.
#ifndef DOTAGENT_COMMON_P2P_LOOP_H_
#define DOTAGENT_COMMON_P2P_LOOP_H_

#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <asio/post.hpp>
#include <functional>
#include <future>
#include <memory>
#include <thread>
#include <utility>

namespace dotagent::p2p {

// Starts its thread at once; Stop (or the destructor) drops what has not run yet and joins it.
class Loop {
 public:
  Loop() : guard_(asio::make_work_guard(context_)), thread_([this] { context_.run(); }) {}
  ~Loop() { Stop(); }
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  [[nodiscard]] asio::io_context& context() { return context_; }

  // Runs `work` on the loop's thread, later. From any thread.
  template <typename Work>
  void Post(Work&& work) {
    asio::post(context_, std::forward<Work>(work));
  }

  // Runs `work` on the loop's thread and waits for what it returns. Never from the loop's own thread.
  template <typename Work>
  auto Run(Work&& work) -> decltype(work()) {
    std::packaged_task<decltype(work())()> task(std::forward<Work>(work));
    auto result = task.get_future();
    asio::post(context_, [&task] { task(); });
    return result.get();
  }

  // Not from the loop's own thread. Idempotent.
  void Stop() {
    guard_.reset();
    context_.stop();
    if (thread_.joinable()) thread_.join();
  }

 private:
  asio::io_context context_{1};
  asio::executor_work_guard<asio::io_context::executor_type> guard_;
  std::thread thread_;
};

}  // namespace dotagent::p2p

#endif  // DOTAGENT_COMMON_P2P_LOOP_H_
