#include "common/dht/testing/simulation.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/dht/wire.h"

namespace dotagent::dht {
namespace {

absl::Status TimedOut() {
  return ErrorWithReason(absl::StatusCode::kDeadlineExceeded, reason::kUnreachable, "no answer in time");
}

}  // namespace

// One machine: its disk, its address, and, while it is up, its Dht.
class Simulation::Node : public Network {
 private:
  // `callback`, unless the node has been killed by then.
  template <typename Callback>
  auto InThisLife(Callback callback) {
    return [life = std::weak_ptr<int>(life_), callback = std::move(callback)](auto&&... arguments) mutable {
      if (!life.expired()) callback(std::forward<decltype(arguments)>(arguments)...);
    };
  }

 public:
  Node(Simulation* simulation, size_t index, crypto::SigningKey key, DhtOptions options, uint64_t seed)
      : simulation_(simulation),
        index_(index),
        key_(std::move(key)),
        options_(std::move(options)),
        random_(seed),
        store_(storage::NewMemoryStore()) {
    Boot();
  }

  void Boot() {
    life_ = std::make_shared<int>(0);
    DhtOptions options = options_;
    options.signer = &key_;
    dht_ = std::make_unique<Dht>(std::move(options), this, &simulation_->clock_, &random_, store_.get());
  }
  void Kill() {
    dht_.reset();
    life_.reset();
  }

  void Call(const Contact& to, const Request& request, std::function<void(absl::StatusOr<Response>)> done) override {
    ++simulation_->calls_;
    const std::string address = to.addresses.empty() ? "" : to.addresses.front();
    absl::StatusOr<Request> arriving = request;
    if (simulation_->options_.through_wire) arriving = DecodeRequest(EncodeRequest(request));
    const bool lost = static_cast<double>(simulation_->random_.Below(1'000'000)) < simulation_->options_.loss * 1e6;
    // The answer or the timeout, whichever comes first; shared by their events.
    auto settle = std::make_shared<std::function<void(absl::StatusOr<Response>)>>(InThisLife(std::move(done)));
    const auto settle_once = [settle](absl::StatusOr<Response> response) {
      if (const auto once = std::exchange(*settle, nullptr); once) once(std::move(response));
    };
    simulation_->Schedule(simulation_->options_.call_timeout, [settle_once] { settle_once(TimedOut()); });
    if (lost) return;
    simulation_->Schedule(simulation_->Delay(), [simulation = simulation_, address, key = to.key, from = index_,
                                                 arriving = std::move(arriving), settle_once] {
      Node* node = simulation->Listening(address);
      if (node == nullptr || node->self().key != key || !simulation->Connected(from, node->index_)) return;
      std::optional<Response> response = node->Receive(simulation->contact(from).key, arriving);
      if (!response) return;
      absl::StatusOr<Response> answer = *std::move(response);
      if (simulation->options_.through_wire) answer = DecodeResponse(EncodeResponse(*answer));
      simulation->Schedule(simulation->Delay(), [answer = std::move(answer), settle_once] { settle_once(answer); });
    });
  }

  void Identify(const std::string& address, std::function<void(absl::StatusOr<Contact>)> done) override {
    ++simulation_->calls_;
    auto settle = InThisLife(std::move(done));
    const Node* now = simulation_->Listening(address);
    if (now == nullptr || !simulation_->Connected(index_, now->index_)) {
      simulation_->Schedule(simulation_->options_.call_timeout, [settle]() mutable { settle(TimedOut()); });
      return;
    }
    simulation_->Schedule(2 * simulation_->Delay(), [simulation = simulation_, address, settle]() mutable {
      const Node* node = simulation->Listening(address);
      if (node == nullptr) {
        settle(TimedOut());
      } else {
        settle(node->self());
      }
    });
  }

  void RunAfter(absl::Duration delay, std::function<void()> run) override {
    simulation_->Schedule(delay, InThisLife(std::move(run)));
  }

  [[nodiscard]] const Contact& self() const { return options_.self; }
  [[nodiscard]] bool is_up() const { return dht_ != nullptr; }
  [[nodiscard]] Dht& dht() { return *dht_; }
  [[nodiscard]] storage::Store& store() { return *store_; }
  void set_behaviour(Behaviour behaviour) { behaviour_ = std::move(behaviour); }

 private:
  std::optional<Response> Receive(const crypto::PublicKey& from, const absl::StatusOr<Request>& request) {
    if (!request.ok()) return Response{request.status()};
    return behaviour_ ? behaviour_(*request) : dht_->Handle(from, *request);
  }

  Simulation* const simulation_;
  const size_t index_;
  const crypto::SigningKey key_;
  const DhtOptions options_;
  SeededRandom random_;
  std::unique_ptr<storage::Store> store_;
  Behaviour behaviour_;
  std::shared_ptr<int> life_;
  std::unique_ptr<Dht> dht_;
};

Simulation::Simulation(SimulationOptions options) : options_(options), random_(options.seed), clock_(options.start) {}

Simulation::~Simulation() = default;

std::string Simulation::AddressOf(size_t index) {
  return absl::StrCat("/ip4/10.", index / 65536 % 256, ".", index / 256 % 256, ".", index % 256, "/tcp/4001");
}

size_t Simulation::AddNode(DhtOptions options, bool client) {
  const size_t index = nodes_.size();
  crypto::SigningKey key = crypto::SigningKey::Generate(random_);
  options.self.key = key.public_key();
  options.self.id = Id::OfNode(options.self.key);
  options.self.addresses.clear();
  if (!client) {
    options.self.addresses.push_back(AddressOf(index));
    by_address_[AddressOf(index)] = index;
  }
  nodes_.push_back(
      std::make_unique<Node>(this, index, std::move(key), std::move(options), random_.Below(UINT64_MAX)));
  return index;
}

void Simulation::Start(size_t index, const std::vector<std::string>& addresses,
                       std::function<void(absl::Status)> done) {
  nodes_[index]->dht().Start(addresses, std::move(done));
}

void Simulation::StartAll() {
  size_t waiting = nodes_.size();
  for (size_t i = 0; i < nodes_.size(); ++i) {
    Start(i, i == 0 ? std::vector<std::string>() : std::vector<std::string>{AddressOf(0)},
          [&waiting](const absl::Status&) { --waiting; });
  }
  while (waiting > 0 && RunNext(absl::InfiniteFuture())) {
  }
}

void Simulation::Kill(size_t index) { nodes_[index]->Kill(); }

void Simulation::Restart(size_t index, const std::vector<std::string>& addresses,
                         std::function<void(absl::Status)> done) {
  nodes_[index]->Boot();
  Start(index, addresses, std::move(done));
}

void Simulation::SetBehaviour(size_t index, Behaviour behaviour) { nodes_[index]->set_behaviour(std::move(behaviour)); }

absl::StatusOr<GetResult> Simulation::Get(size_t index, const Id& key, ValueKind kind) {
  std::optional<absl::StatusOr<GetResult>> result;
  dht(index).Get(key, kind, [&result](absl::StatusOr<GetResult> got) { result = std::move(got); });
  while (!result && RunNext(absl::InfiniteFuture())) {
  }
  return result ? *std::move(result) : TimedOut();
}

absl::StatusOr<PutResult> Simulation::Put(size_t index, ValueKind kind, const Item& item) {
  std::optional<absl::StatusOr<PutResult>> result;
  dht(index).Put(kind, item, [&result](absl::StatusOr<PutResult> put) { result = std::move(put); });
  while (!result && RunNext(absl::InfiniteFuture())) {
  }
  return result ? *std::move(result) : TimedOut();
}

void Simulation::RunFor(absl::Duration duration) {
  const absl::Time end = clock_.Now() + duration;
  while (RunNext(end)) {
  }
  clock_.Advance(end - clock_.Now());
}

bool Simulation::RunUntil(const std::function<bool()>& condition, absl::Duration limit) {
  const absl::Time end = clock_.Now() + limit;
  while (!condition()) {
    if (!RunNext(end)) return condition();
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

void Simulation::Schedule(absl::Duration delay, std::function<void()> run) {
  events_.push({clock_.Now() + delay, scheduled_++, std::move(run)});
}

bool Simulation::RunNext(absl::Time limit) {
  if (events_.empty() || events_.top().at > limit) return false;
  // The queue hands out const references only; the event is gone right after.
  Event event = std::move(const_cast<Event&>(events_.top()));
  events_.pop();
  clock_.Advance(event.at - clock_.Now());
  event.run();
  return true;
}

absl::Duration Simulation::Delay() {
  const auto spread = static_cast<uint64_t>(absl::ToInt64Microseconds(options_.max_delay - options_.min_delay));
  return options_.min_delay + absl::Microseconds(static_cast<int64_t>(random_.Below(spread + 1)));
}

bool Simulation::Connected(size_t from, size_t to) const {
  return reachable_ == nullptr || (reachable_(from, to) && reachable_(to, from));
}

Simulation::Node* Simulation::Listening(const std::string& address) {
  const auto found = by_address_.find(address);
  if (found == by_address_.end() || !nodes_[found->second]->is_up()) return nullptr;
  return nodes_[found->second].get();
}

}  // namespace dotagent::dht
