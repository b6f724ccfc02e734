// Versions of capabilities, and ranges of them (Semantic Versioning 2.0.0, https://semver.org).
//
// Ranges are written as npm writes them, without its shorthands: comparators with spaces between, all of which must
// hold. `^` is up to the next version that may break, `~` up to the next minor one.
//
//   VersionRange::Parse("^1.4.0")->Contains(*SemanticVersion::Parse("1.9.2"))       // true
//   VersionRange::Parse(">=1.0.0 <3.0.0")->Contains(*SemanticVersion::Parse("3.0.0"))  // false
//
// Defends against texts without end: both have a greatest size, and numbers at most 9 digits (a departure from the
// standard, which has no limit).
#ifndef DOTAGENT_COMMON_CAPABILITY_SEMANTIC_VERSION_H_
#define DOTAGENT_COMMON_CAPABILITY_SEMANTIC_VERSION_H_

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace dotagent::capability {

inline constexpr size_t kMaxVersionSize = 64;
inline constexpr size_t kMaxRangeSize = 256;

// A value.
class SemanticVersion {
 public:
  // MAJOR.MINOR.PATCH[-PRERELEASE][+BUILD]. InvalidArgument (BAD_STATEMENT) says which rule broke.
  [[nodiscard]] static absl::StatusOr<SemanticVersion> Parse(absl::string_view text);

  [[nodiscard]] const std::string& text() const { return text_; }
  // Major, minor, patch.
  [[nodiscard]] const std::array<uint32_t, 3>& numbers() const { return numbers_; }
  [[nodiscard]] bool is_prerelease() const { return !prerelease_.empty(); }

  // The standard's precedence (§11): builds do not count, so that two that are equal in it may differ in text.
  [[nodiscard]] std::weak_ordering Compare(const SemanticVersion& other) const;

 private:
  std::string text_;
  std::array<uint32_t, 3> numbers_{};
  std::vector<std::string> prerelease_;
};

// A value.
class VersionRange {
 public:
  // `*` (any), or up to 8 of =V, V, >V, >=V, <V, <=V, ^V, ~V. InvalidArgument (BAD_STATEMENT).
  [[nodiscard]] static absl::StatusOr<VersionRange> Parse(absl::string_view text);

  // A prerelease is in only if a comparator names one of the same three numbers: who asks for ^1.0.0 does not want
  // 1.5.0-alpha, but who asks for >=1.5.0-alpha does.
  [[nodiscard]] bool Contains(const SemanticVersion& version) const;

 private:
  enum class Relation { kLess, kLessOrEqual, kEqual, kGreaterOrEqual, kGreater };
  struct Comparator {
    Relation relation;
    SemanticVersion version;
  };

  [[nodiscard]] static bool Holds(const Comparator& comparator, const SemanticVersion& version);

  std::vector<Comparator> comparators_;
};

}  // namespace dotagent::capability

#endif  // DOTAGENT_COMMON_CAPABILITY_SEMANTIC_VERSION_H_
