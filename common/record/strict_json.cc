#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/record/canonical_json.h"

namespace dotagent::record {
namespace {

constexpr int64_t kLargestSafeInteger = int64_t{1} << 53;
constexpr int kNumberOutOfRange = 406;  // nlohmann's id for a number that no double can hold

// Builds the value from nlohmann's events. Each event returns whether to go on.
class StrictBuilder : public nlohmann::json_sax<Json> {
 public:
  bool null() override { return Add(nullptr); }
  bool boolean(bool value) override { return Add(value); }
  bool string(string_t& value) override { return Add(std::move(value)); }
  bool binary(binary_t& /*value*/) override { return Fail("binary values are no JSON"); }

  bool number_integer(number_integer_t value) override {
    if (value < -kLargestSafeInteger) return AddDouble(static_cast<double>(value), absl::StrCat(value));
    return Add(value);
  }

  bool number_unsigned(number_unsigned_t value) override {
    if (value > kLargestSafeInteger) return AddDouble(static_cast<double>(value), absl::StrCat(value));
    return Add(static_cast<int64_t>(value));
  }

  bool number_float(number_float_t value, const string_t& literal) override {
    if (value == std::trunc(value) && std::abs(value) <= static_cast<double>(kLargestSafeInteger)) {
      if (literal.find_first_of(".eE") != std::string::npos) return Add(static_cast<int64_t>(value));
    }
    return AddDouble(value, literal);
  }

  bool start_object(size_t /*elements*/) override { return Open(Json::object()); }
  bool start_array(size_t /*elements*/) override { return Open(Json::array()); }
  bool end_object() override { return Close(); }
  bool end_array() override { return Close(); }

  bool key(string_t& name) override {
    if (open_.back()->contains(name)) {
      return Fail(
          absl::StrCat("member \"", absl::CHexEscape(name).substr(0, 64), "\" stands twice in one object; remove one"));
    }
    key_ = std::move(name);
    return true;
  }

  bool parse_error(size_t position, const std::string& /*last_token*/,
                   const nlohmann::detail::exception& error) override {
    if (error.id == kNumberOutOfRange) {
      return Fail("a number is too large for a double (RFC 7493); write it as a string");
    }
    return Fail(absl::StrCat("not JSON at byte ", position, ": ", Explanation(error.what())));
  }

  absl::StatusOr<Json> Finish(bool parsed) && {
    if (!status_.ok()) return status_;
    if (!parsed) return absl::InvalidArgumentError("not JSON");
    return std::move(root_);
  }

 private:
  // nlohmann's message is "[…] parse error at line 1, column 2: what - why; last read: 'input'". The input may be
  // long and unprintable, so only the middle is kept.
  static std::string Explanation(absl::string_view message) {
    const size_t start = message.find(": ");
    if (start != absl::string_view::npos) message.remove_prefix(start + 2);
    message = message.substr(0, message.find("; last read"));
    return absl::CHexEscape(message.substr(0, 160));
  }

  bool Fail(absl::string_view problem) {
    if (status_.ok()) status_ = absl::InvalidArgumentError(problem);
    return false;
  }

  // An integer beyond 2^53 that is not the canonical form of its double would be changed silently.
  bool AddDouble(double value, const std::string& literal) {
    if (literal.find_first_of(".eE") == std::string::npos) {
      const auto canonical = CanonicalNumber(value);
      if (!canonical.ok()) return Fail(canonical.status().message());
      if (*canonical != literal) return Fail(UnsafeInteger(literal).message());
    }
    return Add(value);
  }

  bool Add(Json value) {
    Place(std::move(value));
    return true;
  }

  Json* Place(Json value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    Json& parent = *open_.back();
    if (parent.is_array()) {
      parent.push_back(std::move(value));
      return &parent.back();
    }
    return &(parent[key_] = std::move(value));
  }

  bool Open(Json container) {
    if (open_.size() >= kMaxJsonDepth) {
      return Fail(absl::StrCat("nested more than ", kMaxJsonDepth, " levels deep; flatten it"));
    }
    open_.push_back(Place(std::move(container)));
    return true;
  }

  bool Close() {
    open_.pop_back();
    return true;
  }

  Json root_;
  // The containers that are not closed yet. Only the innermost grows, so the pointers stay valid.
  std::vector<Json*> open_;
  std::string key_;
  absl::Status status_;
};

}  // namespace

absl::StatusOr<Json> ParseStrictJson(absl::string_view text) {
  // nlohmann skips a byte-order mark and takes a zero byte for the end; what follows it would go unseen.
  if (absl::StartsWith(text, "\xef\xbb\xbf")) {
    return absl::InvalidArgumentError("begins with a byte-order mark; remove it");
  }
  if (text.find('\0') != absl::string_view::npos) {
    return absl::InvalidArgumentError("not JSON: it holds a zero byte");
  }
  StrictBuilder builder;
  const bool parsed = Json::sax_parse(text.begin(), text.end(), &builder);
  return std::move(builder).Finish(parsed);
}

}  // namespace dotagent::record
