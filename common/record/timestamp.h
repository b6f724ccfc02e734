// Timestamps of records and messages: the RFC 3339 profile of ISO 8601.
//
// Accepted: YYYY-MM-DDTHH:MM:SS, optionally "." and 1–9 digits, then "Z" or ±HH:MM; years 0001–9999; upper-case T and
// Z. Narrower than RFC 3339: no lower-case t or z, no space for the T, no leap second (:60), no unknown local offset
// (-00:00). Two readers then never differ about a date.
#ifndef DOTAGENT_COMMON_RECORD_TIMESTAMP_H_
#define DOTAGENT_COMMON_RECORD_TIMESTAMP_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace dotagent::record {

// UTC with milliseconds (rounded down): 2026-01-02T03:04:05.678Z.
[[nodiscard]] std::string FormatTimestamp(absl::Time time);

// InvalidArgument (no reason: the caller knows what the timestamp belongs to) shows the form.
[[nodiscard]] absl::StatusOr<absl::Time> ParseTimestamp(absl::string_view text);

}  // namespace dotagent::record

#endif  // DOTAGENT_COMMON_RECORD_TIMESTAMP_H_
