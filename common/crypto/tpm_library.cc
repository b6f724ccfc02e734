#include "common/crypto/tpm_library.h"

#include <dlfcn.h>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/crypto/key_store_error.h"

namespace dotagent::crypto {
namespace {

class Loader {
 public:
  // Stays loaded: what it has started in the process may go on.
  void Open(const char* file) {
    handle_ = dlopen(file, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (handle_ == nullptr && missing_.empty()) missing_ = file;
  }
  template <typename Function>
  void Find(const char* name, Function& function) {
    function = handle_ == nullptr ? nullptr : reinterpret_cast<Function>(dlsym(handle_, name));
    if (function == nullptr && missing_.empty()) missing_ = name;
  }
  [[nodiscard]] const std::string& missing() const { return missing_; }

 private:
  void* handle_ = nullptr;
  std::string missing_;
};

}  // namespace

absl::StatusOr<TpmLibrary> TpmLibrary::Load() {
  TpmLibrary tss;
  Loader loader;
  loader.Open("libtss2-tctildr.so.0");
  loader.Find("Tss2_TctiLdr_Initialize", tss.TctiLdr_Initialize);
  loader.Find("Tss2_TctiLdr_Finalize", tss.TctiLdr_Finalize);
  loader.Open("libtss2-mu.so.0");
  loader.Find("Tss2_MU_TPM2B_PUBLIC_Marshal", tss.PublicMarshal);
  loader.Find("Tss2_MU_TPM2B_PUBLIC_Unmarshal", tss.PublicUnmarshal);
  loader.Find("Tss2_MU_TPM2B_PRIVATE_Marshal", tss.PrivateMarshal);
  loader.Find("Tss2_MU_TPM2B_PRIVATE_Unmarshal", tss.PrivateUnmarshal);
  loader.Open("libtss2-esys.so.0");
  loader.Find("Esys_Initialize", tss.Initialize);
  loader.Find("Esys_Finalize", tss.Finalize);
  loader.Find("Esys_CreatePrimary", tss.CreatePrimary);
  loader.Find("Esys_TR_FromTPMPublic", tss.FromTpmPublic);
  loader.Find("Esys_TR_SetAuth", tss.SetAuth);
  loader.Find("Esys_TR_Close", tss.Close);
  loader.Find("Esys_StartAuthSession", tss.StartAuthSession);
  loader.Find("Esys_TRSess_SetAttributes", tss.SetSessionAttributes);
  loader.Find("Esys_Create", tss.Create);
  loader.Find("Esys_Load", tss.LoadObject);
  loader.Find("Esys_Unseal", tss.Unseal);
  loader.Find("Esys_FlushContext", tss.FlushContext);
  loader.Find("Esys_Free", tss.Free);
  if (!loader.missing().empty()) {
    return ErrorWithReason(absl::StatusCode::kUnavailable, reason::kKeyStore,
                           absl::StrCat("keys in a TPM need tpm2-tss, and ", loader.missing(),
                                        " is not here; on Debian: apt-get install libtss2-esys-3.0.2-0 "
                                        "libtss2-tctildr0 libtss2-tcti-device0"));
  }
  return tss;
}

}  // namespace dotagent::crypto
