// Version and feature negotiation (§5.3): two who speak several versions of a protocol find the newest that both speak,
// and whether one has what the other cannot do without.
//
// Versions are those that an end has written down as spoken; that one may be compatible with another is not guessed
// from their numbers.
#ifndef DOTAGENT_COMMON_CAPABILITY_NEGOTIATION_H_
#define DOTAGENT_COMMON_CAPABILITY_NEGOTIATION_H_

#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace dotagent::capability {

inline constexpr size_t kMaxOffered = 32;  // versions, and features

// The newest version that is in both. What is no semantic version is no version that anybody speaks.
// FailedPrecondition (VERSION) names what is `spoken` of `protocol`, and what was offered; InvalidArgument (PROTOCOL)
// for more than kMaxOffered or for texts over kMaxVersionSize.
[[nodiscard]] absl::StatusOr<std::string> ChooseVersion(absl::string_view protocol,
                                                        absl::Span<const std::string> offered,
                                                        absl::Span<const absl::string_view> spoken);

// OK if every one of `required` is among `features`; FailedPrecondition (VERSION) names those that are not, and all
// `features`; InvalidArgument (PROTOCOL) as above.
[[nodiscard]] absl::Status CheckFeatures(absl::Span<const std::string> required,
                                         absl::Span<const absl::string_view> features);

}  // namespace dotagent::capability

#endif  // DOTAGENT_COMMON_CAPABILITY_NEGOTIATION_H_
