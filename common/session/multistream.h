// multistream-select 1.0: two strangers agree on a protocol, in the clear, before anything else. A line is a varint
// length (base/varint.h), the text, and "\n" (counted). https://github.com/multiformats/multistream-select
//
//   dialler:  /multistream/1.0.0  /noise          both at once: there is one protocol to choose from, so no round trip
//   is listener: /multistream/1.0.0  /noise          spent on choosing
//
// A listener answers "na" to other proposals, "ls" included, and gives up after kMaxProposals. Nothing here is secret
// or authenticated; whoever changes it can only make the handshake that follows fail.
//
// A dialler that is ready to work for a listener under load (cookie.h) says so by proposing /dotagent/cookie/1.0.0
// first. A listener that asks for no work answers "na", like one that has never heard of it, so nothing is lost; one
// that does answers with the same line and a cookie behind its length, and goes on to the next proposal all the same.
//
//   dialler:  /multistream/1.0.0  /dotagent/cookie/1.0.0           /noise
//   listener: /multistream/1.0.0  na                               /noise
//   or:       /multistream/1.0.0  /dotagent/cookie/1.0.0  COOKIE   /noise
#ifndef DOTAGENT_COMMON_SESSION_MULTISTREAM_H_
#define DOTAGENT_COMMON_SESSION_MULTISTREAM_H_

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/session/types.h"

namespace dotagent::session {

class Multistream {
 public:
  static constexpr size_t kMaxLine = 256;  // bytes, with its "\n"
  static constexpr size_t kMaxProposals = 8;
  static constexpr absl::string_view kCookieProtocol = "/dotagent/cookie/1.0.0";

  // `protocol` such as "/noise".
  Multistream(Role role, absl::string_view protocol);

  // A dialler: also proposes kCookieProtocol. Before Start.
  void OfferWork() { offers_work_ = true; }
  // A listener: gives `cookie` to a dialler that proposes kCookieProtocol.
  void AskForWork(std::string cookie) { cookie_ = std::move(cookie); }
  // A listener: whether it has given it. A dialler: whether it was given one.
  [[nodiscard]] bool work_asked() const { return work_asked_; }
  // A dialler's: what it was given, of kCookieSize; empty if nothing.
  [[nodiscard]] const std::string& cookie() const { return cookie_; }

  // What to send before anything arrives: empty for a listener.
  [[nodiscard]] std::string Start() const;

  // Takes whole lines from the front of `in` until the protocol is agreed (true; what is left in `in` belongs to it) or
  // more bytes are needed (false). Appends answers to `out`. InvalidArgument (PROTOCOL) for anything but
  // multistream-select, Unimplemented (PROTOCOL) if the peer does not speak the protocol.
  [[nodiscard]] absl::StatusOr<bool> Advance(absl::string_view* in, std::string* out);

 private:
  [[nodiscard]] absl::StatusOr<bool> OnLine(absl::string_view line, std::string* out);
  [[nodiscard]] absl::Status OnAnswerToOffer(absl::string_view line);

  Role role_;
  std::string protocol_;  // with "\n"
  bool greeted_ = false;
  bool offers_work_ = false;  // and has no answer yet
  bool work_asked_ = false;
  std::string cookie_;
  size_t proposals_ = 0;
};

}  // namespace dotagent::session

#endif  // DOTAGENT_COMMON_SESSION_MULTISTREAM_H_
