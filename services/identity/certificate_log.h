// Every certificate that this service has issued, in order, durable before it is handed out: so that what a registrar
// has vouched for can be looked up, also after a crash.
//
// Group commit: what is asked for while others are being written is written together, in one batch and one sync of the
// disk. The batch holds what else must be durable by then (the registrar's name book), so that the two never differ.
// Entries go 30 days after their certificates have ended; the log is bounded by the rate of issuing and that time.
//
// In the store: "cert/" ‖ number (8 bytes, big-endian): end of the certificate (8 bytes, big-endian, Unix
// milliseconds) ‖ length of the name certificate (2 bytes) ‖ name certificate ‖ SVID, both DER. "certified/" ‖ key: the
// number of the newest entry for that key.
#ifndef DOTAGENT_SERVICES_IDENTITY_CERTIFICATE_LOG_H_
#define DOTAGENT_SERVICES_IDENTITY_CERTIFICATE_LOG_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/crypto/keys.h"
#include "common/identity/certificate.h"
#include "common/storage/store.h"

namespace dotagent::identity_service {

inline constexpr absl::Duration kCertificateKept = absl::Hours(24 * 30);

// Not thread-safe: on the service's loop.
class CertificateLog {
 public:
  struct Entry {
    uint64_t number = 0;
    absl::Time ends;
    identity::IssuedCertificates certificates;
  };

  // `store` must outlive it. DataLoss (STORAGE) if an entry is damaged.
  [[nodiscard]] static absl::StatusOr<CertificateLog> Open(storage::Store* store);

  // What is written with the next commit. `done` is called once, on the loop, after the disk has it: OK, or Unavailable
  // (STORAGE), and then nothing of the commit is there.
  void Append(const identity::IssuedCertificates& certificates, absl::Time ends,
              std::function<void(const absl::Status&)> done, storage::Batch also = {});
  // Writes what waits, calls everyone back, and drops what is past its time. After Append, soon.
  void Commit(absl::Time now);

  // The first entry whose number is above `number`; std::nullopt if there is none.
  [[nodiscard]] absl::StatusOr<std::optional<Entry>> After(uint64_t number) const;
  // Whether an entry is kept for a certificate of this key: one that holds, or ended in the last 30 days.
  [[nodiscard]] absl::StatusOr<bool> Knows(const crypto::PublicKey& key) const;
  [[nodiscard]] size_t waiting() const { return waiting_.size(); }

 private:
  explicit CertificateLog(storage::Store* store) : store_(store) {}
  [[nodiscard]] absl::Status AddExpired(absl::Time now, storage::Batch& batch) const;

  storage::Store* store_;
  uint64_t last_ = 0;
  storage::Batch batch_;
  std::vector<std::function<void(const absl::Status&)>> waiting_;
};

}  // namespace dotagent::identity_service

#endif  // DOTAGENT_SERVICES_IDENTITY_CERTIFICATE_LOG_H_
