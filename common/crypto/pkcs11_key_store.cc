#include "common/crypto/pkcs11_key_store.h"

#include <algorithm>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "common/base/status.h"
#include "common/crypto/hash.h"
#include "common/crypto/key_store_error.h"
#include "common/crypto/pkcs11_module.h"
#include "common/crypto/pkcs11_session.h"

namespace dotagent::crypto {
namespace {

constexpr size_t kIdSize = 16;
// CKA_EC_PARAMS: the object identifier id-Ed25519; or, as 3.0 also has it, the curve's name as a PrintableString.
constexpr absl::string_view kCurveOid("\x06\x03\x2b\x65\x70", 5);
constexpr absl::string_view kCurveName(
    "\x13\x0c"
    "edwards25519",
    14);
constexpr absl::string_view kOctetString("\x04\x20", 2);
// Signed once when a key is opened: shows that the token has the key whose public half it gave.
constexpr absl::string_view kTrial("dotagent key trial v1\0", 22);

absl::Status Wrong(absl::StatusCode code, absl::string_view why, absl::string_view message) {
  return ErrorWithReason(code, why, message);
}

Pkcs11Template KeyTemplate(CK_OBJECT_CLASS object_class, const std::string& label, const std::string& id) {
  Pkcs11Template wanted;
  wanted.Add(CKA_CLASS, object_class);
  if (!label.empty()) wanted.Add(CKA_LABEL, label);
  if (!id.empty()) wanted.Add(CKA_ID, id);
  return wanted;
}

// The key's 32 bytes, in either form.
absl::StatusOr<PublicKey> KeyOfPoint(absl::string_view point) {
  if (point.size() == kOctetString.size() + kPublicKeySize && absl::StartsWith(point, kOctetString)) {
    point.remove_prefix(kOctetString.size());
  }
  return PublicKey::FromBytes(point);
}

absl::StatusOr<CK_OBJECT_HANDLE> FindPrivateKey(const Pkcs11Session& session, const Pkcs11KeyAddress& address) {
  ASSIGN_OR_RETURN(const std::vector<CK_OBJECT_HANDLE> found,
                   session.Find(KeyTemplate(CKO_PRIVATE_KEY, address.object, address.id)));
  if (found.empty()) {
    return Wrong(absl::StatusCode::kNotFound, reason::kKeyStore,
                 absl::StrCat("the token has no private key ",
                              address.object.empty() ? "with that id" : absl::StrCat("\"", address.object, "\""),
                              "; `dotagent keygen` makes one there"));
  }
  if (found.size() > 1) {
    return Wrong(
        absl::StatusCode::kFailedPrecondition, reason::kKeyStore,
        absl::StrCat("the token has ", found.size(), " private keys that fit the address; add object= or id="));
  }
  return found.front();
}

absl::StatusOr<PublicKey> FindPublicKey(const Pkcs11Session& session, CK_OBJECT_HANDLE private_key) {
  ASSIGN_OR_RETURN(const std::optional<std::string> type, session.Attribute(private_key, CKA_KEY_TYPE));
  const CK_KEY_TYPE edwards = CKK_EC_EDWARDS;
  if (type != std::string(reinterpret_cast<const char*>(&edwards), sizeof(edwards))) {
    return Wrong(absl::StatusCode::kInvalidArgument, reason::kBadKey,
                 "the token's key is of another type; agents and nodes need Ed25519 (CKK_EC_EDWARDS)");
  }
  ASSIGN_OR_RETURN(std::optional<std::string> point, session.Attribute(private_key, CKA_EC_POINT));
  if (!point || point->empty()) {
    ASSIGN_OR_RETURN(const std::optional<std::string> id, session.Attribute(private_key, CKA_ID));
    ASSIGN_OR_RETURN(const std::optional<std::string> label, session.Attribute(private_key, CKA_LABEL));
    // By the id, which PKCS#11 means for this; where a key has none, by the label.
    const bool has_id = id && !id->empty();
    ASSIGN_OR_RETURN(
        const std::vector<CK_OBJECT_HANDLE> found,
        session.Find(KeyTemplate(CKO_PUBLIC_KEY, has_id ? "" : label.value_or(""), has_id ? *id : std::string())));
    if (found.size() != 1) {
      return Wrong(absl::StatusCode::kFailedPrecondition, reason::kKeyStore,
                   absl::StrCat("the token has ", found.size(),
                                " public keys that belong to the private one; there must be one"));
    }
    ASSIGN_OR_RETURN(point, session.Attribute(found.front(), CKA_EC_POINT));
  }
  const absl::StatusOr<PublicKey> key = KeyOfPoint(point.value_or(""));
  return key.ok() ? key : WithContext(key.status(), "the token's public key (Ed448 is none of ours)");
}

// Signs inside the token. One session, used by one thread at a time; opened anew if the token has lost it.
class Pkcs11Signer : public Signer {
 public:
  static absl::StatusOr<std::shared_ptr<const Signer>> Open(std::shared_ptr<const Pkcs11Place> place) {
    ASSIGN_OR_RETURN(std::unique_ptr<Pkcs11Session> session, Pkcs11Session::Open(place, false));
    ASSIGN_OR_RETURN(const CK_OBJECT_HANDLE key, FindPrivateKey(*session, place->address));
    ASSIGN_OR_RETURN(const PublicKey public_key, FindPublicKey(*session, key));
    std::shared_ptr<Pkcs11Signer> signer(new Pkcs11Signer(std::move(place), public_key, std::move(session), key));
    RETURN_IF_ERROR(signer->Sign(kTrial).status());
    return std::shared_ptr<const Signer>(std::move(signer));
  }

  [[nodiscard]] const PublicKey& public_key() const override { return public_key_; }

  [[nodiscard]] absl::StatusOr<std::string> Sign(absl::string_view message) const override {
    const absl::MutexLock lock(&mutex_);
    CK_RV answer = CKR_OK;
    absl::StatusOr<std::string> signature = TrySign(message, answer);
    // Once: a token that was pulled out and put back, or a server that was started anew.
    if (!signature.ok() && IsLostSession(answer)) signature = TrySign(message, answer);
    RETURN_IF_ERROR(signature.status());
    if (!Verify(public_key_, message, *signature).ok()) {
      session_.reset();
      return place_->module->Failure("made a signature that does not verify; nothing was given out");
    }
    return signature;
  }

 private:
  Pkcs11Signer(std::shared_ptr<const Pkcs11Place> place, const PublicKey& public_key,
               std::unique_ptr<Pkcs11Session> session, CK_OBJECT_HANDLE key)
      : place_(std::move(place)), public_key_(public_key), session_(std::move(session)), key_(key) {}

  absl::StatusOr<std::string> TrySign(absl::string_view message, CK_RV& answer) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    answer = CKR_OK;
    if (session_ == nullptr) {
      ASSIGN_OR_RETURN(session_, Pkcs11Session::Open(place_, false));
      ASSIGN_OR_RETURN(key_, FindPrivateKey(*session_, place_->address));
    }
    absl::StatusOr<std::string> signature = session_->Sign(key_, message, answer);
    // An operation may still be under way in it.
    if (!signature.ok()) session_.reset();
    return signature;
  }

  const std::shared_ptr<const Pkcs11Place> place_;
  const PublicKey public_key_;
  mutable absl::Mutex mutex_;
  mutable std::unique_ptr<Pkcs11Session> session_ ABSL_GUARDED_BY(mutex_);
  mutable CK_OBJECT_HANDLE key_ ABSL_GUARDED_BY(mutex_);
};

void AddPublicAttributes(const std::string& curve, Pkcs11Template& attributes) {
  attributes.Add(CKA_KEY_TYPE, CKK_EC_EDWARDS);
  attributes.AddFlag(CKA_TOKEN, true);
  attributes.AddFlag(CKA_PRIVATE, false);
  attributes.AddFlag(CKA_VERIFY, true);
  attributes.Add(CKA_EC_PARAMS, curve);
}

void AddPrivateAttributes(Pkcs11Template& attributes) {
  attributes.Add(CKA_KEY_TYPE, CKK_EC_EDWARDS);
  attributes.AddFlag(CKA_TOKEN, true);
  attributes.AddFlag(CKA_PRIVATE, true);
  attributes.AddFlag(CKA_SENSITIVE, true);
  attributes.AddFlag(CKA_EXTRACTABLE, false);
  attributes.AddFlag(CKA_SIGN, true);
}

class Pkcs11KeyStore : public KeyStore {
 public:
  explicit Pkcs11KeyStore(std::shared_ptr<const Pkcs11Place> place) : place_(std::move(place)) {}

  absl::StatusOr<StoredKey> Open() override {
    ASSIGN_OR_RETURN(std::shared_ptr<const Signer> signer, Pkcs11Signer::Open(place_));
    return StoredKey{.signer = std::move(signer), .secret = nullptr, .attributes = {}};
  }

  absl::StatusOr<StoredKey> Generate(const KeyAttributes& attributes, Random& random) override {
    const std::string id = place_->address.id.empty() ? random.Bytes(kIdSize) : place_->address.id;
    return Put(attributes, id, [&](const Pkcs11Session& session, const std::string& curve) {
      Pkcs11Template open = KeyTemplate(CKO_PUBLIC_KEY, place_->address.object, id);
      AddPublicAttributes(curve, open);
      Pkcs11Template secret = KeyTemplate(CKO_PRIVATE_KEY, place_->address.object, id);
      AddPrivateAttributes(secret);
      CK_MECHANISM mechanism{CKM_EC_EDWARDS_KEY_PAIR_GEN, nullptr, 0};
      CK_OBJECT_HANDLE handles[2] = {};
      return std::pair(session.module()->C_GenerateKeyPair(session.handle(), &mechanism, open.data(), open.size(),
                                                           secret.data(), secret.size(), &handles[0], &handles[1]),
                       "C_GenerateKeyPair");
    });
  }

  absl::StatusOr<StoredKey> Import(const SigningKey& key, const KeyAttributes& attributes) override {
    const std::string id =
        place_->address.id.empty() ? Sha256(key.public_key().bytes()).substr(0, kIdSize) : place_->address.id;
    return Put(attributes, id, [&](const Pkcs11Session& session, const std::string& curve) {
      Pkcs11Template secret = KeyTemplate(CKO_PRIVATE_KEY, place_->address.object, id);
      AddPrivateAttributes(secret);
      secret.Add(CKA_EC_PARAMS, curve);
      secret.AddSecret(CKA_VALUE, key.seed());
      CK_OBJECT_HANDLE handle = 0;
      CK_RV answer = session.module()->C_CreateObject(session.handle(), secret.data(), secret.size(), &handle);
      if (answer != CKR_OK) return std::pair(answer, "C_CreateObject");
      Pkcs11Template open = KeyTemplate(CKO_PUBLIC_KEY, place_->address.object, id);
      AddPublicAttributes(curve, open);
      open.Add(CKA_EC_POINT, absl::StrCat(kOctetString, key.public_key().bytes()));
      answer = session.module()->C_CreateObject(session.handle(), open.data(), open.size(), &handle);
      return std::pair(answer, "C_CreateObject");
    });
  }

 private:
  // Makes what `create` makes under the address's label and the id, with the curve as the module wants it named, and
  // opens it. What fails half-way is taken back: a private key without its public half would only be in the way of the
  // next attempt.
  template <typename Create>
  absl::StatusOr<StoredKey> Put(const KeyAttributes& attributes, const std::string& id, const Create& create) {
    if (attributes != KeyAttributes()) {
      return Wrong(absl::StatusCode::kInvalidArgument, reason::kBadKey,
                   "a token keeps no agent id and no name with a key; leave them out");
    }
    if (place_->address.object.empty()) {
      return Wrong(absl::StatusCode::kInvalidArgument, reason::kBadKey,
                   "to make a key in a token, its address needs object=, the key's label");
    }
    {
      ASSIGN_OR_RETURN(const std::unique_ptr<Pkcs11Session> session, Pkcs11Session::Open(place_, true));
      ASSIGN_OR_RETURN(const std::vector<CK_OBJECT_HANDLE> there,
                       session->Find(KeyTemplate(CKO_PRIVATE_KEY, place_->address.object, place_->address.id)));
      if (!there.empty()) {
        return Wrong(absl::StatusCode::kAlreadyExists, reason::kKeyStore,
                     absl::StrCat("the token has a key \"", place_->address.object,
                                  "\"; a key is never overwritten: choose another label"));
      }
      ASSIGN_OR_RETURN(const std::vector<CK_OBJECT_HANDLE> others,
                       session->Find(KeyTemplate(CKO_PUBLIC_KEY, place_->address.object, id)));
      auto [answer, function] = create(*session, std::string(kCurveOid));
      if (answer == CKR_ATTRIBUTE_VALUE_INVALID || answer == CKR_DOMAIN_PARAMS_INVALID ||
          answer == CKR_TEMPLATE_INCONSISTENT) {
        RETURN_IF_ERROR(TakeBack(*session, id, others));
        std::tie(answer, function) = create(*session, std::string(kCurveName));
      }
      if (answer != CKR_OK) return Failed(place_->module->Check(answer, function), TakeBack(*session, id, others));
    }
    absl::StatusOr<StoredKey> key = Open();
    if (key.ok()) return key;
    return WithContext(key.status(), absl::StrCat("the token has the new key \"", place_->address.object,
                                                  "\", which could not be opened"));
  }

  // Destroys what there is under the label and the id, but for the `others` that were there before.
  absl::Status TakeBack(const Pkcs11Session& session, const std::string& id,
                        const std::vector<CK_OBJECT_HANDLE>& others) const {
    for (const CK_OBJECT_CLASS half : {CKO_PRIVATE_KEY, CKO_PUBLIC_KEY}) {
      ASSIGN_OR_RETURN(const std::vector<CK_OBJECT_HANDLE> found,
                       session.Find(KeyTemplate(half, place_->address.object, id)));
      for (const CK_OBJECT_HANDLE object : found) {
        if (std::find(others.begin(), others.end(), object) != others.end()) continue;
        RETURN_IF_ERROR(
            place_->module->Check(session.module()->C_DestroyObject(session.handle(), object), "C_DestroyObject"));
      }
    }
    return absl::OkStatus();
  }

  // The error of an attempt, and what it has left.
  absl::Status Failed(const absl::Status& error, const absl::Status& taken_back) const {
    if (taken_back.ok()) return error;
    return ErrorWithReason(error.code(), ReasonOf(error),
                           absl::StrCat(error.message(), "; half a key \"", place_->address.object,
                                        "\" may be left in the token, delete it with the token's own tools before you "
                                        "try again (",
                                        taken_back.message(), ")"));
  }

  const std::shared_ptr<const Pkcs11Place> place_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<KeyStore>> OpenPkcs11KeyStore(const Pkcs11KeyAddress& address,
                                                             std::optional<SecretBytes> pin) {
  auto place = std::make_shared<Pkcs11Place>();
  ASSIGN_OR_RETURN(place->module, Pkcs11Module::Load(address.module_path));
  place->address = address;
  place->pin = std::move(pin);
  return std::make_unique<Pkcs11KeyStore>(std::move(place));
}

}  // namespace dotagent::crypto
