// DHT calls as bytes: protobufs of dotagent/dht/v1/dht.proto. Decoding checks every size and refuses what breaks one:
// InvalidArgument (PROTOCOL).
#ifndef DOTAGENT_COMMON_DHT_WIRE_H_
#define DOTAGENT_COMMON_DHT_WIRE_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/dht/types.h"

namespace dotagent::dht {

inline constexpr char kProtocolId[] = "/dotagent/dht/1.0.0";
// A full answer: a value, and 20 contacts of 8 addresses of 128 bytes.
inline constexpr size_t kMaxDhtMessage = 64 * 1024;

[[nodiscard]] std::string EncodeRequest(const Request& request);
[[nodiscard]] absl::StatusOr<Request> DecodeRequest(absl::string_view bytes);
[[nodiscard]] std::string EncodeResponse(const Response& response);
[[nodiscard]] absl::StatusOr<Response> DecodeResponse(absl::string_view bytes);

}  // namespace dotagent::dht

#endif  // DOTAGENT_COMMON_DHT_WIRE_H_
