#include "common/record/timestamp.h"

#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/civil_time.h"

namespace dotagent::record {
namespace {

// Reads a timestamp from left to right; every step fails once one has.
class Scanner {
 public:
  explicit Scanner(absl::string_view text) : rest_(text) {}

  int Digits(size_t count) {
    int value = 0;
    for (size_t i = 0; i < count; ++i) {
      const std::optional<int> digit = TakeDigit();
      ok_ = ok_ && digit.has_value();
      value = value * 10 + digit.value_or(0);
    }
    return value;
  }

  void Expect(char c) { ok_ = Take(c) && ok_; }

  bool Take(char c) {
    if (rest_.empty() || rest_.front() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }

  absl::Duration Fraction() {
    if (!Take('.')) return absl::ZeroDuration();
    absl::Duration unit = absl::Seconds(1);
    absl::Duration sum = absl::ZeroDuration();
    int count = 0;
    while (const std::optional<int> digit = TakeDigit()) {
      unit /= 10;
      sum += *digit * unit;
      if (++count > 9) break;
    }
    ok_ = ok_ && count >= 1 && count <= 9;
    return sum;
  }

  absl::Duration Offset() {
    if (Take('Z')) return absl::ZeroDuration();
    const bool west = Take('-');
    if (!west) Expect('+');
    const int hours = Digits(2);
    Expect(':');
    const int minutes = Digits(2);
    ok_ = ok_ && hours <= 23 && minutes <= 59 && !(west && hours == 0 && minutes == 0);
    const absl::Duration offset = absl::Hours(hours) + absl::Minutes(minutes);
    return west ? -offset : offset;
  }

  [[nodiscard]] bool Done() const { return ok_ && rest_.empty(); }

 private:
  std::optional<int> TakeDigit() {
    if (rest_.empty() || !absl::ascii_isdigit(static_cast<unsigned char>(rest_.front()))) return std::nullopt;
    const int digit = rest_.front() - '0';
    rest_.remove_prefix(1);
    return digit;
  }

  absl::string_view rest_;
  bool ok_ = true;
};

}  // namespace

std::string FormatTimestamp(absl::Time time) {
  const absl::Time floored = absl::UnixEpoch() + absl::Floor(time - absl::UnixEpoch(), absl::Milliseconds(1));
  return absl::FormatTime("%E4Y-%m-%dT%H:%M:%E3SZ", floored, absl::UTCTimeZone());
}

absl::StatusOr<absl::Time> ParseTimestamp(absl::string_view text) {
  Scanner scanner(text);
  const int year = scanner.Digits(4);
  scanner.Expect('-');
  const int month = scanner.Digits(2);
  scanner.Expect('-');
  const int day = scanner.Digits(2);
  scanner.Expect('T');
  const int hour = scanner.Digits(2);
  scanner.Expect(':');
  const int minute = scanner.Digits(2);
  scanner.Expect(':');
  const int second = scanner.Digits(2);
  const absl::Duration fraction = scanner.Fraction();
  const absl::Duration offset = scanner.Offset();
  // CivilSecond carries 30 February over to 2 March; a date that it had to change is none.
  const absl::CivilSecond civil(year, month, day, hour, minute, second);
  const bool exists = year >= 1 && civil.month() == month && civil.day() == day && civil.hour() == hour &&
                      civil.minute() == minute && civil.second() == second;
  if (!scanner.Done() || !exists) {
    constexpr size_t kShown = 40;
    return absl::InvalidArgumentError(absl::StrCat("timestamp \"", absl::CHexEscape(text.substr(0, kShown)),
                                                   "\" is not of the form 2026-01-02T03:04:05.678Z (RFC 3339)"));
  }
  return absl::FromCivil(civil, absl::UTCTimeZone()) + fraction - offset;
}

}  // namespace dotagent::record
