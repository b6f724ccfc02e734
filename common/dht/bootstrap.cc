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
constexpr absl::Duration kLookAgain = absl::Milliseconds(250);
constexpr int kLooks = 4;
// The saved nodes that an attempt tries: the nearest, and more at random would add little.
constexpr size_t kSavedTried = 3 * kBucketSize;

}  // namespace

// One try: every address and saved node at once.
struct Bootstrap::Attempt {
  std::function<void(absl::Status)> done;
  size_t waiting = 0;
  size_t ourselves = 0;
  bool looking = false;  // someone answered, and the lookup has begun
};

void Bootstrap::Start(const std::vector<std::string>& addresses, std::function<void(absl::Status)> done) {
  addresses_ = addresses;
  pause_ = kFirstPause;
  Try(std::move(done));
}

void Bootstrap::Try(std::function<void(absl::Status)> done) {
  const auto attempt = std::make_shared<Attempt>();
  attempt->done = std::move(done);
  std::vector<Contact> saved = peers_->Saved();
  if (saved.size() > kSavedTried) saved.resize(kSavedTried);
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
    attempt->looking = true;
    FindNodes(peers_, peers_->self().id, lifeline_.Guard([this, attempt](const QueryResult&) {
      pause_ = kFirstPause;
      Watch();
      LookAroundAgain(kLooks, kLookAgain);
      if (attempt->done) attempt->done(absl::OkStatus());
    }));
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

void Bootstrap::Watch() {
  const auto jitter = static_cast<double>(peers_->random().Below(1000)) / 1000;
  const absl::Duration pause = pause_ * (0.5 + jitter);
  pause_ = std::min(2 * pause_, kLongestPause);
  peers_->RunAfter(pause, lifeline_.Guard([this] {
    if (peers_->table().size() == 0) {
      Try(nullptr);
    } else {
      pause_ = kFirstPause;
      Watch();
    }
  }));
}

void Bootstrap::LookAroundAgain(int left, absl::Duration pause) {
  if (left == 0) return;
  peers_->RunAfter(pause, lifeline_.Guard([this, left, pause] {
    FindNodes(peers_, peers_->self().id,
              lifeline_.Guard([this, left, pause](const QueryResult&) { LookAroundAgain(left - 1, 4 * pause); }));
  }));
}

}  // namespace dotagent::dht
