#include "services/gateway/topic_feed.h"

#include "services/gateway/homes.h"

namespace dotagent::gateway_service {

bool RecentIds::Add(const std::string& id) {
  if (!known_.insert(id).second) return false;
  order_.push_back(id);
  if (order_.size() > kRememberedIds) {
    known_.erase(order_.front());
    order_.pop_front();
  }
  return true;
}

absl::Status TopicFeed::Join(record::TopicTrie::Id id, const record::TopicPattern& pattern,
                             std::shared_ptr<TopicSink> sink) {
  const absl::Status added = patterns_.Add(pattern, id);
  if (!added.ok()) return added;
  const bool gateway = sink->is_gateway();
  if (members_.emplace(id, std::move(sink)).second && gateway) ++gateways_;
  return absl::OkStatus();
}

void TopicFeed::Leave(record::TopicTrie::Id id, const record::TopicPattern& pattern, bool last) {
  patterns_.Remove(pattern, id);
  const auto member = members_.find(id);
  if (!last || member == members_.end()) return;
  if (member->second->is_gateway()) --gateways_;
  members_.erase(member);
}

TopicFeed::Reach TopicFeed::Distribute(const record::Topic& topic, const PublicationPtr& publication) {
  Reach reach;
  for (const record::TopicTrie::Id id : patterns_.Match(topic)) {
    const auto member = members_.find(id);
    if (member == members_.end()) continue;
    ++(member->second->is_gateway() ? reach.gateways : reach.subscribers);
    member->second->Take(publication);
  }
  return reach;
}

void TopicFeed::Miss(const Gap& gap) {
  for (const auto& [_, member] : members_) member->Miss(gap);
}

void TopicFeed::Locate(host::Directory& directory, const Clock& clock, const crypto::PublicKey& self,
                       absl::Duration max_age, std::function<void(absl::Status)> done) {
  if (record_ && clock.Now() - located_ < max_age) return done(absl::OkStatus());
  waiting_.push_back(std::move(done));
  if (waiting_.size() > 1) return;
  directory.Resolve(name_, false, [feed = shared_from_this(), &clock, self](absl::StatusOr<host::Resolution> found) {
    feed->OnLocated(std::move(found), clock.Now(), self);
  });
}

void TopicFeed::OnLocated(absl::StatusOr<host::Resolution> found, absl::Time now, const crypto::PublicKey& self) {
  std::vector<std::function<void(absl::Status)>> waiting;
  waiting.swap(waiting_);
  absl::Status result = found.status();
  if (found.ok()) {
    auto gateways = GatewaysOf(found->record);
    result = gateways.status();
    if (gateways.ok()) {
      record_ = std::move(found->record);
      home_ = std::move(gateways->front());
      here_ = home_.key == self;
      located_ = now;
    }
  }
  for (const auto& done : waiting) done(result);
}

}  // namespace dotagent::gateway_service
