// SHA-256, lines, words and bytes of a stream, counted as `sha256sum` and `wc` do in the C locale.
#ifndef DOTAGENT_CLI_DIGEST_H_
#define DOTAGENT_CLI_DIGEST_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "common/crypto/hash.h"

namespace dotagent::cli {

class Digest {
 public:
  void Update(absl::string_view data);
  // {"sha256": hex, "lines": n, "words": n, "bytes": n}; the digest is spent.
  [[nodiscard]] std::string FinishAsJson();

 private:
  crypto::Sha256Stream sha256_;
  uint64_t lines_ = 0;
  uint64_t words_ = 0;
  uint64_t bytes_ = 0;
  bool in_word_ = false;
};

}  // namespace dotagent::cli

#endif  // DOTAGENT_CLI_DIGEST_H_
