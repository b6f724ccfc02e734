// An error written out in fields of a message, for where a call goes on all the same, or where there is no gRPC at all
// (gateway.v1.Refusal, trunk.v1.DeliverResponse, …). Such a message has
//
//   int32 code = …;             // a canonical status code
//   string message = …;         // one line for a person
//   string reason = …;          // a stable upper-case word for a program
//   uint64 retry_after_ms = …;  // when to try again; 0: not said
//
// Defends against peers that write what is no error, endless texts, or a time beyond reason.
#ifndef DOTAGENT_COMMON_RPC_REFUSAL_H_
#define DOTAGENT_COMMON_RPC_REFUSAL_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/base/retry_after.h"
#include "common/base/status.h"

namespace dotagent::rpc {

inline constexpr size_t kMaxRefusalText = 1024;
inline constexpr absl::Duration kMaxRetryAfter = absl::Hours(24);

// What a peer wrote out: the code counts if it is one (but OK), else it is Unknown; texts and time are cut to sane
// ones.
[[nodiscard]] absl::Status RefusalFromParts(int32_t code, absl::string_view message, absl::string_view reason,
                                            uint64_t retry_after_ms);

// `why` must not be OK.
template <typename Message>
void WriteRefusal(const absl::Status& why, Message* message) {
  message->set_code(static_cast<int32_t>(why.code()));
  message->set_message(std::string(why.message().substr(0, kMaxRefusalText)));
  message->set_reason(ReasonOf(why));
  if (const auto after = RetryAfterOf(why)) {
    message->set_retry_after_ms(static_cast<uint64_t>(absl::ToInt64Milliseconds(*after)));
  }
}

// Never OK.
template <typename Message>
[[nodiscard]] absl::Status ReadRefusal(const Message& message) {
  return RefusalFromParts(message.code(), message.message(), message.reason(), message.retry_after_ms());
}

}  // namespace dotagent::rpc

#endif  // DOTAGENT_COMMON_RPC_REFUSAL_H_
