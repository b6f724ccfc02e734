#include "common/dht/dht.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/dht/bootstrap.h"
#include "common/dht/claim_check.h"
#include "common/dht/handover.h"
#include "common/dht/peers.h"
#include "common/dht/query.h"
#include "common/dht/replicate.h"
#include "common/dht/upkeep.h"
#include "common/dht/value_store.h"
#include "common/dht/value_type.h"
#include "common/dht/verdict.h"

namespace dotagent::dht {
namespace {

// How many times the expected distance of the farthest witness a node may be from what it is asked to store.
constexpr double kFarthestStore = 4;
// Confirmations that a stored value needs.
constexpr size_t kQuorum = kReplicationFactor / 2 + 1;

DhtOptions WithId(DhtOptions options) {
  options.self.id = Id::OfNode(options.self.key);
  // More, or longer ones, would make every node refuse our calls.
  std::vector<std::string> addresses = options.self.addresses.ToVector();
  std::erase_if(addresses, [](const std::string& address) { return address.size() > kMaxAddressSize; });
  if (addresses.size() > kMaxContactAddresses) addresses.resize(kMaxContactAddresses);
  options.self.addresses = addresses;
  return options;
}

absl::Status NotBootstrapped() {
  return ErrorWithReason(
      absl::StatusCode::kUnavailable, reason::kNotBootstrapped,
      "this node knows no other DHT node; check its bootstrap addresses and network, then try again");
}

// The refusal that says most, if any: what to tell a caller whose value too few nodes took.
const absl::Status* MostTelling(const std::vector<absl::Status>& refusals) {
  for (const absl::string_view telling :
       {reason::kNameTaken, reason::kKeyRevoked, reason::kSuperseded, reason::kFutureDated, reason::kStale}) {
    for (const absl::Status& refusal : refusals) {
      if (ReasonOf(refusal) == telling) return &refusal;
    }
  }
  return nullptr;
}

absl::Status ClockIsBehind(absl::Time now) {
  return ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kFutureDated,
                         absl::StrCat("what is stored there is dated ahead of this node's clock, which says ",
                                      absl::FormatTime(now, absl::UTCTimeZone()), "; set the clock, then ask again"));
}

absl::Status TooFewCleanPaths() {
  return ErrorWithReason(absl::StatusCode::kUnavailable, reason::kTooFewCleanPaths,
                         "the nodes that could be found are too few to be the nearest to the key: others may be "
                         "keeping this node from them; try again, or through another node");
}

absl::Status OfAnotherKind(bool many_owners) {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kProtocol,
                         many_owners ? "keys of this kind have many owners' values; ask for a page of them"
                                     : "keys of this kind have one value; ask for that");
}

absl::Status NameTaken() {
  return ErrorWithReason(absl::StatusCode::kAlreadyExists, reason::kNameTaken,
                         "another key holds this name; choose another name, or sign with the key that holds it");
}

absl::Status TooFewReplicas(const ReplicateResult& result) {
  std::string message = absl::StrCat("only ", result.stored_by.size(), " of ", result.asked,
                                     " nodes confirmed that they store the value; try again");
  if (!result.refusals.empty()) absl::StrAppend(&message, " (one refused: ", result.refusals[0].message(), ")");
  return ErrorWithReason(absl::StatusCode::kUnavailable, reason::kTooFewReplicas, message);
}

// Whether what came of storing a value makes it its owner's, and safe.
absl::Status Sufficient(const ReplicateResult& result, size_t reachable) {
  if (result.refused_owner > 0) {
    const size_t informed = result.witnesses + result.refused_owner;
    if (result.refused_owner >= Threshold(informed)) return NameTaken();
    if (result.witnesses < Threshold(informed)) {
      return ErrorWithReason(absl::StatusCode::kAborted, reason::kConflict,
                             absl::StrCat("another key claims this name in this moment: ", result.witnesses,
                                          " nodes name this one, ", result.refused_owner, " the other; try again"));
    }
  }
  if (!result.stored_by.empty() && result.stored_by.size() >= std::min(kQuorum, reachable)) return absl::OkStatus();
  const absl::Status* telling = MostTelling(result.refusals);
  if (telling == nullptr && result.stored_by.empty() && !result.refusals.empty()) {
    const bool all_full = std::all_of(result.refusals.begin(), result.refusals.end(), absl::IsResourceExhausted);
    if (all_full) telling = &result.refusals.front();
  }
  return telling != nullptr ? *telling : TooFewReplicas(result);
}

}  // namespace

struct Dht::Impl {
  Impl(DhtOptions options_in, Network* network, const Clock* clock_in, Random* random, storage::Store* store)
      : options(WithId(std::move(options_in))),
        clock(clock_in),
        peers({.self = options.self, .paths = options.paths, .puzzle = options.puzzle, .table = options.table}, network,
              clock_in, random, store),
        values(options.signer, store, options.values),
        bootstrap(&peers),
        upkeep(&peers, &values, store, options.refresh_interval, options.stretch, options.republish_interval),
        claim_check(&peers, &values),
        handover(&peers, &values) {}

  [[nodiscard]] bool IsAlone() const { return peers.table().size() == 0 && !bootstrap.is_first_node(); }

  // There is no other node to ask, and need not be.
  [[nodiscard]] bool IsFirstAndAlone() const { return peers.table().size() == 0 && bootstrap.is_first_node(); }

  [[nodiscard]] absl::StatusOr<Response> Answer(const Contact& sender, const Request& request);
  // ResourceExhausted (LIMIT) if this node is not nearly among the nearest, so that no one fills the disks of nodes of
  // his choice. Nodes do not agree exactly on who is.
  [[nodiscard]] absl::Status CheckNear(const Id& key);
  [[nodiscard]] std::vector<Contact> NearestFor(const Contact& sender, const Id& target, size_t count) const;
  // OK if the lookup says whose the key is, or that it is no one's.
  [[nodiscard]] absl::Status WhyUndecided(const QueryResult& found) const;
  void FinishGetAll(Collected found, const std::function<void(absl::StatusOr<Collected>)>& done) const;
  void FinishGet(const Id& key, ValueKind kind, QueryResult found,
                 const std::function<void(absl::StatusOr<GetResult>)>& done);
  void Store(const Value& value, const QueryResult& found, std::function<void(absl::StatusOr<PutResult>)> done);
  // As Store, of a kind of which a key has many owners' values: there is nothing to decide.
  void StoreAmongOthers(const Value& value, const QueryResult& found,
                        const std::function<void(absl::StatusOr<PutResult>)>& done);
  void StoreOn(const Value& value, const std::vector<Contact>& nearest,
               std::function<void(absl::StatusOr<PutResult>)> done);
  // Gives `done` a refusal, after the call that asked has returned.
  template <typename Result>
  void Refuse(absl::Status refusal, std::function<void(absl::StatusOr<Result>)> done) {
    peers.RunAfter(absl::ZeroDuration(), [refusal = std::move(refusal), done = std::move(done)] { done(refusal); });
  }

  const DhtOptions options;
  const Clock* const clock;
  Peers peers;
  ValueStore values;
  Bootstrap bootstrap;
  Upkeep upkeep;
  ClaimCheck claim_check;
  Handover handover;
  Lifeline lifeline;
};

Dht::Dht(DhtOptions options, Network* network, const Clock* clock, Random* random, storage::Store* store)
    : impl_(std::make_unique<Impl>(std::move(options), network, clock, random, store)) {}

Dht::~Dht() = default;

void Dht::Start(const std::vector<std::string>& addresses, std::function<void(absl::Status)> done) {
  impl_->upkeep.Start();
  if (impl_->peers.is_server()) {
    impl_->claim_check.Start();
    impl_->handover.Start();
  }
  impl_->bootstrap.Start(addresses, [impl = impl_.get(), done = std::move(done)](const absl::Status& status) {
    impl->upkeep.FillBuckets();
    done(status);
  });
}

Response Dht::Handle(const crypto::PublicKey& peer, const Request& request) {
  if (!impl_->peers.is_server()) {
    return Response{ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kProtocol,
                                    "this node is a DHT client and answers no calls; ask a server")};
  }
  if (request.sender.key != peer) {
    return Response{ErrorWithReason(absl::StatusCode::kPermissionDenied, reason::kKeyMismatch,
                                    "the request's sender is not the session's peer; send your own key")};
  }
  Contact sender = request.sender;
  sender.id = Id::OfNode(peer);
  impl_->peers.Offer(sender);
  absl::StatusOr<Response> response = impl_->Answer(sender, request);
  return response.ok() ? *std::move(response) : Response{response.status()};
}

absl::StatusOr<Response> Dht::Impl::Answer(const Contact& sender, const Request& request) {
  if (const auto* find = std::get_if<FindNodeCall>(&request.call)) {
    return Response{NodesAnswer{NearestFor(sender, find->target, kBucketSize)}};
  }
  const absl::Time now = clock->Now();
  if (const auto* find = std::get_if<FindValueCall>(&request.call)) {
    if (values.types().Of(find->kind).many_owners()) return OfAnotherKind(true);
    ValueAnswer answer{.same_census = find->census.has_value() && find->census == peers.census()};
    if (!answer.same_census) answer.nodes = NearestFor(sender, find->key, kMaxAnswerNodes);
    ASSIGN_OR_RETURN(answer.receipt, values.ReceiptFor(find->kind, find->key, now));
    absl::StatusOr<HeldValue> held = values.Get(find->kind, find->key, now);
    if (held.ok()) {
      answer.item = std::move(held->value.item);
    } else if (!absl::IsNotFound(held.status())) {
      return held.status();
    }
    return Response{std::move(answer)};
  }
  if (const auto* store = std::get_if<StoreCall>(&request.call)) {
    RETURN_IF_ERROR(CheckNear(store->key));
    ASSIGN_OR_RETURN(const Value value, values.types().ValidateUnder(store->key, store->kind, store->item, now));
    const auto keep = store->witness_only ? ValueStore::Keep::kClaimOnly : ValueStore::Keep::kValue;
    ASSIGN_OR_RETURN(std::optional<Receipt> receipt, values.Store(value, keep, sender.key, now));
    return Response{StoreAnswer{std::move(receipt)}};
  }
  if (const auto* find = std::get_if<FindValuesCall>(&request.call)) {
    if (!values.types().Of(find->kind).many_owners()) return OfAnotherKind(false);
    const size_t limit = std::min<size_t>(find->limit, kMaxPageValues);
    ASSIGN_OR_RETURN(ValuesAnswer page, values.GetPage(find->kind, find->key, find->after, limit, now));
    return Response{std::move(page)};
  }
  if (const auto* find = std::get_if<FindClaimsCall>(&request.call)) {
    ClaimsAnswer answer;
    for (const Id& key : find->keys) {
      ASSIGN_OR_RETURN(answer.receipts.emplace_back(), values.ReceiptFor(find->kind, key, now));
    }
    return Response{std::move(answer)};
  }
  return Response{PingAnswer{options.self.puzzle_solution}};
}

absl::Status Dht::Impl::CheckNear(const Id& key) {
  const double nearer = peers.density()(options.self.id.DistanceTo(key));
  if (nearer <= kFarthestStore * kWitnesses) return absl::OkStatus();
  return ErrorWithReason(absl::StatusCode::kResourceExhausted, reason::kLimit,
                         absl::StrCat("about ", static_cast<uint64_t>(nearer),
                                      " nodes are nearer to the key than this one; store it with them"));
}

std::vector<Contact> Dht::Impl::NearestFor(const Contact& sender, const Id& target, size_t count) const {
  std::vector<Contact> nearest = peers.table().Nearest(target, count + 1, RoutingTable::Which::kAnswering);
  std::erase_if(nearest, [&](const Contact& contact) { return contact.id == sender.id; });
  if (nearest.size() > count) nearest.pop_back();
  return nearest;
}

void Dht::Get(const Id& key, ValueKind kind, std::function<void(absl::StatusOr<GetResult>)> done) {
  if (impl_->values.types().Of(kind).many_owners()) return impl_->Refuse(OfAnotherKind(true), std::move(done));
  FindValue(&impl_->peers, &impl_->values, key, kind, Thoroughness::kEnough,
            impl_->lifeline.Guard([impl = impl_.get(), key, kind, done = std::move(done)](QueryResult found) {
              impl->FinishGet(key, kind, std::move(found), done);
            }));
}

void Dht::GetAll(CollectQuery query, std::function<void(absl::StatusOr<Collected>)> done) {
  if (!impl_->values.types().Of(query.kind).many_owners()) {
    return impl_->Refuse(OfAnotherKind(false), std::move(done));
  }
  Collect(&impl_->peers, &impl_->values, std::move(query),
          impl_->lifeline.Guard([impl = impl_.get(), done = std::move(done)](Collected found) {
            impl->FinishGetAll(std::move(found), done);
          }));
}

void Dht::Impl::FinishGetAll(Collected found, const std::function<void(absl::StatusOr<Collected>)>& done) const {
  // A server is itself one of the nodes.
  const bool asked_others = found.nodes > (peers.is_server() ? 1 : 0);
  if (found.values.empty() && !asked_others && !IsFirstAndAlone()) return done(NotBootstrapped());
  if (found.values.empty() && found.future_dated) return done(ClockIsBehind(clock->Now()));
  if (found.values.empty() && !found.nearest_found) return done(TooFewCleanPaths());
  done(std::move(found));
}

absl::Status Dht::Impl::WhyUndecided(const QueryResult& found) const {
  const bool alone = found.answered == 0 && !IsFirstAndAlone();
  if (alone && !found.value) return NotBootstrapped();
  switch (found.outcome) {
    case Ballot::Outcome::kConflict:
      return ErrorWithReason(absl::StatusCode::kAborted, reason::kConflict,
                             "the nodes nearest to the key name different owners, and none has enough of them behind "
                             "him; compare the receipts, or ask again later");
    case Ballot::Outcome::kTooFewWitnesses:
      return TooFewCleanPaths();
    case Ballot::Outcome::kUndecided:
      return ErrorWithReason(absl::StatusCode::kDeadlineExceeded, reason::kUnreachable,
                             "the nodes nearest to the key could not all be asked in time; try again");
    case Ballot::Outcome::kDecided:
    case Ballot::Outcome::kAbsent:
      return absl::OkStatus();
  }
  return absl::InternalError("an outcome that does not exist");
}

void Dht::Impl::FinishGet(const Id& key, ValueKind kind, QueryResult found,
                          const std::function<void(absl::StatusOr<GetResult>)>& done) {
  const absl::Status undecided = WhyUndecided(found);
  if (!undecided.ok()) return done(undecided);
  if (found.revoked) {
    return done(ErrorWithReason(absl::StatusCode::kPermissionDenied, reason::kKeyRevoked,
                                "the key that signed this name's record is revoked; ask its owner for a new name"));
  }
  if (found.future_dated) return done(ClockIsBehind(clock->Now()));
  if (!found.value) return done(values.types().Of(kind).Absent());
  Value& value = found.value->value;
  // Where the disk is full the answer still counts.
  if (values.types().Of(kind).revokes_owner()) {
    values.Store(value, ValueStore::Keep::kValue, options.self.key, clock->Now()).IgnoreError();
  }
  const absl::StatusOr<HeldValue> own = values.Get(kind, key, clock->Now());
  GetResult result{.item = std::move(value.item),
                   .owner = value.owner,
                   .from_own_store = own.ok() && own->value.owner == value.owner,
                   .hops = found.hops,
                   .messages = found.asked,
                   .agreeing_nodes = found.value->agreeing,
                   .agreeing_paths = found.agreeing_paths};
  for (Ballot::Witness& witness : found.witnesses) {
    result.receipts.push_back({witness.node, std::move(witness.receipt)});
  }
  done(std::move(result));
}

void Dht::Put(ValueKind kind, const Item& item, std::function<void(absl::StatusOr<PutResult>)> done) {
  absl::StatusOr<Value> checked = Check(kind, item);
  if (checked.ok()) return Put(*std::move(checked), std::move(done));
  impl_->Refuse(checked.status(), std::move(done));
}

absl::StatusOr<Value> Dht::Check(ValueKind kind, const Item& item) const {
  return impl_->values.types().Of(kind).Validate(item, impl_->clock->Now());
}

void Dht::Put(Value checked, std::function<void(absl::StatusOr<PutResult>)> done) {
  Impl* impl = impl_.get();
  if (impl->IsAlone()) return impl->Refuse(NotBootstrapped(), std::move(done));
  if (impl->values.types().Of(checked.kind).many_owners()) {
    const Id key = checked.key;
    return FindNodes(
        &impl->peers, key,
        impl->lifeline.Guard([impl, value = std::move(checked), done = std::move(done)](const QueryResult& found) {
          impl->StoreAmongOthers(value, found, done);
        }),
        {.paths = impl->options.paths, .wanted = kBucketSize});
  }
  // Not FindNodes: what is there already decides whether this may be stored at all.
  const Id key = checked.key;
  const ValueKind kind = checked.kind;
  FindValue(&impl->peers, &impl->values, key, kind, Thoroughness::kAll,
            impl->lifeline.Guard([impl, value = std::move(checked), done = std::move(done)](const QueryResult& found) {
              impl->Store(value, found, done);
            }));
}

void Dht::Impl::Store(const Value& value, const QueryResult& found,
                      std::function<void(absl::StatusOr<PutResult>)> done) {
  const absl::Status undecided = WhyUndecided(found);
  if (!undecided.ok()) return done(undecided);
  const ValueType& type = values.types().Of(value.kind);
  if (type.first_claim() && found.owner && *found.owner != value.owner) return done(NameTaken());
  if (found.value && (found.value->value.owner == value.owner || !type.first_claim())) {
    const absl::StatusOr<bool> replaces = type.Replaces(found.value->value, value);
    if (!replaces.ok()) return done(replaces.status());
  }
  StoreOn(value, found.nearest, std::move(done));
}

void Dht::Impl::StoreAmongOthers(const Value& value, const QueryResult& found,
                                 const std::function<void(absl::StatusOr<PutResult>)>& done) {
  if (found.answered == 0 && !IsFirstAndAlone()) return done(NotBootstrapped());
  StoreOn(value, found.nearest, done);
}

void Dht::Impl::StoreOn(const Value& value, const std::vector<Contact>& nearest,
                        std::function<void(absl::StatusOr<PutResult>)> done) {
  const size_t reachable = nearest.size() + (peers.is_server() ? 1 : 0);
  Replicate(
      &peers, &values, value, nearest, lifeline.Guard([reachable, done = std::move(done)](ReplicateResult result) {
        const absl::Status status = Sufficient(result, reachable);
        if (!status.ok()) return done(status);
        done(PutResult{.stored_by = std::move(result.stored_by), .asked = result.asked, .witnesses = result.witnesses});
      }));
}

absl::StatusOr<Item> Dht::GetLocal(const Id& key, ValueKind kind) const {
  ASSIGN_OR_RETURN(HeldValue held, impl_->values.Get(kind, key, impl_->clock->Now()));
  return std::move(held.value.item);
}

void Dht::AddContact(const Contact& contact) {
  Contact verified = contact;
  verified.id = Id::OfNode(contact.key);
  impl_->peers.Offer(verified);
}

void Dht::AddAddress(const std::string& address) {
  Impl* impl = impl_.get();
  impl->peers.Identify(address, [impl](const absl::StatusOr<Contact>& contact) {
    if (!contact.ok() || contact->id == impl->peers.self().id) return;
    if (impl->peers.table().Find(contact->id).has_value()) return;
    impl->peers.Ping(*contact, impl->lifeline.Guard([impl](bool alive) {
      if (alive) FindNodes(&impl->peers, impl->peers.self().id, [](const QueryResult&) {});
    }));
  });
}

size_t Dht::known_nodes() const { return impl_->peers.table().size(); }

double Dht::estimated_nodes() const { return 1 + impl_->peers.estimated_nodes(); }

uint64_t Dht::stored_values() const { return impl_->values.size(); }

std::vector<Contact> Dht::Nearest(const Id& target, size_t count) const {
  return impl_->peers.table().Nearest(target, count, RoutingTable::Which::kAnswering);
}

}  // namespace dotagent::dht
