#include "common/capability/strict_reader.h"

#include <algorithm>
#include <cstddef>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/base/varint.h"

namespace dotagent::capability {
namespace {

constexpr uint32_t kVarintType = 0;
constexpr uint32_t kLengthType = 2;
constexpr int kTypeBits = 3;

absl::Status Refused(absl::string_view reason, absl::string_view what, absl::string_view problem) {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason, absl::StrCat(what, " ", problem));
}

}  // namespace

bool StrictReader::At(uint32_t field, uint32_t wire_type) {
  last_field_ = std::max(last_field_, field);
  if (rest_.empty() || static_cast<uint8_t>(rest_.front()) != ((field << kTypeBits) | wire_type)) return false;
  rest_.remove_prefix(1);
  return true;
}

std::optional<uint64_t> StrictReader::Varint() {
  const absl::StatusOr<std::optional<dotagent::Varint>> varint = ReadVarint(rest_);
  if (!varint.ok()) {
    Fail(Error::kForm);
    return std::nullopt;
  }
  if (!varint->has_value()) {
    Fail(Error::kCut);
    return std::nullopt;
  }
  rest_.remove_prefix((*varint)->size);
  return (*varint)->value;
}

absl::string_view StrictReader::LengthPrefixed() {
  const std::optional<uint64_t> size = Varint();
  if (!size) return {};
  if (*size > rest_.size()) {
    Fail(Error::kCut);
    return {};
  }
  const absl::string_view bytes = rest_.substr(0, *size);
  rest_.remove_prefix(*size);
  return bytes;
}

absl::string_view StrictReader::Bytes(uint32_t field) {
  if (!At(field, kLengthType)) return {};
  const absl::string_view bytes = LengthPrefixed();
  if (bytes.empty()) Fail(Error::kForm);  // a default is not written out
  return bytes;
}

std::optional<absl::string_view> StrictReader::NextBytes(uint32_t field) {
  if (!At(field, kLengthType)) return std::nullopt;
  const absl::string_view bytes = LengthPrefixed();
  if (error_ != Error::kNone) return std::nullopt;
  return bytes;
}

uint64_t StrictReader::Number(uint32_t field) {
  if (!At(field, kVarintType)) return 0;
  const std::optional<uint64_t> value = Varint();
  if (value == uint64_t{0}) Fail(Error::kForm);
  return value.value_or(0);
}

absl::Status StrictReader::Finish(absl::string_view what) const {
  Error error = error_;
  if (error == Error::kNone && !rest_.empty()) {
    // What stands here is no field that may: one that was asked for stands twice, too late or with another type; any
    // other is not known.
    const absl::StatusOr<std::optional<dotagent::Varint>> tag = ReadVarint(rest_);
    if (!tag.ok()) {
      error = Error::kForm;
    } else if (!tag->has_value()) {
      error = Error::kCut;
    } else {
      const uint64_t field = (*tag)->value >> kTypeBits;
      error = field >= 1 && field <= last_field_ ? Error::kForm : Error::kUnknown;
    }
  }
  switch (error) {
    case Error::kNone:
      return absl::OkStatus();
    case Error::kCut:
      return Refused(reason::kTokenCut, what, "ends in the middle of a field: it was cut");
    case Error::kUnknown:
      return Refused(reason::kUnknownField, what,
                     "has a field that this release does not know, and that might forbid what is asked for");
    case Error::kForm:
      break;
  }
  return Refused(reason::kBadToken, what, "is not in its one form: fields in order, shortest varints, no defaults");
}

}  // namespace dotagent::capability
