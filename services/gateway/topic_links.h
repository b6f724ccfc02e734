// Subscriptions between gateways (trunk.proto, TopicsRequest and TopicsEvent): UpLink is the end of the subscribers'
// gateway, which dials, and DownLink that of the publishers'.
//
// One link carries all subscriptions between the two, and each publication once. At the publishers' end each publisher
// has a lane of its own, with its own bounded backlog, served in turn: so one who publishes much takes nothing from the
// others, and what a slow link misses is told publisher by publisher.
//
// Defends against a gateway that asks and does not read (requests are read one at a time, and not while verdicts
// wait), that asks for more than kMaxLinkSubscriptions, or breaks the protocol (the link ends).
#ifndef DOTAGENT_SERVICES_GATEWAY_TOPIC_LINKS_H_
#define DOTAGENT_SERVICES_GATEWAY_TOPIC_LINKS_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/capability/token.h"
#include "common/crypto/keys.h"
#include "common/p2p/node.h"
#include "dotagent/trunk/v1/trunk.pb.h"
#include "services/gateway/pipe.h"
#include "services/gateway/topic_feed.h"
#include "services/gateway/trunk.h"

namespace dotagent::gateway_service {

inline constexpr size_t kMaxLinkSubscriptions = 10'000;
inline constexpr absl::Duration kMaxRedialPause = absl::Seconds(30);
// The publishers' gateway says something at least every kHeartbeat, an event without content if there is none.
inline constexpr absl::Duration kHeartbeat = absl::Seconds(10);
inline constexpr absl::Duration kMaxSilence = absl::Seconds(35);

// Messages behind their lengths, on a pipe. On the loop, as everything below.
class TopicPipe : public std::enable_shared_from_this<TopicPipe> {
 public:
  TopicPipe(std::shared_ptr<Pipe> pipe, size_t max_message) : pipe_(std::move(pipe)), max_message_(max_message) {}

  // The next message; one at a time. OutOfRange at the end. May call `done` from inside; a Read from inside `done` does
  // not nest.
  void Read(std::function<void(absl::StatusOr<std::string>)> done);
  // Messages behind their lengths already; one write at a time.
  void Write(std::string bytes, std::function<void(absl::Status)> done) {
    pipe_->Write(std::move(bytes), std::move(done));
  }
  void Abort(const absl::Status& why) { pipe_->Abort(why); }

 private:
  void Deliver();

  const std::shared_ptr<Pipe> pipe_;
  const size_t max_message_;
  std::string buffer_;
  std::function<void(absl::StatusOr<std::string>)> waiting_;
  bool delivering_ = false;
};

// To the gateway where publishers live. Dials again when it breaks, after pauses that grow to kMaxRedialPause.
class UpLink : public std::enable_shared_from_this<UpLink> {
 public:
  struct Handlers {
    std::function<void()> opened;                     // nothing has been asked for on this stream
    std::function<void(const absl::Status&)> broken;  // or not reached
    // Events, in their order; the next one comes after `next`, and an error ends the link.
    std::function<void(trunk::v1::TopicsEvent, std::function<void(absl::Status)> next)> event;
  };
  // The references must outlive it. Dials at the first Tick.
  UpLink(p2p::PeerAddress gateway, Trunk& trunk, const Clock& clock, Random& random, Handlers handlers)
      : gateway_(std::move(gateway)), trunk_(trunk), clock_(clock), random_(random), handlers_(std::move(handlers)) {}

  // Dials if it is time to; breaks a link on which nothing has come for kMaxSilence.
  void Tick();
  // No effect while it is not open.
  void Send(const trunk::v1::TopicsRequest& request);
  // What has come shows that the other gateway is well: the next pause is a short one.
  void Proved() { failures_ = 0; }
  // Ends it; nothing is called after.
  void Close(const absl::Status& why);

  [[nodiscard]] bool open() const { return pipe_ != nullptr; }
  // Counts the streams.
  [[nodiscard]] uint64_t session() const { return session_; }
  void set_gateway(p2p::PeerAddress gateway) { gateway_ = std::move(gateway); }

 private:
  void OnOpened(absl::StatusOr<std::shared_ptr<Pipe>> pipe);
  void ReadNext();
  void OnMessage(const std::string& bytes);
  void Write();
  void Break(const absl::Status& why);

  p2p::PeerAddress gateway_;
  Trunk& trunk_;
  const Clock& clock_;
  Random& random_;
  Handlers handlers_;
  std::shared_ptr<TopicPipe> pipe_;
  std::string unsent_;
  uint64_t session_ = 0;
  int failures_ = 0;
  absl::Time next_dial_ = absl::InfinitePast();
  absl::Time heard_ = absl::InfinitePast();  // the last message
  bool dialling_ = false;
  bool writing_ = false;
  bool closed_ = false;
};

// From a gateway that has subscribers.
class DownLink : public Flushable, public std::enable_shared_from_this<DownLink> {
 public:
  using TokenPtr = std::shared_ptr<const capability::Token>;
  // Who may subscribe to what.
  struct Admission {
    std::shared_ptr<TopicFeed> feed;
    record::TopicPattern pattern;
    TokenPtr allowed_by;  // nullptr: the publisher asked for no token
  };
  struct Handlers {
    std::function<void(const trunk::v1::TopicsAdd&, std::function<void(absl::StatusOr<Admission>)>)> admit;
    std::function<record::TopicTrie::Id()> next_id;
    std::function<void()> ended;
  };
  struct Metrics {
    telemetry::Counter& delivered;
    telemetry::Counter& missed;
    telemetry::Gauge& subscriptions;
  };
  DownLink(std::shared_ptr<Pipe> pipe, std::shared_ptr<Flusher> flusher, const TopicBacklog::Limits& limits,
           const Metrics& metrics, Handlers handlers);
  ~DownLink() override;

  void Start() { ReadNext(); }
  // Says that it is alive, if nothing else was said for kHeartbeat.
  void Tick(absl::Time now);
  // Takes the subscriptions away that were made with `key`, or that are to `feed`.
  void End(const crypto::PublicKey& key, const absl::Status& why);
  void End(const TopicFeed& feed, const absl::Status& why);
  // Takes those away of whose token `holds` says that it does not any more, and why.
  void EndUnlessHeld(const std::function<absl::Status(const capability::Token&)>& holds);
  // Ends it; `ended` is called.
  void Close(const absl::Status& why);
  void Flush() override;

 private:
  class Lane;
  struct Entry {
    std::shared_ptr<Lane> lane;
    record::TopicPattern pattern;
    crypto::PublicKey key;
    TokenPtr allowed_by;
  };

  void ReadNext();
  void OnMessage(const std::string& bytes);
  void Add(const trunk::v1::TopicsAdd& add);
  [[nodiscard]] absl::Status Join(const trunk::v1::TopicsAdd& add, const Admission& admission);
  void Remove(uint64_t id);
  void Tell(uint64_t id, const absl::Status& status, const TopicFeed* feed);
  void EndWhere(const std::function<bool(const Entry&)>& matches, const absl::Status& why);
  void Wake();
  [[nodiscard]] std::string NextWrite();

  const std::shared_ptr<TopicPipe> pipe_;
  const std::shared_ptr<Flusher> flusher_;
  const TopicBacklog::Limits limits_;
  const Metrics metrics_;
  Handlers handlers_;
  absl::flat_hash_map<uint64_t, Entry> entries_;  // by the other gateway's id
  absl::flat_hash_map<const TopicFeed*, std::shared_ptr<Lane>> lanes_;
  std::deque<std::shared_ptr<Lane>> turns_;  // lanes with news, each once
  std::string verdicts_;                     // not written yet
  absl::Time next_heartbeat_ = absl::InfinitePast();
  bool reading_ = false;
  bool writing_ = false;
  bool woken_ = false;
  bool closed_ = false;
};

}  // namespace dotagent::gateway_service

#endif  // DOTAGENT_SERVICES_GATEWAY_TOPIC_LINKS_H_
