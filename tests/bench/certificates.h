// What issuing a certificate costs identity, with the disk: proofs checked, two certificates signed, both logged.
#ifndef DOTAGENT_TESTS_BENCH_CERTIFICATES_H_
#define DOTAGENT_TESTS_BENCH_CERTIFICATES_H_

#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "tests/bench/report.h"

namespace dotagent::bench {

// Adds the rows: identity's handler on one core over RocksDB, without gRPC, with the writes synced as the service has
// them, in `folder`, which must be on the disk that is meant. Some seconds a repetition.
[[nodiscard]] absl::Status MeasureCertificates(size_t repetitions, const std::string& folder, Report& report);

}  // namespace dotagent::bench

#endif  // DOTAGENT_TESTS_BENCH_CERTIFICATES_H_
