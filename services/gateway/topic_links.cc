#include "services/gateway/topic_links.h"

#include <algorithm>
#include <optional>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/base/varint.h"
#include "common/capability/token.h"
#include "common/record/message.h"
#include "common/rpc/refusal.h"

namespace dotagent::gateway_service {
namespace {

using trunk::v1::TopicsAdd;
using trunk::v1::TopicsEvent;
using trunk::v1::TopicsRequest;

constexpr size_t kMaxRequest = record::kMaxMessageSize + capability::kMaxTokenSize + 1024;
constexpr size_t kMaxEvent = record::kMaxMessageSize + 1024;
constexpr size_t kMaxWrite = 64 * 1024;
constexpr size_t kMaxVerdicts = 64 * 1024;  // bytes that may wait before requests do
constexpr absl::Duration kFirstPause = absl::Seconds(1);

absl::Status Malformed(absl::string_view what) {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kProtocol, what);
}

}  // namespace

void TopicPipe::Read(std::function<void(absl::StatusOr<std::string>)> done) {
  waiting_ = std::move(done);
  if (!delivering_) Deliver();
}

void TopicPipe::Deliver() {
  const auto self = shared_from_this();
  delivering_ = true;
  bool more = false;
  while (waiting_ && !more) {
    auto message = TakeLengthPrefixed(&buffer_, max_message_);
    if (!message.ok()) {
      std::exchange(waiting_, nullptr)(message.status());
    } else if (*message) {
      std::exchange(waiting_, nullptr)(**std::move(message));
    } else {
      more = true;
    }
  }
  delivering_ = false;
  if (!more) return;
  pipe_->Read([self](const absl::StatusOr<std::string>& chunk) {
    if (chunk.ok() && !chunk->empty()) {
      self->buffer_ += *chunk;
      return self->Deliver();
    }
    if (!self->waiting_) return;
    std::exchange(self->waiting_, nullptr)(chunk.ok() ? absl::OutOfRangeError("the link has ended") : chunk.status());
  });
}

void UpLink::Tick() {
  if (!closed_ && open() && clock_.Now() - heard_ > kMaxSilence) {
    return Break(absl::UnavailableError("the other gateway has said nothing for too long"));
  }
  if (closed_ || open() || dialling_ || clock_.Now() < next_dial_) return;
  dialling_ = true;
  trunk_.OpenTopics(gateway_, [self = shared_from_this()](absl::StatusOr<std::shared_ptr<Pipe>> pipe) {
    self->OnOpened(std::move(pipe));
  });
}

void UpLink::OnOpened(absl::StatusOr<std::shared_ptr<Pipe>> pipe) {
  dialling_ = false;
  if (closed_) {
    if (pipe.ok()) (*pipe)->Abort(absl::CancelledError("nobody subscribes any more"));
    return;
  }
  if (!pipe.ok()) return Break(pipe.status());
  pipe_ = std::make_shared<TopicPipe>(*std::move(pipe), kMaxEvent);
  ++session_;
  heard_ = clock_.Now();
  ReadNext();
  handlers_.opened();
}

void UpLink::ReadNext() {
  pipe_->Read([self = shared_from_this(), session = session_](const absl::StatusOr<std::string>& message) {
    if (self->closed_ || !self->open() || self->session_ != session) return;
    if (!message.ok()) return self->Break(message.status());
    self->OnMessage(*message);
  });
}

void UpLink::OnMessage(const std::string& bytes) {
  heard_ = clock_.Now();
  TopicsEvent event;
  if (!event.ParseFromString(bytes)) return Break(Malformed("the other gateway's event is malformed"));
  handlers_.event(std::move(event), [self = shared_from_this(), session = session_](const absl::Status& taken) {
    if (self->closed_ || !self->open() || self->session_ != session) return;
    if (!taken.ok()) return self->Break(taken);
    self->ReadNext();
  });
}

void UpLink::Send(const TopicsRequest& request) {
  if (!open()) return;
  unsent_ += WithLength(request.SerializeAsString());
  if (!writing_) Write();
}

void UpLink::Write() {
  writing_ = true;
  std::string bytes;
  bytes.swap(unsent_);
  pipe_->Write(std::move(bytes), [self = shared_from_this(), session = session_](const absl::Status& written) {
    if (self->closed_ || !self->open() || self->session_ != session) return;
    self->writing_ = false;
    if (!written.ok()) return self->Break(written);
    if (!self->unsent_.empty()) self->Write();
  });
}

void UpLink::Break(const absl::Status& why) {
  if (const auto pipe = std::exchange(pipe_, nullptr)) pipe->Abort(why);
  unsent_.clear();
  writing_ = false;
  // Half of the pause is drawn, so that gateways do not come back all at once.
  const absl::Duration pause = std::min(kMaxRedialPause, kFirstPause * (int64_t{1} << std::min(failures_, 10)));
  ++failures_;
  next_dial_ = clock_.Now() + pause / 2 + absl::Milliseconds(random_.Below(absl::ToInt64Milliseconds(pause / 2) + 1));
  handlers_.broken(why);
}

void UpLink::Close(const absl::Status& why) {
  closed_ = true;
  if (const auto pipe = std::exchange(pipe_, nullptr)) pipe->Abort(why);
}

// One publisher's publications for one gateway.
class DownLink::Lane : public TopicSink, public std::enable_shared_from_this<Lane> {
 public:
  Lane(DownLink& link, std::shared_ptr<TopicFeed> feed, record::TopicTrie::Id id)
      : link_(&link), feed_(std::move(feed)), id_(id), backlog_(link.limits_, gateway::v1::MISSED_CAUSE_SLOW_LINK) {}

  void Take(const PublicationPtr& publication) override {
    if (link_ == nullptr) return;
    if (!backlog_.Push(publication)) link_->metrics_.missed.Increment();
    if (std::exchange(queued_, true)) return;
    link_->turns_.push_back(shared_from_this());
    link_->Wake();
  }
  // What a gateway misses arises here.
  void Miss(const Gap&) override {}
  [[nodiscard]] bool is_gateway() const override { return true; }

  [[nodiscard]] absl::Status Add(const record::TopicPattern& pattern) {
    size_t& count = patterns_[pattern.text()];
    if (count == 0) {
      const absl::Status joined = feed_->Join(id_, pattern, shared_from_this());
      if (!joined.ok()) {
        patterns_.erase(pattern.text());
        return joined;
      }
    }
    ++count;
    return absl::OkStatus();
  }
  // True: it was the last one.
  [[nodiscard]] bool Remove(const record::TopicPattern& pattern) {
    const auto found = patterns_.find(pattern.text());
    if (found != patterns_.end() && --found->second == 0) {
      patterns_.erase(found);
      feed_->Leave(id_, pattern, patterns_.empty());
    }
    return patterns_.empty();
  }
  void Detach() { link_ = nullptr; }

  // The next event behind its length; empty if nothing waits.
  [[nodiscard]] std::string Next() {
    const auto entry = backlog_.Pop();
    queued_ = !backlog_.empty();
    if (!entry) return "";
    if (const auto* publication = std::get_if<PublicationPtr>(&*entry)) return (*publication)->for_gateways;
    const Gap& gap = std::get<Gap>(*entry);
    TopicsEvent event;
    event.mutable_missed()->set_publisher(feed_->name().text());
    event.mutable_missed()->set_count(gap.count);
    event.mutable_missed()->set_first_sequence(gap.first);
    event.mutable_missed()->set_last_sequence(gap.last);
    return WithLength(event.SerializeAsString());
  }
  [[nodiscard]] bool queued() const { return queued_; }
  [[nodiscard]] const std::shared_ptr<TopicFeed>& feed() const { return feed_; }

 private:
  DownLink* link_;  // nullptr: the link has let go of it
  const std::shared_ptr<TopicFeed> feed_;
  const record::TopicTrie::Id id_;
  TopicBacklog backlog_;
  absl::flat_hash_map<std::string, size_t> patterns_;  // how many subscriptions have it
  bool queued_ = false;                                // is in turns_
};

DownLink::DownLink(std::shared_ptr<Pipe> pipe, std::shared_ptr<Flusher> flusher, const TopicBacklog::Limits& limits,
                   const Metrics& metrics, Handlers handlers)
    : pipe_(std::make_shared<TopicPipe>(std::move(pipe), kMaxRequest)),
      flusher_(std::move(flusher)),
      limits_(limits),
      metrics_(metrics),
      handlers_(std::move(handlers)) {}

DownLink::~DownLink() {
  for (const auto& [_, lane] : lanes_) lane->Detach();
}

void DownLink::ReadNext() {
  if (closed_ || reading_ || verdicts_.size() > kMaxVerdicts) return;
  reading_ = true;
  // Weak: the pipe is this link's own, and keeps what it is to call.
  pipe_->Read([weak = weak_from_this()](const absl::StatusOr<std::string>& message) {
    const auto self = weak.lock();
    if (!self || self->closed_) return;
    if (!message.ok()) return self->Close(message.status());
    self->OnMessage(*message);
  });
}

void DownLink::OnMessage(const std::string& bytes) {
  TopicsRequest request;
  if (!request.ParseFromString(bytes) || request.action_case() == TopicsRequest::ACTION_NOT_SET) {
    return Close(Malformed("the other gateway's request is malformed"));
  }
  if (request.has_add()) return Add(request.add());
  Remove(request.remove().id());
  reading_ = false;
  ReadNext();
}

void DownLink::Add(const TopicsAdd& add) {
  if (entries_.contains(add.id())) return Close(Malformed("the id of a subscription is in use"));
  handlers_.admit(add, [self = shared_from_this(), add](const absl::StatusOr<Admission>& admission) {
    if (self->closed_) return;
    const absl::Status joined = admission.ok() ? self->Join(add, *admission) : admission.status();
    self->Tell(add.id(), joined, joined.ok() ? admission->feed.get() : nullptr);
    self->reading_ = false;
    self->ReadNext();
  });
}

absl::Status DownLink::Join(const TopicsAdd& add, const Admission& admission) {
  if (entries_.size() >= kMaxLinkSubscriptions) {
    return ErrorWithReason(absl::StatusCode::kResourceExhausted, reason::kLimit,
                           "the subscriber's gateway has too many subscriptions here");
  }
  ASSIGN_OR_RETURN(const crypto::PublicKey key, crypto::PublicKey::FromBytes(add.subscriber_key()));
  const auto known = lanes_.find(admission.feed.get());
  const auto lane =
      known != lanes_.end() ? known->second : std::make_shared<Lane>(*this, admission.feed, handlers_.next_id());
  RETURN_IF_ERROR(lane->Add(admission.pattern));
  lanes_.emplace(admission.feed.get(), lane);
  entries_.emplace(add.id(), Entry{lane, admission.pattern, key, admission.allowed_by});
  metrics_.subscriptions.Increment();
  return absl::OkStatus();
}

void DownLink::Remove(uint64_t id) {
  const auto found = entries_.find(id);
  if (found == entries_.end()) return;  // was taken away meanwhile
  const Entry entry = std::move(found->second);
  entries_.erase(found);
  metrics_.subscriptions.Decrement();
  if (!entry.lane->Remove(entry.pattern)) return;
  entry.lane->Detach();
  lanes_.erase(entry.lane->feed().get());
  turns_.erase(std::remove(turns_.begin(), turns_.end(), entry.lane), turns_.end());
}

void DownLink::Tell(uint64_t id, const absl::Status& status, const TopicFeed* feed) {
  TopicsEvent event;
  trunk::v1::TopicsVerdict& verdict = *event.mutable_verdict();
  verdict.set_id(id);
  if (!status.ok()) rpc::WriteRefusal(status, &verdict);
  if (feed != nullptr) {
    verdict.set_epoch(feed->epoch());
    verdict.set_sequence(feed->sequence());
  }
  verdicts_ += WithLength(event.SerializeAsString());
  Wake();
}

void DownLink::EndWhere(const std::function<bool(const Entry&)>& matches, const absl::Status& why) {
  std::vector<uint64_t> ending;
  for (const auto& [id, entry] : entries_) {
    if (matches(entry)) ending.push_back(id);
  }
  for (const uint64_t id : ending) {
    Remove(id);
    Tell(id, why, nullptr);
  }
}

void DownLink::End(const crypto::PublicKey& key, const absl::Status& why) {
  EndWhere([&](const Entry& entry) { return entry.key == key; }, why);
}

void DownLink::End(const TopicFeed& feed, const absl::Status& why) {
  EndWhere([&](const Entry& entry) { return entry.lane->feed().get() == &feed; }, why);
}

void DownLink::EndUnlessHeld(const std::function<absl::Status(const capability::Token&)>& holds) {
  std::vector<std::pair<uint64_t, absl::Status>> ending;
  for (const auto& [id, entry] : entries_) {
    if (!entry.allowed_by) continue;
    absl::Status held = holds(*entry.allowed_by);
    if (!held.ok()) ending.emplace_back(id, std::move(held));
  }
  for (const auto& [id, why] : ending) {
    Remove(id);
    Tell(id, why, nullptr);
  }
}

void DownLink::Wake() {
  if (writing_ || closed_ || std::exchange(woken_, true)) return;
  flusher_->Add(shared_from_this());
}

// Verdicts first: they are few. Then the lanes, an event each in turn.
std::string DownLink::NextWrite() {
  std::string bytes = std::exchange(verdicts_, std::string());
  while (bytes.size() < kMaxWrite && !turns_.empty()) {
    const auto lane = std::move(turns_.front());
    turns_.pop_front();
    bytes += lane->Next();
    metrics_.delivered.Increment();
    if (lane->queued()) turns_.push_back(lane);
  }
  return bytes;
}

void DownLink::Tick(absl::Time now) {
  if (now < next_heartbeat_) return;
  next_heartbeat_ = now + kHeartbeat;
  if (writing_ || woken_) return;
  verdicts_ += WithLength(TopicsEvent().SerializeAsString());
  Wake();
}

void DownLink::Flush() {
  woken_ = false;
  if (writing_ || closed_) return;
  std::string bytes = NextWrite();
  if (bytes.empty()) return;
  writing_ = true;
  pipe_->Write(std::move(bytes), [self = shared_from_this()](const absl::Status& written) {
    self->writing_ = false;
    if (self->closed_) return;
    if (!written.ok()) return self->Close(written);
    self->ReadNext();
    self->Flush();
  });
}

void DownLink::Close(const absl::Status& why) {
  if (std::exchange(closed_, true)) return;
  const auto self = shared_from_this();
  std::vector<uint64_t> ids;
  for (const auto& [id, _] : entries_) ids.push_back(id);
  for (const uint64_t id : ids) Remove(id);
  pipe_->Abort(why);
  const auto ended = std::exchange(handlers_.ended, nullptr);
  if (ended) ended();
}

}  // namespace dotagent::gateway_service
