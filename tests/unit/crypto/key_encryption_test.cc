// Costs of decryption, in files that nobody could afford to make honestly.
#include "common/crypto/key_encryption.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/asn1t.h>
#include <openssl/evp.h>
#include <openssl/objects.h>

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/base/status.h"
#include "common/crypto/key_file.h"
#include "common/crypto/openssl.h"

namespace dotagent::crypto {
namespace {

using testing::HasSubstr;

using AlgorithmPtr = std::unique_ptr<X509_ALGOR, OpenSslFree<X509_ALGOR_free>>;
using EncryptedPtr = std::unique_ptr<X509_SIG, OpenSslFree<X509_SIG_free>>;

// Something under that encryption.
EncryptedPtr Under(const AlgorithmPtr& encryption) {
  EncryptedPtr encrypted(X509_SIG_new());
  X509_ALGOR* algorithm = nullptr;
  ASN1_OCTET_STRING* bytes = nullptr;
  X509_SIG_getm(encrypted.get(), &algorithm, &bytes);
  EXPECT_EQ(X509_ALGOR_copy(algorithm, encryption.get()), 1);
  const std::string ciphertext(64, 'x');
  EXPECT_EQ(ASN1_OCTET_STRING_set(bytes, OpenSslBytes(ciphertext), static_cast<int>(ciphertext.size())), 1);
  return encrypted;
}

EncryptedPtr UnderPbkdf2(int iterations) {
  return Under(AlgorithmPtr(PKCS5_pbe2_set_iv(EVP_aes_256_cbc(), iterations, nullptr, 0, nullptr, NID_hmacWithSHA256)));
}

using Pbes2Ptr = std::unique_ptr<PBE2PARAM, OpenSslFree<PBE2PARAM_free>>;
using ScryptPtr = std::unique_ptr<SCRYPT_PARAMS, OpenSslFree<SCRYPT_PARAMS_free>>;
using TypePtr = std::unique_ptr<ASN1_TYPE, OpenSslFree<ASN1_TYPE_free>>;

// `parameters`, which are an `item`, as those of the algorithm `nid`.
void Set(X509_ALGOR* algorithm, int nid, const ASN1_ITEM* item, void* parameters) {
  ASN1_TYPE* made = nullptr;
  ASSERT_NE(ASN1_TYPE_pack_sequence(item, parameters, &made), nullptr);
  const TypePtr packed(made);
  ASSERT_EQ(X509_ALGOR_set0(algorithm, OBJ_nid2obj(nid), V_ASN1_SEQUENCE, ASN1_STRING_dup(packed->value.sequence)), 1);
}

// Made for N = 2, r = 1, p = 1, with other numbers then.
EncryptedPtr UnderScrypt(uint64_t n, uint64_t r, uint64_t p) {
  const AlgorithmPtr encryption(PKCS5_pbe2_set_scrypt(EVP_aes_256_cbc(), nullptr, 0, nullptr, 2, 1, 1));
  const Pbes2Ptr pbes2(
      static_cast<PBE2PARAM*>(ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(PBE2PARAM), encryption->parameter)));
  const ScryptPtr scrypt(
      static_cast<SCRYPT_PARAMS*>(ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(SCRYPT_PARAMS), pbes2->keyfunc->parameter)));
  EXPECT_EQ(ASN1_INTEGER_set_uint64(scrypt->costParameter, n), 1);
  EXPECT_EQ(ASN1_INTEGER_set_uint64(scrypt->blockSize, r), 1);
  EXPECT_EQ(ASN1_INTEGER_set_uint64(scrypt->parallelizationParameter, p), 1);
  Set(pbes2->keyfunc, NID_id_scrypt, ASN1_ITEM_rptr(SCRYPT_PARAMS), scrypt.get());
  Set(encryption.get(), NID_pbes2, ASN1_ITEM_rptr(PBE2PARAM), pbes2.get());
  return Under(encryption);
}

std::string PemOf(const X509_SIG& encrypted) {
  unsigned char* der = nullptr;
  const int size = i2d_X509_SIG(&encrypted, &der);
  EXPECT_GT(size, 0);
  const std::string body = Base64Encode({reinterpret_cast<const char*>(der), static_cast<size_t>(size)});
  OPENSSL_free(der);
  return absl::StrCat("-----BEGIN ENCRYPTED PRIVATE KEY-----\n", body, "\n-----END ENCRYPTED PRIVATE KEY-----\n");
}

// That reading such a key is refused at once: it would take longer than the test may.
void ExpectTooCostly(const EncryptedPtr& encrypted, const std::string& cost) {
  const absl::Status refused = KeyFromPem(PemOf(*encrypted), SecretBytes("correct horse")).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument) << refused;
  EXPECT_EQ(ReasonOf(refused), reason::kBadKey);
  EXPECT_THAT(refused.message(), HasSubstr(cost));
  EXPECT_THAT(refused.message(), HasSubstr("openssl pkcs8 -topk8"));
}

TEST(KeyEncryptionTest, TakesWhatCostsSeconds) {
  EXPECT_EQ(CheckKeyEncryption(*UnderPbkdf2(1)), absl::OkStatus());
  EXPECT_EQ(CheckKeyEncryption(*UnderPbkdf2(10'000'000)), absl::OkStatus());
  EXPECT_EQ(CheckKeyEncryption(*UnderScrypt(16'384, 8, 5)), absl::OkStatus()) << "our own";
  EXPECT_EQ(CheckKeyEncryption(*UnderScrypt(131'072, 1, 64)), absl::OkStatus());
}

TEST(KeyEncryptionTest, RefusesWhatCostsMinutes) {
  ExpectTooCostly(UnderPbkdf2(10'000'001), "10000001 iterations of PBKDF2");
  ExpectTooCostly(UnderPbkdf2(std::numeric_limits<int>::max()), "2147483647 iterations of PBKDF2");
  ExpectTooCostly(UnderScrypt(131'072, 1, 65), "N = 131072, r = 1, p = 65");
  ExpectTooCostly(UnderScrypt(2, 1, 1 << 18), "p = 262144");
  ExpectTooCostly(UnderScrypt(1 << 15, 8, 1), "32 MiB");
}

TEST(KeyEncryptionTest, NumbersThatAreTooLargeToMultiplyAreTooLarge) {
  constexpr uint64_t kHuge = std::numeric_limits<uint64_t>::max();
  constexpr uint64_t kHalf = uint64_t{1} << 32;
  ExpectTooCostly(UnderScrypt(kHuge, 1, 1), "N = 18446744073709551615");
  ExpectTooCostly(UnderScrypt(kHalf, kHalf, 1), "r = 4294967296");
  ExpectTooCostly(UnderScrypt(1, kHalf, kHalf), "p = 4294967296");
  const KeyEncryptionLimits none{.pbkdf2_iterations = 0};
  EXPECT_FALSE(CheckKeyEncryption(*UnderPbkdf2(1), none).ok());
}

TEST(KeyEncryptionTest, SaysWhichSchemeItDoesNotRead) {
  const AlgorithmPtr old(PKCS5_pbe_set(NID_pbeWithMD5AndDES_CBC, 1, nullptr, 0));
  ExpectTooCostly(Under(old), "pbeWithMD5AndDES-CBC");
  // PBES2 by its name, and nothing behind it.
  const AlgorithmPtr empty(X509_ALGOR_new());
  X509_ALGOR_set0(empty.get(), OBJ_nid2obj(NID_pbes2), V_ASN1_NULL, nullptr);
  EXPECT_EQ(ReasonOf(CheckKeyEncryption(*Under(empty))), reason::kBadKey);
}

}  // namespace
}  // namespace dotagent::crypto
