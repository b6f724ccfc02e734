// The DHT's requests and answers, as they come from a session: no input crashes, what is refused is refused in one
// line, and what is accepted is within its limits and says itself again.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "common/dht/testing/message_size.h"
#include "common/dht/wire.h"

namespace dotagent::dht {
namespace {

void Check(bool holds) {
  if (!holds) std::abort();
}

void CheckRefusal(const absl::Status& status) {
  const absl::string_view message = status.message();
  Check(!message.empty() && message.size() <= 1024 && message.find('\n') == absl::string_view::npos);
}

void CheckContacts(const std::vector<Contact>& nodes) {
  Check(nodes.size() <= kMaxAnswerNodes);
  for (const Contact& node : nodes) {
    Check(node.id == Id::OfNode(node.key));
    Check(node.addresses.size() <= kMaxContactAddresses);
  }
}

void CheckItem(const Item& item) {
  Check(!item.bytes.empty() && item.bytes.size() <= kMaxValueSize && item.proof.size() <= kMaxProofSize);
}

void CheckRequest(absl::string_view input) {
  const auto request = DecodeRequest(input);
  if (!request.ok()) return CheckRefusal(request.status());
  CheckContacts({request->sender});
  if (const auto* store = std::get_if<StoreCall>(&request->call)) CheckItem(store->item);
  if (const auto* claims = std::get_if<FindClaimsCall>(&request->call)) {
    Check(!claims->keys.empty() && claims->keys.size() <= kMaxClaimKeys);
  }
  const std::string encoded = EncodeRequest(*request);
  Check(EncodedSize(*request) == encoded.size());  // the simulator's reckoning
  const auto again = DecodeRequest(encoded);
  Check(again.ok() && EncodeRequest(*again) == encoded);
}

void CheckResponse(absl::string_view input) {
  const auto response = DecodeResponse(input);
  if (!response.ok()) return CheckRefusal(response.status());
  if (const auto* nodes = std::get_if<NodesAnswer>(&response->answer)) CheckContacts(nodes->nodes);
  if (const auto* value = std::get_if<ValueAnswer>(&response->answer)) {
    CheckContacts(value->nodes);
    if (value->item) CheckItem(*value->item);
  }
  if (const auto* claims = std::get_if<ClaimsAnswer>(&response->answer)) {
    Check(claims->receipts.size() <= kMaxClaimKeys);
  }
  if (const auto* refusal = std::get_if<absl::Status>(&response->answer)) Check(!refusal->ok());
  const std::string encoded = EncodeResponse(*response);
  Check(EncodedSize(*response) == encoded.size());
  const auto again = DecodeResponse(encoded);
  Check(again.ok() && EncodeResponse(*again) == encoded);
}

}  // namespace
}  // namespace dotagent::dht

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view input(reinterpret_cast<const char*>(data), size);
  dotagent::dht::CheckRequest(input);
  dotagent::dht::CheckResponse(input);
  return 0;
}
