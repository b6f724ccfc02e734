// A check that release builds keep. An assert is not enough where going on would send plaintext or use a key that was
// never set: there the only safe answer to an impossible state is to stop.
#ifndef DOTAGENT_COMMON_CRYPTO_CHECK_H_
#define DOTAGENT_COMMON_CRYPTO_CHECK_H_

#include <cstdio>
#include <cstdlib>

namespace dotagent::crypto {

// Ends the process if `condition` is false. For what no input can cause: a library that refuses correct arguments,
// exhausted memory, a caller that breaks a documented size.
inline void CheckAlways(bool condition, const char* what) {
  if (!condition) [[unlikely]] {
    std::fprintf(stderr, "fatal: %s\n", what);
    std::abort();
  }
}

}  // namespace dotagent::crypto

#endif  // DOTAGENT_COMMON_CRYPTO_CHECK_H_
