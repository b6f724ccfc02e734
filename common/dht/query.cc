#include "common/dht/query.h"

#include <algorithm>
#include <deque>
#include <memory>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "common/base/status.h"
#include "common/dht/lookup.h"

namespace dotagent::dht {
namespace {

// Nodes of our table for widening a lookup.
constexpr size_t kMoreSeeds = 2 * kBucketSize;

bool IsAboutDates(const absl::Status& refusal) {
  return ReasonOf(refusal) == reason::kStale || ReasonOf(refusal) == reason::kFutureDated;
}

// Lives in the callbacks of its calls. They, and so it, run only while `peers` lives.
class Query : public std::enable_shared_from_this<Query> {
 public:
  struct Goal {
    const ValueStore* values;
    ValueKind kind;
    Thoroughness thoroughness;
    Vote own;              // what this node knows itself
    bool settled = false;  // it is a witness, and has asked the others
  };

  Query(Peers* peers, const Id& target, const Effort& effort, Density density, std::optional<Goal> goal,
        std::function<void(QueryResult)> done)
      : peers_(peers),
        target_(target),
        wanted_(effort.wanted),
        waves_left_(effort.waves - 1),
        goal_(std::move(goal)),
        density_(std::move(density)),
        small_(IsSmall(density_)),
        census_(goal_ ? peers->census() : std::nullopt),
        lookup_(peers->self().id, target, Seeds(effort.from_anywhere), {.paths = effort.paths, .wanted = effort.wanted},
                density_),
        done_(std::move(done)) {
    if (goal_) {
      ballot_.emplace(target, goal_->values->types().Of(goal_->kind));
      ballot_->AddOwn(peers->self().id, std::move(goal_->own), goal_->settled);
    }
    if (census_) known_ = peers->table().Nearest(target, kMaxAnswerNodes, RoutingTable::Which::kAnswering);
  }

  void Start() {
    peers_->table().LookedUp(target_, peers_->clock().Elapsed());
    // Callers expect the answer after their call returned, even if no one can be asked.
    starting_ = true;
    Step();
    starting_ = false;
    if (over_) return peers_->RunAfter(absl::ZeroDuration(), [query = shared_from_this()] { query->Finish(); });
    deadline_ = peers_->clock().Elapsed() + kQueryTimeout;
    WatchTheTime(kPatience);
  }

 private:
  void Step() {
    if (over_) return;
    for (bool widened = true; widened;) {
      if (goal_ && goal_->thoroughness == Thoroughness::kEnough && IsFinal(Judge().outcome)) return End();
      const std::vector<Contact> next = lookup_.Next();
      for (const Contact& node : next) Ask(node);
      if (!next.empty() || !lookup_.idle()) return;
      widened = GoOn();
    }
    End();
  }

  // Too few witnesses is the outcome only when widening brought no more.
  static bool IsFinal(Ballot::Outcome outcome) {
    return outcome != Ballot::Outcome::kUndecided && outcome != Ballot::Outcome::kTooFewWitnesses;
  }

  // There is no one left to ask by what was wanted so far. False if that is all.
  bool GoOn() {
    if (goal_ && wanted_ < kWitnesses) {
      // A witness in doubt is first a reader as any other.
      const size_t enough = goal_->thoroughness == Thoroughness::kEnough ? ballot_->Enough(density_) : kWitnesses;
      Want(wanted_ < enough ? enough : kWitnesses);
      return true;
    }
    if (lookup_.complete()) return false;
    if (waves_left_ > 0) {
      --waves_left_;
      return Widen();
    }
    const std::vector<Id> settled = lookup_.Settled();
    const size_t count = std::min(settled.size(), wanted_);
    if (count == wanted_ && !TooSparse(count, density_(target_.DistanceTo(settled[count - 1])))) return false;
    return Widen();
  }

  [[nodiscard]] std::vector<Contact> Seeds(bool from_anywhere) {
    RoutingTable& table = peers_->table();
    if (from_anywhere) return table.Sample(kBucketSize, peers_->random());
    return table.Nearest(target_, kBucketSize, RoutingTable::Which::kAll);
  }

  // Through nodes from anywhere in the table: if the lookup was captured, those near the target are the captors.
  bool Widen() { return lookup_.Widen(peers_->table().Sample(kMoreSeeds, peers_->random())); }

  [[nodiscard]] Ballot::Judgement Judge() const {
    std::vector<Id> settled = lookup_.Settled();
    if (peers_->is_server() && goal_) {
      // Among the others, by distance. Where the settled ones end, so does what is known.
      const auto nearer = [this](const Id& a, const Id& b) { return target_.DistanceTo(a) < target_.DistanceTo(b); };
      const auto place = std::upper_bound(settled.begin(), settled.end(), peers_->self().id, nearer);
      if (place != settled.end() || lookup_.complete()) settled.insert(place, peers_->self().id);
    }
    return ballot_->Judge(settled, lookup_.complete() || (lookup_.exhausted() && lookup_.idle()), density_);
  }

  [[nodiscard]] Peers::Call Question() const {
    if (goal_) return FindValueCall{target_, goal_->kind, census_};
    return FindNodeCall{target_};
  }

  void Ask(const Contact& node) {
    if (small_ && goal_ && !peers_->table().Contains(node.id)) strangers_.insert(node.id);
    peers_->Ask(node, Question(), [query = shared_from_this(), id = node.id](absl::StatusOr<Response> response) {
      query->OnResponse(id, std::move(response));
    });
    waiting_.emplace_back(peers_->clock().Elapsed(), node.id);
  }

  // One timer a query, however many calls it makes. It does not keep the query alive: its calls do.
  void WatchTheTime(absl::Duration pause) {
    peers_->RunAfter(pause, [weak = weak_from_this()] {
      const auto query = weak.lock();
      if (query == nullptr || query->over_) return;
      const absl::Duration now = query->peers_->clock().Elapsed();
      if (now >= query->deadline_) return query->Finish();
      while (!query->waiting_.empty() && now - query->waiting_.front().first >= kPatience) {
        query->lookup_.Silent(query->waiting_.front().second);
        query->waiting_.pop_front();
      }
      query->Step();
      if (query->over_) return;
      query->WatchTheTime(query->waiting_.empty() ? kPatience : query->waiting_.front().first + kPatience - now);
    });
  }

  void OnResponse(const Id& from, absl::StatusOr<Response> response) {
    if (over_) return;
    if (!response.ok()) {
      lookup_.Failed(from);
    } else if (const auto* nodes = std::get_if<NodesAnswer>(&response->answer)) {
      lookup_.Answered(from, nodes->nodes);
    } else if (auto* value = std::get_if<ValueAnswer>(&response->answer); value != nullptr && goal_) {
      if (Count(from, *value)) {
        lookup_.Answered(from, value->same_census ? known_ : value->nodes);
        if (strangers_.contains(from)) ballot_->MetStranger();
        if (goal_->thoroughness == Thoroughness::kEnough && ballot_->disputed()) Want(kWitnesses);
      } else {
        peers_->Misbehaved(from);
        lookup_.Failed(from);
      }
    } else {
      lookup_.Failed(from);
    }
    Step();
  }

  void Want(size_t wanted) {
    wanted_ = wanted;
    lookup_.Want(wanted);
  }

  // False if the answer is not one that an honest node gives.
  bool Count(const Id& from, ValueAnswer& answer) {
    const ValueTypes& types = goal_->values->types();
    const ValueType& type = types.Of(goal_->kind);
    if (type.first_claim() != answer.receipt.has_value() && answer.item) return false;
    if (answer.same_census && !census_) return false;
    Vote vote{std::move(answer.receipt), std::nullopt};
    if (answer.item) {
      if (const Value* known = ballot_->Find(*answer.item); known != nullptr) {
        vote.value = *known;
      } else {
        absl::StatusOr<Value> value = types.ValidateUnder(target_, goal_->kind, *answer.item, peers_->clock().Now());
        if (!value.ok() && !IsAboutDates(value.status())) return false;
        future_dated_ |= ReasonOf(value.status()) == reason::kFutureDated;
        if (value.ok()) vote.value = *std::move(value);
      }
      if (vote.receipt && vote.value && vote.receipt->owner != vote.value->owner) return false;
      if (vote.value && !type.revokes_owner() && goal_->values->IsRevoked(vote.value->signer)) {
        revoked_ = true;  // the node need not know that
        vote.value.reset();
      }
    }
    ballot_->Add(from, std::move(vote));
    return true;
  }

  void End() {
    over_ = true;
    if (!starting_) Finish();
  }

  void Finish() {
    if (!done_) return;
    over_ = true;
    QueryResult result{.nearest = lookup_.Nearest(wanted_),
                       .asked = lookup_.asked(),
                       .answered = lookup_.answered(),
                       .hops = lookup_.hops(),
                       .agreeing_paths = lookup_.agreeing_paths()};
    if (goal_) {
      const Ballot::Judgement judgement = Judge();
      result.outcome = judgement.outcome;
      result.owner = judgement.owner;
      if (judgement.owner) result.value = ballot_->BestOf(*judgement.owner);
      result.witnesses = ballot_->Receipts();
      result.revoked = revoked_ && !result.value;
      result.future_dated = future_dated_ && !result.value;
    }
    const auto done = std::exchange(done_, nullptr);
    done(std::move(result));
  }

  Peers* const peers_;
  const Id target_;
  size_t wanted_;
  size_t waves_left_;
  std::optional<Goal> goal_;
  const Density density_;
  const bool small_;
  absl::flat_hash_set<Id> strangers_;  // of a small network: asked, and not in the table; bounded by the lookup's calls
  const std::optional<Id> census_;     // where there is a goal
  std::vector<Contact> known_;         // what an answer of the same census stands for
  Lookup lookup_;
  std::optional<Ballot> ballot_;  // where there is a goal
  std::function<void(QueryResult)> done_;
  std::deque<std::pair<absl::Duration, Id>>
      waiting_;  // when each node was asked, of late; bounded by the lookup's calls
  absl::Duration deadline_;
  bool revoked_ = false;
  bool future_dated_ = false;
  bool starting_ = false;
  bool over_ = false;
};

void VoteOurselves(const Id& key, absl::Time now, Query::Goal& goal) {
  // A disk that fails costs this node's own vote, no more.
  if (goal.values->types().Of(goal.kind).first_claim()) {
    if (auto witnessed = goal.values->claims().Find(goal.kind, key, now); witnessed.ok() && witnessed->has_value()) {
      goal.own.receipt = std::move((*witnessed)->receipt);
      goal.settled = (*witnessed)->settled;
    }
  }
  if (auto held = goal.values->Get(goal.kind, key, now); held.ok()) goal.own.value = std::move(held->value);
}

}  // namespace

void FindNodes(Peers* peers, const Id& target, std::function<void(QueryResult)> done, const Effort& effort) {
  std::make_shared<Query>(peers, target, effort, peers->density(), std::nullopt, std::move(done))->Start();
}

void FindValue(Peers* peers, const ValueStore* values, const Id& key, ValueKind kind, Thoroughness thoroughness,
               std::function<void(QueryResult)> done) {
  Query::Goal goal{values, kind, thoroughness, {}, false};
  VoteOurselves(key, peers->clock().Now(), goal);
  Effort effort{.paths = peers->paths(), .wanted = kWitnesses};
  Density density = peers->density();
  if (thoroughness == Thoroughness::kEnough) {
    const bool as_witness = goal.settled && IsSmall(density);
    effort.wanted = as_witness ? EnoughForWitness(density) : EnoughUnanimous(density);
    // Where all nodes are known, a path more is a node more that is asked.
    if (IsSmall(density)) effort.paths = std::min(effort.paths, effort.wanted);
  }
  std::make_shared<Query>(peers, key, effort, std::move(density), std::move(goal), std::move(done))->Start();
}

}  // namespace dotagent::dht
