// What the resolver does, knowing nothing of gRPC: publishes and finds records through the DHT, remembers answers,
// tells watchers.
//
// Believes no one: every record is verified here (finder.h), wherever it came from, a record of a revoked key is
// refused, and so is a name that another owner was seen to hold (pins.h).
//
// At most one lookup of a name runs at a time, however many ask (single flight). Who asks with bypass_cache while one
// runs waits for the next, so that the answer is never older than the question. A stale answer is handed out at once
// and renewed behind it.
//
// Everything on the service's loop, but AnswerFromCache.
#ifndef DOTAGENT_SERVICES_RESOLVER_HANDLER_H_
#define DOTAGENT_SERVICES_RESOLVER_HANDLER_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/dht/dht.h"
#include "common/identity/revocation.h"
#include "common/record/record.h"
#include "common/telemetry/metrics.h"
#include "dotagent/resolver/v1/resolver.pb.h"
#include "services/resolver/answer.h"
#include "services/resolver/finder.h"
#include "services/resolver/handler_metrics.h"
#include "services/resolver/pins.h"
#include "services/resolver/record_cache.h"
#include "services/resolver/watchers.h"

namespace dotagent::resolver_service {

class Handler {
 public:
  static constexpr size_t kMaxWatches = Watchers::kMax;
  static constexpr size_t kMaxRevokedNames = 10'000;
  static constexpr size_t kMaxBatch = 100;
  static constexpr size_t kBatchAtOnce = 16;     // names of one batch that are looked up at a time
  static constexpr size_t kMaxWaiting = 10'000;  // requests that wait for lookups

  struct Parts {
    dht::Dht& dht;
    Revocations& revocations;
    Pins& pins;
    const Clock& clock;
    telemetry::Metrics& metrics;
    // Runs work on the service's loop, from any thread.
    std::function<void(std::function<void()>)> post;
    // A name is his whom the registrar certified last: another owner than before is then no conflict.
    bool registrar_decides = false;
    size_t cached_records = 10'000;  // and as many absences
  };
  // Everything must outlive it, and what was posted must run before it goes or not at all.
  explicit Handler(Parts parts);
  ~Handler();

  // Answers from what is remembered, if it can: OK with `response` filled, or why there is no answer. std::nullopt:
  // call Resolve. From any thread, also while the others run; takes about a microsecond.
  [[nodiscard]] std::optional<absl::Status> AnswerFromCache(const resolver::v1::ResolveRequest& request,
                                                            resolver::v1::ResolveResponse& response);

  void Publish(const resolver::v1::PublishRequest& request, Callback<resolver::v1::PublishResponse> done);
  void Resolve(const resolver::v1::ResolveRequest& request, Callback<resolver::v1::ResolveResponse> done);
  void BatchResolve(const resolver::v1::BatchResolveRequest& request,
                    Callback<resolver::v1::BatchResolveResponse> done);
  void PublishRevocation(const resolver::v1::PublishRevocationRequest& request,
                         Callback<resolver::v1::PublishRevocationResponse> done);

  void PublishRotation(const resolver::v1::PublishRotationRequest& request,
                       Callback<resolver::v1::PublishRotationResponse> done);
  void GetRotation(const resolver::v1::GetRotationRequest& request, Callback<resolver::v1::GetRotationResponse> done);

  // Calls `tell` with each piece of news of a name until Unwatch. ResourceExhausted (LIMIT) over kMaxWatches.
  [[nodiscard]] absl::StatusOr<uint64_t> Watch(const record::Name& name,
                                               std::function<void(const resolver::v1::WatchResponse&)> tell);
  void Unwatch(uint64_t watch);

  // A key became revoked: its records are forgotten, and watchers told.
  void OnRevoked(const identity::Revocation& revocation, const std::string& statement);

  [[nodiscard]] size_t cached_records() const { return cache_.records(); }
  [[nodiscard]] size_t cached_absences() const { return cache_.absences(); }

 private:
  struct Waiter {
    bool with_receipts = false;
    Callback<resolver::v1::ResolveResponse> done;
  };
  struct Flight;
  struct Batch;

  void Join(const record::Name& name, bool bypass, Waiter waiter);
  void Renew(const record::Name& name);
  Flight& Depart(const record::Name& name);
  void Land(const record::Name& name, absl::StatusOr<Answer> found);
  // OK if nobody else was seen to hold the name, or that does not matter.
  [[nodiscard]] absl::Status CheckPin(const record::Name& name, const identity::AgentId& owner);
  [[nodiscard]] absl::StatusOr<std::shared_ptr<const Answer>> Judge(const record::Name& name,
                                                                    absl::StatusOr<Answer> found, absl::Time asked);
  void Remember(std::shared_ptr<const Answer> answer);
  void OnAbsent(const record::Name& name, const absl::Status& why, absl::Time asked);
  void OnConflict(const record::Name& name, const absl::Status& conflict);
  void PutRecord(dht::Value value, const record::Record& record, const identity::AgentId& owner,
                 Callback<resolver::v1::PublishResponse> done);
  void Pump(const std::shared_ptr<Batch>& batch);

  const Parts parts_;
  HandlerMetrics metrics_;
  Finder finder_;
  RecordCache cache_;
  Watchers watchers_;
  absl::flat_hash_map<record::Name, std::unique_ptr<Flight>> flights_;
  size_t waiting_ = 0;  // in all flights
  // Names whose record was forgotten because its key was revoked. The DHT's holders forget it too, and asked later can
  // only say that there is none: this one still knows why. Bounded by kMaxRevokedNames; a new record under the name
  // ends it.
  absl::flat_hash_set<record::Name> revoked_names_;
};

}  // namespace dotagent::resolver_service

#endif  // DOTAGENT_SERVICES_RESOLVER_HANDLER_H_
