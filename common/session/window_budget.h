// How far the windows of all of a node's sessions may grow together.
//
// A session's first window is its own; what its windows grow beyond that, for peers that wait and readers that keep up,
// is taken from here and given back when the session ends. So memory for what has arrived and was not read is bounded
// by the number of sessions times the first window, and this. Where it is used up windows stay as they are: those that
// have grown keep theirs, and nobody is refused anything.
//
// Not thread-safe: for sessions that one thread drives.
#ifndef DOTAGENT_COMMON_SESSION_WINDOW_BUDGET_H_
#define DOTAGENT_COMMON_SESSION_WINDOW_BUDGET_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

namespace dotagent::session {

class WindowBudget {
 public:
  // `on_refused` is called whenever a window does not grow for want of it.
  explicit WindowBudget(uint64_t bytes, std::function<void()> on_refused = nullptr)
      : left_(bytes), on_refused_(std::move(on_refused)) {}

  // What one session has taken; given back by its end. Without a budget there is no limit.
  class Lease {
   public:
    explicit Lease(std::shared_ptr<WindowBudget> budget) : budget_(std::move(budget)) {}
    ~Lease() {
      if (budget_ != nullptr) budget_->left_ += taken_;
    }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;

    // False if there is not as much left; nothing is taken then.
    [[nodiscard]] bool Take(uint64_t bytes) {
      if (budget_ == nullptr) return true;
      if (bytes > budget_->left_) {
        if (budget_->on_refused_ != nullptr) budget_->on_refused_();
        return false;
      }
      budget_->left_ -= bytes;
      taken_ += bytes;
      return true;
    }

   private:
    const std::shared_ptr<WindowBudget> budget_;
    uint64_t taken_ = 0;
  };

  [[nodiscard]] uint64_t left() const { return left_; }

 private:
  uint64_t left_;
  const std::function<void()> on_refused_;
};

}  // namespace dotagent::session

#endif  // DOTAGENT_COMMON_SESSION_WINDOW_BUDGET_H_
