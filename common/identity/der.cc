#include "common/identity/der.h"

#include <cstddef>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/crypto/check.h"
#include "common/identity/statement.h"

namespace dotagent::identity {
namespace {

constexpr size_t kMaxLength = 65535;

uint8_t ByteAt(absl::string_view bytes, size_t at) { return static_cast<uint8_t>(bytes[at]); }

// Two digits, or -1.
int TwoDigits(absl::string_view text, size_t at) {
  if (!absl::ascii_isdigit(ByteAt(text, at)) || !absl::ascii_isdigit(ByteAt(text, at + 1))) {
    return -1;
  }
  return (text[at] - '0') * 10 + (text[at + 1] - '0');
}

}  // namespace

absl::string_view DerReader::Next(uint8_t tag, absl::string_view* content) {
  *content = {};
  if (!NextIs(tag) || rest_.size() < 2) {
    failed_ = true;
    return {};
  }
  size_t header = 2;
  size_t length = ByteAt(rest_, 1);
  if (length >= 0x80) {
    // A length of the long form says how many bytes follow with it: one or two here, none of them to spare.
    const size_t more = length & 0x7f;
    header += more;
    if (more < 1 || more > 2 || rest_.size() < header) {
      failed_ = true;
      return {};
    }
    length = more == 1 ? ByteAt(rest_, 2) : size_t{256} * ByteAt(rest_, 2) + ByteAt(rest_, 3);
    failed_ = length < (more == 1 ? 0x80U : 0x100U);
  }
  failed_ = failed_ || rest_.size() - header < length;
  if (failed_) {
    return {};
  }
  const absl::string_view whole = rest_.substr(0, header + length);
  *content = whole.substr(header);
  rest_.remove_prefix(whole.size());
  return whole;
}

bool DerReader::NextIs(uint8_t tag) const { return !failed_ && !rest_.empty() && ByteAt(rest_, 0) == tag; }

absl::string_view DerReader::Take(uint8_t tag) {
  absl::string_view content;
  Next(tag, &content);
  return content;
}

absl::string_view DerReader::TakeWhole(uint8_t tag) {
  absl::string_view content;
  return Next(tag, &content);
}

DerReader DerReader::Enter(uint8_t tag) {
  DerReader inner(Take(tag));
  inner.failed_ = failed_;
  return inner;
}

void DerReader::Expect(absl::string_view whole) { failed_ = failed_ || !absl::ConsumePrefix(&rest_, whole); }

void DerReader::Skip() {
  // A tag whose low five bits are set goes on in further bytes.
  const bool one_byte = !rest_.empty() && (ByteAt(rest_, 0) & 0x1f) != 0x1f;
  failed_ = failed_ || !one_byte;
  TakeWhole(one_byte ? ByteAt(rest_, 0) : 0);
}

std::string DerElement(uint8_t tag, absl::string_view content) {
  crypto::CheckAlways(content.size() <= kMaxLength, "a DER element of this project is short");
  const auto byte = [](size_t value) { return std::string(1, static_cast<char>(value)); };
  std::string out = byte(tag);
  if (content.size() >= 0x100) {
    absl::StrAppend(&out, "\x82", byte(content.size() >> 8));
  } else if (content.size() >= 0x80) {
    absl::StrAppend(&out, "\x81");
  }
  absl::StrAppend(&out, byte(content.size() & 0xff), content);
  return out;
}

absl::StatusOr<absl::Time> TakeTime(DerReader& reader) {
  const bool utc = reader.NextIs(der::kUtcTime);
  const absl::string_view text = reader.Take(utc ? der::kUtcTime : der::kGeneralizedTime);
  const size_t year_digits = utc ? 2 : 4;
  if (text.size() != year_digits + 11 || text.back() != 'Z') {
    return BadStatement("a certificate's date is not written as RFC 5280 says");
  }
  // RFC 5280: two digits mean 1950 to 2049.
  const int low = TwoDigits(text, year_digits - 2);
  const int century = utc ? (low >= 50 ? 19 : 20) : TwoDigits(text, 0);
  const int year = century * 100 + low;
  int parts[5];  // month, day, hour, minute, second
  bool digits = low >= 0 && century >= 0;
  for (size_t i = 0; i < 5; ++i) {
    parts[i] = TwoDigits(text, year_digits + 2 * i);
    digits = digits && parts[i] >= 0;
  }
  const absl::CivilSecond when(year, parts[0], parts[1], parts[2], parts[3], parts[4]);
  // CivilSecond turns the 32nd of one month into the 1st of the next.
  if (!digits || when.month() != parts[0] || when.day() != parts[1] || when.hour() != parts[2] ||
      when.minute() != parts[3] || when.second() != parts[4] || (!utc && year < 2050)) {
    return BadStatement("a certificate's date is none, or not written as RFC 5280 says");
  }
  return absl::FromCivil(when, absl::UTCTimeZone());
}

absl::string_view WholeBytes(absl::string_view bit_string) {
  return absl::ConsumePrefix(&bit_string, absl::string_view("\0", 1)) ? bit_string : absl::string_view();
}

absl::string_view Ed25519KeyIn(absl::string_view key_info) {
  constexpr absl::string_view kBeforeKey("\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00", 12);
  constexpr size_t kSize = 44;
  return key_info.size() == kSize && absl::ConsumePrefix(&key_info, kBeforeKey) ? key_info : absl::string_view();
}

}  // namespace dotagent::identity
