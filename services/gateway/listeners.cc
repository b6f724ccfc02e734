#include "services/gateway/listeners.h"

#include <algorithm>
#include <deque>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/rpc/refusal.h"
#include "services/gateway/holder_check.h"

namespace dotagent::gateway_service {

using gateway::v1::InboxRequest;
using gateway::v1::InboxResponse;

namespace {

// What a message or a request takes of an Inbox's room.
template <typename Received>
size_t SizeOf(const Received& received) {
  return received.message_json().size() + received.attachment().size();
}

}  // namespace

// One Inbox call.
class Listeners::Listener : public std::enable_shared_from_this<Listener> {
 public:
  Listener(Listeners& owner, std::shared_ptr<Agent> agent, std::shared_ptr<InboxStream> stream, Places::Place place)
      : owner_(owner),
        agent_(std::move(agent)),
        stream_(std::move(stream)),
        place_(std::move(place)),
        open_by_(owner.clock_.Now() + kMaxSilenceBeforeOpen) {}

  void Start() {
    stream_->OnCancelled([weak = weak_from_this()] {
      if (const auto self = weak.lock()) self->Finish(absl::CancelledError("the agent cancelled its Inbox"));
    });
    stream_->Read([self = shared_from_this()](const std::optional<InboxRequest>& request) { self->OnFirst(request); });
  }

  void Finish(const absl::Status& status) {
    if (std::exchange(finished_, true)) return;
    place_ = nullptr;
    stream_->Finish(status);
    owner_.Unregister(*this);
  }

  void Pump();

  [[nodiscard]] absl::Status CanOffer() const {
    if (!accepts_channels_) {
      return ErrorWithReason(absl::StatusCode::kUnavailable, reason::kRecipientOffline,
                             absl::StrCat(inbox_->name.text(), " listens, but takes no channels"));
    }
    if (offers_.size() >= kMaxOffers) {
      return ErrorWithReason(absl::StatusCode::kResourceExhausted, reason::kLimit,
                             absl::StrCat(inbox_->name.text(), " has too many calls waiting; try again later"));
    }
    return absl::OkStatus();
  }
  // After CanOffer.
  void Offer(const gateway::v1::ChannelOffer& offer) {
    offers_.push_back(offer);
    Pump();
  }

  [[nodiscard]] absl::Status CanAsk() const {
    if (!accepts_requests_) {
      return ErrorWithReason(absl::StatusCode::kUnavailable, reason::kRecipientOffline,
                             absl::StrCat(inbox_->name.text(), " listens, but answers no requests; send it a message"));
    }
    if (asked_.size() >= kMaxAsked || asked_bytes_ >= kMaxAskedBytes) {
      return ErrorWithReason(absl::StatusCode::kResourceExhausted, reason::kLimit,
                             absl::StrCat(inbox_->name.text(), " has too many requests waiting; try again later"));
    }
    return absl::OkStatus();
  }
  // After CanAsk.
  void Ask(gateway::v1::ReceivedRequest request) {
    asked_bytes_ += SizeOf(request);
    asked_.push_back(std::move(request));
    Pump();
  }

  [[nodiscard]] const std::optional<InboxId>& inbox() const { return inbox_; }
  [[nodiscard]] const crypto::PublicKey& key() const { return agent_->key; }
  [[nodiscard]] absl::Time open_by() const { return open_by_; }

 private:
  void OnFirst(const std::optional<InboxRequest>& request);
  void Open(const record::Name& name, uint64_t after_sequence);
  void ReadOn();
  // What cannot be forgotten waits again, for the next Inbox.
  [[nodiscard]] InboxStore::Done FinishOnError() {
    return [weak = weak_from_this()](const absl::Status& forgotten) {
      const auto self = weak.lock();
      if (self && !forgotten.ok()) self->Finish(forgotten);
    };
  }
  void Acknowledge(const gateway::v1::InboxAck& ack);
  void PassOn(const gateway::v1::InboxAnswer& answer);
  [[nodiscard]] std::optional<InboxResponse> NextEvent();

  Listeners& owner_;
  const std::shared_ptr<Agent> agent_;
  const std::shared_ptr<InboxStream> stream_;
  Places::Place place_;
  absl::Time open_by_;            // infinite once it has said what for
  std::optional<InboxId> inbox_;  // once open
  bool accepts_channels_ = false;
  bool accepts_requests_ = false;
  bool told_ready_ = false;
  bool writing_ = false;
  bool finished_ = false;
  uint64_t sent_ = 0;                              // the highest sequence that went out on this call
  absl::flat_hash_map<uint64_t, size_t> unacked_;  // sequence → bytes
  size_t unacked_bytes_ = 0;
  std::deque<gateway::v1::ChannelOffer> offers_;
  std::deque<gateway::v1::ReceivedRequest> asked_;
  size_t asked_bytes_ = 0;
  std::deque<gateway::v1::Refusal> refused_;
};

void Listeners::Listener::OnFirst(const std::optional<InboxRequest>& request) {
  if (finished_) return;
  open_by_ = absl::InfiniteFuture();
  if (!request) return Finish(absl::OkStatus());
  if (!request->has_open()) {
    return Finish(ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kProtocol,
                                  "the first request on an Inbox must be `open`"));
  }
  const auto name = record::Name::Parse(request->open().name());
  if (!name.ok()) return Finish(name.status());
  accepts_channels_ = request->open().accept_channels();
  accepts_requests_ = request->open().accept_requests();
  CheckHolder(
      owner_.directory_, owner_.clock_, agent_, *name,
      [self = shared_from_this(), name = *name, after = request->open().after_sequence()](const absl::Status& holds) {
        if (self->finished_) return;
        holds.ok() ? self->Open(name, after) : self->Finish(holds);
      });
}

void Listeners::Listener::Open(const record::Name& name, uint64_t after_sequence) {
  const InboxId inbox{name, agent_->key};
  if (after_sequence > 0) {
    const auto acknowledged = owner_.store_.AckThrough(inbox, after_sequence, owner_.clock_.Now(), FinishOnError());
    if (!acknowledged.ok()) return Finish(acknowledged.status());
    owner_.acknowledged_.Increment(static_cast<double>(*acknowledged));
    if (finished_) return;
  }
  inbox_ = inbox;
  owner_.Register(shared_from_this());
  Pump();
  ReadOn();
}

void Listeners::Listener::ReadOn() {
  stream_->Read([self = shared_from_this()](const std::optional<InboxRequest>& request) {
    if (self->finished_) return;
    if (!request) return self->Finish(absl::OkStatus());
    if (request->has_ack()) {
      self->Acknowledge(request->ack());
    } else if (request->has_answer()) {
      self->PassOn(request->answer());
    } else {
      self->Finish(ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kProtocol,
                                   "after `open`, an Inbox takes only `ack` and `answer`"));
    }
    if (self->finished_) return;
    self->Pump();
    self->ReadOn();
  });
}

void Listeners::Listener::Acknowledge(const gateway::v1::InboxAck& ack) {
  std::vector<uint64_t> sequences;
  for (const uint64_t sequence : ack.sequences()) {
    const auto out = unacked_.find(sequence);
    if (out == unacked_.end()) continue;  // twice, or never sent here
    unacked_bytes_ -= out->second;
    unacked_.erase(out);
    sequences.push_back(sequence);
  }
  owner_.acknowledged_.Increment(static_cast<double>(sequences.size()));
  owner_.store_.Ack(*inbox_, sequences, FinishOnError());
}

void Listeners::Listener::PassOn(const gateway::v1::InboxAnswer& answer) {
  const absl::Status passed = owner_.hooks_.answered(*inbox_, answer);
  if (passed.ok() || finished_) return;
  const absl::Status bearable = owner_.hooks_.refused(*inbox_, passed);
  if (!bearable.ok()) return Finish(bearable);
  if (refused_.size() >= kMaxRefused) {
    return Finish(ErrorWithReason(absl::StatusCode::kResourceExhausted, reason::kLimit,
                                  "too many answers are refused, and this Inbox does not read why"));
  }
  rpc::WriteRefusal(passed, &refused_.emplace_back());
}

// Requests and offers first: somebody waits for them.
std::optional<InboxResponse> Listeners::Listener::NextEvent() {
  InboxResponse event;
  if (!std::exchange(told_ready_, true)) {
    event.mutable_ready()->set_pending(owner_.store_.pending(*inbox_));
    return event;
  }
  if (!asked_.empty()) {
    asked_bytes_ -= SizeOf(asked_.front());
    *event.mutable_request() = std::move(asked_.front());
    asked_.pop_front();
    return event;
  }
  if (!refused_.empty()) {
    *event.mutable_refused() = std::move(refused_.front());
    refused_.pop_front();
    return event;
  }
  if (!offers_.empty()) {
    *event.mutable_offer() = std::move(offers_.front());
    offers_.pop_front();
    return event;
  }
  if (unacked_.size() >= kMaxUnacked || unacked_bytes_ >= kMaxUnackedBytes) return std::nullopt;
  auto message = owner_.store_.Deliver(*inbox_, sent_, owner_.clock_.Now());
  if (absl::IsNotFound(message.status())) return std::nullopt;
  if (!message.ok()) {
    Finish(message.status());
    return std::nullopt;
  }
  sent_ = message->sequence();
  const size_t bytes = SizeOf(*message);
  unacked_[sent_] = bytes;
  unacked_bytes_ += bytes;
  owner_.delivered_.Increment();
  *event.mutable_message() = *std::move(message);
  return event;
}

void Listeners::Listener::Pump() {
  if (writing_ || finished_) return;
  auto event = NextEvent();
  if (!event) return;
  writing_ = true;
  stream_->Write(*std::move(event), [self = shared_from_this()](bool ok) {
    self->writing_ = false;
    if (!ok) return self->Finish(absl::CancelledError("the agent's Inbox broke off"));
    self->Pump();
  });
}

Listeners::Listeners(InboxStore& store, host::Directory& directory, const Clock& clock, telemetry::Metrics& metrics)
    : store_(store),
      directory_(directory),
      clock_(clock),
      open_(metrics.AddGauge("dotagent_gateway_listeners", "Inbox calls that are open.")),
      delivered_(metrics.AddCounter("dotagent_gateway_inbox_delivered_total",
                                    "Messages handed to agents, repeated ones included.")),
      acknowledged_(
          metrics.AddCounter("dotagent_gateway_inbox_acknowledged_total", "Messages that agents have acknowledged.")) {}

Listeners::~Listeners() = default;

void Listeners::Serve(std::shared_ptr<Agent> agent, std::shared_ptr<InboxStream> stream) {
  if (!drained_.ok()) return stream->Finish(drained_);
  Places::Place place = calls_of_.Take(agent->key.bytes());
  if (place == nullptr) {
    return stream->Finish(ErrorWithReason(
        absl::StatusCode::kResourceExhausted, reason::kLimit,
        absl::StrCat("this agent has ", kMaxInboxCallsPerAgent, " Inbox calls open; end one, or use another key")));
  }
  auto listener = std::make_shared<Listener>(*this, std::move(agent), std::move(stream), std::move(place));
  calls_.emplace(listener.get(), listener);
  listener->Start();
}

void Listeners::Register(const std::shared_ptr<Listener>& listener) {
  const std::string inbox = listener->inbox()->ToString();
  const auto older = by_inbox_.find(inbox);
  if (older != by_inbox_.end()) {
    const auto replaced = older->second;
    replaced->Finish(ErrorWithReason(
        absl::StatusCode::kAborted, reason::kSuperseded,
        absl::StrCat("another Inbox of ", listener->inbox()->name.text(), " was opened and takes over")));
  }
  by_inbox_[inbox] = listener;
  open_.Set(static_cast<double>(by_inbox_.size()));
}

void Listeners::Unregister(const Listener& listener) {
  if (listener.inbox()) {
    const auto found = by_inbox_.find(listener.inbox()->ToString());
    if (found != by_inbox_.end() && found->second.get() == &listener) by_inbox_.erase(found);
    if (hooks_.gone) hooks_.gone(*listener.inbox());
    open_.Set(static_cast<double>(by_inbox_.size()));
  }
  calls_.erase(&listener);
}

void Listeners::Notify(const InboxId& inbox) {
  const auto found = by_inbox_.find(inbox.ToString());
  if (found == by_inbox_.end()) return;
  const auto listener = found->second;
  listener->Pump();
}

absl::StatusOr<std::shared_ptr<Listeners::Listener>> Listeners::At(const InboxId& inbox) const {
  const auto found = by_inbox_.find(inbox.ToString());
  if (found != by_inbox_.end()) return found->second;
  return ErrorWithReason(absl::StatusCode::kUnavailable, reason::kRecipientOffline,
                         absl::StrCat(inbox.name.text(), " is not listening; try again when it is, or send a message"));
}

absl::Status Listeners::CanAsk(const InboxId& inbox) const {
  ASSIGN_OR_RETURN(const auto listener, At(inbox));
  return listener->CanAsk();
}

void Listeners::Ask(const InboxId& inbox, gateway::v1::ReceivedRequest request) {
  const auto listener = At(inbox);
  if (listener.ok()) (*listener)->Ask(std::move(request));
}

absl::Status Listeners::CanOffer(const InboxId& inbox) const {
  ASSIGN_OR_RETURN(const auto listener, At(inbox));
  return listener->CanOffer();
}

absl::Status Listeners::Offer(const InboxId& inbox, const gateway::v1::ChannelOffer& offer) {
  RETURN_IF_ERROR(CanOffer(inbox));
  const auto listener = by_inbox_.at(inbox.ToString());  // a copy: the offer may end it
  listener->Offer(offer);
  return absl::OkStatus();
}

void Listeners::End(const crypto::PublicKey& key, const absl::Status& why) {
  std::vector<std::shared_ptr<Listener>> ending;
  for (const auto& [_, listener] : calls_) {
    if (listener->key() == key) ending.push_back(listener);
  }
  for (const auto& listener : ending) listener->Finish(why);
}

void Listeners::Expire(absl::Time now) {
  std::vector<std::shared_ptr<Listener>> ending;
  for (const auto& [_, listener] : calls_) {
    if (listener->open_by() <= now) ending.push_back(listener);
  }
  for (const auto& listener : ending) {
    listener->Finish(ErrorWithReason(absl::StatusCode::kDeadlineExceeded, reason::kProtocol,
                                     "nothing was said on this Inbox; call again, and begin with `open`"));
  }
}

void Listeners::EndInbox(const InboxId& inbox, const absl::Status& why) {
  const auto listener = At(inbox);
  if (listener.ok()) (*listener)->Finish(why);
}

void Listeners::EndWhere(const std::function<bool(const InboxId&)>& matches, const absl::Status& why) {
  std::vector<std::shared_ptr<Listener>> ending;
  for (const auto& [_, listener] : by_inbox_) {
    if (matches(*listener->inbox())) ending.push_back(listener);
  }
  for (const auto& listener : ending) listener->Finish(why);
}

void Listeners::Drain(const absl::Status& why) {
  drained_ = why;
  std::vector<std::shared_ptr<Listener>> ending;
  for (const auto& [_, listener] : calls_) ending.push_back(listener);
  for (const auto& listener : ending) listener->Finish(why);
}

}  // namespace dotagent::gateway_service
