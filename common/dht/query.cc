#include "common/dht/query.h"

#include <memory>
#include <utility>

#include "common/dht/lookup.h"

namespace dotagent::dht {
namespace {

// Lives in the callbacks of its calls. They, and so it, run only while `peers` lives.
class Query : public std::enable_shared_from_this<Query> {
 public:
  struct Goal {
    const ValueStore* values;
    ValueKind kind;
    Thoroughness thoroughness;
  };

  Query(Peers* peers, const Id& target, std::optional<Goal> goal, std::function<void(QueryResult)> done)
      : peers_(peers),
        target_(target),
        goal_(goal),
        lookup_(peers->self().id, target, peers->table().Nearest(target, kBucketSize, RoutingTable::Which::kAll)),
        done_(std::move(done)) {}

  void Start() {
    peers_->table().LookedUp(target_, peers_->clock().Elapsed());
    if (goal_) VoteOurselves();
    if (Over()) {
      // Callers expect the answer after their call returned, as from any other node.
      peers_->RunAfter(absl::ZeroDuration(), [query = shared_from_this()] { query->Finish(); });
      return;
    }
    peers_->RunAfter(kQueryTimeout, [query = shared_from_this()] { query->Finish(); });
    Step();
  }

 private:
  [[nodiscard]] bool Over() const {
    if (goal_ && goal_->thoroughness == Thoroughness::kEnough && !quorum_.empty() &&
        (quorum_.decided() || lookup_.NearestAnswered(kReplicationFactor))) {
      return true;
    }
    return lookup_.done();
  }

  void Step() {
    if (finished_) return;
    if (Over()) return Finish();
    for (const Contact& node : lookup_.Next()) Ask(node);
  }

  [[nodiscard]] Peers::Call Question() const {
    if (goal_) return FindValueCall{target_, goal_->kind};
    return FindNodeCall{target_};
  }

  void Ask(const Contact& node) {
    peers_->Ask(node, Question(), [query = shared_from_this(), id = node.id](absl::StatusOr<Response> response) {
      query->OnResponse(id, std::move(response));
    });
    peers_->RunAfter(kPatience, [query = shared_from_this(), id = node.id] {
      if (query->finished_) return;
      query->lookup_.Silent(id);
      query->Step();
    });
  }

  void OnResponse(const Id& from, absl::StatusOr<Response> response) {
    if (finished_) return;
    if (!response.ok()) {
      lookup_.Failed(from);
    } else if (const auto* nodes = std::get_if<NodesAnswer>(&response->answer)) {
      lookup_.Answered(from, nodes->nodes);
    } else if (const auto* value = std::get_if<ValueAnswer>(&response->answer); value != nullptr && goal_) {
      if (Vote(from, value->value)) {
        lookup_.Answered(from, value->nodes);
      } else {
        peers_->Misbehaved(from);
        lookup_.Failed(from);
      }
    } else {
      lookup_.Failed(from);
    }
    Step();
  }

  // False if the value is not one that an honest node returns.
  bool Vote(const Id& from, const std::string& bytes) {
    if (const Value* known = quorum_.Find(bytes); known != nullptr) {
      quorum_.Add(from, Value(*known));
      return true;
    }
    const absl::StatusOr<Value> value = ValidateUnder(target_, goal_->kind, bytes, peers_->clock().Now());
    if (!value.ok()) return false;
    if (!TypeOf(goal_->kind).revokes_owner() && goal_->values->IsRevoked(value->owner)) {
      revoked_ = true;  // the node need not know that
      return true;
    }
    quorum_.Add(from, *value);
    return true;
  }

  void VoteOurselves() {
    const absl::StatusOr<HeldValue> held = goal_->values->Get(goal_->kind, target_, peers_->clock().Now());
    if (held.ok()) quorum_.Add(peers_->self().id, held->value);
  }

  void Finish() {
    if (finished_) return;
    finished_ = true;
    QueryResult result{.nearest = lookup_.Nearest(kBucketSize),
                       .asked = lookup_.asked(),
                       .answered = lookup_.answered(),
                       .hops = lookup_.hops(),
                       .complete = Over() && !lookup_.exhausted()};
    if (!quorum_.empty()) result.value = quorum_.Best();
    result.revoked = revoked_ && quorum_.empty();
    const auto done = std::move(done_);
    done(std::move(result));
  }

  Peers* const peers_;
  const Id target_;
  const std::optional<Goal> goal_;
  Lookup lookup_;
  Quorum quorum_;
  std::function<void(QueryResult)> done_;
  bool revoked_ = false;
  bool finished_ = false;
};

}  // namespace

void FindNodes(Peers* peers, const Id& target, std::function<void(QueryResult)> done) {
  std::make_shared<Query>(peers, target, std::nullopt, std::move(done))->Start();
}

void FindValue(Peers* peers, const ValueStore* values, const Id& key, ValueKind kind, Thoroughness thoroughness,
               std::function<void(QueryResult)> done) {
  std::make_shared<Query>(peers, key, Query::Goal{values, kind, thoroughness}, std::move(done))->Start();
}

}  // namespace dotagent::dht
