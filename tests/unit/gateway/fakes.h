// A network of gateways in one thread: their directory, their trunk and the agents' calls are played here; everything
// else is the real gateway.
#ifndef DOTAGENT_TESTS_UNIT_GATEWAY_FAKES_H_
#define DOTAGENT_TESTS_UNIT_GATEWAY_FAKES_H_

#include <grpcpp/impl/codegen/proto_utils.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/crypto/peer_id.h"
#include "common/identity/rotation.h"
#include "common/record/message.h"
#include "services/gateway/cluster.h"
#include "services/gateway/cluster_link.h"
#include "services/gateway/gateway.h"
#include "tests/unit/gateway/post_nothing.h"

namespace dotagent::gateway_service {

// What a loop is in production, and at its end what gRPC's shutdown is: calls that are still open forget who waits for
// them.
class Tasks {
 public:
  Tasks() = default;
  Tasks(const Tasks&) = delete;
  Tasks& operator=(const Tasks&) = delete;
  ~Tasks() {
    tasks_.clear();
    while (!open_.empty()) {
      const auto forget = std::move(open_.begin()->second);
      open_.erase(open_.begin());
      forget();
    }
  }

  void AddCall(const void* call, std::function<void()> forget) { open_[call] = std::move(forget); }
  void RemoveCall(const void* call) { open_.erase(call); }

  void Post(std::function<void()> task) { tasks_.push_back(std::move(task)); }
  // What works elsewhere: `wait` waits until it has nothing left to do, and returns false if it had nothing.
  void AddElsewhere(const void* who, std::function<bool()> wait) { elsewhere_[who] = std::move(wait); }
  void RemoveElsewhere(const void* who) { elsewhere_.erase(who); }
  // Runs until nothing is left to do.
  void Run() {
    do {
      while (!tasks_.empty()) {
        const auto task = std::move(tasks_.front());
        tasks_.pop_front();
        task();
      }
    } while (std::any_of(elsewhere_.begin(), elsewhere_.end(), [](const auto& other) { return other.second(); }));
  }

 private:
  std::deque<std::function<void()>> tasks_;
  std::map<const void*, std::function<void()>> open_;
  std::map<const void*, std::function<bool()>> elsewhere_;
};

class FakeDirectory : public host::Directory {
 public:
  FakeDirectory(Tasks& tasks, const Clock& clock) : tasks_(tasks), clock_(clock) {}

  void Resolve(const record::Name& name, bool, std::function<void(absl::StatusOr<host::Resolution>)> done) override {
    ++resolves;
    tasks_.Post([this, name, done = std::move(done)] {
      const auto found = records_.find(name.text());
      if (found != records_.end()) return done(host::Resolution{found->second, "dht", 2, 4});
      done(ErrorWithReason(absl::StatusCode::kNotFound, reason::kNameNotFound, name.text()));
    });
  }
  void Publish(const std::string& json, const record::NameProof& proof,
               std::function<void(absl::StatusOr<host::Publication>)> done) override {
    last_proof = proof;
    tasks_.Post([this, json, done = std::move(done)] {
      auto record = record::Record::Verify(json, clock_.Now());
      if (!record.ok()) return done(record.status());
      records_.insert_or_assign(record->name().text(), *record);
      done(host::Publication{{"a", "b", "c"}, 5});
    });
  }
  void PublishRevocation(const std::string&, const std::string&, std::function<void(absl::Status)> done) override {
    tasks_.Post([done = std::move(done)] { done(absl::UnimplementedError("gateways publish no revocations")); });
  }
  void GetRotation(const identity::AgentId& agent,
                   std::function<void(absl::StatusOr<host::FoundRotation>)> done) override {
    tasks_.Post([this, agent, done = std::move(done)] {
      const auto found = rotations.find(agent.ToString());
      if (found != rotations.end()) return done(host::FoundRotation{found->second, 3});
      done(absl::NotFoundError("no node holds a rotation chain of this identity"));
    });
  }
  void Shutdown() override {}

  std::map<std::string, std::string> rotations;  // by AgentId, in text
  int resolves = 0;
  record::NameProof last_proof;  // of the newest Publish

 private:
  Tasks& tasks_;
  const Clock& clock_;
  std::map<std::string, record::Record> records_;
};

// A pipe in memory; what is written at one end is read at the other, one chunk at a time.
class FakePipe : public Pipe {
 public:
  explicit FakePipe(Tasks& tasks) : tasks_(tasks) {
    tasks_.AddCall(this, [this] {
      // As in FakeCall below.
      const auto waiting = std::make_tuple(std::exchange(read_, nullptr), std::exchange(on_taken_, nullptr));
    });
  }
  ~FakePipe() override { tasks_.RemoveCall(this); }

  static std::pair<std::shared_ptr<FakePipe>, std::shared_ptr<FakePipe>> Pair(Tasks& tasks) {
    auto a = std::make_shared<FakePipe>(tasks);
    auto b = std::make_shared<FakePipe>(tasks);
    a->peer_ = b;
    b->peer_ = a;
    return {a, b};
  }

  void Read(std::function<void(absl::StatusOr<std::string>)> done) override {
    if (broken_) return tasks_.Post([done, why = *broken_] { done(why); });
    read_ = std::move(done);
    Deliver();
  }
  void Write(std::string bytes, std::function<void(absl::Status)> done) override {
    const auto peer = peer_.lock();
    if (!peer || broken_) {
      return tasks_.Post(
          [done, why = broken_.value_or(absl::UnavailableError("the other end is gone"))] { done(why); });
    }
    peer->incoming_.push_back(std::move(bytes));
    peer->on_taken_ = std::move(done);
    peer->Deliver();
  }
  void CloseWrite() override {
    if (const auto peer = peer_.lock()) {
      peer->incoming_.emplace_back();
      peer->Deliver();
    }
  }
  // The cause crosses the wire as a reset's code, as a stream's does.
  void Abort(const absl::Status& why) override { Break(p2p::StatusOfReset(p2p::ResetCodeFor(why))); }

  // By default as when the session under it dies.
  void Break(const absl::Status& why = absl::UnavailableError("the pipe is broken")) {
    if (std::exchange(broken_, why)) return;
    if (auto read = std::exchange(read_, nullptr)) tasks_.Post([read, why] { read(why); });
    if (const auto peer = peer_.lock()) peer->Break(why);
  }

 private:
  void Deliver() {
    if (!read_ || incoming_.empty()) return;
    tasks_.Post([read = std::exchange(read_, nullptr), bytes = std::move(incoming_.front()),
                 taken = std::exchange(on_taken_, nullptr)] {
      if (taken) taken(absl::OkStatus());
      read(bytes);
    });
    incoming_.pop_front();
  }

  Tasks& tasks_;
  std::weak_ptr<FakePipe> peer_;
  std::deque<std::string> incoming_;
  std::function<void(absl::StatusOr<std::string>)> read_;
  std::function<void(absl::Status)> on_taken_;
  std::optional<absl::Status> broken_;
};

// Carries calls between the gateways that have joined it.
class FakeTrunks {
 public:
  explicit FakeTrunks(Tasks& tasks) : tasks_(tasks) {}
  void Join(const crypto::PublicKey& key, TrunkHandlers handlers) { gateways_.emplace(key, std::move(handlers)); }
  void Leave(const crypto::PublicKey& key) { gateways_.erase(key); }
  [[nodiscard]] const TrunkHandlers* Find(const std::vector<p2p::PeerAddress>& addresses) const {
    for (const p2p::PeerAddress& address : addresses) {
      const auto found = gateways_.find(*address.key);
      if (found != gateways_.end()) return &found->second;
    }
    return nullptr;
  }
  [[nodiscard]] Tasks& tasks() { return tasks_; }

  bool relayed = false;
  std::function<void(Answer&)> lie;  // what a gateway in between makes of answers
  std::vector<std::shared_ptr<FakePipe>> pipes;

 private:
  Tasks& tasks_;
  std::map<crypto::PublicKey, TrunkHandlers> gateways_;
};

class FakeTrunk : public Trunk {
 public:
  FakeTrunk(FakeTrunks& trunks, const crypto::PublicKey& self) : trunks_(trunks), self_(self) {}

  void Deliver(std::vector<p2p::PeerAddress> gateways, const trunk::v1::DeliverRequest& request,
               std::function<void(absl::StatusOr<bool>)> done) override {
    trunks_.tasks().Post([this, gateways = std::move(gateways), request, done = std::move(done)] {
      const TrunkHandlers* other = trunks_.Find(gateways);
      if (other == nullptr) return done(Unreachable());
      other->deliver(self_, request, done);
    });
  }
  void Request(std::vector<p2p::PeerAddress> gateways, const trunk::v1::RequestCall& call,
               std::function<void(absl::StatusOr<Answer>)> done) override {
    trunks_.tasks().Post([this, gateways = std::move(gateways), call, done = std::move(done)] {
      const TrunkHandlers* other = trunks_.Find(gateways);
      if (other == nullptr) return done(Unreachable());
      other->request(self_, call, [this, done](absl::StatusOr<Answer> answer) {
        if (answer.ok() && trunks_.lie) trunks_.lie(*answer);
        done(std::move(answer));
      });
    });
  }
  void OpenChannel(std::vector<p2p::PeerAddress> gateways, const trunk::v1::ChannelRequest& request,
                   std::function<void(absl::StatusOr<OpenTrunk>)> done) override {
    trunks_.tasks().Post([this, gateways = std::move(gateways), request, done = std::move(done)] {
      const TrunkHandlers* other = trunks_.Find(gateways);
      if (other == nullptr) return done(Unreachable());
      const auto [near, far] = FakePipe::Pair(trunks_.tasks());
      trunks_.pipes.push_back(near);
      trunks_.pipes.push_back(far);
      other->channel({.from = self_,
                      .request = request,
                      .relayed = trunks_.relayed,
                      .accept =
                          [this, done, near = near, far = far](auto accepted) {
                            done(OpenTrunk{near, trunks_.relayed});
                            accepted(std::shared_ptr<Pipe>(far));
                          },
                      .refuse = [done](const absl::Status& status) { done(status); }});
    });
  }
  void OpenTopics(const p2p::PeerAddress& gateway,
                  std::function<void(absl::StatusOr<std::shared_ptr<Pipe>>)> done) override {
    ++dialled;
    trunks_.tasks().Post([this, gateway, done = std::move(done)] {
      const TrunkHandlers* other = trunks_.Find({gateway});
      if (other == nullptr) return done(Unreachable());
      const auto [near, far] = FakePipe::Pair(trunks_.tasks());
      trunks_.pipes.push_back(near);
      trunks_.pipes.push_back(far);
      done(std::shared_ptr<Pipe>(near));
      other->topics(self_, far);
    });
  }

  int dialled = 0;  // links for topics

 private:
  static absl::Status Unreachable() {
    return ErrorWithReason(absl::StatusCode::kUnavailable, reason::kUnreachable, "no such gateway");
  }
  FakeTrunks& trunks_;
  const crypto::PublicKey self_;
};

// Carries calls between the members of clusters that have joined it; all who do have the same secret.
class FakeClusterLinks {
 public:
  explicit FakeClusterLinks(Tasks& tasks) : tasks_(tasks) {}
  void Join(const crypto::PublicKey& key, ClusterHandlers handlers) { members_[key] = std::move(handlers); }
  void Leave(const crypto::PublicKey& key) { members_.erase(key); }
  [[nodiscard]] const ClusterHandlers* Find(const crypto::PublicKey& key) const {
    const auto found = members_.find(key);
    return found == members_.end() || cut.contains(key) ? nullptr : &found->second;
  }
  [[nodiscard]] Tasks& tasks() { return tasks_; }

  std::set<crypto::PublicKey> cut;  // are there, and cannot be reached, nor reach anybody
  // Answers to this call are lost on their way, so many times.
  cluster::v1::ClusterCall::CallCase lose = cluster::v1::ClusterCall::CALL_NOT_SET;
  int losses = 0;
  std::vector<std::shared_ptr<FakePipe>> pipes;
  std::map<cluster::v1::ClusterCall::CallCase, session::Priority> levels;  // of the newest call of each kind

 private:
  Tasks& tasks_;
  std::map<crypto::PublicKey, ClusterHandlers> members_;
};

class FakeClusterLink : public ClusterLink {
 public:
  FakeClusterLink(FakeClusterLinks& links, const crypto::PublicKey& self) : links_(links), self_(self) {}

  void Identify(const p2p::Multiaddr&, std::function<void(absl::StatusOr<crypto::PublicKey>)> done) override {
    links_.tasks().Post([done = std::move(done)] { done(Unreachable()); });
  }
  void Call(const p2p::PeerAddress& member, cluster::v1::ClusterCall call, const CallOptions& options,
            Answered done) override {
    links_.levels[call.call_case()] = options.level;
    links_.tasks().Post([this, member = *member.key, call = std::move(call), done = std::move(done)] {
      const ClusterHandlers* other = links_.cut.contains(self_) ? nullptr : links_.Find(member);
      if (other == nullptr) return done(Unreachable());
      other->call(self_, call,
                  [this, done, kind = call.call_case()](absl::StatusOr<cluster::v1::ClusterAnswer> answer) {
                    links_.tasks().Post([this, done, kind, answer = std::move(answer)] {
                      if (kind != links_.lose || links_.losses == 0) return done(answer);
                      --links_.losses;
                      done(absl::DeadlineExceededError("the answer was lost"));
                    });
                  });
    });
  }
  void OpenRelay(const p2p::PeerAddress& member, cluster::v1::RelayOpen open,
                 std::function<void(absl::StatusOr<std::shared_ptr<Pipe>>)> done) override {
    links_.tasks().Post([this, member = *member.key, open = std::move(open), done = std::move(done)] {
      const ClusterHandlers* other = links_.cut.contains(self_) ? nullptr : links_.Find(member);
      if (other == nullptr) return done(Unreachable());
      const auto [near, far] = FakePipe::Pair(links_.tasks());
      links_.pipes.push_back(near);
      links_.pipes.push_back(far);
      done(std::shared_ptr<Pipe>(near));
      other->relay(self_, open, far);
    });
  }

 private:
  static absl::Status Unreachable() {
    return ErrorWithReason(absl::StatusCode::kUnavailable, reason::kUnreachable, "no such gateway");
  }
  FakeClusterLinks& links_;
  const crypto::PublicKey self_;
};

// A bidirectional call with both of its ends: the gateway's is the interface, the agent's are the methods below.
template <typename Request, typename Response>
class FakeCall : public BidiStream<Request, Response> {
 public:
  explicit FakeCall(Tasks& tasks) : tasks_(tasks) {
    tasks_.AddCall(this, [this] {
      // The last of them may own this call, so all are taken out first.
      const auto waiting =
          std::make_tuple(std::exchange(read_, nullptr), std::exchange(write_, nullptr), std::exchange(gone_, nullptr));
    });
  }
  ~FakeCall() override { tasks_.RemoveCall(this); }

  void Read(std::function<void(std::optional<Request>)> done) override {
    EXPECT_EQ(read_, nullptr) << "one read at a time";
    read_ = std::move(done);
    Deliver();
  }
  void Write(Response response, std::function<void(bool)> done) override {
    EXPECT_EQ(write_, nullptr) << "one write at a time";
    if (finished) return tasks_.Post([done] { done(false); });
    received.push_back(std::move(response));
    write_ = std::move(done);
    if (!stalled) FinishWrite();
  }
  void Finish(absl::Status status) override {
    if (finished) return;
    finished = std::move(status);
    half_closed_ = true;
    Deliver();
  }
  void OnCancelled(std::function<void()> gone) override { gone_ = std::move(gone); }

  void Send(Request request) {
    requests_.push_back(std::move(request));
    Deliver();
  }
  void HalfClose() {
    half_closed_ = true;
    Deliver();
  }
  void Cancel() {
    HalfClose();
    if (gone_) tasks_.Post(std::exchange(gone_, nullptr));
  }
  void Resume() {
    stalled = false;
    if (write_) FinishWrite();
  }

  std::vector<Response> received;
  std::optional<absl::Status> finished;
  bool stalled = false;  // the agent does not read

 private:
  void Deliver() {
    if (!read_) return;
    if (!requests_.empty() && !finished) {
      tasks_.Post([read = std::exchange(read_, nullptr), request = std::move(requests_.front())] { read(request); });
      requests_.pop_front();
    } else if (half_closed_) {
      tasks_.Post([read = std::exchange(read_, nullptr)] { read(std::nullopt); });
    }
  }
  void FinishWrite() {
    tasks_.Post([this] {
      if (auto done = std::exchange(write_, nullptr)) done(true);
    });
  }

  Tasks& tasks_;
  std::deque<Request> requests_;
  bool half_closed_ = false;
  std::function<void(std::optional<Request>)> read_;
  std::function<void(bool)> write_;
  std::function<void()> gone_;
};

using InboxCall = FakeCall<gateway::v1::InboxRequest, gateway::v1::InboxResponse>;
using ChannelCall = FakeCall<gateway::v1::OpenChannelRequest, gateway::v1::OpenChannelResponse>;

// A Subscribe call, at both of its ends as FakeCall.
class SubscribeCall : public EventStream {
 public:
  explicit SubscribeCall(Tasks& tasks) : tasks_(tasks) {
    tasks_.AddCall(this, [this] {
      const auto waiting = std::make_tuple(std::exchange(write_, nullptr), std::exchange(gone_, nullptr));
    });
  }
  ~SubscribeCall() override { tasks_.RemoveCall(this); }

  void Write(grpc::ByteBuffer response, std::function<void(bool)> done) override {
    EXPECT_EQ(write_, nullptr) << "one write at a time";
    if (finished) return tasks_.Post([done] { done(false); });
    gateway::v1::SubscribeResponse parsed;
    EXPECT_TRUE(grpc::SerializationTraits<gateway::v1::SubscribeResponse>::Deserialize(&response, &parsed).ok());
    for (const auto& event : parsed.events()) events.push_back(event);
    ++writes;
    write_ = std::move(done);
    if (!stalled) FinishWrite();
  }
  void Finish(absl::Status status) override {
    if (!finished) finished = std::move(status);
  }
  void OnCancelled(std::function<void()> gone) override { gone_ = std::move(gone); }

  void Cancel() {
    if (gone_) tasks_.Post(std::exchange(gone_, nullptr));
  }
  void Resume() {
    stalled = false;
    if (write_) FinishWrite();
  }

  std::vector<gateway::v1::SubscribeEvent> events;
  int writes = 0;
  std::optional<absl::Status> finished;
  bool stalled = false;  // the agent does not read

 private:
  void FinishWrite() {
    tasks_.Post([this] {
      if (auto done = std::exchange(write_, nullptr)) done(true);
    });
  }

  Tasks& tasks_;
  std::function<void(bool)> write_;
  std::function<void()> gone_;
};

// Counts uses as identity does; of each token as many as `uses` says.
class FakeRedeemer : public Redeemer {
 public:
  explicit FakeRedeemer(Tasks& tasks) : tasks_(tasks) {}
  void Redeem(const std::string& token, const std::string& id, std::function<void(absl::Status)> done) override {
    tasks_.Post([this, token, id, done = std::move(done)] {
      if (before_answer) before_answer();
      if (!failure.ok()) return done(failure);
      if (redeemed.contains(id)) return done(absl::OkStatus());
      if (uses == 0) return done(ErrorWithReason(absl::StatusCode::kResourceExhausted, reason::kUsedUp, "used up"));
      --uses;
      redeemed.insert(id);
      done(absl::OkStatus());
    });
  }
  void Shutdown() override {}

  uint64_t uses = 0;
  std::set<std::string> redeemed;
  absl::Status failure;
  std::function<void()> before_answer;

 private:
  Tasks& tasks_;
};

// Everything that gateways share.
struct World {
  SimulatedClock clock{absl::FromUnixSeconds(1'800'000'000)};
  SeededRandom random{42};
  Tasks tasks;
  FakeDirectory directory{tasks, clock};
  FakeTrunks trunks{tasks};
  FakeClusterLinks cluster_links{tasks};
  FakeRedeemer redeemer{tasks};
  std::set<crypto::PublicKey> revoked;
  std::vector<p2p::Multiaddr> cluster_peers;  // where members look for each other
};

// A real gateway in that world.
struct TestGateway {
  explicit TestGateway(World& w, uint64_t max_channels = 8, InboxLimits limits = {}, const TopicLimits& topics = {},
                       std::optional<crypto::SigningKey> own_key = std::nullopt, const AdmissionLimits& admission = {},
                       std::shared_ptr<storage::Store> own_store = storage::NewMemoryStore())
      : world(w),
        key(own_key ? *std::move(own_key) : crypto::SigningKey::Generate(w.random)),
        store(std::move(own_store)),
        inboxes(*InboxStore::Open(*store, PostNothing, limits)),
        tap(*Tap::Open("")) {
    if (limits.clustered) {
      cluster_link = std::make_unique<FakeClusterLink>(w.cluster_links, key.public_key());
      cluster =
          std::make_unique<Cluster>(Cluster::Parts{.self = key.public_key(),
                                                   .generation = w.random.Below(uint64_t{1} << 62) + 1,
                                                   .addresses = [this] { return std::vector<std::string>{address()}; },
                                                   .peers = w.cluster_peers,
                                                   .link = *cluster_link,
                                                   .inboxes = *inboxes,
                                                   .guard = guard,
                                                   .clock = w.clock,
                                                   .metrics = metrics});
    }
    logic = std::make_unique<Gateway>(
        Gateway::Parts{.key = key,
                       .channel_binding = std::string(32, 'c'),
                       .addresses = [this] { return std::vector<std::string>{address()}; },
                       .inboxes = *inboxes,
                       .directory = world.directory,
                       .trunk = trunk,
                       .tap = *tap,
                       .guard = guard,
                       .is_revoked = [this](const crypto::PublicKey& k) { return world.revoked.contains(k); },
                       .clock = world.clock,
                       .random = world.random,
                       .metrics = metrics,
                       .max_channels_per_agent = max_channels,
                       .post = [this](std::function<void()> work) { world.tasks.Post(std::move(work)); },
                       .topics = topics,
                       .admission = admission,
                       .cluster = cluster.get(),
                       .cluster_link = cluster_link.get(),
                       .durable = durable.get()});
    if (cluster) world.cluster_links.Join(key.public_key(), cluster->link_handlers());
    world.trunks.Join(key.public_key(), logic->trunk_handlers());
    world.tasks.AddElsewhere(this, [this] {
      const bool flushed = inboxes->Flush();
      return durable->Flush() || flushed;
    });
  }
  ~TestGateway() {
    world.tasks.RemoveElsewhere(this);
    world.trunks.Leave(key.public_key());
    world.cluster_links.Leave(key.public_key());
  }

  [[nodiscard]] std::string address() const {
    return absl::StrCat("/ip4/127.0.0.1/tcp/4001/p2p/", crypto::PeerIdFromKey(key.public_key()));
  }

  World& world;
  const crypto::SigningKey key;
  telemetry::Metrics metrics;
  std::shared_ptr<storage::Store> store;
  std::unique_ptr<InboxStore> inboxes;
  std::unique_ptr<DurableQueues> durable = *DurableQueues::Open(*store, PostNothing, {.max_entries = 8});
  std::unique_ptr<Tap> tap;
  InboxGuard guard{*store, world.redeemer, [this](const crypto::PublicKey& k) { return world.revoked.contains(k); },
                   world.clock, metrics};
  FakeTrunk trunk{world.trunks, key.public_key()};
  std::unique_ptr<FakeClusterLink> cluster_link;  // if it is part of a cluster
  std::unique_ptr<Cluster> cluster;
  std::unique_ptr<Gateway> logic;
};

// An agent at a gateway.
struct TestAgent {
  TestAgent(World& w, TestGateway& g, const std::string& n) : world(w), gateway(g), name(n) {}

  [[nodiscard]] absl::Status Authenticate() {
    gateway::v1::ChallengeRequest challenge;
    challenge.set_public_key(std::string(key.public_key().bytes()));
    challenge.set_client_nonce(world.random.Bytes(32));
    ASSIGN_OR_RETURN(const auto challenged, gateway.logic->authenticator().Challenge(challenge));
    ASSIGN_OR_RETURN(const std::string signature, identity::AnswerChallenge({.purpose = "gateway",
                                                                             .client_nonce = challenge.client_nonce(),
                                                                             .server_nonce = challenged.server_nonce(),
                                                                             .client_key = key.public_key(),
                                                                             .server_key = gateway.key.public_key(),
                                                                             .channel_binding = std::string(32, 'c')},
                                                                            challenged.server_signature(), key));
    gateway::v1::AuthenticateRequest answer;
    answer.set_challenge_id(challenged.challenge_id());
    answer.set_signature(signature);
    ASSIGN_OR_RETURN(const auto authenticated, gateway.logic->authenticator().Authenticate(answer));
    token = authenticated.token();
    return absl::OkStatus();
  }

  [[nodiscard]] absl::StatusOr<record::Record> MakeRecord(const std::vector<std::string>& addresses) const {
    return record::Record::Sign({.name = name, .addresses = addresses, .protocols = {}, .timestamp = world.clock.Now()},
                                key);
  }

  [[nodiscard]] absl::StatusOr<gateway::v1::RegisterResponse> Register(const std::string& record_json,
                                                                       const record::NameProof& proof = {}) {
    gateway::v1::RegisterRequest request;
    request.set_record_json(record_json);
    request.set_rotation_chain(proof.rotation_chain);
    request.set_name_certificate(proof.name_certificate);
    absl::StatusOr<gateway::v1::RegisterResponse> result = absl::UnknownError("not answered");
    gateway.logic->Register(token, request, [&](auto response) { result = std::move(response); });
    world.tasks.Run();
    return result;
  }

  // Authenticates and registers at the gateway.
  void Settle() {
    ASSERT_TRUE(Authenticate().ok());
    const auto record = MakeRecord({gateway.address()});
    ASSERT_TRUE(record.ok()) << record.status();
    const auto registered = Register(record->json());
    ASSERT_TRUE(registered.ok()) << registered.status();
  }

  [[nodiscard]] std::string SignMessage(const std::string& to, const std::string& id,
                                        const std::string& attachment = "") const {
    record::MessageFields fields{.id = id, .sender = name, .recipient = to, .timestamp = world.clock.Now()};
    if (!attachment.empty()) fields.content = record::AttachmentContent("text/plain", attachment);
    return record::Message::Sign(fields, key)->json();
  }

  [[nodiscard]] absl::StatusOr<gateway::v1::SendResponse> Send(const std::string& json,
                                                               const std::string& attachment = "") {
    gateway::v1::SendRequest request;
    request.set_message_json(json);
    request.set_attachment(attachment);
    absl::StatusOr<gateway::v1::SendResponse> result = absl::UnknownError("not answered");
    gateway.logic->Send(token, request, [&](auto response) { result = std::move(response); });
    world.tasks.Run();
    return result;
  }

  [[nodiscard]] std::shared_ptr<InboxCall> OpenInbox(bool channels = true, uint64_t after_sequence = 0) {
    auto call = std::make_shared<InboxCall>(world.tasks);
    gateway::v1::InboxRequest request;
    request.mutable_open()->set_name(name);
    request.mutable_open()->set_accept_channels(channels);
    request.mutable_open()->set_after_sequence(after_sequence);
    call->Send(request);
    gateway.logic->Inbox(token, call);
    world.tasks.Run();
    return call;
  }

  [[nodiscard]] std::shared_ptr<ChannelCall> Call(const std::string& recipient, const std::string& method = "",
                                                  const std::string& capability_token = "") {
    auto call = std::make_shared<ChannelCall>(world.tasks);
    gateway::v1::OpenChannelRequest request;
    request.mutable_call()->set_recipient(recipient);
    request.mutable_call()->set_caller(name);
    request.mutable_call()->set_method(method);
    request.mutable_call()->set_token(capability_token);
    call->Send(request);
    gateway.logic->OpenChannel(token, call);
    world.tasks.Run();
    return call;
  }

  [[nodiscard]] std::shared_ptr<ChannelCall> Accept(const std::string& channel_id) {
    auto call = std::make_shared<ChannelCall>(world.tasks);
    gateway::v1::OpenChannelRequest request;
    request.mutable_accept()->set_channel_id(channel_id);
    call->Send(request);
    gateway.logic->OpenChannel(token, call);
    world.tasks.Run();
    return call;
  }

  [[nodiscard]] std::string SignPublication(const std::string& topic, const std::string& id) const {
    return record::Message::Sign({.id = id,
                                  .sender = name,
                                  .recipient = name,
                                  .timestamp = world.clock.Now(),
                                  .content = {{"topic", topic}, {"text", id}}},
                                 key)
        ->json();
  }
  [[nodiscard]] absl::StatusOr<gateway::v1::PublishResponse> PublishSigned(const std::string& json) {
    gateway::v1::PublishRequest request;
    request.set_message_json(json);
    absl::StatusOr<gateway::v1::PublishResponse> result = absl::UnknownError("not answered");
    gateway.logic->Publish(token, request, [&](auto response) { result = std::move(response); });
    world.tasks.Run();
    return result;
  }
  [[nodiscard]] absl::StatusOr<gateway::v1::PublishResponse> Publish(const std::string& topic, const std::string& id) {
    return PublishSigned(SignPublication(topic, id));
  }

  [[nodiscard]] std::string SignSubscription(const std::string& publisher, const std::string& pattern) const {
    return record::Message::Sign({.id = "s1",
                                  .type = record::MessageType::kRequest,
                                  .sender = name,
                                  .recipient = publisher,
                                  .timestamp = world.clock.Now(),
                                  .content = {{"method", "topics"}, {"topic", pattern}}},
                                 key)
        ->json();
  }
  [[nodiscard]] std::shared_ptr<SubscribeCall> SubscribeSigned(const std::string& json,
                                                               const std::string& capability_token = "",
                                                               const std::string& durable_name = "") {
    auto call = std::make_shared<SubscribeCall>(world.tasks);
    gateway::v1::SubscribeRequest request;
    request.set_durable_name(durable_name);
    request.set_message_json(json);
    request.set_token(capability_token);
    gateway.logic->Subscribe(token, request, call);
    world.tasks.Run();
    return call;
  }
  [[nodiscard]] std::shared_ptr<SubscribeCall> Subscribe(const std::string& publisher, const std::string& pattern) {
    return SubscribeSigned(SignSubscription(publisher, pattern));
  }

  World& world;
  TestGateway& gateway;
  const std::string name;
  crypto::SigningKey key = crypto::SigningKey::Generate(world.random);
  std::string token;
};

// That `heir`'s key takes the place of `owner`'s.
[[nodiscard]] inline std::string RotationFrom(const TestAgent& owner, const TestAgent& heir) {
  const absl::Time now = owner.world.clock.Now();
  std::vector<std::string> statements = {*identity::MakeInception(owner.key, heir.key.public_key(), now)};
  const auto begun = identity::VerifyRotationChain(statements, now);
  const auto next = crypto::SigningKey::Generate(owner.world.random);
  statements.push_back(*identity::MakeRotation(*begun, owner.key, heir.key, next.public_key(), now));
  return identity::EncodeRotationChain(statements);
}

}  // namespace dotagent::gateway_service

#endif  // DOTAGENT_TESTS_UNIT_GATEWAY_FAKES_H_
