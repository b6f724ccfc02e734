// Requests and their answers, at one gateway and between two.
#include "services/gateway/requests.h"

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/capability/token.h"
#include "common/capability/token_revocation.h"
#include "common/record/answer.h"
#include "tests/unit/gateway/fakes.h"

namespace dotagent::gateway_service {
namespace {

using record::MessageType;

class RequestsTest : public testing::Test {
 protected:
  using Result = std::shared_ptr<std::optional<absl::StatusOr<gateway::v1::RequestResponse>>>;

  void SetUp() override {
    alice_.Settle();
    bob_.Settle();
    carol_.Settle();
  }

  std::string Sign(const TestAgent& from, MessageType type, const std::string& to, const std::string& id,
                   record::Json content = record::Json::object()) const {
    return record::Message::Sign({.id = id,
                                  .type = type,
                                  .sender = from.name,
                                  .recipient = to,
                                  .timestamp = world_.clock.Now(),
                                  .content = std::move(content)},
                                 from.key)
        ->json();
  }
  Result Ask(TestAgent& who, const std::string& json, absl::Duration timeout = absl::Seconds(10),
             const std::string& token = "") {
    gateway::v1::RequestRequest request;
    request.set_message_json(json);
    request.set_token(token);
    auto result = std::make_shared<std::optional<absl::StatusOr<gateway::v1::RequestResponse>>>();
    who.gateway.logic->Request(who.token, request, world_.clock.Now() + timeout, [result](auto response) {
      EXPECT_FALSE(result->has_value()) << "answered twice";
      *result = std::move(response);
    });
    world_.tasks.Run();
    return result;
  }
  Result AskBob(const std::string& id) { return Ask(alice_, Sign(alice_, MessageType::kRequest, "bob.agent", id)); }

  std::shared_ptr<InboxCall> Listen(TestAgent& who, bool requests = true) {
    auto call = std::make_shared<InboxCall>(world_.tasks);
    gateway::v1::InboxRequest request;
    request.mutable_open()->set_name(who.name);
    request.mutable_open()->set_accept_requests(requests);
    call->Send(request);
    who.gateway.logic->Inbox(who.token, call);
    world_.tasks.Run();
    return call;
  }
  void Give(InboxCall& call, const std::string& json) {
    gateway::v1::InboxRequest request;
    request.mutable_answer()->set_message_json(json);
    call.Send(request);
    world_.tasks.Run();
  }
  void AnswerFrom(InboxCall& call, const TestAgent& who, const std::string& id) {
    Give(call, Sign(who, MessageType::kResponse, "alice.agent", id, {{"sum", 4}}));
  }
  static absl::string_view ReasonFor(const Result& result) {
    if (!result->has_value()) return "no answer";
    reason_ = ReasonOf((*result)->status());
    return reason_;
  }

  World world_;
  TestGateway one_{world_};
  TestGateway two_{world_};
  TestAgent alice_{world_, one_, "alice.agent"};
  TestAgent bob_{world_, two_, "bob.agent"};
  TestAgent carol_{world_, one_, "carol.agent"};  // at alice's gateway
  static inline std::string reason_;
};

TEST_F(RequestsTest, AnAnswerComesBackAcrossGatewaysAndWithinOne) {
  for (TestAgent* const other : {&bob_, &carol_}) {
    const auto inbox = Listen(*other);
    const std::string json = Sign(alice_, MessageType::kRequest, other->name, "q1", {{"method", "add"}});
    const Result result = Ask(alice_, json);
    ASSERT_EQ(inbox->received.size(), 2u);
    ASSERT_TRUE(inbox->received[1].has_request());
    EXPECT_EQ(inbox->received[1].request().message_json(), json);
    EXPECT_EQ(inbox->received[1].request().sender_key(), alice_.key.public_key().bytes());
    EXPECT_EQ(inbox->received[1].request().timeout_ms(), 10'000u);
    EXPECT_FALSE(result->has_value());
    AnswerFrom(*inbox, *other, "q1");
    ASSERT_TRUE(result->has_value());
    ASSERT_TRUE((*result)->ok()) << (*result)->status();
    const auto record = record::Record::Verify((**result)->recipient_record_json(), world_.clock.Now());
    ASSERT_TRUE(record.ok()) << record.status();
    EXPECT_EQ(record->public_key(), other->key.public_key());
    EXPECT_TRUE(record::Message::Verify((**result)->message_json(), record->public_key(), world_.clock.Now()).ok());
  }
}

TEST_F(RequestsTest, AnErrorIsAnAnswer) {
  const auto inbox = Listen(bob_);
  const Result result = AskBob("q1");
  Give(*inbox, Sign(bob_, MessageType::kError, "alice.agent", "q1", record::ErrorContent(absl::NotFoundError("no"))));
  ASSERT_TRUE(result->has_value());
  EXPECT_TRUE((*result)->ok());
}

TEST_F(RequestsTest, WhoDoesNotListenForRequestsIsNotAsked) {
  EXPECT_EQ(ReasonFor(AskBob("q1")), reason::kRecipientOffline);
  const auto inbox = Listen(bob_, /*requests=*/false);
  EXPECT_EQ(ReasonFor(AskBob("q1")), reason::kRecipientOffline);
  EXPECT_EQ(inbox->received.size(), 1u);
  // Nor did it count: the same REQUEST may be tried again.
  const auto listening = Listen(bob_);
  EXPECT_FALSE(AskBob("q1")->has_value());
  EXPECT_EQ(two_.inboxes->size(), 0u) << "nothing is kept";
}

TEST_F(RequestsTest, ARequestIsHandedOverOnce) {
  const auto inbox = Listen(bob_);
  const std::string json = Sign(alice_, MessageType::kRequest, "bob.agent", "q1");
  const Result first = Ask(alice_, json);
  EXPECT_EQ(ReasonFor(Ask(alice_, json)), reason::kStale) << "while the first one waits";
  AnswerFrom(*inbox, bob_, "q1");
  EXPECT_TRUE((*first)->ok());
  EXPECT_EQ(ReasonFor(Ask(alice_, json)), reason::kStale);
  world_.clock.Advance(absl::Minutes(5) + absl::Seconds(1));
  EXPECT_EQ(ReasonFor(Ask(alice_, json)), reason::kStale) << "too old now";
  EXPECT_EQ(inbox->received.size(), 2u);
}

TEST_F(RequestsTest, OnlyTheRecipientsAnswerToThatRequestCounts) {
  const auto inbox = Listen(bob_);
  const Result result = AskBob("q1");
  const auto refused = [&](const std::string& json) {
    const size_t before = inbox->received.size();
    Give(*inbox, json);
    if (inbox->received.size() != before + 1 || !inbox->received.back().has_refused()) return std::string("taken");
    return inbox->received.back().refused().reason();
  };
  EXPECT_EQ(refused(Sign(bob_, MessageType::kResponse, "alice.agent", "q2")), reason::kStale);
  EXPECT_EQ(refused(Sign(bob_, MessageType::kResponse, "carol.agent", "q1")), reason::kStale);
  EXPECT_EQ(refused(Sign(bob_, MessageType::kNotification, "alice.agent", "q1")), reason::kBadMessage);
  EXPECT_EQ(refused(Sign(bob_, MessageType::kError, "alice.agent", "q1")), reason::kBadMessage);
  EXPECT_EQ(refused(Sign(carol_, MessageType::kResponse, "alice.agent", "q1")), reason::kBadSignature);
  EXPECT_FALSE(refused("{}").empty());
  EXPECT_FALSE(result->has_value());
  AnswerFrom(*inbox, bob_, "q1");
  EXPECT_TRUE((*result)->ok());
  EXPECT_EQ(refused(Sign(bob_, MessageType::kResponse, "alice.agent", "q1")), reason::kStale) << "a second answer";
  EXPECT_FALSE(inbox->finished);
}

TEST_F(RequestsTest, AGatewayThatChangesTheAnswerIsFoundOut) {
  const auto inbox = Listen(bob_);
  const std::string of_carol = Sign(carol_, MessageType::kResponse, "alice.agent", "q1");
  const std::string to_another = Sign(bob_, MessageType::kResponse, "alice.agent", "q0");
  world_.trunks.lie = [&](Answer& answer) { answer.message_json = of_carol; };
  const Result first = AskBob("q1");
  AnswerFrom(*inbox, bob_, "q1");
  EXPECT_EQ(ReasonFor(first), reason::kBadSignature);
  world_.trunks.lie = [&](Answer& answer) { answer.message_json = to_another; };
  const Result second = AskBob("q2");
  AnswerFrom(*inbox, bob_, "q2");
  EXPECT_EQ(ReasonFor(second), reason::kBadMessage);
  world_.trunks.lie = [&](Answer& answer) { answer.attachment = "beside it"; };
  const Result third = AskBob("q3");
  AnswerFrom(*inbox, bob_, "q3");
  EXPECT_EQ(ReasonFor(third), reason::kBadMessage);
}

TEST_F(RequestsTest, TheDeadlineTravels) {
  const auto inbox = Listen(bob_);
  const Result result = Ask(alice_, Sign(alice_, MessageType::kRequest, "bob.agent", "q1"), absl::Seconds(3));
  EXPECT_EQ(inbox->received.back().request().timeout_ms(), 3'000u);
  world_.clock.Advance(absl::Seconds(2));
  two_.logic->Tick();
  EXPECT_FALSE(result->has_value());
  world_.clock.Advance(absl::Seconds(1));
  two_.logic->Tick();
  ASSERT_TRUE(result->has_value());
  EXPECT_TRUE(absl::IsDeadlineExceeded((*result)->status()));
  Give(*inbox, Sign(bob_, MessageType::kResponse, "alice.agent", "q1"));
  EXPECT_EQ(inbox->received.back().refused().reason(), reason::kStale) << "nobody waits any more";
}

TEST_F(RequestsTest, ARecipientThatGoesAwayIsNotWaitedFor) {
  const auto inbox = Listen(bob_);
  const Result first = AskBob("q1");
  inbox->Cancel();
  world_.tasks.Run();
  EXPECT_EQ(ReasonFor(first), reason::kRecipientOffline);
  const auto again = Listen(bob_);
  const Result second = AskBob("q2");
  const auto newer = Listen(bob_);
  EXPECT_EQ(ReasonFor(second), reason::kRecipientOffline)
      << "what the older Inbox was asked, the newer one does not know";
}

TEST_F(RequestsTest, OnlyARequestOfTheCallersOwnIsTaken) {
  const auto inbox = Listen(bob_);
  EXPECT_EQ(ReasonFor(Ask(alice_, Sign(alice_, MessageType::kNotification, "bob.agent", "q1"))), reason::kBadMessage);
  EXPECT_EQ(ReasonFor(Ask(alice_, Sign(carol_, MessageType::kRequest, "bob.agent", "q1"))), reason::kBadSignature);
  EXPECT_EQ(ReasonFor(Ask(alice_, Sign(alice_, MessageType::kRequest, "nobody.agent", "q1"))), reason::kNameNotFound);
  EXPECT_EQ(inbox->received.size(), 1u);
}

TEST_F(RequestsTest, TheInboxPolicyHoldsForRequests) {
  gateway::v1::InboxPolicy policy;
  policy.set_mode(gateway::v1::INBOX_MODE_CONTACTS);
  ASSERT_TRUE(two_.guard.SetPolicy(*record::Name::Parse("bob.agent"), policy).ok());
  const auto inbox = Listen(bob_);
  EXPECT_EQ(ReasonFor(AskBob("q1")), reason::kNotAContact);
  EXPECT_EQ(inbox->received.size(), 1u);
}

TEST_F(RequestsTest, AGuardedMethodNeedsAToken) {
  gateway::v1::InboxPolicy policy;
  policy.set_mode(gateway::v1::INBOX_MODE_OPEN);
  policy.add_guarded_methods("calendar");
  ASSERT_TRUE(two_.guard.SetPolicy(*record::Name::Parse("bob.agent"), policy).ok());
  const auto inbox = Listen(bob_);
  const auto ask = [&](TestAgent& who, const std::string& id, const std::string& method, const std::string& token) {
    return Ask(who, Sign(who, MessageType::kRequest, "bob.agent", id, {{"method", method}}), absl::Seconds(10), token);
  };
  const auto issue = [&](const TestAgent& audience, const std::string& path, uint64_t uses) {
    return capability::IssueToken(bob_.key,
                                  {.audience = audience.key.public_key(),
                                   .resource = "agent://bob.agent" + path,
                                   .actions = {"call"},
                                   .not_before = world_.clock.Now() - absl::Minutes(1),
                                   .expires = world_.clock.Now() + absl::Hours(1),
                                   .max_uses = uses},
                                  world_.random.Bytes(16))
        .value();
  };
  for (TestAgent* who : {&alice_, &carol_}) {  // at the other gateway, and at Bob's own
    const std::string token = issue(*who, "/calendar", 0);
    EXPECT_FALSE(ask(*who, "free", "weather", "")->has_value()) << "not guarded: Bob is asked";
    EXPECT_EQ(ReasonFor(ask(*who, "q1", "calendar/events", "")), reason::kTokenRequired);
    EXPECT_EQ(ReasonFor(ask(*who, "q2", "calendar/events", issue(*who, "/mail", 0))), reason::kNotCovered);
    EXPECT_EQ(ReasonFor(ask(*who, "q3", "calendar/events", issue(bob_, "/calendar", 0))), reason::kKeyMismatch);
    EXPECT_FALSE(ask(*who, "q4", "calendar/events", token)->has_value()) << "Bob is asked";
    const std::string statement =
        capability::SignTokenRevocation(bob_.key, capability::VerifyToken(token)->last().id, "", world_.clock.Now())
            .value();
    two_.logic->OnTokenRevoked(*capability::VerifyTokenRevocation(statement, world_.clock.Now()));
    EXPECT_EQ(ReasonFor(ask(*who, "q5", "calendar/events", token)), reason::kTokenRevoked);
    // Of a counted one each use is redeemed once, and then there is none.
    world_.redeemer.uses = 1;
    const std::string counted = issue(*who, "/calendar", 1);
    EXPECT_FALSE(ask(*who, "q6", "calendar/events", counted)->has_value()) << "Bob is asked";
    EXPECT_EQ(ReasonFor(ask(*who, "q7", "calendar/events", counted)), reason::kUsedUp);
  }
  EXPECT_EQ(inbox->received.size(), 1 + 2 * 3u);
}

TEST_F(RequestsTest, ASlowRecipientHasSoManyBytesWaiting) {
  const auto inbox = Listen(bob_);
  inbox->stalled = true;
  const std::string large(record::kMaxAttachmentSize, 'x');
  const auto ask = [&](size_t n) {
    const std::string json = Sign(carol_, MessageType::kRequest, "bob.agent", absl::StrCat("q", n),
                                  record::AttachmentContent("text/plain", large));
    gateway::v1::RequestRequest request;
    request.set_message_json(json);
    request.set_attachment(large);
    auto result = std::make_shared<std::optional<absl::StatusOr<gateway::v1::RequestResponse>>>();
    carol_.gateway.logic->Request(carol_.token, request, world_.clock.Now() + absl::Minutes(1),
                                  [result](auto response) { *result = std::move(response); });
    world_.tasks.Run();
    return result;
  };
  // One is being written.
  const size_t fit = kMaxAskedBytes / large.size() + 1;
  ASSERT_LT(fit, kMaxAsked);
  for (size_t n = 0; n < fit; ++n) EXPECT_FALSE(ask(n)->has_value()) << n;
  EXPECT_EQ(ReasonFor(ask(fit)), reason::kLimit);
  inbox->Resume();
  world_.tasks.Run();
  EXPECT_FALSE(ask(fit + 1)->has_value()) << "what was read makes room";
}

// Bob reads what he is asked, and answers nothing.
TEST_F(RequestsTest, OneAgentDoesNotTakeAllPlaces) {
  const auto bobs = Listen(bob_);
  TestAgent dave(world_, two_, "dave.agent");
  dave.Settle();
  const auto daves = Listen(dave);
  const auto ask = [&](TestAgent& who, const TestAgent& whom, size_t n) {
    return Ask(who, Sign(who, MessageType::kRequest, whom.name, absl::StrCat("q", n)), absl::Minutes(5));
  };
  for (size_t n = 0; n < kMaxRequestsOfOne; ++n) {
    ASSERT_FALSE(ask(alice_, n % 2 == 0 ? bob_ : dave, n)->has_value()) << n;
  }
  EXPECT_EQ(ReasonFor(ask(alice_, bob_, kMaxRequestsOfOne)), reason::kLimit) << "she has her share";
  for (size_t n = 0; n < kMaxRequestsOfOne / 2; ++n) ASSERT_FALSE(ask(carol_, bob_, n)->has_value()) << n;
  EXPECT_EQ(ReasonFor(ask(carol_, bob_, kMaxRequestsOfOne)), reason::kLimit) << "Bob's inbox has its share";
  EXPECT_FALSE(ask(carol_, dave, kMaxRequestsOfOne)->has_value()) << "and Dave is still asked";
  AnswerFrom(*bobs, bob_, "q0");
  EXPECT_FALSE(ask(alice_, dave, kMaxRequestsOfOne + 1)->has_value()) << "an answer makes room";
}

TEST_F(RequestsTest, ASlowRecipientHasSoManyWaitingAndNoMore) {
  const auto inbox = Listen(bob_);
  inbox->stalled = true;
  // One is being written.
  for (size_t n = 0; n <= kMaxAsked; ++n) EXPECT_FALSE(AskBob(absl::StrCat("q", n))->has_value());
  EXPECT_EQ(ReasonFor(AskBob("one-more")), reason::kLimit);
}

}  // namespace
}  // namespace dotagent::gateway_service
