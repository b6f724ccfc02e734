#include "common/dht/bootstrap.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status.h"
#include "common/dht/query.h"

namespace dotagent::dht {
namespace {

constexpr absl::Duration kFirstPause = absl::Milliseconds(500);
constexpr absl::Duration kLongestPause = absl::Minutes(1);
// Between two looks whether the table is still filled.
constexpr absl::Duration kWatchPause = absl::Minutes(1);
constexpr absl::Duration kLookAgain = absl::Milliseconds(250);
// Once one has answered, for how long the others are waited for.
constexpr absl::Duration kGather = absl::Seconds(1);
constexpr int kLooks = 4;
// The saved nodes that an attempt tries: the nearest, and more at random would add little.
constexpr size_t kSavedTried = 3 * kBucketSize;

constexpr size_t kFormerTried = 2;
// Of an answer's nodes, those that a descent goes on with, as of a lookup's.
constexpr size_t kDescentWidth = kConcurrency;
// The bootstrap addresses are tried with growing pauses, in the end hourly: they are few, and the whole network knows
// them.
constexpr size_t kLongestAddressGap = 12;
// That many new nodes among the k nearest are not the usual coming and going.
constexpr size_t kManyNewNeighbours = kBucketSize / 4;

std::vector<Id> IdsOf(const std::vector<Contact>& contacts) {
  std::vector<Id> ids;
  ids.reserve(contacts.size());
  for (const Contact& contact : contacts) ids.push_back(contact.id);
  return ids;
}

// How many of `nodes` are not among `known`.
size_t NewAmong(const std::vector<Contact>& nodes, const std::vector<Id>& known) {
  return static_cast<size_t>(std::count_if(nodes.begin(), nodes.end(), [&](const Contact& node) {
    return std::find(known.begin(), known.end(), node.id) == known.end();
  }));
}

}  // namespace

// One try: every address and saved node at once.
struct Bootstrap::Attempt {
  std::function<void(absl::Status)> done;
  size_t waiting = 0;
  size_t ourselves = 0;
  bool gathering = false;  // someone answered; the others may still
  bool gathered = false;
  bool looking = false;  // the lookup has begun
};

// The way from a forgotten node to our own neighbourhood.
struct Bootstrap::Descent {
  std::vector<Id> neighbours;  // before
  absl::flat_hash_set<Id> called;
  size_t waiting = 0;
  bool answered = false;
};

void Bootstrap::Start(const std::vector<std::string>& addresses, std::function<void(absl::Status)> done) {
  addresses_ = addresses;
  pause_ = kFirstPause;
  Try(std::move(done));
  ReconnectLater();
}

void Bootstrap::Try(std::function<void(absl::Status)> done) {
  const auto attempt = std::make_shared<Attempt>();
  attempt->done = std::move(done);
  std::vector<Contact> saved = peers_->Saved();
  if (saved.size() > kSavedTried) saved.resize(kSavedTried);
  for (Contact& former : peers_->former().All()) saved.push_back(std::move(former));
  is_first_node_ = addresses_.empty() && saved.empty();
  attempt->waiting = saved.size() + addresses_.size();
  if (attempt->waiting == 0) {
    peers_->RunAfter(absl::ZeroDuration(), lifeline_.Guard([this, attempt] { Conclude(attempt); }));
    return;
  }
  const auto pinged = [this, attempt](bool) {
    --attempt->waiting;
    Conclude(attempt);
  };
  for (const Contact& contact : saved) peers_->Ping(contact, lifeline_.Guard(pinged));
  for (const std::string& address : addresses_) {
    peers_->Identify(address, lifeline_.Guard([this, attempt, pinged](const absl::StatusOr<Contact>& contact) {
      if (contact.ok() && contact->id != peers_->self().id) {
        peers_->Ping(*contact, lifeline_.Guard(pinged));
        return;
      }
      if (contact.ok()) ++attempt->ourselves;
      pinged(false);
    }));
  }
}

void Bootstrap::Conclude(const std::shared_ptr<Attempt>& attempt) {
  if (attempt->looking) return;
  if (peers_->table().size() > 0) {
    // Each is a path of its own. A lookup through the first alone would be his if he is a liar.
    if (attempt->waiting > 0 && !attempt->gathered) {
      if (std::exchange(attempt->gathering, true)) return;
      return peers_->RunAfter(kGather, lifeline_.Guard([this, attempt] {
        attempt->gathered = true;
        Conclude(attempt);
      }));
    }
    attempt->looking = true;
    FindNodes(peers_, peers_->self().id, lifeline_.Guard([this, attempt](const QueryResult& found) {
      pause_ = kFirstPause;
      Watch();
      LookAroundAgain(kLooks, kLookAgain, IdsOf(found.nearest));
      if (attempt->done) attempt->done(absl::OkStatus());
    }),
              kToJoin);
    return;
  }
  if (attempt->waiting > 0) return;
  is_first_node_ = is_first_node_ || (!addresses_.empty() && attempt->ourselves == addresses_.size());
  Watch();
  if (!attempt->done) return;
  attempt->done(is_first_node_ ? absl::OkStatus()
                               : ErrorWithReason(absl::StatusCode::kUnavailable, reason::kNotBootstrapped,
                                                 absl::StrCat("no DHT node answered (tried ",
                                                              addresses_.empty() ? std::string("the saved nodes")
                                                                                 : absl::StrJoin(addresses_, ", "),
                                                              "); check the bootstrap addresses; still trying")));
}

absl::Duration Bootstrap::Jittered(absl::Duration pause) {
  return pause * (0.5 + static_cast<double>(peers_->random().Below(1000)) / 1000);
}

void Bootstrap::Watch() {
  const bool filled = peers_->table().size() > 0;
  const absl::Duration pause = Jittered(filled ? kWatchPause : pause_);
  pause_ = filled ? kFirstPause : std::min(2 * pause_, kLongestPause);
  peers_->RunAfter(pause, lifeline_.Guard([this] {
    if (peers_->table().size() == 0) {
      Try(nullptr);
    } else {
      Watch();
    }
  }));
}

void Bootstrap::LookAroundAgain(int left, absl::Duration pause, std::vector<Id> seen) {
  if (left == 0) return;
  const auto look = [this, left, pause, seen = std::move(seen)](const QueryResult& found) {
    if (peers_->table().size() > kBucketSize && NewAmong(found.nearest, seen) < kManyNewNeighbours) return;
    LookAroundAgain(left - 1, 4 * pause, IdsOf(found.nearest));
  };
  peers_->RunAfter(pause, lifeline_.Guard([this, look] {
    FindNodes(peers_, peers_->self().id, lifeline_.Guard(look), kToLookAround);
  }));
}

void Bootstrap::ReconnectLater() {
  peers_->RunAfter(Jittered(kReconnectPause), lifeline_.Guard([this] {
    // An empty table is Watch's business.
    if (peers_->table().size() > 0) Reconnect();
    ReconnectLater();
  }));
}

void Bootstrap::Reconnect() {
  const auto descent = std::make_shared<Descent>();
  descent->neighbours = IdsOf(peers_->table().Siblings(kBucketSize));
  for (const Contact& former : peers_->former().Some(kFormerTried, peers_->random())) Descend(descent, former);
  if (addresses_.empty() || ++reconnects_ < next_address_try_) return;
  next_address_try_ = reconnects_ + address_gap_;
  address_gap_ = std::min(2 * address_gap_, kLongestAddressGap);
  const std::string& address = addresses_[peers_->random().Below(addresses_.size())];
  peers_->Identify(address, lifeline_.Guard([this, descent](const absl::StatusOr<Contact>& contact) {
    if (contact.ok()) Descend(descent, *contact);
  }));
}

bool Bootstrap::Descend(const std::shared_ptr<Descent>& descent, const Contact& node) {
  const Id& self = peers_->self().id;
  if (node.id == self || peers_->table().Contains(node.id)) return false;
  if (descent->called.size() >= kMaxDescentCalls || !descent->called.insert(node.id).second) return false;
  ++descent->waiting;
  peers_->Ask(node, FindNodeCall{self}, lifeline_.Guard([this, descent](const absl::StatusOr<Response>& response) {
    const auto* answer = response.ok() ? std::get_if<NodesAnswer>(&response->answer) : nullptr;
    if (answer != nullptr) {
      descent->answered = true;
      size_t followed = 0;
      for (Contact next : answer->nodes) {  // as it sent them: the nearest first
        next.id = Id::OfNode(next.key);
        if (Descend(descent, next) && ++followed == kDescentWidth) break;
      }
    }
    if (--descent->waiting == 0 && descent->answered) Land(descent);
  }));
  return true;
}

void Bootstrap::Land(const std::shared_ptr<Descent>& descent) {
  FindNodes(peers_, peers_->self().id, lifeline_.Guard([this, descent](const QueryResult& found) {
    if (NewAmong(found.nearest, descent->neighbours) < kManyNewNeighbours) return;
    const std::vector<size_t> buckets = peers_->table().StaleBuckets(absl::ZeroDuration(), peers_->clock().Elapsed());
    if (!buckets.empty()) RefreshFrom(buckets.back());
  }));
}

void Bootstrap::RefreshFrom(size_t index) {
  FindNodes(peers_, peers_->table().RandomIdIn(index, peers_->random()),
            lifeline_.Guard([this, index](const QueryResult&) {
              if (index > 0) RefreshFrom(index - 1);
            }));
}

}  // namespace dotagent::dht
