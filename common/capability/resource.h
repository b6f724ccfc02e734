// What a capability token is about: agent://bob.agent/calendar/events, and all that is below it.
//
// One resource has one spelling: the agent's name in lower case, then segments of letters, digits and "-._~" with
// single slashes between them; no percent-encoding, no "." or "..", no slash at the end. So "is below" is a comparison
// of bytes, and no two readers normalize differently. (RFC 3986 knows many spellings of one URI.)
#ifndef DOTAGENT_COMMON_CAPABILITY_RESOURCE_H_
#define DOTAGENT_COMMON_CAPABILITY_RESOURCE_H_

#include <cstddef>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/record/name.h"

namespace dotagent::capability {

inline constexpr size_t kMaxResourceSize = 512;
inline constexpr size_t kMaxResourceSegments = 16;

// A value.
class Resource {
 public:
  // InvalidArgument (BAD_TOKEN) says which rule broke.
  [[nodiscard]] static absl::StatusOr<Resource> Parse(absl::string_view text);
  // `path` without a leading slash; empty: the whole agent. As Parse.
  [[nodiscard]] static absl::StatusOr<Resource> Of(const record::Name& agent, absl::string_view path);

  [[nodiscard]] const std::string& text() const { return text_; }
  // "bob.agent".
  [[nodiscard]] absl::string_view agent() const;
  // "calendar/events"; empty: the whole agent.
  [[nodiscard]] absl::string_view path() const;

  // True if `other` is this one or below it, by whole segments: …/cal covers …/cal/x, but not …/calendar.
  [[nodiscard]] bool Covers(const Resource& other) const;

  friend bool operator==(const Resource& a, const Resource& b) { return a.text_ == b.text_; }

 private:
  Resource(std::string text, size_t agent_end) : text_(std::move(text)), agent_end_(agent_end) {}
  std::string text_;
  size_t agent_end_;  // where the name ends in text_
};

}  // namespace dotagent::capability

#endif  // DOTAGENT_COMMON_CAPABILITY_RESOURCE_H_
