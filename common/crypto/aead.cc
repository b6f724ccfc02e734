#include "common/crypto/aead.h"

#include <algorithm>

#include "common/base/status.h"
#include "common/crypto/check.h"
#include "common/crypto/openssl.h"
#include "common/crypto/secret.h"

namespace dotagent::crypto {
namespace {

constexpr size_t kMaxUpdate = size_t{1} << 30;  // EVP counts in int

const EVP_CIPHER* Algorithm() {
  static const EVP_CIPHER* const algorithm = EVP_CIPHER_fetch(nullptr, "ChaCha20-Poly1305", nullptr);
  CheckAlways(algorithm != nullptr, "this OpenSSL has no ChaCha20-Poly1305");
  return algorithm;
}

// Runs `in` through the cipher; `out` null: associated data.
bool Update(EVP_CIPHER_CTX* cipher, unsigned char* out, absl::string_view in) {
  while (!in.empty()) {
    const absl::string_view piece = in.substr(0, kMaxUpdate);
    int written = 0;
    if (EVP_CipherUpdate(cipher, out, &written, OpenSslBytes(piece), static_cast<int>(piece.size())) != 1) {
      return false;
    }
    out = out == nullptr ? nullptr : out + piece.size();
    in.remove_prefix(piece.size());
  }
  return true;
}

}  // namespace

struct Aead::Context {
  CipherContextPtr cipher{EVP_CIPHER_CTX_new()};
};

Aead::Aead(absl::string_view key) : context_(std::make_unique<Context>()) {
  CheckAlways(key.size() == kAeadKeySize, "an AEAD key must be 32 bytes");
  CheckAlways(context_->cipher != nullptr &&
                  EVP_CipherInit_ex2(context_->cipher.get(), Algorithm(), OpenSslBytes(key), nullptr, 1, nullptr) == 1,
              "ChaCha20-Poly1305 does not start");
}
Aead::~Aead() = default;
Aead::Aead(Aead&&) noexcept = default;
Aead& Aead::operator=(Aead&&) noexcept = default;

void Aead::SealTo(absl::string_view nonce, absl::string_view associated_data,
                  absl::Span<const absl::string_view> pieces, char* out) const {
  CheckAlways(nonce.size() == kAeadNonceSize, "an AEAD nonce must be 12 bytes");
  EVP_CIPHER_CTX* const cipher = context_->cipher.get();
  bool sealed = EVP_CipherInit_ex2(cipher, nullptr, nullptr, OpenSslBytes(nonce), 1, nullptr) == 1 &&
                Update(cipher, nullptr, associated_data);
  auto* at = reinterpret_cast<unsigned char*>(out);
  for (const absl::string_view piece : pieces) {
    sealed = sealed && Update(cipher, at, piece);
    at += piece.size();
  }
  int written = 0;
  CheckAlways(sealed && EVP_CipherFinal_ex(cipher, at, &written) == 1 &&
                  EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_GET_TAG, kAeadTagSize, at) == 1,
              "ChaCha20-Poly1305 failed to seal");
}

void Aead::Seal(absl::string_view nonce, absl::string_view associated_data, absl::string_view plaintext,
                std::string* out) const {
  const size_t start = out->size();
  out->resize(start + plaintext.size() + kAeadTagSize);
  SealTo(nonce, associated_data, {plaintext}, out->data() + start);
}

absl::Status Aead::OpenTo(absl::string_view nonce, absl::string_view associated_data, absl::string_view sealed,
                          char* out) const {
  CheckAlways(nonce.size() == kAeadNonceSize, "an AEAD nonce must be 12 bytes");
  if (sealed.size() < kAeadTagSize) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kProtocol,
                           "sealed data is shorter than its 16-byte tag; the connection must be closed");
  }
  EVP_CIPHER_CTX* const cipher = context_->cipher.get();
  const size_t size = sealed.size() - kAeadTagSize;
  unsigned char tag[kAeadTagSize];
  std::copy_n(sealed.data() + size, kAeadTagSize, reinterpret_cast<char*>(tag));
  auto* const plaintext = reinterpret_cast<unsigned char*>(out);
  int written = 0;
  // The last call wants somewhere to write nothing.
  const bool opened = EVP_CipherInit_ex2(cipher, nullptr, nullptr, OpenSslBytes(nonce), 0, nullptr) == 1 &&
                      EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_SET_TAG, kAeadTagSize, tag) == 1 &&
                      Update(cipher, nullptr, associated_data) && Update(cipher, plaintext, sealed.substr(0, size)) &&
                      EVP_CipherFinal_ex(cipher, plaintext + size, &written) == 1;
  if (opened) return absl::OkStatus();
  Wipe(plaintext, size);
  ERR_clear_error();
  return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kProtocol,
                         "sealed data fails authentication: it was altered, or sealed under another key or nonce");
}

absl::Status Aead::Open(absl::string_view nonce, absl::string_view associated_data, absl::string_view sealed,
                        std::string* out) const {
  const size_t start = out->size();
  out->resize(start + sealed.size());
  const absl::Status opened = OpenTo(nonce, associated_data, sealed, out->data() + start);
  out->resize(opened.ok() ? start + sealed.size() - kAeadTagSize : start);
  return opened;
}

std::string NoiseNonce(uint64_t counter) {
  std::string nonce(kAeadNonceSize, '\0');
  for (size_t i = 0; i < sizeof(counter); ++i) {
    nonce[4 + i] = static_cast<char>(counter >> (8 * i));
  }
  return nonce;
}

}  // namespace dotagent::crypto
