// The relay whole, with real sockets for its circuits.
#include "services/relay/relay.h"

#include <gtest/gtest.h>

#include <asio/ip/tcp.hpp>
#include <asio/read.hpp>
#include <asio/write.hpp>
#include <chrono>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace dotagent::relay_service {
namespace {

using asio::ip::tcp;

class RelayTest : public testing::Test {
 protected:
  RelayTest() { Make({}); }

  void Make(const Limits& limits) {
    relay_ = std::make_unique<Relay>(
        Relay::Parts{.limits = limits,
                     .is_revoked = [this](const crypto::PublicKey& key) { return revoked_.contains(key); },
                     .tap = [this](absl::string_view bytes) { tapped_ += std::string(bytes); },
                     .clock = clock_,
                     .random = random_,
                     .metrics = metrics_});
  }

  crypto::PublicKey Key() { return crypto::SigningKey::Generate(random_).public_key(); }

  // Bob reserves; what he is told lands in `incoming_` and `ended_`.
  [[nodiscard]] absl::StatusOr<Relay::Reserved> Reserve() {
    return relay_->Reserve(bob_, {.incoming =
                                      [this](const relay::v1::Incoming& incoming) {
                                        incoming_.push_back(incoming);
                                        return holder_keeps_up_;
                                      },
                                  .ended = [this](const absl::Status& why) { ended_ = why; }});
  }

  // A connection to the relay that claims `voucher`; returns the claimant's end.
  tcp::socket Claim(const std::string& voucher) {
    tcp::acceptor acceptor(context_, tcp::endpoint(asio::ip::address_v4::loopback(), 0));
    tcp::socket claimant(context_);
    claimant.connect(acceptor.local_endpoint());
    relay_->Claim(p2p::CircuitSocket(acceptor.accept(), "", nullptr), voucher);
    return claimant;
  }

  // Runs the loop until `socket` has delivered `size` bytes or its end.
  std::string Read(tcp::socket& socket, size_t size) {
    std::string bytes(size, '\0');
    std::optional<size_t> got;
    asio::async_read(socket, asio::buffer(bytes), [&](const asio::error_code&, size_t n) { got = n; });
    RunUntil([&] { return got.has_value(); });
    bytes.resize(got.value_or(0));
    return bytes;
  }

  template <typename Condition>
  void RunUntil(const Condition& condition) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!condition()) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline);
      context_.restart();
      context_.run_one_for(std::chrono::milliseconds(100));
    }
  }

  [[nodiscard]] double Dropped(const std::string& cause) {
    return metrics_.AddCounter("dotagent_relay_dropped_total", "", {{"cause", cause}}).Value();
  }

  asio::io_context context_;
  SimulatedClock clock_{absl::FromUnixSeconds(1'800'000'000)};
  SeededRandom random_{9};
  telemetry::Metrics metrics_;
  std::set<crypto::PublicKey> revoked_;
  std::string tapped_;
  crypto::PublicKey alice_ = Key();
  crypto::PublicKey bob_ = Key();
  std::vector<relay::v1::Incoming> incoming_;
  std::optional<absl::Status> ended_;
  bool holder_keeps_up_ = true;
  std::unique_ptr<Relay> relay_;
};

TEST_F(RelayTest, JoinsTheTwoWhoHoldTheVouchers) {
  const auto reserved = Reserve();
  ASSERT_TRUE(reserved.ok()) << reserved.status();
  EXPECT_EQ(reserved->event.expires_at_ms(), absl::ToUnixMillis(clock_.Now() + absl::Hours(1)));
  const auto ready = relay_->Connect(alice_, bob_.bytes());
  ASSERT_TRUE(ready.ok()) << ready.status();
  ASSERT_EQ(incoming_.size(), 1u);
  EXPECT_EQ(incoming_[0].caller(), alice_.bytes());

  tcp::socket alice = Claim(ready->voucher());
  tcp::socket bob = Claim(incoming_[0].voucher());
  EXPECT_EQ(Read(alice, 1), std::string(1, p2p::kCircuitJoined));
  EXPECT_EQ(Read(bob, 1), std::string(1, p2p::kCircuitJoined));
  asio::write(alice, asio::buffer(std::string("sealed bytes")));
  EXPECT_EQ(Read(bob, 12), "sealed bytes");
  EXPECT_EQ(tapped_, "sealed bytes");
  EXPECT_EQ(relay_->relayed_bytes(), 12u);
  EXPECT_EQ(relay_->circuits(), 1u);

  alice.close();
  EXPECT_EQ(Read(bob, 1), "");
  bob.close();
  RunUntil([&] { return relay_->circuits() == 0; });
}

TEST_F(RelayTest, AVoucherIsGoodOnceAndStrangersAreRefused) {
  ASSERT_TRUE(Reserve().ok());
  const auto ready = relay_->Connect(alice_, bob_.bytes());
  ASSERT_TRUE(ready.ok());
  tcp::socket first = Claim(ready->voucher());
  tcp::socket second = Claim(ready->voucher());
  EXPECT_EQ(Read(second, 1), std::string(1, p2p::kCircuitRefused));
  tcp::socket stranger = Claim(std::string(p2p::kVoucherSize, 'x'));
  EXPECT_EQ(Read(stranger, 1), std::string(1, p2p::kCircuitRefused));
  EXPECT_EQ(Dropped("bad_voucher"), 2);
}

TEST_F(RelayTest, AnEndThatNobodyMeetsIsRefusedInTheEnd) {
  ASSERT_TRUE(Reserve().ok());
  const auto ready = relay_->Connect(alice_, bob_.bytes());
  tcp::socket alice = Claim(ready->voucher());
  clock_.Advance(kVoucherLifetime);
  relay_->Tick();
  EXPECT_EQ(Read(alice, 1), std::string(1, p2p::kCircuitRefused));
  EXPECT_EQ(relay_->circuits(), 0u);
  EXPECT_EQ(Dropped("unclaimed"), 1);
}

TEST_F(RelayTest, RefusesCallsThatCannotBe) {
  const auto nobody = relay_->Connect(alice_, bob_.bytes());
  EXPECT_TRUE(absl::IsNotFound(nobody.status()));
  EXPECT_EQ(ReasonOf(nobody.status()), reason::kNoReservation);
  EXPECT_EQ(Dropped("no_reservation"), 1);
  EXPECT_TRUE(absl::IsInvalidArgument(relay_->Connect(alice_, "short").status()));
  ASSERT_TRUE(Reserve().ok());
  holder_keeps_up_ = false;
  EXPECT_TRUE(absl::IsResourceExhausted(relay_->Connect(alice_, bob_.bytes()).status()));
  EXPECT_EQ(Dropped("holder_busy"), 1);
  EXPECT_EQ(relay_->circuits(), 0u);
}

TEST_F(RelayTest, EnforcesItsLimitsAndCountsEachDrop) {
  Make({.max_reservations = 1, .circuits = {.max_circuits = 8, .max_per_peer = 1}});
  ASSERT_TRUE(Reserve().ok());
  EXPECT_TRUE(absl::IsResourceExhausted(relay_->Reserve(alice_, {}).status()));
  EXPECT_EQ(Dropped("reservation_limit"), 1);
  ASSERT_TRUE(relay_->Connect(alice_, bob_.bytes()).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(relay_->Connect(Key(), bob_.bytes()).status()));
  EXPECT_EQ(Dropped("circuit_limit"), 1);
}

TEST_F(RelayTest, CutsACircuitThatCarriesTooMuch) {
  Make({.circuit = {.max_bytes = 1000}});
  ASSERT_TRUE(Reserve().ok());
  const auto ready = relay_->Connect(alice_, bob_.bytes());
  tcp::socket alice = Claim(ready->voucher());
  tcp::socket bob = Claim(incoming_[0].voucher());
  asio::write(alice, asio::buffer(std::string(2000, 'x')));
  EXPECT_LE(Read(bob, 2001).size(), 1001u);
  RunUntil([&] { return relay_->circuits() == 0; });
  EXPECT_EQ(Dropped("byte_limit"), 1);
}

TEST_F(RelayTest, CutsACircuitThatStaysOpenTooLong) {
  Make({.circuit = {.max_time = absl::Milliseconds(20)}});
  ASSERT_TRUE(Reserve().ok());
  const auto ready = relay_->Connect(alice_, bob_.bytes());
  tcp::socket alice = Claim(ready->voucher());
  tcp::socket bob = Claim(incoming_[0].voucher());
  EXPECT_LE(Read(bob, 2).size(), 1u);
  RunUntil([&] { return relay_->circuits() == 0; });
  EXPECT_EQ(Dropped("time_limit"), 1);
}

TEST_F(RelayTest, ARevokedKeyLosesReservationAndCircuits) {
  ASSERT_TRUE(Reserve().ok());
  const auto ready = relay_->Connect(alice_, bob_.bytes());
  tcp::socket alice = Claim(ready->voucher());
  tcp::socket bob = Claim(incoming_[0].voucher());
  EXPECT_EQ(Read(alice, 1), std::string(1, p2p::kCircuitJoined));
  const auto waiting = relay_->Connect(alice_, bob_.bytes());
  tcp::socket early = Claim(waiting->voucher());

  revoked_.insert(bob_);
  relay_->OnRevoked(bob_);
  EXPECT_EQ(Read(alice, 1), "");
  EXPECT_EQ(Read(early, 1), std::string(1, p2p::kCircuitRefused));
  EXPECT_EQ(relay_->circuits(), 0u);
  EXPECT_EQ(relay_->reservations(), 0u);
  ASSERT_TRUE(ended_);
  EXPECT_EQ(ReasonOf(*ended_), reason::kKeyRevoked);
  EXPECT_EQ(ReasonOf(Reserve().status()), reason::kKeyRevoked);
  EXPECT_EQ(ReasonOf(relay_->Connect(alice_, bob_.bytes()).status()), reason::kKeyRevoked);
}

TEST_F(RelayTest, DrainEndsReservations) {
  ASSERT_TRUE(Reserve().ok());
  bool idle = false;
  relay_->Drain([&] { idle = true; });
  ASSERT_TRUE(ended_);
  EXPECT_TRUE(absl::IsUnavailable(*ended_));
  EXPECT_TRUE(idle) << "no circuit is open";
  EXPECT_EQ(ReasonOf(Reserve().status()), reason::kUnreachable);
  EXPECT_EQ(ReasonOf(relay_->Connect(alice_, bob_.bytes()).status()), reason::kNoReservation);
}

TEST_F(RelayTest, DrainLetsCircuitsFinish) {
  ASSERT_TRUE(Reserve().ok());
  const auto ready = relay_->Connect(alice_, bob_.bytes());
  ASSERT_TRUE(ready.ok());
  tcp::socket alice = Claim(ready->voucher());
  int idle = 0;
  relay_->Drain([&] { ++idle; });
  tcp::socket bob = Claim(incoming_[0].voucher());
  EXPECT_EQ(Read(alice, 1), std::string(1, p2p::kCircuitJoined));
  EXPECT_EQ(Read(bob, 1), std::string(1, p2p::kCircuitJoined));
  asio::write(alice, asio::buffer(std::string("last words")));
  EXPECT_EQ(Read(bob, 10), "last words");
  EXPECT_EQ(idle, 0);
  alice.close();
  bob.close();
  RunUntil([&] { return idle == 1; });
  EXPECT_EQ(relay_->circuits(), 0u);
}

}  // namespace
}  // namespace dotagent::relay_service
