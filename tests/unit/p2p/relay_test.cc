// Relayed paths end to end, through a relay that is as small as one can be: no limits, no expiry.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "common/base/status.h"
#include "common/p2p/circuit.h"
#include "common/p2p/relay_client.h"
#include "common/p2p/splice.h"
#include "dotagent/relay/v1/control.pb.h"
#include "tests/unit/p2p/fixtures.h"

namespace dotagent::p2p {
namespace {

using relay::v1::ControlEvent;
using relay::v1::ControlRequest;
using testing::HasSubstr;

void Send(const std::shared_ptr<Stream>& stream, const ControlEvent& event) {
  WriteMessage(stream, event.SerializeAsString(), [](const absl::Status&) {});
}

// A relay on a TestNode.
class SmallRelay {
 public:
  SmallRelay(Loop& loop, absl::Duration lifetime = absl::Hours(1))
      : loop_(loop), lifetime_(lifetime), node_(std::make_unique<TestNode>(loop)) {
    loop_.Run([&] {
      node_->node().Serve(kRelayProtocolId, [this](const std::shared_ptr<Stream>& stream) { OnControl(stream); });
      node_->node().ServeCircuits(
          [this](CircuitSocket socket, const std::string& voucher) { OnCircuit(std::move(socket), voucher); });
    });
  }
  ~SmallRelay() {
    loop_.Run([&] {
      for (const auto& splice : splices_) splice->Cancel();
      waiting_.clear();
      reservations_.clear();
    });
  }

  TestNode& node() { return *node_; }
  Multiaddr address() {
    Multiaddr address = node_->address();
    address.peer = node_->key();
    return address;
  }
  Multiaddr AddressOf(const TestNode& target) {
    Multiaddr address = node_->address();
    address.relay = node_->key();
    address.peer = target.key();
    return address;
  }
  // Only on the loop.
  std::string carried;
  int reserved = 0;
  void DropReservations() { reservations_.clear(); }
  bool mute = false;                               // gives out vouchers that it then does not know
  std::optional<crypto::PublicKey> misdirects_to;  // sends every caller to this node

 private:
  void OnControl(const std::shared_ptr<Stream>& stream) {
    ReadMessage(stream, kMaxControlMessage, [this, stream](absl::StatusOr<std::string> bytes, const std::string&) {
      ControlRequest request;
      if (!bytes.ok() || !request.ParseFromString(*bytes)) return;
      if (request.has_reserve()) {
        reservations_[stream->peer()] = stream;
        ++reserved;
        ControlEvent event;
        event.mutable_reserved()->set_expires_at_ms(absl::ToUnixMillis(node_->clock().Now() + lifetime_));
        return Send(stream, event);
      }
      Connect(stream, *crypto::PublicKey::FromBytes(request.connect().target()));
      stream->CloseWrite();
    });
  }
  void Connect(const std::shared_ptr<Stream>& caller, const crypto::PublicKey& target) {
    ControlEvent answer;
    const auto holder = reservations_.find(misdirects_to.value_or(target));
    if (holder == reservations_.end()) {
      answer.mutable_refused()->set_code(static_cast<int>(absl::StatusCode::kNotFound));
      answer.mutable_refused()->set_message("no reservation");
      answer.mutable_refused()->set_reason(std::string(reason::kNoReservation));
      return Send(caller, answer);
    }
    const std::string for_caller = node_->random().Bytes(kVoucherSize);
    const std::string for_target = node_->random().Bytes(kVoucherSize);
    if (!mute) {
      pairs_[for_caller] = for_target;
      pairs_[for_target] = for_caller;
    }
    ControlEvent incoming;
    incoming.mutable_incoming()->set_voucher(for_target);
    incoming.mutable_incoming()->set_caller(std::string(caller->peer().bytes()));
    Send(holder->second, incoming);
    answer.mutable_ready()->set_voucher(for_caller);
    Send(caller, answer);
  }
  void OnCircuit(CircuitSocket socket, const std::string& voucher) {
    const auto pair = pairs_.find(voucher);
    if (pair == pairs_.end()) return socket.Refuse();
    const auto other = waiting_.find(pair->second);
    if (other == waiting_.end()) {
      waiting_.emplace(voucher, std::move(socket));
      return;
    }
    splices_.push_back(Splice(
        std::move(other->second), std::move(socket), {},
        [this](absl::string_view piece) { carried += std::string(piece); }, [](const absl::Status&, uint64_t) {}));
    waiting_.erase(other);
  }

  Loop& loop_;
  const absl::Duration lifetime_;
  std::map<crypto::PublicKey, std::shared_ptr<Stream>> reservations_;
  std::map<std::string, std::string> pairs_;
  std::map<std::string, CircuitSocket> waiting_;
  std::vector<std::shared_ptr<Operation>> splices_;
  std::unique_ptr<TestNode> node_;
};

// Makes `node` hold a reservation at `relay`, and waits until it does. `news` gets every change.
void Reserve(Loop& loop, TestNode& node, const Multiaddr& relay, std::vector<bool>* news) {
  loop.Run([&] { node.node().HoldReservation(relay, [news](bool held) { news->push_back(held); }); });
  EXPECT_TRUE(Eventually(loop, [&] { return !news->empty() && news->back(); }));
}

TEST(RelayTest, ANodeBehindARelayIsCalledThroughIt) {
  Loop loop;
  std::vector<bool> news;
  SmallRelay relay(loop);
  TestNode caller(loop);
  TestNode hidden(loop, [](NodeOptions& options) { options.listen = ""; });
  hidden.ServeEcho("hidden");
  Reserve(loop, hidden, relay.address(), &news);
  const std::string secret = "a text that the relay must not see";
  EXPECT_EQ(*caller.Call({hidden.key(), {relay.AddressOf(hidden)}}, secret), "hidden:" + secret);
  EXPECT_EQ(caller.PathTo(hidden.key()), PathKind::kRelayed);
  EXPECT_EQ(hidden.PathTo(caller.key()), PathKind::kRelayed);
  EXPECT_EQ(caller.PathTo(relay.node().key()), PathKind::kDirect);
  const std::string carried = loop.Run([&] { return relay.carried; });
  EXPECT_GT(carried.size(), secret.size());
  EXPECT_EQ(carried.find(secret), std::string::npos);
  EXPECT_THAT(caller.metrics().Render(), HasSubstr("dotagent_p2p_dials_total{result=\"relayed\"} 1"));
}

TEST(RelayTest, FallsBackToTheRelayWhenTheDirectPathIsCut) {
  Loop loop;
  std::vector<bool> news;
  SystemRandom random;
  const auto key = crypto::SigningKey::Generate(random);
  SmallRelay relay(loop);
  TestNode caller(loop);
  // One key at two places: the end of the direct path, which can be cut, and the one behind the relay.
  auto in_the_open = std::make_unique<TestNode>(loop, [&](NodeOptions& options) { options.key = &key; });
  TestNode hidden(loop, [&](NodeOptions& options) {
    options.key = &key;
    options.listen = "";
  });
  in_the_open->ServeEcho("direct");
  hidden.ServeEcho("relayed");
  Reserve(loop, hidden, relay.address(), &news);
  const PeerAddress peer{hidden.key(), {relay.AddressOf(hidden), in_the_open->address()}};
  EXPECT_EQ(*caller.Call(peer, "1"), "direct:1");
  in_the_open.reset();
  ASSERT_TRUE(Eventually(loop, [&] { return !caller.node().PathTo(hidden.key()).has_value(); }));
  EXPECT_EQ(*caller.Call(peer, "2"), "relayed:2");
  EXPECT_EQ(caller.PathTo(hidden.key()), PathKind::kRelayed);
}

TEST(RelayTest, PrefersTheDirectPath) {
  Loop loop;
  std::vector<bool> news;
  SmallRelay relay(loop);
  TestNode caller(loop);
  TestNode target(loop);
  target.ServeEcho("target");
  Reserve(loop, target, relay.address(), &news);
  EXPECT_EQ(*caller.Call({target.key(), {relay.AddressOf(target), target.address()}}, "1"), "target:1");
  EXPECT_EQ(caller.PathTo(target.key()), PathKind::kDirect);
}

TEST(RelayTest, ARefusalSaysWhy) {
  Loop loop;
  SmallRelay relay(loop);
  TestNode caller(loop);
  TestNode hidden(loop);
  const absl::Status none = caller.Call({hidden.key(), {relay.AddressOf(hidden)}}, "1").status();
  EXPECT_EQ(none.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(none.message()), HasSubstr("no reservation"));
  std::vector<bool> news;
  Reserve(loop, hidden, relay.address(), &news);
  loop.Run([&] { relay.mute = true; });
  const absl::Status refused = caller.Call({hidden.key(), {relay.AddressOf(hidden)}}, "1").status();
  EXPECT_THAT(std::string(refused.message()), HasSubstr("refused the circuit"));
}

TEST(RelayTest, TheRelayCannotPoseAsThePeer) {
  Loop loop;
  std::vector<bool> news;
  SmallRelay relay(loop);
  TestNode caller(loop);
  TestNode hidden(loop);
  TestNode impostor(loop);
  Reserve(loop, hidden, relay.address(), &news);
  std::vector<bool> impostor_news;
  Reserve(loop, impostor, relay.address(), &impostor_news);
  loop.Run([&] { relay.misdirects_to = impostor.key(); });
  const absl::Status status = caller.Call({hidden.key(), {relay.AddressOf(hidden)}}, "1").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("p2p-circuit"));
  EXPECT_EQ(caller.PathTo(hidden.key()), std::nullopt);
  EXPECT_EQ(caller.PathTo(impostor.key()), std::nullopt);
  EXPECT_GT(loop.Run([&] { return relay.carried.size(); }), 0U) << "they did meet";
}

TEST(RelayTest, AReservationThatIsLostIsMadeAnew) {
  Loop loop;
  std::vector<bool> news;
  SmallRelay relay(loop);
  TestNode hidden(loop);
  Reserve(loop, hidden, relay.address(), &news);
  loop.Run([&] { relay.DropReservations(); });
  EXPECT_TRUE(Eventually(loop, [&] { return news == std::vector<bool>({true, false, true}); }));
  loop.Run([&] { relay.node().node().Drop(hidden.key(), "a test"); });
  EXPECT_TRUE(Eventually(loop, [&] { return news == std::vector<bool>({true, false, true, false, true}); }));
}

TEST(RelayTest, AReservationIsRenewedBeforeItEnds) {
  Loop loop;
  std::vector<bool> news;
  SmallRelay relay(loop, absl::Milliseconds(1500));
  TestNode hidden(loop);
  Reserve(loop, hidden, relay.address(), &news);
  EXPECT_TRUE(Eventually(loop, [&] { return relay.reserved >= 2; }));
  EXPECT_EQ(loop.Run([&] { return news; }), std::vector<bool>({true})) << "never lost in between";
}

TEST(RelayTest, ClaimCircuitTellsWhatWentWrong) {
  Loop loop;
  SmallRelay relay(loop);
  const auto claim = [&](const Multiaddr& address) {
    Outcome<absl::Status> outcome;
    loop.Run([&] {
      (void)ClaimCircuit(
          loop.executor(), address, std::string(kVoucherSize, 'v'),
          [done = outcome.Callback()](const absl::StatusOr<asio::ip::tcp::socket>& socket) { done(socket.status()); });
    });
    return outcome.Wait();
  };
  EXPECT_EQ(claim(relay.address()).code(), absl::StatusCode::kPermissionDenied);
  Multiaddr gone;
  {
    TestNode node(loop);
    gone = node.address();
  }
  EXPECT_EQ(claim(gone).code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace dotagent::p2p
