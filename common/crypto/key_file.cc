#include "common/crypto/key_file.h"

#include <openssl/pem.h>
#include <openssl/pkcs12.h>

#include <cstddef>
#include <cstdint>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/crypto/check.h"
#include "common/crypto/key_encryption.h"
#include "common/crypto/openssl.h"
#include "common/crypto/private_file.h"

namespace dotagent::crypto {
namespace {

using Pkcs8Ptr = std::unique_ptr<PKCS8_PRIV_KEY_INFO, OpenSslFree<PKCS8_PRIV_KEY_INFO_free>>;
using EncryptedPtr = std::unique_ptr<X509_SIG, OpenSslFree<X509_SIG_free>>;
using AlgorithmPtr = std::unique_ptr<X509_ALGOR, OpenSslFree<X509_ALGOR_free>>;

constexpr size_t kMaxKeyFile = 64 * 1024;
constexpr size_t kMaxPassphrase = 1024;

// scrypt's cost: 16 MiB and about 0.25 s a guess. N may not be larger: OpenSSL refuses to read more than 32 MiB's
// worth.
constexpr uint64_t kScryptN = 16384;
constexpr uint64_t kScryptR = 8;
constexpr uint64_t kScryptP = 5;

absl::Status BadKey(absl::string_view message) {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kBadKey, message);
}

absl::Status BadPassphrase(absl::string_view message) {
  return ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kBadKey, message);
}

// One PEM block: the label of its BEGIN line, and its bytes, wiped.
struct PemBlock {
  std::string label;
  SecretBytes der;
  bool legacy_encryption = false;  // RFC 1421 headers, as in "Proc-Type: 4,ENCRYPTED"
};

// The first block of `bio` that is a private key of any kind.
absl::StatusOr<PemBlock> ReadPrivateKeyBlock(BIO* bio) {
  while (true) {
    char* label = nullptr;
    char* headers = nullptr;
    unsigned char* data = nullptr;
    long size = 0;
    if (PEM_read_bio(bio, &label, &headers, &data, &size) != 1) {
      ERR_clear_error();
      return BadKey(
          "there is no whole PEM private key in it; make a key with `dotagent keygen` or "
          "`openssl genpkey -algorithm ed25519`");
    }
    PemBlock block{.label = label,
                   .der = SecretBytes({reinterpret_cast<const char*>(data), static_cast<size_t>(size)}),
                   .legacy_encryption = headers[0] != '\0'};
    OPENSSL_free(label);
    OPENSSL_free(headers);
    OPENSSL_clear_free(data, static_cast<size_t>(size));
    if (absl::EndsWith(block.label, "PRIVATE KEY")) {
      return block;
    }
  }
}

absl::StatusOr<Pkcs8Ptr> Decrypt(const SecretBytes& der, const std::optional<SecretBytes>& passphrase) {
  const unsigned char* at = der.data();
  const EncryptedPtr encrypted(d2i_X509_SIG(nullptr, &at, static_cast<long>(der.size())));
  if (encrypted == nullptr) {
    return BadKey(absl::StrCat("the encrypted key is damaged: ", TakeOpenSslError()));
  }
  RETURN_IF_ERROR(CheckKeyEncryption(*encrypted));
  if (!passphrase.has_value() || passphrase->size() == 0) {
    return BadPassphrase("the key is encrypted; give its passphrase");
  }
  if (passphrase->size() > kMaxPassphrase) {
    return BadPassphrase("the passphrase is over 1024 bytes; no key is encrypted with it");
  }
  Pkcs8Ptr key(PKCS8_decrypt(encrypted.get(), passphrase->view().data(), static_cast<int>(passphrase->view().size())));
  if (key == nullptr) {
    return BadPassphrase(
        absl::StrCat("the passphrase is wrong, or the encrypted key is damaged (", TakeOpenSslError(), ")"));
  }
  return key;
}

absl::StatusOr<AgentKey> KeyFromPkcs8(const PKCS8_PRIV_KEY_INFO& info) {
  const PkeyPtr pkey(EVP_PKCS82PKEY(&info));
  if (pkey == nullptr) {
    return BadKey(absl::StrCat("the private key is damaged: ", TakeOpenSslError()));
  }
  if (EVP_PKEY_get_id(pkey.get()) != EVP_PKEY_ED25519) {
    const char* const type = EVP_PKEY_get0_type_name(pkey.get());
    return BadKey(absl::StrCat("it is a key of type ", type == nullptr ? "unknown" : type,
                               "; agents and nodes need Ed25519 (`openssl genpkey -algorithm ed25519`)"));
  }
  SecretBytes seed(kSeedSize);
  size_t size = seed.size();
  if (EVP_PKEY_get_raw_private_key(pkey.get(), seed.data(), &size) != 1 || size != kSeedSize) {
    return BadKey(absl::StrCat("the Ed25519 key is damaged: ", TakeOpenSslError()));
  }
  ASSIGN_OR_RETURN(SigningKey key, SigningKey::FromSeed(seed.view()));
  return AgentKey{std::move(key), AttributesOf(info)};
}

EncryptedPtr Encrypt(PKCS8_PRIV_KEY_INFO* info, const SecretBytes& passphrase) {
  AlgorithmPtr algorithm(PKCS5_pbe2_set_scrypt(EVP_aes_256_cbc(), nullptr, 0, nullptr, kScryptN, kScryptR, kScryptP));
  CheckAlways(algorithm != nullptr, "OpenSSL cannot set up scrypt");
  EncryptedPtr encrypted(
      PKCS8_set0_pbe(passphrase.view().data(), static_cast<int>(passphrase.size()), info, algorithm.get()));
  CheckAlways(encrypted != nullptr, "OpenSSL cannot encrypt a private key");
  algorithm.release();  // now belongs to `encrypted`
  return encrypted;
}

}  // namespace

absl::StatusOr<std::string> KeyToPem(const SigningKey& key, const std::optional<SecretBytes>& passphrase,
                                     const KeyAttributes& attributes) {
  RETURN_IF_ERROR(CheckAttributes(attributes));
  if (passphrase.has_value() && (passphrase->size() == 0 || passphrase->size() > kMaxPassphrase)) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kBadKey,
                           "a passphrase has 1 to 1024 bytes; leave it out to write the key in the clear");
  }
  const PkeyPtr pkey(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, key.seed().data(), key.seed().size()));
  CheckAlways(pkey != nullptr, "OpenSSL does not take an Ed25519 key");
  const Pkcs8Ptr info(EVP_PKEY2PKCS8(pkey.get()));
  const BioPtr bio(BIO_new(BIO_s_secmem()));
  CheckAlways(info != nullptr && bio != nullptr, "OpenSSL is out of memory");
  AddAttributes(attributes, info.get());
  const int written = passphrase.has_value() ? PEM_write_bio_PKCS8(bio.get(), Encrypt(info.get(), *passphrase).get())
                                             : PEM_write_bio_PKCS8_PRIV_KEY_INFO(bio.get(), info.get());
  CheckAlways(written == 1, "OpenSSL cannot write a private key");
  return std::string(BioView(bio.get()));
}

absl::StatusOr<AgentKey> AgentKeyFromPem(absl::string_view pem, const std::optional<SecretBytes>& passphrase) {
  if (pem.size() > kMaxKeyFile) {
    return BadKey("it is over 64 KiB and so no private key");
  }
  const BioPtr bio(BIO_new_mem_buf(OpenSslBytes(pem), static_cast<int>(pem.size())));
  CheckAlways(bio != nullptr, "OpenSSL is out of memory");
  ASSIGN_OR_RETURN(const PemBlock block, ReadPrivateKeyBlock(bio.get()));
  if (block.label == "ENCRYPTED PRIVATE KEY") {
    ASSIGN_OR_RETURN(const Pkcs8Ptr info, Decrypt(block.der, passphrase));
    return KeyFromPkcs8(*info);
  }
  if (block.label != "PRIVATE KEY" || block.legacy_encryption) {
    return BadKey(absl::StrCat("it is a key in the form \"", block.label,
                               "\", not PKCS#8; make a new one with `dotagent keygen` or "
                               "`openssl genpkey -algorithm ed25519`"));
  }
  const unsigned char* at = block.der.data();
  const Pkcs8Ptr info(d2i_PKCS8_PRIV_KEY_INFO(nullptr, &at, static_cast<long>(block.der.size())));
  if (info == nullptr) {
    return BadKey(absl::StrCat("the private key is damaged: ", TakeOpenSslError()));
  }
  return KeyFromPkcs8(*info);
}

absl::StatusOr<SigningKey> KeyFromPem(absl::string_view pem, const std::optional<SecretBytes>& passphrase) {
  ASSIGN_OR_RETURN(AgentKey key, AgentKeyFromPem(pem, passphrase));
  return std::move(key.key);
}

std::string PublicKeyToPem(const PublicKey& key) {
  const PkeyPtr pkey(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, key.data(), kPublicKeySize));
  const BioPtr bio(BIO_new(BIO_s_mem()));
  CheckAlways(pkey != nullptr && bio != nullptr && PEM_write_bio_PUBKEY(bio.get(), pkey.get()) == 1,
              "OpenSSL cannot write a public key");
  return std::string(BioView(bio.get()));
}

absl::Status WriteKeyFile(const std::string& path, const SigningKey& key, const std::optional<SecretBytes>& passphrase,
                          const KeyAttributes& attributes) {
  ASSIGN_OR_RETURN(std::string pem, KeyToPem(key, passphrase, attributes));
  const absl::Cleanup wipe = [&pem] { Wipe(pem.data(), pem.size()); };
  return WriteNewPrivateFile(path, pem);
}

absl::StatusOr<SigningKey> ReadKeyFile(const std::string& path, const std::optional<SecretBytes>& passphrase) {
  ASSIGN_OR_RETURN(AgentKey key, ReadAgentKeyFile(path, passphrase));
  return std::move(key.key);
}

absl::StatusOr<AgentKey> ReadAgentKeyFile(const std::string& path, const std::optional<SecretBytes>& passphrase) {
  ASSIGN_OR_RETURN(const SecretBytes content, ReadPrivateFile(path, kMaxKeyFile));
  absl::StatusOr<AgentKey> key = AgentKeyFromPem(content.view(), passphrase);
  if (!key.ok()) {
    return WithContext(key.status(), path);
  }
  return key;
}

absl::StatusOr<SigningKey> ReadOrCreateKeyFile(const std::string& path, Random& random) {
  absl::StatusOr<SigningKey> found = ReadKeyFile(path, std::nullopt);
  if (!absl::IsNotFound(found.status())) {
    return found;
  }
  SigningKey key = SigningKey::Generate(random);
  const absl::Status written = WriteKeyFile(path, key, std::nullopt);
  if (absl::IsAlreadyExists(written)) {
    return ReadKeyFile(path, std::nullopt);  // another process was first
  }
  RETURN_IF_ERROR(written);
  return key;
}

}  // namespace dotagent::crypto
