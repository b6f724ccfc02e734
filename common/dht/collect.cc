#include "common/dht/collect.h"

#include <algorithm>
#include <bit>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "common/base/status.h"
#include "common/crypto/hash.h"
#include "common/dht/query.h"
#include "common/dht/seats.h"
#include "common/dht/verdict.h"

namespace dotagent::dht {
namespace {

// Of nodes fewer than were looked for (verdict.h, "Density").
constexpr double kSparsestOfAll = 3;
constexpr size_t kSmallPage = 16;
static_assert(kSmallPage * kMaxPages >= kSeats);

using NodeSet = uint32_t;
static_assert(kCollectFrom <= 32);

// Lives in the callbacks of its calls, as a query does.
class Collection : public std::enable_shared_from_this<Collection> {
 public:
  Collection(Peers* peers, const ValueStore* values, CollectQuery query, std::function<void(Collected)> done)
      : peers_(peers),
        values_(values),
        query_(std::move(query)),
        limit_(std::clamp<size_t>(query_.limit, 1, kMaxCollected)),
        // 32 bytes are always the right size.
        start_(*Id::FromBytes(peers->random().Bytes(kIdBits / 8))),
        done_(std::move(done)) {}

  void Start() {
    FindNodes(peers_, query_.key, [self = shared_from_this()](const QueryResult& found) { self->OnNodes(found); },
              {.paths = peers_->paths(), .wanted = kCollectFrom});
  }

 private:
  // One of the nodes that are asked.
  struct Source {
    Contact node;
    std::optional<Id> position;  // the owner behind whom to go on
    bool round = false;          // it has been past the last owner, and goes on from the first
    size_t pages = 0;
    size_t returned = 0;  // values
    size_t wanted = 0;    // of these
    enum class State { kReading, kAtEnd, kEnough, kFailed } state = State::kReading;
  };
  struct Found {
    Value value;
    NodeSet nodes = 0;
    bool wanted = false;
  };

  void OnNodes(const QueryResult& found) {
    result_.hops = found.hops;
    result_.messages = found.asked;
    std::vector<Contact> nodes = found.nearest;
    if (peers_->is_server()) nodes.push_back(peers_->self());
    std::sort(nodes.begin(), nodes.end(), [this](const Contact& a, const Contact& b) {
      return query_.key.DistanceTo(a.id) < query_.key.DistanceTo(b.id);
    });
    if (nodes.size() > kCollectFrom) nodes.resize(kCollectFrom);
    result_.nearest_found = AreNearest(nodes);
    for (Contact& node : nodes) sources_.push_back({.node = std::move(node), .position = start_});
    peers_->RunAfter(kCollectTimeout, [weak = weak_from_this()] {
      if (const auto self = weak.lock()) self->Finish();
    });
    for (size_t i = 0; i < sources_.size(); ++i) {
      if (sources_[i].node.id == peers_->self().id) {
        ReadOurselves(i);
      } else {
        Ask(i);
      }
    }
    FinishIfRead();
  }

  [[nodiscard]] bool AreNearest(const std::vector<Contact>& nodes) const {
    const Density density = peers_->density();
    const Id farthest = *Id::FromBytes(std::string(kIdBits / 8, '\xff'));
    if (density(farthest) <= static_cast<double>(kWitnesses)) return true;
    if (nodes.empty()) return false;
    const double expected = density(query_.key.DistanceTo(nodes.back().id));
    if (nodes.size() >= kCollectFrom) return !TooSparse(nodes.size(), expected);
    return expected <= kSparsestOfAll * static_cast<double>(nodes.size());
  }

  void Ask(size_t index) {
    const Source& source = sources_[index];
    ++result_.messages;
    // Of those that come, some may not count; and a node is asked for kMaxPages only.
    const size_t size = query_.wanted ? kMaxPageValues : std::clamp(limit_ - source.wanted, kSmallPage, kMaxPageValues);
    peers_->Ask(source.node, FindValuesCall{query_.key, query_.kind, source.position, static_cast<uint32_t>(size)},
                [self = shared_from_this(), index](absl::StatusOr<Response> response) {
                  self->OnResponse(index, std::move(response));
                });
  }

  void OnResponse(size_t index, absl::StatusOr<Response> response) {
    if (done_ == nullptr) return;
    auto* page = response.ok() ? std::get_if<ValuesAnswer>(&response->answer) : nullptr;
    if (page == nullptr) {
      sources_[index].state = Source::State::kFailed;
    } else {
      TakePage(index, *page);
      if (sources_[index].state == Source::State::kReading) return Ask(index);
    }
    FinishIfRead();
  }

  void ReadOurselves(size_t index) {
    Source& source = sources_[index];
    while (source.state == Source::State::kReading) {
      // A disk that fails costs this node's own values, no more.
      auto page = values_->GetPage(query_.kind, query_.key, source.position, kMaxPageValues, peers_->clock().Now());
      if (page.ok()) {
        TakePage(index, *page);
      } else {
        source.state = Source::State::kFailed;
      }
    }
  }

  // Adds the values of a page, and moves the source on.
  void TakePage(size_t index, ValuesAnswer& page) {
    Source& source = sources_[index];
    ++source.pages;
    std::optional<Id> last = source.position;
    for (Item& item : page.items) {
      const absl::StatusOr<const Found*> found = TakeItem(index, std::move(item));
      if (!found.ok()) {
        // It may have expired on its way.
        const std::string why = ReasonOf(found.status());
        result_.future_dated |= why == reason::kFutureDated;
        if (why == reason::kStale || why == reason::kFutureDated) continue;
        return Expel(index);
      }
      const Id& owner = (*found)->value.owner;
      if (last && owner <= *last) return Expel(index);
      last = owner;
      if (source.round && owner > start_) {
        source.state = Source::State::kAtEnd;
        return;
      }
      ++source.returned;
      source.wanted += (*found)->wanted ? 1 : 0;
    }
    if (source.returned > kSeats || (page.next && (page.items.empty() || (last && *page.next < *last) ||
                                                   (source.position && *page.next <= *source.position)))) {
      return Expel(index);
    }
    MoveOn(source, page.next);
  }

  void MoveOn(Source& source, const std::optional<Id>& next) const {
    if (!next && source.round) {
      source.state = Source::State::kAtEnd;
    } else if (source.wanted >= limit_) {
      source.state = Source::State::kEnough;
    } else if (source.pages >= kMaxPages) {
      source.state = Source::State::kFailed;
    } else if (next) {
      source.position = next;
    } else {
      source.position.reset();
      source.round = true;
    }
  }

  void Expel(size_t index) {
    sources_[index].state = Source::State::kFailed;
    peers_->Misbehaved(sources_[index].node.id);
  }

  // What is known of the item's owner once it has been taken in; an error if it is not valid.
  absl::StatusOr<const Found*> TakeItem(size_t index, Item item) {
    const NodeSet node = NodeSet{1} << index;
    const std::string digest = crypto::Sha256(item.bytes + item.proof);
    if (const auto seen = owners_.find(digest); seen != owners_.end()) {
      Found& known = found_[seen->second];
      if (known.value.item == item) known.nodes |= node;
      return &known;
    }
    ASSIGN_OR_RETURN(Value value, values_->types().ValidateUnder(query_.key, query_.kind, item, peers_->clock().Now()));
    owners_[digest] = value.owner;
    const auto [place, is_new] = found_.try_emplace(value.owner);
    Found& known = place->second;
    if (!is_new) {
      const absl::StatusOr<bool> replaces = values_->types().Of(query_.kind).Replaces(known.value, value);
      if (!replaces.ok()) return &known;
      if (!*replaces) {
        known.nodes |= node;  // the same words, with another proof
        return &known;
      }
    }
    const bool counts = !value.withdrawn && !values_->IsRevoked(value.signer);
    known.wanted = counts && (!query_.wanted || query_.wanted(value));
    known.value = std::move(value);
    known.nodes = node;
    return &known;
  }

  void FinishIfRead() {
    const bool reading = std::any_of(sources_.begin(), sources_.end(),
                                     [](const Source& source) { return source.state == Source::State::kReading; });
    if (!reading) Finish();
  }

  void Finish() {
    if (done_ == nullptr) return;
    result_.complete = result_.nearest_found;
    for (size_t i = 0; i < sources_.size(); ++i) {
      const Source& source = sources_[i];
      const bool at_end = source.state == Source::State::kAtEnd;
      result_.nodes += at_end || source.state == Source::State::kEnough ? 1 : 0;
      if (i < kReplicationFactor && (!at_end || source.returned >= kSeats)) result_.complete = false;
      if (source.state == Source::State::kEnough) result_.complete = false;
    }
    for (auto& [owner, found] : found_) {
      if (!found.wanted) continue;
      result_.values.push_back({std::move(found.value), static_cast<uint32_t>(std::popcount(found.nodes))});
    }
    std::sort(result_.values.begin(), result_.values.end(), [this](const auto& a, const auto& b) {
      if (a.agreeing_nodes != b.agreeing_nodes) return a.agreeing_nodes > b.agreeing_nodes;
      return start_.DistanceTo(a.value.owner) < start_.DistanceTo(b.value.owner);
    });
    if (result_.values.size() > limit_) {
      result_.values.erase(result_.values.begin() + static_cast<std::ptrdiff_t>(limit_), result_.values.end());
      result_.complete = false;
    }
    std::exchange(done_, nullptr)(std::move(result_));
  }

  Peers* const peers_;
  const ValueStore* const values_;
  const CollectQuery query_;
  const size_t limit_;
  const Id start_;
  std::function<void(Collected)> done_;
  std::vector<Source> sources_;                  // the nearest first
  std::map<Id, Found> found_;                    // by owner; at most kSeats of each source
  absl::flat_hash_map<std::string, Id> owners_;  // of items that are known to be valid, by digest
  Collected result_;
};

}  // namespace

void Collect(Peers* peers, const ValueStore* values, CollectQuery query, std::function<void(Collected)> done) {
  std::make_shared<Collection>(peers, values, std::move(query), std::move(done))->Start();
}

}  // namespace dotagent::dht
