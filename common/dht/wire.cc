#include "common/dht/wire.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/dht/value_type.h"
#include "dotagent/dht/v1/dht.pb.h"

namespace dotagent::dht {
namespace {

constexpr size_t kMaxErrorText = 512;
constexpr size_t kMaxReason = 64;

absl::Status Refusal(absl::string_view what) {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kProtocol,
                         absl::StrCat("bad DHT message: ", what));
}

std::string Printable(absl::string_view text, size_t max_size) {
  std::string out(text.substr(0, max_size));
  std::replace_if(
      out.begin(), out.end(), [](char c) { return !absl::ascii_isprint(static_cast<unsigned char>(c)); }, '?');
  return out;
}

void EncodeContact(const Contact& contact, v1::Contact* out) {
  out->set_public_key(std::string(contact.key.bytes()));
  for (const absl::string_view address : contact.addresses) out->add_addresses(address.data(), address.size());
  out->set_puzzle_solution(contact.puzzle_solution);
}

absl::StatusOr<Contact> DecodeContact(const v1::Contact& in) {
  if (static_cast<size_t>(in.addresses_size()) > kMaxContactAddresses) {
    return Refusal(absl::StrCat("a contact with ", in.addresses_size(), " addresses; at most ", kMaxContactAddresses));
  }
  std::vector<absl::string_view> addresses;
  addresses.reserve(static_cast<size_t>(in.addresses_size()));
  for (const std::string& address : in.addresses()) {
    if (address.empty() || address.size() > kMaxAddressSize) {
      return Refusal(absl::StrCat("an address of ", address.size(), " bytes; 1 to ", kMaxAddressSize));
    }
    if (!std::all_of(address.begin(), address.end(), [](unsigned char c) { return absl::ascii_isgraph(c); })) {
      return Refusal("an address with a character that is not printable ASCII");
    }
    addresses.emplace_back(address);
  }
  Contact contact;
  contact.addresses = AddressList(addresses);
  // Checking that 20 keys are points of the curve would take a millisecond, for nothing.
  absl::StatusOr<crypto::PublicKey> key = crypto::PublicKey::FromUncheckedBytes(in.public_key());
  if (!key.ok()) return Refusal(key.status().message());
  contact.key = *key;
  contact.id = Id::OfNode(contact.key);
  contact.puzzle_solution = in.puzzle_solution();
  return contact;
}

template <typename Contacts>
absl::StatusOr<std::vector<Contact>> DecodeAll(const Contacts& in, size_t max_contacts) {
  if (static_cast<size_t>(in.size()) > max_contacts) {
    return Refusal(absl::StrCat(in.size(), " contacts; at most ", max_contacts));
  }
  std::vector<Contact> contacts;
  contacts.reserve(static_cast<size_t>(in.size()));
  for (const v1::Contact& encoded : in) {
    ASSIGN_OR_RETURN(Contact contact, DecodeContact(encoded));
    contacts.push_back(std::move(contact));
  }
  return contacts;
}

absl::StatusOr<Id> DecodeKey(const std::string& bytes) {
  absl::StatusOr<Id> id = Id::FromBytes(bytes);
  if (!id.ok()) return Refusal(id.status().message());
  return id;
}

v1::ValueKind EncodeKind(ValueKind kind) { return static_cast<v1::ValueKind>(kind); }

absl::StatusOr<ValueKind> DecodeKind(v1::ValueKind number) {
  const std::optional<ValueKind> kind = KindFromNumber(static_cast<int>(number));
  if (!kind) return Refusal(absl::StrCat("unknown kind of value ", static_cast<int>(number)));
  return *kind;
}

absl::StatusOr<Item> DecodeItem(v1::Item* in) {
  if (in->value().empty() || in->value().size() > kMaxValueSize) {
    return Refusal(absl::StrCat("a value of ", in->value().size(), " bytes; 1 to ", kMaxValueSize));
  }
  if (in->proof().size() > kMaxProofSize) {
    return Refusal(absl::StrCat("a proof of ", in->proof().size(), " bytes; at most ", kMaxProofSize));
  }
  return Item{std::move(*in->mutable_value()), std::move(*in->mutable_proof())};
}

void EncodeItem(const Item& item, v1::Item* out) {
  out->set_value(item.bytes);
  out->set_proof(item.proof);
}

void EncodeReceipt(const Receipt& receipt, v1::Receipt* out) {
  out->set_owner(std::string(receipt.owner.bytes()));
  out->set_digest(std::string(receipt.digest.bytes()));
  out->set_first_seen_ms(static_cast<uint64_t>(absl::ToUnixMillis(receipt.first_seen)));
  out->set_signature(receipt.signature);
}

absl::StatusOr<Receipt> DecodeReceipt(const v1::Receipt& in) {
  Receipt receipt;
  ASSIGN_OR_RETURN(receipt.owner, DecodeKey(in.owner()));
  ASSIGN_OR_RETURN(receipt.digest, DecodeKey(in.digest()));
  // Up to the year 9999, which any formatter can print.
  if (in.first_seen_ms() > 253'402'300'799'999) return Refusal("a receipt dated after the year 9999");
  receipt.first_seen = absl::FromUnixMillis(static_cast<int64_t>(in.first_seen_ms()));
  if (in.signature().size() != crypto::kSignatureSize) {
    return Refusal(
        absl::StrCat("a receipt whose signature has ", in.signature().size(), " bytes; ", crypto::kSignatureSize));
  }
  receipt.signature = in.signature();
  return receipt;
}

template <typename Message>
absl::StatusOr<Message> Parse(absl::string_view bytes, size_t max_size) {
  if (bytes.size() > max_size) return Refusal(absl::StrCat(bytes.size(), " bytes; at most ", max_size));
  Message message;
  if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return Refusal("not a protobuf");
  return message;
}

struct CallEncoder {
  v1::DhtRequest* out;
  void operator()(const PingCall&) const { out->mutable_ping(); }
  void operator()(const FindNodeCall& call) const {
    out->mutable_find_node()->set_target(std::string(call.target.bytes()));
  }
  void operator()(const FindValueCall& call) const {
    out->mutable_find_value()->set_key(std::string(call.key.bytes()));
    out->mutable_find_value()->set_kind(EncodeKind(call.kind));
    if (call.census) out->mutable_find_value()->set_census(std::string(call.census->bytes()));
  }
  void operator()(const StoreCall& call) const {
    out->mutable_store()->set_key(std::string(call.key.bytes()));
    out->mutable_store()->set_kind(EncodeKind(call.kind));
    EncodeItem(call.item, out->mutable_store()->mutable_item());
    out->mutable_store()->set_witness_only(call.witness_only);
  }
  void operator()(const FindClaimsCall& call) const {
    out->mutable_find_claims()->set_kind(EncodeKind(call.kind));
    for (const Id& key : call.keys) out->mutable_find_claims()->add_keys(std::string(key.bytes()));
  }
  void operator()(const FindValuesCall& call) const {
    out->mutable_find_values()->set_key(std::string(call.key.bytes()));
    out->mutable_find_values()->set_kind(EncodeKind(call.kind));
    if (call.after) out->mutable_find_values()->set_after(std::string(call.after->bytes()));
    out->mutable_find_values()->set_limit(call.limit);
  }
};

struct AnswerEncoder {
  v1::DhtResponse* out;
  void operator()(const PingAnswer& answer) const { out->mutable_ping()->set_puzzle_solution(answer.puzzle_solution); }
  void operator()(const NodesAnswer& answer) const {
    out->mutable_nodes();
    for (const Contact& node : answer.nodes) EncodeContact(node, out->mutable_nodes()->add_nodes());
  }
  void operator()(const ValueAnswer& answer) const {
    out->mutable_value();
    if (answer.item) EncodeItem(*answer.item, out->mutable_value()->mutable_item());
    if (answer.receipt) EncodeReceipt(*answer.receipt, out->mutable_value()->mutable_receipt());
    for (const Contact& node : answer.nodes) EncodeContact(node, out->mutable_value()->add_nodes());
    out->mutable_value()->set_same_census(answer.same_census);
  }
  void operator()(const StoreAnswer& answer) const {
    out->mutable_store();
    if (answer.receipt) EncodeReceipt(*answer.receipt, out->mutable_store()->mutable_receipt());
  }
  void operator()(const ClaimsAnswer& answer) const {
    out->mutable_claims();
    for (const std::optional<Receipt>& receipt : answer.receipts) {
      v1::Receipt* entry = out->mutable_claims()->add_receipts();
      if (receipt) EncodeReceipt(*receipt, entry);
    }
  }
  void operator()(const ValuesAnswer& answer) const {
    out->mutable_values();
    for (const Item& item : answer.items) EncodeItem(item, out->mutable_values()->add_items());
    if (answer.next) out->mutable_values()->set_next(std::string(answer.next->bytes()));
  }
  void operator()(const absl::Status& refusal) const {
    // OK is no refusal; sent as one it would be a bug of ours, which the peer should hear of as such.
    const auto code = refusal.ok() ? absl::StatusCode::kInternal : refusal.code();
    out->mutable_error()->set_code(static_cast<int>(code));
    out->mutable_error()->set_message(Printable(refusal.message(), kMaxErrorText));
    out->mutable_error()->set_reason(Printable(ReasonOf(refusal), kMaxReason));
  }
};

absl::StatusOr<FindClaimsCall> DecodeFindClaims(const v1::FindClaimsRequest& in) {
  if (in.keys().empty() || static_cast<size_t>(in.keys_size()) > kMaxClaimKeys) {
    return Refusal(absl::StrCat("a question about ", in.keys_size(), " keys; 1 to ", kMaxClaimKeys));
  }
  FindClaimsCall call;
  ASSIGN_OR_RETURN(call.kind, DecodeKind(in.kind()));
  for (const std::string& bytes : in.keys()) {
    ASSIGN_OR_RETURN(const Id key, DecodeKey(bytes));
    call.keys.push_back(key);
  }
  return call;
}

absl::StatusOr<ValueAnswer> DecodeValue(v1::ValueResponse* in) {
  ValueAnswer answer;
  if (in->has_item()) {
    ASSIGN_OR_RETURN(answer.item, DecodeItem(in->mutable_item()));
  }
  if (in->has_receipt()) {
    ASSIGN_OR_RETURN(answer.receipt, DecodeReceipt(in->receipt()));
  }
  ASSIGN_OR_RETURN(answer.nodes, DecodeAll(in->nodes(), kMaxAnswerNodes));
  answer.same_census = in->same_census();
  if (answer.same_census && !answer.nodes.empty()) {
    return Refusal("an answer that lists nodes and says that the caller knows them");
  }
  return answer;
}

absl::StatusOr<ClaimsAnswer> DecodeClaims(const v1::ClaimsResponse& in) {
  if (static_cast<size_t>(in.receipts_size()) > kMaxClaimKeys) {
    return Refusal(absl::StrCat(in.receipts_size(), " receipts; at most ", kMaxClaimKeys));
  }
  ClaimsAnswer answer;
  for (const v1::Receipt& encoded : in.receipts()) {
    std::optional<Receipt>& receipt = answer.receipts.emplace_back();
    if (encoded.owner().empty()) continue;
    ASSIGN_OR_RETURN(receipt, DecodeReceipt(encoded));
  }
  return answer;
}

absl::StatusOr<FindValuesCall> DecodeFindValues(const v1::FindValuesRequest& in) {
  FindValuesCall call;
  ASSIGN_OR_RETURN(call.key, DecodeKey(in.key()));
  ASSIGN_OR_RETURN(call.kind, DecodeKind(in.kind()));
  if (!in.after().empty()) {
    ASSIGN_OR_RETURN(call.after, DecodeKey(in.after()));
  }
  if (in.limit() == 0) return Refusal("a question for no values; 1 or more");
  call.limit = in.limit();
  return call;
}

absl::StatusOr<ValuesAnswer> DecodeValues(v1::ValuesResponse* in) {
  if (static_cast<size_t>(in->items_size()) > kMaxPageValues) {
    return Refusal(absl::StrCat("a page of ", in->items_size(), " values; at most ", kMaxPageValues));
  }
  ValuesAnswer answer;
  size_t size = 0;
  for (v1::Item& encoded : *in->mutable_items()) {
    size += encoded.value().size() + encoded.proof().size();
    if (size > kMaxPageBytes && !answer.items.empty()) {
      return Refusal(absl::StrCat("a page of over ", kMaxPageBytes, " bytes of values"));
    }
    ASSIGN_OR_RETURN(Item item, DecodeItem(&encoded));
    answer.items.push_back(std::move(item));
  }
  if (!in->next().empty()) {
    ASSIGN_OR_RETURN(answer.next, DecodeKey(in->next()));
  }
  return answer;
}

absl::StatusOr<Response> DecodeError(const v1::ErrorResponse& error) {
  if (error.code() < 1 || error.code() > 16) return Refusal(absl::StrCat("unknown status code ", error.code()));
  return Response{ErrorWithReason(static_cast<absl::StatusCode>(error.code()), Printable(error.reason(), kMaxReason),
                                  Printable(error.message(), kMaxErrorText))};
}

}  // namespace

std::string EncodeRequest(const Request& request) {
  v1::DhtRequest out;
  EncodeContact(request.sender, out.mutable_sender());
  std::visit(CallEncoder{&out}, request.call);
  return out.SerializeAsString();
}

absl::StatusOr<Request> DecodeRequest(absl::string_view bytes) {
  ASSIGN_OR_RETURN(v1::DhtRequest in, Parse<v1::DhtRequest>(bytes, kMaxDhtMessage));
  Request request;
  ASSIGN_OR_RETURN(request.sender, DecodeContact(in.sender()));
  switch (in.call_case()) {
    case v1::DhtRequest::kPing:
      request.call = PingCall{};
      return request;
    case v1::DhtRequest::kFindNode: {
      ASSIGN_OR_RETURN(const Id target, DecodeKey(in.find_node().target()));
      request.call = FindNodeCall{target};
      return request;
    }
    case v1::DhtRequest::kFindValue: {
      ASSIGN_OR_RETURN(const Id key, DecodeKey(in.find_value().key()));
      ASSIGN_OR_RETURN(const ValueKind kind, DecodeKind(in.find_value().kind()));
      FindValueCall call{key, kind, std::nullopt};
      if (!in.find_value().census().empty()) {
        ASSIGN_OR_RETURN(call.census, DecodeKey(in.find_value().census()));
      }
      request.call = call;
      return request;
    }
    case v1::DhtRequest::kStore: {
      ASSIGN_OR_RETURN(const Id key, DecodeKey(in.store().key()));
      ASSIGN_OR_RETURN(const ValueKind kind, DecodeKind(in.store().kind()));
      ASSIGN_OR_RETURN(Item item, DecodeItem(in.mutable_store()->mutable_item()));
      request.call = StoreCall{key, kind, std::move(item), in.store().witness_only()};
      return request;
    }
    case v1::DhtRequest::kFindClaims: {
      ASSIGN_OR_RETURN(request.call, DecodeFindClaims(in.find_claims()));
      return request;
    }
    case v1::DhtRequest::kFindValues: {
      ASSIGN_OR_RETURN(request.call, DecodeFindValues(in.find_values()));
      return request;
    }
    case v1::DhtRequest::CALL_NOT_SET:
      break;
  }
  return Refusal("a request that asks nothing");
}

std::string EncodeResponse(const Response& response) {
  v1::DhtResponse out;
  std::visit(AnswerEncoder{&out}, response.answer);
  return out.SerializeAsString();
}

absl::StatusOr<Response> DecodeResponse(absl::string_view bytes) {
  ASSIGN_OR_RETURN(v1::DhtResponse in, Parse<v1::DhtResponse>(bytes, kMaxDhtMessage));
  switch (in.answer_case()) {
    case v1::DhtResponse::kPing:
      return Response{PingAnswer{in.ping().puzzle_solution()}};
    case v1::DhtResponse::kNodes: {
      ASSIGN_OR_RETURN(std::vector<Contact> nodes, DecodeAll(in.nodes().nodes(), kMaxAnswerNodes));
      return Response{NodesAnswer{std::move(nodes)}};
    }
    case v1::DhtResponse::kValue: {
      ASSIGN_OR_RETURN(ValueAnswer answer, DecodeValue(in.mutable_value()));
      return Response{std::move(answer)};
    }
    case v1::DhtResponse::kStore: {
      if (!in.store().has_receipt()) return Response{StoreAnswer{}};
      ASSIGN_OR_RETURN(Receipt receipt, DecodeReceipt(in.store().receipt()));
      return Response{StoreAnswer{std::move(receipt)}};
    }
    case v1::DhtResponse::kClaims: {
      ASSIGN_OR_RETURN(ClaimsAnswer answer, DecodeClaims(in.claims()));
      return Response{std::move(answer)};
    }
    case v1::DhtResponse::kValues: {
      ASSIGN_OR_RETURN(ValuesAnswer answer, DecodeValues(in.mutable_values()));
      return Response{std::move(answer)};
    }
    case v1::DhtResponse::kError:
      return DecodeError(in.error());
    case v1::DhtResponse::ANSWER_NOT_SET:
      break;
  }
  return Refusal("a response that answers nothing");
}

std::string EncodeContacts(const std::vector<Contact>& contacts) {
  v1::NodesResponse out;
  for (const Contact& contact : contacts) EncodeContact(contact, out.add_nodes());
  return out.SerializeAsString();
}

absl::StatusOr<std::vector<Contact>> DecodeContacts(absl::string_view bytes, size_t max_contacts) {
  ASSIGN_OR_RETURN(const v1::NodesResponse in,
                   Parse<v1::NodesResponse>(bytes, static_cast<size_t>(std::numeric_limits<int>::max())));
  return DecodeAll(in.nodes(), max_contacts);
}

}  // namespace dotagent::dht
