#include "common/dht/replicate.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "common/dht/verdict.h"

namespace dotagent::dht {
namespace {

// The refusal is about the value; any node that knows as much would refuse it too.
bool IsAboutValue(const absl::Status& refusal) {
  return absl::IsAlreadyExists(refusal) || absl::IsPermissionDenied(refusal) || absl::IsFailedPrecondition(refusal) ||
         absl::IsInvalidArgument(refusal);
}

// Lives in the callbacks of its calls, as a query does.
class Replication : public std::enable_shared_from_this<Replication> {
 public:
  Replication(Peers* peers, ValueStore* values, const Value& value, std::vector<Contact> nodes,
              std::function<void(ReplicateResult)> done)
      : peers_(peers), values_(values), value_(value), nodes_(std::move(nodes)), done_(std::move(done)) {
    if (!peers_->is_server()) return;
    nodes_.push_back(peers_->self());
    std::sort(nodes_.begin(), nodes_.end(), [this](const Contact& a, const Contact& b) {
      return value_.key.DistanceTo(a.id) < value_.key.DistanceTo(b.id);
    });
  }

  void Start() {
    for (next_ = 0; next_ < std::min(kReplicationFactor, nodes_.size()); ++next_) Ask(nodes_[next_], Keep::kValue);
    if (values_->types().Of(value_.kind).first_claim()) {
      for (size_t i = next_; i < std::min(kWitnesses, nodes_.size()); ++i) Ask(nodes_[i], Keep::kClaimOnly);
    }
    Step();
  }

 private:
  using Keep = ValueStore::Keep;

  void Step() {
    while (next_ < nodes_.size() && result_.stored_by.size() + refused_ + waiting_to_keep_ < kReplicationFactor) {
      Ask(nodes_[next_++], Keep::kValue);
    }
    if (waiting_to_keep_ > 0 || done_ == nullptr) return;
    // Decided, whatever those say that have not answered yet.
    const size_t informed = result_.witnesses + result_.refused_owner + waiting_to_witness_;
    const bool decided = result_.witnesses >= Threshold(informed);
    if (waiting_to_witness_ > 0 && !decided) return;
    const auto done = std::exchange(done_, nullptr);
    done(result_);
  }

  void Ask(const Contact& node, Keep keep) {
    if (keep == Keep::kValue) ++result_.asked;
    if (node.id == peers_->self().id) {
      const absl::Status stored = values_->Store(value_, keep, node.key, peers_->clock().Now()).status();
      Note(node, keep, stored);
      return;
    }
    size_t& waiting = keep == Keep::kValue ? waiting_to_keep_ : waiting_to_witness_;
    ++waiting;
    peers_->Ask(node, StoreCall{value_.key, value_.kind, value_.item, keep == Keep::kClaimOnly},
                [self = shared_from_this(), &waiting, node, keep](const absl::StatusOr<Response>& response) {
                  --waiting;
                  if (response.ok()) {
                    const auto* refusal = std::get_if<absl::Status>(&response->answer);
                    self->Note(node, keep, refusal == nullptr ? absl::OkStatus() : *refusal);
                  }
                  self->Step();
                });
  }

  void Note(const Contact& node, Keep keep, const absl::Status& status) {
    if (status.ok()) {
      if (keep == Keep::kValue) result_.stored_by.push_back(node.key);
      if (witnesses_.insert(node.id).second) ++result_.witnesses;
      return;
    }
    result_.refusals.push_back(status);
    if (absl::IsAlreadyExists(status) && refusing_.insert(node.id).second) ++result_.refused_owner;
    if (keep == Keep::kValue && IsAboutValue(status)) ++refused_;
  }

  Peers* const peers_;
  ValueStore* const values_;
  const Value value_;
  std::vector<Contact> nodes_;
  std::function<void(ReplicateResult)> done_;
  ReplicateResult result_;
  // That confirmed, and that say the key is another's. A witness may be asked to keep it too, but has one vote.
  absl::flat_hash_set<Id> witnesses_;
  absl::flat_hash_set<Id> refusing_;
  size_t next_ = 0;  // to be asked to keep it
  size_t waiting_to_keep_ = 0;
  size_t waiting_to_witness_ = 0;
  size_t refused_ = 0;  // to keep it, for good
};

}  // namespace

void Replicate(Peers* peers, ValueStore* values, const Value& value, std::vector<Contact> nearest,
               std::function<void(ReplicateResult)> done) {
  const auto replication = std::make_shared<Replication>(peers, values, value, std::move(nearest), std::move(done));
  // Callers expect the answer after their call returned, even if only this node is asked.
  peers->RunAfter(absl::ZeroDuration(), [replication] { replication->Start(); });
}

}  // namespace dotagent::dht
