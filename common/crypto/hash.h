// SHA-256 and what is built on it (OpenSSL's: five times libsodium's speed here).
#ifndef DOTAGENT_COMMON_CRYPTO_HASH_H_
#define DOTAGENT_COMMON_CRYPTO_HASH_H_

#include <cstddef>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"

namespace dotagent::crypto {

inline constexpr size_t kSha256Size = 32;

// 32 bytes.
[[nodiscard]] std::string Sha256(absl::string_view data);

// SHA-256 of data that comes in pieces. Not thread-safe.
class Sha256Stream {
 public:
  Sha256Stream();
  ~Sha256Stream();
  Sha256Stream(Sha256Stream&&) noexcept;
  Sha256Stream& operator=(Sha256Stream&&) noexcept;

  void Update(absl::string_view data);
  // 32 bytes; the stream is spent.
  [[nodiscard]] std::string Finish();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

// RFC 2104, 32 bytes.
[[nodiscard]] std::string HmacSha256(absl::string_view key, absl::string_view data);

// How many bits of `bytes`, from the first one's highest on, are 0: what a proof of work is measured by.
[[nodiscard]] int LeadingZeroBits(absl::string_view bytes);

// The two-output HKDF of the Noise specification §4.3: 32 bytes each. The outputs are secrets: the caller moves them
// into SecretBytes or wipes them.
[[nodiscard]] std::pair<std::string, std::string> NoiseHkdf2(absl::string_view chaining_key, absl::string_view input);

}  // namespace dotagent::crypto

#endif  // DOTAGENT_COMMON_CRYPTO_HASH_H_
