#include "common/p2p/dht_network.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/dht/network_rules.h"
#include "common/dht/puzzle.h"
#include "common/dht/wire.h"
#include "common/identity/agent_id.h"
#include "common/identity/revocation.h"
#include "common/storage/store.h"
#include "tests/unit/p2p/fixtures.h"

namespace dotagent::p2p {
namespace {

// A node with a DHT on its port.
class DhtNode {
 public:
  explicit DhtNode(Loop& loop, const dht::PuzzleDifficulty& puzzle = {})
      : loop_(loop), node_(loop), store_(storage::NewMemoryStore()) {
    const std::string address = node_.address().ToString();
    loop_.Run([&] {
      network_ = std::make_unique<DhtNetwork>(
          loop_.executor(), node_.node(),
          DhtNetworkOptions{.protocol = dht::ProtocolIdOf({}, puzzle),
                            .dynamic_puzzle = puzzle.dynamic_bits > 0,
                            .met_stranger = [this](const crypto::PublicKey& key) { strangers_.push_back(key); }});
      const dht::Id id = dht::Id::OfNode(node_.key());
      dht::DhtOptions options;
      options.self = dht::Contact{id, node_.key(), {address}};
      options.self.puzzle_solution = dht::SolveDynamic(id, puzzle.dynamic_bits, node_.random()).value();
      options.puzzle = puzzle;
      options.signer = &node_.signer();
      dht_ = std::make_unique<dht::Dht>(options, network_.get(), &node_.clock(), &node_.random(), store_.get());
      network_->Serve(*dht_);
    });
  }
  ~DhtNode() {
    loop_.Run([&] {
      node_.node().Close();
      dht_.reset();
      network_.reset();
    });
  }

  absl::Status Start(const std::vector<std::string>& bootstrap) {
    Outcome<absl::Status> joined;
    loop_.Run([&] { dht_->Start(bootstrap, joined.Callback()); });
    return joined.Wait();
  }
  TestNode& node() { return node_; }
  dht::Dht& dht() { return *dht_; }
  DhtNetwork& network() { return *network_; }
  // Nodes with other rules that it has called.
  [[nodiscard]] std::vector<crypto::PublicKey> strangers() {
    return loop_.Run([this] { return strangers_; });
  }

 private:
  Loop& loop_;
  TestNode node_;
  std::unique_ptr<storage::Store> store_;
  std::unique_ptr<DhtNetwork> network_;
  std::unique_ptr<dht::Dht> dht_;
  std::vector<crypto::PublicKey> strangers_;
};

TEST(DhtNetworkTest, ThreeNodesJoinStoreAndFindOverRealSockets) {
  Loop loop;
  DhtNode first(loop);
  DhtNode second(loop);
  DhtNode third(loop);
  EXPECT_EQ(first.Start({}), absl::OkStatus());
  const std::string bootstrap = first.node().address().ToString();
  EXPECT_EQ(second.Start({bootstrap}), absl::OkStatus());
  EXPECT_EQ(third.Start({bootstrap}), absl::OkStatus());
  for (DhtNode* node : {&first, &second, &third}) {
    EXPECT_TRUE(Eventually(loop, [&] { return node->dht().known_nodes() == 2; }));
  }

  SystemRandom random;
  const auto agent = crypto::SigningKey::Generate(random);
  const auto id = identity::AgentId::FromFirstKey(agent.public_key());
  const auto statement = identity::SignRevocation(agent, "a test", absl::Now());
  ASSERT_TRUE(statement.ok());
  Outcome<absl::StatusOr<dht::PutResult>> put;
  loop.Run([&] { second.dht().Put(dht::ValueKind::kRevocation, {*statement, ""}, put.Callback()); });
  const auto stored = put.Wait();
  ASSERT_EQ(stored.status(), absl::OkStatus());
  EXPECT_EQ(stored->stored_by.size(), 3U);

  Outcome<absl::StatusOr<dht::GetResult>> get;
  const auto key = dht::Id::FromBytes(identity::RevocationKey(id));
  loop.Run([&] { third.dht().Get(*key, dht::ValueKind::kRevocation, get.Callback()); });
  const auto found = get.Wait();
  ASSERT_EQ(found.status(), absl::OkStatus());
  EXPECT_EQ(found->item.bytes, *statement);
}

TEST(DhtNetworkTest, IdentifyTellsWhoAnswers) {
  Loop loop;
  DhtNode a(loop);
  DhtNode b(loop);
  const std::string address = b.node().address().ToString();
  Outcome<absl::StatusOr<dht::Contact>> contact;
  loop.Run([&] { a.network().Identify(address, contact.Callback()); });
  const auto found = contact.Wait();
  ASSERT_EQ(found.status(), absl::OkStatus());
  EXPECT_EQ(found->key, b.node().key());
  EXPECT_EQ(found->id, dht::Id::OfNode(b.node().key()));
  EXPECT_EQ(found->addresses, std::vector<std::string>{address});
  Outcome<absl::StatusOr<dht::Contact>> bad;
  loop.Run([&] { a.network().Identify("no address", bad.Callback()); });
  EXPECT_EQ(ReasonOf(bad.Wait().status()), reason::kBadAddress);
}

TEST(DhtNetworkTest, NodesThatKnowOnlyAnAddressLearnThePuzzlesSolution) {
  const dht::PuzzleDifficulty puzzle{.dynamic_bits = 6};
  Loop loop;
  DhtNode first(loop, puzzle);
  DhtNode second(loop, puzzle);
  EXPECT_EQ(first.Start({}), absl::OkStatus());
  EXPECT_EQ(second.Start({first.node().address().ToString()}), absl::OkStatus());
  EXPECT_TRUE(Eventually(loop, [&] { return first.dht().known_nodes() == 1 && second.dht().known_nodes() == 1; }));
}

TEST(DhtNetworkTest, NodesWithOtherRulesAreStrangersToEachOther) {
  Loop loop;
  DhtNode plain(loop);
  DhtNode puzzled(loop, {.dynamic_bits = 6});
  EXPECT_EQ(plain.Start({}), absl::OkStatus());
  const absl::Status joined = puzzled.Start({plain.node().address().ToString()});
  EXPECT_EQ(ReasonOf(joined), reason::kNotBootstrapped) << joined;
  EXPECT_EQ(puzzled.strangers(), std::vector<crypto::PublicKey>{plain.node().key()});
  DhtNode late(loop);
  const absl::Status neither = late.Start({puzzled.node().address().ToString()});
  EXPECT_EQ(ReasonOf(neither), reason::kNotBootstrapped) << neither;
  EXPECT_EQ(late.strangers(), std::vector<crypto::PublicKey>{puzzled.node().key()});
  for (DhtNode* node : {&plain, &puzzled, &late}) {
    EXPECT_EQ(loop.Run([&] { return node->dht().known_nodes(); }), 0U);
  }
}

TEST(DhtNetworkTest, AMalformedRequestIsAnsweredWithARefusal) {
  Loop loop;
  DhtNode a(loop);
  DhtNode b(loop);
  const auto bytes = a.node().Call(b.node().peer(), "\xff\xff\xff", dht::kProtocolId);
  ASSERT_EQ(bytes.status(), absl::OkStatus());
  const auto response = dht::DecodeResponse(*bytes);
  ASSERT_EQ(response.status(), absl::OkStatus());
  EXPECT_EQ(std::get<absl::Status>(response->answer).code(), absl::StatusCode::kInvalidArgument);
}

TEST(DhtNetworkTest, RunAfterRunsLaterAndNotOnceTheNetworkIsGone) {
  Loop loop;
  DhtNode a(loop);
  Outcome<absl::Status> ran;
  bool inside = true;
  loop.Run([&] {
    a.network().RunAfter(absl::ZeroDuration(), [&inside, done = ran.Callback()] {
      done(inside ? absl::InternalError("it ran from inside") : absl::OkStatus());
    });
    inside = false;
  });
  EXPECT_EQ(ran.Wait(), absl::OkStatus());
  bool never = false;
  const auto held = std::make_shared<int>(0);
  loop.Run([&] {
    DhtNetwork gone(loop.executor(), a.node().node());
    gone.RunAfter(absl::Milliseconds(1), [&never, held] { never = true; });
  });
  // What waited has been thrown away, not run.
  EXPECT_TRUE(Eventually(loop, [&] { return held.use_count() == 1; }));
  EXPECT_FALSE(never);
}

}  // namespace
}  // namespace dotagent::p2p
