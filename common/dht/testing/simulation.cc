#include "common/dht/testing/simulation.h"

#include <algorithm>
#include <array>
#include <bit>
#include <deque>
#include <limits>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/dht/testing/message_size.h"
#include "common/dht/wire.h"

namespace dotagent::dht {
namespace {

// Each in another /16, as far as they go: tables limit how many of one network they take.
constexpr size_t kFirstOctet = 11;
constexpr size_t kOctets = 89;  // 11–99: neither private nor reserved
constexpr size_t kNetworks = kOctets * 256;
constexpr size_t kHosts = 254;

// Made once: every call starts with it.
const absl::Status& TimedOut() {
  static const absl::Status status =
      ErrorWithReason(absl::StatusCode::kDeadlineExceeded, reason::kUnreachable, "no answer in time");
  return status;
}

// One machine's disk.
class Disk : public storage::Store {
 public:
  // Without `keeps_tables`: keeps everything but the routing table.
  explicit Disk(bool keeps_tables) : keeps_tables_(keeps_tables) {}
  absl::StatusOr<std::string> Get(absl::string_view key) const override { return store_->Get(key); }
  absl::Status Write(const storage::Batch& batch, storage::Durability durability) override {
    if (!keeps_tables_ && batch.size() == 1 && batch.changes()[0].first == "dht/table") return absl::OkStatus();
    if (full_ && !batch.empty()) {
      return ErrorWithReason(absl::StatusCode::kUnavailable, reason::kStorage, "the disk is full; free some space");
    }
    return store_->Write(batch, durability);
  }
  absl::Status Scan(absl::string_view prefix, absl::string_view from,
                    const std::function<bool(absl::string_view, absl::string_view)>& visit) const override {
    return store_->Scan(prefix, from, visit);
  }
  void set_full(bool full) { full_ = full; }

 private:
  const std::unique_ptr<storage::Store> store_ = storage::NewMemoryStore();
  const bool keeps_tables_;
  bool full_ = false;
};

// One machine's clock.
class OffsetClock : public Clock {
 public:
  explicit OffsetClock(const Clock* right) : right_(right) {}
  [[nodiscard]] absl::Time Now() const override { return right_->Now() + offset_; }
  [[nodiscard]] absl::Duration Elapsed() const override { return right_->Elapsed(); }
  void set_offset(absl::Duration offset) { offset_ = offset; }

 private:
  const Clock* const right_;
  absl::Duration offset_;
};

crypto::PublicKey RandomKey(Random& random) {
  std::array<uint8_t, crypto::kPublicKeySize> bytes{};
  random.Fill(bytes.data(), bytes.size());
  return std::bit_cast<crypto::PublicKey>(bytes);
}

// For a node without a private key. Whoever asks a node takes the session as proof of what it says, so no one in a
// simulation looks at its signatures: they are zeros, and cost nothing.
class KeyOnly : public crypto::Signer {
 public:
  explicit KeyOnly(const crypto::PublicKey& key) : key_(key) {}
  [[nodiscard]] const crypto::PublicKey& public_key() const override { return key_; }
  [[nodiscard]] absl::StatusOr<std::string> Sign(absl::string_view /*message*/) const override {
    return std::string(crypto::kSignatureSize, '\0');
  }

 private:
  const crypto::PublicKey key_;
};

// Things with stable addresses, which are used again.
template <typename T>
class Pool {
 public:
  T* Take() {
    if (free_.empty()) return &items_.emplace_back();
    T* const item = free_.back();
    free_.pop_back();
    return item;
  }
  // What the item holds is let go of.
  void Return(T* item) {
    *item = T();
    free_.push_back(item);
  }

 private:
  std::deque<T> items_;
  std::vector<T*> free_;
};

}  // namespace

// What a node has asked to be woken for.
class Simulation::Timer : public Event {
 public:
  void Run() override;

  Node* node = nullptr;
  uint32_t life = 0;  // the node's when it asked: the wish dies with it
  std::function<void()> run;
};

// A call from when it is made until its answer, or its timeout, has been delivered. Belongs to the caller's lane; the
// callee has it from its arrival until it has answered.
class Simulation::PendingCall : public Event {
 public:
  void Run() override { arrives ? simulation->Arrive(this) : simulation->Finish(this); }

  Simulation* simulation = nullptr;
  size_t caller = 0;
  uint32_t life = 0;     // the caller's when it called
  bool arrives = false;  // next; or else the caller hears of it
  std::optional<size_t> callee;
  int64_t sent = 0;
  Request request;
  std::optional<absl::StatusOr<Response>> answer;  // nothing: there was none in time
  std::function<void(absl::StatusOr<Response>)> done;
};

// What belongs to the nodes of one thread. On cache lines of its own.
struct alignas(64) Simulation::Lane {
  Pool<Timer> timers;
  Pool<PendingCall> pending;
  uint64_t calls = 0;
  uint64_t messages = 0;
  uint64_t bytes = 0;
};

// One machine: its disk, its address, and, while it is up, its Dht.
class Simulation::Node : public Network {
 public:
  Node(Simulation* simulation, size_t index, std::unique_ptr<const crypto::Signer> signer, DhtOptions options,
       uint64_t seed)
      : simulation_(simulation),
        index_(index),
        signer_(std::move(signer)),
        options_(std::move(options)),
        random_(seed),
        network_random_(~seed),
        clock_(&simulation->clock(index)),
        store_(std::make_unique<Disk>(simulation->options_.keep_tables)) {
    Boot();
  }

  void Boot() { dht_ = std::make_unique<Dht>(options_, this, &clock_, &random_, store_.get()); }
  void Kill() {
    dht_.reset();
    ++life_;
  }
  void Remove() {
    Kill();
    store_.reset();
    behaviour_ = nullptr;
  }

  void Call(const Contact& to, const Request& request, std::function<void(absl::StatusOr<Response>)> done) override {
    std::optional<size_t> callee = to.addresses.empty() ? std::nullopt : simulation_->AtAddress(to.addresses.front());
    if (callee && simulation_->contact(*callee).key != to.key) callee.reset();
    PendingCall* const call = simulation_->LaneOf(index_).pending.Take();
    call->caller = index_;
    call->callee = callee;
    call->request = request;
    call->done = std::move(done);
    simulation_->StartCall(call);
  }

  void Identify(const std::string& address, std::function<void(absl::StatusOr<Contact>)> done) override {
    ++simulation_->LaneOf(index_).calls;
    const std::optional<size_t> callee = simulation_->AtAddress(address);
    const bool answers = callee && simulation_->Answers(index_, *callee);
    RunAfter(answers ? Delay() + Delay() : simulation_->options_.call_timeout,
             [simulation = simulation_, from = index_, callee, done = std::move(done)] {
               if (callee && simulation->Answers(from, *callee)) {
                 done(simulation->contact(*callee));
               } else {
                 done(TimedOut());
               }
             });
  }

  void RunAfter(absl::Duration delay, std::function<void()> run) override {
    simulation_->Schedule(delay, this, std::move(run));
  }

  // What this node's peer gets for an answer, if anything.
  std::optional<Response> Receive(const crypto::PublicKey& from, const Request& request) {
    return behaviour_ ? behaviour_(request) : dht_->Handle(from, request);
  }

  [[nodiscard]] absl::Duration Delay() {
    const absl::Duration min = simulation_->options_.min_delay;
    const auto spread = static_cast<uint64_t>(absl::ToInt64Microseconds(simulation_->options_.max_delay - min));
    return min + absl::Microseconds(static_cast<int64_t>(network_random_.Below(spread + 1)));
  }
  [[nodiscard]] bool Loses() {
    return static_cast<double>(network_random_.Below(1'000'000)) < simulation_->options_.loss * 1e6;
  }

  [[nodiscard]] const Contact& self() const { return options_.self; }
  [[nodiscard]] Simulation* simulation() const { return simulation_; }
  [[nodiscard]] size_t index() const { return index_; }
  [[nodiscard]] bool is_up() const { return dht_ != nullptr; }
  [[nodiscard]] uint32_t life() const { return life_; }
  [[nodiscard]] Dht& dht() { return *dht_; }
  [[nodiscard]] Disk& store() { return *store_; }
  [[nodiscard]] OffsetClock& clock() { return clock_; }
  void set_behaviour(Behaviour behaviour) { behaviour_ = std::move(behaviour); }

 private:
  Simulation* const simulation_;
  const size_t index_;
  const std::unique_ptr<const crypto::Signer> signer_;
  const DhtOptions options_;
  SeededRandom random_;
  SeededRandom network_random_;
  OffsetClock clock_;
  std::unique_ptr<Disk> store_;
  Behaviour behaviour_;
  uint32_t life_ = 0;
  std::unique_ptr<Dht> dht_;
};

void Simulation::Timer::Run() {
  // Given back first: it may ask to be woken again.
  const std::function<void()> wish = node->life() == life ? std::move(run) : nullptr;
  node->simulation()->LaneOf(node->index()).timers.Return(this);
  if (wish) wish();
}

Simulation::Simulation(SimulationOptions options)
    : options_(options),
      random_(options.seed),
      timeline_(options.start, options.min_delay, options.threads),
      lanes_(options.threads) {}

Simulation::~Simulation() = default;

std::string Simulation::AddressOf(size_t index) {
  const size_t network = index % kNetworks;
  const size_t host = index / kNetworks;
  return absl::StrCat("/ip4/", kFirstOctet + network % kOctets, ".", network / kOctets, ".", host / kHosts, ".",
                      1 + host % kHosts, "/tcp/4001");
}

size_t Simulation::AddNode(DhtOptions options, bool client) {
  const size_t index = nodes_.size();
  std::unique_ptr<const crypto::Signer> signer;
  if (options.self.key != crypto::PublicKey()) {
    signer = std::make_unique<KeyOnly>(options.self.key);
  } else if (options_.real_keys) {
    signer = std::make_unique<crypto::SigningKey>(crypto::SigningKey::Generate(random_));
  } else {
    signer = std::make_unique<KeyOnly>(RandomKey(random_));
  }
  options.signer = signer.get();
  options.self.key = signer->public_key();
  options.self.id = Id::OfNode(options.self.key);
  options.self.addresses = client ? AddressList() : AddressList{AddressOf(index)};
  if (!client) {
    by_address_[AddressOf(index)] = index;
  }
  const uint64_t seed = random_.Below(std::numeric_limits<uint64_t>::max());
  timeline_.AddActor();
  nodes_.push_back(std::make_unique<Node>(this, index, std::move(signer), std::move(options), seed));
  return index;
}

void Simulation::Start(size_t index, const std::vector<std::string>& addresses,
                       std::function<void(absl::Status)> done) {
  nodes_[index]->dht().Start(addresses, [this, index, done = std::move(done)](const absl::Status& status) {
    Post(index, [done, status] { done(status); });
  });
}

void Simulation::StartAll() {
  size_t waiting = nodes_.size();
  for (size_t i = 0; i < nodes_.size(); ++i) {
    Start(i, i == 0 ? std::vector<std::string>() : std::vector<std::string>{AddressOf(0)},
          [&waiting](const absl::Status&) { --waiting; });
  }
  while (waiting > 0 && RunWindow(absl::InfiniteFuture())) {
  }
}

void Simulation::Kill(size_t index) { nodes_[index]->Kill(); }

void Simulation::Remove(size_t index) { nodes_[index]->Remove(); }

void Simulation::Restart(size_t index, const std::vector<std::string>& addresses,
                         std::function<void(absl::Status)> done) {
  nodes_[index]->Boot();
  Start(index, addresses, std::move(done));
}

void Simulation::SetBehaviour(size_t index, Behaviour behaviour) { nodes_[index]->set_behaviour(std::move(behaviour)); }

void Simulation::SetClockOffset(size_t index, absl::Duration offset) { nodes_[index]->clock().set_offset(offset); }

void Simulation::SetDiskFull(size_t index, bool full) { nodes_[index]->store().set_full(full); }

absl::StatusOr<GetResult> Simulation::Get(size_t index, const Id& key, ValueKind kind) {
  std::optional<absl::StatusOr<GetResult>> result;
  dht(index).Get(key, kind, [&result](absl::StatusOr<GetResult> got) { result = std::move(got); });
  while (!result && RunWindow(absl::InfiniteFuture())) {
  }
  return result ? *std::move(result) : TimedOut();
}

absl::StatusOr<PutResult> Simulation::Put(size_t index, ValueKind kind, const Item& item) {
  std::optional<absl::StatusOr<PutResult>> result;
  dht(index).Put(kind, item, [&result](absl::StatusOr<PutResult> put) { result = std::move(put); });
  while (!result && RunWindow(absl::InfiniteFuture())) {
  }
  return result ? *std::move(result) : TimedOut();
}

void Simulation::RunFor(absl::Duration duration) {
  const absl::Time end = clock().Now() + duration;
  while (RunWindow(end)) {
  }
  timeline_.MoveTo(absl::ToInt64Nanoseconds(end - options_.start));
}

bool Simulation::RunUntil(const std::function<bool()>& condition, absl::Duration limit) {
  const absl::Time end = clock().Now() + limit;
  while (!condition()) {
    if (!RunWindow(end)) return condition();
  }
  return true;
}

bool Simulation::is_up(size_t index) const { return nodes_[index]->is_up(); }
Dht& Simulation::dht(size_t index) { return nodes_[index]->dht(); }
storage::Store& Simulation::store(size_t index) { return nodes_[index]->store(); }
const Contact& Simulation::contact(size_t index) const { return nodes_[index]->self(); }

std::vector<size_t> Simulation::NearestTo(const Id& target, size_t count) const {
  std::vector<size_t> nearest;
  for (size_t i = 0; i < nodes_.size(); ++i) {
    if (nodes_[i]->is_up() && !contact(i).addresses.empty()) nearest.push_back(i);
  }
  const auto nearer = [&](size_t a, size_t b) {
    return target.DistanceTo(contact(a).id) < target.DistanceTo(contact(b).id);
  };
  const size_t kept = std::min(count, nearest.size());
  std::partial_sort(nearest.begin(), nearest.begin() + static_cast<std::ptrdiff_t>(kept), nearest.end(), nearer);
  nearest.resize(kept);
  return nearest;
}

Simulation::Lane& Simulation::LaneOf(size_t index) { return lanes_[timeline_.lane(ActorOf(index))]; }

uint64_t Simulation::calls() const {
  return std::accumulate(lanes_.begin(), lanes_.end(), uint64_t{0},
                         [](uint64_t sum, const Lane& lane) { return sum + lane.calls; });
}

uint64_t Simulation::messages() const {
  return std::accumulate(lanes_.begin(), lanes_.end(), uint64_t{0},
                         [](uint64_t sum, const Lane& lane) { return sum + lane.messages; });
}

uint64_t Simulation::bytes() const {
  return std::accumulate(lanes_.begin(), lanes_.end(), uint64_t{0},
                         [](uint64_t sum, const Lane& lane) { return sum + lane.bytes; });
}

void Simulation::RunAfter(absl::Duration delay, std::function<void()> run) {
  timeline_.RunAt(clock().nanoseconds() + absl::ToInt64Nanoseconds(delay), std::move(run));
}

void Simulation::Schedule(absl::Duration delay, Node* node, std::function<void()> run) {
  Timer* const timer = LaneOf(node->index()).timers.Take();
  timer->node = node;
  timer->life = node->life();
  timer->run = std::move(run);
  const Timeline::Actor actor = ActorOf(node->index());
  timeline_.Schedule(actor, actor, NowAt(node->index()) + absl::ToInt64Nanoseconds(delay), timer);
}

void Simulation::Count(size_t sender, const PendingCall& call, bool is_answer, size_t bytes) {
  Lane& lane = LaneOf(sender);
  ++lane.messages;
  lane.bytes += bytes;
  if (observer_) observer_({call.caller, call.request, is_answer, bytes});
}

void Simulation::StartCall(PendingCall* call) {
  Node& caller = *nodes_[call->caller];
  ++LaneOf(call->caller).calls;
  call->simulation = this;
  call->life = caller.life();
  call->sent = NowAt(call->caller);
  size_t size = 0;
  if (options_.through_wire) {
    const std::string encoded = EncodeRequest(call->request);
    size = encoded.size();
    absl::StatusOr<Request> decoded = DecodeRequest(encoded);
    if (decoded.ok()) {
      call->request = *std::move(decoded);
    } else {
      call->answer = Response{decoded.status()};
    }
  } else {
    size = EncodedSize(call->request);
  }
  Count(call->caller, *call, false, size);
  const int64_t delay = absl::ToInt64Nanoseconds(caller.Delay());
  call->arrives = call->callee && !caller.Loses();
  if (!call->arrives) return TimeOutLater(call->caller, call);
  timeline_.Schedule(ActorOf(call->caller), ActorOf(*call->callee), call->sent + delay, call);
}

void Simulation::Call(size_t from, size_t to, Request request) {
  PendingCall* const call = LaneOf(from).pending.Take();
  call->caller = from;
  call->callee = to;
  call->request = std::move(request);
  call->done = [](const absl::StatusOr<Response>&) {};
  StartCall(call);
}

void Simulation::Arrive(PendingCall* call) {
  Node& node = *nodes_[*call->callee];
  if (!Answers(call->caller, *call->callee)) return TimeOutLater(*call->callee, call);
  // What the decoder refused has its answer already.
  if (!call->answer) {
    std::optional<Response> response = node.Receive(contact(call->caller).key, call->request);
    if (!response) return TimeOutLater(*call->callee, call);
    call->answer = *std::move(response);
  }
  size_t size = 0;
  if (options_.through_wire) {
    const std::string encoded = EncodeResponse(**call->answer);
    size = encoded.size();
    call->answer = DecodeResponse(encoded);
  } else {
    size = EncodedSize(**call->answer);
  }
  Count(*call->callee, *call, true, size);
  const int64_t at = NowAt(*call->callee) + absl::ToInt64Nanoseconds(node.Delay());
  if (at > call->sent + absl::ToInt64Nanoseconds(options_.call_timeout)) return TimeOutLater(*call->callee, call);
  call->arrives = false;
  timeline_.Schedule(ActorOf(*call->callee), ActorOf(call->caller), at, call);
}

void Simulation::TimeOutLater(size_t node, PendingCall* call) {
  call->arrives = false;
  call->answer.reset();
  // A timeout that is shorter than the way here has passed already.
  const int64_t earliest = NowAt(node) + (node == call->caller ? 0 : absl::ToInt64Nanoseconds(options_.min_delay));
  const int64_t at = std::max(call->sent + absl::ToInt64Nanoseconds(options_.call_timeout), earliest);
  timeline_.Schedule(ActorOf(node), ActorOf(call->caller), at, call);
}

void Simulation::Finish(PendingCall* call) {
  const bool is_awaited = nodes_[call->caller]->life() == call->life;
  const std::function<void(absl::StatusOr<Response>)> done = std::move(call->done);
  absl::StatusOr<Response> answer = call->answer ? *std::move(call->answer) : TimedOut();
  LaneOf(call->caller).pending.Return(call);
  if (is_awaited) done(std::move(answer));
}

bool Simulation::RunWindow(absl::Time limit) {
  return timeline_.RunWindow(limit == absl::InfiniteFuture() ? std::numeric_limits<int64_t>::max()
                                                             : absl::ToInt64Nanoseconds(limit - options_.start));
}

std::optional<size_t> Simulation::AtAddress(absl::string_view address) const {
  const auto found = by_address_.find(address);
  if (found == by_address_.end()) return std::nullopt;
  return found->second;
}

bool Simulation::Answers(size_t from, size_t to) const {
  return is_up(to) && (reachable_ == nullptr || (reachable_(from, to) && reachable_(to, from)));
}

}  // namespace dotagent::dht
