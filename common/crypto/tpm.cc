#include "common/crypto/tpm.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/crypto/check.h"
#include "common/crypto/key_store_error.h"
#include "common/crypto/tpm_library.h"

namespace dotagent::crypto {
namespace {

constexpr size_t kMaxSealed = 128;  // MAX_SYM_DATA
constexpr uint32_t kOwner = 0x40000001;

absl::Status Failure(absl::string_view message) {
  return ErrorWithReason(absl::StatusCode::kUnavailable, reason::kKeyStore, message);
}

absl::Status Refusal(absl::string_view message) {
  return ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kBadKey, message);
}

// A TPM's answer without the number of the handle, parameter or session that it complains about.
TSS2_RC Cause(TSS2_RC answer) { return (answer & TPM2_RC_FMT1) != 0 ? answer & 0xbf : answer & 0xfff; }

// Says what an answer means where somebody can do something about it. Answers of the TPM itself have no layer.
absl::Status Check(TSS2_RC answer, absl::string_view doing) {
  if (answer == TSS2_RC_SUCCESS) return absl::OkStatus();
  if ((answer & TSS2_RC_LAYER_MASK) == 0) {
    switch (Cause(answer)) {
      case TPM2_RC_AUTH_FAIL:
      case TPM2_RC_BAD_AUTH:
        return Refusal("the sealed key's password is wrong");
      case TPM2_RC_LOCKOUT:
        return Refusal("the TPM has locked itself after too many wrong passwords; wait, or clear the lockout");
      case TPM2_RC_INTEGRITY:
        return Refusal("another TPM has sealed this key, or this one was cleared since, or the file is damaged");
      default:
        break;
    }
  }
  return Failure(absl::StrCat("the TPM failed in ", doing, ": 0x", absl::Hex(answer)));
}

absl::Status CheckPassword(const std::optional<SecretBytes>& password) {
  if (!password || password->size() <= kMaxTpmPassword) return absl::OkStatus();
  return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kBadKey,
                         "the password of a key that a TPM seals has at most 32 bytes");
}

// TCG's "Provisioning Guidance" storage key over P-256: the same for everyone, so that files need not hold it.
TPM2B_PUBLIC StorageKeyTemplate() {
  TPM2B_PUBLIC made{};
  made.publicArea.type = TPM2_ALG_ECC;
  made.publicArea.nameAlg = TPM2_ALG_SHA256;
  made.publicArea.objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN |
                                     TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA | TPMA_OBJECT_RESTRICTED |
                                     TPMA_OBJECT_DECRYPT;
  TPMS_ECC_PARMS& ecc = made.publicArea.parameters.eccDetail;
  ecc.symmetric.algorithm = TPM2_ALG_AES;
  ecc.symmetric.keyBits.aes = 128;
  ecc.symmetric.mode.aes = TPM2_ALG_CFB;
  ecc.scheme.scheme = TPM2_ALG_NULL;
  ecc.curveID = TPM2_ECC_NIST_P256;
  ecc.kdf.scheme = TPM2_ALG_NULL;
  return made;
}

TPM2B_PUBLIC SealedTemplate(bool has_password) {
  TPM2B_PUBLIC made{};
  made.publicArea.type = TPM2_ALG_KEYEDHASH;
  made.publicArea.nameAlg = TPM2_ALG_SHA256;
  made.publicArea.objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_USERWITHAUTH;
  // Without a password there is nothing to guess, and nothing that the lockout should keep from opening.
  if (!has_password) made.publicArea.objectAttributes |= TPMA_OBJECT_NODA;
  made.publicArea.parameters.keyedHashDetail.scheme.scheme = TPM2_ALG_NULL;
  return made;
}

TPM2B_AUTH AuthOf(const std::optional<SecretBytes>& password) {
  TPM2B_AUTH auth{};
  if (password) {
    auth.size = static_cast<UINT16>(password->size());
    std::memcpy(auth.buffer, password->data(), std::min(password->size(), sizeof(auth.buffer)));
  }
  return auth;
}

}  // namespace

void SilenceTpmLibrary() { setenv("TSS2_LOG", "all+NONE", 0); }  // NOLINT(concurrency-mt-unsafe): before threads

// The connection, and what lies in the TPM while it lasts.
struct Tpm::Impl {
  explicit Impl(const TpmLibrary& library) : tss(library) {}
  ~Impl() {
    if (esys != nullptr) tss.Finalize(&esys);
    if (tcti != nullptr) tss.TctiLdr_Finalize(&tcti);
  }

  // An object in the TPM, which has room for three or so.
  struct Handle {
    Impl* impl;
    ESYS_TR id = ESYS_TR_NONE;
    bool persistent = false;

    explicit Handle(Impl* owner) : impl(owner) {}
    Handle(const Handle&) = delete;
    Handle& operator=(const Handle&) = delete;
    ~Handle() {
      if (id == ESYS_TR_NONE) return;
      if (persistent) {
        impl->tss.Close(impl->esys, &id);
      } else {
        impl->tss.FlushContext(impl->esys, id);
      }
    }
  };

  // The key that others are sealed under.
  absl::Status OpenParent(uint32_t parent, Handle& handle) {
    if (parent != kOwner) {
      handle.persistent = true;
      return Check(tss.FromTpmPublic(esys, parent, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &handle.id),
                   "opening the key's parent");
    }
    const TPM2B_SENSITIVE_CREATE nothing{};
    const TPM2B_PUBLIC wanted = StorageKeyTemplate();
    const TPM2B_DATA outside{};
    const TPML_PCR_SELECTION pcrs{};
    return Check(tss.CreatePrimary(esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &nothing,
                                   &wanted, &outside, &pcrs, &handle.id, nullptr, nullptr, nullptr, nullptr),
                 "making the storage key (does the TPM's owner have a password?)");
  }

  // A session that encrypts the first parameter both ways, under a secret that only the TPM's parent key opens.
  absl::Status StartSession(ESYS_TR parent, Handle& session) {
    TPMT_SYM_DEF symmetric{};
    symmetric.algorithm = TPM2_ALG_AES;
    symmetric.keyBits.aes = 128;
    symmetric.mode.aes = TPM2_ALG_CFB;
    RETURN_IF_ERROR(Check(tss.StartAuthSession(esys, parent, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                               nullptr, TPM2_SE_HMAC, &symmetric, TPM2_ALG_SHA256, &session.id),
                          "starting a session"));
    return Check(tss.SetSessionAttributes(esys, session.id,
                                          TPMA_SESSION_DECRYPT | TPMA_SESSION_ENCRYPT | TPMA_SESSION_CONTINUESESSION,
                                          TPMA_SESSION_DECRYPT | TPMA_SESSION_ENCRYPT | TPMA_SESSION_CONTINUESESSION),
                 "starting a session");
  }

  const TpmLibrary tss;
  TSS2_TCTI_CONTEXT* tcti = nullptr;
  ESYS_CONTEXT* esys = nullptr;
};

Tpm::Tpm(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Tpm::~Tpm() = default;

absl::StatusOr<std::unique_ptr<Tpm>> Tpm::Connect(const std::string& tcti) {
  ASSIGN_OR_RETURN(const TpmLibrary library, TpmLibrary::Load());
  auto impl = std::make_unique<Impl>(library);
  TSS2_RC answer = library.TctiLdr_Initialize(tcti.empty() ? nullptr : tcti.c_str(), &impl->tcti);
  if (answer != TSS2_RC_SUCCESS) {
    return Failure(absl::StrCat("cannot reach a TPM", tcti.empty() ? "" : absl::StrCat(" at ", tcti), ": 0x",
                                absl::Hex(answer), "; is /dev/tpmrm0 there, and may this user open it?"));
  }
  answer = library.Initialize(&impl->esys, impl->tcti, nullptr);
  RETURN_IF_ERROR(Check(answer, "its start"));
  return std::unique_ptr<Tpm>(new Tpm(std::move(impl)));
}

absl::StatusOr<TpmKeyFile> Tpm::Seal(const SecretBytes& secret, const std::optional<SecretBytes>& password) {
  CheckAlways(secret.size() > 0 && secret.size() <= kMaxSealed, "a TPM seals 1 to 128 bytes");
  RETURN_IF_ERROR(CheckPassword(password));
  const TpmLibrary& tss = impl_->tss;
  Impl::Handle parent(impl_.get());
  RETURN_IF_ERROR(impl_->OpenParent(kOwner, parent));
  Impl::Handle session(impl_.get());
  RETURN_IF_ERROR(impl_->StartSession(parent.id, session));

  TPM2B_SENSITIVE_CREATE sensitive{};
  const absl::Cleanup wipe = [&sensitive] { Wipe(&sensitive, sizeof(sensitive)); };
  sensitive.sensitive.userAuth = AuthOf(password);
  sensitive.sensitive.data.size = static_cast<UINT16>(secret.size());
  std::memcpy(sensitive.sensitive.data.buffer, secret.data(), secret.size());
  const TPM2B_PUBLIC wanted = SealedTemplate(password.has_value());
  const TPM2B_DATA outside{};
  const TPML_PCR_SELECTION pcrs{};
  TPM2B_PRIVATE* private_part = nullptr;
  TPM2B_PUBLIC* public_part = nullptr;
  RETURN_IF_ERROR(Check(tss.Create(impl_->esys, parent.id, session.id, ESYS_TR_NONE, ESYS_TR_NONE, &sensitive, &wanted,
                                   &outside, &pcrs, &private_part, &public_part, nullptr, nullptr, nullptr),
                        "sealing the key"));
  const absl::Cleanup free_parts = [&] {
    tss.Free(private_part);
    tss.Free(public_part);
  };
  TpmKeyFile file{.empty_auth = !password,
                  .public_part = std::string(sizeof(TPM2B_PUBLIC), '\0'),
                  .private_part = std::string(sizeof(TPM2B_PRIVATE), '\0')};
  size_t size = 0;
  RETURN_IF_ERROR(Check(tss.PublicMarshal(public_part, reinterpret_cast<uint8_t*>(file.public_part.data()),
                                          file.public_part.size(), &size),
                        "writing the sealed key"));
  file.public_part.resize(size);
  size = 0;
  RETURN_IF_ERROR(Check(tss.PrivateMarshal(private_part, reinterpret_cast<uint8_t*>(file.private_part.data()),
                                           file.private_part.size(), &size),
                        "writing the sealed key"));
  file.private_part.resize(size);
  return file;
}

absl::StatusOr<SecretBytes> Tpm::Unseal(const TpmKeyFile& file, const std::optional<SecretBytes>& password) {
  RETURN_IF_ERROR(CheckPassword(password));
  if (!file.empty_auth && !password) return Refusal("the sealed key has a password; give it as the passphrase");
  const TpmLibrary& tss = impl_->tss;
  TPM2B_PUBLIC public_part{};
  TPM2B_PRIVATE private_part{};
  size_t public_size = 0;
  size_t private_size = 0;
  if (tss.PublicUnmarshal(reinterpret_cast<const uint8_t*>(file.public_part.data()), file.public_part.size(),
                          &public_size, &public_part) != TSS2_RC_SUCCESS ||
      tss.PrivateUnmarshal(reinterpret_cast<const uint8_t*>(file.private_part.data()), file.private_part.size(),
                           &private_size, &private_part) != TSS2_RC_SUCCESS ||
      public_size != file.public_part.size() || private_size != file.private_part.size() ||
      public_part.publicArea.type != TPM2_ALG_KEYEDHASH) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kBadKey, "the sealed key is damaged");
  }
  Impl::Handle parent(impl_.get());
  RETURN_IF_ERROR(impl_->OpenParent(file.parent, parent));
  Impl::Handle session(impl_.get());
  RETURN_IF_ERROR(impl_->StartSession(parent.id, session));
  Impl::Handle object(impl_.get());
  RETURN_IF_ERROR(Check(tss.LoadObject(impl_->esys, parent.id, session.id, ESYS_TR_NONE, ESYS_TR_NONE, &private_part,
                                       &public_part, &object.id),
                        "loading the sealed key"));
  if (!file.empty_auth) {
    TPM2B_AUTH auth = AuthOf(password);
    const absl::Cleanup wipe = [&auth] { Wipe(&auth, sizeof(auth)); };
    RETURN_IF_ERROR(Check(tss.SetAuth(impl_->esys, object.id, &auth), "taking the password"));
  }
  TPM2B_SENSITIVE_DATA* data = nullptr;
  RETURN_IF_ERROR(Check(tss.Unseal(impl_->esys, object.id, session.id, ESYS_TR_NONE, ESYS_TR_NONE, &data),
                        "opening the sealed key"));
  const absl::Cleanup free_data = [&] {
    Wipe(data, sizeof(*data));
    tss.Free(data);
  };
  return SecretBytes(absl::string_view(reinterpret_cast<const char*>(data->buffer),
                                       std::min<size_t>(data->size, sizeof(data->buffer))));
}

}  // namespace dotagent::crypto
