// One publisher's topics, at its own gateway or at one of its subscribers': who wants which, where the publisher lives,
// and the numbers of its publications.
//
// Defends against publications sent again: a number must be greater than the last one, and an id must be none of the
// last kRememberedIds; older ones are refused by their date (topics.h).
#ifndef DOTAGENT_SERVICES_GATEWAY_TOPIC_FEED_H_
#define DOTAGENT_SERVICES_GATEWAY_TOPIC_FEED_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/p2p/node.h"
#include "common/record/name.h"
#include "common/record/record.h"
#include "common/record/topic_trie.h"
#include "services/gateway/topic_subscriber.h"
#include "services/host/directory.h"

namespace dotagent::gateway_service {

inline constexpr size_t kRememberedIds = 1024;
inline constexpr size_t kMaxTopicNodes = 65'536;  // of one publisher's subscribers

// The newest ids of a publisher.
class RecentIds {
 public:
  // False: it is one of them.
  bool Add(const std::string& id);

 private:
  absl::flat_hash_set<std::string> known_;
  std::deque<std::string> order_;
};

// On the loop.
class TopicFeed : public std::enable_shared_from_this<TopicFeed> {
 public:
  TopicFeed(record::Name name, uint64_t epoch) : name_(std::move(name)), epoch_(epoch) {}

  [[nodiscard]] const record::Name& name() const { return name_; }

  // Subscribers. As TopicTrie::Add.
  [[nodiscard]] absl::Status Join(record::TopicTrie::Id id, const record::TopicPattern& pattern,
                                  std::shared_ptr<TopicSink> sink);
  // Ends one pattern of it; `last`: and all that the feed knows of it.
  void Leave(record::TopicTrie::Id id, const record::TopicPattern& pattern, bool last);
  [[nodiscard]] bool has_members() const { return !members_.empty(); }
  [[nodiscard]] bool has_gateways() const { return gateways_ > 0; }

  struct Reach {
    uint32_t subscribers = 0;
    uint32_t gateways = 0;
  };
  Reach Distribute(const record::Topic& topic, const PublicationPtr& publication);
  // All subscribers miss something.
  void Miss(const Gap& gap);

  // Where the publisher lives: asks `directory` if what is known is older than `max_age`. As Directory::Resolve, or
  // GatewaysOf. `done` may be called from inside.
  void Locate(host::Directory& directory, const Clock& clock, const crypto::PublicKey& self, absl::Duration max_age,
              std::function<void(absl::Status)> done);
  // Since the last Locate that was OK; see record().
  [[nodiscard]] const std::optional<record::Record>& record() const { return record_; }
  [[nodiscard]] const p2p::PeerAddress& home() const { return home_; }
  [[nodiscard]] bool here() const { return here_; }
  [[nodiscard]] absl::Time located() const { return located_; }
  [[nodiscard]] bool locating() const { return !waiting_.empty(); }

  // Numbers. At the publisher's gateway: the next one.
  [[nodiscard]] uint64_t NextSequence() { return ++sequence_; }
  [[nodiscard]] uint64_t epoch() const { return epoch_; }
  [[nodiscard]] uint64_t sequence() const { return sequence_; }
  // At a subscriber's: as the publisher's gateway says.
  void set_numbers(uint64_t epoch, uint64_t sequence) {
    epoch_ = epoch;
    sequence_ = sequence;
  }

  bool live = false;       // at a subscriber's gateway: the link has confirmed a subscription since it was opened
  uint64_t live_from = 0;  // the newest publication's number then
  // Whose subscribers here are served from there.
  std::optional<crypto::PublicKey> followed;
  RecentIds recent_ids;
  absl::Time last_used = absl::InfinitePast();

 private:
  void OnLocated(absl::StatusOr<host::Resolution> found, absl::Time now, const crypto::PublicKey& self);

  const record::Name name_;
  record::TopicTrie patterns_{kMaxTopicNodes};
  absl::flat_hash_map<record::TopicTrie::Id, std::shared_ptr<TopicSink>> members_;
  size_t gateways_ = 0;  // of the members
  std::optional<record::Record> record_;
  p2p::PeerAddress home_;
  bool here_ = false;
  absl::Time located_ = absl::InfinitePast();
  std::vector<std::function<void(absl::Status)>> waiting_;
  uint64_t epoch_;
  uint64_t sequence_ = 0;
};

}  // namespace dotagent::gateway_service

#endif  // DOTAGENT_SERVICES_GATEWAY_TOPIC_FEED_H_
