#include "common/session/libp2p_noise.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/base/varint.h"
#include "common/crypto/peer_id.h"
#include "common/session/quic_varint.h"

namespace dotagent::session {
namespace {

constexpr absl::string_view kSignatureContext = "noise-libp2p-static-key:";

constexpr uint64_t kIdentityKeyField = 1;
constexpr uint64_t kIdentitySigField = 2;
constexpr uint64_t kExtensionsField = 4;
constexpr uint64_t kStreamMuxersField = 2;
constexpr uint64_t kParametersField = 1024;

// Protocol Buffers' wire types.
constexpr uint64_t kVarintType = 0;
constexpr uint64_t kFixed64Type = 1;
constexpr uint64_t kBytesType = 2;
constexpr uint64_t kFixed32Type = 5;

absl::Status Malformed(absl::string_view what) {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kProtocol,
                         absl::StrCat("handshake payload: ", what));
}

struct Field {
  uint64_t number = 0;
  uint64_t type = 0;
  uint64_t value = 0;      // of a varint
  absl::string_view data;  // of bytes
};

absl::StatusOr<uint64_t> TakeInteger(absl::string_view* in) {
  ASSIGN_OR_RETURN(const std::optional<Varint> varint, ReadVarint(*in));
  if (!varint) return Malformed("an integer is cut short");
  in->remove_prefix(varint->size);
  return varint->value;
}

absl::StatusOr<Field> TakeField(absl::string_view* in) {
  ASSIGN_OR_RETURN(const uint64_t tag, TakeInteger(in));
  Field field{.number = tag >> 3, .type = tag & 7};
  if (field.type == kVarintType) {
    ASSIGN_OR_RETURN(field.value, TakeInteger(in));
    return field;
  }
  uint64_t size = 0;
  if (field.type == kBytesType) {
    ASSIGN_OR_RETURN(size, TakeInteger(in));
  } else if (field.type == kFixed64Type) {
    size = 8;
  } else if (field.type == kFixed32Type) {
    size = 4;
  } else {
    return Malformed(absl::StrCat("field ", field.number, " has wire type ", field.type));
  }
  if (size > in->size()) return Malformed(absl::StrCat("field ", field.number, " is cut short"));
  field.data = in->substr(0, size);
  in->remove_prefix(size);
  return field;
}

// Takes `field` as the only value of `target`.
absl::Status SetOnce(const Field& field, std::optional<absl::string_view>* target) {
  if (field.type != kBytesType || target->has_value())
    return Malformed(absl::StrCat("field ", field.number, " comes twice or has the wrong type"));
  *target = field.data;
  return absl::OkStatus();
}

absl::StatusOr<MuxParameters> DecodeParameters(absl::string_view in) {
  MuxParameters parameters;
  while (!in.empty()) {
    ASSIGN_OR_RETURN(const Field field, TakeField(&in));
    if (field.type != kVarintType) continue;
    if (field.value > kMaxQuicVarint) return Malformed(absl::StrCat("parameter ", field.number, " is over 2^62-1"));
    if (field.number == 1) parameters.stream_window = field.value;
    if (field.number == 2) parameters.connection_window = field.value;
    if (field.number == 3) parameters.max_streams = field.value;
  }
  return parameters;
}

absl::Status DecodeExtensions(absl::string_view in, HandshakePayload* out) {
  std::optional<absl::string_view> parameters;
  while (!in.empty()) {
    ASSIGN_OR_RETURN(const Field field, TakeField(&in));
    if (field.number == kStreamMuxersField && field.type == kBytesType) {
      if (out->muxers.size() == kMaxMuxers) return Malformed(absl::StrCat("over ", kMaxMuxers, " muxers"));
      out->muxers.emplace_back(field.data);
    } else if (field.number == kParametersField) {
      RETURN_IF_ERROR(SetOnce(field, &parameters));
    }
  }
  if (!parameters) return absl::OkStatus();
  ASSIGN_OR_RETURN(out->parameters, DecodeParameters(*parameters));
  return absl::OkStatus();
}

void AppendIntegerField(uint64_t number, uint64_t value, std::string* out) {
  AppendVarint(number << 3 | kVarintType, out);
  AppendVarint(value, out);
}

void AppendBytesField(uint64_t number, absl::string_view bytes, std::string* out) {
  AppendVarint(number << 3 | kBytesType, out);
  absl::StrAppend(out, WithLength(bytes));
}

}  // namespace

absl::StatusOr<std::string> MakeHandshakePayload(const crypto::Signer& signer, absl::string_view noise_static,
                                                 const std::vector<std::string>& muxers,
                                                 const MuxParameters& parameters) {
  ASSIGN_OR_RETURN(const std::string signature, signer.Sign(absl::StrCat(kSignatureContext, noise_static)));
  std::string mux;
  AppendIntegerField(1, parameters.stream_window, &mux);
  AppendIntegerField(2, parameters.connection_window, &mux);
  AppendIntegerField(3, parameters.max_streams, &mux);
  std::string extensions;
  for (const std::string& muxer : muxers) AppendBytesField(kStreamMuxersField, muxer, &extensions);
  AppendBytesField(kParametersField, mux, &extensions);
  std::string payload;
  AppendBytesField(kIdentityKeyField, crypto::EncodeLibp2pKey(signer.public_key()), &payload);
  AppendBytesField(kIdentitySigField, signature, &payload);
  AppendBytesField(kExtensionsField, extensions, &payload);
  return payload;
}

absl::StatusOr<HandshakePayload> DecodeHandshakePayload(absl::string_view payload) {
  if (payload.size() > kMaxPayload)
    return Malformed(absl::StrCat(payload.size(), " bytes; at most ", kMaxPayload, " are allowed"));
  std::optional<absl::string_view> key;
  std::optional<absl::string_view> signature;
  std::optional<absl::string_view> extensions;
  while (!payload.empty()) {
    ASSIGN_OR_RETURN(const Field field, TakeField(&payload));
    if (field.number == kIdentityKeyField) RETURN_IF_ERROR(SetOnce(field, &key));
    if (field.number == kIdentitySigField) RETURN_IF_ERROR(SetOnce(field, &signature));
    if (field.number == kExtensionsField) RETURN_IF_ERROR(SetOnce(field, &extensions));
  }
  if (!key || !signature) return Malformed("identity_key or identity_sig is missing");
  HandshakePayload result;
  ASSIGN_OR_RETURN(result.key, crypto::DecodeLibp2pKey(*key));
  result.signature = std::string(*signature);
  if (extensions) RETURN_IF_ERROR(DecodeExtensions(*extensions, &result));
  return result;
}

absl::StatusOr<HandshakePayload> VerifyHandshakePayload(absl::string_view payload, absl::string_view noise_static) {
  ASSIGN_OR_RETURN(HandshakePayload result, DecodeHandshakePayload(payload));
  if (!crypto::Verify(result.key, absl::StrCat(kSignatureContext, noise_static), result.signature).ok()) {
    return ErrorWithReason(absl::StatusCode::kUnauthenticated, reason::kBadSignature,
                           "the peer's identity key has not signed the key that the peer's handshake uses");
  }
  return result;
}

}  // namespace dotagent::session
