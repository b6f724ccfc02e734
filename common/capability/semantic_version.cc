#include "common/capability/semantic_version.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/status.h"

namespace dotagent::capability {
namespace {

constexpr size_t kMaxDigits = 9;
constexpr size_t kMaxComparators = 8;

absl::Status BadVersion(absl::string_view text, absl::string_view why) {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kBadStatement,
                         absl::StrCat("\"", text, "\" is no semantic version: ", why));
}

bool IsNumber(absl::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) { return absl::ascii_isdigit(c); });
}

// Of digits without a leading zero.
bool IsPlainNumber(absl::string_view text) { return IsNumber(text) && (text.size() == 1 || text[0] != '0'); }

bool IsIdentifier(absl::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) { return absl::ascii_isalnum(c) || c == '-'; });
}

// What an error may show of a text that may be anything.
std::string Shown(absl::string_view text) {
  std::string shown(text.substr(0, kMaxVersionSize));
  std::replace_if(
      shown.begin(), shown.end(), [](unsigned char c) { return !absl::ascii_isprint(c); }, '?');
  return shown;
}

std::weak_ordering CompareIdentifiers(absl::string_view a, absl::string_view b) {
  const bool a_is_number = IsNumber(a);
  if (a_is_number != IsNumber(b)) return a_is_number ? std::weak_ordering::less : std::weak_ordering::greater;
  if (a_is_number && a.size() != b.size()) return a.size() <=> b.size();
  return a.compare(b) <=> 0;
}

}  // namespace

absl::StatusOr<SemanticVersion> SemanticVersion::Parse(absl::string_view text) {
  if (text.size() > kMaxVersionSize) {
    return BadVersion(Shown(text), absl::StrCat("it has ", text.size(), " bytes; at most ", kMaxVersionSize));
  }
  SemanticVersion version;
  version.text_ = std::string(text);
  const size_t plus = text.find('+');
  if (plus != absl::string_view::npos) {
    for (const absl::string_view identifier : absl::StrSplit(text.substr(plus + 1), '.')) {
      if (!IsIdentifier(identifier)) return BadVersion(Shown(text), "its build is not letters, digits and hyphens");
    }
    text = text.substr(0, plus);
  }
  const size_t hyphen = text.find('-');
  if (hyphen != absl::string_view::npos) {
    for (const absl::string_view identifier : absl::StrSplit(text.substr(hyphen + 1), '.')) {
      if (!IsIdentifier(identifier) || (IsNumber(identifier) && !IsPlainNumber(identifier))) {
        return BadVersion(Shown(version.text_),
                          "its prerelease is not letters, digits and hyphens, or a number of it begins with zero");
      }
      version.prerelease_.emplace_back(identifier);
    }
    text = text.substr(0, hyphen);
  }
  const std::vector<absl::string_view> numbers = absl::StrSplit(text, '.');
  if (numbers.size() != version.numbers_.size()) {
    return BadVersion(Shown(version.text_), "write three numbers, as in 1.0.0");
  }
  for (size_t i = 0; i < numbers.size(); ++i) {
    if (!IsPlainNumber(numbers[i]) || numbers[i].size() > kMaxDigits ||
        !absl::SimpleAtoi(numbers[i], &version.numbers_[i])) {
      return BadVersion(Shown(version.text_), "each of its numbers is 1 to 9 digits without a zero in front");
    }
  }
  return version;
}

std::weak_ordering SemanticVersion::Compare(const SemanticVersion& other) const {
  if (numbers_ != other.numbers_) return numbers_ <=> other.numbers_;
  if (is_prerelease() != other.is_prerelease()) {
    return is_prerelease() ? std::weak_ordering::less : std::weak_ordering::greater;
  }
  for (size_t i = 0; i < std::min(prerelease_.size(), other.prerelease_.size()); ++i) {
    const std::weak_ordering order = CompareIdentifiers(prerelease_[i], other.prerelease_[i]);
    if (order != std::weak_ordering::equivalent) return order;
  }
  return prerelease_.size() <=> other.prerelease_.size();
}

absl::StatusOr<VersionRange> VersionRange::Parse(absl::string_view text) {
  const auto bad = [&text](absl::string_view why) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kBadStatement,
                           absl::StrCat("\"", Shown(text), "\" is no range of versions: ", why));
  };
  if (text.size() > kMaxRangeSize) return bad(absl::StrCat("it has over ", kMaxRangeSize, " bytes"));
  VersionRange range;
  const std::vector<absl::string_view> words = absl::StrSplit(text, ' ', absl::SkipEmpty());
  if (words.empty() || words.size() > kMaxComparators) {
    return bad(absl::StrCat("write 1 to ", kMaxComparators, " comparators, as in >=1.0.0 <2.0.0, or *"));
  }
  if (words.size() == 1 && words[0] == "*") return range;
  for (absl::string_view word : words) {
    static constexpr std::pair<absl::string_view, Relation> kRelations[] = {
        {">=", Relation::kGreaterOrEqual}, {"<=", Relation::kLessOrEqual},
        {">", Relation::kGreater},         {"<", Relation::kLess},
        {"=", Relation::kEqual},           {"^", Relation::kGreaterOrEqual},
        {"~", Relation::kGreaterOrEqual}};
    Relation relation = Relation::kEqual;
    const char first = word[0];
    for (const auto& [sign, meaning] : kRelations) {
      if (!absl::StartsWith(word, sign)) continue;
      relation = meaning;
      word.remove_prefix(sign.size());
      break;
    }
    ASSIGN_OR_RETURN(const SemanticVersion version, SemanticVersion::Parse(word));
    range.comparators_.push_back({relation, version});
    if (first != '^' && first != '~') continue;
    std::array<uint32_t, 3> next = version.numbers();
    // ^ goes up to where the first number that is not zero changes: below 1.0.0 every minor version may break, and
    // below 0.1.0 every patch.
    const size_t changes = first == '~' || (next[0] == 0 && next[1] > 0) ? 1 : (next[0] > 0 ? 0 : 2);
    ++next[changes];
    std::fill(next.begin() + static_cast<std::ptrdiff_t>(changes) + 1, next.end(), 0);
    ASSIGN_OR_RETURN(const SemanticVersion end,
                     SemanticVersion::Parse(absl::StrCat(next[0], ".", next[1], ".", next[2])));
    range.comparators_.push_back({Relation::kLess, end});
  }
  return range;
}

bool VersionRange::Holds(const Comparator& comparator, const SemanticVersion& version) {
  const std::weak_ordering order = version.Compare(comparator.version);
  switch (comparator.relation) {
    case Relation::kLess:
      return order < 0;
    case Relation::kLessOrEqual:
      return order <= 0;
    case Relation::kEqual:
      return order == 0;
    case Relation::kGreaterOrEqual:
      return order >= 0;
    case Relation::kGreater:
      return order > 0;
  }
  return false;
}

bool VersionRange::Contains(const SemanticVersion& version) const {
  const bool welcome = !version.is_prerelease() ||
                       std::any_of(comparators_.begin(), comparators_.end(), [&version](const Comparator& comparator) {
                         return comparator.version.is_prerelease() && comparator.version.numbers() == version.numbers();
                       });
  return welcome && std::all_of(comparators_.begin(), comparators_.end(),
                                [&version](const Comparator& comparator) { return Holds(comparator, version); });
}

}  // namespace dotagent::capability
