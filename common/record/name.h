// .agent names (§2.2): label(.label)*.agent, compared without case, kept in lower case.
#ifndef DOTAGENT_COMMON_RECORD_NAME_H_
#define DOTAGENT_COMMON_RECORD_NAME_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace dotagent::record {

inline constexpr size_t kMaxNameSize = 253;
inline constexpr size_t kMaxLabelSize = 63;

// A valid name in lower case. A value; ordered and hashable.
class Name {
 public:
  // Lower-cases, then checks: labels of 1–63 letters, digits and inner hyphens (RFC 1123 LDH), at least one before
  // ".agent", 253 bytes in all. InvalidArgument (BAD_NAME) says which rule broke.
  [[nodiscard]] static absl::StatusOr<Name> Parse(absl::string_view text);

  [[nodiscard]] const std::string& text() const { return text_; }
  // The DHT key: SHA-256 of the full lower-case name, 32 bytes.
  [[nodiscard]] std::string DhtKey() const;

  friend auto operator<=>(const Name&, const Name&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const Name& name) {
    return H::combine(std::move(h), name.text_);
  }

 private:
  explicit Name(std::string text) : text_(std::move(text)) {}
  std::string text_;
};

}  // namespace dotagent::record

#endif  // DOTAGENT_COMMON_RECORD_NAME_H_
