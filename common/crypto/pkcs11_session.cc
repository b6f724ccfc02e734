#include "common/crypto/pkcs11_session.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status.h"
#include "common/crypto/key_store_error.h"
#include "common/crypto/keys.h"

namespace dotagent::crypto {
namespace {

constexpr CK_ULONG kMaxSlots = 1024;
constexpr size_t kMaxObjects = 64;
constexpr CK_ULONG kMaxAttribute = 4096;

absl::Status Wrong(absl::StatusCode code, absl::string_view why, absl::string_view message) {
  return ErrorWithReason(code, why, message);
}

CK_BYTE* Bytes(absl::string_view view) {
  // PKCS#11 takes what it only reads as non-const.
  return reinterpret_cast<CK_BYTE*>(const_cast<char*>(view.data()));  // NOLINT(cppcoreguidelines-pro-type-const-cast)
}

// Fields of a token are padded with spaces, and end with no zero byte.
template <size_t kSize>
std::string Field(const unsigned char (&field)[kSize]) {
  return std::string(
      absl::StripTrailingAsciiWhitespace(absl::string_view(reinterpret_cast<const char*>(std::data(field)), kSize)));
}

bool Fits(const Pkcs11KeyAddress& address, CK_SLOT_ID slot, const CK_TOKEN_INFO& token) {
  const auto same = [](const std::string& wanted, const std::string& is) { return wanted.empty() || wanted == is; };
  return same(address.token, Field(token.label)) && same(address.manufacturer, Field(token.manufacturerID)) &&
         same(address.model, Field(token.model)) && same(address.serial, Field(token.serialNumber)) &&
         (!address.slot_id || *address.slot_id == slot);
}

absl::StatusOr<std::vector<CK_SLOT_ID>> SlotsWithTokens(const Pkcs11Module& module) {
  CK_ULONG count = 0;
  RETURN_IF_ERROR(module.Check(module->C_GetSlotList(CK_TRUE, nullptr, &count), "C_GetSlotList"));
  if (count > kMaxSlots) return module.Failure(absl::StrCat("says that it has ", count, " tokens"));
  std::vector<CK_SLOT_ID> slots(count + 8);  // room for tokens that come meanwhile
  count = slots.size();
  RETURN_IF_ERROR(module.Check(module->C_GetSlotList(CK_TRUE, slots.data(), &count), "C_GetSlotList"));
  if (count > slots.size()) return module.Failure("gave more slots than it was asked for");
  slots.resize(count);
  return slots;
}

struct FoundToken {
  CK_SLOT_ID slot;
  CK_TOKEN_INFO info;
};
absl::StatusOr<FoundToken> FindToken(const Pkcs11Place& place) {
  const Pkcs11Module& module = *place.module;
  ASSIGN_OR_RETURN(const std::vector<CK_SLOT_ID> slots, SlotsWithTokens(module));
  std::vector<FoundToken> fitting;
  std::vector<std::string> others;
  for (const CK_SLOT_ID slot : slots) {
    CK_TOKEN_INFO info{};
    const CK_RV answer = module->C_GetTokenInfo(slot, &info);
    if (answer == CKR_TOKEN_NOT_PRESENT || answer == CKR_TOKEN_NOT_RECOGNIZED) continue;
    RETURN_IF_ERROR(module.Check(answer, "C_GetTokenInfo"));
    if ((info.flags & CKF_TOKEN_INITIALIZED) == 0) continue;
    if (Fits(place.address, slot, info)) {
      fitting.push_back({slot, info});
    } else {
      others.push_back(absl::StrCat("\"", Field(info.label), "\""));
    }
  }
  if (fitting.empty()) {
    return Wrong(absl::StatusCode::kNotFound, reason::kKeyStore,
                 absl::StrCat("the PKCS#11 module ", module.path(), " has no token that fits the address; it has ",
                              others.empty() ? "none at all" : absl::StrJoin(others, ", ")));
  }
  if (fitting.size() > 1) {
    return Wrong(absl::StatusCode::kFailedPrecondition, reason::kKeyStore,
                 absl::StrCat(fitting.size(), " tokens of the PKCS#11 module ", module.path(),
                              " fit the address; add token=, serial= or slot-id="));
  }
  return fitting.front();
}

}  // namespace

void Pkcs11Template::Add(CK_ATTRIBUTE_TYPE type, std::string value) {
  std::string& kept = values_.emplace_back(std::move(value));
  attributes_.push_back({type, kept.data(), kept.size()});
}

void Pkcs11Template::Add(CK_ATTRIBUTE_TYPE type, CK_ULONG value) {
  Add(type, std::string(reinterpret_cast<const char*>(&value), sizeof(value)));
}

void Pkcs11Template::AddFlag(CK_ATTRIBUTE_TYPE type, bool value) {
  Add(type, std::string(1, static_cast<char>(value ? CK_TRUE : CK_FALSE)));
}

void Pkcs11Template::AddSecret(CK_ATTRIBUTE_TYPE type, const SecretBytes& value) {
  attributes_.push_back({type, Bytes(value.view()), value.size()});
}

absl::StatusOr<std::unique_ptr<Pkcs11Session>> Pkcs11Session::Open(std::shared_ptr<const Pkcs11Place> place,
                                                                   bool writable) {
  const Pkcs11Module& module = *place->module;
  ASSIGN_OR_RETURN(const FoundToken token, FindToken(*place));
  CK_SESSION_HANDLE handle = 0;
  const CK_FLAGS flags = CKF_SERIAL_SESSION | (writable ? CKF_RW_SESSION : 0);
  RETURN_IF_ERROR(module.Check(module->C_OpenSession(token.slot, flags, nullptr, nullptr, &handle), "C_OpenSession"));
  std::unique_ptr<Pkcs11Session> session(new Pkcs11Session(std::move(place), handle));
  RETURN_IF_ERROR(session->LogIn(token.info));
  return session;
}

Pkcs11Session::~Pkcs11Session() { module()->C_CloseSession(handle_); }

absl::Status Pkcs11Session::LogIn(const CK_TOKEN_INFO& token) const {
  if ((token.flags & CKF_LOGIN_REQUIRED) == 0) return absl::OkStatus();
  const bool pad = (token.flags & CKF_PROTECTED_AUTHENTICATION_PATH) != 0;
  const std::string name = Field(token.label);
  if (!place_->pin && !pad) {
    return Wrong(absl::StatusCode::kFailedPrecondition, reason::kBadKey,
                 absl::StrCat("the token \"", name, "\" needs a PIN; give it as the passphrase, or with pin-source="));
  }
  const absl::string_view pin = place_->pin ? place_->pin->view() : absl::string_view();
  const CK_RV answer = place_->pin ? module()->C_Login(handle_, CKU_USER, Bytes(pin), pin.size())
                                   : module()->C_Login(handle_, CKU_USER, nullptr, 0);
  switch (answer) {
    case CKR_USER_ALREADY_LOGGED_IN:
      return absl::OkStatus();
    case CKR_PIN_INCORRECT:
    case CKR_PIN_INVALID:
    case CKR_PIN_LEN_RANGE:
      return Wrong(absl::StatusCode::kFailedPrecondition, reason::kBadKey,
                   absl::StrCat("the PIN of the token \"", name, "\" is wrong",
                                (token.flags & CKF_USER_PIN_FINAL_TRY) != 0 ? "; that was the last try" : ""));
    case CKR_PIN_LOCKED:
      return Wrong(absl::StatusCode::kFailedPrecondition, reason::kBadKey,
                   absl::StrCat("the PIN of the token \"", name,
                                "\" is locked after too many wrong ones; its security officer can set a new one"));
    default:
      return module().Check(answer, "C_Login");
  }
}

absl::StatusOr<std::vector<CK_OBJECT_HANDLE>> Pkcs11Session::Find(Pkcs11Template wanted) const {
  RETURN_IF_ERROR(
      module().Check(module()->C_FindObjectsInit(handle_, wanted.data(), wanted.size()), "C_FindObjectsInit"));
  std::vector<CK_OBJECT_HANDLE> found;
  absl::Status failed;
  while (failed.ok()) {
    std::array<CK_OBJECT_HANDLE, 16> batch{};
    CK_ULONG count = 0;
    failed = module().Check(module()->C_FindObjects(handle_, batch.data(), batch.size(), &count), "C_FindObjects");
    if (!failed.ok() || count == 0) break;
    if (count > batch.size() || found.size() + count > kMaxObjects) {
      failed = module().Failure("found more objects than it was asked for, or more than 64 that fit the address");
      break;
    }
    found.insert(found.end(), batch.begin(), batch.begin() + count);
  }
  const CK_RV ended = module()->C_FindObjectsFinal(handle_);
  RETURN_IF_ERROR(failed);
  RETURN_IF_ERROR(module().Check(ended, "C_FindObjectsFinal"));
  return found;
}

absl::StatusOr<std::optional<std::string>> Pkcs11Session::Attribute(CK_OBJECT_HANDLE object,
                                                                    CK_ATTRIBUTE_TYPE type) const {
  CK_ATTRIBUTE attribute{type, nullptr, 0};
  CK_RV answer = module()->C_GetAttributeValue(handle_, object, &attribute, 1);
  if (answer == CKR_ATTRIBUTE_TYPE_INVALID || answer == CKR_ATTRIBUTE_SENSITIVE ||
      (answer == CKR_OK && attribute.ulValueLen == CK_UNAVAILABLE_INFORMATION)) {
    return std::optional<std::string>();
  }
  RETURN_IF_ERROR(module().Check(answer, "C_GetAttributeValue"));
  if (attribute.ulValueLen > kMaxAttribute) return module().Failure("gave an attribute of over 4 KiB");
  std::string value(attribute.ulValueLen, '\0');
  attribute.pValue = value.data();
  answer = module()->C_GetAttributeValue(handle_, object, &attribute, 1);
  RETURN_IF_ERROR(module().Check(answer, "C_GetAttributeValue"));
  if (attribute.ulValueLen > value.size()) return module().Failure("gave an attribute of two lengths");
  value.resize(attribute.ulValueLen);
  return std::optional<std::string>(std::move(value));
}

absl::StatusOr<std::string> Pkcs11Session::Sign(CK_OBJECT_HANDLE key, absl::string_view message, CK_RV& answer) const {
  CK_MECHANISM mechanism{CKM_EDDSA, nullptr, 0};
  answer = module()->C_SignInit(handle_, &mechanism, key);
  RETURN_IF_ERROR(module().Check(answer, "C_SignInit"));
  std::string signature(kSignatureSize, '\0');
  CK_ULONG size = signature.size();
  answer =
      module()->C_Sign(handle_, Bytes(message), message.size(), reinterpret_cast<CK_BYTE*>(signature.data()), &size);
  RETURN_IF_ERROR(module().Check(answer, "C_Sign"));
  if (size != kSignatureSize) return module().Failure(absl::StrCat("made a signature of ", size, " bytes, not of 64"));
  return signature;
}

}  // namespace dotagent::crypto
