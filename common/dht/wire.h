// DHT calls as bytes: protobufs of dotagent/dht/v1/dht.proto. Decoding checks every size and refuses what breaks one:
// InvalidArgument (PROTOCOL). A contact's key is not checked to be a point of the curve: a session does that when the
// node proves it.
#ifndef DOTAGENT_COMMON_DHT_WIRE_H_
#define DOTAGENT_COMMON_DHT_WIRE_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/dht/types.h"

namespace dotagent::dht {

inline constexpr char kProtocolId[] = "/dotagent/dht/1.0.0";
// A full answer: a value with its proof, and 32 contacts of 8 addresses of 128 bytes.
inline constexpr size_t kMaxDhtMessage = 96 * 1024;

inline constexpr size_t kMaxValueSize = 16 * 1024;  // of any kind; each kind has its own limit too
inline constexpr size_t kMaxProofSize = 16 * 1024;
inline constexpr size_t kMaxSavedContacts = 512;

// Texts in refusals are cut to 512 bytes and made printable ASCII, on both ways.
[[nodiscard]] std::string EncodeRequest(const Request& request);
[[nodiscard]] absl::StatusOr<Request> DecodeRequest(absl::string_view bytes);
[[nodiscard]] std::string EncodeResponse(const Response& response);
[[nodiscard]] absl::StatusOr<Response> DecodeResponse(absl::string_view bytes);

// Contacts as a NodesResponse, for keeping on disk.
[[nodiscard]] std::string EncodeContacts(const std::vector<Contact>& contacts);
[[nodiscard]] absl::StatusOr<std::vector<Contact>> DecodeContacts(absl::string_view bytes, size_t max_contacts);

}  // namespace dotagent::dht

#endif  // DOTAGENT_COMMON_DHT_WIRE_H_
