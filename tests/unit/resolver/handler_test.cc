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
#include "common/identity/agent_certificate.h"
#include "common/identity/rotation.h"
#include "common/record/name_proof.h"
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
  [[nodiscard]] absl::Status Learn(absl::string_view statement, absl::string_view rotation_chain) override {
    ASSIGN_OR_RETURN(const identity::Revocation revocation,
                     identity::VerifyRevocationWith(statement, rotation_chain, clock_.Now()));
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
  Resolver(dht::Simulation& simulation, size_t node, bool registrar_decides = false)
      : revocations(simulation.clock()),
        pins(Pins::Load(simulation.store(node), metrics).value()),
        handler({.dht = simulation.dht(node),
                 .revocations = revocations,
                 .pins = *pins,
                 .clock = simulation.clock(),
                 .metrics = metrics,
                 .post = [](const std::function<void()>& work) { work(); },
                 .registrar_decides = registrar_decides}) {
    revocations.handler = &handler;
  }
  telemetry::Metrics metrics;
  FakeRevocations revocations;
  std::unique_ptr<Pins> pins;
  Handler handler;
};

class HandlerTest : public testing::Test {
 protected:
  static constexpr size_t kNodes = 10;

  explicit HandlerTest(const dht::NamePolicy& policy = {}) : simulation_({.seed = 7}) {
    for (size_t i = 0; i < kNodes; ++i) simulation_.AddNode(dht::DhtOptions{.values = {.policy = policy}});
    simulation_.StartAll();
    nearest_ = simulation_.NearestTo(*dht::Id::FromBytes(NameOf("bob.agent").DhtKey()), kNodes);
    near_.emplace(simulation_, nearest_.front(), !policy.registrars.empty());
    far_.emplace(simulation_, nearest_.back(), !policy.registrars.empty());
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
  absl::StatusOr<v1::PublishResponse> Publish(Resolver& at, const std::string& json,
                                              const record::NameProof& proof = {}) {
    v1::PublishRequest request;
    request.set_record_json(json);
    request.set_rotation_chain(proof.rotation_chain);
    request.set_name_certificate(proof.name_certificate);
    return Await<v1::PublishResponse>([&](auto done) { at.handler.Publish(request, std::move(done)); });
  }
  absl::StatusOr<v1::ResolveResponse> Resolve(Resolver& at, const std::string& name, bool bypass_cache = false) {
    v1::ResolveRequest request;
    request.set_name(name);
    request.set_bypass_cache(bypass_cache);
    return Await<v1::ResolveResponse>([&](auto done) { at.handler.Resolve(request, std::move(done)); });
  }
  absl::StatusOr<v1::PublishRevocationResponse> PublishRevocation(Resolver& at, const std::string& statement,
                                                                  const std::string& rotation_chain = "") {
    v1::PublishRevocationRequest request;
    request.set_statement(statement);
    request.set_rotation_chain(rotation_chain);
    return Await<v1::PublishRevocationResponse>(
        [&](auto done) { at.handler.PublishRevocation(request, std::move(done)); });
  }
  absl::StatusOr<v1::GetRotationResponse> GetRotation(Resolver& at, const std::string& agent_id) {
    v1::GetRotationRequest request;
    request.set_agent_id(agent_id);
    return Await<v1::GetRotationResponse>([&](auto done) { at.handler.GetRotation(request, std::move(done)); });
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

TEST_F(HandlerTest, AStaleAnswerIsHandedOutAndRenewedBehindIt) {
  const record::Record older = MakeRecord();
  ASSERT_TRUE(Publish(*near_, older.json()).ok());
  ASSERT_TRUE(Resolve(*far_, "bob.agent").ok());
  simulation_.RunFor(absl::Seconds(1));
  const record::Record newer = MakeRecord();
  ASSERT_TRUE(Publish(*near_, newer.json()).ok());
  EXPECT_EQ(Resolve(*far_, "bob.agent")->record_json(), older.json());
  simulation_.RunFor(absl::Seconds(5));

  const uint64_t calls = simulation_.calls();
  for (int i = 0; i < 3; ++i) {
    const auto stale = Resolve(*far_, "bob.agent");
    ASSERT_TRUE(stale.ok()) << stale.status();
    EXPECT_EQ(stale->source(), v1::ANSWER_SOURCE_CACHE);
    EXPECT_EQ(stale->record_json(), older.json());
    EXPECT_TRUE(stale->stale());
    EXPECT_EQ(stale->remaining_ttl_s(), 0U);
  }
  ASSERT_TRUE(simulation_.RunUntil([&] { return Resolve(*far_, "bob.agent")->record_json() == newer.json(); },
                                   absl::Minutes(1)));
  EXPECT_GT(simulation_.calls(), calls);
  const auto fresh = Resolve(*far_, "bob.agent");
  EXPECT_EQ(fresh->source(), v1::ANSWER_SOURCE_CACHE);
  EXPECT_FALSE(fresh->stale());
  EXPECT_THAT(far_->metrics.Render(), HasSubstr("dotagent_resolver_renewals_total{result=\"found\"} 1"));
}

TEST_F(HandlerTest, PastItsStalenessAnAnswerIsNotHandedOut) {
  ASSERT_TRUE(Publish(*near_, MakeRecord().json()).ok());
  ASSERT_TRUE(Resolve(*far_, "bob.agent").ok());
  simulation_.RunFor(absl::Seconds(1));
  const record::Record newer = MakeRecord();
  ASSERT_TRUE(Publish(*near_, newer.json()).ok());
  simulation_.RunFor(absl::Seconds(11));
  const auto answer = Resolve(*far_, "bob.agent");
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->source(), v1::ANSWER_SOURCE_DHT);
  EXPECT_EQ(answer->record_json(), newer.json());
}

TEST_F(HandlerTest, ManyWhoAskForOneNameCostOneLookup) {
  ASSERT_TRUE(Publish(*near_, MakeRecord().json()).ok());
  v1::ResolveRequest request;
  request.set_name("bob.agent");
  int found = 0;
  for (int i = 0; i < 50; ++i) {
    far_->handler.Resolve(request, [&](const absl::StatusOr<v1::ResolveResponse>& answer) { found += answer.ok(); });
  }
  ASSERT_TRUE(simulation_.RunUntil([&] { return found == 50; }, absl::Minutes(1)));
  const std::string metrics = far_->metrics.Render();
  EXPECT_THAT(metrics, HasSubstr("dotagent_resolver_resolve_seconds_count 1"));
  EXPECT_THAT(metrics, HasSubstr("dotagent_resolver_joined_total 49"));
  EXPECT_THAT(metrics, HasSubstr("{result=\"found\",source=\"dht\"} 50"));
}

TEST_F(HandlerTest, WhoBypassesTheCacheGetsNoAnswerToAnOlderQuestion) {
  ASSERT_TRUE(Publish(*near_, MakeRecord().json()).ok());
  v1::ResolveRequest request;
  request.set_name("bob.agent");
  std::vector<std::string> order;
  const auto note = [&](const std::string& who) {
    return [&order, who](const absl::StatusOr<v1::ResolveResponse>& answer) {
      EXPECT_TRUE(answer.ok()) << answer.status();
      order.push_back(who);
    };
  };
  far_->handler.Resolve(request, note("first"));
  request.set_bypass_cache(true);
  for (int i = 0; i < 3; ++i) far_->handler.Resolve(request, note("later"));
  ASSERT_TRUE(simulation_.RunUntil([&] { return !order.empty(); }, absl::Minutes(1)));
  EXPECT_THAT(order, ElementsAre("first"));
  ASSERT_TRUE(simulation_.RunUntil([&] { return order.size() == 4; }, absl::Minutes(1)));
  EXPECT_THAT(far_->metrics.Render(), HasSubstr("dotagent_resolver_resolve_seconds_count 2"));
}

TEST_F(HandlerTest, AbsenceIsRememberedBrieflyAndAPublishEndsIt) {
  EXPECT_TRUE(absl::IsNotFound(Resolve(*far_, "bob.agent").status()));
  const uint64_t calls = simulation_.calls();
  const auto again = Resolve(*far_, "bob.agent");
  EXPECT_EQ(ReasonOf(again.status()), reason::kNameNotFound);
  EXPECT_EQ(simulation_.calls(), calls);
  EXPECT_THAT(far_->metrics.Render(), HasSubstr("{result=\"not_found\",source=\"cache\"} 1"));
  ASSERT_TRUE(Publish(*far_, MakeRecord().json()).ok());
  EXPECT_TRUE(Resolve(*far_, "bob.agent").ok());

  // Elsewhere it is believed for a few seconds more.
  EXPECT_TRUE(absl::IsNotFound(Resolve(*near_, "carol.agent").status()));
  ASSERT_TRUE(Publish(*far_, SignedRecord(KeyFromSeed(3), "carol.agent", simulation_.clock().Now()).json()).ok());
  EXPECT_TRUE(absl::IsNotFound(Resolve(*near_, "carol.agent").status()));
  EXPECT_TRUE(Resolve(*near_, "carol.agent", /*bypass_cache=*/true).ok());
  EXPECT_TRUE(Resolve(*near_, "carol.agent").ok());
}

TEST_F(HandlerTest, AFailureToAskIsNotRemembered) {
  ASSERT_TRUE(Publish(*near_, MakeRecord().json()).ok());
  simulation_.RunFor(absl::Minutes(1));
  bool silent = true;
  for (size_t i = 0; i < simulation_.size(); ++i) {
    simulation_.SetBehaviour(i, [&, i](const dht::Request& request) -> std::optional<dht::Response> {
      if (silent) return std::nullopt;
      return simulation_.dht(i).Handle(request.sender.key, request);
    });
  }
  const auto failed = Resolve(*far_, "bob.agent");
  EXPECT_TRUE(absl::IsUnavailable(failed.status()) || absl::IsDeadlineExceeded(failed.status())) << failed.status();
  silent = false;
  v1::ResolveResponse ignored;
  v1::ResolveRequest request;
  request.set_name("bob.agent");
  EXPECT_EQ(far_->handler.AnswerFromCache(request, ignored), std::nullopt);
}

TEST_F(HandlerTest, AnotherOwnerThanTheOneSeenBeforeIsAConflictUntilAnOperatorAcceptsIt) {
  ASSERT_TRUE(Publish(*near_, MakeRecord().json()).ok());
  // To this resolver, the one whom the DHT believes now is a newcomer.
  const record::Record seen_before = SignedRecord(KeyFromSeed(2), "bob.agent", simulation_.clock().Now());
  far_->pins->See({.record = seen_before, .owner = identity::AgentId::FromFirstKey(seen_before.public_key())},
                  simulation_.clock().Now());
  std::vector<std::string> conflicts;
  const auto watch = far_->handler.Watch(NameOf("bob.agent"), [&](const v1::WatchResponse& news) {
    if (!news.conflict().empty()) conflicts.push_back(news.conflict());
  });
  ASSERT_TRUE(watch.ok());

  for (const bool bypass_cache : {true, false}) {
    const auto refused = Resolve(*far_, "bob.agent", bypass_cache);
    EXPECT_TRUE(absl::IsAborted(refused.status())) << refused.status();
    EXPECT_EQ(ReasonOf(refused.status()), reason::kConflict);
  }
  EXPECT_EQ(conflicts.size(), 2U);
  EXPECT_THAT(far_->metrics.Render(), HasSubstr("dotagent_resolver_conflicts_total{with=\"pin\"} 2"));
  const auto taken = Publish(*far_, MakeRecord().json());
  EXPECT_EQ(ReasonOf(taken.status()), reason::kNameTaken) << taken.status();

  v1::ResolveRequest accept;
  accept.set_name("bob.agent");
  accept.set_accept_new_owner(true);
  const auto accepted = Await<v1::ResolveResponse>([&](auto done) { far_->handler.Resolve(accept, std::move(done)); });
  ASSERT_TRUE(accepted.ok()) << accepted.status();
  EXPECT_EQ(accepted->source(), v1::ANSWER_SOURCE_DHT);
  EXPECT_TRUE(Resolve(*far_, "bob.agent", /*bypass_cache=*/true).ok()) << "it is the one that is pinned now";
}

TEST_F(HandlerTest, AConflictEndsWhatTheCacheSays) {
  ASSERT_TRUE(Publish(*near_, MakeRecord().json()).ok());
  ASSERT_TRUE(Resolve(*far_, "bob.agent").ok());
  ASSERT_TRUE(far_->pins->Forget(NameOf("bob.agent")));
  const record::Record seen_before = SignedRecord(KeyFromSeed(2), "bob.agent", simulation_.clock().Now());
  far_->pins->See({.record = seen_before, .owner = identity::AgentId::FromFirstKey(seen_before.public_key())},
                  simulation_.clock().Now());
  EXPECT_TRUE(Resolve(*far_, "bob.agent").ok()) << "remembered from before";
  EXPECT_EQ(ReasonOf(Resolve(*far_, "bob.agent", /*bypass_cache=*/true).status()), reason::kConflict);
  EXPECT_EQ(ReasonOf(Resolve(*far_, "bob.agent").status()), reason::kConflict);
}

TEST_F(HandlerTest, ABatchAnswersEachNameInItsPlace) {
  ASSERT_TRUE(Publish(*near_, MakeRecord().json()).ok());
  v1::BatchResolveRequest request;
  for (int i = 0; i < 40; ++i) request.add_names(absl::StrCat("nobody", i % 20, ".agent"));
  request.add_names("bob.agent");
  request.add_names("bob.example");
  request.add_names("Bob.Agent");
  const auto batch =
      Await<v1::BatchResolveResponse>([&](auto done) { far_->handler.BatchResolve(request, std::move(done)); });
  ASSERT_TRUE(batch.ok()) << batch.status();
  ASSERT_EQ(batch->results_size(), 43);
  for (int i = 0; i < 40; ++i) {
    EXPECT_EQ(batch->results(i).name(), request.names(i));
    EXPECT_EQ(batch->results(i).error().code(), static_cast<int>(absl::StatusCode::kNotFound));
    EXPECT_EQ(batch->results(i).error().reason(), reason::kNameNotFound);
  }
  EXPECT_EQ(batch->results(40).answer().source(), v1::ANSWER_SOURCE_DHT);
  EXPECT_EQ(batch->results(41).error().reason(), reason::kBadName);
  EXPECT_TRUE(batch->results(42).has_answer());

  const uint64_t calls = simulation_.calls();
  EXPECT_TRUE(
      Await<v1::BatchResolveResponse>([&](auto done) { far_->handler.BatchResolve(request, std::move(done)); }).ok());
  EXPECT_EQ(simulation_.calls(), calls) << "all of it is remembered";
  EXPECT_EQ(Await<v1::BatchResolveResponse>([&](auto done) {
              far_->handler.BatchResolve({}, std::move(done));
            })->results_size(),
            0);
}

TEST_F(HandlerTest, ABatchIsLimited) {
  v1::BatchResolveRequest request;
  for (size_t i = 0; i <= Handler::kMaxBatch; ++i) request.add_names("bob.agent");
  const auto refused =
      Await<v1::BatchResolveResponse>([&](auto done) { far_->handler.BatchResolve(request, std::move(done)); });
  EXPECT_TRUE(absl::IsInvalidArgument(refused.status()));
  EXPECT_EQ(ReasonOf(refused.status()), reason::kTooLarge);
}

TEST_F(HandlerTest, WaitingRequestsAreLimited) {
  v1::ResolveRequest request;
  request.set_name("bob.agent");
  size_t answered = 0;
  for (size_t i = 0; i < Handler::kMaxWaiting; ++i) {
    far_->handler.Resolve(request, [&](const absl::StatusOr<v1::ResolveResponse>&) { ++answered; });
  }
  EXPECT_EQ(answered, 0U);
  const auto refused = Await<v1::ResolveResponse>([&](auto done) { far_->handler.Resolve(request, std::move(done)); });
  EXPECT_TRUE(absl::IsResourceExhausted(refused.status())) << refused.status();
  EXPECT_EQ(ReasonOf(refused.status()), reason::kLimit);
  ASSERT_TRUE(simulation_.RunUntil([&] { return answered == Handler::kMaxWaiting; }, absl::Minutes(1)));
  EXPECT_EQ(ReasonOf(Resolve(*far_, "bob.agent").status()), reason::kNameNotFound) << "there is room again";
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
  ASSERT_TRUE(near_->revocations.Learn(statement, "").ok());
  EXPECT_THAT(revocations, ElementsAre(statement));
}

TEST_F(HandlerTest, WatchersAreToldWhenARecordIsGone) {
  ASSERT_TRUE(Publish(*near_, MakeRecord(/*ttl_seconds=*/60).json()).ok());
  int absences = 0;
  ASSERT_TRUE(
      near_->handler.Watch(NameOf("bob.agent"), [&](const v1::WatchResponse& news) { absences += news.absent(); })
          .ok());
  ASSERT_TRUE(Resolve(*near_, "bob.agent").ok());
  simulation_.RunFor(absl::Seconds(61));
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(absl::IsNotFound(Resolve(*near_, "bob.agent", /*bypass_cache=*/true).status()));
    EXPECT_EQ(absences, 1);
  }
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

TEST_F(HandlerTest, ARotatedKeyKeepsItsNameByItsChain) {
  const absl::Time start = simulation_.clock().Now();
  const crypto::SigningKey second = KeyFromSeed(21);
  const crypto::SigningKey third = KeyFromSeed(22);
  std::vector<std::string> chain = {identity::MakeInception(bob_, second.public_key(), start).value()};
  chain.push_back(identity::MakeRotation(identity::VerifyRotationChain(chain, start).value(), bob_, second,
                                         third.public_key(), start)
                      .value());
  const record::NameProof proof{.rotation_chain = identity::EncodeRotationChain(chain), .name_certificate = {}};
  const std::string owner(identity::AgentId::FromFirstKey(bob_.public_key()).bytes());

  ASSERT_TRUE(Publish(*near_, MakeRecord().json()).ok());
  ASSERT_TRUE(Resolve(*far_, "bob.agent").ok());
  simulation_.RunFor(absl::Seconds(20));
  const record::Record rotated = SignedRecord(second, "bob.agent", simulation_.clock().Now());
  const auto without = Publish(*near_, rotated.json());
  EXPECT_EQ(ReasonOf(without.status()), reason::kNameTaken) << "nothing shows whose key it is";
  const auto with_chain = Publish(*near_, rotated.json(), proof);
  ASSERT_TRUE(with_chain.ok()) << with_chain.status();
  // What is remembered, and what the other resolver has pinned, is the owner and not the key.
  EXPECT_EQ(Resolve(*near_, "bob.agent")->owner(), owner);
  const auto found = Resolve(*far_, "bob.agent", /*bypass_cache=*/true);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->record_json(), rotated.json());
  EXPECT_EQ(found->owner(), owner);

  // Whoever knows the identity finds its chain.
  const auto published = GetRotation(*far_, owner);
  ASSERT_TRUE(published.ok()) << published.status();
  EXPECT_EQ(published->rotation_chain(), proof.rotation_chain);
  EXPECT_GE(published->agreeing_nodes(), 3U);
  EXPECT_EQ(GetRotation(*far_, std::string(32, 'x')).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ReasonOf(GetRotation(*far_, "x").status()), reason::kBadKey);

  const record::Record stranger = SignedRecord(third, "bob.agent", simulation_.clock().Now());
  EXPECT_EQ(ReasonOf(Publish(*far_, stranger.json(), proof).status()), reason::kKeyMismatch);
  EXPECT_EQ(ReasonOf(Publish(*far_, rotated.json(), {.rotation_chain = "x", .name_certificate = {}}).status()),
            reason::kBadStatement);
}

// Bob, who has rotated from his first key to key 21, and committed to 22.
class RotatedHandlerTest : public HandlerTest {
 protected:
  // A chain by which `first` passes to `to`, which commits to `then`.
  std::string ChainOf(const crypto::SigningKey& to, const crypto::SigningKey& then) {
    const absl::Time start = simulation_.clock().Now();
    std::vector<std::string> chain = {identity::MakeInception(bob_, to.public_key(), start).value()};
    chain.push_back(
        identity::MakeRotation(identity::VerifyRotationChain(chain, start).value(), bob_, to, then.public_key(), start)
            .value());
    return identity::EncodeRotationChain(chain);
  }
  [[nodiscard]] std::string RevocationBy(const crypto::Signer& signer, const crypto::PublicKey& revoked) {
    return identity::SignRevocationOf(signer, bob_id_, revoked, "stolen", simulation_.clock().Now()).value();
  }
  absl::Status PublishRotated(const std::string& chain, const crypto::SigningKey& key) {
    simulation_.RunFor(absl::Seconds(20));
    return Publish(*near_, SignedRecord(key, "bob.agent", simulation_.clock().Now()).json(),
                   {.rotation_chain = chain, .name_certificate = {}})
        .status();
  }

  const identity::AgentId bob_id_ = identity::AgentId::FromFirstKey(bob_.public_key());
  const crypto::SigningKey second_ = KeyFromSeed(21);
  const crypto::SigningKey third_ = KeyFromSeed(22);
};

TEST_F(RotatedHandlerTest, AForkedChainTakesNoName) {
  const std::string chain = ChainOf(second_, third_);
  ASSERT_TRUE(PublishRotated(chain, second_).ok());
  // Who has stolen the first key, once retired, signs another history.
  const crypto::SigningKey thief = KeyFromSeed(30);
  const absl::Status refused = PublishRotated(ChainOf(thief, KeyFromSeed(31)), thief);
  EXPECT_EQ(ReasonOf(refused), reason::kConflict) << refused;
  EXPECT_EQ(GetRotation(*far_, std::string(bob_id_.bytes()))->rotation_chain(), chain);
}

TEST_F(RotatedHandlerTest, AnOlderChainIsRefused) {
  const absl::Time start = simulation_.clock().Now();
  const std::string inception = identity::MakeInception(bob_, second_.public_key(), start).value();
  std::vector<std::string> chain = {inception};
  ASSERT_TRUE(PublishRotated(identity::EncodeRotationChain(chain), bob_).ok()) << "an inception alone is a chain";
  chain.push_back(identity::MakeRotation(identity::VerifyRotationChain(chain, start).value(), bob_, second_,
                                         third_.public_key(), start)
                      .value());
  ASSERT_TRUE(PublishRotated(identity::EncodeRotationChain(chain), second_).ok());
  EXPECT_EQ(ReasonOf(PublishRotated(identity::EncodeRotationChain({&inception, 1}), bob_)), reason::kSuperseded);
}

TEST_F(RotatedHandlerTest, ALaterKeysRevocationIsFoundByItsChain) {
  const std::string chain = ChainOf(second_, third_);
  ASSERT_TRUE(PublishRotated(chain, second_).ok());
  ASSERT_TRUE(Resolve(*far_, "bob.agent").ok());
  const std::string statement = RevocationBy(third_, second_.public_key());
  EXPECT_EQ(ReasonOf(PublishRevocation(*far_, statement).status()), reason::kBadStatement) << "without evidence";
  const auto revoked = PublishRevocation(*near_, statement, chain);
  ASSERT_TRUE(revoked.ok()) << revoked.status();
  EXPECT_EQ(revoked->stored_by_size(), static_cast<int>(dht::kReplicationFactor));
  const auto refused = Resolve(*far_, "bob.agent", /*bypass_cache=*/true);
  EXPECT_FALSE(refused.ok());
}

TEST_F(RotatedHandlerTest, ARetiredKeysRevocationLeavesTheName) {
  const std::string chain = ChainOf(second_, third_);
  ASSERT_TRUE(PublishRotated(chain, second_).ok());
  ASSERT_TRUE(PublishRevocation(*near_, RevocationBy(second_, bob_.public_key()), chain).ok());
  EXPECT_TRUE(near_->revocations.IsRevoked(bob_.public_key()));
  const auto found = Resolve(*far_, "bob.agent", /*bypass_cache=*/true);
  EXPECT_TRUE(found.ok()) << found.status();
}

class RegistrarHandlerTest : public HandlerTest {
 protected:
  RegistrarHandlerTest() : HandlerTest({{KeyFromSeed(70).public_key()}}) {}

  record::NameProof CertifiedBy(const crypto::Signer& registrar, const crypto::Signer& key) {
    const crypto::PublicKey holder = key.public_key();
    return {.rotation_chain = {},
            .name_certificate = identity::IssueAgentCertificate(
                                    identity::CertificateProfile::kName, registrar,
                                    {holder, identity::AgentId::FromFirstKey(holder), "bob.agent"},
                                    {"example.org", simulation_.clock().Now(), absl::Hours(24), std::string(8, 's')})
                                    .value()};
  }

  const crypto::SigningKey registrar_ = KeyFromSeed(70);
};

TEST_F(RegistrarHandlerTest, ARecordIsPublishedWithItsRegistrarsCertificateOnly) {
  const std::string json = MakeRecord().json();
  EXPECT_EQ(ReasonOf(Publish(*near_, json).status()), reason::kNotCertified);
  EXPECT_EQ(ReasonOf(Publish(*near_, json, CertifiedBy(KeyFromSeed(71), bob_)).status()), reason::kKeyMismatch);
  const auto published = Publish(*near_, json, CertifiedBy(registrar_, bob_));
  ASSERT_TRUE(published.ok()) << published.status();
  EXPECT_EQ(Resolve(*far_, "bob.agent")->record_json(), json);
}

TEST_F(RegistrarHandlerTest, ANewOwnerByTheRegistrarsWordIsNoConflict) {
  ASSERT_TRUE(Publish(*near_, MakeRecord().json(), CertifiedBy(registrar_, bob_)).ok());
  ASSERT_TRUE(Resolve(*far_, "bob.agent").ok());
  simulation_.RunFor(absl::Minutes(1));
  const crypto::SigningKey carol = KeyFromSeed(2);
  const record::Record hers = SignedRecord(carol, "bob.agent", simulation_.clock().Now());
  const auto published = Publish(*near_, hers.json(), CertifiedBy(registrar_, carol));
  ASSERT_TRUE(published.ok()) << published.status();
  const auto found = Resolve(*far_, "bob.agent", /*bypass_cache=*/true);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->record_json(), hers.json());
}

}  // namespace
}  // namespace dotagent::resolver_service
