#include "common/dht/claim_check.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "common/dht/verdict.h"

namespace dotagent::dht {
namespace {

// Between rounds with nothing to do, and between rounds with work left.
constexpr absl::Duration kIdlePause = absl::Seconds(10);
constexpr absl::Duration kBusyPause = absl::Milliseconds(250);
// That are settled in one turn of the loop, and one write: a node that settles many answers others in between.
constexpr size_t kSettledAtOnce = 64;

}  // namespace

// The claims that are checked together. All are of one kind.
struct ClaimCheck::Round {
  ValueKind kind;
  std::vector<Id> keys;
  std::vector<std::map<Id, std::pair<size_t, Id>>> votes;  // of each key: owner → how many name it, digest
  size_t waiting = 0;
};

void ClaimCheck::Start() { Schedule(kIdlePause); }

void ClaimCheck::Schedule(absl::Duration pause) {
  // A tenth more or less, so that nodes started together do not all ask at once.
  const double jitter = 0.9 + static_cast<double>(peers_->random().Below(200)) / 1000;
  peers_->RunAfter(pause * jitter, lifeline_.Guard([this] { Begin(); }));
}

void ClaimCheck::Begin() {
  const absl::StatusOr<ClaimStore::Page> page = values_->claims().Provisional(cursor_, kKeysPerRound);
  // A disk that fails now may work at the next round.
  if (!page.ok() || page->keys.empty()) {
    cursor_.clear();
    return Schedule(kIdlePause);
  }
  cursor_ = page->next;
  const auto round = std::make_shared<Round>();
  round->kind = page->keys.front().first;
  const absl::Time now = peers_->clock().Now();
  for (const auto& [kind, key] : page->keys) {
    if (kind != round->kind) continue;  // they come in the next round
    const auto receipt = values_->ReceiptFor(kind, key, now);
    if (!receipt.ok()) continue;
    // One that has lapsed has no votes, and nothing to ask.
    if (receipt->has_value()) {
      // One that was made when the clock was ahead is not young for as long as that.
      const absl::Duration age = now - (*receipt)->first_seen;
      if (age >= absl::ZeroDuration() && age < kSettleAfter) continue;
    }
    round->keys.push_back(key);
    auto& votes = round->votes.emplace_back();
    if (receipt->has_value()) votes[(*receipt)->owner] = {1, (*receipt)->digest};
  }
  if (round->keys.empty()) return Schedule(cursor_.empty() ? kIdlePause : kBusyPause);
  Ask(round);
}

void ClaimCheck::Ask(const std::shared_ptr<Round>& round) {
  struct Question {
    Contact node;
    std::vector<size_t> keys;  // indices
  };
  std::map<Id, Question> questions;  // ordered, so that a simulation repeats
  for (size_t i = 0; i < round->keys.size(); ++i) {
    for (Contact& node : peers_->table().Nearest(round->keys[i], kWitnesses - 1, RoutingTable::Which::kAnswering)) {
      Question& question = questions[node.id];
      question.node = std::move(node);
      question.keys.push_back(i);
    }
  }
  const auto conclude_if_last = [this, round] {
    if (--round->waiting == 0) Conclude(round, 0);
  };
  ++round->waiting;  // until all have been asked
  for (const auto& [id, question] : questions) {
    for (size_t first = 0; first < question.keys.size(); first += kMaxClaimKeys) {
      const std::vector<size_t> indices(
          question.keys.begin() + static_cast<std::ptrdiff_t>(first),
          question.keys.begin() + static_cast<std::ptrdiff_t>(std::min(first + kMaxClaimKeys, question.keys.size())));
      FindClaimsCall call{round->kind, {}};
      for (const size_t index : indices) call.keys.push_back(round->keys[index]);
      ++round->waiting;
      peers_->Ask(question.node, std::move(call),
                  lifeline_.Guard([round, indices, conclude_if_last](const absl::StatusOr<Response>& response) {
                    const auto* claims = response.ok() ? std::get_if<ClaimsAnswer>(&response->answer) : nullptr;
                    for (size_t i = 0; claims != nullptr && i < indices.size(); ++i) {
                      const std::optional<Receipt>& receipt = claims->receipts[i];
                      if (!receipt) continue;
                      auto& [count, digest] = round->votes[indices[i]][receipt->owner];
                      ++count;
                      digest = receipt->digest;
                    }
                    conclude_if_last();
                  }));
    }
  }
  conclude_if_last();
}

void ClaimCheck::Conclude(const std::shared_ptr<Round>& round, size_t first) {
  std::vector<ValueStore::Settlement> settlements;
  const size_t end = std::min(first + kSettledAtOnce, round->keys.size());
  for (size_t i = first; i < end; ++i) {
    const Id& key = round->keys[i];
    const auto fewer = [&key](const auto& a, const auto& b) {
      if (a.second.first != b.second.first) return a.second.first < b.second.first;
      return key.DistanceTo(a.first) > key.DistanceTo(b.first);
    };
    const auto winner = std::max_element(round->votes[i].begin(), round->votes[i].end(), fewer);
    // If the claim has lapsed it stays provisional, and goes with the next sweep.
    if (winner != round->votes[i].end()) settlements.push_back({key, winner->first, winner->second.second});
  }
  // If the disk fails the claims stay provisional, and come up again.
  values_->Settle(round->kind, settlements, peers_->clock().Now()).IgnoreError();
  if (end == round->keys.size()) return Schedule(cursor_.empty() ? kIdlePause : kBusyPause);
  peers_->RunAfter(absl::ZeroDuration(), lifeline_.Guard([this, round, end] { Conclude(round, end); }));
}

}  // namespace dotagent::dht
