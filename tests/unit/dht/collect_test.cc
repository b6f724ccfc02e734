// Keys that many owners share, in whole networks on virtual time.
#include "common/dht/collect.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/capability/advert.h"
#include "common/dht/dht.h"
#include "common/dht/relay_advert.h"
#include "common/dht/seats.h"
#include "common/dht/testing/simulation.h"
#include "tests/unit/dht/fixtures.h"

namespace dotagent::dht {
namespace {

constexpr ValueKind kKind = ValueKind::kCapabilityAdvert;
constexpr size_t kAgents = 200;
constexpr uint64_t kFirstAgent = 10'000;

// `through_wire`: messages are encoded and decoded, which is most of what a day of repair costs.
std::unique_ptr<Simulation> MakeNetwork(size_t nodes, bool through_wire = true) {
  auto simulation = std::make_unique<Simulation>(
      SimulationOptions{.seed = 1, .through_wire = through_wire, .keep_tables = through_wire, .start = kStart});
  for (size_t i = 0; i < nodes; ++i) simulation->AddNode();
  simulation->StartAll();
  simulation->RunFor(absl::Minutes(1));
  return simulation;
}

absl::StatusOr<Collected> GetAll(Simulation& simulation, size_t node, const CollectQuery& query) {
  std::optional<absl::StatusOr<Collected>> result;
  simulation.dht(node).GetAll(query, [&result](absl::StatusOr<Collected> got) { result = std::move(got); });
  EXPECT_TRUE(simulation.RunUntil([&result] { return result.has_value(); }, absl::Minutes(2)));
  return result ? *std::move(result) : absl::DeadlineExceededError("GetAll did not end");
}

CollectQuery Query(size_t limit = kMaxCollected, absl::string_view capability = "translate") {
  return {.key = KeyOfCapability(capability), .kind = kKind, .limit = limit};
}

// Agents `first` to `first + count` each advertise through one node, among `nodes` of them.
void Advertise(Simulation& simulation, size_t count, size_t nodes, uint64_t first = kFirstAgent) {
  for (size_t i = 0; i < count; ++i) {
    const Item item = SignedCapability(KeyFromSeed(first + i), "translate", simulation.clock().Now());
    size_t node = i % nodes;
    while (!simulation.is_up(node)) node = (node + 1) % nodes;
    const auto put = simulation.Put(node, kKind, item);
    EXPECT_TRUE(put.ok()) << i << " " << put.status();
  }
}

std::set<Id> Owners(const Collected& found) {
  std::set<Id> owners;
  for (const Collected::Entry& entry : found.values) owners.insert(entry.value.owner);
  EXPECT_EQ(owners.size(), found.values.size()) << "one value an owner";
  return owners;
}

std::set<Id> AgentIds(size_t count, uint64_t first = kFirstAgent) {
  std::set<Id> ids;
  for (size_t i = 0; i < count; ++i) ids.insert(Id::OfNode(KeyFromSeed(first + i).public_key()));
  return ids;
}

size_t CountIn(const std::set<Id>& some, const std::set<Id>& all) {
  return static_cast<size_t>(std::count_if(some.begin(), some.end(), [&](const Id& id) { return all.contains(id); }));
}

TEST(CollectTest, FindsAllAdvertsOfACapabilityThroughAnotherNode) {
  const auto simulation = MakeNetwork(30);
  Advertise(*simulation, kAgents, 10);
  size_t largest = 0;
  size_t pages = 0;
  simulation->Observe([&](const MessageSeen& message) {
    if (!message.is_answer || !std::holds_alternative<FindValuesCall>(message.request.call)) return;
    largest = std::max(largest, message.bytes);
    ++pages;
  });
  const auto found = GetAll(*simulation, 25, Query());
  simulation->Observe(nullptr);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_TRUE(found->complete);
  EXPECT_EQ(Owners(*found), AgentIds(kAgents));
  EXPECT_GT(pages, kCollectFrom) << "or nothing was paged";
  EXPECT_LT(largest, kMaxPageBytes + 1024);
  for (const Collected::Entry& entry : found->values) EXPECT_EQ(entry.agreeing_nodes, kReplicationFactor);
}

TEST(CollectTest, TakesNoMoreThanTheCallerWants) {
  const auto simulation = MakeNetwork(30);
  Advertise(*simulation, kAgents, 10);
  const auto first = GetAll(*simulation, 25, Query(10));
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(first->values.size(), 10);
  EXPECT_FALSE(first->complete);
  std::set<Id> seen;
  for (int i = 0; i < 40; ++i) seen.merge(Owners(GetAll(*simulation, 25, Query(10)).value()));
  // Each time another part: with 400 drawn of 200, 173 are expected if each draw were by itself; they are runs of ten.
  EXPECT_GT(seen.size(), 100) << "no owner is read much more often than others";
}

TEST(CollectTest, AFilterAppliesBeforeTheLimit) {
  const auto simulation = MakeNetwork(12);
  for (uint64_t i = 0; i < 250; ++i) {
    const std::string version = i % 100 == 0 ? "2.1.0" : "1.0.0";
    const Item item = SignedCapability(KeyFromSeed(kFirstAgent + i), "translate", simulation->clock().Now(), {version});
    ASSERT_TRUE(simulation->Put(i % 12, kKind, item).ok());
  }
  CollectQuery query = Query(3);
  query.wanted = [range = capability::VersionRange::Parse("^2.0.0").value()](const Value& value) {
    return capability::Offers(value.item.bytes, range);
  };
  const auto found = GetAll(*simulation, 5, query);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(Owners(*found).size(), 3);
  for (const auto& entry : found->values) EXPECT_TRUE(query.wanted(entry.value));
}

TEST(CollectTest, NothingIsAnAnswerToo) {
  const auto simulation = MakeNetwork(12);
  const auto found = GetAll(*simulation, 5, Query());
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_TRUE(found->values.empty());
  EXPECT_TRUE(found->complete);
}

TEST(CollectTest, ANodeThatIsAloneReadsItself) {
  Simulation simulation({.seed = 1, .start = kStart});
  simulation.AddNode();
  simulation.StartAll();
  Advertise(simulation, 100, 1);
  const auto found = GetAll(simulation, 0, Query());
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(Owners(*found), AgentIds(100));
}

TEST(CollectTest, SaysNotBootstrappedWhenNoOneAnswers) {
  const auto simulation = MakeNetwork(8);
  for (size_t i = 1; i < 8; ++i) simulation->Kill(i);
  EXPECT_EQ(ReasonOf(GetAll(*simulation, 0, Query()).status()), reason::kNotBootstrapped);
}

TEST(CollectTest, KindsAreNotMixedUp) {
  const auto simulation = MakeNetwork(8);
  const Id key = KeyOfCapability("translate");
  EXPECT_EQ(ReasonOf(simulation->Get(1, key, kKind).status()), reason::kProtocol);
  EXPECT_EQ(ReasonOf(GetAll(*simulation, 1, {.key = key, .kind = ValueKind::kRecord}).status()), reason::kProtocol);
  const Contact& peer = simulation->contact(1);
  for (const auto& call :
       std::vector<decltype(Request::call)>{FindValueCall{key, kKind}, FindValuesCall{key, ValueKind::kRecord}}) {
    const Response response = simulation->dht(0).Handle(peer.key, {peer, call});
    ASSERT_TRUE(std::holds_alternative<absl::Status>(response.answer));
    EXPECT_EQ(ReasonOf(std::get<absl::Status>(response.answer)), reason::kProtocol);
  }
}

TEST(CollectTest, TheNewestAdvertOfAnAgentCountsAndOlderOnesAreRefused) {
  const auto simulation = MakeNetwork(12);
  const crypto::SigningKey bob = KeyFromSeed(1);
  const absl::Time now = simulation->clock().Now();
  const Item older = SignedCapability(bob, "translate", now);
  const Item newer = SignedCapability(bob, "translate", now + absl::Seconds(1), {"2.0.0"});
  ASSERT_TRUE(simulation->Put(1, kKind, older).ok());
  ASSERT_TRUE(simulation->Put(2, kKind, newer).ok());
  EXPECT_EQ(ReasonOf(simulation->Put(3, kKind, older).status()), reason::kSuperseded);
  EXPECT_EQ(GetAll(*simulation, 4, Query())->values.at(0).value.item, newer);

  const Item withdrawn = SignedCapability(bob, "translate", now + absl::Seconds(2), {});
  ASSERT_TRUE(simulation->Put(3, kKind, withdrawn).ok());
  EXPECT_TRUE(GetAll(*simulation, 4, Query())->values.empty());
  EXPECT_EQ(ReasonOf(simulation->Put(3, kKind, newer).status()), reason::kSuperseded) << "no one brings it back";
}

TEST(CollectTest, AReaderWhoseClockIsOffHearsSoAndBlamesNoOne) {
  const auto simulation = MakeNetwork(8);
  Advertise(*simulation, 5, 8);
  const size_t known = simulation->dht(4).known_nodes();
  simulation->SetClockOffset(4, -absl::Hours(24));
  EXPECT_EQ(ReasonOf(GetAll(*simulation, 4, Query()).status()), reason::kFutureDated);
  simulation->SetClockOffset(4, absl::Hours(25));
  const auto found = GetAll(*simulation, 4, Query());
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_TRUE(found->values.empty()) << "all have ended, by that clock";
  EXPECT_EQ(simulation->dht(4).known_nodes(), known);
}

TEST(CollectTest, ARevokedAgentsAdvertsGo) {
  const auto simulation = MakeNetwork(12);
  const crypto::SigningKey bob = KeyFromSeed(kFirstAgent);
  Advertise(*simulation, 5, 12);
  ASSERT_TRUE(simulation->Put(3, ValueKind::kRevocation, SignedRevocation(bob, simulation->clock().Now())).ok());
  // Those of its holders that do not keep the revocation look for it before they copy.
  simulation->RunFor(absl::Hours(3));
  const auto found = GetAll(*simulation, 4, Query());
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(Owners(*found).size(), 4);
  EXPECT_FALSE(Owners(*found).contains(Id::OfNode(bob.public_key())));
}

TEST(CollectTest, RelaysAreFoundInTheirShards) {
  const auto simulation = MakeNetwork(12);
  std::set<Id> relays;
  for (uint64_t i = 0; i < 24; ++i) {
    const crypto::SigningKey relay = KeyFromSeed(500 + i);
    relays.insert(Id::OfNode(relay.public_key()));
    const auto put = simulation->Put(i % 12, ValueKind::kRelayAdvert, SignedRelay(relay, simulation->clock().Now()));
    ASSERT_TRUE(put.ok()) << put.status();
  }
  std::set<Id> found;
  for (uint8_t shard = 0; shard < kRelayShards; ++shard) {
    const auto part = GetAll(*simulation, 3, {.key = RelayShardKey(shard), .kind = ValueKind::kRelayAdvert});
    ASSERT_TRUE(part.ok()) << part.status();
    EXPECT_TRUE(part->complete);
    found.merge(Owners(*part));
  }
  EXPECT_EQ(found, relays);
}

TEST(CollectTest, AdvertsOutliveTheirHoldersButNotTheirDate) {
  const auto simulation = MakeNetwork(24, false);
  Advertise(*simulation, kAgents, 24);
  const std::set<Id> agents = AgentIds(kAgents);
  const std::vector<size_t> holders = simulation->NearestTo(KeyOfCapability("translate"), kReplicationFactor);
  simulation->Remove(holders[0]);
  size_t reader = 0;
  while (!simulation->is_up(reader) || std::count(holders.begin(), holders.end(), reader) > 0) ++reader;
  auto found = GetAll(*simulation, reader, Query());
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(Owners(*found), agents) << "after a holder died";

  for (size_t i = 1; i < holders.size(); ++i) {
    simulation->RunFor(absl::Hours(5));
    simulation->Remove(holders[i]);
  }
  simulation->RunFor(absl::Hours(3));
  found = GetAll(*simulation, reader, Query());
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(Owners(*found), agents) << "after 23 hours, none of the first holders being left";
  EXPECT_TRUE(found->complete);

  simulation->RunFor(absl::Hours(1));
  found = GetAll(*simulation, reader, Query());
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_TRUE(found->values.empty()) << "copies do not prolong it";
  simulation->RunFor(absl::Hours(2));
  for (size_t i = 0; i < simulation->size(); ++i) {
    if (!simulation->is_up(i)) continue;
    EXPECT_EQ(simulation->dht(i).stored_values(), 0) << "swept";
  }
}

TEST(CollectTest, AgentsThatRenewAreThereAfterADay) {
  const auto simulation = MakeNetwork(20, false);
  Advertise(*simulation, 50, 20);
  simulation->RunFor(absl::Hours(20));
  Advertise(*simulation, 50, 20);
  const std::vector<size_t> holders = simulation->NearestTo(KeyOfCapability("translate"), 2);
  for (const size_t holder : holders) simulation->Remove(holder);
  simulation->RunFor(absl::Hours(5));
  size_t reader = 0;
  while (!simulation->is_up(reader)) ++reader;
  const auto found = GetAll(*simulation, reader, Query());
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(Owners(*found), AgentIds(50));
}

// Every fifth node lies about values, and routes honestly. What they say is `lie`.
void MakeLiars(Simulation& simulation, const std::function<Response(const FindValuesCall&)>& lie) {
  for (size_t i = 0; i < simulation.size(); i += 5) {
    simulation.SetBehaviour(i, [&simulation, i, lie](const Request& request) -> std::optional<Response> {
      if (std::holds_alternative<StoreCall>(request.call)) return Response{StoreAnswer{}};  // and forgets it
      if (const auto* find = std::get_if<FindValuesCall>(&request.call)) return lie(*find);
      return simulation.dht(i).Handle(request.sender.key, request);
    });
  }
}

TEST(CollectTest, AFifthThatWithholdsLosesHardlyAny) {
  const auto simulation = MakeNetwork(60);
  MakeLiars(*simulation, [](const FindValuesCall&) { return Response{ValuesAnswer{}}; });
  Advertise(*simulation, kAgents, 60);
  const auto found = GetAll(*simulation, 7, Query());
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(Owners(*found), AgentIds(kAgents));
}

TEST(CollectTest, AFifthThatMakesUpOwnersDisplacesNone) {
  const auto simulation = MakeNetwork(60);
  // All liars tell of the same 256, which is the most that they can do.
  std::vector<Value> made_up;
  for (uint64_t i = 0; i < kSeats; ++i) made_up.push_back(CapabilityOf(KeyFromSeed(50'000 + i), "translate", kStart));
  std::sort(made_up.begin(), made_up.end(), [](const Value& a, const Value& b) { return a.owner < b.owner; });
  MakeLiars(*simulation, [&made_up](const FindValuesCall& find) {
    ValuesAnswer page;
    for (const Value& value : made_up) {
      if (find.after && value.owner <= *find.after) continue;
      if (page.items.size() == std::min<size_t>(find.limit, 30)) {
        page.next = made_up[static_cast<size_t>(&value - made_up.data()) - 1].owner;
        break;
      }
      page.items.push_back(value.item);
    }
    return Response{page};
  });
  Advertise(*simulation, kAgents, 60);
  const std::set<Id> agents = AgentIds(kAgents);
  const auto all = GetAll(*simulation, 7, Query());
  ASSERT_TRUE(all.ok()) << all.status();
  EXPECT_EQ(CountIn(Owners(*all), agents), kAgents) << "all honest ones are among them";
  for (const size_t limit : {20, 200}) {
    const auto some = GetAll(*simulation, 7, Query(limit));
    ASSERT_TRUE(some.ok()) << some.status();
    EXPECT_EQ(some->values.size(), limit);
    EXPECT_GE(CountIn(Owners(*some), agents), limit * 9 / 10) << "what more nodes hold comes first";
  }
}

TEST(CollectTest, AFloodAtEveryNodeLeavesTheSeniorAdverts) {
  const auto simulation = MakeNetwork(16, false);
  Advertise(*simulation, 100, 16);
  for (uint64_t i = 0; i < 1000; ++i) {
    const Item item = SignedCapability(KeyFromSeed(60'000 + i), "translate", simulation->clock().Now());
    simulation->Put(3, kKind, item).IgnoreError();
  }
  const auto found = GetAll(*simulation, 7, Query());
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_FALSE(found->complete) << "full nodes may have refused some";
  EXPECT_EQ(CountIn(Owners(*found), AgentIds(100)), 100);
}

struct HostilePage {
  std::string name;
  // What node 0 answers.
  std::function<std::optional<Response>(const FindValuesCall&)> answer;
  bool is_expelled;
};

class HostilePageTest : public testing::TestWithParam<HostilePage> {};

TEST_P(HostilePageTest, CostsTheReaderNothingButThatNode) {
  const auto simulation = MakeNetwork(8);
  Advertise(*simulation, 20, 8);
  size_t asked = 0;
  simulation->SetBehaviour(0, [&](const Request& request) -> std::optional<Response> {
    if (const auto* find = std::get_if<FindValuesCall>(&request.call)) {
      ++asked;
      return GetParam().answer(*find);
    }
    return simulation->dht(0).Handle(request.sender.key, request);
  });
  const size_t known = simulation->dht(4).known_nodes();
  const auto found = GetAll(*simulation, 4, Query());
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(CountIn(Owners(*found), AgentIds(20)), 20);
  EXPECT_GE(asked, 1);
  EXPECT_LE(asked, kMaxPages);
  EXPECT_EQ(simulation->dht(4).known_nodes(), GetParam().is_expelled ? known - 1 : known);
}

Response Page(std::vector<Item> items, std::optional<Id> next = std::nullopt) {
  return Response{ValuesAnswer{std::move(items), next}};
}

// The owner next to `id`.
Id After(const std::optional<Id>& id) {
  std::string bytes = id ? std::string(id->bytes()) : std::string(32, '\0');
  for (size_t i = bytes.size(); i-- > 0 && ++bytes[i] == '\0';) {
  }
  return *Id::FromBytes(bytes);
}

INSTANTIATE_TEST_SUITE_P(
    Collect, HostilePageTest,
    testing::Values(
        HostilePage{"NoAnswer", [](const FindValuesCall&) { return std::nullopt; }, false},
        HostilePage{"ARefusal",
                    [](const FindValuesCall&) { return Response{absl::ResourceExhaustedError("not today")}; }, false},
        HostilePage{"AnEmptyPageWithACursor", [](const FindValuesCall& find) { return Page({}, After(find.after)); },
                    true},
        HostilePage{"TheSamePageForEver",
                    [](const FindValuesCall&) {
                      const Value value = CapabilityOf(KeyFromSeed(7), "translate", kStart);
                      return Page({value.item}, value.owner);
                    },
                    true},
        HostilePage{"ACursorThatGoesBack",
                    [](const FindValuesCall& find) {
                      const Value value = CapabilityOf(KeyFromSeed(7), "translate", kStart);
                      return find.after && value.owner <= *find.after ? Page({}) : Page({value.item}, Id());
                    },
                    true},
        HostilePage{"NotInOrder",
                    [](const FindValuesCall&) {
                      Value a = CapabilityOf(KeyFromSeed(7), "translate", kStart);
                      Value b = CapabilityOf(KeyFromSeed(8), "translate", kStart);
                      return a.owner < b.owner ? Page({b.item, a.item}) : Page({a.item, b.item});
                    },
                    true},
        HostilePage{"TwiceTheSame",
                    [](const FindValuesCall&) {
                      const Item item = SignedCapability(KeyFromSeed(7), "translate", kStart);
                      return Page({item, item});
                    },
                    true},
        HostilePage{"AnotherKeysValue",
                    [](const FindValuesCall&) { return Page({SignedCapability(KeyFromSeed(7), "summarize", kStart)}); },
                    true},
        HostilePage{"AnotherKindsValue",
                    [](const FindValuesCall&) { return Page({SignedRecord(KeyFromSeed(7), "bob.agent", kStart)}); },
                    true},
        HostilePage{"NoValue",
                    [](const FindValuesCall&) {
                      return Page({{"nonsense", ""}});
                    },
                    true},
        HostilePage{"AnExpiredOne",
                    [](const FindValuesCall&) {
                      const absl::Time when = kStart - absl::Hours(1);
                      return Page({SignedCapability(KeyFromSeed(7), "translate", when, {"1.0.0"}, absl::Minutes(5))});
                    },
                    false}),
    [](const auto& test) { return test.param.name; });

TEST(CollectTest, ANodeThatTellsOfOwnersWithoutEndIsCutOff) {
  const auto simulation = MakeNetwork(8);
  Advertise(*simulation, 20, 8);
  const std::vector<size_t> nodes = simulation->NearestTo(KeyOfCapability("translate"), 8);
  const size_t liar = nodes.front();
  std::vector<Value> many;
  for (uint64_t i = 0; i < 2000; ++i) many.push_back(CapabilityOf(KeyFromSeed(70'000 + i), "translate", kStart));
  std::sort(many.begin(), many.end(), [](const Value& a, const Value& b) { return a.owner < b.owner; });
  for (const size_t page_size : {1, 40}) {
    size_t asked = 0;
    simulation->SetBehaviour(liar, [&](const Request& request) -> std::optional<Response> {
      const auto* find = std::get_if<FindValuesCall>(&request.call);
      if (find == nullptr) return simulation->dht(liar).Handle(request.sender.key, request);
      ++asked;
      auto next = std::upper_bound(many.begin(), many.end(), find->after.value_or(Id()),
                                   [](const Id& id, const Value& value) { return id < value.owner; });
      ValuesAnswer page;
      for (; next != many.end() && page.items.size() < page_size; ++next) page.items.push_back(next->item);
      if (next != many.end()) page.next = std::prev(next)->owner;
      return Response{page};
    });
    const auto found = GetAll(*simulation, nodes.back(), Query());
    ASSERT_TRUE(found.ok()) << found.status();
    EXPECT_EQ(CountIn(Owners(*found), AgentIds(20)), 20);
    EXPECT_LE(found->values.size(), 20 + kSeats + kMaxPageValues);
    EXPECT_LE(asked, kMaxPages);
    EXPECT_FALSE(found->complete);
  }
}

}  // namespace
}  // namespace dotagent::dht
