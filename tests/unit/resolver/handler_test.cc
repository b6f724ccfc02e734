// The handler on a node of a simulated DHT.
#include "services/resolver/handler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/crypto/peer_id.h"
#include "common/dht/testing/simulation.h"
#include "tests/unit/resolver/samples.h"

namespace dotagent::resolver_service {
namespace {

namespace v1 = ::dotagent::resolver::v1;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// What host::RevocationFeed does, without a network.
class FakeRevocations : public Revocations {
 public:
  explicit FakeRevocations(const Clock& clock) : clock_(clock) {}

  [[nodiscard]] bool IsRevoked(const crypto::PublicKey& key) const override { return revoked_.contains(key); }
  [[nodiscard]] absl::Status Learn(absl::string_view statement) override {
    ASSIGN_OR_RETURN(const identity::Revocation revocation, identity::VerifyRevocation(statement, clock_.Now()));
    if (revoked_.insert(revocation.public_key).second) handler->OnRevoked(revocation, std::string(statement));
    return absl::OkStatus();
  }

  Handler* handler = nullptr;

 private:
  const Clock& clock_;
  std::set<crypto::PublicKey> revoked_;
};

// A resolver's logic on one node.
struct Resolver {
  Resolver(dht::Simulation& simulation, size_t node)
      : revocations(simulation.clock()), handler(simulation.dht(node), revocations, simulation.clock(), metrics) {
    revocations.handler = &handler;
  }
  telemetry::Metrics metrics;
  FakeRevocations revocations;
  Handler handler;
};

class HandlerTest : public testing::Test {
 protected:
  static constexpr size_t kNodes = 10;

  HandlerTest() : simulation_({.seed = 7}) {
    for (size_t i = 0; i < kNodes; ++i) simulation_.AddNode();
    simulation_.StartAll();
    nearest_ = simulation_.NearestTo(*dht::Id::FromBytes(NameOf("bob.agent").DhtKey()), kNodes);
    near_.emplace(simulation_, nearest_.front());
    far_.emplace(simulation_, nearest_.back());
  }

  // Runs the network until `start`'s callback has been called.
  template <typename Response>
  absl::StatusOr<Response> Await(const std::function<void(Callback<Response>)>& start) {
    std::optional<absl::StatusOr<Response>> result;
    start([&](absl::StatusOr<Response> answer) {
      EXPECT_FALSE(result.has_value()) << "answered twice";
      result = std::move(answer);
    });
    EXPECT_TRUE(simulation_.RunUntil([&] { return result.has_value(); }, absl::Minutes(5)));
    return result.has_value() ? *std::move(result) : absl::UnknownError("no answer");
  }
  absl::StatusOr<v1::PublishResponse> Publish(Resolver& at, const std::string& json) {
    v1::PublishRequest request;
    request.set_record_json(json);
    return Await<v1::PublishResponse>([&](auto done) { at.handler.Publish(request, std::move(done)); });
  }
  absl::StatusOr<v1::ResolveResponse> Resolve(Resolver& at, const std::string& name, bool bypass_cache = false) {
    v1::ResolveRequest request;
    request.set_name(name);
    request.set_bypass_cache(bypass_cache);
    return Await<v1::ResolveResponse>([&](auto done) { at.handler.Resolve(request, std::move(done)); });
  }
  absl::StatusOr<v1::PublishRevocationResponse> PublishRevocation(Resolver& at, const std::string& statement) {
    v1::PublishRevocationRequest request;
    request.set_statement(statement);
    return Await<v1::PublishRevocationResponse>(
        [&](auto done) { at.handler.PublishRevocation(request, std::move(done)); });
  }
  [[nodiscard]] record::Record MakeRecord(int64_t ttl_seconds = record::kDefaultTtlSeconds) {
    return SignedRecord(bob_, "bob.agent", simulation_.clock().Now(), ttl_seconds);
  }
  [[nodiscard]] std::string MakeRevocation() {
    return identity::SignRevocation(bob_, "stolen", simulation_.clock().Now()).value();
  }

  dht::Simulation simulation_;
  const crypto::SigningKey bob_ = KeyFromSeed(1);
  std::vector<size_t> nearest_;   // nodes, by distance to bob.agent
  std::optional<Resolver> near_;  // stores bob.agent
  std::optional<Resolver> far_;   // does not
};

TEST_F(HandlerTest, APublishedRecordIsFoundInTheDhtThenInTheCache) {
  const record::Record record = MakeRecord();
  const auto published = Publish(*near_, record.json());
  ASSERT_TRUE(published.ok()) << published.status();
  EXPECT_EQ(published->asked(), dht::kReplicationFactor);
  std::vector<std::string> expected;
  for (size_t i = 0; i < dht::kReplicationFactor; ++i) {
    expected.push_back(crypto::PeerIdFromKey(simulation_.contact(nearest_[i]).key));
  }
  EXPECT_THAT(published->stored_by(), testing::UnorderedElementsAreArray(expected));

  const auto fetched = Resolve(*far_, "Bob.Agent");
  ASSERT_TRUE(fetched.ok()) << fetched.status();
  EXPECT_EQ(fetched->source(), v1::ANSWER_SOURCE_DHT);
  EXPECT_EQ(fetched->record_json(), record.json());
  EXPECT_GE(fetched->hops(), 1U);
  EXPECT_GE(fetched->agreeing_nodes(), 1U);
  EXPECT_EQ(fetched->remaining_ttl_s(), 5U);

  const uint64_t calls = simulation_.calls();
  const auto cached = Resolve(*far_, "bob.agent");
  ASSERT_TRUE(cached.ok()) << cached.status();
  EXPECT_EQ(cached->source(), v1::ANSWER_SOURCE_CACHE);
  EXPECT_EQ(cached->record_json(), record.json());
  EXPECT_EQ(simulation_.calls(), calls);
}

TEST_F(HandlerTest, WhoPublishedAnswersFromItsCacheAndOnRequestFromItsStore) {
  const record::Record record = MakeRecord();
  ASSERT_TRUE(Publish(*near_, record.json()).ok());
  EXPECT_EQ(Resolve(*near_, "bob.agent")->source(), v1::ANSWER_SOURCE_CACHE);
  const auto stored = Resolve(*near_, "bob.agent", /*bypass_cache=*/true);
  ASSERT_TRUE(stored.ok()) << stored.status();
  EXPECT_EQ(stored->source(), v1::ANSWER_SOURCE_STORE);
}

TEST_F(HandlerTest, TheCacheIsLeftWhenItsAnswerIsNoLongerFresh) {
  ASSERT_TRUE(Publish(*near_, MakeRecord().json()).ok());
  ASSERT_TRUE(Resolve(*far_, "bob.agent").ok());
  simulation_.RunFor(absl::Seconds(1));
  const record::Record newer = MakeRecord();
  ASSERT_TRUE(Publish(*near_, newer.json()).ok());
  EXPECT_NE(Resolve(*far_, "bob.agent")->record_json(), newer.json());
  simulation_.RunFor(absl::Seconds(5));
  const auto answer = Resolve(*far_, "bob.agent");
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->source(), v1::ANSWER_SOURCE_DHT);
  EXPECT_EQ(answer->record_json(), newer.json());
}

TEST_F(HandlerTest, WhatIsWrongCostsNoCall) {
  const uint64_t calls = simulation_.calls();
  const auto bad_name = Resolve(*far_, "bob.example");
  EXPECT_EQ(bad_name.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ReasonOf(bad_name.status()), reason::kBadName);

  std::string forged = MakeRecord().json();
  forged.replace(forged.find("86400"), 5, "86401");
  const auto bad_record = Publish(*far_, forged);
  EXPECT_EQ(bad_record.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ReasonOf(bad_record.status()), reason::kBadSignature);
  EXPECT_EQ(ReasonOf(PublishRevocation(*far_, "nonsense").status()), reason::kBadStatement);
  EXPECT_EQ(simulation_.calls(), calls);
}

TEST_F(HandlerTest, AnUnknownNameIsNotFound) {
  const auto answer = Resolve(*far_, "nobody.agent");
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ReasonOf(answer.status()), reason::kNameNotFound);
  EXPECT_THAT(answer.status().message(), HasSubstr("nobody.agent"));
}

TEST_F(HandlerTest, AnExpiredRecordIsNotFound) {
  ASSERT_TRUE(Publish(*near_, MakeRecord(/*ttl_seconds=*/60).json()).ok());
  ASSERT_TRUE(Resolve(*far_, "bob.agent").ok());
  simulation_.RunFor(absl::Seconds(61));
  for (Resolver* resolver : {&*near_, &*far_}) {
    const auto answer = Resolve(*resolver, "bob.agent");
    EXPECT_EQ(answer.status().code(), absl::StatusCode::kNotFound);
    EXPECT_EQ(ReasonOf(answer.status()), reason::kNameNotFound);
  }
}

TEST_F(HandlerTest, ATakenNameIsRefused) {
  ASSERT_TRUE(Publish(*near_, MakeRecord().json()).ok());
  simulation_.RunFor(absl::Seconds(1));
  const auto taken = Publish(*far_, SignedRecord(KeyFromSeed(2), "bob.agent", simulation_.clock().Now()).json());
  EXPECT_EQ(taken.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(ReasonOf(taken.status()), reason::kNameTaken);
}

TEST_F(HandlerTest, ARevokedKeyIsForgottenAndRefused) {
  ASSERT_TRUE(Publish(*near_, MakeRecord().json()).ok());
  ASSERT_TRUE(Resolve(*far_, "bob.agent").ok());
  const auto revoked = PublishRevocation(*far_, MakeRevocation());
  ASSERT_TRUE(revoked.ok()) << revoked.status();
  EXPECT_EQ(revoked->stored_by_size(), static_cast<int>(dht::kReplicationFactor));

  const auto refused = Resolve(*far_, "bob.agent");
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kPermissionDenied) << refused.status();
  EXPECT_EQ(ReasonOf(refused.status()), reason::kKeyRevoked);

  simulation_.RunFor(absl::Seconds(1));
  const uint64_t calls = simulation_.calls();
  const auto again = Publish(*far_, MakeRecord().json());
  EXPECT_EQ(again.status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(ReasonOf(again.status()), reason::kKeyRevoked);
  EXPECT_EQ(simulation_.calls(), calls);
}

TEST_F(HandlerTest, ARevocationThatOnlyTheDhtKnowsIsFoundAndLearnt) {
  ASSERT_TRUE(Publish(*near_, MakeRecord().json()).ok());
  ASSERT_TRUE(simulation_.Put(nearest_[5], dht::ValueKind::kRevocation, {MakeRevocation(), ""}).ok());
  ASSERT_FALSE(far_->revocations.IsRevoked(bob_.public_key()));
  const auto refused = Resolve(*far_, "bob.agent");
  EXPECT_EQ(ReasonOf(refused.status()), reason::kKeyRevoked) << refused.status();
}

TEST_F(HandlerTest, ARecordWhoseRevocationCannotBeLookedUpIsNotHandedOut) {
  ASSERT_TRUE(Publish(*near_, MakeRecord().json()).ok());
  // From now on nobody answers questions for revocations.
  for (size_t i = 0; i < simulation_.size(); ++i) {
    simulation_.SetBehaviour(i, [this, i](const dht::Request& request) -> std::optional<dht::Response> {
      const auto* find = std::get_if<dht::FindValueCall>(&request.call);
      if (find != nullptr && find->kind == dht::ValueKind::kRevocation) return std::nullopt;
      return simulation_.dht(i).Handle(request.sender.key, request);
    });
  }
  const auto answer = Resolve(*far_, "bob.agent");
  EXPECT_TRUE(absl::IsUnavailable(answer.status()) || absl::IsDeadlineExceeded(answer.status())) << answer.status();
  EXPECT_THAT(far_->metrics.Render(), HasSubstr("result=\"failed\",source=\"dht\"} 1"));
}

TEST_F(HandlerTest, WatchersAreToldOfEachNewerRecordOnceAndOfRevocation) {
  std::vector<std::string> records;
  std::vector<std::string> revocations;
  const auto watch = near_->handler.Watch(NameOf("bob.agent"), [&](const v1::WatchResponse& news) {
    if (!news.record_json().empty()) records.push_back(news.record_json());
    if (!news.revocation().empty()) revocations.push_back(news.revocation());
  });
  ASSERT_TRUE(watch.ok()) << watch.status();
  const auto other = near_->handler.Watch(NameOf("carol.agent"), [](const v1::WatchResponse&) { FAIL(); });
  ASSERT_TRUE(other.ok());

  const record::Record first = MakeRecord();
  ASSERT_TRUE(Publish(*near_, first.json()).ok());
  ASSERT_TRUE(Resolve(*near_, "bob.agent", /*bypass_cache=*/true).ok());
  EXPECT_THAT(records, ElementsAre(first.json()));

  simulation_.RunFor(absl::Seconds(1));
  const record::Record second = MakeRecord();
  ASSERT_TRUE(Publish(*far_, second.json()).ok());
  EXPECT_THAT(records, ElementsAre(first.json())) << "near has not seen the second yet";
  ASSERT_TRUE(Resolve(*near_, "bob.agent", /*bypass_cache=*/true).ok());
  EXPECT_THAT(records, ElementsAre(first.json(), second.json()));
  EXPECT_THAT(revocations, IsEmpty());

  const std::string statement = MakeRevocation();
  ASSERT_TRUE(near_->revocations.Learn(statement).ok());
  EXPECT_THAT(revocations, ElementsAre(statement));
}

TEST_F(HandlerTest, AWatcherMayLeaveWhileItIsTold) {
  int told = 0;
  uint64_t watch = 0;
  const auto leave = [&](const v1::WatchResponse&) {
    ++told;
    near_->handler.Unwatch(watch);
  };
  watch = near_->handler.Watch(NameOf("bob.agent"), leave).value();
  ASSERT_TRUE(Publish(*near_, MakeRecord().json()).ok());
  simulation_.RunFor(absl::Seconds(1));
  ASSERT_TRUE(Publish(*near_, MakeRecord().json()).ok());
  EXPECT_EQ(told, 1);
}

TEST_F(HandlerTest, WatchesAreLimited) {
  for (size_t i = 0; i < Handler::kMaxWatches; ++i) {
    ASSERT_TRUE(near_->handler.Watch(NameOf("bob.agent"), [](const v1::WatchResponse&) {}).ok());
  }
  const auto refused = near_->handler.Watch(NameOf("bob.agent"), [](const v1::WatchResponse&) {});
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReasonOf(refused.status()), reason::kLimit);
  near_->handler.Unwatch(1);
  EXPECT_TRUE(near_->handler.Watch(NameOf("bob.agent"), [](const v1::WatchResponse&) {}).ok());
}

TEST_F(HandlerTest, ALonelyResolverSaysThatItIsAlone) {
  dht::Simulation alone({.seed = 3});
  alone.AddNode();
  Resolver resolver(alone, 0);
  std::optional<absl::Status> started;
  alone.Start(0, {"/ip4/192.0.2.99/tcp/1"}, [&](absl::Status status) { started = std::move(status); });
  ASSERT_TRUE(alone.RunUntil([&] { return started.has_value(); }, absl::Minutes(1)));
  std::optional<absl::StatusOr<v1::ResolveResponse>> answer;
  v1::ResolveRequest request;
  request.set_name("bob.agent");
  resolver.handler.Resolve(request, [&](auto response) { answer = std::move(response); });
  ASSERT_TRUE(alone.RunUntil([&] { return answer.has_value(); }, absl::Minutes(5)));
  EXPECT_EQ(answer->status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ReasonOf(answer->status()), reason::kNotBootstrapped);
}

}  // namespace
}  // namespace dotagent::resolver_service
