// How inboxes lie in the store: the keys and values of their rows.
//
// ID is NAME/HEX_OF_KEY; numbers are 8 bytes, big-endian.
//   inbox/m/ID/SEQUENCE                 a gateway.v1.InboxMessage: one that waits, or a dead letter
//   inbox/n/ID                          the sequence that the next message gets; never goes back
//   inbox/d/ID/SENDER/MESSAGE_ID        it came; the value is when this may be forgotten, in milliseconds
//   inbox/x/TIME_MS/m/ID/SEQUENCE       a message that waits until that time; the value is its size and, once it was
//                                       delivered twice, how often it was
//   inbox/x/TIME_MS/d/…                 the key above (without "inbox/") that ends at that time; the value is 0
//   inbox/x/TIME_MS/z/ID/SEQUENCE       a dead letter that is kept until that time; the value is its size, how often it
//                                       was delivered, why it died (gateway.v1.DeadLetterReason), and when
#ifndef DOTAGENT_SERVICES_GATEWAY_INBOX_ROWS_H_
#define DOTAGENT_SERVICES_GATEWAY_INBOX_ROWS_H_

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace dotagent::gateway_service::inbox_rows {

inline constexpr absl::string_view kTimeline = "inbox/x/";
inline constexpr absl::string_view kSeenTable = "inbox/d/";

enum class Kind { kMessage, kSeen, kDeadLetter };

[[nodiscard]] std::string Numbers(std::initializer_list<uint64_t> values);
// std::nullopt unless it is one or more numbers.
[[nodiscard]] std::optional<std::vector<uint64_t>> ParseNumbers(absl::string_view bytes);

[[nodiscard]] std::string MessageKey(absl::string_view inbox, uint64_t sequence);
[[nodiscard]] std::string CounterKey(absl::string_view inbox);
[[nodiscard]] std::string SeenKey(absl::string_view inbox, absl::string_view sender, absl::string_view id);

[[nodiscard]] std::string MessageTimelineKey(int64_t time_ms, absl::string_view inbox, uint64_t sequence);
[[nodiscard]] std::string DeadLetterTimelineKey(int64_t time_ms, absl::string_view inbox, uint64_t sequence);
// `seen_key`: from SeenKey.
[[nodiscard]] std::string SeenTimelineKey(int64_t time_ms, absl::string_view seen_key);

struct TimelineEntry {
  Kind kind = Kind::kMessage;
  int64_t time_ms = 0;
  std::string key;  // of the row that ends then: a message's, also if it is a dead letter, or one of what came
  // Of a message.
  std::string inbox;
  uint64_t sequence = 0;
};
[[nodiscard]] std::optional<TimelineEntry> ParseTimeline(absl::string_view key);

// DataLoss (STORAGE).
[[nodiscard]] absl::Status Corrupt(absl::string_view what);

}  // namespace dotagent::gateway_service::inbox_rows

#endif  // DOTAGENT_SERVICES_GATEWAY_INBOX_ROWS_H_
