// multistream-select 1.0: two strangers agree on a protocol, in the clear, before anything else. A line is a varint
// length (base/varint.h), the text, and "\n" (counted). https://github.com/multiformats/multistream-select
//
//   dialler:  /multistream/1.0.0  /noise          both at once: there is one protocol to choose from, so no round trip
//   is listener: /multistream/1.0.0  /noise          spent on choosing
//
// A listener answers "na" to other proposals, "ls" included, and gives up after kMaxProposals. Nothing here is secret
// or authenticated; whoever changes it can only make the handshake that follows fail.
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

  // `protocol` such as "/noise".
  Multistream(Role role, absl::string_view protocol);

  // What to send before anything arrives: empty for a listener.
  [[nodiscard]] std::string Start() const;

  // Takes whole lines from the front of `in` until the protocol is agreed (true; what is left in `in` belongs to it) or
  // more bytes are needed (false). Appends answers to `out`. InvalidArgument (PROTOCOL) for anything but
  // multistream-select, Unimplemented (PROTOCOL) if the peer does not speak the protocol.
  [[nodiscard]] absl::StatusOr<bool> Advance(absl::string_view* in, std::string* out);

 private:
  [[nodiscard]] absl::StatusOr<bool> OnLine(absl::string_view line, std::string* out);

  Role role_;
  std::string protocol_;  // with "\n"
  bool greeted_ = false;
  size_t proposals_ = 0;
};

}  // namespace dotagent::session

#endif  // DOTAGENT_COMMON_SESSION_MULTISTREAM_H_
