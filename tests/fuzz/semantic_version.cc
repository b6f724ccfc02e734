// Two versions and a range, each on a line: no input crashes, what is refused is refused in one line, what is accepted
// says itself again, and the order of versions is one.
#include "common/capability/semantic_version.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "absl/strings/str_split.h"
#include "tests/fuzz/identity_fixtures.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace dotagent;  // NOLINT(google-build-using-namespace)
  const absl::string_view input(reinterpret_cast<const char*>(data), size);
  const std::vector<absl::string_view> lines = absl::StrSplit(input, absl::MaxSplits('\n', 2));
  std::vector<capability::SemanticVersion> versions;
  for (const absl::string_view line : lines) {
    const auto version = capability::SemanticVersion::Parse(line);
    if (!version.ok()) {
      identity::CheckRefusal(version.status());
      continue;
    }
    if (version->text() != line) std::abort();
    if (version->Compare(*version) != std::weak_ordering::equivalent) std::abort();
    versions.push_back(*version);
  }
  for (const auto& a : versions) {
    for (const auto& b : versions) {
      if ((a.Compare(b) < 0) != (b.Compare(a) > 0)) std::abort();
    }
  }
  const auto range = capability::VersionRange::Parse(lines.back());
  if (!range.ok()) {
    identity::CheckRefusal(range.status());
    return 0;
  }
  for (const auto& version : versions) {
    // The boundaries of a range that is one version hold that version.
    if (version.text() == lines.back() && !range->Contains(version)) std::abort();
  }
  return 0;
}
