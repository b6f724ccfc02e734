// A time by which something must have happened on a stream.
#ifndef DOTAGENT_SERVICES_GATEWAY_STREAM_DEADLINE_H_
#define DOTAGENT_SERVICES_GATEWAY_STREAM_DEADLINE_H_

#include <asio/any_io_executor.hpp>
#include <asio/steady_timer.hpp>
#include <chrono>
#include <memory>
#include <system_error>

#include "common/p2p/stream.h"

namespace dotagent::gateway_service {

// Resets a stream unless it is told in time that all is well.
class StreamDeadline {
 public:
  StreamDeadline(const asio::any_io_executor& executor, const std::shared_ptr<p2p::Stream>& stream,
                 std::chrono::seconds timeout)
      : timer_(std::make_shared<asio::steady_timer>(executor, timeout)) {
    timer_->async_wait([timer = timer_, weak = std::weak_ptr<p2p::Stream>(stream)](std::error_code error) {
      if (error) return;
      if (const auto late = weak.lock()) late->Reset(p2p::reset_code::kTimeout);
    });
  }
  void Met() { timer_->cancel(); }

 private:
  std::shared_ptr<asio::steady_timer> timer_;
};

}  // namespace dotagent::gateway_service

#endif  // DOTAGENT_SERVICES_GATEWAY_STREAM_DEADLINE_H_
