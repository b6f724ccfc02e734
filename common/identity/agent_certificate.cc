#include "common/identity/agent_certificate.h"

#include <cstdint>
#include <initializer_list>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/base/status.h"
#include "common/identity/certificate_builder.h"
#include "common/identity/certificate_names.h"
#include "common/identity/der.h"

namespace dotagent::identity {
namespace {

// Written here and not by OpenSSL, which takes several times as long as the signature for the same bytes
// (NameCertificateTest.TheSameBytesAsOpenssl): a registrar issues thousands a second.
using namespace std::string_view_literals;  // NOLINT(google-build-using-namespace): for texts with zero bytes
constexpr auto kVersion3 = "\xa0\x03\x02\x01\x02"sv;
// Extensions, by object identifier (2.5.29.x), whether critical, and content where that is always the same.
constexpr auto kNoCa = "\x30\x0c\x06\x03\x55\x1d\x13\x01\x01\xff\x04\x02\x30\x00"sv;
constexpr auto kDigitalSignature = "\x30\x0e\x06\x03\x55\x1d\x0f\x01\x01\xff\x04\x04\x03\x02\x07\x80"sv;
constexpr auto kTlsBothSides =
    "\x30\x1d\x06\x03\x55\x1d\x25\x04\x16\x30\x14\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x02"
    "\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x01"sv;
constexpr auto kSubjectKeyIdentifier = "\x06\x03\x55\x1d\x0e"sv;
constexpr auto kAuthorityKeyIdentifier = "\x06\x03\x55\x1d\x23"sv;
constexpr auto kSubjectAltName = "\x06\x03\x55\x1d\x11"sv;
constexpr auto kOrganization = "\x06\x03\x55\x04\x0a"sv;
constexpr auto kCommonName = "\x06\x03\x55\x04\x03"sv;
constexpr auto kPermanentIdentifier = "\x06\x08\x2b\x06\x01\x05\x05\x07\x08\x03"sv;  // RFC 4043
constexpr size_t kMaxCommonName = 64;                                                // X.520's ub-common-name

constexpr size_t kMaxSerial = 20;
constexpr absl::Duration kMaxLifetime = absl::Hours(24 * 3650);

absl::Status CheckTerms(const CertificateTerms& terms) {
  RETURN_IF_ERROR(CheckTrustDomain(terms.trust_domain));
  if (terms.lifetime < absl::Minutes(1) || terms.lifetime > kMaxLifetime) {
    return absl::InvalidArgumentError("certificates must live for at least a minute and at most 10 years");
  }
  if (terms.serial.empty() || terms.serial.size() > kMaxSerial) {
    return absl::InvalidArgumentError("a certificate's serial number has 1 to 20 bytes");
  }
  return absl::OkStatus();
}

absl::string_view View(std::string_view text) { return {text.data(), text.size()}; }

std::string Element(uint8_t tag, std::initializer_list<absl::string_view> parts) {
  std::string content;
  for (const absl::string_view part : parts) absl::StrAppend(&content, part);
  return DerElement(tag, content);
}

// A positive INTEGER: the first bit dropped, then the shortest form. InvalidArgument for zero.
absl::StatusOr<std::string> SerialNumber(absl::string_view bytes) {
  std::string positive(bytes);
  positive[0] = static_cast<char>(positive[0] & 0x7f);
  positive.erase(0, positive.find_first_not_of('\0'));
  if (positive.empty()) return absl::InvalidArgumentError("a certificate's serial number is not zero");
  if ((positive[0] & 0x80) != 0) positive.insert(0, 1, '\0');
  return DerElement(der::kInteger, positive);
}

std::string NameAttribute(std::string_view type, absl::string_view value) {
  return DerElement(der::kSet, Element(der::kSequence, {View(type), DerElement(der::kUtf8String, value)}));
}

// As MakeName has it.
std::string NameOf(absl::string_view common_name) {
  const bool fits = common_name.size() <= kMaxCommonName;
  return Element(der::kSequence,
                 {NameAttribute(kOrganization, "dotagent"), fits ? NameAttribute(kCommonName, common_name) : ""});
}

// UTCTime until 2049, GeneralizedTime after (RFC 5280 §4.1.2.5); whole seconds.
std::string Date(absl::Time when) {
  const absl::TimeZone utc = absl::UTCTimeZone();
  const bool utc_time = utc.At(when).cs.year() < 2050;
  return DerElement(utc_time ? der::kUtcTime : der::kGeneralizedTime,
                    absl::FormatTime(utc_time ? "%y%m%d%H%M%SZ" : "%Y%m%d%H%M%SZ", when, utc));
}

std::string Extension(std::string_view oid, absl::string_view content) {
  return Element(der::kSequence, {View(oid), DerElement(der::kOctetString, content)});
}

std::string AlternativeNamesOf(absl::string_view uri, const AgentId& agent) {
  const std::string identifier = Element(der::kSequence, {DerElement(der::kUtf8String, agent.ToString())});
  return Element(der::kSequence, {DerElement(der::Primitive(6), uri),
                                  Element(der::Constructed(0),
                                          {View(kPermanentIdentifier), DerElement(der::Constructed(0), identifier)})});
}

}  // namespace

absl::StatusOr<std::string> IssueAgentCertificate(CertificateProfile profile, const crypto::Signer& registrar,
                                                  const CertificateSubject& subject, const CertificateTerms& terms) {
  RETURN_IF_ERROR(CheckAgentName(subject.name));
  RETURN_IF_ERROR(CheckTerms(terms));
  ASSIGN_OR_RETURN(const std::string serial, SerialNumber(terms.serial));
  const bool svid = profile == CertificateProfile::kSvid;
  const std::string uri = svid ? SpiffeId(terms.trust_domain, subject.name) : AgentUri(subject.name);
  const std::string subject_id = DerElement(der::kOctetString, KeyIdentifier(subject.key));
  const std::string issuer_id = DerElement(der::Primitive(0), KeyIdentifier(registrar.public_key()));
  const std::string key_bits = Element(der::kBitString, {absl::string_view("\0", 1), subject.key.bytes()});
  const std::string extensions =
      Element(der::kSequence, {View(kNoCa), View(kDigitalSignature), svid ? View(kTlsBothSides) : absl::string_view(),
                               Extension(kSubjectKeyIdentifier, subject_id),
                               Extension(kAuthorityKeyIdentifier, DerElement(der::kSequence, issuer_id)),
                               Extension(kSubjectAltName, AlternativeNamesOf(uri, subject.agent))});
  return SignedDer(Element(der::kSequence,
                           {View(kVersion3), serial, der::kEd25519Algorithm, NameOf(RegistrarName(terms.trust_domain)),
                            Element(der::kSequence, {Date(terms.not_before), Date(terms.not_before + terms.lifetime)}),
                            NameOf(subject.name), Element(der::kSequence, {der::kEd25519Algorithm, key_bits}),
                            DerElement(der::Constructed(3), extensions)}),
                   registrar);
}

}  // namespace dotagent::identity
