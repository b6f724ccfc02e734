#include "services/gateway/authenticator.h"

#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/mutex.h"
#include "common/base/status.h"

namespace dotagent::gateway_service {
namespace {

class AuthenticatorTest : public testing::Test {
 protected:
  absl::StatusOr<gateway::v1::ChallengeResponse> Challenge(absl::string_view key, const std::string& nonce) {
    gateway::v1::ChallengeRequest request;
    request.set_public_key(std::string(key));
    request.set_client_nonce(nonce);
    return authenticator_.Challenge(request);
  }

  // The agent's half.
  absl::StatusOr<std::string> Token(const crypto::SigningKey& agent) {
    SystemRandom random;
    const std::string nonce = random.Bytes(32);
    ASSIGN_OR_RETURN(const auto challenge, Challenge(agent.public_key().bytes(), nonce));
    ASSIGN_OR_RETURN(const std::string signature, identity::AnswerChallenge({.purpose = "gateway",
                                                                             .client_nonce = nonce,
                                                                             .server_nonce = challenge.server_nonce(),
                                                                             .client_key = agent.public_key(),
                                                                             .server_key = key_.public_key(),
                                                                             .channel_binding = binding_},
                                                                            challenge.server_signature(), agent));
    gateway::v1::AuthenticateRequest answer;
    answer.set_challenge_id(challenge.challenge_id());
    answer.set_signature(signature);
    ASSIGN_OR_RETURN(const auto authenticated, authenticator_.Authenticate(answer));
    return authenticated.token();
  }

  void MarkRevoked(const crypto::PublicKey& key) {
    const Lock lock(mutex_);
    revoked_.insert(std::string(key.bytes()));
  }
  bool IsRevoked(const crypto::PublicKey& key) {
    if (while_asked_) while_asked_();
    const Lock lock(mutex_);
    return revoked_.contains(std::string(key.bytes()));
  }

  SystemRandom random_;
  const SystemClock clock_{};
  telemetry::Metrics metrics_;
  const crypto::SigningKey key_ = crypto::SigningKey::Generate(random_);
  const crypto::SigningKey alice_ = crypto::SigningKey::Generate(random_);
  const crypto::SigningKey bob_ = crypto::SigningKey::Generate(random_);
  const std::string binding_ = random_.Bytes(32);
  std::function<void()> while_asked_;
  Mutex mutex_;
  std::set<std::string> revoked_ ABSL_GUARDED_BY(mutex_);
  Authenticator authenticator_{{.key = key_,
                                .channel_binding = binding_,
                                .is_revoked = [this](const crypto::PublicKey& key) { return IsRevoked(key); },
                                .clock = clock_,
                                .random = random_,
                                .metrics = metrics_,
                                .tokens = {}}};
};

TEST_F(AuthenticatorTest, ATokenIsItsProvers) {
  for (int round = 0; round < 2; ++round) {  // the second time its key is known
    const auto token = Token(alice_);
    ASSERT_TRUE(token.ok()) << token.status();
    EXPECT_EQ((*authenticator_.Caller(*token))->key, alice_.public_key());
  }
  EXPECT_EQ(authenticator_.Revoke(alice_.public_key()), 2u);
}

TEST_F(AuthenticatorTest, BytesThatAreNoPointOfPrimeOrderAreNoKey) {
  const std::string nonce(32, 'n');
  ASSERT_TRUE(Token(alice_).ok());
  // The neutral point, one of order 8, a byte, and 31 bytes.
  for (const std::string& hex : {std::string("0100000000000000000000000000000000000000000000000000000000000000"),
                                 std::string("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
                                 std::string("01"), std::string(62, '0')}) {
    const auto refused = Challenge(HexDecode(hex).value(), nonce);
    EXPECT_EQ(ReasonOf(refused.status()), reason::kBadKey) << hex;
  }
}

TEST_F(AuthenticatorTest, ARevokedKeyGetsNeitherChallengeNorToken) {
  ASSERT_TRUE(Token(bob_).ok());
  MarkRevoked(bob_.public_key());
  EXPECT_EQ(ReasonOf(Token(bob_).status()), reason::kKeyRevoked) << "known from before";
  MarkRevoked(alice_.public_key());
  EXPECT_EQ(ReasonOf(Token(alice_).status()), reason::kKeyRevoked);
}

TEST_F(AuthenticatorTest, ATokenDiesWithItsKeyAlsoBeforeItIsForgotten) {
  const auto token = Token(alice_);
  ASSERT_TRUE(token.ok());
  MarkRevoked(alice_.public_key());
  EXPECT_EQ(ReasonOf(authenticator_.Caller(*token).status()), reason::kKeyRevoked);
}

TEST_F(AuthenticatorTest, ARevocationThatComesDuringTheProofLeavesNoToken) {
  int asked = 0;
  while_asked_ = [&] {
    if (++asked == 2) MarkRevoked(alice_.public_key());  // after the challenge, when the proof has been checked
  };
  EXPECT_EQ(ReasonOf(Token(alice_).status()), reason::kKeyRevoked);
  EXPECT_EQ(authenticator_.Revoke(alice_.public_key()), 0u);
}

TEST_F(AuthenticatorTest, ManyProveThemselvesAtOnceWhileOneIsRevoked) {
  constexpr int kThreads = 4;
  constexpr int kProofs = 100;
  std::atomic<int> proved = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      const crypto::SigningKey agent = crypto::SigningKey::Generate(random_);
      for (int n = 0; n < kProofs; ++n) {
        const auto token = Token(agent);
        ASSERT_TRUE(token.ok()) << token.status();
        const auto caller = authenticator_.Caller(*token);
        if (caller.ok() && (*caller)->key == agent.public_key()) ++proved;
      }
    });
  }
  ASSERT_TRUE(Token(bob_).ok());
  MarkRevoked(bob_.public_key());
  authenticator_.Revoke(bob_.public_key());
  EXPECT_EQ(ReasonOf(Token(bob_).status()), reason::kKeyRevoked);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(proved, kThreads * kProofs);
}

}  // namespace
}  // namespace dotagent::gateway_service
