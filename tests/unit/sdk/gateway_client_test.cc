#include "sdk/cpp/gateway_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "common/base/clock.h"
#include "common/base/status.h"
#include "tests/unit/sdk/fake_gateway.h"
#include "tests/unit/sdk/samples.h"

namespace dotagent::sdk {
namespace {

using ::testing::HasSubstr;

absl::StatusOr<std::shared_ptr<GatewayClient>> ConnectTo(const FakeGateway& gateway, bool plaintext = true) {
  return GatewayClient::Connect({.gateway = gateway.address(), .plaintext = plaintext, .timeout = kPatience},
                                std::make_shared<const crypto::SigningKey>(KeyFromSeed(1)));
}

TEST(GatewayClientTest, ProvesItselfAndLearnsTheGatewaysKey) {
  FakeGateway gateway;
  const auto client = ConnectTo(gateway);
  ASSERT_TRUE(client.ok()) << client.status();
  EXPECT_EQ((*client)->gateway_key(), gateway.key().public_key());
  EXPECT_EQ(gateway.Count("Authenticate"), 1);
}

TEST(GatewayClientTest, LearnsWhatTheGatewaySpeaks) {
  FakeGateway gateway;
  const auto client = ConnectTo(gateway);
  ASSERT_TRUE(client.ok()) << client.status();
  EXPECT_EQ((*client)->spoken().version(), "1.0.0");
  EXPECT_EQ((*client)->Require("topics"), absl::OkStatus());
  const absl::Status missing = (*client)->Require("telepathy");
  EXPECT_EQ(missing.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(ReasonOf(missing), reason::kVersion);
  EXPECT_THAT(std::string(missing.message()), HasSubstr("telepathy"));
}

TEST(GatewayClientTest, AGatewayOfAnotherVersionIsRefusedBeforeTheKeyIsProved) {
  FakeGateway gateway;
  const auto refused = [&] {
    const absl::Status status = ConnectTo(gateway).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
    EXPECT_EQ(ReasonOf(status), reason::kVersion);
    EXPECT_THAT(std::string(status.message()), HasSubstr(gateway.address()));
    EXPECT_EQ(gateway.Count("Authenticate"), 0);
    return std::string(status.message());
  };
  gateway.Refuse("Negotiate", ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kVersion, "only 2.0.0"));
  EXPECT_THAT(refused(), HasSubstr("only 2.0.0"));
  gateway.Refuse("Negotiate", absl::UnimplementedError(""));  // as one that has no such method
  EXPECT_THAT(refused(), HasSubstr("does not negotiate"));
  gateway.Refuse("Negotiate", absl::OkStatus());
  gateway::v1::NegotiateResponse other;
  other.set_version("2.0.0");
  gateway.Speak(other);
  EXPECT_THAT(refused(), HasSubstr("not offered"));
}

TEST(GatewayClientTest, OverTlsTheChallengeIsBoundToTheCertificate) {
  const SystemClock clock{};
  const crypto::SigningKey other = KeyFromSeed(2);
  const auto certificate = identity::MakeNodeCertificate(other, {}, clock.Now());
  ASSERT_TRUE(certificate.ok()) << certificate.status();
  // Its certificate proves another key than the one that it signs challenges with.
  FakeGateway gateway(&*certificate);
  const absl::Status status = ConnectTo(gateway, /*plaintext=*/false).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnauthenticated) << status;
  EXPECT_EQ(ReasonOf(status), reason::kKeyMismatch);
  EXPECT_EQ(gateway.Count("Authenticate"), 0);
}

TEST(GatewayClientTest, AGatewayThatCannotProveItselfGetsNoSignature) {
  FakeGateway gateway;
  gateway.ForgeChallenges();
  const absl::Status status = ConnectTo(gateway).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnauthenticated);
  EXPECT_EQ(ReasonOf(status), reason::kBadSignature);
  EXPECT_EQ(gateway.Count("Authenticate"), 0);
}

TEST(GatewayClientTest, ARevokedKeyIsToldSo) {
  FakeGateway gateway;
  gateway.Refuse("Authenticate", ErrorWithReason(absl::StatusCode::kPermissionDenied, reason::kKeyRevoked, "revoked"));
  const absl::Status status = ConnectTo(gateway).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(ReasonOf(status), reason::kKeyRevoked);
}

TEST(GatewayClientTest, NobodyThereIsUnreachable) {
  std::string address;
  {
    FakeGateway gateway;
    address = gateway.address();
  }
  const absl::Status status =
      GatewayClient::Connect({.gateway = address, .plaintext = true, .timeout = absl::Milliseconds(300)},
                             std::make_shared<const crypto::SigningKey>(KeyFromSeed(1)))
          .status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ReasonOf(status), reason::kUnreachable);
  EXPECT_THAT(status.message(), HasSubstr(address));
}

TEST(GatewayClientTest, RefusalsKeepCodeReasonAndMessageAndAreNotRepeated) {
  FakeGateway gateway;
  const crypto::SigningKey key = KeyFromSeed(1);
  const auto agent = gateway.Connect("alice.agent", key);
  for (const absl::Status& refusal :
       {ErrorWithReason(absl::StatusCode::kPermissionDenied, reason::kKeyRevoked, "the key of bob.agent is revoked"),
        ErrorWithReason(absl::StatusCode::kUnavailable, reason::kNotBootstrapped, "no node answered"),
        ErrorWithReason(absl::StatusCode::kResourceExhausted, reason::kLimit, "slower"),
        ErrorWithReason(absl::StatusCode::kUnauthenticated, reason::kKeyMismatch, "another key")}) {
    const int before = gateway.Count("Resolve");
    gateway.Refuse("Resolve", refusal);
    const absl::Status status = agent->Resolve("bob.agent").status();
    EXPECT_EQ(status.code(), refusal.code());
    EXPECT_EQ(ReasonOf(status), ReasonOf(refusal));
    EXPECT_EQ(status.message(), refusal.message());
    EXPECT_EQ(gateway.Count("Resolve"), before + 1);
  }
  EXPECT_EQ(gateway.Count("Authenticate"), 1);
}

TEST(GatewayClientTest, ALapsedTokenIsRenewedOnce) {
  FakeGateway gateway;
  const crypto::SigningKey key = KeyFromSeed(1);
  gateway.AddRecord(SignedRecord(key, "alice.agent"));
  const auto agent = gateway.Connect("alice.agent", key);
  ASSERT_TRUE(agent->Resolve("alice.agent").ok());
  EXPECT_EQ(gateway.Count("Authenticate"), 1);

  gateway.ForgetTokens();
  const auto again = agent->Resolve("alice.agent");
  EXPECT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(gateway.Count("Authenticate"), 2);

  // A gateway that never knows the token is not asked for ever.
  gateway.Refuse("Resolve", ErrorWithReason(absl::StatusCode::kUnauthenticated, reason::kNotAuthenticated, "who?"));
  const int before = gateway.Count("Resolve");
  EXPECT_EQ(ReasonOf(agent->Resolve("alice.agent").status()), reason::kNotAuthenticated);
  EXPECT_EQ(gateway.Count("Resolve"), before + 2);

  // Revoked in the meantime: that is what the caller hears.
  gateway.Refuse("Authenticate", ErrorWithReason(absl::StatusCode::kPermissionDenied, reason::kKeyRevoked, "revoked"));
  EXPECT_EQ(ReasonOf(agent->Resolve("alice.agent").status()), reason::kKeyRevoked);
}

TEST(AgentTest, BelievesNoGateway) {
  FakeGateway gateway;
  const crypto::SigningKey key = KeyFromSeed(1);
  const auto agent = gateway.Connect("alice.agent", key);
  gateway.AddRecord(SignedRecord(key, "mallory.agent"), "bob.agent");
  const absl::Status status = agent->Resolve("bob.agent").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(ReasonOf(status), reason::kBadRecord);
  EXPECT_EQ(ReasonOf(agent->Resolve("bob.example").status()), reason::kBadName);
}

TEST(AgentTest, RegistersARecordWithTheGatewaysAddresses) {
  FakeGateway gateway;
  const crypto::SigningKey key = KeyFromSeed(1);
  const auto agent = gateway.Connect("Alice.Agent", key);
  const auto registered = agent->Register({.extra_addresses = {"/ip4/192.0.2.9/tcp/9"}});
  ASSERT_TRUE(registered.ok()) << registered.status();
  const auto resolved = agent->Resolve("alice.agent");
  ASSERT_TRUE(resolved.ok()) << resolved.status();
  EXPECT_EQ(resolved->record.public_key(), key.public_key());
  EXPECT_THAT(resolved->record.addresses(), testing::ElementsAre("/ip4/192.0.2.1/tcp/4001", "/ip4/192.0.2.9/tcp/9"));

  const auto nameless = gateway.Connect("", key);
  EXPECT_EQ(ReasonOf(nameless->Register({}).status()), reason::kBadName);
}

}  // namespace
}  // namespace dotagent::sdk
