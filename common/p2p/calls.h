// Unary calls on streams: one length-prefixed request, one length-prefixed response, and the stream is over.
#ifndef DOTAGENT_COMMON_P2P_CALLS_H_
#define DOTAGENT_COMMON_P2P_CALLS_H_

#include <asio/io_context.hpp>
#include <cstddef>
#include <functional>
#include <string>

#include "absl/time/time.h"
#include "common/p2p/node.h"

namespace dotagent::p2p {

// Reads the request (at most `max_request` bytes), lets `handler` answer it, writes the response. A malformed request
// resets the stream; a `handler` that lets go of `respond` does too.
[[nodiscard]] StreamHandler AnswerCalls(size_t max_request, CallHandler handler);

// Makes a call on the stream that `open` opens. `done` is called once: with the response (at most `max_response`
// bytes), the stream's error, or DeadlineExceeded after `timeout`, counted from now.
void MakeCall(asio::io_context& io, const std::function<void(StreamCallback)>& open, std::string request,
              size_t max_response, absl::Duration timeout, CallCallback done);

}  // namespace dotagent::p2p

#endif  // DOTAGENT_COMMON_P2P_CALLS_H_
