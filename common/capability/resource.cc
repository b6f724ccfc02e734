#include "common/capability/resource.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/status.h"

namespace dotagent::capability {
namespace {

constexpr absl::string_view kScheme = "agent://";

absl::Status BadResource(absl::string_view text, absl::string_view problem) {
  constexpr size_t kShown = 64;
  const absl::string_view dots = text.size() > kShown ? "…" : "";
  return ErrorWithReason(
      absl::StatusCode::kInvalidArgument, reason::kBadToken,
      absl::StrCat("\"", absl::CHexEscape(text.substr(0, kShown)), dots, "\" is no resource: ", problem));
}

bool InSegment(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '.' || c == '_' || c == '~';
}

// What is wrong with `path`, which does not begin with a slash; empty if nothing is.
absl::string_view PathProblem(absl::string_view path) {
  size_t segments = 0;
  for (const absl::string_view segment : absl::StrSplit(path, '/')) {
    if (segment.empty()) return "a segment of its path is empty; write single slashes, and none at the end";
    if (segment == "." || segment == "..") return "its path has . or .. in it; write the path that is meant";
    if (!std::all_of(segment.begin(), segment.end(), InSegment)) {
      return "a segment of its path may hold letters, digits and -._~ only";
    }
    if (++segments > kMaxResourceSegments) return "its path has more than 16 segments";
  }
  return "";
}

}  // namespace

absl::StatusOr<Resource> Resource::Parse(absl::string_view text) {
  if (text.size() > kMaxResourceSize) return BadResource(text, "it has over 512 bytes");
  if (!absl::StartsWith(text, kScheme)) return BadResource(text, "write it as agent://bob.agent/path");
  const absl::string_view rest = text.substr(kScheme.size());
  const absl::string_view agent = rest.substr(0, rest.find('/'));
  const absl::StatusOr<record::Name> name = record::Name::Parse(agent);
  if (!name.ok()) return BadResource(text, name.status().message());
  if (name->text() != agent) return BadResource(text, "write the agent's name in lower case");
  const size_t agent_end = kScheme.size() + agent.size();
  if (agent_end < text.size()) {
    const absl::string_view problem = PathProblem(text.substr(agent_end + 1));
    if (!problem.empty()) return BadResource(text, problem);
  }
  return Resource(std::string(text), agent_end);
}

absl::StatusOr<Resource> Resource::Of(const record::Name& agent, absl::string_view path) {
  return Parse(absl::StrCat(kScheme, agent.text(), path.empty() ? "" : "/", path));
}

absl::string_view Resource::agent() const {
  return absl::string_view(text_).substr(kScheme.size(), agent_end_ - kScheme.size());
}

absl::string_view Resource::path() const {
  return agent_end_ == text_.size() ? absl::string_view() : absl::string_view(text_).substr(agent_end_ + 1);
}

bool Resource::Covers(const Resource& other) const {
  return absl::StartsWith(other.text_, text_) &&
         (other.text_.size() == text_.size() || other.text_[text_.size()] == '/');
}

}  // namespace dotagent::capability
