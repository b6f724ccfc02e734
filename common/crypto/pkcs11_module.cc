#include "common/crypto/pkcs11_module.h"

#include <dlfcn.h>

#include <array>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "common/base/status.h"
#include "common/crypto/key_store_error.h"

namespace dotagent::crypto {
namespace {

constexpr char kProxy[] = "p11-kit-proxy.so";

absl::Status StoreError(absl::string_view message) {
  return ErrorWithReason(absl::StatusCode::kUnavailable, reason::kKeyStore, message);
}

// How often each module, by its handle, is in use; whether C_Finalize is ours to call. The standard makes a module's
// state global to the process (§6.7.1), so its count must be.
class Registry {
 public:
  static Registry& Get() {
    static Registry* const registry = new Registry();  // never destroyed: modules may be in use until the end
    return *registry;
  }

  CK_RV Enter(void* handle, const CK_FUNCTION_LIST& functions) {
    const absl::MutexLock lock(&mutex_);
    Use& use = uses_[handle];
    if (use.count == 0) {
      CK_C_INITIALIZE_ARGS arguments{};
      arguments.flags = CKF_OS_LOCKING_OK;
      const CK_RV answer = functions.C_Initialize(&arguments);
      // Another part of the program, OpenSSL's say, uses it already; then it also ends it.
      if (answer != CKR_OK && answer != CKR_CRYPTOKI_ALREADY_INITIALIZED) return answer;
      use.finalize = answer == CKR_OK;
    }
    ++use.count;
    return CKR_OK;
  }

  void Leave(void* handle, const CK_FUNCTION_LIST& functions) {
    const absl::MutexLock lock(&mutex_);
    Use& use = uses_[handle];
    if (--use.count == 0 && use.finalize) functions.C_Finalize(nullptr);
  }

 private:
  struct Use {
    size_t count = 0;
    bool finalize = false;
  };
  absl::Mutex mutex_;
  absl::flat_hash_map<void*, Use> uses_ ABSL_GUARDED_BY(mutex_);
};

// Every function that is called here is there.
bool IsComplete(const CK_FUNCTION_LIST& f) {
  return f.C_Initialize != nullptr && f.C_Finalize != nullptr && f.C_GetSlotList != nullptr &&
         f.C_GetTokenInfo != nullptr && f.C_OpenSession != nullptr && f.C_CloseSession != nullptr &&
         f.C_Login != nullptr && f.C_FindObjectsInit != nullptr && f.C_FindObjects != nullptr &&
         f.C_FindObjectsFinal != nullptr && f.C_GetAttributeValue != nullptr && f.C_SignInit != nullptr &&
         f.C_Sign != nullptr && f.C_GenerateKeyPair != nullptr && f.C_CreateObject != nullptr &&
         f.C_DestroyObject != nullptr;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const Pkcs11Module>> Pkcs11Module::Load(const std::string& path) {
  const std::string file = path.empty() ? kProxy : path;
  void* const handle = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (handle == nullptr) {
    const char* const why = dlerror();  // NOLINT(concurrency-mt-unsafe): glibc keeps it by thread
    return StoreError(absl::StrCat(
        "cannot load the PKCS#11 module ", file, ": ", why == nullptr ? "unknown" : why,
        path.empty() ? "; name one with module-path=, or install p11-kit-modules" : "; is its package installed?"));
  }
  const auto get_list = reinterpret_cast<CK_C_GetFunctionList>(dlsym(handle, "C_GetFunctionList"));
  CK_FUNCTION_LIST* functions = nullptr;
  if (get_list == nullptr || get_list(&functions) != CKR_OK || functions == nullptr) {
    dlclose(handle);
    return StoreError(absl::StrCat(file, " is no PKCS#11 module: it has no list of functions"));
  }
  if (functions->version.major < 2 || functions->version.major > 3 || !IsComplete(*functions)) {
    dlclose(handle);
    return StoreError(
        absl::StrCat("the PKCS#11 module ", file, " lacks functions, or is of another version than 2 or 3"));
  }
  if (const CK_RV answer = Registry::Get().Enter(handle, *functions); answer != CKR_OK) {
    dlclose(handle);
    return StoreError(absl::StrCat("the PKCS#11 module ", file, " failed in C_Initialize: ", Pkcs11AnswerName(answer)));
  }
  return std::shared_ptr<const Pkcs11Module>(new Pkcs11Module(file, handle, functions));
}

Pkcs11Module::~Pkcs11Module() {
  Registry::Get().Leave(handle_, *functions_);
  dlclose(handle_);
}

absl::Status Pkcs11Module::Check(CK_RV answer, absl::string_view function) const {
  if (answer == CKR_OK) return absl::OkStatus();
  return Failure(absl::StrCat("failed in ", function, ": ", Pkcs11AnswerName(answer),
                              IsLostSession(answer) ? "; is the token still there?" : ""));
}

absl::Status Pkcs11Module::Failure(absl::string_view message) const {
  return StoreError(absl::StrCat("the PKCS#11 module ", path_, " ", message));
}

std::string Pkcs11AnswerName(CK_RV answer) {
  static constexpr std::array<std::pair<CK_RV, absl::string_view>, 34> kNames{{
      {CKR_HOST_MEMORY, "CKR_HOST_MEMORY"},
      {CKR_SLOT_ID_INVALID, "CKR_SLOT_ID_INVALID"},
      {CKR_GENERAL_ERROR, "CKR_GENERAL_ERROR"},
      {CKR_FUNCTION_FAILED, "CKR_FUNCTION_FAILED"},
      {CKR_ARGUMENTS_BAD, "CKR_ARGUMENTS_BAD"},
      {CKR_CANT_LOCK, "CKR_CANT_LOCK"},
      {CKR_ATTRIBUTE_SENSITIVE, "CKR_ATTRIBUTE_SENSITIVE"},
      {CKR_ATTRIBUTE_TYPE_INVALID, "CKR_ATTRIBUTE_TYPE_INVALID"},
      {CKR_ATTRIBUTE_VALUE_INVALID, "CKR_ATTRIBUTE_VALUE_INVALID"},
      {CKR_DATA_LEN_RANGE, "CKR_DATA_LEN_RANGE"},
      {CKR_DEVICE_ERROR, "CKR_DEVICE_ERROR"},
      {CKR_DEVICE_MEMORY, "CKR_DEVICE_MEMORY"},
      {CKR_DEVICE_REMOVED, "CKR_DEVICE_REMOVED"},
      {CKR_FUNCTION_CANCELED, "CKR_FUNCTION_CANCELED"},
      {CKR_FUNCTION_NOT_SUPPORTED, "CKR_FUNCTION_NOT_SUPPORTED"},
      {CKR_KEY_HANDLE_INVALID, "CKR_KEY_HANDLE_INVALID"},
      {CKR_KEY_TYPE_INCONSISTENT, "CKR_KEY_TYPE_INCONSISTENT"},
      {CKR_MECHANISM_INVALID, "CKR_MECHANISM_INVALID"},
      {CKR_MECHANISM_PARAM_INVALID, "CKR_MECHANISM_PARAM_INVALID"},
      {CKR_OBJECT_HANDLE_INVALID, "CKR_OBJECT_HANDLE_INVALID"},
      {CKR_OPERATION_ACTIVE, "CKR_OPERATION_ACTIVE"},
      {CKR_PIN_INCORRECT, "CKR_PIN_INCORRECT"},
      {CKR_PIN_LOCKED, "CKR_PIN_LOCKED"},
      {CKR_SESSION_CLOSED, "CKR_SESSION_CLOSED"},
      {CKR_SESSION_COUNT, "CKR_SESSION_COUNT"},
      {CKR_SESSION_HANDLE_INVALID, "CKR_SESSION_HANDLE_INVALID"},
      {CKR_TEMPLATE_INCOMPLETE, "CKR_TEMPLATE_INCOMPLETE"},
      {CKR_TEMPLATE_INCONSISTENT, "CKR_TEMPLATE_INCONSISTENT"},
      {CKR_TOKEN_NOT_PRESENT, "CKR_TOKEN_NOT_PRESENT"},
      {CKR_TOKEN_NOT_RECOGNIZED, "CKR_TOKEN_NOT_RECOGNIZED"},
      {CKR_TOKEN_WRITE_PROTECTED, "CKR_TOKEN_WRITE_PROTECTED"},
      {CKR_USER_NOT_LOGGED_IN, "CKR_USER_NOT_LOGGED_IN"},
      {CKR_USER_PIN_NOT_INITIALIZED, "CKR_USER_PIN_NOT_INITIALIZED"},
      {CKR_CRYPTOKI_NOT_INITIALIZED, "CKR_CRYPTOKI_NOT_INITIALIZED"},
  }};
  for (const auto& [value, name] : kNames) {
    if (value == answer) return std::string(name);
  }
  return absl::StrCat("0x", absl::Hex(answer));
}

bool IsLostSession(CK_RV answer) {
  return answer == CKR_SESSION_HANDLE_INVALID || answer == CKR_SESSION_CLOSED || answer == CKR_DEVICE_REMOVED ||
         answer == CKR_TOKEN_NOT_PRESENT || answer == CKR_USER_NOT_LOGGED_IN || answer == CKR_KEY_HANDLE_INVALID ||
         answer == CKR_OBJECT_HANDLE_INVALID || answer == CKR_CRYPTOKI_NOT_INITIALIZED;
}

}  // namespace dotagent::crypto
