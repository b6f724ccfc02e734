#include "common/base/random.h"

#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace dotagent {

std::string Random::Bytes(size_t size) {
  std::string bytes(size, '\0');
  Fill(bytes.data(), size);
  return bytes;
}

uint64_t Random::Below(uint64_t limit) {
  // Draws below 2^64 mod limit are thrown away, so that every remainder is as likely as every other.
  const uint64_t unfair = (0 - limit) % limit;
  uint64_t draw = 0;
  do {
    Fill(&draw, sizeof(draw));
  } while (draw < unfair);
  return draw % limit;
}

void SystemRandom::Fill(void* out, size_t size) {
  auto* next = static_cast<char*>(out);
  while (size > 0) {
    const ssize_t got = getrandom(next, size, 0);
    if (got < 0) {
      if (errno == EINTR) continue;
      // Going on without randomness would make keys that others can guess.
      std::perror("getrandom");
      std::abort();
    }
    next += got;
    size -= static_cast<size_t>(got);
  }
}

uint64_t SeededRandom::Next() {
  uint64_t z = (state_ += 0x9e3779b97f4a7c15);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

void SeededRandom::Fill(void* out, size_t size) {
  auto* next = static_cast<char*>(out);
  while (size > 0) {
    const uint64_t word = Next();
    const size_t take = std::min(size, sizeof(word));
    std::memcpy(next, &word, take);
    next += take;
    size -= take;
  }
}

}  // namespace dotagent
