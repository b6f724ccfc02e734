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
    bobs_inbox_ = bob_.OpenInbox();
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

  // The reason for which a channel to Bob is refused, or "" if he is offered it; then the offer is his newest.
  std::string Call(TestAgent& caller, const std::string& method = "", const std::string& token = "") {
    call_ = caller.Call("bob.agent", method, token);
    if (call_->finished) return ReasonOf(*call_->finished);
    EXPECT_EQ(Offer().caller(), caller.name);
    EXPECT_EQ(Offer().method(), method);
    EXPECT_EQ(Offer().token(), token);
    return "";
  }
  const gateway::v1::ChannelOffer& Offer() const { return bobs_inbox_->received.back().offer(); }
  void Revoke(const std::string& token, const crypto::SigningKey& signer) {
    const std::string statement =
        capability::SignTokenRevocation(signer, capability::VerifyToken(token)->last().id, "", world_.clock.Now())
            .value();
    home_.logic->OnTokenRevoked(*capability::VerifyTokenRevocation(statement, world_.clock.Now()));
    world_.tasks.Run();
  }

  static record::Json Method(const std::string& method) { return {{"method", method}}; }

  World world_;
  TestGateway home_{world_};
  TestGateway away_{world_};
  TestAgent bob_{world_, home_, "bob.agent"};
  TestAgent alice_{world_, home_, "alice.agent"};
  TestAgent carol_{world_, away_, "carol.agent"};
  int messages_ = 0;
  std::shared_ptr<InboxCall> bobs_inbox_;
  std::shared_ptr<ChannelCall> call_;  // the newest
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
  Revoke(token, bob_.key);
  EXPECT_EQ(Send(carol_, token), reason::kTokenRevoked);
  EXPECT_EQ(Send(carol_, Issue(carol_, "")), "");
}

TEST_F(InboxGuardTest, ChannelsAreForContactsToo) {
  EXPECT_EQ(Call(alice_), "") << "open until its agent says otherwise";
  ASSERT_TRUE(SetPolicy(gateway::v1::INBOX_MODE_CONTACTS, {"carol.agent"}).ok());
  EXPECT_EQ(Call(carol_), "");
  EXPECT_EQ(Call(alice_), reason::kNotAContact);
  EXPECT_EQ(Call(alice_, "", Issue(alice_, "", 0, {"channel"})), reason::kNotAContact) << "a token makes no contact";
}

TEST_F(InboxGuardTest, AChannelNeedsATokenForChannels) {
  ASSERT_TRUE(SetPolicy(gateway::v1::INBOX_MODE_CAPABILITY, {"alice.agent"}).ok());
  EXPECT_EQ(Call(alice_), "") << "a contact";
  EXPECT_EQ(Call(carol_), reason::kTokenRequired);
  EXPECT_EQ(Call(carol_, "", Issue(carol_, "", 0, {"channel"})), "");
  EXPECT_EQ(Call(carol_, "", Issue(carol_, "", 0, {"call", "send"})), reason::kNotCovered) << "call is not channel";
  EXPECT_EQ(Call(carol_, "", Issue(carol_, "/backup", 0, {"channel"})), reason::kNotCovered) << "the whole agent";
  EXPECT_EQ(Call(carol_, "backup/daily", Issue(carol_, "/backup", 0, {"channel"})), "");
  EXPECT_EQ(Call(carol_, "mail", Issue(carol_, "/backup", 0, {"channel"})), reason::kNotCovered);
  EXPECT_EQ(Call(carol_, "", Issue(alice_, "", 0, {"channel"})), reason::kKeyMismatch) << "stolen";
  EXPECT_EQ(Call(carol_, "", "no token"), reason::kUnknownField);
}

TEST_F(InboxGuardTest, ChannelsForGuardedMethodsNeedATokenFromEveryone) {
  ASSERT_TRUE(SetPolicy(gateway::v1::INBOX_MODE_OPEN, {"alice.agent"}, {"backup"}).ok());
  EXPECT_EQ(Call(alice_), "");
  EXPECT_EQ(Call(alice_, "backups"), "");
  for (const std::string method : {"backup", "backup/daily"}) {
    EXPECT_EQ(Call(alice_, method), reason::kTokenRequired);
    EXPECT_EQ(Call(carol_, method, Issue(carol_, "/backup", 0, {"channel"})), "");
  }
}

TEST_F(InboxGuardTest, AChannelsMethodHasOneSpelling) {
  for (const std::string method : {"/backup", "backup/", "backup//daily", "./backup", "backup%2fdaily"}) {
    EXPECT_EQ(Call(alice_, method), reason::kBadMessage) << method;
    EXPECT_EQ(Call(carol_, method), reason::kBadMessage) << method;
  }
  EXPECT_EQ(Call(alice_, std::string(kMaxChannelMethod + 1, 'x')), reason::kTooLarge);
  EXPECT_EQ(Call(alice_, "", std::string(capability::kMaxTokenSize + 1, 'x')), reason::kTooLarge)
      << "also where none is asked for";
}

// Another gateway says who calls; it can pair no contact's name with a key of its choice.
TEST_F(InboxGuardTest, AnotherGatewayCannotLendAName) {
  ASSERT_TRUE(SetPolicy(gateway::v1::INBOX_MODE_CAPABILITY, {"alice.agent"}).ok());
  const auto receive = [&](const std::string& name, const TestAgent& key_of, const std::string& token) {
    IncomingTrunk incoming;
    incoming.request.set_recipient("bob.agent");
    incoming.request.set_caller(name);
    incoming.request.set_caller_key(std::string(key_of.key.public_key().bytes()));
    incoming.request.set_token(token);
    absl::Status refused;
    incoming.accept = [](const auto&) { FAIL() << "nobody has taken the call"; };
    incoming.refuse = [&refused](const absl::Status& why) { refused = why; };
    incoming.from = home_.key.public_key();
    home_.logic->trunk_handlers().channel(std::move(incoming));
    world_.tasks.Run();
    return ReasonOf(refused);
  };
  EXPECT_EQ(receive("alice.agent", carol_, ""), reason::kKeyMismatch);
  EXPECT_EQ(receive("carol.agent", alice_, Issue(alice_, "", 0, {"channel"})), reason::kKeyMismatch);
  EXPECT_EQ(receive("carol.agent", carol_, std::string(capability::kMaxTokenSize + 1, 'x')), reason::kTooLarge);
  EXPECT_EQ(receive("carol.agent", carol_, Issue(carol_, "", 0, {"channel"})), "") << "what is true is offered";
  EXPECT_EQ(Offer().caller(), "carol.agent");
}

TEST_F(InboxGuardTest, AUseIsCountedForEachChannelThatIsOffered) {
  ASSERT_TRUE(SetPolicy(gateway::v1::INBOX_MODE_CAPABILITY).ok());
  const std::string token = Issue(carol_, "", 2, {"channel"});
  world_.redeemer.uses = 2;
  bobs_inbox_->Cancel();
  world_.tasks.Run();
  EXPECT_EQ(Call(carol_, "", token), reason::kRecipientOffline);
  EXPECT_TRUE(world_.redeemer.redeemed.empty()) << "none is lost on a callee that is away";
  bobs_inbox_ = bob_.OpenInbox();
  EXPECT_EQ(Call(carol_, "", token), "");
  EXPECT_EQ(Call(carol_, "", token), "");
  EXPECT_EQ(world_.redeemer.redeemed.size(), 2U);
  EXPECT_EQ(Call(carol_, "", token), reason::kUsedUp);
}

TEST_F(InboxGuardTest, AChannelEndsWhenItsTokenIsTakenBack) {
  ASSERT_TRUE(SetPolicy(gateway::v1::INBOX_MODE_CAPABILITY, {"alice.agent"}).ok());
  const auto open = [&](TestAgent& caller, const std::string& token) {
    EXPECT_EQ(Call(caller, "", token), "");
    const auto bobs = bob_.Accept(Offer().channel_id());
    EXPECT_TRUE(!bobs->received.empty() && bobs->received[0].has_opened());
    return std::pair(call_, bobs);
  };
  const std::string token = Issue(carol_, "", 0, {"channel"});
  const auto [carols, bobs] = open(carol_, token);
  const auto [others, bobs_other] = open(carol_, Issue(carol_, "", 0, {"channel"}));
  const auto [alices, bobs_third] = open(alice_, "");
  Revoke(token, alice_.key);
  EXPECT_FALSE(carols->finished || bobs->finished) << "what a stranger revokes says nothing";
  Revoke(token, bob_.key);
  ASSERT_TRUE(carols->finished && bobs->finished);
  EXPECT_EQ(ReasonOf(*bobs->finished), reason::kTokenRevoked);
  EXPECT_FALSE(others->finished || bobs_other->finished || alices->finished || bobs_third->finished);
  EXPECT_EQ(Call(carol_, "", token), reason::kTokenRevoked);
}

TEST_F(InboxGuardTest, AChannelEndsWhenItsTokensTimeIsUp) {
  ASSERT_TRUE(SetPolicy(gateway::v1::INBOX_MODE_CAPABILITY, {"alice.agent"}).ok());
  const auto open = [&](TestAgent& caller, const std::string& token) {
    EXPECT_EQ(Call(caller, "", token), "");
    return std::pair(call_, bob_.Accept(Offer().channel_id()));
  };
  const auto pass = [&](absl::Duration time) {
    world_.clock.Advance(time);
    home_.logic->Tick();
    world_.tasks.Run();
  };
  const auto [carols, bobs] = open(carol_, Issue(carol_, "", 0, {"channel"}));  // an hour
  const auto [alices, bobs_other] = open(alice_, "");
  pass(absl::Minutes(59));
  EXPECT_FALSE(carols->finished || bobs->finished);
  pass(absl::Minutes(1));
  ASSERT_TRUE(carols->finished && bobs->finished);
  EXPECT_EQ(ReasonOf(*bobs->finished), reason::kStale);
  EXPECT_FALSE(alices->finished || bobs_other->finished) << "a contact needs none";
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
              [&status](const InboxGuard::Admitted& checked) { status = checked.status(); });
  EXPECT_EQ(ReasonOf(status), reason::kNotAContact);
}

}  // namespace
}  // namespace dotagent::gateway_service
