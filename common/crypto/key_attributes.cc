#include "common/crypto/key_attributes.h"

#include <openssl/objects.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/base/status.h"
#include "common/crypto/check.h"
#include "common/crypto/openssl.h"

namespace dotagent::crypto {
namespace {

constexpr size_t kAgentIdDigits = 64;
constexpr size_t kMaxName = 253;
// PermanentIdentifier ::= SEQUENCE { identifierValue UTF8String } of 64 bytes.
constexpr absl::string_view kPermanentIdentifier("\x30\x42\x0c\x40", 4);

bool IsAgentId(absl::string_view text) {
  return text.size() == kAgentIdDigits && std::all_of(text.begin(), text.end(), [](unsigned char c) {
           return absl::ascii_isdigit(c) || (c >= 'a' && c <= 'f');
         });
}

bool IsName(absl::string_view text) {
  return !text.empty() && text.size() <= kMaxName &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) { return absl::ascii_isgraph(c); });
}

// The one value of the first attribute of this type; null if there is none.
const ASN1_TYPE* ValueOf(const STACK_OF(X509_ATTRIBUTE) * attributes, int nid) {
  const int at = X509at_get_attr_by_NID(attributes, nid, -1);
  X509_ATTRIBUTE* const attribute = at < 0 ? nullptr : X509at_get_attr(attributes, at);
  return attribute == nullptr || X509_ATTRIBUTE_count(attribute) != 1 ? nullptr
                                                                      : X509_ATTRIBUTE_get0_type(attribute, 0);
}

std::string AgentIdIn(const ASN1_TYPE* value) {
  if (value == nullptr || value->type != V_ASN1_SEQUENCE) return {};
  const ASN1_STRING* const der = value->value.sequence;
  absl::string_view text(reinterpret_cast<const char*>(ASN1_STRING_get0_data(der)),
                         static_cast<size_t>(ASN1_STRING_length(der)));
  if (text.substr(0, kPermanentIdentifier.size()) != kPermanentIdentifier) return {};
  text.remove_prefix(kPermanentIdentifier.size());
  return IsAgentId(text) ? std::string(text) : std::string();
}

std::string NameIn(const ASN1_TYPE* value) {
  if (value == nullptr || value->type != V_ASN1_BMPSTRING) return {};
  unsigned char* utf8 = nullptr;
  const int size = ASN1_STRING_to_UTF8(&utf8, value->value.bmpstring);
  if (size < 0) {
    TakeOpenSslError();
    return {};
  }
  std::string text(reinterpret_cast<const char*>(utf8), static_cast<size_t>(size));
  OPENSSL_free(utf8);
  return IsName(text) ? text : std::string();
}

}  // namespace

absl::Status CheckAttributes(const KeyAttributes& attributes) {
  if (!attributes.agent_id.empty() && !IsAgentId(attributes.agent_id)) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kBadKey,
                           "an agent id in a key file is 64 lower-case hexadecimal digits");
  }
  if (!attributes.name.empty() && !IsName(attributes.name)) {
    return ErrorWithReason(
        absl::StatusCode::kInvalidArgument, reason::kBadKey,
        absl::StrCat("a name in a key file has at most ", kMaxName, " printable ASCII characters and no space"));
  }
  return absl::OkStatus();
}

void AddAttributes(const KeyAttributes& attributes, PKCS8_PRIV_KEY_INFO* info) {
  CheckAlways(CheckAttributes(attributes).ok(), "the attributes of a key were not checked");
  if (!attributes.agent_id.empty()) {
    const std::string der = absl::StrCat(kPermanentIdentifier, attributes.agent_id);
    CheckAlways(PKCS8_pkey_add1_attr_by_NID(info, NID_id_on_permanentIdentifier, V_ASN1_SEQUENCE, OpenSslBytes(der),
                                            static_cast<int>(der.size())) == 1,
                "OpenSSL does not take an attribute");
  }
  if (!attributes.name.empty()) {
    CheckAlways(PKCS8_pkey_add1_attr_by_NID(info, NID_friendlyName, MBSTRING_UTF8, OpenSslBytes(attributes.name),
                                            static_cast<int>(attributes.name.size())) == 1,
                "OpenSSL does not take an attribute");
  }
}

KeyAttributes AttributesOf(const PKCS8_PRIV_KEY_INFO& info) {
  const STACK_OF(X509_ATTRIBUTE)* const attributes = PKCS8_pkey_get0_attrs(&info);
  if (attributes == nullptr) return {};
  return {.agent_id = AgentIdIn(ValueOf(attributes, NID_id_on_permanentIdentifier)),
          .name = NameIn(ValueOf(attributes, NID_friendlyName))};
}

}  // namespace dotagent::crypto
