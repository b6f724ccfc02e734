#include "services/resolver/handler.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/crypto/peer_id.h"
#include "common/dht/record_value.h"
#include "common/identity/agent_id.h"
#include "common/identity/rotation.h"
#include "common/telemetry/log.h"

namespace dotagent::resolver_service {
namespace {

namespace v1 = ::dotagent::resolver::v1;

uint32_t Seconds(absl::Duration duration) {
  return static_cast<uint32_t>(std::max<int64_t>(0, absl::ToInt64Seconds(duration)));
}

// All but where it came from and how long it may be kept.
void Fill(const Answer& answer, bool with_receipts, absl::Time now, v1::ResolveResponse& response) {
  response.set_record_json(answer.record.json());
  response.set_agreeing_nodes(answer.agreeing_nodes);
  response.set_paths_agreed(answer.paths_agreed);
  response.set_receipt_count(static_cast<uint32_t>(answer.receipts.size()));
  response.set_record_ttl_s(Seconds(answer.record.expires() - now));
  response.set_owner(answer.owner.bytes().data(), answer.owner.bytes().size());
  if (!with_receipts) return;
  for (const Receipt& receipt : answer.receipts) {
    v1::Receipt& sent = *response.add_receipts();
    sent.set_node_id(receipt.node.bytes().data(), receipt.node.bytes().size());
    sent.set_first_seen_ms(absl::ToUnixMillis(receipt.first_seen));
    sent.set_signature(receipt.signature);
  }
}

}  // namespace

// One lookup of a name, and who waits for it.
struct Handler::Flight {
  absl::Time asked;
  absl::Duration started;
  std::vector<Waiter> waiters;
  std::vector<Waiter> next;  // came meanwhile and want no answer to an older question
};

struct Handler::Batch {
  v1::BatchResolveRequest request;
  v1::BatchResolveResponse response;
  Callback<v1::BatchResolveResponse> done;
  int begun = 0;
  size_t running = 0;
  bool pumping = false;
};

Handler::Handler(Parts parts)
    : parts_(std::move(parts)),
      metrics_(parts_.metrics),
      finder_(parts_.dht, parts_.revocations, parts_.clock),
      cache_(parts_.cached_records) {}

Handler::~Handler() = default;

std::optional<absl::Status> Handler::AnswerFromCache(const v1::ResolveRequest& request, v1::ResolveResponse& response) {
  if (request.bypass_cache() || request.accept_new_owner()) return std::nullopt;
  const auto name = record::Name::Parse(request.name());
  if (!name.ok()) return name.status();
  const absl::Time now = parts_.clock.Now();
  RecordCache::Hit hit = cache_.Find(*name, now);
  switch (hit.state) {
    case RecordCache::State::kMiss:
      return std::nullopt;
    case RecordCache::State::kAbsent:
      metrics_.cache_absent.Increment();
      return hit.absence;
    case RecordCache::State::kFresh:
      metrics_.cache_fresh.Increment();
      response.set_remaining_ttl_s(Seconds(hit.fresh_for));
      break;
    case RecordCache::State::kStale:
      metrics_.cache_stale.Increment();
      response.set_stale(true);
      if (hit.renew) parts_.post([this, name = *name] { Renew(name); });
      break;
  }
  Fill(*hit.answer, request.with_receipts(), now, response);
  response.set_source(v1::ANSWER_SOURCE_CACHE);
  return absl::OkStatus();
}

void Handler::Resolve(const v1::ResolveRequest& request, Callback<v1::ResolveResponse> done) {
  const auto name = record::Name::Parse(request.name());
  if (!name.ok()) return done(name.status());
  v1::ResolveResponse remembered;
  if (const auto answered = AnswerFromCache(request, remembered)) {
    return done(answered->ok() ? absl::StatusOr<v1::ResolveResponse>(std::move(remembered)) : *answered);
  }
  if (request.accept_new_owner()) {
    telemetry::Log(telemetry::Level::kWarning, "an operator accepts whoever holds the name now",
                   {{"name", name->text()}, {"was_pinned", parts_.pins.Forget(*name) ? "yes" : "no"}});
    cache_.Evict(*name);
  }
  Join(*name, request.bypass_cache() || request.accept_new_owner(), {request.with_receipts(), std::move(done)});
}

void Handler::Join(const record::Name& name, bool bypass, Waiter waiter) {
  if (waiting_ >= kMaxWaiting) {
    metrics_.refused.Increment();
    return waiter.done(
        ErrorWithReason(absl::StatusCode::kResourceExhausted, reason::kLimit,
                        absl::StrCat("this resolver looks up ", kMaxWaiting, " names already; try again later")));
  }
  ++waiting_;
  const auto running = flights_.find(name);
  if (running == flights_.end()) {
    Depart(name).waiters.push_back(std::move(waiter));
    return;
  }
  metrics_.joined.Increment();
  (bypass ? running->second->next : running->second->waiters).push_back(std::move(waiter));
}

void Handler::Renew(const record::Name& name) {
  if (!flights_.contains(name)) Depart(name);
}

Handler::Flight& Handler::Depart(const record::Name& name) {
  auto& flight = flights_[name];
  flight = std::make_unique<Flight>(Flight{.asked = parts_.clock.Now(), .started = parts_.clock.Elapsed()});
  // The DHT answers later, never from inside.
  finder_.Find(name, [this, name](absl::StatusOr<Answer> found) { Land(name, std::move(found)); });
  return *flight;
}

void Handler::Land(const record::Name& name, absl::StatusOr<Answer> found) {
  const std::unique_ptr<Flight> flight = std::move(flights_.extract(name).mapped());
  metrics_.resolve_seconds.Observe(absl::ToDoubleSeconds(parts_.clock.Elapsed() - flight->started));
  const bool from_own_store = found.ok() && found->from_own_store;
  const uint32_t hops = found.ok() ? found->hops : 0;
  const uint32_t messages = found.ok() ? found->messages : 0;
  const auto answer = Judge(name, std::move(found), flight->asked);
  if (flight->waiters.empty()) metrics_.CountRenewal(answer.status());
  if (!flight->next.empty()) Depart(name).waiters = std::move(flight->next);
  waiting_ -= flight->waiters.size();
  const absl::Time now = parts_.clock.Now();
  for (Waiter& waiter : flight->waiters) {
    metrics_.CountLookup(answer.status(), from_own_store);
    if (!answer.ok()) {
      waiter.done(answer.status());
      continue;
    }
    v1::ResolveResponse response;
    Fill(**answer, waiter.with_receipts, now, response);
    response.set_source(from_own_store ? v1::ANSWER_SOURCE_STORE : v1::ANSWER_SOURCE_DHT);
    response.set_hops(hops);
    response.set_messages(messages);
    const RecordCache::Hit kept = cache_.Find(name, now);
    response.set_remaining_ttl_s(kept.state == RecordCache::State::kFresh ? Seconds(kept.fresh_for) : 0);
    waiter.done(std::move(response));
  }
}

absl::Status Handler::CheckPin(const record::Name& name, const identity::AgentId& owner) {
  return parts_.registrar_decides ? absl::OkStatus() : parts_.pins.Check(name, owner, parts_.clock.Now());
}

absl::StatusOr<std::shared_ptr<const Answer>> Handler::Judge(const record::Name& name, absl::StatusOr<Answer> found,
                                                             absl::Time asked) {
  absl::Status status = found.status();
  if (absl::IsNotFound(status) && revoked_names_.contains(name)) {
    status = KeyRevoked(name);
    OnAbsent(name, status, asked);
    return status;
  }
  if (absl::IsNotFound(status)) OnAbsent(name, status, asked);
  if (ReasonOf(status) == reason::kConflict) {
    metrics_.conflicts_in_dht.Increment();
    OnConflict(name, status);
  }
  if (!status.ok()) {
    // Its revocation, when it became known, has evicted the record already, unless that was under another key.
    if (ReasonOf(status) == reason::kKeyRevoked) cache_.Evict(name);
    return status;
  }
  status = CheckPin(name, found->owner);
  if (!status.ok()) {
    metrics_.conflicts_with_pin.Increment();
    OnConflict(name, status);
    return status;
  }
  auto answer = std::make_shared<const Answer>(*std::move(found));
  Remember(answer);
  return answer;
}

void Handler::Remember(std::shared_ptr<const Answer> answer) {
  const record::Record& record = answer->record;
  revoked_names_.erase(record.name());
  parts_.pins.See(*answer, parts_.clock.Now());
  if (!cache_.Insert(answer, parts_.clock.Now())) return;
  v1::WatchResponse news;
  news.set_record_json(record.json());
  watchers_.Tell(record.name(), news);
}

void Handler::OnAbsent(const record::Name& name, const absl::Status& why, absl::Time asked) {
  if (!cache_.InsertAbsence(name, why, asked, parts_.clock.Now())) return;
  v1::WatchResponse news;
  news.set_absent(true);
  watchers_.Tell(name, news);
}

void Handler::OnConflict(const record::Name& name, const absl::Status& conflict) {
  telemetry::Log(telemetry::Level::kWarning, "a name is contested",
                 {{"name", name.text()}, {"error", std::string(conflict.message())}});
  cache_.Evict(name);
  v1::WatchResponse news;
  news.set_conflict(std::string(conflict.message()));
  watchers_.Tell(name, news);
}

void Handler::BatchResolve(const v1::BatchResolveRequest& request, Callback<v1::BatchResolveResponse> done) {
  if (static_cast<size_t>(request.names_size()) > kMaxBatch) {
    return done(ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kTooLarge,
                                absl::StrCat("a batch of ", request.names_size(), " names is over the limit of ",
                                             kMaxBatch, "; send several")));
  }
  auto batch = std::make_shared<Batch>();
  batch->request = request;
  batch->done = std::move(done);
  for (const std::string& name : request.names()) batch->response.add_results()->set_name(name);
  Pump(batch);
}

void Handler::Pump(const std::shared_ptr<Batch>& batch) {
  if (std::exchange(batch->pumping, true)) return;  // an answer from inside Resolve; the loop below goes on
  while (batch->running < kBatchAtOnce && batch->begun < batch->request.names_size()) {
    v1::NameResult* result = batch->response.mutable_results(batch->begun++);
    v1::ResolveRequest one;
    one.set_name(result->name());
    one.set_bypass_cache(batch->request.bypass_cache());
    one.set_with_receipts(batch->request.with_receipts());
    ++batch->running;
    Resolve(one, [this, batch, result](absl::StatusOr<v1::ResolveResponse> answer) {
      --batch->running;
      if (answer.ok()) {
        *result->mutable_answer() = *std::move(answer);
      } else {
        result->mutable_error()->set_code(answer.status().raw_code());
        result->mutable_error()->set_reason(ReasonOf(answer.status()));
        result->mutable_error()->set_message(std::string(answer.status().message()));
      }
      Pump(batch);
    });
  }
  batch->pumping = false;
  const bool ended = batch->running == 0 && batch->begun == batch->request.names_size();
  if (ended && batch->done) std::exchange(batch->done, nullptr)(std::move(batch->response));
}

void Handler::Publish(const v1::PublishRequest& request, Callback<v1::PublishResponse> done) {
  const auto refuse = [this, done](const absl::Status& status) {
    metrics_.publish_refused.Increment();
    done(status);
  };
  auto record = record::Record::Verify(request.record_json(), parts_.clock.Now());
  if (!record.ok()) return refuse(record.status());
  const absl::Status allowed = finder_.CheckNotRevoked(*record);
  if (!allowed.ok()) return refuse(allowed);
  // Whose it is may follow from the proof, and with it whether the pin and the cache agree.
  auto value = parts_.dht.Check(dht::ValueKind::kRecord,
                                {.bytes = record->json(),
                                 .proof = dht::EncodeProof({.rotation_chain = request.rotation_chain(),
                                                            .name_certificate = request.name_certificate()})});
  if (!value.ok()) return refuse(value.status());
  const auto owner = identity::AgentId::FromBytes(value->owner.bytes());
  if (!owner.ok()) return refuse(owner.status());
  if (!CheckPin(record->name(), *owner).ok()) {
    return refuse(ErrorWithReason(absl::StatusCode::kAlreadyExists, reason::kNameTaken,
                                  absl::StrCat("another key holds ", record->name().text(),
                                               "; choose another name, or sign with the key that holds it")));
  }
  const auto put = [this, value = *std::move(value), record = *std::move(record), owner = *owner,
                    done = std::move(done)] { PutRecord(value, record, owner, done); };
  if (request.rotation_chain().empty()) return put();
  // First, so that no node takes a record by a chain that parts from the identity's published one, or is behind it.
  v1::PublishRotationRequest rotation;
  rotation.set_rotation_chain(request.rotation_chain());
  PublishRotation(rotation, [put, refuse](const absl::StatusOr<v1::PublishRotationResponse>& stored) {
    if (stored.ok()) return put();
    refuse(WithContext(stored.status(), "the rotation chain"));
  });
}

void Handler::PutRecord(dht::Value value, const record::Record& record, const identity::AgentId& owner,
                        Callback<v1::PublishResponse> done) {
  parts_.dht.Put(
      std::move(value), [this, owner, record, done = std::move(done)](const absl::StatusOr<dht::PutResult>& stored) {
        (stored.ok() ? metrics_.published : metrics_.publish_refused).Increment();
        if (!stored.ok()) return done(WithContext(stored.status(), record.name().text()));
        Remember(std::make_shared<const Answer>(Answer{
            .record = record, .owner = owner, .agreeing_nodes = static_cast<uint32_t>(stored->stored_by.size())}));
        v1::PublishResponse response;
        for (const crypto::PublicKey& node : stored->stored_by) response.add_stored_by(crypto::PeerIdFromKey(node));
        response.set_asked(stored->asked);
        response.set_witnesses(static_cast<uint32_t>(stored->witnesses));
        done(std::move(response));
      });
}

void Handler::PublishRotation(const v1::PublishRotationRequest& request, Callback<v1::PublishRotationResponse> done) {
  parts_.dht.Put(dht::ValueKind::kRotation, {.bytes = request.rotation_chain(), .proof = {}},
                 [done = std::move(done)](const absl::StatusOr<dht::PutResult>& stored) {
                   if (!stored.ok()) return done(stored.status());
                   v1::PublishRotationResponse response;
                   for (const crypto::PublicKey& node : stored->stored_by)
                     response.add_stored_by(crypto::PeerIdFromKey(node));
                   done(std::move(response));
                 });
}

void Handler::GetRotation(const v1::GetRotationRequest& request, Callback<v1::GetRotationResponse> done) {
  const auto agent = identity::AgentId::FromBytes(request.agent_id());
  if (!agent.ok()) return done(agent.status());
  const auto key = dht::Id::FromBytes(identity::RotationKey(*agent));
  if (!key.ok()) return done(key.status());
  parts_.dht.Get(*key, dht::ValueKind::kRotation,
                 [done = std::move(done)](const absl::StatusOr<dht::GetResult>& found) {
                   if (!found.ok()) return done(found.status());
                   v1::GetRotationResponse response;
                   response.set_rotation_chain(found->item.bytes);
                   response.set_agreeing_nodes(found->agreeing_nodes);
                   done(std::move(response));
                 });
}

void Handler::PublishRevocation(const v1::PublishRevocationRequest& request,
                                Callback<v1::PublishRevocationResponse> done) {
  const absl::Status learnt = parts_.revocations.Learn(request.statement(), request.rotation_chain());
  if (!learnt.ok()) return done(learnt);
  parts_.dht.Put(dht::ValueKind::kRevocation,
                 {.bytes = request.statement(),
                  .proof = dht::EncodeProof({.rotation_chain = request.rotation_chain(), .name_certificate = {}})},
                 [done = std::move(done)](absl::StatusOr<dht::PutResult> stored) {
                   if (!stored.ok()) return done(stored.status());
                   v1::PublishRevocationResponse response;
                   for (const crypto::PublicKey& node : stored->stored_by)
                     response.add_stored_by(crypto::PeerIdFromKey(node));
                   done(std::move(response));
                 });
}

absl::StatusOr<uint64_t> Handler::Watch(const record::Name& name, std::function<void(const v1::WatchResponse&)> tell) {
  return watchers_.Add(name, std::move(tell));
}

void Handler::Unwatch(uint64_t watch) { watchers_.Remove(watch); }

void Handler::OnRevoked(const identity::Revocation& revocation, const std::string& statement) {
  v1::WatchResponse news;
  news.set_revocation(statement);
  for (const record::Name& name : cache_.EvictKey(revocation.public_key)) {
    if (revoked_names_.size() < kMaxRevokedNames) revoked_names_.insert(name);
    watchers_.Tell(name, news);
  }
}

}  // namespace dotagent::resolver_service
