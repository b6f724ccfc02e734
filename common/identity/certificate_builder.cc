#include "common/identity/certificate_builder.h"

#include <openssl/objects.h>
#include <openssl/pem.h>

#include <algorithm>
#include <ctime>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/crypto/check.h"
#include "common/crypto/hash.h"
#include "common/identity/der.h"

namespace dotagent::identity {
namespace {

using crypto::BioPtr;
using crypto::BioView;
using crypto::CheckAlways;
using crypto::OpenSslBytes;
using crypto::OpenSslFree;
using crypto::X509Ptr;

constexpr size_t kMaxCertificate = 16 * 1024;
constexpr size_t kMaxDnsName = 253;
constexpr size_t kMaxSerial = 20;
constexpr char kOutOfMemory[] = "OpenSSL is out of memory";

template <typename String>
String* Fill(String* string, absl::string_view bytes) {
  CheckAlways(string != nullptr && ASN1_STRING_set(string, bytes.data(), static_cast<int>(bytes.size())) == 1,
              kOutOfMemory);
  return string;
}

bool IsDnsName(absl::string_view text) {
  return !text.empty() && text.size() <= kMaxDnsName && std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return absl::ascii_isalnum(c) || c == '-' || c == '.' || c == '_';
  });
}

}  // namespace

X509NamePtr MakeName(absl::string_view common_name) {
  X509NamePtr name(X509_NAME_new());
  CheckAlways(name != nullptr && X509_NAME_add_entry_by_NID(name.get(), NID_organizationName, MBSTRING_UTF8,
                                                            OpenSslBytes("dotagent"), -1, -1, 0) == 1,
              kOutOfMemory);
  if (!common_name.empty() && common_name.size() <= ub_common_name) {
    CheckAlways(X509_NAME_add_entry_by_NID(name.get(), NID_commonName, MBSTRING_UTF8, OpenSslBytes(common_name),
                                           static_cast<int>(common_name.size()), -1, 0) == 1,
                "OpenSSL does not take a common name");
  }
  return name;
}

AlternativeNames::AlternativeNames() : names_(GENERAL_NAMES_new()) { CheckAlways(names_ != nullptr, kOutOfMemory); }

void AlternativeNames::Add(GENERAL_NAME* name) {
  CheckAlways(sk_GENERAL_NAME_push(names_.get(), name) > 0, kOutOfMemory);
}

void AlternativeNames::AddUri(absl::string_view uri) {
  GENERAL_NAME* const name = GENERAL_NAME_new();
  CheckAlways(name != nullptr, kOutOfMemory);
  GENERAL_NAME_set0_value(name, GEN_URI, Fill(ASN1_IA5STRING_new(), uri));
  Add(name);
}

absl::Status AlternativeNames::AddHost(const std::string& host) {
  ASN1_OCTET_STRING* const address = a2i_IPADDRESS(host.c_str());
  ERR_clear_error();
  if (address == nullptr && !IsDnsName(host)) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kBadAddress,
                           absl::StrCat("\"", host.substr(0, kMaxDnsName), "\" is no DNS name and no IP address"));
  }
  GENERAL_NAME* const name = GENERAL_NAME_new();
  CheckAlways(name != nullptr, kOutOfMemory);
  if (address != nullptr) {
    GENERAL_NAME_set0_value(name, GEN_IPADD, address);
  } else {
    GENERAL_NAME_set0_value(name, GEN_DNS, Fill(ASN1_IA5STRING_new(), host));
  }
  Add(name);
  return absl::OkStatus();
}

void AlternativeNames::AddPermanentIdentifier(absl::string_view identifier) {
  // PermanentIdentifier ::= SEQUENCE { identifierValue UTF8String, assigner absent: the issuer of the certificate }
  ASN1_TYPE* const value = ASN1_TYPE_new();
  GENERAL_NAME* const name = GENERAL_NAME_new();
  CheckAlways(value != nullptr && name != nullptr, kOutOfMemory);
  ASN1_TYPE_set(value, V_ASN1_SEQUENCE,
                Fill(ASN1_STRING_type_new(V_ASN1_SEQUENCE),
                     DerElement(der::kSequence, DerElement(der::kUtf8String, identifier))));
  CheckAlways(GENERAL_NAME_set0_othername(name, OBJ_nid2obj(NID_id_on_permanentIdentifier), value) == 1, kOutOfMemory);
  Add(name);
}

std::string KeyIdentifier(const crypto::PublicKey& key) { return crypto::Sha256(key.bytes()).substr(0, 20); }

absl::StatusOr<std::string> SignedDer(absl::string_view content, const crypto::Signer& signer) {
  ASSIGN_OR_RETURN(const std::string signature, signer.Sign(content));
  const std::string bits = DerElement(der::kBitString, absl::StrCat(absl::string_view("\0", 1), signature));
  return DerElement(der::kSequence, absl::StrCat(content, der::kEd25519Algorithm, bits));
}

CertificateBuilder::CertificateBuilder() : certificate_(X509_new()) {
  CheckAlways(certificate_ != nullptr, kOutOfMemory);
  Check(X509_set_version(certificate_.get(), X509_VERSION_3) == 1, "version");
}

void CertificateBuilder::Check(bool done, const char* what) {
  if (!done && failure_.empty()) {
    failure_ = absl::StrCat(what, ": ", crypto::TakeOpenSslError());
  }
}

void CertificateBuilder::SetSerial(absl::string_view bytes) {
  std::string positive(bytes.substr(0, kMaxSerial));
  if (!positive.empty()) {
    positive[0] = static_cast<char>(positive[0] & 0x7f);
  }
  const std::unique_ptr<BIGNUM, OpenSslFree<BN_free>> number(
      BN_bin2bn(OpenSslBytes(positive), static_cast<int>(positive.size()), nullptr));
  Check(number != nullptr && !BN_is_zero(number.get()) &&
            BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate_.get())) != nullptr,
        "serial number");
}

void CertificateBuilder::SetValidity(absl::Time from, absl::Time to) {
  Check(from < to && ASN1_TIME_set(X509_getm_notBefore(certificate_.get()), absl::ToTimeT(from)) != nullptr &&
            ASN1_TIME_set(X509_getm_notAfter(certificate_.get()), absl::ToTimeT(to)) != nullptr,
        "dates");
}

void CertificateBuilder::SetSubject(const X509_NAME* name) {
  Check(X509_set_subject_name(certificate_.get(), name) == 1, "subject");
}

void CertificateBuilder::SetIssuer(const X509_NAME* name) {
  Check(X509_set_issuer_name(certificate_.get(), name) == 1, "issuer");
}

void CertificateBuilder::SetKey(EVP_PKEY* key) { Check(X509_set_pubkey(certificate_.get(), key) == 1, "key"); }

void CertificateBuilder::SetKey(const crypto::PublicKey& key) {
  SetKey(crypto::PkeyPtr(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, key.data(), crypto::kPublicKeySize))
             .get());
}

void CertificateBuilder::AddExtension(int nid, const char* value) {
  const std::unique_ptr<X509_EXTENSION, OpenSslFree<X509_EXTENSION_free>> extension(
      X509V3_EXT_conf_nid(nullptr, nullptr, nid, value));
  Check(extension != nullptr && X509_add_ext(certificate_.get(), extension.get(), -1) == 1, OBJ_nid2sn(nid));
}

void CertificateBuilder::AddAlternativeNames(const AlternativeNames& names) {
  Check(X509_add1_ext_i2d(certificate_.get(), NID_subject_alt_name, names.get(), 0, X509V3_ADD_DEFAULT) == 1,
        "alternative names");
}

void CertificateBuilder::AddKeyIdentifiers(const crypto::PublicKey& subject, const crypto::PublicKey& issuer) {
  AddRawExtension("2.5.29.14", DerElement(der::kOctetString, KeyIdentifier(subject)));
  AddRawExtension("2.5.29.35", DerElement(der::kSequence, DerElement(der::Primitive(0), KeyIdentifier(issuer))));
}

void CertificateBuilder::AddRawExtension(const char* oid, absl::string_view der) {
  const std::unique_ptr<ASN1_OBJECT, OpenSslFree<ASN1_OBJECT_free>> object(OBJ_txt2obj(oid, 1));
  const std::unique_ptr<ASN1_OCTET_STRING, OpenSslFree<ASN1_OCTET_STRING_free>> content(
      Fill(ASN1_OCTET_STRING_new(), der));
  const std::unique_ptr<X509_EXTENSION, OpenSslFree<X509_EXTENSION_free>> extension(
      X509_EXTENSION_create_by_OBJ(nullptr, object.get(), 0, content.get()));
  Check(extension != nullptr && X509_add_ext(certificate_.get(), extension.get(), -1) == 1, oid);
}

absl::StatusOr<X509Ptr> CertificateBuilder::Sign(EVP_PKEY* key, const EVP_MD* digest) {
  Check(failure_.empty() && X509_sign(certificate_.get(), key, digest) > 0, "signature");
  if (!failure_.empty()) {
    return absl::InternalError(absl::StrCat("OpenSSL cannot make this certificate: ", failure_));
  }
  return std::move(certificate_);
}

absl::StatusOr<std::string> CertificateBuilder::Sign(const crypto::Signer& signer) {
  // OpenSSL gives the algorithm's place out as const: it means to sign itself, and that needs the private key.
  X509_ALGOR_set0(const_cast<X509_ALGOR*>(X509_get0_tbs_sigalg(certificate_.get())), OBJ_nid2obj(NID_ED25519),
                  V_ASN1_UNDEF, nullptr);
  unsigned char* tbs = nullptr;
  const int size = i2d_re_X509_tbs(certificate_.get(), &tbs);
  Check(size > 0, "encoding");
  const std::string content(reinterpret_cast<const char*>(tbs), static_cast<size_t>(std::max(size, 0)));
  OPENSSL_free(tbs);
  if (!failure_.empty()) {
    return absl::InternalError(absl::StrCat("OpenSSL cannot make this certificate: ", failure_));
  }
  return SignedDer(content, signer);
}

std::string CertificateToDer(const X509& certificate) {
  unsigned char* der = nullptr;
  const int size = i2d_X509(&certificate, &der);
  CheckAlways(size > 0, kOutOfMemory);
  std::string out(reinterpret_cast<const char*>(der), static_cast<size_t>(size));
  OPENSSL_free(der);
  return out;
}

std::string CertificateToPem(const X509& certificate) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  CheckAlways(bio != nullptr && PEM_write_bio_X509(bio.get(), &certificate) == 1, kOutOfMemory);
  return std::string(BioView(bio.get()));
}

std::string CertificateToPem(absl::string_view der) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  CheckAlways(bio != nullptr &&
                  PEM_write_bio(bio.get(), PEM_STRING_X509, "", OpenSslBytes(der), static_cast<long>(der.size())) > 0,
              kOutOfMemory);
  return std::string(BioView(bio.get()));
}

absl::StatusOr<X509Ptr> CertificateFromPem(absl::string_view pem) {
  if (pem.size() > kMaxCertificate) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kBadStatement, "the certificate is over 16 KiB");
  }
  const BioPtr bio(BIO_new_mem_buf(OpenSslBytes(pem), static_cast<int>(pem.size())));
  CheckAlways(bio != nullptr, kOutOfMemory);
  // A certificate is no secret: one that says it is encrypted is refused, where OpenSSL would ask the terminal.
  X509Ptr certificate(PEM_read_bio_X509(
      bio.get(), nullptr, [](char*, int, int, void*) { return -1; }, nullptr));
  if (certificate == nullptr) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kBadStatement,
                           absl::StrCat("this is no PEM certificate: ", crypto::TakeOpenSslError()));
  }
  return certificate;
}

std::string KeyToDer(const EVP_PKEY& key) {
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(&key, &der);
  CheckAlways(size > 0, "OpenSSL cannot write a public key");
  std::string out(reinterpret_cast<const char*>(der), static_cast<size_t>(size));
  OPENSSL_free(der);
  return out;
}

absl::Time TimeOf(const ASN1_TIME& time) {
  std::tm parts{};
  CheckAlways(ASN1_TIME_to_tm(&time, &parts) == 1, "OpenSSL has parsed a date that is none");
  return absl::FromTM(parts, absl::UTCTimeZone());
}

bool IsInDate(const X509& certificate, absl::Time now) {
  time_t when = absl::ToTimeT(now);
  return X509_cmp_time(X509_get0_notBefore(&certificate), &when) < 0 &&
         X509_cmp_time(X509_get0_notAfter(&certificate), &when) > 0;
}

}  // namespace dotagent::identity
