// What the resolver does, knowing nothing of gRPC: publishes and finds records through the DHT, remembers answers,
// tells watchers.
//
// Believes no one: every record is verified here, wherever it came from, and a record of a revoked key is refused,
// whether the revocation came from identity's stream or is found in the DHT.
//
// Not thread-safe: everything on the service's loop.
#ifndef DOTAGENT_SERVICES_RESOLVER_HANDLER_H_
#define DOTAGENT_SERVICES_RESOLVER_HANDLER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/dht/dht.h"
#include "common/identity/revocation.h"
#include "common/record/record.h"
#include "common/telemetry/metrics.h"
#include "dotagent/resolver/v1/resolver.pb.h"
#include "services/resolver/record_cache.h"

namespace dotagent::resolver_service {

template <typename T>
using Callback = std::function<void(absl::StatusOr<T>)>;

// What the handler needs to know of revocations; host::RevocationFeed behind an interface, so that tests need no
// network.
class Revocations {
 public:
  virtual ~Revocations() = default;
  [[nodiscard]] virtual bool IsRevoked(const crypto::PublicKey& key) const = 0;
  [[nodiscard]] virtual absl::Status Learn(absl::string_view statement) = 0;
};

class Handler {
 public:
  static constexpr size_t kMaxWatches = 10'000;
  static constexpr size_t kMaxRevokedNames = 10'000;

  // Everything must outlive it.
  Handler(dht::Dht& dht, Revocations& revocations, const Clock& clock, telemetry::Metrics& metrics);
  ~Handler();

  void Publish(const resolver::v1::PublishRequest& request, Callback<resolver::v1::PublishResponse> done);
  void Resolve(const resolver::v1::ResolveRequest& request, Callback<resolver::v1::ResolveResponse> done);
  void PublishRevocation(const resolver::v1::PublishRevocationRequest& request,
                         Callback<resolver::v1::PublishRevocationResponse> done);

  // Calls `tell` with each piece of news of a name until Unwatch. ResourceExhausted (LIMIT) over kMaxWatches.
  [[nodiscard]] absl::StatusOr<uint64_t> Watch(const record::Name& name,
                                               std::function<void(const resolver::v1::WatchResponse&)> tell);
  void Unwatch(uint64_t watch);

  // A key became revoked: its records are forgotten, and watchers told.
  void OnRevoked(const identity::Revocation& revocation, const std::string& statement);

 private:
  struct Resolution;
  struct Watcher {
    record::Name name;
    std::function<void(const resolver::v1::WatchResponse&)> tell;
  };

  void OnFound(const std::shared_ptr<Resolution>& resolution, absl::StatusOr<dht::GetResult> found);
  void OnRevocationChecked(const std::shared_ptr<Resolution>& resolution, const absl::StatusOr<dht::GetResult>& found);
  void Answer(const std::shared_ptr<Resolution>& resolution, absl::StatusOr<resolver::v1::ResolveResponse> answer);
  void Remember(const record::Record& record);
  void Tell(const record::Name& name, const resolver::v1::WatchResponse& news);
  [[nodiscard]] absl::Status CheckNotRevoked(const record::Record& record) const;
  [[nodiscard]] absl::Status NotFound(const record::Name& name) const;

  dht::Dht& dht_;
  Revocations& revocations_;
  const Clock& clock_;
  RecordCache cache_;
  // Names whose record was forgotten because its key was revoked. The DHT's holders forget it too, and asked later can
  // only say that there is none: this one still knows why. Bounded by kMaxRevokedNames; a new record under the name
  // ends it.
  absl::flat_hash_set<record::Name> revoked_names_;
  absl::flat_hash_map<uint64_t, Watcher> watchers_;
  uint64_t next_watch_ = 1;

  telemetry::Counter& from_cache_;
  telemetry::Counter& from_store_;
  telemetry::Counter& from_dht_;
  telemetry::Counter& not_found_;
  telemetry::Counter& failed_;
  telemetry::Counter& published_;
  telemetry::Counter& publish_refused_;
  telemetry::Histogram& resolve_seconds_;
};

}  // namespace dotagent::resolver_service

#endif  // DOTAGENT_SERVICES_RESOLVER_HANDLER_H_
