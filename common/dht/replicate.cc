#include "common/dht/replicate.h"

#include <algorithm>
#include <memory>
#include <utility>

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

  void Step() {
    while (next_ < nodes_.size() && result_.stored_by.size() + refused_ + waiting_ < kReplicationFactor) {
      Ask(nodes_[next_++]);
    }
    if (waiting_ > 0) return;
    const auto done = std::move(done_);
    done(std::move(result_));
  }

 private:
  void Ask(const Contact& node) {
    ++result_.asked;
    if (node.id == peers_->self().id) {
      Note(node.key, values_->Store(value_, peers_->clock().Now()));
      return;
    }
    ++waiting_;
    peers_->Ask(node, StoreCall{value_.key, value_.kind, value_.bytes},
                [self = shared_from_this(), key = node.key](const absl::StatusOr<Response>& response) {
                  --self->waiting_;
                  if (response.ok()) {
                    const auto* refusal = std::get_if<absl::Status>(&response->answer);
                    self->Note(key, refusal == nullptr ? absl::OkStatus() : *refusal);
                  }
                  self->Step();
                });
  }

  void Note(const crypto::PublicKey& key, const absl::Status& status) {
    if (status.ok()) {
      result_.stored_by.push_back(key);
    } else {
      result_.refusals.push_back(status);
      if (IsAboutValue(status)) ++refused_;
    }
  }

  Peers* const peers_;
  ValueStore* const values_;
  const Value value_;
  std::vector<Contact> nodes_;
  std::function<void(ReplicateResult)> done_;
  ReplicateResult result_;
  size_t next_ = 0;
  size_t waiting_ = 0;
  size_t refused_ = 0;  // for good
};

}  // namespace

void Replicate(Peers* peers, ValueStore* values, const Value& value, std::vector<Contact> nearest,
               std::function<void(ReplicateResult)> done) {
  const auto replication = std::make_shared<Replication>(peers, values, value, std::move(nearest), std::move(done));
  // Callers expect the answer after their call returned, even if only this node is asked.
  peers->RunAfter(absl::ZeroDuration(), [replication] { replication->Step(); });
}

}  // namespace dotagent::dht
