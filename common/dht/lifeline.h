// Callbacks that do nothing once their owner is gone, so that a node can be destroyed while calls are under way.
//
//   network_->RunAfter(delay, lifeline_.Guard([this] { Tick(); }));
//
// Declare the lifeline as the owner's last member: it goes first. For one thread.
#ifndef DOTAGENT_COMMON_DHT_LIFELINE_H_
#define DOTAGENT_COMMON_DHT_LIFELINE_H_

#include <memory>
#include <utility>

namespace dotagent::dht {

class Lifeline {
 public:
  // `callback`, for as long as this lifeline lives.
  template <typename Callback>
  [[nodiscard]] auto Guard(Callback callback) const {
    return [weak = std::weak_ptr<const Token>(token_), callback = std::move(callback)](auto&&... arguments) mutable {
      if (!weak.expired()) callback(std::forward<decltype(arguments)>(arguments)...);
    };
  }

 private:
  struct Token {};
  std::shared_ptr<const Token> token_ = std::make_shared<const Token>();
};

}  // namespace dotagent::dht

#endif  // DOTAGENT_COMMON_DHT_LIFELINE_H_
