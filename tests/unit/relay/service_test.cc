// The relay as it runs: nodes at its public port, a circuit between two of them, and identity's word for who is
// revoked.
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <memory>
#include <string>

#include "absl/time/clock.h"
#include "services/relay/relay_service.h"
#include "tests/unit/host/fake_identity.h"
#include "tests/unit/p2p/fixtures.h"

namespace dotagent::relay_service {
namespace {

class RelayServiceTest : public testing::Test {
 protected:
  RelayServiceTest() {
    std::string folder = testing::TempDir() + "/relay_service_XXXXXX";
    EXPECT_NE(mkdtemp(folder.data()), nullptr);
    folder_ = folder;
  }
  ~RelayServiceTest() override {
    loop_.Run([&] {
      accepted_ = nullptr;
      stream_ = nullptr;
    });
    service_.reset();
    std::filesystem::remove_all(folder_);
  }

  // The caller has a stream to the callee, by way of the relay.
  void SetUp() override {
    Options options;
    options.host = {.data_dir = folder_, .drain_grace = absl::Seconds(1)};
    options.identity = identity_.address();
    auto service = Start(options);
    ASSERT_TRUE(service.ok()) << service.status();
    service_ = *std::move(service);
    const auto relay = p2p::Multiaddr::Parse(service_->host().p2p_addresses().at(0));
    ASSERT_TRUE(relay.ok()) << relay.status();
    relay_ = *relay;
    loop_.Run([&] {
      callee_.node().Serve("/test/hold/1", [this](std::shared_ptr<p2p::Stream> stream) {
        accepted_ = std::move(stream);
        accepted_->Read(1, callees_read_.Callback());
      });
      callee_.node().HoldReservation(relay_, [this](bool held) { held_ = held; });
    });
    ASSERT_TRUE(p2p::Eventually(loop_, [&] { return held_; }));
    p2p::Multiaddr circuit = relay_;
    circuit.relay = relay_.peer;
    circuit.peer = callee_.key();
    const auto stream = caller_.Open({callee_.key(), {circuit}}, "/test/hold/1");
    ASSERT_TRUE(stream.ok()) << stream.status();
    stream_ = *stream;
    ASSERT_EQ(caller_.PathTo(callee_.key()), p2p::PathKind::kRelayed);
    ASSERT_TRUE(p2p::Eventually(loop_, [&] { return accepted_ != nullptr; }));
    loop_.Run([&] { stream_->Read(1, callers_read_.Callback()); });
  }

  // Through identity's stream, as in a deployment.
  void ExpectRevocationEndsTheCircuit(p2p::TestNode& revoked) {
    telemetry::Metrics& metrics = service_->host().metrics();
    telemetry::Counter& dropped = metrics.AddCounter("dotagent_relay_dropped_total", "", {{"cause", "revoked"}});
    telemetry::Counter& refused = metrics.AddCounter("dotagent_p2p_refused_total", "", {{"cause", "key"}});
    ASSERT_EQ(dropped.Value(), 0);
    identity_.Append(identity::SignRevocation(revoked.signer(), "stolen", absl::Now()).value());
    EXPECT_EQ(callers_read_.Wait().status().code(), absl::StatusCode::kUnavailable);
    EXPECT_EQ(callees_read_.Wait().status().code(), absl::StatusCode::kUnavailable);
    EXPECT_EQ(dropped.Value(), 1);
    // It loses its session with the relay too, and gets no other.
    EXPECT_TRUE(p2p::Eventually(loop_, [&] { return !revoked.node().PathTo(*relay_.peer).has_value(); }));
    (void)revoked.Connect({relay_.peer, {relay_}});
    EXPECT_TRUE(p2p::Eventually(loop_, [&] { return refused.Value() >= 1; }));
    const auto session = [&] { return service_->host().node().PathTo(revoked.key()).has_value(); };
    EXPECT_FALSE(service_->host().loop().Run(session));
    EXPECT_EQ(dropped.Value(), 1) << "it does not come as far as to ask for another";
  }

  host::FakeIdentity identity_;
  std::string folder_;
  std::unique_ptr<host::Service> service_;
  p2p::Multiaddr relay_;
  p2p::Loop loop_;
  p2p::Outcome<absl::StatusOr<std::string>> callers_read_;
  p2p::Outcome<absl::StatusOr<std::string>> callees_read_;
  bool held_ = false;
  std::shared_ptr<p2p::Stream> accepted_;
  std::shared_ptr<p2p::Stream> stream_;
  p2p::TestNode caller_{loop_};
  p2p::TestNode callee_{loop_, [](p2p::NodeOptions& options) { options.listen = ""; }};
};

TEST_F(RelayServiceTest, ARevokedCalleesCircuitIsClosedAndCounted) { ExpectRevocationEndsTheCircuit(callee_); }

TEST_F(RelayServiceTest, ARevokedCallersCircuitIsClosedAndCounted) { ExpectRevocationEndsTheCircuit(caller_); }

}  // namespace
}  // namespace dotagent::relay_service
