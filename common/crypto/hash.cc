#include "common/crypto/hash.h"

#include <bit>
#include <cstdint>

#include "common/crypto/check.h"
#include "common/crypto/openssl.h"
#include "common/crypto/secret.h"

namespace dotagent::crypto {
namespace {

constexpr size_t kHmacBlock = 64;  // SHA-256's

// Looking an algorithm up costs more than hashing 32 bytes, so it is done once; OpenSSL frees it with itself at exit.
const EVP_MD* Sha256Algorithm() {
  static const EVP_MD* const algorithm = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  CheckAlways(algorithm != nullptr, "this OpenSSL has no SHA-256");
  return algorithm;
}

}  // namespace

std::string Sha256(absl::string_view data) {
  std::string out(kSha256Size, '\0');
  CheckAlways(EVP_Digest(data.data(), data.size(), OpenSslBytes(out), nullptr, Sha256Algorithm(), nullptr) == 1,
              "SHA-256 failed");
  return out;
}

struct Sha256Stream::Context {
  DigestContextPtr digest{EVP_MD_CTX_new()};
};

Sha256Stream::Sha256Stream() : context_(std::make_unique<Context>()) {
  CheckAlways(context_->digest != nullptr && EVP_DigestInit_ex(context_->digest.get(), Sha256Algorithm(), nullptr) == 1,
              "SHA-256 does not start");
}
Sha256Stream::~Sha256Stream() = default;
Sha256Stream::Sha256Stream(Sha256Stream&&) noexcept = default;
Sha256Stream& Sha256Stream::operator=(Sha256Stream&&) noexcept = default;

void Sha256Stream::Update(absl::string_view data) {
  CheckAlways(EVP_DigestUpdate(context_->digest.get(), data.data(), data.size()) == 1, "SHA-256 failed");
}

std::string Sha256Stream::Finish() {
  std::string out(kSha256Size, '\0');
  CheckAlways(EVP_DigestFinal_ex(context_->digest.get(), OpenSslBytes(out), nullptr) == 1,
              "SHA-256 failed: was the stream finished twice?");
  return out;
}

// Written out as RFC 2104 has it, since OpenSSL's HMAC() looks its algorithm up in every call, which takes four times
// as long as both hashes.
std::string HmacSha256(absl::string_view key, absl::string_view data) {
  std::string short_key = key.size() > kHmacBlock ? Sha256(key) : std::string(key);
  std::string inner;
  std::string outer;
  inner.reserve(kHmacBlock + data.size());  // before the key is in it: growing would leave a copy behind
  outer.reserve(kHmacBlock + kSha256Size);
  inner.assign(kHmacBlock, '\x36');
  outer.assign(kHmacBlock, '\x5c');
  for (size_t i = 0; i < short_key.size(); ++i) {
    inner[i] = static_cast<char>(inner[i] ^ short_key[i]);
    outer[i] = static_cast<char>(outer[i] ^ short_key[i]);
  }
  inner.append(data.data(), data.size());
  outer.append(Sha256(inner));
  std::string mac = Sha256(outer);
  for (std::string* secret : {&short_key, &inner, &outer}) Wipe(secret->data(), secret->size());
  return mac;
}

int LeadingZeroBits(absl::string_view bytes) {
  int zeros = 0;
  for (const char c : bytes) {
    zeros += std::countl_zero(static_cast<uint8_t>(c));
    if (c != 0) break;
  }
  return zeros;
}

std::pair<std::string, std::string> NoiseHkdf2(absl::string_view chaining_key, absl::string_view input) {
  std::string temporary = HmacSha256(chaining_key, input);
  std::string first = HmacSha256(temporary, absl::string_view("\x01", 1));
  std::string block = first + '\x02';
  std::string second = HmacSha256(temporary, block);
  Wipe(temporary.data(), temporary.size());
  Wipe(block.data(), block.size());
  return {std::move(first), std::move(second)};
}

}  // namespace dotagent::crypto
