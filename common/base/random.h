// Randomness, as something that is handed in, so that a test or a simulation repeats from its seed.
#ifndef DOTAGENT_COMMON_BASE_RANDOM_H_
#define DOTAGENT_COMMON_BASE_RANDOM_H_

#include <cstddef>
#include <cstdint>
#include <string>

namespace dotagent {

class Random {
 public:
  virtual ~Random() = default;

  // Fills `size` bytes at `out`.
  virtual void Fill(void* out, size_t size) = 0;

  // `size` bytes.
  [[nodiscard]] std::string Bytes(size_t size);

  // Uniform in [0, limit); `limit` must not be 0.
  [[nodiscard]] uint64_t Below(uint64_t limit);
};

// The kernel's generator, getrandom(2): for keys and nonces. Thread-safe.
class SystemRandom : public Random {
 public:
  void Fill(void* out, size_t size) override;
};

// Repeats from its seed (splitmix64). Predictable: for tests and simulations only. Not thread-safe.
class SeededRandom : public Random {
 public:
  explicit SeededRandom(uint64_t seed) : state_(seed) {}
  void Fill(void* out, size_t size) override;

 private:
  uint64_t Next();
  uint64_t state_;
};

}  // namespace dotagent

#endif  // DOTAGENT_COMMON_BASE_RANDOM_H_
