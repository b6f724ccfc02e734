#include "common/dht/testing/message_size.h"

#include <bit>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "common/dht/wire.h"

namespace dotagent::dht {
namespace {

constexpr size_t kTag = 1;  // every field number is below 16
constexpr size_t kEnum = kTag + 1;
constexpr size_t kBool = kTag + 1;
constexpr size_t kFixed64 = kTag + 8;
constexpr size_t kIdSize = kIdBits / 8;

size_t VarintSize(size_t value) { return value < 0x80 ? 1 : (std::bit_width(value) + 6) / 7; }

// A bytes, string or message field of this size.
size_t Field(size_t size) { return kTag + VarintSize(size) + size; }

size_t SizeOf(const Contact& contact) {
  size_t size = Field(crypto::kPublicKeySize) + (contact.puzzle_solution == 0 ? 0 : kFixed64);
  for (const absl::string_view address : contact.addresses) size += Field(address.size());
  return size;
}

size_t SizeOf(const std::vector<Contact>& contacts) {
  size_t size = 0;
  for (const Contact& contact : contacts) size += Field(SizeOf(contact));
  return size;
}

// A proto3 field that is not sent if empty.
size_t Optional(const std::string& bytes) { return bytes.empty() ? 0 : Field(bytes.size()); }

size_t SizeOf(const Item& item) { return Optional(item.bytes) + Optional(item.proof); }

size_t SizeOf(const Receipt& receipt) {
  return 2 * Field(kIdSize) + (receipt.first_seen == absl::UnixEpoch() ? 0 : kFixed64) + Optional(receipt.signature);
}

size_t SizeOf(const std::optional<Receipt>& receipt) { return receipt ? Field(SizeOf(*receipt)) : 0; }

struct CallSize {
  size_t operator()(const PingCall&) const { return 0; }
  size_t operator()(const FindNodeCall&) const { return Field(kIdSize); }
  size_t operator()(const FindValueCall& call) const {
    return Field(kIdSize) + kEnum + (call.census ? Field(kIdSize) : 0);
  }
  size_t operator()(const StoreCall& call) const {
    return Field(kIdSize) + kEnum + Field(SizeOf(call.item)) + (call.witness_only ? kBool : 0);
  }
  size_t operator()(const FindClaimsCall& call) const { return kEnum + call.keys.size() * Field(kIdSize); }
  size_t operator()(const FindValuesCall& call) const {
    return Field(kIdSize) + kEnum + (call.after ? Field(kIdSize) : 0) + kTag + VarintSize(call.limit);
  }
};

struct AnswerSize {
  size_t operator()(const PingAnswer& answer) const { return Field(answer.puzzle_solution == 0 ? 0 : kFixed64); }
  size_t operator()(const NodesAnswer& answer) const { return Field(SizeOf(answer.nodes)); }
  size_t operator()(const ValueAnswer& answer) const {
    return Field((answer.item ? Field(SizeOf(*answer.item)) : 0) + SizeOf(answer.nodes) + SizeOf(answer.receipt) +
                 (answer.same_census ? kBool : 0));
  }
  size_t operator()(const StoreAnswer& answer) const { return Field(SizeOf(answer.receipt)); }
  size_t operator()(const ClaimsAnswer& answer) const {
    size_t size = 0;
    for (const auto& receipt : answer.receipts) size += receipt ? SizeOf(receipt) : Field(0);
    return Field(size);
  }
  size_t operator()(const ValuesAnswer& answer) const {
    size_t size = answer.next ? Field(kIdSize) : 0;
    for (const Item& item : answer.items) size += Field(SizeOf(item));
    return Field(size);
  }
  // A text, and rare.
  size_t operator()(const absl::Status& refusal) const { return EncodeResponse(Response{refusal}).size(); }
};

}  // namespace

size_t EncodedSize(const Request& request) {
  return Field(SizeOf(request.sender)) + Field(std::visit(CallSize{}, request.call));
}

size_t EncodedSize(const Response& response) { return std::visit(AnswerSize{}, response.answer); }

}  // namespace dotagent::dht
