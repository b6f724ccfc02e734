#include "common/dht/wire.h"

#include <algorithm>
#include <array>
#include <bit>
#include <limits>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
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
  for (const std::string& address : contact.addresses) out->add_addresses(address);
}

absl::StatusOr<Contact> DecodeContact(const v1::Contact& in) {
  if (static_cast<size_t>(in.addresses_size()) > kMaxContactAddresses) {
    return Refusal(absl::StrCat("a contact with ", in.addresses_size(), " addresses; at most ", kMaxContactAddresses));
  }
  Contact contact;
  for (const std::string& address : in.addresses()) {
    if (address.empty() || address.size() > kMaxAddressSize) {
      return Refusal(absl::StrCat("an address of ", address.size(), " bytes; 1 to ", kMaxAddressSize));
    }
    if (!std::all_of(address.begin(), address.end(), [](unsigned char c) { return absl::ascii_isgraph(c); })) {
      return Refusal("an address with a character that is not printable ASCII");
    }
    contact.addresses.push_back(address);
  }
  std::array<uint8_t, crypto::kPublicKeySize> key{};
  if (in.public_key().size() != key.size()) {
    return Refusal(absl::StrCat("a contact whose key has ", in.public_key().size(), " bytes; ", key.size()));
  }
  std::copy(in.public_key().begin(), in.public_key().end(), key.begin());
  // Not PublicKey::FromBytes: checking that 20 keys are points of the curve takes a millisecond, for nothing. These
  // keys are only hashed and compared; a node that is called proves its key to the session, which checks it.
  contact.key = std::bit_cast<crypto::PublicKey>(key);
  contact.id = Id::OfNode(contact.key);
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

absl::StatusOr<ValueKind> DecodeKind(v1::ValueKind kind) {
  switch (kind) {
    case v1::VALUE_KIND_RECORD:
      return ValueKind::kRecord;
    case v1::VALUE_KIND_REVOCATION:
      return ValueKind::kRevocation;
    default:
      return Refusal(absl::StrCat("unknown kind of value ", static_cast<int>(kind)));
  }
}

absl::Status CheckValueSize(const std::string& value) {
  if (!value.empty() && value.size() <= kMaxValueSize) return absl::OkStatus();
  return Refusal(absl::StrCat("a value of ", value.size(), " bytes; 1 to ", kMaxValueSize));
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
  }
  void operator()(const StoreCall& call) const {
    out->mutable_store()->set_key(std::string(call.key.bytes()));
    out->mutable_store()->set_kind(EncodeKind(call.kind));
    out->mutable_store()->set_value(call.value);
  }
};

struct AnswerEncoder {
  v1::DhtResponse* out;
  void operator()(const PingAnswer&) const { out->mutable_ping(); }
  void operator()(const NodesAnswer& answer) const {
    out->mutable_nodes();
    for (const Contact& node : answer.nodes) EncodeContact(node, out->mutable_nodes()->add_nodes());
  }
  void operator()(const ValueAnswer& answer) const {
    out->mutable_value()->set_value(answer.value);
    for (const Contact& node : answer.nodes) EncodeContact(node, out->mutable_value()->add_nodes());
  }
  void operator()(const StoreAnswer&) const { out->mutable_store(); }
  void operator()(const absl::Status& refusal) const {
    // OK is no refusal; sent as one it would be a bug of ours, which the peer should hear of as such.
    const auto code = refusal.ok() ? absl::StatusCode::kInternal : refusal.code();
    out->mutable_error()->set_code(static_cast<int>(code));
    out->mutable_error()->set_message(Printable(refusal.message(), kMaxErrorText));
    out->mutable_error()->set_reason(Printable(ReasonOf(refusal), kMaxReason));
  }
};

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
      request.call = FindValueCall{key, kind};
      return request;
    }
    case v1::DhtRequest::kStore: {
      ASSIGN_OR_RETURN(const Id key, DecodeKey(in.store().key()));
      ASSIGN_OR_RETURN(const ValueKind kind, DecodeKind(in.store().kind()));
      RETURN_IF_ERROR(CheckValueSize(in.store().value()));
      request.call = StoreCall{key, kind, std::move(*in.mutable_store()->mutable_value())};
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
      return Response{PingAnswer{}};
    case v1::DhtResponse::kNodes: {
      ASSIGN_OR_RETURN(std::vector<Contact> nodes, DecodeAll(in.nodes().nodes(), kBucketSize));
      return Response{NodesAnswer{std::move(nodes)}};
    }
    case v1::DhtResponse::kValue: {
      RETURN_IF_ERROR(CheckValueSize(in.value().value()));
      ASSIGN_OR_RETURN(std::vector<Contact> nodes, DecodeAll(in.value().nodes(), kBucketSize));
      return Response{ValueAnswer{std::move(*in.mutable_value()->mutable_value()), std::move(nodes)}};
    }
    case v1::DhtResponse::kStore:
      return Response{StoreAnswer{}};
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
