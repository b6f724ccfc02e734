#include "tests/simulation/population.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <memory>
#include <utility>
#include <variant>

#include "common/dht/puzzle.h"
#include "common/dht/value_type.h"

namespace dotagent::simulation {
namespace {

// At most this part of the network is joining at a time.
constexpr size_t kJoiningShare = 8;
// Ids made for an eclipse share this many bits more with the victim than the nearest of all nodes are expected to.
constexpr int kNearer = 4;
// More nodes with made ids would change nothing: they are all nearer than any honest node already.
constexpr uint64_t kMaxEclipsers = 64;
constexpr absl::Duration kPollutionTime = absl::Minutes(1);
constexpr absl::Duration kStolenTtl = absl::Hours(24 * 7);

// A thief says that he has had the name for so long.
constexpr absl::Duration kClaimedSince = absl::Hours(24 * 20);

// What nodes sign, nobody in a simulation checks.
std::string NoSignature() { return std::string(crypto::kSignatureSize, '\0'); }

// Uniform in (0, 1].
double UnitInterval(Random& random) {
  constexpr uint64_t kSteps = uint64_t{1} << 53;
  return static_cast<double>(random.Below(kSteps) + 1) / static_cast<double>(kSteps);
}

}  // namespace

void Population::Group::Remove(size_t position) {
  nodes[position] = nodes.back();
  nodes.pop_back();
}

Population::Population(const Parameters& parameters, dht::Simulation* network, const Names* names)
    : parameters_(parameters),
      network_(network),
      names_(names),
      random_(parameters.seed ^ 0x70706f70),
      is_claiming_(std::find(parameters.behaviours.begin(), parameters.behaviours.end(), Behaviour::kClaim) !=
                   parameters.behaviours.end()),
      stolen_(names->size()) {}

crypto::PublicKey Population::MakeKey(bool near_victim) {
  const int shared = near_victim ? static_cast<int>(std::bit_width(parameters_.nodes)) + kNearer : 0;
  std::array<uint8_t, crypto::kPublicKeySize> bytes{};
  for (;;) {
    random_.Fill(bytes.data(), bytes.size());
    const auto key = std::bit_cast<crypto::PublicKey>(bytes);
    const dht::Id id = dht::Id::OfNode(key);
    if (id.CommonPrefix(names_->key(0)) < shared) continue;
    if (dht::SolvesStatic(id, static_cast<int>(parameters_.puzzle_bits))) return key;
  }
}

dht::DhtOptions Population::Options(bool hostile) {
  const bool near_victim = hostile && behaviour_of_.back() == Behaviour::kEclipse && eclipsers_ < kMaxEclipsers;
  eclipsers_ += near_victim ? 1 : 0;
  const auto bits = static_cast<int>(parameters_.puzzle_bits);
  dht::DhtOptions options;
  options.paths = parameters_.paths;
  options.values.policy = names_->policy();
  options.puzzle = {.static_bits = bits, .dynamic_bits = bits};
  options.self.key = MakeKey(near_victim);
  options.self.puzzle_solution = dht::SolveDynamic(dht::Id::OfNode(options.self.key), bits, random_).value();
  return options;
}

size_t Population::Add(bool hostile) {
  is_hostile_.push_back(hostile);
  behaviour_of_.push_back(hostile ? parameters_.behaviours[hostile_made_++ % parameters_.behaviours.size()]
                                  : Behaviour::kDrop);
  const size_t node = network_->AddNode(Options(hostile));
  if (hostile) {
    network_->SetBehaviour(node, Act(node, behaviour_of_[node]));
    hostile_index_.Add(network_->contact(node).id, node);
  }
  return node;
}

std::vector<std::string> Population::BootstrapAddresses() {
  const size_t joined = honest_.nodes.size() + hostile_.nodes.size();
  std::vector<std::string> addresses;
  for (size_t i = 0; i < std::min<size_t>(parameters_.bootstrap, joined); ++i) {
    const size_t drawn = random_.Below(joined);
    const size_t node =
        drawn < honest_.nodes.size() ? honest_.nodes[drawn] : hostile_.nodes[drawn - honest_.nodes.size()];
    addresses.push_back(dht::Simulation::AddressOf(node));
  }
  return addresses;
}

void Population::StartNode(size_t node, std::function<void()> joined) {
  network_->Start(node, BootstrapAddresses(), [this, node, joined = std::move(joined)](const absl::Status&) {
    Group& group = is_hostile_[node] ? hostile_ : honest_;
    group.nodes.push_back(node);
    if (is_hostile_[node] && behaviour_of_[node] == Behaviour::kPollute) polluters_.push_back(node);
    CallFromPolluters(node);
    joined();
  });
}

void Population::Join(const std::function<void()>& joined) {
  const auto hostile_count =
      static_cast<uint64_t>(std::llround(parameters_.hostile * static_cast<double>(parameters_.nodes)));
  std::vector<bool> hostile(parameters_.nodes, false);
  std::fill_n(hostile.begin(), std::min(hostile_count, parameters_.nodes - 1), true);
  // The first node of all is honest: a network that a liar founds is his.
  for (size_t i = parameters_.nodes - 1; i > 0; --i) {
    const size_t other = random_.Below(i + 1);
    const bool swapped = hostile[i];
    hostile[i] = hostile[other];
    hostile[other] = swapped;
  }
  if (hostile[0]) {
    *std::find(hostile.begin(), hostile.end(), false) = true;
    hostile[0] = false;
  }
  size_t started = 0;
  size_t done = 0;
  while (done < parameters_.nodes) {
    while (started < parameters_.nodes && (started == done || started - done < done / kJoiningShare)) {
      StartNode(Add(hostile[started]), [&done, &joined] {
        ++done;
        joined();
      });
      ++started;
    }
    const size_t before = done;
    if (!network_->RunUntil([&] { return done > before; }, absl::Minutes(10))) return;
  }
}

void Population::StartChurn() {
  const double members = static_cast<double>(parameters_.nodes);
  const double hours = -std::log(UnitInterval(random_)) / (parameters_.churn * members);
  network_->RunAfter(absl::Hours(1) * hours, [this] {
    ReplaceOne();
    StartChurn();
  });
}

void Population::ReplaceOne() {
  const size_t members = honest_.nodes.size() + hostile_.nodes.size();
  const size_t drawn = random_.Below(members);
  const bool hostile = drawn >= honest_.nodes.size();
  Group& group = hostile ? hostile_ : honest_;
  const size_t position = hostile ? drawn - honest_.nodes.size() : drawn;
  if (group.nodes.size() == 1) return;  // the last of its kind stays
  const size_t leaving = group.nodes[position];
  group.Remove(position);
  if (hostile) hostile_index_.Remove(network_->contact(leaving).id);
  std::erase(polluters_, leaving);
  network_->Remove(leaving);
  ++replaced_;
  if (on_leave_) on_leave_(leaving);
  StartNode(Add(hostile), [] {});
}

size_t Population::RandomHonest() { return honest_.nodes[random_.Below(honest_.nodes.size())]; }

std::optional<size_t> Population::RandomHostile() {
  if (hostile_.nodes.empty()) return std::nullopt;
  return hostile_.nodes[random_.Below(hostile_.nodes.size())];
}

void Population::Reveal(size_t name) {
  if (is_claiming_) stolen_[name] = names_->SignAsThief(name, network_->clock().Now(), kStolenTtl).value();
}

uint64_t Population::CountAstray() const {
  const auto is_hostile = [this](const dht::Contact& contact) {
    return network_->contact(hostile_index_.Nearest(contact.id, 1).front()).id == contact.id;
  };
  if (hostile_index_.size() == 0) return 0;
  return static_cast<uint64_t>(std::count_if(honest_.nodes.begin(), honest_.nodes.end(), [&](size_t node) {
    const auto neighbours = network_->dht(node).Nearest(network_->contact(node).id, dht::kBucketSize);
    return std::all_of(neighbours.begin(), neighbours.end(), is_hostile);
  }));
}

IdIndex Population::HonestIndex() const {
  IdIndex index;
  for (const size_t node : honest_.nodes) index.Add(network_->contact(node).id, node);
  return index;
}

dht::Behaviour Population::Act(size_t node, Behaviour behaviour) {
  switch (behaviour) {
    case Behaviour::kDrop:
      return [](const dht::Request& request) -> std::optional<dht::Response> {
        if (!std::holds_alternative<dht::PingCall>(request.call)) return std::nullopt;
        return dht::Response{dht::PingAnswer{}};
      };
    case Behaviour::kWithhold:
      return [this, node](const dht::Request& request) { return Withhold(node, request); };
    case Behaviour::kClaim:
      return [this, node](const dht::Request& request) { return Lie(node, request, true); };
    case Behaviour::kLie:
    case Behaviour::kPollute:
    case Behaviour::kEclipse:
      break;
  }
  return [this, node](const dht::Request& request) { return Lie(node, request, false); };
}

std::optional<dht::Response> Population::Withhold(size_t node, const dht::Request& request) {
  dht::Response response = network_->dht(node).Handle(request.sender.key, request);
  if (auto* value = std::get_if<dht::ValueAnswer>(&response.answer)) {
    value->item.reset();
    value->receipt.reset();
  }
  return response;
}

std::vector<dht::Contact> Population::Accomplices(const dht::Id& target) const {
  std::vector<dht::Contact> contacts;
  for (const size_t node : hostile_index_.Nearest(target, dht::kBucketSize))
    contacts.push_back(network_->contact(node));
  return contacts;
}

std::optional<dht::Response> Population::Lie(size_t node, const dht::Request& request, bool claims) const {
  if (const auto* find = std::get_if<dht::FindNodeCall>(&request.call)) {
    return dht::Response{dht::NodesAnswer{Accomplices(find->target)}};
  }
  if (const auto* find = std::get_if<dht::FindValueCall>(&request.call)) {
    return dht::Response{LieAboutValue(node, *find, claims)};
  }
  if (const auto* find = std::get_if<dht::FindClaimsCall>(&request.call)) {
    return dht::Response{LieAboutClaims(node, *find, claims)};
  }
  if (const auto* store = std::get_if<dht::StoreCall>(&request.call)) return dht::Response{ConfirmStore(node, *store)};
  return dht::Response{dht::PingAnswer{}};
}

dht::ValueAnswer Population::LieAboutValue(size_t node, const dht::FindValueCall& find, bool claims) const {
  dht::ValueAnswer answer{.nodes = Accomplices(find.key)};
  const dht::Item* const stolen = claims && find.kind == dht::ValueKind::kRecord ? StolenRecord(find.key) : nullptr;
  if (stolen != nullptr) {
    answer.item = *stolen;
    answer.receipt = ThiefsReceipt(node, *stolen);
  }
  return answer;
}

dht::ClaimsAnswer Population::LieAboutClaims(size_t node, const dht::FindClaimsCall& find, bool claims) const {
  dht::ClaimsAnswer answer;
  for (const dht::Id& key : find.keys) {
    answer.receipts.emplace_back();
    const dht::Item* const stolen = claims && find.kind == dht::ValueKind::kRecord ? StolenRecord(key) : nullptr;
    if (stolen != nullptr) answer.receipts.back() = ThiefsReceipt(node, *stolen);
  }
  return answer;
}

dht::StoreAnswer Population::ConfirmStore(size_t node, const dht::StoreCall& store) const {
  const std::optional<size_t> name = names_->Find(store.key);
  if (!name) return {};
  return {dht::Receipt{names_->owner(*name), dht::DigestOf(store.item), network_->clock(node).Now(), NoSignature()}};
}

const dht::Item* Population::StolenRecord(const dht::Id& key) const {
  const std::optional<size_t> name = names_->Find(key);
  return name && stolen_[*name] ? &*stolen_[*name] : nullptr;
}

dht::Receipt Population::ThiefsReceipt(size_t node, const dht::Item& record) const {
  return {names_->thief(), dht::DigestOf(record), network_->clock(node).Now() - kClaimedSince, NoSignature()};
}

void Population::CallFromPolluters(size_t node) {
  const auto within = static_cast<uint64_t>(absl::ToInt64Milliseconds(kPollutionTime));
  for (const size_t polluter : polluters_) {
    if (polluter == node) continue;
    network_->RunAfter(absl::Milliseconds(static_cast<int64_t>(random_.Below(within))), [this, polluter, node] {
      if (!network_->is_up(polluter) || !network_->is_up(node)) return;
      network_->Call(polluter, node, {network_->contact(polluter), dht::FindNodeCall{network_->contact(polluter).id}});
    });
  }
}

}  // namespace dotagent::simulation
