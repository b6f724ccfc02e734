// Signed records for the benchmarks, as many as there are numbers.
#ifndef DOTAGENT_TESTS_BENCH_RECORDS_H_
#define DOTAGENT_TESTS_BENCH_RECORDS_H_

#include <cstddef>
#include <string>

#include "absl/time/time.h"
#include "common/base/random.h"
#include "common/crypto/keys.h"

namespace dotagent::bench {

class Records {
 public:
  // Records of about `size` bytes of JSON (at least what an empty one takes), all of one owner.
  explicit Records(size_t size);

  [[nodiscard]] static std::string Name(size_t index);
  // SHA-256 of the name.
  [[nodiscard]] static std::string DhtKey(size_t index);
  // The record's JSON.
  [[nodiscard]] std::string Make(size_t index, absl::Time when) const;

 private:
  SystemRandom random_;
  const crypto::SigningKey key_;
  std::string filler_;
};

}  // namespace dotagent::bench

#endif  // DOTAGENT_TESTS_BENCH_RECORDS_H_
