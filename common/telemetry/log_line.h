// The text of one log line. A line is one line whatever its values hold: control characters, line separators and
// text-direction marks are escaped, so that a hostile name can neither forge a line nor drive the terminal that shows
// it; bytes that are no UTF-8 become U+FFFD, so that every line is valid JSON.
#ifndef DOTAGENT_COMMON_TELEMETRY_LOG_LINE_H_
#define DOTAGENT_COMMON_TELEMETRY_LOG_LINE_H_

#include <string>
#include <utility>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "common/telemetry/log.h"

namespace dotagent::telemetry {

using LogFields = absl::Span<const std::pair<absl::string_view, std::string>>;

// Without the line end.
[[nodiscard]] std::string JsonLine(absl::string_view service, absl::Time time, Level level, absl::string_view message,
                                   LogFields fields);
[[nodiscard]] std::string TextLine(absl::string_view service, absl::Time time, Level level, absl::string_view message,
                                   LogFields fields);

// `text` as a JSON string, in its quotes.
[[nodiscard]] std::string QuoteJson(absl::string_view text);

}  // namespace dotagent::telemetry

#endif  // DOTAGENT_COMMON_TELEMETRY_LOG_LINE_H_
