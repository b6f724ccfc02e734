// Whole networks on virtual time.
#include "common/dht/dht.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <set>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/dht/census.h"
#include "common/dht/routing_table.h"
#include "common/dht/testing/simulation.h"
#include "common/dht/value_store.h"
#include "tests/unit/dht/fixtures.h"

namespace dotagent::dht {
namespace {

constexpr ValueKind kRecord = ValueKind::kRecord;

std::unique_ptr<Simulation> MakeNetwork(size_t nodes, uint64_t seed = 1) {
  auto simulation = std::make_unique<Simulation>(SimulationOptions{.seed = seed, .start = kStart});
  for (size_t i = 0; i < nodes; ++i) simulation->AddNode();
  simulation->StartAll();
  simulation->RunFor(absl::Minutes(1));
  return simulation;
}

// The nodes whose own store has a record of `name`.
std::vector<size_t> Holders(Simulation& simulation, absl::string_view name) {
  std::vector<size_t> holders;
  for (size_t i = 0; i < simulation.size(); ++i) {
    if (simulation.is_up(i) && simulation.dht(i).GetLocal(KeyOfName(name), kRecord).ok()) holders.push_back(i);
  }
  return holders;
}

// As Simulation::RunUntil, but looks once a (virtual) minute only: for conditions that are costly to check.
bool HoldsWithin(Simulation& simulation, absl::Duration limit, const std::function<bool()>& condition) {
  for (absl::Duration waited; waited < limit && !condition(); waited += absl::Minutes(1)) {
    simulation.RunFor(absl::Minutes(1));
  }
  return condition();
}

// A node that is up and holds no record of `name`.
size_t NonHolder(Simulation& simulation, absl::string_view name) {
  const std::vector<size_t> holders = Holders(simulation, name);
  for (size_t i = 0; i < simulation.size(); ++i) {
    if (simulation.is_up(i) && std::find(holders.begin(), holders.end(), i) == holders.end()) return i;
  }
  ADD_FAILURE() << "every node holds " << name;
  return 0;
}

TEST(DhtTest, EightNodesThatStartTogetherAllKnowEachOther) {
  Simulation simulation({.seed = 1, .start = kStart});
  for (int i = 0; i < 8; ++i) simulation.AddNode();
  simulation.StartAll();
  const auto all_known = [&] {
    for (size_t i = 0; i < 8; ++i) {
      if (simulation.dht(i).known_nodes() != 7) return false;
    }
    return true;
  };
  EXPECT_TRUE(simulation.RunUntil(all_known, absl::Seconds(10)));
}

TEST(DhtTest, ARecordIsStoredOnTheFiveNearestAndReadFromAnywhere) {
  const auto simulation = MakeNetwork(8);
  const crypto::SigningKey bob = KeyFromSeed(1);
  const Item record = SignedRecord(bob, "bob.agent", simulation->clock().Now());
  const auto put = simulation->Put(1, kRecord, record);
  ASSERT_TRUE(put.ok()) << put.status();
  EXPECT_EQ(put->stored_by.size(), kReplicationFactor);

  std::vector<size_t> expected = simulation->NearestTo(KeyOfName("bob.agent"), kReplicationFactor);
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(Holders(*simulation, "bob.agent"), expected);
  for (size_t i = 0; i < 8; ++i) {
    const auto got = simulation->Get(i, KeyOfName("bob.agent"), kRecord);
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_EQ(got->item, record);
    EXPECT_GE(got->agreeing_nodes, 3);
    EXPECT_EQ(got->from_own_store, std::binary_search(expected.begin(), expected.end(), i));
  }
}

TEST(DhtTest, TwoHundredNodesFindWhatAnyOfThemStored) {
  const auto simulation = MakeNetwork(200);
  const crypto::SigningKey bob = KeyFromSeed(1);
  uint32_t most_hops = 0;
  for (int i = 0; i < 30; ++i) {
    const std::string name = absl::StrCat("agent-", i, ".agent");
    const Item record = SignedRecord(bob, name, simulation->clock().Now());
    const auto put = simulation->Put(simulation->random().Below(200), kRecord, record);
    ASSERT_TRUE(put.ok()) << put.status();
    std::vector<size_t> expected = simulation->NearestTo(KeyOfName(name), kReplicationFactor);
    std::sort(expected.begin(), expected.end());
    EXPECT_EQ(Holders(*simulation, name), expected);
    const auto got = simulation->Get(simulation->random().Below(200), KeyOfName(name), kRecord);
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_EQ(got->item, record);
    most_hops = std::max(most_hops, got->hops);
  }
  // log2(200) - log2(20) is 3.3; every bucket holds 20.
  EXPECT_LE(most_hops, 4);
  EXPECT_GE(most_hops, 1);
}

TEST(DhtTest, TheSameSeedGivesTheSameRun) {
  const auto run = [](uint64_t seed) {
    const auto simulation = MakeNetwork(30, seed);
    const Item record = SignedRecord(KeyFromSeed(1), "bob.agent", simulation->clock().Now());
    EXPECT_TRUE(simulation->Put(3, kRecord, record).ok());
    return std::make_pair(simulation->calls(), simulation->clock().Now());
  };
  EXPECT_EQ(run(7), run(7));
  EXPECT_NE(run(7), run(8));
}

TEST(DhtTest, StillResolvesWhenFourOfFiveHoldersAreKilled) {
  const auto simulation = MakeNetwork(50);
  const Item record = SignedRecord(KeyFromSeed(1), "bob.agent", simulation->clock().Now());
  ASSERT_TRUE(simulation->Put(0, kRecord, record).ok());
  const std::vector<size_t> holders = Holders(*simulation, "bob.agent");
  ASSERT_EQ(holders.size(), 5);
  const size_t reader = NonHolder(*simulation, "bob.agent");
  for (size_t i = 0; i < 4; ++i) simulation->Kill(holders[i]);
  const auto got = simulation->Get(reader, KeyOfName("bob.agent"), kRecord);
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(got->item, record);
  EXPECT_GE(got->agreeing_nodes, 10) << "witnesses know the record, too";
}

TEST(DhtTest, CopiesAreMadeAgainWithinAnIntervalButLiveNoLonger) {
  const auto simulation = MakeNetwork(50);
  const absl::Time signed_at = simulation->clock().Now();
  const Item record = SignedRecord(KeyFromSeed(1), "bob.agent", signed_at, 3 * 3600);
  ASSERT_TRUE(simulation->Put(0, kRecord, record).ok());
  const std::vector<size_t> holders = Holders(*simulation, "bob.agent");
  for (size_t i = 0; i < 4; ++i) simulation->Kill(holders[i]);
  EXPECT_EQ(Holders(*simulation, "bob.agent").size(), 1);
  EXPECT_TRUE(HoldsWithin(*simulation, absl::Hours(2),
                          [&] { return Holders(*simulation, "bob.agent").size() >= kReplicationFactor; }));
  simulation->RunFor(signed_at + absl::Hours(3) - simulation->clock().Now());
  EXPECT_THAT(Holders(*simulation, "bob.agent"), testing::IsEmpty());
  EXPECT_TRUE(HoldsWithin(*simulation, absl::Hours(2), [&] {
    for (size_t i = 0; i < simulation->size(); ++i) {
      if (simulation->is_up(i) && simulation->dht(i).stored_values() > 0) return false;
    }
    return true;
  }));
}

// On a battery nodes look around less often, and as often as ever once that is over.
TEST(DhtTest, LookingAroundIsStretchedAndNothingElse) {
  double stretch = 1;
  Simulation simulation({.seed = 3, .start = kStart});
  for (int i = 0; i < 25; ++i) simulation.AddNode({.stretch = [&] { return stretch; }});
  simulation.StartAll();
  simulation.RunFor(absl::Hours(2));
  ASSERT_TRUE(simulation.Put(0, kRecord, SignedRecord(KeyFromSeed(1), "bob.agent", simulation.clock().Now())).ok());
  size_t looks = 0;
  size_t copies = 0;
  simulation.Observe([&](const MessageSeen& message) {
    if (message.is_answer) return;
    if (std::holds_alternative<FindNodeCall>(message.request.call)) ++looks;
    if (std::holds_alternative<StoreCall>(message.request.call)) ++copies;
  });
  const auto looks_within = [&](absl::Duration time) {
    looks = 0;
    simulation.RunFor(time);
    return looks;
  };
  const size_t usual = looks_within(absl::Hours(6));
  stretch = 4;
  copies = 0;
  const size_t stretched = looks_within(absl::Hours(6));
  EXPECT_LT(stretched, usual / 2) << usual;
  EXPECT_GE(copies, kReplicationFactor - 1);
  stretch = 1;
  EXPECT_GT(looks_within(absl::Hours(6)), usual * 3 / 4);
}

// Restarts do not put off the work: it falls due an interval after it was done last, whoever restarted in between.
TEST(DhtTest, NodesThatRestartAllTheTimeStillCopyTheirValues) {
  const auto simulation = MakeNetwork(50);
  ASSERT_TRUE(simulation->Put(0, kRecord, SignedRecord(KeyFromSeed(1), "bob.agent", simulation->clock().Now())).ok());
  const std::vector<size_t> holders = Holders(*simulation, "bob.agent");
  // After a first walk, so that there is one to count from.
  simulation->RunFor(absl::Minutes(70));
  size_t copies = 0;
  simulation->Observe([&](const MessageSeen& message) {
    if (!message.is_answer && std::holds_alternative<StoreCall>(message.request.call)) ++copies;
  });
  for (int i = 0; i < 9; ++i) {
    simulation->RunFor(absl::Minutes(20));
    for (const size_t holder : holders) {
      simulation->Kill(holder);
      simulation->Restart(holder, {Simulation::AddressOf(0)}, [](const absl::Status&) {});
    }
  }
  EXPECT_GE(copies, kReplicationFactor - 1);
}

TEST(DhtTest, NewNodesNearAKeyGetItsValue) {
  const auto simulation = MakeNetwork(20);
  const Item record = SignedRecord(KeyFromSeed(1), "bob.agent", simulation->clock().Now());
  ASSERT_TRUE(simulation->Put(0, kRecord, record).ok());
  for (int i = 0; i < 40; ++i) {
    const size_t index = simulation->AddNode();
    simulation->Start(index, {Simulation::AddressOf(0)}, [](const absl::Status&) {});
  }
  simulation->RunFor(absl::Hours(3));
  for (const size_t near : simulation->NearestTo(KeyOfName("bob.agent"), kReplicationFactor)) {
    EXPECT_TRUE(simulation->dht(near).GetLocal(KeyOfName("bob.agent"), kRecord).ok()) << near;
  }
}

TEST(DhtTest, ARestartedNodeHasItsValuesAndFindsTheNetworkByItself) {
  const auto simulation = MakeNetwork(20);
  const Item record = SignedRecord(KeyFromSeed(1), "bob.agent", simulation->clock().Now());
  ASSERT_TRUE(simulation->Put(0, kRecord, record).ok());
  const size_t holder = Holders(*simulation, "bob.agent")[0];
  simulation->Kill(holder);
  simulation->RunFor(absl::Minutes(1));
  std::optional<absl::Status> started;
  simulation->Restart(holder, {}, [&](const absl::Status& status) { started = status; });
  EXPECT_EQ(*simulation->dht(holder).GetLocal(KeyOfName("bob.agent"), kRecord), record);
  EXPECT_TRUE(simulation->RunUntil([&] { return started.has_value(); }, absl::Seconds(30)));
  EXPECT_TRUE(started->ok()) << *started;
  EXPECT_TRUE(simulation->RunUntil([&] { return simulation->dht(holder).known_nodes() >= 19; }, absl::Minutes(1)));
}

TEST(DhtTest, ATakenNameIsRefused) {
  const auto simulation = MakeNetwork(20);
  const absl::Time now = simulation->clock().Now();
  ASSERT_TRUE(simulation->Put(1, kRecord, SignedRecord(KeyFromSeed(1), "bob.agent", now)).ok());
  const auto taken = simulation->Put(2, kRecord, SignedRecord(KeyFromSeed(2), "bob.agent", now + absl::Seconds(9)));
  EXPECT_EQ(taken.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(ReasonOf(taken.status()), reason::kNameTaken);
}

TEST(DhtTest, ATakenNameIsRefusedAlsoAfterItsRecordExpired) {
  const auto simulation = MakeNetwork(20);
  ASSERT_TRUE(simulation->Put(1, kRecord, SignedRecord(KeyFromSeed(1), "bob.agent", kStart, 3600)).ok());
  simulation->RunFor(absl::Hours(3));
  const auto taken = simulation->Put(2, kRecord, SignedRecord(KeyFromSeed(2), "bob.agent", simulation->clock().Now()));
  EXPECT_EQ(ReasonOf(taken.status()), reason::kNameTaken) << taken.status();
  EXPECT_THAT(Holders(*simulation, "bob.agent"), testing::IsEmpty());
}

TEST(DhtTest, ANewerRecordReplacesAndAnOlderIsRefused) {
  const auto simulation = MakeNetwork(20);
  const absl::Time now = simulation->clock().Now();
  const crypto::SigningKey bob = KeyFromSeed(1);
  const Item older = SignedRecord(bob, "bob.agent", now);
  const Item newer = SignedRecord(bob, "bob.agent", now + absl::Seconds(1));
  ASSERT_TRUE(simulation->Put(1, kRecord, older).ok());
  ASSERT_TRUE(simulation->Put(2, kRecord, newer).ok());
  for (size_t i = 0; i < 20; ++i) EXPECT_EQ(simulation->Get(i, KeyOfName("bob.agent"), kRecord)->item, newer);
  EXPECT_EQ(ReasonOf(simulation->Put(3, kRecord, older).status()), reason::kSuperseded);
  EXPECT_TRUE(simulation->Put(3, kRecord, newer).ok()) << "the same again is fine";
}

TEST(DhtTest, ARevokedKeysRecordsGo) {
  const auto simulation = MakeNetwork(8);
  const absl::Time now = simulation->clock().Now();
  const crypto::SigningKey bob = KeyFromSeed(1);
  ASSERT_TRUE(simulation->Put(1, kRecord, SignedRecord(bob, "bob.agent", now)).ok());
  const Item statement = SignedRevocation(bob, now);
  const Value revocation = RevocationOf(bob, now);
  const auto put = simulation->Put(2, ValueKind::kRevocation, statement);
  ASSERT_TRUE(put.ok()) << put.status();

  // Who holds both has dropped the record; who learns of the revocation does so too.
  for (size_t i = 0; i < 8; ++i) {
    const auto learnt = simulation->Get(i, revocation.key, ValueKind::kRevocation);
    ASSERT_TRUE(learnt.ok()) << learnt.status();
    EXPECT_EQ(learnt->item, statement);
  }
  EXPECT_THAT(Holders(*simulation, "bob.agent"), testing::IsEmpty());
  EXPECT_FALSE(simulation->Get(3, KeyOfName("bob.agent"), kRecord).ok());
  const auto again = simulation->Put(4, kRecord, SignedRecord(bob, "bob.agent", now + absl::Seconds(5)));
  EXPECT_EQ(again.status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(ReasonOf(again.status()), reason::kKeyRevoked);
}

TEST(DhtTest, HoldersLearnOfARevocationWithinAnInterval) {
  const auto simulation = MakeNetwork(60);
  const absl::Time now = simulation->clock().Now();
  const crypto::SigningKey bob = KeyFromSeed(1);
  ASSERT_TRUE(simulation->Put(1, kRecord, SignedRecord(bob, "bob.agent", now)).ok());
  ASSERT_TRUE(simulation->Put(2, ValueKind::kRevocation, SignedRevocation(bob, now)).ok());
  EXPECT_TRUE(HoldsWithin(*simulation, absl::Hours(2), [&] { return Holders(*simulation, "bob.agent").empty(); }));
}

TEST(DhtTest, RevocationsAreCopiedToo) {
  const auto simulation = MakeNetwork(30);
  const Value revocation = RevocationOf(KeyFromSeed(1), simulation->clock().Now());
  ASSERT_TRUE(simulation->Put(2, ValueKind::kRevocation, revocation.item).ok());
  const auto holders = [&] {
    std::vector<size_t> nearest = simulation->NearestTo(revocation.key, kReplicationFactor);
    std::erase_if(nearest,
                  [&](size_t i) { return !simulation->dht(i).GetLocal(revocation.key, ValueKind::kRevocation).ok(); });
    return nearest;
  };
  const std::vector<size_t> first = holders();
  ASSERT_EQ(first.size(), kReplicationFactor);
  for (size_t i = 0; i < 4; ++i) simulation->Kill(first[i]);
  ASSERT_EQ(holders().size(), 1);
  EXPECT_TRUE(HoldsWithin(*simulation, absl::Hours(2), [&] { return holders().size() == kReplicationFactor; }));
}

TEST(DhtTest, AHolderThatMissedAnUpdateCatchesUp) {
  const auto simulation = MakeNetwork(30);
  const absl::Time now = simulation->clock().Now();
  const Item older = SignedRecord(KeyFromSeed(1), "bob.agent", now);
  const Item newer = SignedRecord(KeyFromSeed(1), "bob.agent", now + absl::Seconds(1));
  ASSERT_TRUE(simulation->Put(0, kRecord, older).ok());
  const size_t sleeper = Holders(*simulation, "bob.agent")[0];
  simulation->Kill(sleeper);
  ASSERT_TRUE(simulation->Put(sleeper == 1 ? 2 : 1, kRecord, newer).ok());
  simulation->Restart(sleeper, {}, [](const absl::Status&) {});
  simulation->RunFor(absl::Minutes(1));
  const auto held = [&] { return simulation->dht(sleeper).GetLocal(KeyOfName("bob.agent"), kRecord).value(); };
  EXPECT_EQ(held(), older);
  EXPECT_EQ(simulation->Get(sleeper, KeyOfName("bob.agent"), kRecord)->item, newer) << "its own vote is one of many";
  EXPECT_TRUE(HoldsWithin(*simulation, absl::Hours(3), [&] { return held() == newer; }));
}

TEST(DhtTest, AbsentNamesAreDefinitelyNotFound) {
  const auto simulation = MakeNetwork(50);
  const auto got = simulation->Get(3, KeyOfName("nobody.agent"), kRecord);
  EXPECT_EQ(got.status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ReasonOf(got.status()), reason::kNameNotFound);
  EXPECT_TRUE(absl::IsNotFound(simulation->Get(3, Id(), ValueKind::kRevocation).status()));
}

TEST(DhtTest, InvalidValuesAreRefusedBeforeAnyoneIsAsked) {
  const auto simulation = MakeNetwork(8);
  const uint64_t calls = simulation->calls();
  EXPECT_FALSE(simulation->Put(1, kRecord, {"{}", ""}).ok());
  EXPECT_FALSE(simulation->Put(1, kRecord, {std::string(100'000, 'x'), ""}).ok());
  EXPECT_FALSE(
      simulation->Put(1, kRecord, SignedRecord(KeyFromSeed(1), "bob.agent", kStart - absl::Hours(24 * 6), 60)).ok());
  EXPECT_EQ(simulation->calls(), calls);
}

TEST(DhtTest, TheFirstNodeOfANetworkAnswersFromItsOwnStore) {
  Simulation simulation({.seed = 1, .start = kStart});
  simulation.AddNode();
  simulation.StartAll();
  const Item record = SignedRecord(KeyFromSeed(1), "bob.agent", kStart);
  const auto put = simulation.Put(0, kRecord, record);
  ASSERT_TRUE(put.ok()) << put.status();
  EXPECT_THAT(put->stored_by, testing::ElementsAre(simulation.contact(0).key));
  const auto got = simulation.Get(0, KeyOfName("bob.agent"), kRecord);
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_TRUE(got->from_own_store);
  EXPECT_EQ(got->agreeing_nodes, 1);
  EXPECT_TRUE(absl::IsNotFound(simulation.Get(0, KeyOfName("alice.agent"), kRecord).status()));
}

TEST(DhtTest, ANodeWhoseOnlyBootstrapAddressIsItsOwnIsTheFirst) {
  Simulation simulation({.seed = 1, .start = kStart});
  simulation.AddNode();
  std::optional<absl::Status> started;
  simulation.Start(0, {Simulation::AddressOf(0)}, [&](const absl::Status& status) { started = status; });
  ASSERT_TRUE(simulation.RunUntil([&] { return started.has_value(); }, absl::Seconds(10)));
  EXPECT_TRUE(started->ok()) << *started;
  EXPECT_TRUE(simulation.Put(0, kRecord, SignedRecord(KeyFromSeed(1), "bob.agent", kStart)).ok());
}

TEST(DhtTest, SaysNotBootstrappedUntilSomeoneAnswersAndKeepsTrying) {
  Simulation simulation({.seed = 1, .start = kStart});
  simulation.AddNode();
  simulation.AddNode();
  simulation.Kill(0);
  std::optional<absl::Status> started;
  simulation.Start(1, {Simulation::AddressOf(0)}, [&](const absl::Status& status) { started = status; });
  ASSERT_TRUE(simulation.RunUntil([&] { return started.has_value(); }, absl::Seconds(10)));
  EXPECT_EQ(started->code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ReasonOf(*started), reason::kNotBootstrapped);
  EXPECT_THAT(std::string(started->message()), testing::HasSubstr(Simulation::AddressOf(0)));
  EXPECT_EQ(ReasonOf(simulation.Get(1, Id(), kRecord).status()), reason::kNotBootstrapped);
  EXPECT_EQ(ReasonOf(simulation.Put(1, kRecord, SignedRecord(KeyFromSeed(1), "bob.agent", kStart)).status()),
            reason::kNotBootstrapped);

  simulation.Restart(0, {}, [](const absl::Status&) {});
  EXPECT_TRUE(simulation.RunUntil([&] { return simulation.dht(1).known_nodes() == 1; }, absl::Minutes(3)));
  EXPECT_TRUE(simulation.Put(1, kRecord, SignedRecord(KeyFromSeed(1), "bob.agent", kStart)).ok());
}

TEST(DhtTest, AnOutageHealsByItself) {
  const auto simulation = MakeNetwork(10);
  for (size_t i = 1; i < 10; ++i) simulation->Kill(i);
  EXPECT_TRUE(simulation->RunUntil(
      [&] {
        simulation->dht(0).Get(Id(), kRecord, [](const absl::StatusOr<GetResult>&) {});
        simulation->RunFor(absl::Seconds(10));
        return simulation->dht(0).known_nodes() == 0;
      },
      absl::Hours(1)));
  for (size_t i = 1; i < 10; ++i) simulation->Restart(i, {}, [](const absl::Status&) {});
  EXPECT_TRUE(simulation->RunUntil([&] { return simulation->dht(0).known_nodes() == 9; }, absl::Minutes(10)));
}

TEST(DhtTest, ClientsReadAndWriteButEnterNoTable) {
  const auto simulation = MakeNetwork(8);
  const size_t client = simulation->AddNode({}, /*client=*/true);
  std::optional<absl::Status> started;
  simulation->Start(client, {Simulation::AddressOf(3)}, [&](const absl::Status& status) { started = status; });
  ASSERT_TRUE(simulation->RunUntil([&] { return started.has_value(); }, absl::Seconds(10)));
  EXPECT_TRUE(started->ok()) << *started;
  const Item record = SignedRecord(KeyFromSeed(1), "bob.agent", simulation->clock().Now());
  const auto put = simulation->Put(client, kRecord, record);
  ASSERT_TRUE(put.ok()) << put.status();
  EXPECT_EQ(put->stored_by.size(), 5);
  EXPECT_EQ(simulation->dht(client).stored_values(), 0);
  EXPECT_EQ(simulation->Get(client, KeyOfName("bob.agent"), kRecord)->item, record);
  simulation->RunFor(absl::Minutes(5));
  for (size_t i = 0; i < 8; ++i) EXPECT_EQ(simulation->dht(i).known_nodes(), 7) << i;

  const Response answer =
      simulation->dht(client).Handle(simulation->contact(0).key, {simulation->contact(0), PingCall{}});
  EXPECT_FALSE(std::get<absl::Status>(answer.answer).ok());
}

TEST(DhtTest, AnnouncesNoMoreAddressesThanOthersAccept) {
  struct Recorder : Network {
    void Call(const Contact& /*to*/, const Request& request,
              std::function<void(absl::StatusOr<Response>)> /*done*/) override {
      sender = request.sender;
    }
    void Identify(const std::string& /*address*/, std::function<void(absl::StatusOr<Contact>)> /*done*/) override {}
    void RunAfter(absl::Duration /*delay*/, std::function<void()> /*run*/) override {}
    std::optional<Contact> sender;
  } network;
  DhtOptions options;
  options.self = ContactFromSeed(1);
  std::vector<std::string> addresses(20, "/ip4/192.0.2.1/tcp/1");
  addresses.insert(addresses.begin(), std::string(kMaxAddressSize + 1, 'a'));
  options.self.addresses = addresses;
  const SimulatedClock clock(kStart);
  SeededRandom random(1);
  const auto store = storage::NewMemoryStore();
  const crypto::SigningKey key = KeyFromSeed(1);
  options.signer = &key;
  Dht dht(options, &network, &clock, &random, store.get());
  dht.AddContact(ContactFromSeed(2));
  ASSERT_TRUE(network.sender);
  EXPECT_EQ(network.sender->addresses.size(), kMaxContactAddresses);
  EXPECT_EQ(network.sender->addresses.front(), "/ip4/192.0.2.1/tcp/1");
}

TEST(DhtTest, RefusesASenderThatIsNotTheSessionsPeer) {
  const auto simulation = MakeNetwork(2);
  const Response answer = simulation->dht(0).Handle(KeyFromSeed(51).public_key(), {simulation->contact(1), PingCall{}});
  EXPECT_EQ(ReasonOf(std::get<absl::Status>(answer.answer)), reason::kKeyMismatch);
}

TEST(DhtTest, ACallerThatCannotBeReachedAtItsAddressEntersNoTable) {
  const auto simulation = MakeNetwork(2);
  Contact stranger = ContactFromSeed(51);
  const Response answer = simulation->dht(0).Handle(stranger.key, {stranger, PingCall{}});
  EXPECT_TRUE(std::holds_alternative<PingAnswer>(answer.answer));
  // Nor one that gives another node's address.
  stranger = ContactFromSeed(52);
  stranger.addresses = {Simulation::AddressOf(1)};
  EXPECT_TRUE(
      std::holds_alternative<PingAnswer>(simulation->dht(0).Handle(stranger.key, {stranger, PingCall{}}).answer));
  simulation->dht(0).AddContact(ContactFromSeed(53));
  simulation->RunFor(absl::Minutes(1));
  EXPECT_EQ(simulation->dht(0).known_nodes(), 1);
}

TEST(DhtTest, StrangersCannotMakeItKnockWithoutEnd) {
  const auto simulation = MakeNetwork(1);
  const uint64_t before = simulation->calls();
  const Contact same = ContactFromSeed(51);
  for (int i = 0; i < 100; ++i) {
    EXPECT_TRUE(std::holds_alternative<PingAnswer>(simulation->dht(0).Handle(same.key, {same, PingCall{}}).answer));
  }
  EXPECT_EQ(simulation->calls() - before, 1);
  for (uint64_t i = 0; i < 500; ++i) simulation->dht(0).AddContact(ContactFromSeed(100 + i));
  EXPECT_LE(simulation->calls() - before, 32);
}

TEST(DhtTest, DestroyingItWithEverythingInFlightIsSafe) {
  const auto simulation = MakeNetwork(20);
  bool called = false;
  for (int i = 0; i < 10; ++i) {
    simulation->dht(5).Get(RandomId(simulation->random()), kRecord,
                           [&](const absl::StatusOr<GetResult>&) { called = true; });
    simulation->dht(5).Put(kRecord, SignedRecord(KeyFromSeed(1), absl::StrCat("a", i, ".agent"), kStart),
                           [&](const absl::StatusOr<PutResult>&) { called = true; });
    simulation->RunFor(absl::Milliseconds(7));
  }
  simulation->Kill(5);
  simulation->RunFor(absl::Minutes(1));
  EXPECT_FALSE(called);
}

TEST(DhtTest, SurvivesLossOfATenthOfAllCalls) {
  Simulation simulation({.seed = 3, .loss = 0.1, .start = kStart});
  for (int i = 0; i < 40; ++i) simulation.AddNode();
  simulation.StartAll();
  simulation.RunFor(absl::Minutes(3));
  for (int i = 0; i < 20; ++i) {
    const std::string name = absl::StrCat("agent-", i, ".agent");
    const Item record = SignedRecord(KeyFromSeed(1), name, simulation.clock().Now());
    const auto put = simulation.Put(simulation.random().Below(40), kRecord, record);
    ASSERT_TRUE(put.ok()) << put.status();
    const auto got = simulation.Get(simulation.random().Below(40), KeyOfName(name), kRecord);
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_EQ(got->item, record);
  }
}

// Node 1 of eight answers as given; node 0 must still find and store, and its table and store stay clean.
class HostileAnswerTest : public testing::Test {
 protected:
  void Become(Behaviour behaviour) {
    simulation_->SetBehaviour(kHostile, std::move(behaviour));
    const Item record = SignedRecord(KeyFromSeed(1), "bob.agent", simulation_->clock().Now());
    const auto put = simulation_->Put(0, kRecord, record);
    ASSERT_TRUE(put.ok()) << put.status();
    const auto got = simulation_->Get(0, KeyOfName("bob.agent"), kRecord);
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_EQ(got->item, record);
    EXPECT_TRUE(absl::IsNotFound(simulation_->Get(0, KeyOfName("nobody.agent"), kRecord).status()));
    EXPECT_LE(simulation_->dht(0).known_nodes(), 7);
  }

  static constexpr size_t kHostile = 1;
  std::unique_ptr<Simulation> simulation_ = MakeNetwork(8);
};

// What a node that lies would say of whoever signed `record`.
Receipt ReceiptFor(const Item& record) {
  const Value value = ValueTypes().Of(kRecord).Validate(record, kStart).value();
  return Receipt{value.owner, DigestOf(record), kStart, std::string(crypto::kSignatureSize, 's')};
}
Receipt SomeReceipt() { return ReceiptFor(SignedRecord(KeyFromSeed(2), "mallory.agent", kStart)); }

std::vector<Contact> InventedContacts(size_t count) {
  std::vector<Contact> contacts;
  for (size_t i = 0; i < count; ++i) contacts.push_back(ContactFromSeed(5000 + i));
  return contacts;
}

TEST_F(HostileAnswerTest, TenThousandNodes) {
  std::vector<Contact> many(10'000, ContactFromSeed(9));
  Become([many](const Request&) { return Response{NodesAnswer{many}}; });
}

TEST_F(HostileAnswerTest, UnroutableNodes) {
  Become([nodes = InventedContacts(20)](const Request&) { return Response{NodesAnswer{nodes}}; });
}

TEST_F(HostileAnswerTest, OnlyItselfAndTheAsker) {
  const std::vector<Contact> nodes = {simulation_->contact(kHostile), simulation_->contact(0),
                                      simulation_->contact(kHostile)};
  Become([nodes](const Request&) { return Response{NodesAnswer{nodes}}; });
}

TEST_F(HostileAnswerTest, NeverAnswers) {
  Become([](const Request&) { return std::nullopt; });
}

TEST_F(HostileAnswerTest, AnotherQuestionsAnswer) {
  Become([](const Request&) { return Response{StoreAnswer{}}; });
}

TEST_F(HostileAnswerTest, RefusesEverything) {
  Become([](const Request&) {
    return Response{ErrorWithReason(absl::StatusCode::kAlreadyExists, reason::kNameTaken, "it is mine")};
  });
}

TEST_F(HostileAnswerTest, AnInvalidValueCostsItsPlaceInTheTable) {
  Become([](const Request&) { return Response{ValueAnswer{Item{"{\"name\":\"bob.agent\"}", ""}, SomeReceipt(), {}}}; });
  EXPECT_EQ(simulation_->dht(0).known_nodes(), 6);
}

TEST_F(HostileAnswerTest, AnotherNamesValueCostsItsPlaceInTheTable) {
  const Item other = SignedRecord(KeyFromSeed(2), "mallory.agent", simulation_->clock().Now());
  Become([other](const Request&) { return Response{ValueAnswer{other, SomeReceipt(), {}}}; });
  EXPECT_EQ(simulation_->dht(0).known_nodes(), 6);
}

TEST_F(HostileAnswerTest, TheSameCensus) {
  Become([](const Request&) { return Response{ValueAnswer{.same_census = true}}; });
}

TEST(DhtTest, AnswersToThoseWhoKnowTheSameNodesListNone) {
  const auto simulation = MakeNetwork(8);
  RoutingTable of_caller(simulation->contact(0).id);
  for (size_t i = 0; i < 8; ++i) (void)of_caller.Seen(simulation->contact(i), absl::ZeroDuration());
  const auto ask = [&](const std::optional<Id>& census) {
    const Contact& caller = simulation->contact(0);
    const Response response =
        simulation->dht(1).Handle(caller.key, {caller, FindValueCall{KeyOfName("bob.agent"), kRecord, census}});
    return std::get<ValueAnswer>(response.answer);
  };
  const ValueAnswer same = ask(Census(&of_caller, simulation->contact(0).id).Digest());
  EXPECT_TRUE(same.same_census);
  EXPECT_THAT(same.nodes, testing::IsEmpty());

  of_caller.Evict(simulation->contact(7).id);
  for (const std::optional<Id>& census :
       {Census(&of_caller, simulation->contact(0).id).Digest(), std::optional<Id>()}) {
    const ValueAnswer full = ask(census);
    EXPECT_FALSE(full.same_census);
    EXPECT_EQ(full.nodes.size(), 6);
  }
}

TEST(DhtTest, ToClaimTheSameCensusAsACallerWhoStatedNoneCostsAPlaceInTheTable) {
  const auto simulation = MakeNetwork(60);
  const std::vector<size_t> nearest = simulation->NearestTo(KeyOfName("bob.agent"), 2);
  ASSERT_GT(simulation->dht(nearest[1]).known_nodes(), kMaxAnswerNodes);
  const size_t known = simulation->dht(nearest[1]).known_nodes();
  simulation->SetBehaviour(nearest[0], [](const Request&) { return Response{ValueAnswer{.same_census = true}}; });
  EXPECT_TRUE(absl::IsNotFound(simulation->Get(nearest[1], KeyOfName("bob.agent"), kRecord).status()));
  EXPECT_EQ(simulation->dht(nearest[1]).known_nodes(), known - 1);
}

TEST_F(HostileAnswerTest, TheNamesRecordUnderAnotherKeyIsOutvoted) {
  const auto simulation = MakeNetwork(20);
  const Item record = SignedRecord(KeyFromSeed(1), "bob.agent", simulation->clock().Now());
  ASSERT_TRUE(simulation->Put(0, kRecord, record).ok());
  const Item hijack = SignedRecord(KeyFromSeed(2), "bob.agent", simulation->clock().Now() + absl::Minutes(1));
  const std::vector<size_t> holders = Holders(*simulation, "bob.agent");
  for (size_t i = 0; i < 2; ++i) {
    simulation->SetBehaviour(holders[i], [hijack](const Request&) {
      return Response{ValueAnswer{hijack, ReceiptFor(hijack), {}}};
    });
  }
  for (size_t i = 0; i < 20; ++i) {
    if (i == holders[0] || i == holders[1]) continue;
    const auto got = simulation->Get(i, KeyOfName("bob.agent"), kRecord);
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_EQ(got->item, record);
  }
}

TEST_F(HostileAnswerTest, AStaleRecordLosesToTheNewest) {
  const auto simulation = MakeNetwork(20);
  const Item old = SignedRecord(KeyFromSeed(1), "bob.agent", simulation->clock().Now());
  const Item record = SignedRecord(KeyFromSeed(1), "bob.agent", simulation->clock().Now() + absl::Minutes(1));
  ASSERT_TRUE(simulation->Put(0, kRecord, old).ok());
  ASSERT_TRUE(simulation->Put(0, kRecord, record).ok());
  const std::vector<size_t> holders = Holders(*simulation, "bob.agent");
  for (size_t i = 0; i < 2; ++i) {
    simulation->SetBehaviour(holders[i], [old](const Request&) {
      return Response{ValueAnswer{old, ReceiptFor(old), {}}};
    });
  }
  for (size_t i = 0; i < 20; ++i) {
    if (i == holders[0] || i == holders[1]) continue;
    EXPECT_EQ(simulation->Get(i, KeyOfName("bob.agent"), kRecord)->item, record);
  }
}

TEST_F(HostileAnswerTest, AValueUnderAnotherKeyIsNotStored) {
  const Item record = SignedRecord(KeyFromSeed(1), "bob.agent", simulation_->clock().Now());
  const Contact& sender = simulation_->contact(1);
  const Response wrong =
      simulation_->dht(0).Handle(sender.key, {sender, StoreCall{KeyOfName("alice.agent"), kRecord, record}});
  EXPECT_EQ(ReasonOf(std::get<absl::Status>(wrong.answer)), reason::kProtocol);
  const Response garbage =
      simulation_->dht(0).Handle(sender.key, {sender, StoreCall{KeyOfName("bob.agent"), kRecord, Item{"garbage", ""}}});
  EXPECT_TRUE(std::holds_alternative<absl::Status>(garbage.answer));
  EXPECT_EQ(simulation_->dht(0).stored_values(), 0);
}

TEST(DhtTest, AValueFarFromANodeIsNotStored) {
  const auto simulation = MakeNetwork(400);
  const Item record = SignedRecord(KeyFromSeed(1), "bob.agent", simulation->clock().Now());
  const std::vector<size_t> sorted = simulation->NearestTo(KeyOfName("bob.agent"), 400);
  const auto store_on = [&](size_t node) {
    const Contact& sender = simulation->contact(sorted[200]);
    return simulation->dht(node).Handle(sender.key, {sender, StoreCall{KeyOfName("bob.agent"), kRecord, record}});
  };
  EXPECT_TRUE(std::holds_alternative<StoreAnswer>(store_on(sorted[0]).answer));
  EXPECT_TRUE(std::holds_alternative<StoreAnswer>(store_on(sorted[30]).answer)) << "nodes need not agree exactly";
  const Response refused = store_on(sorted[399]);
  EXPECT_EQ(ReasonOf(std::get<absl::Status>(refused.answer)), reason::kLimit);
}

}  // namespace
}  // namespace dotagent::dht
