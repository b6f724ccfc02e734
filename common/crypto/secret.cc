#include "common/crypto/secret.h"

#include <cstring>
#include <utility>

#include "common/crypto/sodium.h"

namespace dotagent::crypto {

SecretBytes::SecretBytes(size_t size) : size_(size) {
  if (size == 0) {
    return;
  }
  EnsureSodium();
  data_ = static_cast<uint8_t*>(sodium_malloc(size));
  CheckAlways(data_ != nullptr, "no memory for a secret: raise vm.max_map_count, or the memory limit");
  std::memset(data_, 0, size);
}

SecretBytes::SecretBytes(absl::string_view bytes) : SecretBytes(bytes.size()) {
  if (!bytes.empty()) {
    std::memcpy(data_, bytes.data(), bytes.size());
  }
}

SecretBytes::SecretBytes(SecretBytes&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

SecretBytes& SecretBytes::operator=(SecretBytes&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

SecretBytes::~SecretBytes() {
  sodium_free(data_);  // wipes first
}

void Wipe(void* data, size_t size) {
  if (size != 0) {
    sodium_memzero(data, size);
  }
}

}  // namespace dotagent::crypto
