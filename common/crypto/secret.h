// Bytes that must not outlive their use.
//
// Defends against secrets in swap, in core dumps and in freed memory: the bytes live in pages from sodium_malloc
// (locked, fenced by guard pages, excluded from core dumps) and are wiped when the owner goes. They are never printed.
#ifndef DOTAGENT_COMMON_CRYPTO_SECRET_H_
#define DOTAGENT_COMMON_CRYPTO_SECRET_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"

namespace dotagent::crypto {

// Movable; not copyable. Each costs four pages, three kernel mappings (of a process's 65,530) and about 20 µs of system
// calls: for keys, not for data. Where the limit on locked memory is reached the bytes are still fenced and wiped, but
// may be swapped.
class SecretBytes {
 public:
  SecretBytes() = default;
  // `size` zero bytes.
  explicit SecretBytes(size_t size);
  // A copy of `bytes`; the caller wipes its own.
  explicit SecretBytes(absl::string_view bytes);
  SecretBytes(SecretBytes&& other) noexcept;
  SecretBytes& operator=(SecretBytes&& other) noexcept;
  SecretBytes(const SecretBytes&) = delete;
  SecretBytes& operator=(const SecretBytes&) = delete;
  ~SecretBytes();

  [[nodiscard]] uint8_t* data() { return data_; }
  [[nodiscard]] const uint8_t* data() const { return data_; }
  [[nodiscard]] size_t size() const { return size_; }
  [[nodiscard]] absl::string_view view() const { return {reinterpret_cast<const char*>(data_), size_}; }

 private:
  uint8_t* data_ = nullptr;
  size_t size_ = 0;
};

// Overwrites memory in a way that the compiler keeps.
void Wipe(void* data, size_t size);

// A secret that is over with the handshake it was made for: wiped like any other, but held inside its owner instead of
// in pages of its own, which would cost more than all of the handshake's arithmetic. Movable, which wipes the source;
// not copyable.
template <size_t kSize>
class BriefSecret {
 public:
  BriefSecret() = default;  // zeros
  BriefSecret(BriefSecret&& other) noexcept : bytes_(other.bytes_) { Wipe(other.data(), kSize); }
  BriefSecret& operator=(BriefSecret&& other) noexcept {
    bytes_.swap(other.bytes_);
    return *this;
  }
  BriefSecret(const BriefSecret&) = delete;
  BriefSecret& operator=(const BriefSecret&) = delete;
  ~BriefSecret() { Wipe(bytes_.data(), kSize); }

  [[nodiscard]] uint8_t* data() { return bytes_.data(); }
  [[nodiscard]] const uint8_t* data() const { return bytes_.data(); }
  [[nodiscard]] absl::string_view view() const { return {reinterpret_cast<const char*>(bytes_.data()), kSize}; }

 private:
  std::array<uint8_t, kSize> bytes_{};
};

}  // namespace dotagent::crypto

#endif  // DOTAGENT_COMMON_CRYPTO_SECRET_H_
