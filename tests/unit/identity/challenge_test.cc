#include "common/identity/challenge.h"

#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/base/bytes.h"
#include "common/base/status.h"

namespace dotagent::identity {
namespace {

class ChallengeTest : public testing::Test {
 protected:
  // What the client knows after Begin.
  AuthTranscript Transcript(const Challenger::Challenge& challenge) const {
    return {.purpose = "gateway",
            .client_nonce = client_nonce_,
            .server_nonce = challenge.server_nonce,
            .client_key = client_.public_key(),
            .server_key = server_.public_key(),
            .channel_binding = binding_};
  }

  Challenger::Challenge Begin() { return challenger_.Begin(client_.public_key(), client_nonce_, now_).value(); }

  std::string Answer(const Challenger::Challenge& challenge) const {
    return AnswerChallenge(Transcript(challenge), challenge.server_signature, client_).value();
  }

  SeededRandom random_{1};
  const crypto::SigningKey client_ = crypto::SigningKey::Generate(random_);
  const crypto::SigningKey server_ = crypto::SigningKey::Generate(random_);
  const crypto::SigningKey other_ = crypto::SigningKey::Generate(random_);
  const std::string client_nonce_ = random_.Bytes(32);
  const std::string binding_ = random_.Bytes(32);
  const absl::Time now_ = absl::FromUnixSeconds(1800000000);
  Challenger challenger_{"gateway", server_, binding_, random_, 3};
};

TEST_F(ChallengeTest, SignsTheDocumentedBytes) {
  AuthTranscript transcript = Transcript({.server_nonce = std::string(32, 's')});
  EXPECT_EQ(AuthBytes(transcript, AuthRole::kClient).value(),
            absl::StrCat("dotagent auth v1 gateway client", absl::string_view("\0", 1), client_nonce_,
                         std::string(32, 's'), client_.public_key().bytes(), server_.public_key().bytes(), binding_));
  EXPECT_EQ(AuthBytes(transcript, AuthRole::kServer)->substr(0, 32),
            absl::StrCat("dotagent auth v1 gateway server", absl::string_view("\0", 1)));
}

TEST_F(ChallengeTest, BothSidesProveTheirKeys) {
  const Challenger::Challenge challenge = Begin();
  EXPECT_EQ(challenge.id.size(), 16);
  EXPECT_EQ(challenge.server_nonce.size(), 32);
  const absl::StatusOr<crypto::PublicKey> who = challenger_.Finish(challenge.id, Answer(challenge), now_);
  ASSERT_TRUE(who.ok()) << who.status();
  EXPECT_EQ(*who, client_.public_key());
}

TEST_F(ChallengeTest, AnAnswerCountsOnce) {
  const Challenger::Challenge challenge = Begin();
  const std::string answer = Answer(challenge);
  ASSERT_TRUE(challenger_.Finish(challenge.id, answer, now_).ok());
  const absl::Status again = challenger_.Finish(challenge.id, answer, now_).status();
  EXPECT_TRUE(absl::IsUnauthenticated(again));
  EXPECT_EQ(ReasonOf(again), reason::kNotAuthenticated);
}

TEST_F(ChallengeTest, AnAnswerToOneChallengeIsNoneToAnother) {
  const Challenger::Challenge first = Begin();
  const Challenger::Challenge second = Begin();
  EXPECT_NE(first.server_nonce, second.server_nonce);
  EXPECT_EQ(ReasonOf(challenger_.Finish(second.id, Answer(first), now_).status()), reason::kBadSignature);
}

TEST_F(ChallengeTest, AWrongAnswerSpendsTheChallenge) {
  const Challenger::Challenge challenge = Begin();
  EXPECT_EQ(ReasonOf(challenger_.Finish(challenge.id, std::string(64, 'x'), now_).status()), reason::kBadSignature);
  EXPECT_EQ(ReasonOf(challenger_.Finish(challenge.id, Answer(challenge), now_).status()), reason::kNotAuthenticated);
}

TEST_F(ChallengeTest, TheServersOwnSignatureIsNoAnswer) {
  // Reflection: the server challenges itself, and gets its signature back.
  const Challenger::Challenge challenge = challenger_.Begin(server_.public_key(), client_nonce_, now_).value();
  EXPECT_EQ(ReasonOf(challenger_.Finish(challenge.id, challenge.server_signature, now_).status()),
            reason::kBadSignature);
}

TEST_F(ChallengeTest, AnotherKeyCannotAnswer) {
  const Challenger::Challenge challenge = Begin();
  const std::string bytes = AuthBytes(Transcript(challenge), AuthRole::kClient).value();
  EXPECT_EQ(ReasonOf(challenger_.Finish(challenge.id, other_.Sign(bytes).value(), now_).status()),
            reason::kBadSignature);
  EXPECT_FALSE(AnswerChallenge(Transcript(challenge), challenge.server_signature, other_).ok());
}

TEST_F(ChallengeTest, ALateAnswerIsRefused) {
  const Challenger::Challenge in_time = Begin();
  EXPECT_TRUE(challenger_.Finish(in_time.id, Answer(in_time), now_ + absl::Seconds(59)).ok());
  const Challenger::Challenge late = Begin();
  EXPECT_EQ(ReasonOf(challenger_.Finish(late.id, Answer(late), now_ + absl::Seconds(60)).status()),
            reason::kNotAuthenticated);
}

// A man in the middle passes a gateway's challenge on to the client under another purpose, channel, key or nonce: the
// client refuses to sign, and a signature over any of them does not satisfy the gateway.
TEST_F(ChallengeTest, EveryPartOfTheTranscriptIsSigned) {
  const auto alter = [this](int part, AuthTranscript* transcript) {
    switch (part) {
      case 0:
        transcript->purpose = "certificate";
        break;
      case 1:
        transcript->client_nonce[0] ^= 1;
        break;
      case 2:
        transcript->server_nonce[31] ^= 1;
        break;
      case 3:
        transcript->server_key = other_.public_key();
        break;
      default:
        transcript->channel_binding[0] ^= 1;
        break;
    }
  };
  for (int part = 0; part < 5; ++part) {
    const Challenger::Challenge challenge = Begin();
    AuthTranscript transcript = Transcript(challenge);
    alter(part, &transcript);
    const absl::Status refused = AnswerChallenge(transcript, challenge.server_signature, client_).status();
    EXPECT_TRUE(absl::IsUnauthenticated(refused)) << part;
    EXPECT_EQ(ReasonOf(refused), reason::kBadSignature) << part;
    const std::string answer = client_.Sign(AuthBytes(transcript, AuthRole::kClient).value()).value();
    EXPECT_EQ(ReasonOf(challenger_.Finish(challenge.id, answer, now_).status()), reason::kBadSignature) << part;
  }
}

// A man in the middle offers an older version, hoping that its proofs count in this one, or that the client takes them.
TEST_F(ChallengeTest, ADowngradeIsRefused) {
  const Challenger::Challenge challenge = Begin();
  const auto older = [&](AuthRole role) {
    return absl::StrReplaceAll(AuthBytes(Transcript(challenge), role).value(), {{"auth v1", "auth v0"}});
  };
  const std::string server_proof = server_.Sign(older(AuthRole::kServer)).value();
  EXPECT_EQ(ReasonOf(AnswerChallenge(Transcript(challenge), server_proof, client_).status()), reason::kBadSignature);
  const std::string answer = client_.Sign(older(AuthRole::kClient)).value();
  EXPECT_EQ(ReasonOf(challenger_.Finish(challenge.id, answer, now_).status()), reason::kBadSignature);
}

TEST_F(ChallengeTest, AFakeServerIsRefused) {
  const Challenger::Challenge challenge = Begin();
  const std::string bytes = AuthBytes(Transcript(challenge), AuthRole::kServer).value();
  for (const std::string& signature : {std::string(), std::string(64, '\0'), other_.Sign(bytes).value()}) {
    EXPECT_EQ(ReasonOf(AnswerChallenge(Transcript(challenge), signature, client_).status()), reason::kBadSignature);
  }
}

TEST_F(ChallengeTest, OnlySoManyWait) {
  const Challenger::Challenge first = Begin();
  Begin();
  Begin();
  const absl::Status full = challenger_.Begin(client_.public_key(), client_nonce_, now_).status();
  EXPECT_TRUE(absl::IsResourceExhausted(full)) << full;
  EXPECT_EQ(ReasonOf(full), reason::kLimit);
  // An answer makes room for one; time makes room for all.
  ASSERT_TRUE(challenger_.Finish(first.id, Answer(first), now_).ok());
  Begin();
  EXPECT_FALSE(challenger_.Begin(client_.public_key(), client_nonce_, now_).ok());
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(challenger_.Begin(client_.public_key(), client_nonce_, now_ + absl::Seconds(60)).ok());
  }
  EXPECT_FALSE(challenger_.Begin(client_.public_key(), client_nonce_, now_ + absl::Seconds(60)).ok());
}

TEST_F(ChallengeTest, AnAnswerThatComesOnManyThreadsAtOnceCountsOnce) {
  SystemRandom random;
  Challenger challenger("gateway", server_, binding_, random);
  constexpr int kThreads = 4;
  constexpr int kRounds = 50;
  for (int round = 0; round < kRounds; ++round) {
    const Challenger::Challenge challenge = challenger.Begin(client_.public_key(), client_nonce_, now_).value();
    const std::string answer = Answer(challenge);
    std::atomic<int> taken = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&] {
        if (challenger.Finish(challenge.id, answer, now_).ok()) ++taken;
        EXPECT_TRUE(challenger.Begin(client_.public_key(), client_nonce_, now_).ok());
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(taken, 1);
  }
}

TEST_F(ChallengeTest, RefusesWrongSizesAndNames) {
  for (const size_t size : {0, 31, 33, 1000}) {
    EXPECT_EQ(ReasonOf(challenger_.Begin(client_.public_key(), std::string(size, 'n'), now_).status()),
              reason::kProtocol)
        << size;
  }
  const AuthTranscript good = Transcript(Begin());
  AuthTranscript bad = good;
  bad.channel_binding = "";
  EXPECT_FALSE(AuthBytes(bad, AuthRole::kClient).ok());
  for (const std::string& purpose : {std::string(), std::string("a\0b", 3), std::string(65, 'p')}) {
    bad = good;
    bad.purpose = purpose;
    EXPECT_FALSE(AuthBytes(bad, AuthRole::kServer).ok());
  }
  for (const std::string& id : {std::string(), std::string(16, '\0'), std::string(100000, 'x')}) {
    EXPECT_EQ(ReasonOf(challenger_.Finish(id, "", now_).status()), reason::kNotAuthenticated);
  }
}

}  // namespace
}  // namespace dotagent::identity
