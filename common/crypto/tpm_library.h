// tpm2-tss (libtss2-esys, -mu and -tctildr), loaded at run time: programs that use no TPM need not have it installed.
#ifndef DOTAGENT_COMMON_CRYPTO_TPM_LIBRARY_H_
#define DOTAGENT_COMMON_CRYPTO_TPM_LIBRARY_H_

#include <tss2/tss2_esys.h>
#include <tss2/tss2_mu.h>
#include <tss2/tss2_tctildr.h>

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace dotagent::crypto {

// The functions that are used here, under their own names. A value; the libraries stay loaded.
struct TpmLibrary {
  // Unavailable (KEY_STORE): says which package is missing.
  [[nodiscard]] static absl::StatusOr<TpmLibrary> Load();

  decltype(&::Tss2_TctiLdr_Initialize) TctiLdr_Initialize = nullptr;
  decltype(&::Tss2_TctiLdr_Finalize) TctiLdr_Finalize = nullptr;
  decltype(&::Tss2_MU_TPM2B_PUBLIC_Marshal) PublicMarshal = nullptr;
  decltype(&::Tss2_MU_TPM2B_PUBLIC_Unmarshal) PublicUnmarshal = nullptr;
  decltype(&::Tss2_MU_TPM2B_PRIVATE_Marshal) PrivateMarshal = nullptr;
  decltype(&::Tss2_MU_TPM2B_PRIVATE_Unmarshal) PrivateUnmarshal = nullptr;
  decltype(&::Esys_Initialize) Initialize = nullptr;
  decltype(&::Esys_Finalize) Finalize = nullptr;
  decltype(&::Esys_CreatePrimary) CreatePrimary = nullptr;
  decltype(&::Esys_TR_FromTPMPublic) FromTpmPublic = nullptr;
  decltype(&::Esys_TR_SetAuth) SetAuth = nullptr;
  decltype(&::Esys_TR_Close) Close = nullptr;
  decltype(&::Esys_StartAuthSession) StartAuthSession = nullptr;
  decltype(&::Esys_TRSess_SetAttributes) SetSessionAttributes = nullptr;
  decltype(&::Esys_Create) Create = nullptr;
  decltype(&::Esys_Load) LoadObject = nullptr;
  decltype(&::Esys_Unseal) Unseal = nullptr;
  decltype(&::Esys_FlushContext) FlushContext = nullptr;
  decltype(&::Esys_Free) Free = nullptr;
};

}  // namespace dotagent::crypto

#endif  // DOTAGENT_COMMON_CRYPTO_TPM_LIBRARY_H_
