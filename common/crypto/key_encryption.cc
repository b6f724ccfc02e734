#include "common/crypto/key_encryption.h"

#include <openssl/asn1t.h>
#include <openssl/objects.h>

#include <array>
#include <limits>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/crypto/openssl.h"

namespace dotagent::crypto {
namespace {

using Pbes2Ptr = std::unique_ptr<PBE2PARAM, OpenSslFree<PBE2PARAM_free>>;
using Pbkdf2Ptr = std::unique_ptr<PBKDF2PARAM, OpenSslFree<PBKDF2PARAM_free>>;
using ScryptPtr = std::unique_ptr<SCRYPT_PARAMS, OpenSslFree<SCRYPT_PARAMS_free>>;

constexpr char kEncryptAnew[] = "; encrypt it anew with `openssl pkcs8 -topk8 -v2 aes-256-cbc -in OLD -out NEW`";

absl::Status BadKey(absl::string_view message) {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kBadKey, message);
}

absl::Status Damaged() { return BadKey(absl::StrCat("how the key is encrypted is damaged: ", TakeOpenSslError())); }

absl::Status NotRead(const ASN1_OBJECT* scheme) {
  std::array<char, 80> name{};
  OBJ_obj2txt(name.data(), name.size(), scheme, 0);
  return BadKey(absl::StrCat("the key is encrypted with ", name.data(),
                             ", and only PBES2 with PBKDF2 or scrypt is read", kEncryptAnew));
}

// The largest number for one that is negative or too large.
uint64_t NumberOf(const ASN1_INTEGER* integer) {
  uint64_t number = 0;
  if (ASN1_INTEGER_get_uint64(&number, integer) == 1) return number;
  ERR_clear_error();
  return std::numeric_limits<uint64_t>::max();
}

absl::Status CheckPbkdf2(const PBKDF2PARAM& parameters, const KeyEncryptionLimits& limits) {
  const uint64_t iterations = NumberOf(parameters.iter);
  if (iterations <= limits.pbkdf2_iterations) return absl::OkStatus();
  return BadKey(absl::StrCat("the key is encrypted with ", iterations, " iterations of PBKDF2, and at most ",
                             limits.pbkdf2_iterations, " are read", kEncryptAnew));
}

absl::Status CheckScrypt(const SCRYPT_PARAMS& parameters, const KeyEncryptionLimits& limits) {
  const uint64_t n = NumberOf(parameters.costParameter);
  const uint64_t r = NumberOf(parameters.blockSize);
  const uint64_t p = NumberOf(parameters.parallelizationParameter);
  // Each by itself first, so that no product overflows. The memory is as OpenSSL counts it.
  constexpr uint64_t kMost = 1 << 20;
  if (n <= kMost && r <= kMost && p <= kMost && n * r * p <= limits.scrypt_cost &&
      128 * r * (n + 2 + p) <= limits.scrypt_bytes) {
    return absl::OkStatus();
  }
  return BadKey(absl::StrCat("the key is encrypted with scrypt and N = ", n, ", r = ", r, ", p = ", p, ", and at most ",
                             limits.scrypt_bytes >> 20, " MiB and N*r*p = ", limits.scrypt_cost, " are read",
                             kEncryptAnew));
}

}  // namespace

absl::Status CheckKeyEncryption(const X509_SIG& encrypted, const KeyEncryptionLimits& limits) {
  const X509_ALGOR* scheme = nullptr;
  X509_SIG_get0(&encrypted, &scheme, nullptr);
  if (OBJ_obj2nid(scheme->algorithm) != NID_pbes2) return NotRead(scheme->algorithm);
  // As OpenSSL itself unpacks them when it decrypts.
  const Pbes2Ptr pbes2(
      static_cast<PBE2PARAM*>(ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(PBE2PARAM), scheme->parameter)));
  if (pbes2 == nullptr) return Damaged();
  const X509_ALGOR& derivation = *pbes2->keyfunc;
  switch (OBJ_obj2nid(derivation.algorithm)) {
    case NID_id_pbkdf2: {
      const Pbkdf2Ptr pbkdf2(
          static_cast<PBKDF2PARAM*>(ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(PBKDF2PARAM), derivation.parameter)));
      return pbkdf2 == nullptr ? Damaged() : CheckPbkdf2(*pbkdf2, limits);
    }
    case NID_id_scrypt: {
      const ScryptPtr scrypt(
          static_cast<SCRYPT_PARAMS*>(ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(SCRYPT_PARAMS), derivation.parameter)));
      return scrypt == nullptr ? Damaged() : CheckScrypt(*scrypt, limits);
    }
    default:
      return NotRead(derivation.algorithm);
  }
}

}  // namespace dotagent::crypto
