#include "services/resolver/handler.h"

#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/crypto/peer_id.h"
#include "common/identity/agent_id.h"

namespace dotagent::resolver_service {
namespace {

namespace v1 = ::dotagent::resolver::v1;

constexpr char kResolvesHelp[] = "Names asked for, by where the answer came from and by result.";
constexpr char kPublishesHelp[] = "Records to publish, by result.";

dht::Id DhtId(const std::string& key) {
  // A SHA-256 is always the right size.
  return *dht::Id::FromBytes(key);
}

v1::ResolveResponse MakeAnswer(const record::Record& record, v1::AnswerSource source, absl::Time now) {
  v1::ResolveResponse answer;
  answer.set_record_json(record.json());
  answer.set_source(source);
  answer.set_remaining_ttl_s(static_cast<uint32_t>(absl::ToInt64Seconds(FreshFor(record, now))));
  return answer;
}

absl::Status KeyRevoked(const record::Name& name) {
  return ErrorWithReason(absl::StatusCode::kPermissionDenied, reason::kKeyRevoked,
                         absl::StrCat("the key of ", name.text(), " has been revoked"));
}

}  // namespace

// One Resolve that goes to the DHT.
struct Handler::Resolution {
  record::Name name;
  Callback<v1::ResolveResponse> done;
  absl::Duration started;
  std::optional<record::Record> record;
  v1::ResolveResponse answer;
};

Handler::Handler(dht::Dht& dht, Revocations& revocations, const Clock& clock, telemetry::Metrics& metrics)
    : dht_(dht),
      revocations_(revocations),
      clock_(clock),
      from_cache_(metrics.AddCounter("dotagent_resolver_resolves_total", kResolvesHelp,
                                     {{"source", "cache"}, {"result", "found"}})),
      from_store_(metrics.AddCounter("dotagent_resolver_resolves_total", kResolvesHelp,
                                     {{"source", "store"}, {"result", "found"}})),
      from_dht_(metrics.AddCounter("dotagent_resolver_resolves_total", kResolvesHelp,
                                   {{"source", "dht"}, {"result", "found"}})),
      not_found_(metrics.AddCounter("dotagent_resolver_resolves_total", kResolvesHelp,
                                    {{"source", "dht"}, {"result", "not_found"}})),
      failed_(metrics.AddCounter("dotagent_resolver_resolves_total", kResolvesHelp,
                                 {{"source", "dht"}, {"result", "failed"}})),
      published_(metrics.AddCounter("dotagent_resolver_publishes_total", kPublishesHelp, {{"result", "stored"}})),
      publish_refused_(
          metrics.AddCounter("dotagent_resolver_publishes_total", kPublishesHelp, {{"result", "refused"}})),
      resolve_seconds_(metrics.AddHistogram("dotagent_resolver_resolve_seconds",
                                            "Time to answer a Resolve that the cache could not.",
                                            telemetry::DurationBuckets())) {}

Handler::~Handler() = default;

absl::Status Handler::CheckNotRevoked(const record::Record& record) const {
  return revocations_.IsRevoked(record.public_key()) ? KeyRevoked(record.name()) : absl::OkStatus();
}

absl::Status Handler::NotFound(const record::Name& name) const {
  if (revoked_names_.contains(name)) return KeyRevoked(name);
  return ErrorWithReason(absl::StatusCode::kNotFound, reason::kNameNotFound,
                         absl::StrCat(name.text(), " is not registered: no node of the DHT has a record for it"));
}

void Handler::Publish(const v1::PublishRequest& request, Callback<v1::PublishResponse> done) {
  auto record = record::Record::Verify(request.record_json(), clock_.Now());
  const absl::Status allowed = record.ok() ? CheckNotRevoked(*record) : record.status();
  if (!allowed.ok()) {
    publish_refused_.Increment();
    return done(allowed);
  }
  dht_.Put(dht::ValueKind::kRecord, {record->json(), ""},
           [this, record = *record, done = std::move(done)](absl::StatusOr<dht::PutResult> stored) {
             (stored.ok() ? published_ : publish_refused_).Increment();
             if (!stored.ok()) return done(WithContext(stored.status(), record.name().text()));
             Remember(record);
             v1::PublishResponse response;
             for (const crypto::PublicKey& node : stored->stored_by)
               response.add_stored_by(crypto::PeerIdFromKey(node));
             response.set_asked(stored->asked);
             done(std::move(response));
           });
}

void Handler::Resolve(const v1::ResolveRequest& request, Callback<v1::ResolveResponse> done) {
  const auto name = record::Name::Parse(request.name());
  if (!name.ok()) return done(name.status());
  if (const record::Record* hit = request.bypass_cache() ? nullptr : cache_.Find(*name, clock_.Now())) {
    from_cache_.Increment();
    return done(MakeAnswer(*hit, v1::ANSWER_SOURCE_CACHE, clock_.Now()));
  }
  auto resolution =
      std::make_shared<Resolution>(Resolution{*name, std::move(done), clock_.Elapsed(), std::nullopt, {}});
  dht_.Get(DhtId(name->DhtKey()), dht::ValueKind::kRecord,
           [this, resolution](absl::StatusOr<dht::GetResult> found) { OnFound(resolution, std::move(found)); });
}

void Handler::OnFound(const std::shared_ptr<Resolution>& resolution, absl::StatusOr<dht::GetResult> found) {
  if (!found.ok()) {
    return Answer(resolution, absl::IsNotFound(found.status()) ? NotFound(resolution->name) : found.status());
  }
  const absl::Time now = clock_.Now();
  auto record = record::Record::Verify(found->item.bytes, now);
  if (!record.ok()) return Answer(resolution, record.status());
  if (record->expires() <= now) {
    return Answer(resolution, ErrorWithReason(absl::StatusCode::kNotFound, reason::kNameNotFound,
                                              absl::StrCat("the record of ", resolution->name.text(),
                                                           " has expired; its owner must register again")));
  }
  const absl::Status allowed = CheckNotRevoked(*record);
  if (!allowed.ok()) return Answer(resolution, allowed);

  resolution->answer =
      MakeAnswer(*record, found->from_own_store ? v1::ANSWER_SOURCE_STORE : v1::ANSWER_SOURCE_DHT, now);
  resolution->answer.set_hops(found->hops);
  resolution->answer.set_agreeing_nodes(found->agreeing_nodes);
  resolution->record = *std::move(record);
  const auto agent = identity::AgentId::FromFirstKey(resolution->record->public_key());
  dht_.Get(DhtId(identity::RevocationKey(agent)), dht::ValueKind::kRevocation,
           [this, resolution](const absl::StatusOr<dht::GetResult>& revocation) {
             OnRevocationChecked(resolution, revocation);
           });
}

void Handler::OnRevocationChecked(const std::shared_ptr<Resolution>& resolution,
                                  const absl::StatusOr<dht::GetResult>& found) {
  // Failing closed: a record whose revocation cannot be looked up is not handed out.
  if (!found.ok() && !absl::IsNotFound(found.status())) return Answer(resolution, found.status());
  if (found.ok()) {
    const absl::Status learnt = revocations_.Learn(found->item.bytes);
    if (!learnt.ok()) return Answer(resolution, learnt);
  }
  // Also what became known by another way while the DHT was asked.
  const absl::Status allowed = CheckNotRevoked(*resolution->record);
  if (!allowed.ok()) return Answer(resolution, allowed);
  Remember(*resolution->record);
  Answer(resolution, std::move(resolution->answer));
}

void Handler::Answer(const std::shared_ptr<Resolution>& resolution, absl::StatusOr<v1::ResolveResponse> answer) {
  resolve_seconds_.Observe(absl::ToDoubleSeconds(clock_.Elapsed() - resolution->started));
  if (answer.ok()) {
    (answer->source() == v1::ANSWER_SOURCE_STORE ? from_store_ : from_dht_).Increment();
  } else {
    (absl::IsNotFound(answer.status()) ? not_found_ : failed_).Increment();
  }
  resolution->done(std::move(answer));
}

void Handler::Remember(const record::Record& record) {
  revoked_names_.erase(record.name());
  if (!cache_.Insert(record, clock_.Now())) return;
  v1::WatchResponse news;
  news.set_record_json(record.json());
  Tell(record.name(), news);
}

void Handler::PublishRevocation(const v1::PublishRevocationRequest& request,
                                Callback<v1::PublishRevocationResponse> done) {
  const absl::Status learnt = revocations_.Learn(request.statement());
  if (!learnt.ok()) return done(learnt);
  dht_.Put(dht::ValueKind::kRevocation, {request.statement(), ""},
           [done = std::move(done)](absl::StatusOr<dht::PutResult> stored) {
             if (!stored.ok()) return done(stored.status());
             v1::PublishRevocationResponse response;
             for (const crypto::PublicKey& node : stored->stored_by)
               response.add_stored_by(crypto::PeerIdFromKey(node));
             done(std::move(response));
           });
}

absl::StatusOr<uint64_t> Handler::Watch(const record::Name& name, std::function<void(const v1::WatchResponse&)> tell) {
  if (watchers_.size() >= kMaxWatches) {
    return ErrorWithReason(absl::StatusCode::kResourceExhausted, reason::kLimit,
                           absl::StrCat("this resolver serves ", kMaxWatches, " watches already; ask another"));
  }
  watchers_.emplace(next_watch_, Watcher{name, std::move(tell)});
  return next_watch_++;
}

void Handler::Unwatch(uint64_t watch) { watchers_.erase(watch); }

void Handler::Tell(const record::Name& name, const v1::WatchResponse& news) {
  // A watcher may unwatch while it is told.
  std::vector<std::function<void(const v1::WatchResponse&)>> tells;
  for (const auto& [id, watcher] : watchers_) {
    if (watcher.name == name) tells.push_back(watcher.tell);
  }
  for (const auto& tell : tells) tell(news);
}

void Handler::OnRevoked(const identity::Revocation& revocation, const std::string& statement) {
  v1::WatchResponse news;
  news.set_revocation(statement);
  for (const record::Name& name : cache_.EvictKey(revocation.public_key)) {
    if (revoked_names_.size() < kMaxRevokedNames) revoked_names_.insert(name);
    Tell(name, news);
  }
}

}  // namespace dotagent::resolver_service
