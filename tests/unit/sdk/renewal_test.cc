#include "sdk/cpp/renewal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "common/base/status.h"
#include "sdk/cpp/agent.h"
#include "tests/unit/sdk/fake_gateway.h"
#include "tests/unit/sdk/samples.h"

namespace dotagent::sdk {
namespace {

using ::testing::ElementsAre;

const absl::Time kStart = absl::FromUnixSeconds(1'800'000'000);

class RenewerTest : public testing::Test {
 protected:
  record::Record SignNow(absl::Duration ttl) {
    return record::Record::Sign(
               {.name = "bob.agent", .timestamp = clock_.Now(), .ttl_seconds = absl::ToInt64Seconds(ttl)}, key_)
        .value();
  }
  // Runs for `duration` of virtual time, and returns when each renewal was tried, since the start.
  std::vector<absl::Duration> RunFor(absl::Duration duration) {
    std::vector<absl::Duration> tries;
    const absl::Time end = clock_.Now() + duration;
    while (!ended_) {
      const Renewer::Step step = renewer_.Run();
      if (step.renewed) tries.push_back(clock_.Now() - kStart);
      ended_ = step.ended;
      if (clock_.Now() + step.wait > end) break;
      clock_.Advance(step.wait);
    }
    return tries;
  }

  SimulatedClock clock_{kStart};
  SeededRandom random_{1};
  const crypto::SigningKey key_ = KeyFromSeed(1);
  absl::Duration ttl_ = absl::Hours(24);
  absl::Status look_up_ = absl::OkStatus();
  absl::Status renew_ = absl::OkStatus();
  bool ended_ = false;
  Renewer renewer_{{.look_up = [this]() -> absl::StatusOr<record::Record> {
                      if (!look_up_.ok()) return look_up_;
                      return SignNow(ttl_);
                    },
                    .renew = [this](const record::Record& record) -> absl::StatusOr<record::Record> {
                      if (!renew_.ok()) return renew_;
                      return SignNow(record.ttl());
                    },
                    .clock = clock_,
                    .random = random_}};
};

TEST_F(RenewerTest, EachRecordIsRenewedBeforeItRunsOutAndWithin22Hours) {
  for (const absl::Duration ttl : {absl::Minutes(1), absl::Hours(1), absl::Hours(24), absl::Hours(24 * 7)}) {
    ttl_ = ttl;
    Renewer renewer({.look_up = [this] { return SignNow(ttl_); },
                     .renew = [this](const record::Record& record) { return SignNow(record.ttl()); },
                     .clock = clock_,
                     .random = random_});
    const absl::Duration longest = std::min(ttl * 0.9, kLongestWithoutRenewal);
    EXPECT_FALSE(renewer.Run().renewed.has_value());
    std::vector<absl::Duration> waits;
    for (int i = 0; i < 20; ++i) {
      const Renewer::Step step = renewer.Run();
      EXPECT_GE(step.wait, longest * 0.8);
      EXPECT_LE(step.wait, longest);
      waits.push_back(step.wait);
      clock_.Advance(step.wait);
      ASSERT_TRUE(renewer.Run().renewed.has_value());
    }
    EXPECT_GT(*std::max_element(waits.begin(), waits.end()) - *std::min_element(waits.begin(), waits.end()),
              longest * 0.05)
        << "they are spread";
  }
}

TEST_F(RenewerTest, AShorterCertificateIsRenewedBeforeItEndsToo) {
  absl::Time ends = kStart + absl::Hours(1);
  Renewer renewer({.look_up = [this] { return SignNow(absl::Hours(24)); },
                   .renew =
                       [&](const record::Record& record) {
                         ends = clock_.Now() + absl::Hours(1);
                         return SignNow(record.ttl());
                       },
                   .clock = clock_,
                   .random = random_,
                   .proof_ends = [&] { return ends; }});
  for (int i = 0; i < 5; ++i) {
    const Renewer::Step step = renewer.Run();
    EXPECT_GE(step.wait, absl::Hours(1) * 0.9 * 0.8);
    EXPECT_LE(step.wait, absl::Hours(1) * 0.9);
    clock_.Advance(step.wait);
  }
}

TEST_F(RenewerTest, ACertificateThatNobodyReplacesIsNotPublishedEverFaster) {
  const absl::Time ends = kStart + absl::Hours(1);
  int published = 0;
  Renewer renewer({.look_up = [this] { return SignNow(absl::Hours(24)); },
                   .renew = [&](const record::Record& record) -> absl::StatusOr<record::Record> {
                     if (clock_.Now() >= ends) {
                       return ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kStale, "it ended");
                     }
                     ++published;
                     return SignNow(record.ttl());
                   },
                   .clock = clock_,
                   .random = random_,
                   .proof_ends = [&] { return ends; }});
  bool told = false;
  while (clock_.Now() < kStart + absl::Hours(2)) {
    const Renewer::Step step = renewer.Run();
    EXPECT_FALSE(step.ended) << "a new one may come";
    told = told || (step.renewed && !step.renewed->ok());
    clock_.Advance(step.wait);
  }
  EXPECT_TRUE(told);
  EXPECT_LE(published, 20);
}

TEST_F(RenewerTest, AskedEarlyItDoesNothing) {
  EXPECT_FALSE(renewer_.Run().renewed.has_value());
  const absl::Duration wait = renewer_.Run().wait;
  clock_.Advance(wait - absl::Seconds(1));
  const Renewer::Step early = renewer_.Run();
  EXPECT_FALSE(early.renewed.has_value());
  EXPECT_EQ(early.wait, absl::Seconds(1));
}

TEST_F(RenewerTest, AFailureIsTriedAgainWithGrowingPausesUntilItWorks) {
  EXPECT_FALSE(renewer_.Run().renewed.has_value());
  clock_.Advance(renewer_.Run().wait);
  renew_ = ErrorWithReason(absl::StatusCode::kUnavailable, reason::kUnreachable, "no gateway");
  const absl::Time due = clock_.Now();
  const auto tries = RunFor(absl::Hours(1));
  ASSERT_GE(tries.size(), 15U);
  EXPECT_LE(tries.size(), 40U);
  EXPECT_LE(tries[1] - tries[0], absl::Seconds(1));
  for (size_t i = 1; i < tries.size(); ++i) EXPECT_LE(tries[i] - tries[i - 1], absl::Minutes(5));
  EXPECT_GE(tries.back() - tries[tries.size() - 2], absl::Minutes(2.5));
  renew_ = absl::OkStatus();
  EXPECT_EQ(RunFor(absl::Minutes(6)).size(), 1U);
  EXPECT_LT(clock_.Now(), due + absl::Hours(2));
  EXPECT_GE(renewer_.Run().wait, absl::Hours(17));
}

TEST_F(RenewerTest, ALookUpThatFailsIsTriedAgainInSilence) {
  look_up_ = absl::UnavailableError("no gateway");
  EXPECT_TRUE(RunFor(absl::Hours(1)).empty());
  EXPECT_FALSE(ended_);
  look_up_ = absl::OkStatus();
  EXPECT_EQ(RunFor(absl::Hours(23)).size(), 1U);
}

TEST_F(RenewerTest, ItEndsWhenTryingIsOfNoUse) {
  for (const absl::Status& final :
       {ErrorWithReason(absl::StatusCode::kPermissionDenied, reason::kKeyRevoked, "revoked"),
        ErrorWithReason(absl::StatusCode::kAlreadyExists, reason::kNameTaken, "taken")}) {
    Renewer renewer({.look_up = [this] { return SignNow(ttl_); },
                     .renew = [&final](const record::Record&) -> absl::StatusOr<record::Record> { return final; },
                     .clock = clock_,
                     .random = random_});
    EXPECT_FALSE(renewer.Run().ended);
    clock_.Advance(renewer.Run().wait);
    const Renewer::Step step = renewer.Run();
    EXPECT_TRUE(step.ended);
    ASSERT_TRUE(step.renewed.has_value());
    EXPECT_EQ(step.renewed->status(), final);
  }
}

// The whole of it, over gRPC: a record that is due is signed anew.
TEST(RenewalTest, ARecordThatIsDueIsPublishedAnewWithWhatItHeld) {
  FakeGateway gateway;
  const crypto::SigningKey key = KeyFromSeed(1);
  const auto agent = gateway.Connect("bob.agent", key);
  ASSERT_NE(agent, nullptr);
  const auto old = record::Record::Sign({.name = "bob.agent",
                                         .addresses = {"/ip4/192.0.2.1/tcp/4001", "/ip4/192.0.2.7/tcp/7"},
                                         .protocols = {"/mine/1.0.0"},
                                         .timestamp = absl::Now() - absl::Minutes(59),
                                         .ttl_seconds = 3600},
                                        key);
  gateway.AddRecord(old->json());
  absl::Mutex mutex;
  std::optional<absl::StatusOr<record::Record>> renewed;
  {
    const auto renewal = Renewal::Start(*agent, [&](const absl::StatusOr<record::Record>& result) {
      absl::MutexLock lock(&mutex);
      renewed = result;
    });
    absl::MutexLock lock(&mutex);
    ASSERT_TRUE(mutex.AwaitWithTimeout(
        absl::Condition(
            +[](std::optional<absl::StatusOr<record::Record>>* r) { return r->has_value(); }, &renewed),
        kPatience));
  }
  ASSERT_TRUE(renewed->ok()) << renewed->status();
  EXPECT_THAT((*renewed)->addresses(), ElementsAre("/ip4/192.0.2.1/tcp/4001", "/ip4/192.0.2.7/tcp/7"));
  EXPECT_THAT((*renewed)->protocols(), ElementsAre("/mine/1.0.0"));
  EXPECT_EQ((*renewed)->ttl(), absl::Hours(1));
  EXPECT_GT((*renewed)->timestamp(), old->timestamp());
  EXPECT_EQ(agent->Resolve("bob.agent")->record.json(), (*renewed)->json());
}

TEST(RenewalTest, ARecordOfAnotherKeyIsNotSigned) {
  FakeGateway gateway;
  const auto agent = gateway.Connect("bob.agent", KeyFromSeed(1));
  ASSERT_NE(agent, nullptr);
  const auto foreign = record::Record::Verify(SignedRecord(KeyFromSeed(2), "bob.agent"), absl::Now());
  const auto refused = agent->Refresh(*foreign);
  EXPECT_EQ(ReasonOf(refused.status()), reason::kKeyMismatch) << refused.status();
  EXPECT_EQ(gateway.Count("Register"), 0);
}

// A certificate is replaced while the agent runs.
TEST(RenewalTest, EachRegistrationCarriesWhatThereIsByThen) {
  FakeGateway gateway;
  std::string certificate = "the first";
  const auto agent =
      Agent::Connect({.gateway = {.gateway = gateway.address(), .plaintext = true},
                      .name = "bob.agent",
                      .proof = [&]() -> absl::StatusOr<record::NameProof> {
                        if (certificate.empty()) return absl::NotFoundError("the file is gone");
                        return record::NameProof{.rotation_chain = "the chain", .name_certificate = certificate};
                      }},
                     std::make_shared<const crypto::SigningKey>(KeyFromSeed(1)));
  ASSERT_TRUE(agent.ok()) << agent.status();
  const auto registered = (*agent)->Register({});
  ASSERT_TRUE(registered.ok()) << registered.status();
  EXPECT_EQ(gateway.last_register().name_certificate(), "the first");
  EXPECT_EQ(gateway.last_register().rotation_chain(), "the chain");
  certificate = "the second";
  ASSERT_TRUE((*agent)->Refresh(registered->record).ok());
  EXPECT_EQ(gateway.last_register().name_certificate(), "the second");
  certificate.clear();
  EXPECT_TRUE(absl::IsNotFound((*agent)->Refresh(registered->record).status()));
  EXPECT_EQ(gateway.Count("Register"), 2);
}

}  // namespace
}  // namespace dotagent::sdk
