#include "common/identity/name_certificate.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/bytes.h"
#include "common/base/status.h"
#include "common/identity/certificate_builder.h"
#include "common/identity/certificate_names.h"
#include "common/identity/der.h"
#include "common/identity/statement.h"

namespace dotagent::identity {
namespace {

// Extensions, by object identifier: 2.5.29.x.
constexpr absl::string_view kKeyUsage("\x55\x1d\x0f", 3);
constexpr absl::string_view kSubjectAltName("\x55\x1d\x11", 3);
constexpr absl::string_view kBasicConstraints("\x55\x1d\x13", 3);
constexpr absl::string_view kAuthorityKeyIdentifier("\x55\x1d\x23", 3);
// id-on-permanentIdentifier, 1.3.6.1.5.5.7.8.3.
constexpr absl::string_view kPermanentIdentifier("\x2b\x06\x01\x05\x05\x07\x08\x03", 8);
// What two of them must say: no CA; digitalSignature and nothing else.
constexpr absl::string_view kNoCa("\x30\x00", 2);
constexpr absl::string_view kDigitalSignature("\x03\x02\x07\x80", 4);
constexpr absl::string_view kVersion3("\x02\x01\x02", 3);
constexpr absl::string_view kTrue("\xff", 1);
constexpr size_t kMaxSerial = 20;

struct Extensions {
  absl::string_view basic_constraints;
  absl::string_view key_usage;
  absl::string_view authority_key;
  absl::string_view alternative_names;

  // Where the content of a known one goes; null for others.
  absl::string_view* Place(absl::string_view oid) {
    if (oid == kBasicConstraints) return &basic_constraints;
    if (oid == kKeyUsage) return &key_usage;
    if (oid == kAuthorityKeyIdentifier) return &authority_key;
    if (oid == kSubjectAltName) return &alternative_names;
    return nullptr;
  }
};

// A certificate taken apart, and nothing believed yet. Borrows its bytes.
struct Parts {
  absl::string_view signed_bytes;
  absl::string_view signature;
  absl::string_view serial;
  absl::string_view key;
  absl::Time not_before;
  absl::Time not_after;
  Extensions extensions;
};

absl::Status NoNameCertificate(absl::string_view why) {
  return BadStatement(absl::StrCat("this is no name certificate: ", why));
}

absl::Status WrongKey(absl::string_view message) {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kKeyMismatch, message);
}

absl::StatusOr<Extensions> ReadExtensions(absl::string_view der) {
  Extensions known;
  DerReader outer(der);
  DerReader list = outer.Enter(der::kSequence);
  while (list.More()) {
    DerReader extension = list.Enter(der::kSequence);
    const absl::string_view oid = extension.Take(der::kObjectId);
    const bool critical = extension.NextIs(der::kBoolean);
    // DER writes a BOOLEAN only if it is not the default, false; and true as ff.
    const bool well_formed = !critical || extension.Take(der::kBoolean) == kTrue;
    const absl::string_view content = extension.Take(der::kOctetString);
    if (!extension.Finished() || !well_formed || content.empty()) {
      return NoNameCertificate("its extensions are not DER");
    }
    absl::string_view* const place = known.Place(oid);
    if (place == nullptr && critical) {
      return NoNameCertificate("it has a critical extension that is not known here");
    }
    if (place != nullptr) {
      if (!place->empty()) {
        return NoNameCertificate("it has an extension twice");
      }
      *place = content;
    }
  }
  if (!list.Finished() || !outer.Finished()) {
    return NoNameCertificate("its extensions are not DER");
  }
  return known;
}

bool IsSerial(absl::string_view integer) {
  // Positive, and no byte too many.
  const auto first = integer.empty() ? 0x80 : static_cast<uint8_t>(integer[0]);
  const bool padded = first == 0 && (integer.size() < 2 || static_cast<uint8_t>(integer[1]) < 0x80);
  return first < 0x80 && !padded && integer.size() <= kMaxSerial;
}

// TBSCertificate ::= SEQUENCE { [0] version, serialNumber, signature, issuer, validity, subject, subjectPublicKeyInfo,
// [3] extensions }, as RFC 5280 §4.1 has it; without the unique identifiers, which it forbids.
absl::Status ReadSignedPart(absl::string_view der, Parts* parts) {
  DerReader outer(der);
  DerReader fields = outer.Enter(der::kSequence);
  DerReader version = fields.Enter(der::Constructed(0));
  version.Expect(kVersion3);
  parts->serial = fields.Take(der::kInteger);
  fields.Expect(der::kEd25519Algorithm);
  fields.Take(der::kSequence);
  DerReader validity = fields.Enter(der::kSequence);
  fields.Take(der::kSequence);
  parts->key = Ed25519KeyIn(fields.TakeWhole(der::kSequence));
  const absl::string_view extensions = fields.Take(der::Constructed(3));
  if (!outer.Finished() || !fields.Finished() || !version.Finished() || !IsSerial(parts->serial) ||
      parts->key.empty()) {
    return NoNameCertificate("it is not X.509 v3 with an Ed25519 key and signature, in DER");
  }
  ASSIGN_OR_RETURN(parts->not_before, TakeTime(validity));
  ASSIGN_OR_RETURN(parts->not_after, TakeTime(validity));
  if (!validity.Finished()) {
    return NoNameCertificate("it has more dates than two");
  }
  ASSIGN_OR_RETURN(parts->extensions, ReadExtensions(extensions));
  return absl::OkStatus();
}

absl::StatusOr<Parts> TakeApart(absl::string_view certificate) {
  if (certificate.size() > kMaxNameCertificateSize) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kTooLarge,
                           absl::StrCat("a name certificate has at most ", kMaxNameCertificateSize,
                                        " bytes; this one has ", certificate.size()));
  }
  Parts parts;
  DerReader outer(certificate);
  DerReader fields = outer.Enter(der::kSequence);
  parts.signed_bytes = fields.TakeWhole(der::kSequence);
  fields.Expect(der::kEd25519Algorithm);
  parts.signature = WholeBytes(fields.Take(der::kBitString));
  if (!outer.Finished() || !fields.Finished()) {
    return NoNameCertificate("it is not an X.509 certificate with an Ed25519 signature, in DER");
  }
  RETURN_IF_ERROR(ReadSignedPart(parts.signed_bytes, &parts));
  return parts;
}

// Names the key that signed it, says the certificate; empty if it names none.
absl::string_view IssuerIn(const Parts& parts) {
  DerReader outer(parts.extensions.authority_key);
  DerReader fields = outer.Enter(der::kSequence);
  const absl::string_view identifier = fields.Take(der::Primitive(0));
  return outer.Finished() && fields.Finished() ? identifier : absl::string_view();
}

// The one that the certificate says signed it, if it did.
absl::StatusOr<crypto::PublicKey> VerifyIssuer(const Parts& parts, absl::Span<const crypto::PublicKey> registrars) {
  const absl::string_view identifier = IssuerIn(parts);
  const auto* const registrar =
      std::find_if(registrars.begin(), registrars.end(),
                   [identifier](const crypto::PublicKey& key) { return KeyIdentifier(key) == identifier; });
  if (registrar == registrars.end()) {
    return WrongKey("the name certificate is of none of the registrars that are trusted here");
  }
  RETURN_IF_ERROR(WithContext(crypto::Verify(*registrar, parts.signed_bytes, parts.signature), "the name certificate"));
  return *registrar;
}

// GeneralNames ::= SEQUENCE { [6] URI, [0] otherName { id, [0] { SEQUENCE { UTF8String AgentId } } } }, and no others.
absl::Status ReadNames(absl::string_view der, NameCertificate* certificate) {
  DerReader outer(der);
  DerReader names = outer.Enter(der::kSequence);
  absl::string_view uri = names.Take(der::Primitive(6));
  DerReader other_name = names.Enter(der::Constructed(0));
  const absl::string_view oid = other_name.Take(der::kObjectId);
  DerReader value = other_name.Enter(der::Constructed(0));
  DerReader identifier = value.Enter(der::kSequence);
  const absl::string_view agent = identifier.Take(der::kUtf8String);
  if (!outer.Finished() || !names.Finished() || !other_name.Finished() || !value.Finished() || !identifier.Finished() ||
      oid != kPermanentIdentifier || !absl::ConsumePrefix(&uri, kAgentUriScheme)) {
    return NoNameCertificate("its alternative names are not one agent:// URI and one AgentId");
  }
  RETURN_IF_ERROR(CheckAgentName(uri));
  certificate->name = std::string(uri);
  const absl::StatusOr<std::string> agent_bytes = HexDecode(agent);
  const absl::StatusOr<AgentId> id = AgentId::FromBytes(agent_bytes.ok() ? *agent_bytes : "");
  if (!id.ok() || id->ToString() != agent) {
    return NoNameCertificate("its permanent identifier is no AgentId in lower-case hexadecimal");
  }
  certificate->agent = *id;
  return absl::OkStatus();
}

absl::Status CheckDates(const NameCertificate& certificate, absl::Time now) {
  const auto text = [](absl::Time when) { return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", when, absl::UTCTimeZone()); };
  if (certificate.not_before > certificate.not_after) {
    return NoNameCertificate("it ends before it begins");
  }
  if (now < certificate.not_before) {
    return ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kFutureDated,
                           absl::StrCat("the name certificate for ", certificate.name, " is valid from ",
                                        text(certificate.not_before), " only; check the clocks"));
  }
  // RFC 5280 counts the last second in.
  if (now >= certificate.not_after + absl::Seconds(1)) {
    return ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kStale,
                           absl::StrCat("the name certificate for ", certificate.name, " ended ",
                                        text(certificate.not_after), "; ask the registrar for a new one"));
  }
  return absl::OkStatus();
}

// What it says, but its keys and whether it is so.
absl::Status ReadContent(const Parts& parts, NameCertificate* certificate) {
  if (parts.extensions.basic_constraints != kNoCa || parts.extensions.key_usage != kDigitalSignature) {
    return NoNameCertificate("it does not say that its key is no CA's and is for signatures only");
  }
  certificate->not_before = parts.not_before;
  certificate->not_after = parts.not_after;
  return ReadNames(parts.extensions.alternative_names, certificate);
}

// All but the subject's key.
absl::StatusOr<NameCertificate> Believe(const Parts& parts, absl::Span<const crypto::PublicKey> registrars,
                                        absl::Time now) {
  NameCertificate certificate;
  ASSIGN_OR_RETURN(certificate.registrar, VerifyIssuer(parts, registrars));
  RETURN_IF_ERROR(ReadContent(parts, &certificate));
  RETURN_IF_ERROR(CheckDates(certificate, now));
  return certificate;
}

}  // namespace

absl::StatusOr<NameCertificate> VerifyNameCertificate(absl::string_view certificate,
                                                      absl::Span<const crypto::PublicKey> registrars, absl::Time now) {
  ASSIGN_OR_RETURN(const Parts parts, TakeApart(certificate));
  ASSIGN_OR_RETURN(NameCertificate believed, Believe(parts, registrars, now));
  const absl::StatusOr<crypto::PublicKey> key = crypto::PublicKey::FromBytes(parts.key);
  if (!key.ok()) {
    return NoNameCertificate(absl::StrCat("the agent's key: ", key.status().message()));
  }
  believed.key = *key;
  return believed;
}

absl::StatusOr<NameCertificate> VerifyNameCertificateFor(const crypto::PublicKey& key, absl::string_view certificate,
                                                         absl::Span<const crypto::PublicKey> registrars,
                                                         absl::Time now) {
  ASSIGN_OR_RETURN(const Parts parts, TakeApart(certificate));
  if (parts.key != key.bytes()) {
    return WrongKey("the name certificate is for another key; ask the registrar for one for this key");
  }
  ASSIGN_OR_RETURN(NameCertificate believed, Believe(parts, registrars, now));
  believed.key = key;
  return believed;
}

absl::StatusOr<absl::Time> EndOfNameCertificate(absl::string_view certificate) {
  ASSIGN_OR_RETURN(const Parts parts, TakeApart(certificate));
  return parts.not_after;
}

absl::StatusOr<std::string> KeyBytesOfNameCertificate(absl::string_view certificate) {
  ASSIGN_OR_RETURN(const Parts parts, TakeApart(certificate));
  return std::string(parts.key);
}

absl::StatusOr<NameCertificateText> ReadNameCertificate(absl::string_view certificate) {
  ASSIGN_OR_RETURN(const Parts parts, TakeApart(certificate));
  NameCertificateText text;
  RETURN_IF_ERROR(ReadContent(parts, &text.says));
  const absl::StatusOr<crypto::PublicKey> key = crypto::PublicKey::FromBytes(parts.key);
  if (!key.ok()) return NoNameCertificate(absl::StrCat("the agent's key: ", key.status().message()));
  text.says.key = *key;
  text.serial = HexEncode(parts.serial);
  text.registrar_key = HexEncode(IssuerIn(parts));
  return text;
}

std::string NameCertificateToPem(absl::string_view certificate) { return CertificateToPem(certificate); }

absl::StatusOr<std::string> NameCertificateFromPem(absl::string_view pem) {
  ASSIGN_OR_RETURN(const crypto::X509Ptr certificate, CertificateFromPem(pem));
  return CertificateToDer(*certificate);
}

}  // namespace dotagent::identity
