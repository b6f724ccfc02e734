#include "common/crypto/tpm_key_file.h"

#include <openssl/asn1t.h>
#include <openssl/objects.h>
#include <openssl/pem.h>

#include <memory>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/crypto/check.h"
#include "common/crypto/openssl.h"

namespace dotagent::crypto {

// OpenSSL's template compiler wants a C struct and functions outside of any unnamed namespace.
struct TpmKeySyntax {
  ASN1_OBJECT* type;
  ASN1_BOOLEAN empty_auth;
  ASN1_INTEGER* parent;
  ASN1_OCTET_STRING* public_part;
  ASN1_OCTET_STRING* private_part;
};
// NOLINTBEGIN: OpenSSL's macros
// clang-format off
DECLARE_ASN1_FUNCTIONS(TpmKeySyntax)
ASN1_SEQUENCE(TpmKeySyntax) = {
  ASN1_SIMPLE(TpmKeySyntax, type, ASN1_OBJECT),
  ASN1_EXP_OPT(TpmKeySyntax, empty_auth, ASN1_FBOOLEAN, 0),
  ASN1_SIMPLE(TpmKeySyntax, parent, ASN1_INTEGER),
  ASN1_SIMPLE(TpmKeySyntax, public_part, ASN1_OCTET_STRING),
  ASN1_SIMPLE(TpmKeySyntax, private_part, ASN1_OCTET_STRING)
} ASN1_SEQUENCE_END(TpmKeySyntax)
IMPLEMENT_ASN1_FUNCTIONS(TpmKeySyntax)
    // clang-format on
    // NOLINTEND

    namespace {
  constexpr char kPemLabel[] = "TSS2 PRIVATE KEY";
  constexpr char kSealedKey[] = "2.23.133.10.1.5";

  using SyntaxPtr = std::unique_ptr<TpmKeySyntax, OpenSslFree<TpmKeySyntax_free>>;
  using ObjectPtr = std::unique_ptr<ASN1_OBJECT, OpenSslFree<ASN1_OBJECT_free>>;

  absl::Status BadKey(absl::string_view message) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kBadKey, message);
  }

  ObjectPtr SealedKeyType() { return ObjectPtr(OBJ_txt2obj(kSealedKey, 1)); }

  std::string BytesOf(const ASN1_OCTET_STRING* string) {
    return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(string)),
            static_cast<size_t>(ASN1_STRING_length(string))};
  }

  absl::StatusOr<std::string> DerIn(absl::string_view pem) {
    const BioPtr bio(BIO_new_mem_buf(OpenSslBytes(pem), static_cast<int>(pem.size())));
    CheckAlways(bio != nullptr, "OpenSSL is out of memory");
    char* label = nullptr;
    char* headers = nullptr;
    unsigned char* data = nullptr;
    long size = 0;
    if (PEM_read_bio(bio.get(), &label, &headers, &data, &size) != 1) {
      TakeOpenSslError();
      return BadKey("there is no PEM block \"TSS2 PRIVATE KEY\" in it; `dotagent keygen tpm2:FILE` makes such a file");
    }
    const std::string found = label;
    std::string der(reinterpret_cast<const char*>(data), static_cast<size_t>(size));
    OPENSSL_free(label);
    OPENSSL_free(headers);
    OPENSSL_clear_free(data, static_cast<size_t>(size));
    if (found != kPemLabel) {
      return BadKey(absl::StrCat("it holds a \"", found, "\" and no \"TSS2 PRIVATE KEY\", which is what a TPM seals"));
    }
    return der;
  }

}  // namespace

std::string TpmKeyToPem(const TpmKeyFile& key) {
  const SyntaxPtr syntax(TpmKeySyntax_new());
  CheckAlways(syntax != nullptr, "OpenSSL is out of memory");
  ASN1_OBJECT_free(syntax->type);
  syntax->type = SealedKeyType().release();
  syntax->empty_auth = key.empty_auth ? 0xff : 0;
  CheckAlways(syntax->type != nullptr && ASN1_INTEGER_set_uint64(syntax->parent, key.parent) == 1 &&
                  ASN1_OCTET_STRING_set(syntax->public_part, OpenSslBytes(key.public_part),
                                        static_cast<int>(key.public_part.size())) == 1 &&
                  ASN1_OCTET_STRING_set(syntax->private_part, OpenSslBytes(key.private_part),
                                        static_cast<int>(key.private_part.size())) == 1,
              "OpenSSL is out of memory");
  unsigned char* der = nullptr;
  const int size = i2d_TpmKeySyntax(syntax.get(), &der);
  const BioPtr bio(BIO_new(BIO_s_mem()));
  CheckAlways(size > 0 && bio != nullptr && PEM_write_bio(bio.get(), kPemLabel, "", der, size) > 0,
              "OpenSSL cannot write a TPM's key");
  OPENSSL_free(der);
  return std::string(BioView(bio.get()));
}

absl::StatusOr<TpmKeyFile> TpmKeyFromPem(absl::string_view pem) {
  if (pem.size() > kMaxTpmKeyFile) return BadKey("it is over 8 KiB and so no key that a TPM has sealed");
  ASSIGN_OR_RETURN(const std::string der, DerIn(pem));
  const unsigned char* at = OpenSslBytes(der);
  const SyntaxPtr syntax(d2i_TpmKeySyntax(nullptr, &at, static_cast<long>(der.size())));
  if (syntax == nullptr || at != OpenSslBytes(der) + der.size()) {
    return BadKey(
        absl::StrCat("the sealed key is damaged, or has a policy, which is not supported: ", TakeOpenSslError()));
  }
  if (OBJ_cmp(syntax->type, SealedKeyType().get()) != 0) {
    return BadKey("it is a key that the TPM itself uses; a TPM has no Ed25519, so the key must be a sealed one");
  }
  uint64_t parent = 0;
  if (ASN1_INTEGER_get_uint64(&parent, syntax->parent) != 1 || parent > UINT32_MAX) {
    TakeOpenSslError();
    return BadKey("the sealed key names no parent that a TPM could have");
  }
  return TpmKeyFile{.empty_auth = syntax->empty_auth > 0,
                    .parent = static_cast<uint32_t>(parent),
                    .public_part = BytesOf(syntax->public_part),
                    .private_part = BytesOf(syntax->private_part)};
}

}  // namespace dotagent::crypto
