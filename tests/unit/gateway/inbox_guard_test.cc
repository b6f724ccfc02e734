// Inbox policies and capability tokens, as agents meet them: through one gateway, and from another.
#include "services/gateway/inbox_guard.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/capability/token.h"
#include "common/capability/token_revocation.h"
#include "tests/unit/gateway/fakes.h"

namespace dotagent::gateway_service {
namespace {

using gateway::v1::InboxPolicy;

class InboxGuardTest : public testing::Test {
 protected:
  InboxGuardTest() {
    for (TestAgent* agent : {&bob_, &alice_, &carol_}) agent->Settle();
  }

  absl::Status SetPolicy(gateway::v1::InboxMode mode, const std::vector<std::string>& contacts = {},
                         const std::vector<std::string>& guarded = {}) {
    gateway::v1::SetInboxPolicyRequest request;
    request.set_name("bob.agent");
    request.mutable_policy()->set_mode(mode);
    for (const std::string& contact : contacts) request.mutable_policy()->add_contacts(contact);
    for (const std::string& method : guarded) request.mutable_policy()->add_guarded_methods(method);
    return SetPolicy(request, bob_);
  }
  absl::Status SetPolicy(const gateway::v1::SetInboxPolicyRequest& request, TestAgent& agent) {
    absl::Status status = absl::UnknownError("not answered");
    agent.gateway.logic->SetInboxPolicy(agent.token, request,
                                        [&](const auto& response) { status = response.status(); });
    world_.tasks.Run();
    return status;
  }

  // The reason for which a message to Bob is refused, or "".
  std::string Send(TestAgent& sender, const std::string& token = "",
                   const record::Json& content = record::Json::object(),
                   record::MessageType type = record::MessageType::kRequest, std::string id = "") {
    if (id.empty()) id = absl::StrCat("m", ++messages_);
    const auto message = record::Message::Sign({.id = id,
                                                .type = type,
                                                .sender = sender.name,
                                                .recipient = "bob.agent",
                                                .timestamp = world_.clock.Now(),
                                                .content = content},
                                               sender.key);
    gateway::v1::SendRequest request;
    request.set_message_json(message->json());
    request.set_token(token);
    absl::Status status = absl::UnknownError("not answered");
    sender.gateway.logic->Send(sender.token, request, [&](const auto& response) { status = response.status(); });
    world_.tasks.Run();
    return ReasonOf(status);
  }

  std::string Issue(const TestAgent& audience, const std::string& path, uint64_t uses = 0,
                    const std::vector<std::string>& actions = {"call"}) {
    return capability::IssueToken(bob_.key,
                                  {.audience = audience.key.public_key(),
                                   .resource = absl::StrCat("agent://bob.agent", path),
                                   .actions = actions,
                                   .not_before = world_.clock.Now() - absl::Minutes(1),
                                   .expires = world_.clock.Now() + absl::Hours(1),
                                   .max_uses = uses},
                                  world_.random.Bytes(16))
        .value();
  }

  static record::Json Method(const std::string& method) { return {{"method", method}}; }

  World world_;
  TestGateway home_{world_};
  TestGateway away_{world_};
  TestAgent bob_{world_, home_, "bob.agent"};
  TestAgent alice_{world_, home_, "alice.agent"};
  TestAgent carol_{world_, away_, "carol.agent"};
  int messages_ = 0;
};

TEST_F(InboxGuardTest, AnInboxIsOpenUntilItsAgentSaysOtherwise) {
  EXPECT_EQ(Send(alice_), "");
  EXPECT_EQ(Send(carol_), "");
  ASSERT_TRUE(SetPolicy(gateway::v1::INBOX_MODE_CONTACTS).ok());
  EXPECT_EQ(Send(alice_), reason::kNotAContact);
  ASSERT_TRUE(SetPolicy(gateway::v1::INBOX_MODE_OPEN).ok());
  EXPECT_EQ(Send(alice_), "");
}

TEST_F(InboxGuardTest, ContactsMode) {
  ASSERT_TRUE(SetPolicy(gateway::v1::INBOX_MODE_CONTACTS, {"carol.agent"}).ok());
  EXPECT_EQ(Send(carol_), "");
  EXPECT_EQ(Send(alice_), reason::kNotAContact);
  // A token does not make a contact.
  EXPECT_EQ(Send(alice_, Issue(alice_, "")), reason::kNotAContact);
}

TEST_F(InboxGuardTest, CapabilityMode) {
  ASSERT_TRUE(SetPolicy(gateway::v1::INBOX_MODE_CAPABILITY, {"alice.agent"}).ok());
  EXPECT_EQ(Send(alice_), "") << "a contact";
  EXPECT_EQ(Send(carol_), reason::kTokenRequired);
  EXPECT_EQ(Send(carol_, Issue(carol_, "/calendar"), Method("calendar/events")), "");
  EXPECT_EQ(Send(carol_, Issue(carol_, "/calendar"), Method("mail")), reason::kNotCovered);
  EXPECT_EQ(Send(carol_, Issue(carol_, "/calendar")), reason::kNotCovered) << "no method: the whole agent";
  EXPECT_EQ(Send(carol_, Issue(carol_, "", 0, {"read"}), Method("mail")), reason::kNotCovered);
  const auto notification = record::MessageType::kNotification;
  EXPECT_EQ(Send(carol_, Issue(carol_, ""), record::Json::object(), notification), reason::kNotCovered)
      << "call is not send";
  EXPECT_EQ(Send(carol_, Issue(carol_, "", 0, {"send"}), record::Json::object(), notification), "");
}

TEST_F(InboxGuardTest, GuardedMethodsNeedATokenFromEveryone) {
  ASSERT_TRUE(SetPolicy(gateway::v1::INBOX_MODE_OPEN, {"alice.agent"}, {"calendar"}).ok());
  EXPECT_EQ(Send(alice_, "", Method("mail")), "");
  EXPECT_EQ(Send(alice_, "", Method("calendars")), "");
  EXPECT_EQ(Send(alice_), "") << "no method";
  EXPECT_EQ(Send(alice_, "", Method("calendar/events"), record::MessageType::kNotification), "") << "no request";
  for (const std::string method : {"calendar", "calendar/events"}) {
    EXPECT_EQ(Send(alice_, "", Method(method)), reason::kTokenRequired);
    EXPECT_EQ(Send(alice_, Issue(alice_, "/calendar"), Method(method)), "");
    EXPECT_EQ(Send(carol_, Issue(carol_, "/calendar"), Method(method)), "");
  }
  // Other spellings, which the agent might take for it.
  for (const std::string method :
       {"/calendar", "calendar/", "calendar//events", "./calendar", "calendar%2fevents", ""}) {
    EXPECT_EQ(Send(alice_, "", Method(method)), reason::kTokenRequired) << method;
    EXPECT_EQ(Send(alice_, Issue(alice_, "/calendar"), Method(method)), reason::kNotCovered) << method;
  }
  EXPECT_EQ(Send(alice_, "", {{"method", 7}}), reason::kTokenRequired);
}

TEST_F(InboxGuardTest, TheSendersKeyIsThePresenter) {
  ASSERT_TRUE(SetPolicy(gateway::v1::INBOX_MODE_CAPABILITY).ok());
  EXPECT_EQ(Send(carol_, Issue(alice_, "")), reason::kKeyMismatch) << "stolen";
  const std::string forged = capability::IssueToken(carol_.key,
                                                    {.audience = carol_.key.public_key(),
                                                     .resource = "agent://bob.agent",
                                                     .actions = {"call"},
                                                     .not_before = world_.clock.Now() - absl::Minutes(1),
                                                     .expires = world_.clock.Now() + absl::Hours(1)},
                                                    world_.random.Bytes(16))
                                 .value();
  EXPECT_EQ(Send(carol_, forged), reason::kNotOwner);
  EXPECT_EQ(Send(carol_, "no token"), reason::kUnknownField);
  EXPECT_EQ(Send(carol_, std::string(capability::kMaxTokenSize + 1, 'x')), reason::kTooLarge);
  const std::string token = Issue(carol_, "");
  world_.clock.Advance(absl::Hours(2));
  ASSERT_TRUE(carol_.Authenticate().ok());
  EXPECT_EQ(Send(carol_, token), reason::kStale);
}

TEST_F(InboxGuardTest, CountedUsesAreRedeemedOnceAMessage) {
  ASSERT_TRUE(SetPolicy(gateway::v1::INBOX_MODE_CAPABILITY).ok());
  const std::string token = Issue(carol_, "", 2);
  world_.redeemer.uses = 2;
  const auto send = [&](const std::string& id) {
    return Send(carol_, token, record::Json::object(), record::MessageType::kRequest, id);
  };
  EXPECT_EQ(send("a"), "");
  EXPECT_EQ(send("a"), "") << "sent again, it is the same use";
  EXPECT_EQ(send("b"), "");
  EXPECT_EQ(send("c"), reason::kUsedUp);
  EXPECT_EQ(world_.redeemer.redeemed.size(), 2U);
  world_.redeemer.failure = ErrorWithReason(absl::StatusCode::kUnavailable, reason::kUnreachable, "no identity");
  EXPECT_EQ(send("d"), reason::kUnreachable) << "not counted, not let in";
  EXPECT_EQ(Send(carol_, Issue(carol_, "")), "") << "without a count identity is not asked";
}

TEST_F(InboxGuardTest, RevocationsCountAtOnce) {
  ASSERT_TRUE(SetPolicy(gateway::v1::INBOX_MODE_CAPABILITY).ok());
  const std::string token = Issue(carol_, "");
  EXPECT_EQ(Send(carol_, token), "");
  const std::string statement =
      capability::SignTokenRevocation(bob_.key, capability::VerifyToken(token)->last().id, "", world_.clock.Now())
          .value();
  home_.guard.OnTokenRevoked(*capability::VerifyTokenRevocation(statement, world_.clock.Now()));
  EXPECT_EQ(Send(carol_, token), reason::kTokenRevoked);
  EXPECT_EQ(Send(carol_, Issue(carol_, "")), "");
}

TEST_F(InboxGuardTest, PolicyIsTheHoldersAlone) {
  gateway::v1::SetInboxPolicyRequest request;
  request.set_name("bob.agent");
  request.mutable_policy()->set_mode(gateway::v1::INBOX_MODE_OPEN);
  EXPECT_EQ(ReasonOf(SetPolicy(request, alice_)), reason::kKeyMismatch);
  request.set_name("bob");
  EXPECT_EQ(ReasonOf(SetPolicy(request, bob_)), reason::kBadName);
}

TEST_F(InboxGuardTest, RefusesWhatIsNoPolicy) {
  EXPECT_EQ(ReasonOf(SetPolicy(gateway::v1::INBOX_MODE_UNSPECIFIED)), reason::kBadMessage);
  EXPECT_EQ(ReasonOf(SetPolicy(static_cast<gateway::v1::InboxMode>(9))), reason::kBadMessage);
  EXPECT_EQ(ReasonOf(SetPolicy(gateway::v1::INBOX_MODE_OPEN, {"Carol.agent"})), reason::kBadMessage);
  EXPECT_EQ(ReasonOf(SetPolicy(gateway::v1::INBOX_MODE_OPEN, {"carol"})), reason::kBadMessage);
  EXPECT_EQ(ReasonOf(SetPolicy(gateway::v1::INBOX_MODE_OPEN, {}, {"/calendar"})), reason::kBadMessage);
  EXPECT_EQ(ReasonOf(SetPolicy(gateway::v1::INBOX_MODE_OPEN, {}, {""})), reason::kBadMessage);
  EXPECT_EQ(ReasonOf(SetPolicy(gateway::v1::INBOX_MODE_OPEN, std::vector<std::string>(kMaxContacts + 1, "a.agent"))),
            reason::kBadMessage);
  EXPECT_EQ(
      ReasonOf(SetPolicy(gateway::v1::INBOX_MODE_OPEN, {}, std::vector<std::string>(kMaxGuardedMethods + 1, "a"))),
      reason::kBadMessage);
  EXPECT_EQ(Send(alice_), "") << "what was refused changes nothing";
}

TEST_F(InboxGuardTest, PolicySurvivesARestart) {
  ASSERT_TRUE(SetPolicy(gateway::v1::INBOX_MODE_CONTACTS).ok());
  telemetry::Metrics metrics;
  InboxGuard again(
      *home_.store, world_.redeemer, [](const crypto::PublicKey&) { return false; }, world_.clock, metrics);
  const auto message = record::Message::Sign(
      {.id = "m", .sender = "alice.agent", .recipient = "bob.agent", .timestamp = world_.clock.Now()}, alice_.key);
  absl::Status status;
  again.Check(*message, alice_.key.public_key(), *bob_.MakeRecord({home_.address()}), "",
              [&status](const absl::Status& checked) { status = checked; });
  EXPECT_EQ(ReasonOf(status), reason::kNotAContact);
}

}  // namespace
}  // namespace dotagent::gateway_service
