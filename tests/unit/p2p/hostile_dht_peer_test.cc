// Peers that answer a DHT's questions over a real session with what no honest node sends: too much, nothing, a byte now
// and then, nodes that are not there. The node that asks still stores and finds, and believes none of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/base/varint.h"
#include "common/dht/dht.h"
#include "common/dht/wire.h"
#include "common/identity/agent_id.h"
#include "common/identity/revocation.h"
#include "common/p2p/dht_network.h"
#include "common/p2p/later.h"
#include "common/storage/store.h"
#include "dotagent/dht/v1/dht.pb.h"
#include "tests/unit/p2p/fixtures.h"

namespace dotagent::p2p {
namespace {

using testing::HasSubstr;

constexpr absl::Duration kCallTimeout = absl::Seconds(1);

dht::Contact ContactOf(TestNode& node) {
  return {dht::Id::OfNode(node.key()), node.key(), {node.address().Transport()}};
}

// Honest, with patience for tests.
class HonestNode {
 public:
  explicit HonestNode(Loop& loop) : loop_(loop), node_(loop) {
    dht::DhtOptions options;
    options.self = ContactOf(node_);
    options.signer = &node_.signer();
    loop_.Run([&] {
      network_ =
          std::make_unique<DhtNetwork>(loop_.executor(), node_.node(), DhtNetworkOptions{.call_timeout = kCallTimeout});
      dht_ = std::make_unique<dht::Dht>(options, network_.get(), &node_.clock(), &node_.random(), store_.get());
      network_->Serve(*dht_);
    });
  }
  ~HonestNode() {
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
  absl::StatusOr<dht::Response> Ask(const dht::Contact& to, const dht::Request& request) {
    Outcome<absl::StatusOr<dht::Response>> response;
    loop_.Run([&] { network_->Call(to, request, response.Callback()); });
    return response.Wait();
  }
  size_t known_nodes() {
    return loop_.Run([&] { return dht_->known_nodes(); });
  }
  dht::Dht& dht() { return *dht_; }
  TestNode& node() { return node_; }

 private:
  Loop& loop_;
  TestNode node_;
  std::unique_ptr<storage::Store> store_ = storage::NewMemoryStore();
  std::unique_ptr<DhtNetwork> network_;
  std::unique_ptr<dht::Dht> dht_;
};

// Three honest nodes, and one that answers pings, so that it gets into their tables, and everything else as a test
// says.
class HostileDhtPeerTest : public testing::Test {
 protected:
  using Answer = std::function<void(const std::shared_ptr<Stream>& stream, const dht::Request& request)>;

  void SetUp() override {
    ASSERT_EQ(honest_[0].Start({}), absl::OkStatus());
    const std::string bootstrap = honest_[0].node().address().ToString();
    for (size_t i = 1; i < 3; ++i) ASSERT_EQ(honest_[i].Start({bootstrap}), absl::OkStatus());
    for (HonestNode& node : honest_) {
      ASSERT_TRUE(Eventually(loop_, [&] { return node.dht().known_nodes() == 2; }));
    }
    loop_.Run([&] {
      hostile_.node().Serve(dht::kProtocolId, [this](const std::shared_ptr<Stream>& stream) {
        ReadMessage(stream, dht::kMaxDhtMessage,
                    [this, stream](const absl::StatusOr<std::string>& message, const auto&) {
                      const auto request = message.ok() ? dht::DecodeRequest(*message) : message.status();
                      if (!request.ok() || !answer_) return;
                      if (!std::holds_alternative<dht::PingCall>(request->call)) return answer_(stream, *request);
                      Respond(stream, dht::EncodeResponse({dht::PingAnswer{}}));
                    });
      });
    });
  }
  void TearDown() override {
    loop_.Run([&] {
      held_.clear();
      answer_ = nullptr;
      later_.reset();
    });
  }

  // A tenth of a deadline for each byte.
  void Drip(const std::shared_ptr<Stream>& stream, const std::string& bytes) {
    if (bytes.empty()) return;
    stream->Write(bytes.substr(0, 1), [this, stream, rest = bytes.substr(1)](const absl::Status& written) {
      if (written.ok() && later_) later_->RunAfter(kCallTimeout / 10, [this, stream, rest] { Drip(stream, rest); });
    });
  }
  static void Respond(const std::shared_ptr<Stream>& stream, const std::string& bytes) {
    WriteMessage(stream, bytes, [stream](const absl::Status&) { stream->CloseWrite(); });
  }
  // What the hostile node does about every question.
  void Answers(Answer answer) {
    loop_.Run([&] { answer_ = std::move(answer); });
  }
  void AnswerWith(const std::string& bytes) {
    Answers([bytes](const std::shared_ptr<Stream>& stream, const dht::Request&) { Respond(stream, bytes); });
  }

  // What asking the hostile node itself comes to.
  absl::Status AskHostile() {
    const dht::Request request{ContactOf(honest_[0].node()), dht::FindNodeCall{dht::Id()}};
    return honest_[0].Ask(ContactOf(hostile_), request).status();
  }

  // Lets it into the tables of the honest nodes, and stores and finds with it there.
  void ExpectTheOthersGoOn() {
    const dht::Contact contact = ContactOf(hostile_);
    for (HonestNode& node : honest_) {
      loop_.Run([&] { node.dht().AddContact(contact); });
      ASSERT_TRUE(Eventually(loop_, [&] { return node.dht().known_nodes() == 3; }));
    }
    const auto agent = crypto::SigningKey::Generate(random_);
    const std::string statement = *identity::SignRevocation(agent, "a test", absl::Now());
    Outcome<absl::StatusOr<dht::PutResult>> put;
    loop_.Run([&] { honest_[1].dht().Put(dht::ValueKind::kRevocation, {statement, ""}, put.Callback()); });
    const auto stored = put.Wait();
    ASSERT_EQ(stored.status(), absl::OkStatus());
    EXPECT_GE(stored->stored_by.size(), 3U);
    const auto key = dht::Id::FromBytes(identity::RevocationKey(identity::AgentId::FromFirstKey(agent.public_key())));
    for (HonestNode& node : honest_) {
      Outcome<absl::StatusOr<dht::GetResult>> get;
      loop_.Run([&] { node.dht().Get(*key, dht::ValueKind::kRevocation, get.Callback()); });
      const auto found = get.Wait();
      ASSERT_EQ(found.status(), absl::OkStatus());
      EXPECT_EQ(found->item.bytes, statement);
      EXPECT_LE(node.known_nodes(), 3U) << "none of what it told of";
    }
  }

  Loop loop_;
  SystemRandom random_;
  std::unique_ptr<Later> later_ = std::make_unique<Later>(loop_.executor());
  HonestNode honest_[3] = {HonestNode(loop_), HonestNode(loop_), HonestNode(loop_)};
  TestNode hostile_{loop_};
  Answer answer_;
  std::vector<std::shared_ptr<Stream>> held_;
};

TEST_F(HostileDhtPeerTest, TenThousandNodesAreRefusedByTheirNumber) {
  dht::v1::DhtResponse many;
  for (int i = 0; i < 10'000; ++i) many.mutable_nodes()->add_nodes();
  ASSERT_LE(many.ByteSizeLong(), dht::kMaxDhtMessage);
  AnswerWith(many.SerializeAsString());
  const absl::Status status = AskHostile();
  EXPECT_EQ(ReasonOf(status), reason::kProtocol);
  EXPECT_THAT(std::string(status.message()), HasSubstr("10000 contacts"));
  ExpectTheOthersGoOn();
}

TEST_F(HostileDhtPeerTest, TenThousandRealNodesAreRefusedByTheirSize) {
  dht::v1::DhtResponse many;
  for (int i = 0; i < 10'000; ++i) {
    dht::v1::Contact* contact = many.mutable_nodes()->add_nodes();
    contact->set_public_key(random_.Bytes(crypto::kPublicKeySize));
    contact->add_addresses(absl::StrCat("/ip4/127.0.0.1/tcp/", 1 + i));
  }
  ASSERT_GT(many.ByteSizeLong(), dht::kMaxDhtMessage);
  AnswerWith(many.SerializeAsString());
  EXPECT_EQ(ReasonOf(AskHostile()), reason::kTooLarge);
  ExpectTheOthersGoOn();
}

TEST_F(HostileDhtPeerTest, AnAnswerThatNeverComesEndsAtTheDeadline) {
  Answers([this](const std::shared_ptr<Stream>& stream, const dht::Request&) { held_.push_back(stream); });
  EXPECT_EQ(AskHostile().message(), "no answer within 1s");
  ExpectTheOthersGoOn();
}

// The whole answer would take many deadlines.
TEST_F(HostileDhtPeerTest, AnAnswerThatComesByteByByteGetsNoMoreTime) {
  const std::string answer =
      WithLength(dht::EncodeResponse({dht::NodesAnswer{{ContactOf(hostile_), ContactOf(hostile_)}}}));
  ASSERT_GT(answer.size(), 100U);
  Answers([this, answer](const std::shared_ptr<Stream>& stream, const dht::Request&) { Drip(stream, answer); });
  EXPECT_EQ(AskHostile().message(), "no answer within 1s");
  ExpectTheOthersGoOn();
}

TEST_F(HostileDhtPeerTest, OnlyItselfAndTheAsker) {
  AnswerWith(dht::EncodeResponse(
      {dht::NodesAnswer{{ContactOf(hostile_), ContactOf(honest_[0].node()), ContactOf(hostile_)}}}));
  EXPECT_EQ(AskHostile(), absl::OkStatus());
  ExpectTheOthersGoOn();
}

TEST_F(HostileDhtPeerTest, AddressesThatLeadNowhere) {
  std::vector<dht::Contact> nodes;
  for (const char* address : {"/ip4/0.0.0.0/tcp/1", "/ip4/127.0.0.1/tcp/1", "/ip4/255.255.255.255/tcp/1",
                              "/ip4/224.0.0.1/tcp/4001", "/ip4/192.0.2.1/tcp/4001", "/ip6/::/tcp/1",
                              "/ip6/100::1/tcp/1", "/dns4/nobody.invalid/tcp/1", "/unix/tmp", "no-address"}) {
    const auto key = crypto::SigningKey::Generate(random_).public_key();
    nodes.push_back({dht::Id::OfNode(key), key, {address}});
  }
  AnswerWith(dht::EncodeResponse({dht::NodesAnswer{nodes}}));
  EXPECT_EQ(AskHostile(), absl::OkStatus());
  ExpectTheOthersGoOn();
}

// An id is the hash of a key that the node at the address has to prove: others' addresses under keys of one's own, and
// others' keys under one's own address, come to nothing, and so does a key that is none.
TEST_F(HostileDhtPeerTest, ForgedIds) {
  std::vector<dht::Contact> nodes;
  for (HonestNode& node : honest_) {
    const auto key = crypto::SigningKey::Generate(random_).public_key();
    nodes.push_back({dht::Id::OfNode(key), key, {node.node().address().Transport()}});
  }
  nodes.push_back({dht::Id::OfNode(nodes[0].key), nodes[0].key, {hostile_.address().Transport()}});
  const auto no_point = crypto::PublicKey::FromUncheckedBytes(std::string(crypto::kPublicKeySize, '\xff'));
  nodes.push_back({dht::Id::OfNode(*no_point), *no_point, {hostile_.address().Transport()}});
  AnswerWith(dht::EncodeResponse({dht::NodesAnswer{nodes}}));
  EXPECT_EQ(AskHostile(), absl::OkStatus());
  ExpectTheOthersGoOn();
  for (const dht::Contact& forged : nodes) {
    EXPECT_FALSE(honest_[0].Ask(forged, {ContactOf(honest_[0].node()), dht::PingCall{}}).ok());
  }
}

}  // namespace
}  // namespace dotagent::p2p
