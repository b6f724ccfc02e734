// A session with a PKCS#11 token, logged in: the calls that pkcs11_key_store.cc makes, with every answer checked.
//
// Defends against modules that answer nonsense: counts and lengths that they give are bounded before memory is taken,
// and no more is read than was asked for.
#ifndef DOTAGENT_COMMON_CRYPTO_PKCS11_SESSION_H_
#define DOTAGENT_COMMON_CRYPTO_PKCS11_SESSION_H_

#include <p11-kit/pkcs11.h>

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/crypto/key_address.h"
#include "common/crypto/pkcs11_module.h"
#include "common/crypto/secret.h"

namespace dotagent::crypto {

// What names a token, and opens it. Immutable once shared.
struct Pkcs11Place {
  std::shared_ptr<const Pkcs11Module> module;
  Pkcs11KeyAddress address;
  std::optional<SecretBytes> pin;
};

// Attributes for the calls that take them.
class Pkcs11Template {
 public:
  void Add(CK_ATTRIBUTE_TYPE type, std::string value);
  void Add(CK_ATTRIBUTE_TYPE type, CK_ULONG value);
  void AddFlag(CK_ATTRIBUTE_TYPE type, bool value);
  // Borrowed.
  void AddSecret(CK_ATTRIBUTE_TYPE type, const SecretBytes& value);

  [[nodiscard]] CK_ATTRIBUTE* data() { return attributes_.data(); }
  [[nodiscard]] CK_ULONG size() const { return attributes_.size(); }

 private:
  std::deque<std::string> values_;
  std::vector<CK_ATTRIBUTE> attributes_;
};

// Not thread-safe. The destructor closes it; the token then forgets the login with the process's last session.
class Pkcs11Session {
 public:
  // Finds the one token that the address fits, and logs in if it wants that. NotFound (KEY_STORE) if none fits, with
  // the labels of those that are there; FailedPrecondition: KEY_STORE if several do, BAD_KEY for a missing, wrong or
  // locked PIN; otherwise Unavailable (KEY_STORE). (A process that is logged in already is not asked for its PIN again;
  // so the standard has it.)
  [[nodiscard]] static absl::StatusOr<std::unique_ptr<Pkcs11Session>> Open(std::shared_ptr<const Pkcs11Place> place,
                                                                           bool writable);
  ~Pkcs11Session();
  Pkcs11Session(const Pkcs11Session&) = delete;
  Pkcs11Session& operator=(const Pkcs11Session&) = delete;

  // At most 64 objects: more are a Failure.
  [[nodiscard]] absl::StatusOr<std::vector<CK_OBJECT_HANDLE>> Find(Pkcs11Template wanted) const;
  // std::nullopt if the object has none, or does not give it out; at most 4 KiB.
  [[nodiscard]] absl::StatusOr<std::optional<std::string>> Attribute(CK_OBJECT_HANDLE object,
                                                                     CK_ATTRIBUTE_TYPE type) const;
  // Signs with CKM_EDDSA; whatever the module takes for a signature of at most 64 bytes. `answer` is the module's.
  [[nodiscard]] absl::StatusOr<std::string> Sign(CK_OBJECT_HANDLE key, absl::string_view message, CK_RV& answer) const;

  [[nodiscard]] CK_SESSION_HANDLE handle() const { return handle_; }
  [[nodiscard]] const Pkcs11Module& module() const { return *place_->module; }

 private:
  Pkcs11Session(std::shared_ptr<const Pkcs11Place> place, CK_SESSION_HANDLE handle)
      : place_(std::move(place)), handle_(handle) {}
  [[nodiscard]] absl::Status LogIn(const CK_TOKEN_INFO& token) const;

  const std::shared_ptr<const Pkcs11Place> place_;
  const CK_SESSION_HANDLE handle_;
};

}  // namespace dotagent::crypto

#endif  // DOTAGENT_COMMON_CRYPTO_PKCS11_SESSION_H_
