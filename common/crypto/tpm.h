// A TPM 2.0, to seal 32 bytes to it and get them back, through tpm2-tss, which is loaded when it is used
// (docs/adr/0016).
//
// What is sealed only this TPM opens, under a storage key that it derives from its owner's seed (TCG's template for
// P-256 primary keys): another machine cannot, nor this one after its TPM was cleared. On the way between chip and
// processor it is encrypted (a salted HMAC session, AES-128-CFB), which defends against who listens on the bus, not
// against who sits in it. A password slows guessing down: the TPM locks itself after some wrong ones.
//
//   ASSIGN_OR_RETURN(auto tpm, Tpm::Connect("device:/dev/tpmrm0"));
//   ASSIGN_OR_RETURN(TpmKeyFile file, tpm->Seal(seed, password));
//   ASSIGN_OR_RETURN(SecretBytes again, tpm->Unseal(file, password));
#ifndef DOTAGENT_COMMON_CRYPTO_TPM_H_
#define DOTAGENT_COMMON_CRYPTO_TPM_H_

#include <cstddef>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "common/crypto/secret.h"
#include "common/crypto/tpm_key_file.h"

namespace dotagent::crypto {

inline constexpr size_t kMaxTpmPassword = 32;  // bytes: of SHA-256, the TPM's own limit

// tpm2-tss writes to standard error what it also returns. For main(), before there are threads; TSS2_LOG still decides.
void SilenceTpmLibrary();

// A connection. Not thread-safe. A call takes milliseconds to a second, as the chip does.
class Tpm {
 public:
  // `tcti`: how to reach it, in tpm2-tss's words; empty: what that finds by itself. Unavailable (KEY_STORE) if tpm2-tss
  // is not installed, or no TPM answers there.
  [[nodiscard]] static absl::StatusOr<std::unique_ptr<Tpm>> Connect(const std::string& tcti);
  ~Tpm();
  Tpm(const Tpm&) = delete;
  Tpm& operator=(const Tpm&) = delete;

  // `secret`: 1 to 128 bytes. InvalidArgument (BAD_KEY) for a password of over 32 bytes; Unavailable (KEY_STORE) if the
  // TPM fails.
  [[nodiscard]] absl::StatusOr<TpmKeyFile> Seal(const SecretBytes& secret, const std::optional<SecretBytes>& password);
  // FailedPrecondition (BAD_KEY): the password is missing or wrong, the TPM has locked itself, or another TPM sealed
  // it.
  [[nodiscard]] absl::StatusOr<SecretBytes> Unseal(const TpmKeyFile& file, const std::optional<SecretBytes>& password);

 private:
  struct Impl;
  explicit Tpm(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

}  // namespace dotagent::crypto

#endif  // DOTAGENT_COMMON_CRYPTO_TPM_H_
