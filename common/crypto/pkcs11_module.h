// PKCS#11 modules (OASIS PKCS #11 2.40; EdDSA as in 3.0): loading one, and what it answers in words.
//
// A module is a library that a vendor wrote, runs in this process and keeps its state there, once a process: so they
// are counted here, initialized for their first user and finalized after their last. They are never unloaded: some
// leave threads or exit handlers behind. p11-kit's headers, none of its code (docs/adr/0016).
//
// Does not defend against a module that hangs or crashes: its code is this process's.
#ifndef DOTAGENT_COMMON_CRYPTO_PKCS11_MODULE_H_
#define DOTAGENT_COMMON_CRYPTO_PKCS11_MODULE_H_

#include <p11-kit/pkcs11.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace dotagent::crypto {

// Thread-safe: the module is told to lock.
class Pkcs11Module {
 public:
  // An absolute path, or empty for p11-kit's proxy. Unavailable (KEY_STORE) if it cannot be loaded, is no module, lacks
  // a function or does not start: says which.
  [[nodiscard]] static absl::StatusOr<std::shared_ptr<const Pkcs11Module>> Load(const std::string& path);
  ~Pkcs11Module();
  Pkcs11Module(const Pkcs11Module&) = delete;
  Pkcs11Module& operator=(const Pkcs11Module&) = delete;

  [[nodiscard]] const CK_FUNCTION_LIST& operator*() const { return *functions_; }
  [[nodiscard]] const CK_FUNCTION_LIST* operator->() const { return functions_; }
  [[nodiscard]] const std::string& path() const { return path_; }

  // OK, or Unavailable (KEY_STORE): "the PKCS#11 module PATH failed in C_Sign: CKR_DEVICE_ERROR".
  [[nodiscard]] absl::Status Check(CK_RV answer, absl::string_view function) const;
  // Unavailable (KEY_STORE) with the module's path before it.
  [[nodiscard]] absl::Status Failure(absl::string_view message) const;

 private:
  Pkcs11Module(std::string path, void* handle, CK_FUNCTION_LIST* functions)
      : path_(std::move(path)), handle_(handle), functions_(functions) {}
  const std::string path_;
  void* const handle_;
  CK_FUNCTION_LIST* const functions_;
};

// "CKR_PIN_INCORRECT"; a number for what the standard does not name.
[[nodiscard]] std::string Pkcs11AnswerName(CK_RV answer);

// The token went away, or the session did: opening a new session may help.
[[nodiscard]] bool IsLostSession(CK_RV answer);

}  // namespace dotagent::crypto

#endif  // DOTAGENT_COMMON_CRYPTO_PKCS11_MODULE_H_
