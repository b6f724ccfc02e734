// How much memory the sessions of a node may take together beyond what each has from the start.
//
// A session's first window is its own, and so are its first streams; what grows beyond that, for peers that wait and
// readers that keep up, is taken from here and given back when the session ends. What lies unread in streams of slow
// readers, so that the others of the session need not wait for it (mux.h), is taken from here while it lies there. So
// memory for what has arrived and was not read is bounded by the number of sessions times the first window, and this.
// Where it is used up windows and streams stay as they are: those that have grown keep theirs, and nobody is refused
// anything but room for what a slow reader leaves.
//
// Not thread-safe: for sessions that one thread drives.
#ifndef DOTAGENT_COMMON_SESSION_WINDOW_BUDGET_H_
#define DOTAGENT_COMMON_SESSION_WINDOW_BUDGET_H_

#include <cassert>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

namespace dotagent::session {

class WindowBudget {
 public:
  // `on_refused` is called whenever a session asks for more than there is.
  explicit WindowBudget(uint64_t bytes, std::function<void()> on_refused = nullptr)
      : left_(bytes), on_refused_(std::move(on_refused)) {}

  // What one session has taken; given back by its end, if not before. Without a budget there is no limit.
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
    // Gives back so much of what was taken.
    void Return(uint64_t bytes) {
      if (budget_ == nullptr) return;
      assert(bytes <= taken_);
      budget_->left_ += bytes;
      taken_ -= bytes;
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
