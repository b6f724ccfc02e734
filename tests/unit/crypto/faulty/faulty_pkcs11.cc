// A PKCS#11 module with one token and one Ed25519 key, label "key", PIN "1234", that fails as it is told to. It keeps
// the keys that are made in it, and what each of their halves was made with.
#include "faulty_pkcs11.h"

#include <p11-kit/pkcs11.h>
#include <sodium.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

using dotagent::crypto::FaultyCounts;
using dotagent::crypto::FaultyLie;
using dotagent::crypto::FaultyPlan;

constexpr CK_OBJECT_HANDLE kPrivate = 1;
constexpr CK_OBJECT_HANDLE kPublic = 2;
constexpr CK_OBJECT_HANDLE kFirstMade = 100;

// The half of a key, by its attributes.
using Object = std::map<CK_ATTRIBUTE_TYPE, std::string>;

struct State {
  std::mutex mutex;
  FaultyPlan plan;
  std::string function;
  int calls = 0;
  int initialized = 0;
  CK_SESSION_HANDLE next_session = 1;
  std::set<CK_SESSION_HANDLE> sessions;
  std::set<CK_SESSION_HANDLE> used;
  std::map<CK_OBJECT_HANDLE, Object> made;
  CK_OBJECT_HANDLE next_object = kFirstMade;
  std::vector<CK_OBJECT_HANDLE> found;  // that C_FindObjects has still to give
  CK_OBJECT_HANDLE signs = 0;
};
State& Get() {
  static State state;
  return state;
}

bool Lies(FaultyLie lie) { return Get().plan.lie == lie; }

// The planned answer if `function` is the one that fails now.
CK_RV Planned(std::string_view function) {
  State& state = Get();
  if (state.function != function) return CKR_OK;
  return state.calls++ < state.plan.calls_before ? CKR_OK : state.plan.answer;
}

struct KeyPair {
  std::array<unsigned char, 32> open;
  std::array<unsigned char, 64> secret;
};
KeyPair MakeKey(unsigned char seed) {
  KeyPair key;
  std::array<unsigned char, 32> bytes;
  bytes.fill(seed);
  crypto_sign_seed_keypair(key.open.data(), key.secret.data(), bytes.data());
  return key;
}

KeyPair FromSeed(std::string_view seed) {
  KeyPair key;
  crypto_sign_seed_keypair(key.open.data(), key.secret.data(), reinterpret_cast<const unsigned char*>(seed.data()));
  return key;
}

template <typename T>
std::string BytesOf(const T& value) {
  return {reinterpret_cast<const char*>(&value), sizeof(value)};
}

std::string PublicPoint();

// The halves of the key that is always there.
Object FixedHalf(CK_OBJECT_HANDLE object) {
  Object half = {{CKA_CLASS, BytesOf(CK_OBJECT_CLASS{object == kPrivate ? CKO_PRIVATE_KEY : CKO_PUBLIC_KEY})},
                 {CKA_KEY_TYPE, BytesOf(CK_KEY_TYPE{Lies(FaultyLie::kOtherKeyType) ? CKK_RSA : CKK_EC_EDWARDS})},
                 {CKA_ID, "id"},
                 {CKA_LABEL, "key"}};
  if (object == kPublic) half[CKA_EC_POINT] = PublicPoint();
  return half;
}
std::map<CK_OBJECT_HANDLE, Object> AllHalves() {
  std::map<CK_OBJECT_HANDLE, Object> all = Get().made;
  for (const CK_OBJECT_HANDLE object : {kPrivate, kPublic}) all[object] = FixedHalf(object);
  return all;
}

Object FromTemplate(const CK_ATTRIBUTE* attributes, CK_ULONG count) {
  Object half;
  for (CK_ULONG i = 0; i < count; ++i) {
    half[attributes[i].type].assign(static_cast<const char*>(attributes[i].pValue), attributes[i].ulValueLen);
  }
  return half;
}
CK_OBJECT_HANDLE Keep(Object half) {
  Get().made[Get().next_object] = std::move(half);
  return Get().next_object++;
}

#define FAULTY_ENTER(name)                             \
  const std::lock_guard<std::mutex> lock(Get().mutex); \
  if (const CK_RV planned = Planned(name); planned != CKR_OK) return planned

CK_RV Initialize(void*) {
  FAULTY_ENTER("C_Initialize");
  if (Get().initialized > 0) return CKR_CRYPTOKI_ALREADY_INITIALIZED;
  ++Get().initialized;
  return sodium_init() < 0 ? CKR_GENERAL_ERROR : CKR_OK;
}
CK_RV Finalize(void*) {
  FAULTY_ENTER("C_Finalize");
  --Get().initialized;
  return CKR_OK;
}
CK_RV GetSlotList(CK_BBOOL, CK_SLOT_ID* slots, CK_ULONG* count) {
  FAULTY_ENTER("C_GetSlotList");
  if (slots != nullptr && *count >= 1) slots[0] = 7;
  *count = Lies(FaultyLie::kBillionSlots) ? 1'000'000'000 : 1;
  if (slots != nullptr && Lies(FaultyLie::kMoreSlots)) *count = 1000;
  return CKR_OK;
}
CK_RV GetTokenInfo(CK_SLOT_ID, CK_TOKEN_INFO* info) {
  FAULTY_ENTER("C_GetTokenInfo");
  std::memset(info, ' ', sizeof(*info));
  std::memcpy(info->label, "faulty", 6);
  info->flags = CKF_TOKEN_INITIALIZED | CKF_LOGIN_REQUIRED;
  return CKR_OK;
}
CK_RV OpenSession(CK_SLOT_ID, CK_FLAGS, void*, CK_NOTIFY, CK_SESSION_HANDLE* session) {
  FAULTY_ENTER("C_OpenSession");
  *session = Get().next_session++;
  Get().sessions.insert(*session);
  return CKR_OK;
}
CK_RV CloseSession(CK_SESSION_HANDLE session) {
  FAULTY_ENTER("C_CloseSession");
  return Get().sessions.erase(session) == 1 ? CKR_OK : CKR_SESSION_HANDLE_INVALID;
}
CK_RV Login(CK_SESSION_HANDLE, CK_USER_TYPE, unsigned char* pin, CK_ULONG size) {
  FAULTY_ENTER("C_Login");
  return std::string_view(reinterpret_cast<char*>(pin), size) == "1234" ? CKR_OK : CKR_PIN_INCORRECT;
}
CK_RV FindObjectsInit(CK_SESSION_HANDLE, CK_ATTRIBUTE* attributes, CK_ULONG count) {
  FAULTY_ENTER("C_FindObjectsInit");
  const Object wanted = FromTemplate(attributes, count);
  Get().found.clear();
  for (const auto& [handle, half] : AllHalves()) {
    const bool fits = std::all_of(wanted.begin(), wanted.end(), [&half = half](const auto& attribute) {
      const auto held = half.find(attribute.first);
      return held != half.end() && held->second == attribute.second;
    });
    if (fits) Get().found.push_back(handle);
  }
  return CKR_OK;
}
CK_RV FindObjects(CK_SESSION_HANDLE, CK_OBJECT_HANDLE* objects, CK_ULONG max, CK_ULONG* count) {
  FAULTY_ENTER("C_FindObjects");
  if (Lies(FaultyLie::kEndlessObjects)) {
    std::fill_n(objects, max, kPrivate);
    *count = max;
    return CKR_OK;
  }
  std::vector<CK_OBJECT_HANDLE>& found = Get().found;
  *count = std::min<CK_ULONG>(max, found.size());
  std::copy_n(found.begin(), *count, objects);
  found.erase(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(*count));
  if (Lies(FaultyLie::kMoreObjects)) *count = 100'000;
  return CKR_OK;
}
CK_RV FindObjectsFinal(CK_SESSION_HANDLE) {
  FAULTY_ENTER("C_FindObjectsFinal");
  return CKR_OK;
}

std::string PublicPoint() {
  KeyPair key = MakeKey(Lies(FaultyLie::kOtherPublicKey) ? 2 : 1);
  if (Lies(FaultyLie::kSmallOrderKey)) {
    key.open.fill(0);
    key.open[0] = 1;
  }
  const std::string raw(key.open.begin(), key.open.end());
  return Lies(FaultyLie::kRawPoint) ? raw : std::string("\x04\x20") + raw;
}
CK_RV GetAttributeValue(CK_SESSION_HANDLE, CK_OBJECT_HANDLE object, CK_ATTRIBUTE* attribute, CK_ULONG) {
  FAULTY_ENTER("C_GetAttributeValue");
  const std::map<CK_OBJECT_HANDLE, Object> all = AllHalves();
  const auto half = all.find(object);
  if (half == all.end()) return CKR_OBJECT_HANDLE_INVALID;
  const auto held = half->second.find(attribute->type);
  if (held == half->second.end() || attribute->type == CKA_VALUE) {
    attribute->ulValueLen = CK_UNAVAILABLE_INFORMATION;
    return CKR_ATTRIBUTE_TYPE_INVALID;
  }
  const std::string& value = held->second;
  if (attribute->pValue != nullptr) std::memcpy(attribute->pValue, value.data(), value.size());
  attribute->ulValueLen = value.size();
  if (Lies(FaultyLie::kHugeAttribute)) attribute->ulValueLen = CK_ULONG{1} << 60;
  if (Lies(FaultyLie::kGrowingAttribute) && attribute->pValue != nullptr) attribute->ulValueLen += 1000;
  return CKR_OK;
}
CK_RV SignInit(CK_SESSION_HANDLE session, CK_MECHANISM*, CK_OBJECT_HANDLE key) {
  FAULTY_ENTER("C_SignInit");
  if (!Get().sessions.contains(session)) return CKR_SESSION_HANDLE_INVALID;
  if (Lies(FaultyLie::kSessionsDie) && !Get().used.insert(session).second) return CKR_SESSION_HANDLE_INVALID;
  Get().signs = key;
  return CKR_OK;
}
CK_RV Sign(CK_SESSION_HANDLE, unsigned char* data, CK_ULONG size, unsigned char* signature, CK_ULONG* signature_size) {
  FAULTY_ENTER("C_Sign");
  const auto made = Get().made.find(Get().signs);
  const KeyPair key = made == Get().made.end() ? MakeKey(1) : FromSeed(made->second[CKA_VALUE]);
  crypto_sign_detached(signature, nullptr, data, size, key.secret.data());
  *signature_size = 64;
  if (Lies(FaultyLie::kShortSignature)) *signature_size = 63;
  if (Lies(FaultyLie::kLongSignature)) *signature_size = 1000;
  if (Lies(FaultyLie::kWrongSignature)) signature[10] ^= 4;
  return CKR_OK;
}
CK_RV GenerateKeyPair(CK_SESSION_HANDLE, CK_MECHANISM*, CK_ATTRIBUTE* open, CK_ULONG open_count, CK_ATTRIBUTE* secret,
                      CK_ULONG secret_count, CK_OBJECT_HANDLE* public_key, CK_OBJECT_HANDLE* private_key) {
  FAULTY_ENTER("C_GenerateKeyPair");
  Object private_half = FromTemplate(secret, secret_count);
  private_half[CKA_CLASS] = BytesOf(CK_OBJECT_CLASS{CKO_PRIVATE_KEY});
  private_half[CKA_VALUE] = std::string(32, static_cast<char>(Get().next_object));
  Object public_half = FromTemplate(open, open_count);
  public_half[CKA_CLASS] = BytesOf(CK_OBJECT_CLASS{CKO_PUBLIC_KEY});
  const KeyPair key = FromSeed(private_half[CKA_VALUE]);
  public_half[CKA_EC_POINT] = "\x04\x20" + std::string(key.open.begin(), key.open.end());
  *private_key = Keep(std::move(private_half));
  if (Lies(FaultyLie::kHalfAPair)) return CKR_DEVICE_MEMORY;
  *public_key = Keep(std::move(public_half));
  return CKR_OK;
}
CK_RV CreateObject(CK_SESSION_HANDLE, CK_ATTRIBUTE* attributes, CK_ULONG count, CK_OBJECT_HANDLE* object) {
  FAULTY_ENTER("C_CreateObject");
  *object = Keep(FromTemplate(attributes, count));
  return CKR_OK;
}
CK_RV DestroyObject(CK_SESSION_HANDLE, CK_OBJECT_HANDLE object) {
  FAULTY_ENTER("C_DestroyObject");
  if (Lies(FaultyLie::kKeepsObjects)) return CKR_FUNCTION_FAILED;
  return Get().made.erase(object) == 1 ? CKR_OK : CKR_OBJECT_HANDLE_INVALID;
}

}  // namespace

extern "C" {

CK_RV C_GetFunctionList(CK_FUNCTION_LIST** list) {
  static CK_FUNCTION_LIST functions;
  functions = {};
  functions.version = {static_cast<unsigned char>(Lies(FaultyLie::kOldVersion) ? 1 : 2), 40};
  functions.C_Initialize = Initialize;
  functions.C_Finalize = Finalize;
  functions.C_GetSlotList = GetSlotList;
  functions.C_GetTokenInfo = GetTokenInfo;
  functions.C_OpenSession = OpenSession;
  functions.C_CloseSession = CloseSession;
  functions.C_Login = Login;
  functions.C_FindObjectsInit = FindObjectsInit;
  functions.C_FindObjects = FindObjects;
  functions.C_FindObjectsFinal = FindObjectsFinal;
  functions.C_GetAttributeValue = GetAttributeValue;
  functions.C_SignInit = SignInit;
  functions.C_Sign = Lies(FaultyLie::kMissingFunction) ? nullptr : Sign;
  functions.C_GenerateKeyPair = GenerateKeyPair;
  functions.C_CreateObject = CreateObject;
  functions.C_DestroyObject = DestroyObject;
  *list = Lies(FaultyLie::kNoFunctions) ? nullptr : &functions;
  return CKR_OK;
}

void SetFaultyPlan(const FaultyPlan& plan) {
  const std::lock_guard<std::mutex> lock(Get().mutex);
  Get().plan = plan;
  Get().function = plan.function;
  Get().calls = 0;
}

void GetFaultyCounts(FaultyCounts* counts) {
  const std::lock_guard<std::mutex> lock(Get().mutex);
  *counts = {.initialized = Get().initialized, .open_sessions = static_cast<int>(Get().sessions.size())};
  for (const auto& [handle, half] : Get().made) {
    const bool is_private = half.at(CKA_CLASS) == BytesOf(CK_OBJECT_CLASS{CKO_PRIVATE_KEY});
    ++(is_private ? counts->private_keys : counts->public_keys);
  }
}

void ForgetFaultyKeys() {
  const std::lock_guard<std::mutex> lock(Get().mutex);
  Get().made.clear();
}

}  // extern "C"
