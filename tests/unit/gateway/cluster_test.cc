// Gateways as one: agents at any of them, inboxes at one each, and what happens as gateways come and go.
#include "services/gateway/cluster.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/unit/gateway/fakes.h"

namespace dotagent::gateway_service {
namespace {

// A disk that outlives the gateway.
class Borrowed : public storage::Store {
 public:
  explicit Borrowed(storage::Store& store) : store_(store) {}
  absl::StatusOr<std::string> Get(absl::string_view key) const override { return store_.Get(key); }
  absl::Status Write(const storage::Batch& batch, storage::Durability durability) override {
    return store_.Write(batch, durability);
  }
  absl::Status Scan(absl::string_view prefix, absl::string_view from,
                    const std::function<bool(absl::string_view, absl::string_view)>& visit) const override {
    return store_.Scan(prefix, from, visit);
  }

 private:
  storage::Store& store_;
};

crypto::SigningKey CopyOf(const crypto::SigningKey& key) { return *crypto::SigningKey::FromSeed(key.seed().view()); }

class ClusterTest : public testing::Test {
 protected:
  // Sessions end with the process; what is carried over them ends then, and lets go of itself.
  void TearDown() override {
    for (const auto& pipe : world_.cluster_links.pipes) pipe->Break();
    world_.tasks.Run();
  }

  struct Member {
    crypto::SigningKey key;
    std::unique_ptr<storage::Store> disk = storage::NewMemoryStore();
    std::unique_ptr<TestGateway> running;
  };

  ClusterTest() {
    for (int i = 0; i < 4; ++i) members_.push_back({crypto::SigningKey::Generate(world_.random)});
    // They look for each other where the first is.
    world_.cluster_peers = {*p2p::Multiaddr::Parse(
        absl::StrCat("/ip4/127.0.0.1/tcp/4001/p2p/", crypto::PeerIdFromKey(members_[0].key.public_key())))};
  }

  TestGateway& Start(size_t i) {
    members_[i].running =
        std::make_unique<TestGateway>(world_, 8, InboxLimits{.clustered = true}, TopicLimits{}, CopyOf(members_[i].key),
                                      AdmissionLimits{}, std::make_unique<Borrowed>(*members_[i].disk));
    return *members_[i].running;
  }
  // As kill -9: nothing more is said.
  void Kill(size_t i) {
    world_.cluster_links.Leave(members_[i].key.public_key());
    world_.trunks.Leave(members_[i].key.public_key());
    members_[i].running.reset();
  }
  void Pass(absl::Duration time) {
    for (absl::Duration passed; passed < time; passed += absl::Milliseconds(200)) {
      world_.clock.Advance(absl::Milliseconds(200));
      for (Member& member : members_) {
        if (member.running) member.running->cluster->Tick();
      }
      world_.tasks.Run();
    }
  }
  void StartAll(size_t count = 3) {
    for (size_t i = 0; i < count; ++i) Start(i);
    Pass(absl::Seconds(4));
  }
  [[nodiscard]] TestGateway& At(size_t i) { return *members_[i].running; }

  // The number of the member where the inbox is, as they all see it.
  [[nodiscard]] size_t HomeOf(const std::string& name) {
    std::set<size_t> homes;
    for (size_t i = 0; i < members_.size(); ++i) {
      if (!members_[i].running) continue;
      const auto home = At(i).cluster->HomeOf(*record::Name::Parse(name));
      EXPECT_TRUE(home.ok()) << home.status();
      if (!home.ok()) continue;
      const crypto::PublicKey key = *home ? *(*home)->address().key : members_[i].key.public_key();
      for (size_t j = 0; j < members_.size(); ++j) {
        if (members_[j].key.public_key() == key) homes.insert(j);
      }
    }
    EXPECT_EQ(homes.size(), 1u) << "members differ about " << name;
    return homes.empty() ? 0 : *homes.begin();
  }
  // A name whose home is that member.
  [[nodiscard]] std::string NameAt(size_t home) {
    while (true) {
      const std::string name = absl::StrCat("agent-", ++names_, ".agent");
      if (HomeOf(name) == home) return name;
    }
  }
  // An agent that the cluster knows; its record is as the gateway says.
  std::unique_ptr<TestAgent> Settle(size_t at, const std::string& name) {
    auto agent = std::make_unique<TestAgent>(world_, At(at), name);
    EXPECT_TRUE(agent->Authenticate().ok());
    Register(*agent);
    return agent;
  }
  static void Register(TestAgent& agent) {
    const auto info = agent.gateway.logic->GetInfo();
    const auto record = agent.MakeRecord({info.addresses().begin(), info.addresses().end()});
    const auto registered = agent.Register(record->json());
    EXPECT_TRUE(registered.ok()) << registered.status();
  }
  // The same agent, at another gateway.
  std::unique_ptr<TestAgent> Same(const TestAgent& agent, size_t at) {
    auto same = std::make_unique<TestAgent>(world_, At(at), agent.name);
    same->key = CopyOf(agent.key);
    EXPECT_TRUE(same->Authenticate().ok());
    return same;
  }
  static std::vector<std::string> IdsIn(const InboxCall& inbox) {
    std::vector<std::string> ids;
    for (const auto& response : inbox.received) {
      if (!response.has_message()) continue;
      ids.push_back(record::Json::parse(response.message().message_json())["id"].get<std::string>());
    }
    return ids;
  }
  void AckAll(InboxCall& inbox) {
    gateway::v1::InboxRequest request;
    for (const auto& response : inbox.received) {
      if (response.has_message()) request.mutable_ack()->add_sequences(response.message().sequence());
    }
    inbox.Send(request);
    world_.tasks.Run();
  }
  [[nodiscard]] std::vector<uint64_t> Sizes() {
    std::vector<uint64_t> sizes;
    for (const Member& member : members_) sizes.push_back(member.running ? member.running->inboxes->size() : 0);
    return sizes;
  }

  World world_;
  std::vector<Member> members_;
  int names_ = 0;
};

TEST_F(ClusterTest, FindEachOtherThroughOneAndAgree) {
  StartAll(4);
  std::set<size_t> homes;
  for (int i = 0; i < 40; ++i) homes.insert(HomeOf(absl::StrCat("agent-", i, ".agent")));
  EXPECT_EQ(homes.size(), 4u);
  for (size_t i = 0; i < 4; ++i) EXPECT_TRUE(At(i).cluster->joined());
}

TEST_F(ClusterTest, ARecordListsThreeGatewaysTheOneThatIsAskedFirst) {
  StartAll(4);
  const auto info = At(1).logic->GetInfo();
  ASSERT_EQ(info.addresses_size(), 3);
  EXPECT_EQ(info.addresses(0), At(1).address());
  EXPECT_NE(info.addresses(1), info.addresses(2));
}

TEST_F(ClusterTest, AMessageSentAnywhereIsReadAnywhereAndLiesAtHome) {
  StartAll();
  const auto alice = Settle(0, NameAt(0));
  const auto bob = Settle(1, NameAt(2));
  for (size_t sender = 0; sender < 3; ++sender) {
    const auto here = Same(*alice, sender);
    const std::string json = here->SignMessage(bob->name, absl::StrCat("m", sender), "attached");
    const auto sent = here->Send(json, "attached");
    ASSERT_TRUE(sent.ok()) << sent.status();
    EXPECT_FALSE(sent->duplicate());
    EXPECT_TRUE(Same(*alice, (sender + 1) % 3)->Send(json, "attached")->duplicate());
  }
  EXPECT_THAT(Sizes(), testing::ElementsAre(0, 0, 3, 0));
  for (size_t reader = 0; reader < 3; ++reader) {
    const auto inbox = Same(*bob, reader)->OpenInbox();
    ASSERT_EQ(inbox->received.size(), 4u);
    EXPECT_EQ(inbox->received[0].ready().pending(), 3u);
    EXPECT_EQ(IdsIn(*inbox), (std::vector<std::string>{"m0", "m1", "m2"}));
    EXPECT_EQ(inbox->received[1].message().attachment(), "attached");
    inbox->Cancel();
    world_.tasks.Run();
  }
  // Live, and acknowledged from afar.
  const auto inbox = Same(*bob, 1)->OpenInbox();
  ASSERT_TRUE(alice->Send(alice->SignMessage(bob->name, "live")).ok());
  EXPECT_EQ(IdsIn(*inbox).back(), "live");
  AckAll(*inbox);
  EXPECT_THAT(Sizes(), testing::ElementsAre(0, 0, 0, 0));
}

// Member 0 has not heard yet that the inbox is at member 2, and hands a message to member 1: it does not stay there.
TEST_F(ClusterTest, WhatALateViewHasMisplacedFollowsSoon) {
  StartAll();
  Pass(absl::Seconds(2));
  const auto alice = Settle(0, "alice.agent");
  const auto bob = Settle(1, NameAt(2));
  trunk::v1::DeliverRequest letter;
  letter.set_message_json(alice->SignMessage(bob->name, "m1"));
  letter.set_sender_key(std::string(alice->key.public_key().bytes()));
  cluster::v1::ClusterCall call;
  call.set_deliver(letter.SerializeAsString());
  absl::Status kept = absl::UnknownError("not answered");
  At(1).cluster->link_handlers().call(members_[0].key.public_key(), call,
                                      [&](const auto& answer) { kept = answer.status(); });
  world_.tasks.Run();
  EXPECT_TRUE(kept.ok()) << kept;
  EXPECT_THAT(Sizes(), testing::ElementsAre(0, 1, 0, 0));
  Pass(absl::Seconds(3));
  EXPECT_THAT(Sizes(), testing::ElementsAre(0, 0, 1, 0));
}

TEST_F(ClusterTest, WhatIsBeingKeptWhenADrainBeginsIsNotLeftBehind) {
  StartAll();
  Pass(absl::Seconds(2));
  const auto alice = Settle(1, "alice.agent");
  const auto bob = Settle(1, NameAt(1));
  ASSERT_TRUE(alice->Send(alice->SignMessage(bob->name, "m1")).ok());
  gateway::v1::SendRequest request;
  request.set_message_json(alice->SignMessage(bob->name, "m2"));
  absl::Status sent = absl::UnknownError("not answered");
  At(1).logic->Send(alice->token, request, [&](const auto& response) { sent = response.status(); });
  ASSERT_EQ(At(1).logic->keeping(), 1u) << "the disk has not written it yet";
  At(1).cluster->Drain();
  EXPECT_EQ(At(1).logic->keeping(), 1u);
  Pass(absl::Seconds(1));
  EXPECT_TRUE(sent.ok()) << sent;
  EXPECT_EQ(At(1).logic->keeping(), 0u);
  EXPECT_TRUE(At(1).cluster->moved_out());
  EXPECT_EQ(At(1).inboxes->size(), 0u);
}

TEST_F(ClusterTest, ANewerInboxElsewhereTakesOver) {
  StartAll();
  const auto bob = Settle(1, NameAt(2));
  const auto first = bob->OpenInbox();
  const auto second = Same(*bob, 0)->OpenInbox();
  ASSERT_TRUE(first->finished.has_value());
  EXPECT_EQ(ReasonOf(*first->finished), reason::kSuperseded);
  EXPECT_FALSE(second->finished.has_value());
}

TEST_F(ClusterTest, StrangersReachAnInboxThroughAnyListedMember) {
  StartAll();
  TestGateway outside(world_);
  TestAgent alice(world_, outside, "alice.agent");
  alice.Settle();
  const auto bob = Settle(1, NameAt(2));
  // Through member 1 only, which is not his home.
  ASSERT_TRUE(bob->Register(bob->MakeRecord({At(1).address()})->json()).ok());
  world_.clock.Advance(absl::Seconds(2));
  ASSERT_TRUE(alice.Send(alice.SignMessage(bob->name, "m1")).ok());
  EXPECT_THAT(Sizes(), testing::ElementsAre(0, 0, 1, 0));
  // And back.
  const auto inbox = alice.OpenInbox();
  ASSERT_TRUE(bob->Send(bob->SignMessage("alice.agent", "m2")).ok());
  EXPECT_EQ(IdsIn(*inbox), std::vector<std::string>{"m2"});
}

TEST_F(ClusterTest, AgentsOfOtherGatewaysAreStillStrangers) {
  StartAll();
  TestGateway outside(world_);
  TestAgent alice(world_, outside, "alice.agent");
  alice.Settle();
  trunk::v1::DeliverRequest request;
  request.set_message_json(alice.SignMessage("alice.agent", "m1"));
  request.set_sender_key(std::string(alice.key.public_key().bytes()));
  absl::Status refused;
  At(0).logic->trunk_handlers().deliver(outside.key.public_key(), request,
                                        [&](const auto& result) { refused = result.status(); });
  world_.tasks.Run();
  EXPECT_EQ(ReasonOf(refused), reason::kBadAddress);
}

TEST_F(ClusterTest, ARequestReachesAnAgentAtAnyMember) {
  StartAll();
  const auto alice = Settle(0, NameAt(1));
  const auto bob = Settle(1, NameAt(2));
  auto inbox = std::make_shared<InboxCall>(world_.tasks);
  gateway::v1::InboxRequest open;
  open.mutable_open()->set_name(bob->name);
  open.mutable_open()->set_accept_requests(true);
  inbox->Send(open);
  bob->gateway.logic->Inbox(bob->token, inbox);
  world_.tasks.Run();

  const auto sign = [&](const TestAgent& who, record::MessageType type, const std::string& to) {
    return record::Message::Sign(
               {.id = "q1", .type = type, .sender = who.name, .recipient = to, .timestamp = world_.clock.Now()},
               who.key)
        ->json();
  };
  gateway::v1::RequestRequest request;
  request.set_message_json(sign(*alice, record::MessageType::kRequest, bob->name));
  request.set_priority(gateway::v1::PRIORITY_CRITICAL);
  absl::StatusOr<gateway::v1::RequestResponse> answer = absl::UnknownError("not answered");
  alice->gateway.logic->Request(alice->token, request, world_.clock.Now() + absl::Seconds(5),
                                [&](auto response) { answer = std::move(response); });
  world_.tasks.Run();
  ASSERT_EQ(inbox->received.size(), 2u);
  ASSERT_TRUE(inbox->received[1].has_request());
  gateway::v1::InboxRequest said;
  said.mutable_answer()->set_message_json(sign(*bob, record::MessageType::kResponse, alice->name));
  inbox->Send(said);
  world_.tasks.Run();
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->message_json(), said.answer().message_json());
  EXPECT_EQ(world_.cluster_links.levels[cluster::v1::ClusterCall::kRequest], session::Priority::kCritical)
      << "urgent also between members";

  gateway::v1::SendRequest letter;
  letter.set_message_json(alice->SignMessage(bob->name, "m1"));
  letter.set_priority(gateway::v1::PRIORITY_HIGH);
  alice->gateway.logic->Send(alice->token, letter, [](const auto& sent) { EXPECT_TRUE(sent.ok()) << sent.status(); });
  world_.tasks.Run();
  EXPECT_EQ(world_.cluster_links.levels[cluster::v1::ClusterCall::kDeliver], session::Priority::kHigh);
  EXPECT_EQ(world_.cluster_links.levels[cluster::v1::ClusterCall::kHello], session::Priority::kHigh);
}

// From outside through member 1, at home at 2, taken at 0.
TEST_F(ClusterTest, AChannelReachesAnAgentAtAnyMember) {
  StartAll();
  TestGateway outside(world_);
  TestAgent alice(world_, outside, "alice.agent");
  alice.Settle();
  const auto bob = Settle(1, NameAt(2));
  ASSERT_TRUE(bob->Register(bob->MakeRecord({At(1).address()})->json()).ok());
  const auto carol = Settle(1, NameAt(1));
  const auto bob_at_0 = Same(*bob, 0);
  const auto inbox = bob_at_0->OpenInbox();
  for (TestAgent* const caller : {&alice, carol.get()}) {
    const auto call = caller->Call(bob->name);
    ASSERT_TRUE(inbox->received.back().has_offer());
    const auto taken = bob_at_0->Accept(inbox->received.back().offer().channel_id());
    ASSERT_FALSE(call->received.empty());
    ASSERT_FALSE(taken->received.empty());
    EXPECT_TRUE(call->received[0].has_opened());
    gateway::v1::OpenChannelRequest data;
    data.set_data("hello");
    call->Send(data);
    world_.tasks.Run();
    EXPECT_EQ(taken->received.back().data(), "hello");
    data.set_data("and back");
    taken->Send(data);
    world_.tasks.Run();
    EXPECT_EQ(call->received.back().data(), "and back");
    call->HalfClose();
    taken->HalfClose();
    world_.tasks.Run();
    ASSERT_TRUE(call->finished.has_value());
    EXPECT_TRUE(call->finished->ok()) << *call->finished;
    ASSERT_TRUE(taken->finished.has_value());
    EXPECT_TRUE(taken->finished->ok()) << *taken->finished;
  }
  // An offer is good once.
  const auto again = bob_at_0->Accept(inbox->received.back().offer().channel_id());
  EXPECT_EQ(ReasonOf(*again->finished), reason::kStale);
}

// Messages for 20 agents wait; member 3 comes, then 1 drains, while messages come.
class ClusterMoveTest : public ClusterTest {
 protected:
  void SetUp() override {
    StartAll();
    alice_ = Settle(0, "alice.agent");
    for (int i = 0; i < 20; ++i) bobs_.push_back(Settle(i % 3, absl::StrCat("bob-", i, ".agent")));
    SendToAll();
  }
  void SendToAll() {
    const auto alice = Same(*alice_, sender_);
    for (const auto& bob : bobs_) {
      const std::string id = absl::StrCat("m", ++sent_);
      const auto sent = alice->Send(alice->SignMessage(bob->name, id));
      if (sent.ok()) confirmed_[bob->name].push_back(id);
    }
  }
  // Each has all that was confirmed, in its inbox, once.
  void ExpectAllOnce(size_t reader) {
    for (const auto& bob : bobs_) {
      const auto inbox = Same(*bob, reader)->OpenInbox();
      ASSERT_FALSE(inbox->finished.has_value()) << *inbox->finished;
      EXPECT_THAT(IdsIn(*inbox), testing::UnorderedElementsAreArray(confirmed_[bob->name])) << bob->name;
      inbox->Cancel();
      world_.tasks.Run();
    }
  }
  [[nodiscard]] size_t Confirmed() const {
    size_t count = 0;
    for (const auto& [_, ids] : confirmed_) count += ids.size();
    return count;
  }
  void ExpectAllAtHome() {
    for (const auto& bob : bobs_) {
      const InboxId inbox{*record::Name::Parse(bob->name), bob->key.public_key()};
      const size_t home = HomeOf(bob->name);
      for (size_t i = 0; i < members_.size(); ++i) {
        if (members_[i].running && i != home) {
          EXPECT_EQ(At(i).inboxes->pending(inbox), 0u) << bob->name << " at " << i;
        }
      }
    }
  }

  std::unique_ptr<TestAgent> alice_;
  std::vector<std::unique_ptr<TestAgent>> bobs_;
  std::map<std::string, std::vector<std::string>> confirmed_;
  size_t sender_ = 0;  // the member at which Alice is
  int sent_ = 0;
};

TEST_F(ClusterMoveTest, OneThatComesGetsItsShareAndNothingTwice) {
  EXPECT_EQ(Confirmed(), 20u);
  Start(3);
  for (int i = 0; i < 10; ++i) {
    Pass(absl::Milliseconds(600));
    SendToAll();
  }
  Pass(absl::Seconds(3));
  EXPECT_EQ(Confirmed(), 220u) << "nobody was turned away";
  EXPECT_GT(At(3).inboxes->size(), 0u);
  ExpectAllAtHome();
  ExpectAllOnce(0);
}

TEST_F(ClusterMoveTest, OneThatDrainsLeavesNothingBehind) {
  At(1).cluster->Drain();
  for (int i = 0; i < 10; ++i) {
    SendToAll();
    Pass(absl::Milliseconds(600));
  }
  EXPECT_TRUE(At(1).cluster->moved_out());
  EXPECT_EQ(At(1).inboxes->size(), 0u);
  Kill(1);
  EXPECT_EQ(Confirmed(), 220u);
  Pass(absl::Seconds(6));
  ExpectAllAtHome();
  ExpectAllOnce(2);
  EXPECT_EQ(world_.cluster_links.levels[cluster::v1::ClusterCall::kMove], session::Priority::kLow) << "mail goes first";
}

TEST_F(ClusterMoveTest, TheLastOneThatDrainsKeepsWhatItHas) {
  Kill(1);
  Kill(2);
  Pass(absl::Seconds(6));
  const uint64_t before = At(0).inboxes->size();
  At(0).cluster->Drain();
  EXPECT_TRUE(At(0).cluster->moved_out());
  Pass(absl::Seconds(3));
  EXPECT_EQ(At(0).inboxes->size(), before);
}

TEST_F(ClusterMoveTest, LostAnswersMoveNothingTwice) {
  world_.cluster_links.lose = cluster::v1::ClusterCall::kMove;
  world_.cluster_links.losses = 12;
  Start(3);
  Pass(absl::Seconds(10));
  EXPECT_EQ(world_.cluster_links.losses, 0);
  ExpectAllAtHome();
  ExpectAllOnce(3);
}

TEST_F(ClusterMoveTest, OneThatIsKilledComesBackWithWhatItHad) {
  sender_ = 0;
  Kill(1);
  // What goes to a home that has just died is refused, and nothing is confirmed that is not on a disk.
  SendToAll();
  EXPECT_LT(Confirmed(), 40u);
  Pass(absl::Seconds(6));
  const size_t before = Confirmed();
  SendToAll();
  EXPECT_EQ(Confirmed(), before + 20) << "the next ones are their homes";
  Start(1);
  for (int i = 0; i < 5; ++i) {
    SendToAll();
    Pass(absl::Seconds(1));
  }
  Pass(absl::Seconds(3));
  EXPECT_GT(At(1).inboxes->size(), 0u);
  ExpectAllAtHome();
  ExpectAllOnce(0);
}

TEST_F(ClusterMoveTest, AReceiverThatDiesInTheMiddleLosesNothing) {
  Start(3);
  for (int i = 0; i < 15 && At(3).inboxes->size() == 0; ++i) Pass(absl::Milliseconds(200));
  EXPECT_GT(At(3).inboxes->size(), 0u);
  Kill(3);
  Pass(absl::Seconds(2));
  Start(3);
  Pass(absl::Seconds(10));
  ExpectAllAtHome();
  ExpectAllOnce(1);
}

TEST_F(ClusterMoveTest, AnOpenInboxEndsWhenItMovesAndGoesOnAtTheNewHome) {
  std::map<std::string, std::shared_ptr<InboxCall>> inboxes;
  for (const auto& bob : bobs_) inboxes[bob->name] = Same(*bob, 2)->OpenInbox();
  std::map<std::string, size_t> before;
  for (const auto& bob : bobs_) before[bob->name] = HomeOf(bob->name);
  Start(3);
  Pass(absl::Seconds(6));
  int moved = 0;
  for (const auto& bob : bobs_) {
    const auto& finished = inboxes[bob->name]->finished;
    EXPECT_EQ(finished.has_value(), HomeOf(bob->name) != before[bob->name]) << bob->name;
    if (!finished) continue;
    ++moved;
    EXPECT_TRUE(absl::IsUnavailable(*finished)) << *finished;
  }
  EXPECT_GT(moved, 0);
  ExpectAllOnce(2);
}

// Members that do not see each other for a while each take what comes; then all of it is at one place.
TEST_F(ClusterMoveTest, WhatCameToBothSidesOfACutIsBroughtTogether) {
  const auto alice_at_2 = Same(*alice_, 2);
  world_.cluster_links.cut.insert(members_[2].key.public_key());
  Pass(absl::Seconds(7));
  SendToAll();
  for (const auto& bob : bobs_) {
    const std::string id = absl::StrCat("cut-", bob->name.substr(0, bob->name.find('.')));
    const auto sent = alice_at_2->Send(alice_at_2->SignMessage(bob->name, id));
    ASSERT_TRUE(sent.ok()) << sent.status();
    confirmed_[bob->name].push_back(id);
  }
  world_.cluster_links.cut.clear();
  Pass(absl::Seconds(10));
  EXPECT_EQ(Confirmed(), 60u);
  ExpectAllAtHome();
  ExpectAllOnce(0);
}

absl::Status SetPolicy(TestAgent& agent, const std::string& contact) {
  gateway::v1::SetInboxPolicyRequest request;
  request.set_name(agent.name);
  request.mutable_policy()->set_mode(gateway::v1::INBOX_MODE_CONTACTS);
  request.mutable_policy()->add_contacts(contact);
  absl::Status status = absl::UnknownError("not answered");
  agent.gateway.logic->SetInboxPolicy(agent.token, request, [&](const auto& done) { status = done.status(); });
  agent.world.tasks.Run();
  return status;
}

TEST_F(ClusterTest, APolicyHoldsAtEveryMemberAlsoAtTheNextHomeAndAtNewOnes) {
  StartAll();
  const auto mallory = Settle(0, "mallory.agent");
  std::vector<std::unique_ptr<TestAgent>> bobs;
  for (int i = 0; i < 8; ++i) {
    bobs.push_back(Settle(0, absl::StrCat("bob-", i, ".agent")));
    ASSERT_TRUE(SetPolicy(*bobs.back(), "alice.agent").ok());
  }
  int number = 0;
  const auto expect_closed = [&] {
    for (const auto& bob : bobs) {
      const auto sent = mallory->Send(mallory->SignMessage(bob->name, absl::StrCat("m", ++number)));
      EXPECT_EQ(ReasonOf(sent.status()), reason::kNotAContact) << bob->name << ": " << sent.status();
    }
  };
  expect_closed();
  Kill(2);
  Pass(absl::Seconds(6));
  expect_closed();
  Start(3);
  for (int i = 0; i < 20; ++i) {
    Pass(absl::Milliseconds(200));
    expect_closed();
  }
  // One that comes back learns what it has missed.
  ASSERT_TRUE(SetPolicy(*bobs[0], "mallory.agent").ok());
  Start(2);
  Pass(absl::Seconds(4));
  for (size_t i : {0, 1, 2, 3}) {
    EXPECT_EQ(At(i).guard.FindPolicy(*record::Name::Parse("bob-0.agent"))->policy(),
              At(0).guard.FindPolicy(*record::Name::Parse("bob-0.agent"))->policy());
  }
  EXPECT_TRUE(mallory->Send(mallory->SignMessage("bob-0.agent", "at-last")).ok());
}

TEST_F(ClusterTest, APolicyThatAMemberDoesNotTakeIsNotConfirmed) {
  StartAll();
  const auto bob = Settle(0, "bob.agent");
  world_.cluster_links.cut.insert(members_[1].key.public_key());
  EXPECT_TRUE(absl::IsUnavailable(SetPolicy(*bob, "alice.agent")));
  Pass(absl::Seconds(7));
  EXPECT_TRUE(SetPolicy(*bob, "alice.agent").ok());
}

TEST_F(ClusterTest, DeadLettersAreListedFromAnyMember) {
  StartAll();
  const auto bob = Settle(1, NameAt(2));
  const auto alice = Settle(0, "alice.agent");
  ASSERT_TRUE(alice->Send(alice->SignMessage(bob->name, "m1")).ok());
  const InboxId inbox{*record::Name::Parse(bob->name), bob->key.public_key()};
  while (At(2).inboxes->Deliver(inbox, 0, world_.clock.Now()).ok()) {
  }
  world_.tasks.Run();
  ASSERT_EQ(At(2).inboxes->dead_letters(), 1u);
  for (size_t i = 0; i < 3; ++i) {
    const auto here = Same(*bob, i);
    gateway::v1::ListDeadLettersRequest request;
    request.set_name(bob->name);
    absl::StatusOr<gateway::v1::ListDeadLettersResponse> letters = absl::UnknownError("not answered");
    here->gateway.logic->ListDeadLetters(here->token, request, [&](auto response) { letters = std::move(response); });
    world_.tasks.Run();
    ASSERT_TRUE(letters.ok()) << letters.status();
    EXPECT_EQ(letters->letters_size(), 1);
  }
}

// A key that another took the place of, at a gateway that is not the inbox's home.
TEST_F(ClusterTest, AnInboxFollowsItsOwnersNewKeyWhereverThatIsSaid) {
  StartAll();
  const auto bob = Settle(1, NameAt(2));
  const auto alice = Settle(0, "alice.agent");
  ASSERT_TRUE(alice->Send(alice->SignMessage(bob->name, "m1")).ok());
  TestAgent heir(world_, At(0), bob->name);
  ASSERT_TRUE(heir.Authenticate().ok());
  const std::string chain = RotationFrom(*bob, heir);
  ASSERT_TRUE(heir.Register(heir.MakeRecord({At(0).address()})->json(), {.rotation_chain = chain}).ok());
  EXPECT_EQ(IdsIn(*heir.OpenInbox()), std::vector<std::string>{"m1"});
}

// Bob took Alice's call at another member than his home, and rotates there.
TEST_F(ClusterTest, AChannelRunsOnWhenAnEndRotatesItsKey) {
  StartAll();
  const auto bob = Settle(1, NameAt(2));
  const auto alice = Settle(1, NameAt(1));
  const auto inbox = bob->OpenInbox();
  const auto call = alice->Call(bob->name);
  ASSERT_TRUE(inbox->received.back().has_offer());
  const auto taken = bob->Accept(inbox->received.back().offer().channel_id());
  ASSERT_FALSE(taken->received.empty());

  TestAgent heir(world_, At(1), bob->name);
  ASSERT_TRUE(heir.Authenticate().ok());
  ASSERT_TRUE(
      heir.Register(heir.MakeRecord({At(1).address()})->json(), {.rotation_chain = RotationFrom(*bob, heir)}).ok());
  ASSERT_TRUE(inbox->finished.has_value());
  EXPECT_EQ(ReasonOf(*inbox->finished), reason::kSuperseded);
  EXPECT_FALSE(taken->finished.has_value());
  EXPECT_FALSE(call->finished.has_value());
  gateway::v1::OpenChannelRequest data;
  data.set_data("still here");
  call->Send(data);
  world_.tasks.Run();
  EXPECT_EQ(taken->received.back().data(), "still here");
  EXPECT_EQ(ReasonOf(bob->Send(bob->SignMessage(alice->name, "m1")).status()), reason::kNotAuthenticated)
      << "the old key does nothing new";
}

}  // namespace
}  // namespace dotagent::gateway_service
