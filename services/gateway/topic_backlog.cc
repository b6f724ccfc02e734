#include "services/gateway/topic_backlog.h"

#include <utility>

#include "common/base/varint.h"

namespace dotagent::gateway_service {
namespace {

size_t SizeOf(const PublicationPtr& publication) { return publication->for_agents.size(); }

// Numbers from before and after a restart cannot be compared.
void Extend(Gap* gap, const Gap& more) {
  const bool restart =
      gap->cause == gateway::v1::MISSED_CAUSE_RESTART || more.cause == gateway::v1::MISSED_CAUSE_RESTART;
  if (restart || gap->count == 0 || more.count == 0) {
    *gap = {.cause = restart ? gateway::v1::MISSED_CAUSE_RESTART : gap->cause};
    return;
  }
  gap->count += more.count;
  gap->last = more.last;
}

}  // namespace

PublicationPtr SharePublication(uint64_t sequence, absl::string_view message_json, const crypto::PublicKey& sender_key,
                                bool for_gateways) {
  auto shared = std::make_shared<SharedPublication>();
  shared->sequence = sequence;
  gateway::v1::SubscribeResponse response;
  gateway::v1::Publication& publication = *response.add_events()->mutable_publication();
  publication.set_sequence(sequence);
  publication.set_message_json(std::string(message_json));
  publication.set_sender_key(std::string(sender_key.bytes()));
  shared->for_agents = grpc::Slice(response.SerializeAsString());
  if (for_gateways) {
    trunk::v1::TopicsEvent event;
    event.mutable_publication()->set_sequence(sequence);
    event.mutable_publication()->set_message_json(std::string(message_json));
    event.mutable_publication()->set_sender_key(std::string(sender_key.bytes()));
    shared->for_gateways = WithLength(event.SerializeAsString());
  }
  return shared;
}

bool TopicBacklog::Push(const PublicationPtr& publication) {
  const size_t size = SizeOf(publication);
  if (entries_.size() >= limits_.entries || bytes_ + size > limits_.bytes) full_ = true;
  if (full_) {
    AddGap({.cause = cause_, .count = 1, .first = publication->sequence, .last = publication->sequence});
    return false;
  }
  entries_.emplace_back(publication);
  bytes_ += size;
  return true;
}

void TopicBacklog::PushGap(const Gap& gap) {
  if (entries_.size() >= limits_.entries) full_ = true;
  AddGap(gap);
}

void TopicBacklog::AddGap(const Gap& gap) {
  Gap* const last = entries_.empty() ? nullptr : std::get_if<Gap>(&entries_.back());
  if (last != nullptr && (full_ || last->cause == gap.cause)) return Extend(last, gap);
  entries_.emplace_back(gap);
}

std::optional<TopicBacklog::Entry> TopicBacklog::Pop() {
  if (entries_.empty()) return std::nullopt;
  Entry entry = std::move(entries_.front());
  entries_.pop_front();
  if (const auto* publication = std::get_if<PublicationPtr>(&entry)) bytes_ -= SizeOf(*publication);
  if (entries_.size() <= limits_.entries / 2 && bytes_ <= limits_.bytes / 2) full_ = false;
  return entry;
}

}  // namespace dotagent::gateway_service
