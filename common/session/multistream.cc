#include "common/session/multistream.h"

#include <optional>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/base/varint.h"
#include "common/session/cookie.h"

namespace dotagent::session {
namespace {

constexpr absl::string_view kGreeting = "/multistream/1.0.0\n";
constexpr absl::string_view kNotAvailable = "na\n";

std::string CookieLine() { return absl::StrCat(Multistream::kCookieProtocol, "\n"); }

absl::Status NotMultistream(absl::string_view what) {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kProtocol,
                         absl::StrCat("the peer does not speak multistream-select 1.0: ", what));
}

}  // namespace

Multistream::Multistream(Role role, absl::string_view protocol)
    : role_(role), protocol_(absl::StrCat(protocol, "\n")) {}

std::string Multistream::Start() const {
  if (role_ == Role::kListener) return "";
  return absl::StrCat(WithLength(kGreeting), offers_work_ ? WithLength(CookieLine()) : "", WithLength(protocol_));
}

absl::StatusOr<bool> Multistream::Advance(absl::string_view* in, std::string* out) {
  while (true) {
    const absl::StatusOr<std::optional<Varint>> length = ReadVarint(*in);
    if (!length.ok()) return NotMultistream(length.status().message());
    if (!*length) return false;
    const uint64_t line_size = (*length)->value;
    if (line_size == 0 || line_size > kMaxLine)
      return NotMultistream(absl::StrCat("a line of ", line_size, " bytes; 1 to ", kMaxLine, " are allowed"));
    if (in->size() < (*length)->size + line_size) return false;
    const absl::string_view line = in->substr((*length)->size, line_size);
    in->remove_prefix((*length)->size + line_size);
    ASSIGN_OR_RETURN(const bool agreed, OnLine(line, out));
    if (agreed) return true;
  }
}

absl::StatusOr<bool> Multistream::OnLine(absl::string_view line, std::string* out) {
  if (!greeted_) {
    if (line != kGreeting)
      return NotMultistream(absl::StrCat("it begins with \"", absl::CHexEscape(line.substr(0, 64)), "\""));
    greeted_ = true;
    if (role_ == Role::kListener) absl::StrAppend(out, WithLength(kGreeting));
    return false;
  }
  if (offers_work_) {
    RETURN_IF_ERROR(OnAnswerToOffer(line));
    return false;
  }
  if (line == protocol_) {
    if (role_ == Role::kListener) absl::StrAppend(out, WithLength(protocol_));
    return true;
  }
  if (role_ == Role::kDialler) {
    return ErrorWithReason(absl::StatusCode::kUnimplemented, reason::kProtocol,
                           absl::StrCat("the peer does not speak ", absl::CHexEscape(protocol_), ": it answered \"",
                                        absl::CHexEscape(line.substr(0, 64)), "\""));
  }
  if (!cookie_.empty() && !work_asked_ && line == CookieLine()) {
    work_asked_ = true;
    absl::StrAppend(out, WithLength(line), WithLength(cookie_));
    return false;
  }
  if (++proposals_ == kMaxProposals)
    return ErrorWithReason(
        absl::StatusCode::kUnimplemented, reason::kProtocol,
        absl::StrCat("the peer proposed ", kMaxProposals, " protocols, but never ", absl::CHexEscape(protocol_)));
  absl::StrAppend(out, WithLength(kNotAvailable));
  return false;
}

// "na", or the same line and then the cookie, which is no line but is framed like one.
absl::Status Multistream::OnAnswerToOffer(absl::string_view line) {
  if (work_asked_) {
    if (line.size() != kCookieSize) return NotMultistream(absl::StrCat("a cookie of ", line.size(), " bytes"));
    cookie_ = std::string(line);
    offers_work_ = false;
    return absl::OkStatus();
  }
  if (line == CookieLine()) {
    work_asked_ = true;
    return absl::OkStatus();
  }
  if (line != kNotAvailable) {
    return NotMultistream(
        absl::StrCat("it answers \"", absl::CHexEscape(line.substr(0, 64)), "\" to ", absl::CHexEscape(CookieLine())));
  }
  offers_work_ = false;
  return absl::OkStatus();
}

}  // namespace dotagent::session
