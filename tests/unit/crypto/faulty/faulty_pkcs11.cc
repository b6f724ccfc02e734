// A PKCS#11 module with one token and one Ed25519 key, label "key", PIN "1234", that fails as it is told to.
#include "faulty_pkcs11.h"

#include <p11-kit/pkcs11.h>
#include <sodium.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <mutex>
#include <set>
#include <string>
#include <string_view>

namespace {

using dotagent::crypto::FaultyCounts;
using dotagent::crypto::FaultyLie;
using dotagent::crypto::FaultyPlan;

constexpr CK_OBJECT_HANDLE kPrivate = 1;
constexpr CK_OBJECT_HANDLE kPublic = 2;

struct State {
  std::mutex mutex;
  FaultyPlan plan;
  std::string function;
  int calls = 0;
  int initialized = 0;
  CK_SESSION_HANDLE next_session = 1;
  std::set<CK_SESSION_HANDLE> sessions;
  std::set<CK_SESSION_HANDLE> used;
  CK_OBJECT_CLASS wanted = 0;
  bool found = false;
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
CK_RV FindObjectsInit(CK_SESSION_HANDLE, CK_ATTRIBUTE* wanted, CK_ULONG) {
  FAULTY_ENTER("C_FindObjectsInit");
  std::memcpy(&Get().wanted, wanted[0].pValue, sizeof(Get().wanted));
  Get().found = false;
  return CKR_OK;
}
CK_RV FindObjects(CK_SESSION_HANDLE, CK_OBJECT_HANDLE* objects, CK_ULONG max, CK_ULONG* count) {
  FAULTY_ENTER("C_FindObjects");
  if (Lies(FaultyLie::kEndlessObjects)) {
    std::fill_n(objects, max, kPrivate);
    *count = max;
    return CKR_OK;
  }
  *count = Get().found ? 0 : 1;
  if (!Get().found) objects[0] = Get().wanted == CKO_PRIVATE_KEY ? kPrivate : kPublic;
  Get().found = true;
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
  std::string value;
  const CK_KEY_TYPE type = Lies(FaultyLie::kOtherKeyType) ? CKK_RSA : CKK_EC_EDWARDS;
  if (attribute->type == CKA_KEY_TYPE) {
    value.assign(reinterpret_cast<const char*>(&type), sizeof(type));
  } else if (attribute->type == CKA_ID) {
    value = "id";
  } else if (attribute->type == CKA_LABEL) {
    value = "key";
  } else if (attribute->type == CKA_EC_POINT && object == kPublic) {
    value = PublicPoint();
  } else {
    attribute->ulValueLen = CK_UNAVAILABLE_INFORMATION;
    return CKR_ATTRIBUTE_TYPE_INVALID;
  }
  if (attribute->pValue != nullptr) std::memcpy(attribute->pValue, value.data(), value.size());
  attribute->ulValueLen = value.size();
  if (Lies(FaultyLie::kHugeAttribute)) attribute->ulValueLen = CK_ULONG{1} << 60;
  if (Lies(FaultyLie::kGrowingAttribute) && attribute->pValue != nullptr) attribute->ulValueLen += 1000;
  return CKR_OK;
}
CK_RV SignInit(CK_SESSION_HANDLE session, CK_MECHANISM*, CK_OBJECT_HANDLE) {
  FAULTY_ENTER("C_SignInit");
  if (!Get().sessions.contains(session)) return CKR_SESSION_HANDLE_INVALID;
  if (Lies(FaultyLie::kSessionsDie) && !Get().used.insert(session).second) return CKR_SESSION_HANDLE_INVALID;
  return CKR_OK;
}
CK_RV Sign(CK_SESSION_HANDLE, unsigned char* data, CK_ULONG size, unsigned char* signature, CK_ULONG* signature_size) {
  FAULTY_ENTER("C_Sign");
  crypto_sign_detached(signature, nullptr, data, size, MakeKey(1).secret.data());
  *signature_size = 64;
  if (Lies(FaultyLie::kShortSignature)) *signature_size = 63;
  if (Lies(FaultyLie::kLongSignature)) *signature_size = 1000;
  if (Lies(FaultyLie::kWrongSignature)) signature[10] ^= 4;
  return CKR_OK;
}
CK_RV GenerateKeyPair(CK_SESSION_HANDLE, CK_MECHANISM*, CK_ATTRIBUTE*, CK_ULONG, CK_ATTRIBUTE*, CK_ULONG,
                      CK_OBJECT_HANDLE*, CK_OBJECT_HANDLE*) {
  FAULTY_ENTER("C_GenerateKeyPair");
  return CKR_OK;
}
CK_RV CreateObject(CK_SESSION_HANDLE, CK_ATTRIBUTE*, CK_ULONG, CK_OBJECT_HANDLE*) {
  FAULTY_ENTER("C_CreateObject");
  return CKR_OK;
}
CK_RV DestroyObject(CK_SESSION_HANDLE, CK_OBJECT_HANDLE) {
  FAULTY_ENTER("C_DestroyObject");
  return CKR_OK;
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
  *counts = {Get().initialized, static_cast<int>(Get().sessions.size())};
}

}  // extern "C"
