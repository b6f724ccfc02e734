#include "common/session/noise.h"

#include <algorithm>
#include <cassert>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/crypto/hash.h"
#include "common/crypto/secret.h"

namespace dotagent::session {
namespace {

constexpr absl::string_view kProtocolName = "Noise_XX_25519_ChaChaPoly_SHA256";
constexpr size_t kDhSize = 32;

// The two outputs of Noise's HKDF, wiped when they go.
struct Derived {
  Derived(absl::string_view chaining_key, absl::string_view input) : keys(crypto::NoiseHkdf2(chaining_key, input)) {}
  ~Derived() {
    crypto::Wipe(keys.first.data(), keys.first.size());
    crypto::Wipe(keys.second.data(), keys.second.size());
  }
  Derived(const Derived&) = delete;
  Derived& operator=(const Derived&) = delete;

  std::pair<std::string, std::string> keys;
};

absl::Status TooShort() {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kProtocol, "handshake message is too short");
}

}  // namespace

void CipherState::Seal(absl::string_view associated_data, absl::string_view plaintext, std::string* out) {
  assert(nonce_ != std::numeric_limits<uint64_t>::max());
  aead_.Seal(crypto::NoiseNonce(nonce_), associated_data, plaintext, out);
  ++nonce_;
}

absl::Status CipherState::DoesNotAuthenticate() const {
  return ErrorWithReason(absl::StatusCode::kDataLoss, reason::kProtocol,
                         absl::StrCat("sealed message ", nonce_,
                                      " does not authenticate: it was changed, replayed, reordered or made with "
                                      "another key"));
}

absl::Status CipherState::Open(absl::string_view associated_data, absl::string_view sealed, std::string* out) {
  assert(nonce_ != std::numeric_limits<uint64_t>::max());
  if (!aead_.Open(crypto::NoiseNonce(nonce_), associated_data, sealed, out).ok()) return DoesNotAuthenticate();
  ++nonce_;
  return absl::OkStatus();
}

void CipherState::SealTo(absl::Span<const absl::string_view> pieces, char* out) {
  assert(nonce_ != std::numeric_limits<uint64_t>::max());
  aead_.SealTo(crypto::NoiseNonce(nonce_), "", pieces, out);
  ++nonce_;
}

absl::Status CipherState::OpenTo(absl::string_view sealed, char* out) {
  assert(nonce_ != std::numeric_limits<uint64_t>::max());
  if (!aead_.OpenTo(crypto::NoiseNonce(nonce_), "", sealed, out).ok()) return DoesNotAuthenticate();
  ++nonce_;
  return absl::OkStatus();
}

// What §4.2's REKEY(k) returns. The caller wipes it.
std::string CipherState::NextKey() const {
  const std::string zeros(crypto::kAeadKeySize, '\0');
  std::string sealed;
  sealed.reserve(crypto::kAeadKeySize + crypto::kAeadTagSize);
  aead_.Seal(crypto::NoiseNonce(std::numeric_limits<uint64_t>::max()), "", zeros, &sealed);
  sealed.resize(crypto::kAeadKeySize);
  return sealed;
}

void CipherState::Rekey() {
  std::string key = NextKey();
  aead_ = crypto::Aead(key);
  crypto::Wipe(key.data(), key.size());
}

void CipherState::Mix(absl::string_view secret) {
  std::string key = NextKey();
  const Derived derived(key, secret);
  aead_ = crypto::Aead(derived.keys.first);
  crypto::Wipe(key.data(), key.size());
}

std::optional<uint64_t> CipherState::NonceOf(absl::string_view sealed) const {
  const uint64_t first = nonce_ - std::min(nonce_, kNearby);
  std::string plaintext;
  for (uint64_t nonce = first; nonce <= nonce_ + kNearby; ++nonce) {
    if (!aead_.Open(crypto::NoiseNonce(nonce), "", sealed, &plaintext).ok()) continue;
    crypto::Wipe(plaintext.data(), plaintext.size());
    return nonce;
  }
  return std::nullopt;
}

SymmetricState::SymmetricState(absl::string_view protocol_name) {
  // §5.2: a name of exactly a hash's size or less is padded, a longer one hashed.
  hash_ = std::string(protocol_name);
  if (hash_.size() <= crypto::kSha256Size) {
    hash_.resize(crypto::kSha256Size, '\0');
  } else {
    hash_ = crypto::Sha256(hash_);
  }
  chaining_key_ = hash_;
}

SymmetricState::~SymmetricState() { crypto::Wipe(chaining_key_.data(), chaining_key_.size()); }

void SymmetricState::MixKey(absl::string_view input) {
  Derived derived(chaining_key_, input);
  chaining_key_.swap(derived.keys.first);
  cipher_.emplace(derived.keys.second);
}

void SymmetricState::MixHash(absl::string_view data) { hash_ = crypto::Sha256(absl::StrCat(hash_, data)); }

void SymmetricState::EncryptAndHash(absl::string_view plaintext, std::string* out) {
  const size_t start = out->size();
  if (cipher_) {
    cipher_->Seal(hash_, plaintext, out);
  } else {
    out->append(plaintext.data(), plaintext.size());
  }
  MixHash(absl::string_view(*out).substr(start));
}

absl::StatusOr<std::string> SymmetricState::DecryptAndHash(absl::string_view sealed) {
  std::string plaintext;
  if (cipher_) {
    RETURN_IF_ERROR(cipher_->Open(hash_, sealed, &plaintext));
  } else {
    plaintext = std::string(sealed);
  }
  MixHash(sealed);
  return plaintext;
}

CipherPair SymmetricState::Split(Role role) const {
  const Derived derived(chaining_key_, "");
  const auto& [first, second] = derived.keys;
  if (role == Role::kDialler) return {CipherState(first), CipherState(second)};
  return {CipherState(second), CipherState(first)};
}

HandshakeState::HandshakeState(Role role, absl::string_view prologue, crypto::DhKey static_key,
                               crypto::DhKey ephemeral_key)
    : role_(role), symmetric_(kProtocolName), static_(std::move(static_key)), ephemeral_(std::move(ephemeral_key)) {
  symmetric_.MixHash(prologue);
}

absl::Status HandshakeState::MixAgreement(const crypto::DhKey& mine, absl::string_view theirs) {
  ASSIGN_OR_RETURN(const auto shared, mine.Agree(theirs));
  symmetric_.MixKey(shared.view());
  return absl::OkStatus();
}

absl::Status HandshakeState::MixEphemeralStatic(bool ephemeral_is_diallers) {
  const bool ephemeral_is_mine = ephemeral_is_diallers == (role_ == Role::kDialler);
  return ephemeral_is_mine ? MixAgreement(ephemeral_, remote_static_) : MixAgreement(static_, remote_ephemeral_);
}

absl::Status HandshakeState::WriteMessage(absl::string_view payload, std::string* out) {
  if (!my_turn()) return absl::FailedPreconditionError("the handshake waits for the peer, or is over");
  if (next_message_ < 2) {  // e
    const absl::string_view ephemeral = ephemeral_.public_bytes();
    out->append(ephemeral.data(), ephemeral.size());
    symmetric_.MixHash(ephemeral);
  }
  if (next_message_ == 1) {  // ee, s, es
    RETURN_IF_ERROR(MixAgreement(ephemeral_, remote_ephemeral_));
    symmetric_.EncryptAndHash(static_.public_bytes(), out);
    RETURN_IF_ERROR(MixEphemeralStatic(/*ephemeral_is_diallers=*/true));
  } else if (next_message_ == 2) {  // s, se
    symmetric_.EncryptAndHash(static_.public_bytes(), out);
    RETURN_IF_ERROR(MixEphemeralStatic(/*ephemeral_is_diallers=*/false));
  }
  symmetric_.EncryptAndHash(payload, out);
  ++next_message_;
  return absl::OkStatus();
}

absl::StatusOr<std::string> HandshakeState::ReadMessage(absl::string_view message) {
  if (finished() || my_turn()) return absl::FailedPreconditionError("a handshake message came when none was to come");
  if (message.size() > kMaxNoiseMessage)
    return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kProtocol, "handshake message is too long");
  if (next_message_ < 2) {  // e
    if (message.size() < kDhSize) return TooShort();
    remote_ephemeral_ = std::string(message.substr(0, kDhSize));
    message.remove_prefix(kDhSize);
    symmetric_.MixHash(remote_ephemeral_);
  }
  if (next_message_ == 1) {  // ee, s, es
    RETURN_IF_ERROR(MixAgreement(ephemeral_, remote_ephemeral_));
    RETURN_IF_ERROR(ReadStaticKey(&message));
    RETURN_IF_ERROR(MixEphemeralStatic(/*ephemeral_is_diallers=*/true));
  } else if (next_message_ == 2) {  // s, se
    RETURN_IF_ERROR(ReadStaticKey(&message));
    RETURN_IF_ERROR(MixEphemeralStatic(/*ephemeral_is_diallers=*/false));
  }
  ASSIGN_OR_RETURN(std::string payload, symmetric_.DecryptAndHash(message));
  ++next_message_;
  return payload;
}

absl::Status HandshakeState::ReadStaticKey(absl::string_view* message) {
  constexpr size_t kSealedSize = kDhSize + crypto::kAeadTagSize;
  if (message->size() < kSealedSize) return TooShort();
  ASSIGN_OR_RETURN(remote_static_, symmetric_.DecryptAndHash(message->substr(0, kSealedSize)));
  message->remove_prefix(kSealedSize);
  return absl::OkStatus();
}

}  // namespace dotagent::session
