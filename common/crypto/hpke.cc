#include "common/crypto/hpke.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/crypto/check.h"
#include "common/crypto/hash.h"

namespace dotagent::crypto {
namespace {

constexpr absl::string_view kVersionLabel = "HPKE-v1";
// "KEM" ‖ kem_id, and "HPKE" ‖ kem_id ‖ kdf_id ‖ aead_id (§7).
constexpr absl::string_view kKemSuite("KEM\x00\x20", 5);
constexpr absl::string_view kSuite("HPKE\x00\x20\x00\x01\x00\x03", 10);
constexpr absl::string_view kModeBase("\x00", 1);

// Bytes of a key schedule: wiped when they go.
class Derived {
 public:
  explicit Derived(std::string bytes) : bytes_(std::move(bytes)) {}
  Derived(const Derived&) = delete;
  Derived& operator=(const Derived&) = delete;
  Derived(Derived&&) = delete;
  Derived& operator=(Derived&&) = delete;
  ~Derived() { Wipe(bytes_.data(), bytes_.size()); }
  [[nodiscard]] absl::string_view view() const { return bytes_; }

 private:
  std::string bytes_;
};

// §4, with the input in a string that is wiped.
Derived LabeledExtract(absl::string_view suite, absl::string_view salt, absl::string_view label,
                       absl::string_view input) {
  const Derived labeled(absl::StrCat(kVersionLabel, suite, label, input));
  return Derived(HmacSha256(salt, labeled.view()));
}

// §4, for the lengths that are wanted here: one block of HKDF-Expand.
Derived LabeledExpand(absl::string_view suite, absl::string_view key, absl::string_view label, absl::string_view info,
                      size_t size) {
  CheckAlways(size <= kSha256Size, "more than a block of HKDF is not expanded here");
  const char length[] = {0, static_cast<char>(size)};
  constexpr absl::string_view kFirstBlock("\x01", 1);
  std::string block = HmacSha256(
      key, absl::StrCat(absl::string_view(length, sizeof(length)), kVersionLabel, suite, label, info, kFirstBlock));
  Wipe(block.data() + size, block.size() - size);
  block.resize(size);
  return Derived(std::move(block));
}

// §4.1: ExtractAndExpand.
Derived SharedSecret(const BriefSecret<DhKey::kSize>& agreed, absl::string_view encapsulated,
                     absl::string_view recipient) {
  const Derived key = LabeledExtract(kKemSuite, "", "eae_prk", agreed.view());
  return LabeledExpand(kKemSuite, key.view(), "shared_secret", absl::StrCat(encapsulated, recipient), kSha256Size);
}

struct Context {
  Aead aead;
  std::string nonce;  // of the first and only message: no secret without the key
};

// §5.1: KeySchedule without a PSK.
Context KeySchedule(const Derived& shared_secret, absl::string_view info) {
  const Derived psk_id_hash = LabeledExtract(kSuite, "", "psk_id_hash", "");
  const Derived info_hash = LabeledExtract(kSuite, "", "info_hash", info);
  const std::string context = absl::StrCat(kModeBase, psk_id_hash.view(), info_hash.view());
  const Derived secret = LabeledExtract(kSuite, shared_secret.view(), "secret", "");
  const Derived key = LabeledExpand(kSuite, secret.view(), "key", context, kAeadKeySize);
  const Derived nonce = LabeledExpand(kSuite, secret.view(), "base_nonce", context, kAeadNonceSize);
  return {Aead(key.view()), std::string(nonce.view())};
}

}  // namespace

absl::StatusOr<std::string> HpkeSeal(DhKey ephemeral, absl::string_view recipient, absl::string_view info,
                                     absl::string_view aad, absl::string_view plaintext) {
  const DhKey spent = std::move(ephemeral);
  ASSIGN_OR_RETURN(const auto agreed, spent.Agree(recipient));
  const Context context = KeySchedule(SharedSecret(agreed, spent.public_bytes(), recipient), info);
  std::string sealed(spent.public_bytes());
  sealed.reserve(kHpkeOverhead + plaintext.size());
  context.aead.Seal(context.nonce, aad, plaintext, &sealed);
  return sealed;
}

absl::StatusOr<std::string> HpkeOpen(const DhKey& recipient, absl::string_view info, absl::string_view aad,
                                     absl::string_view sealed) {
  if (sealed.size() < kHpkeOverhead) {
    return absl::InvalidArgumentError(
        absl::StrCat("what HPKE has sealed has at least ", kHpkeOverhead, " bytes; this has ", sealed.size()));
  }
  const absl::string_view encapsulated = sealed.substr(0, DhKey::kSize);
  ASSIGN_OR_RETURN(const auto agreed, recipient.Agree(encapsulated));
  const Context context = KeySchedule(SharedSecret(agreed, encapsulated, recipient.public_bytes()), info);
  std::string plaintext;
  if (!context.aead.Open(context.nonce, aad, sealed.substr(DhKey::kSize), &plaintext).ok()) {
    return absl::InvalidArgumentError(
        "it does not authenticate: it was altered, or is not for this key, or not of this place");
  }
  return plaintext;
}

}  // namespace dotagent::crypto
