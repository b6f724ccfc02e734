// Authentication, registration, messages and inboxes, over one gateway and two.
#include "services/gateway/gateway.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "tests/unit/gateway/fakes.h"

namespace dotagent::gateway_service {
namespace {

class GatewayTest : public testing::Test {
 protected:
  World world_;
  TestGateway one_{world_};
  TestGateway two_{world_};
  TestAgent alice_{world_, one_, "alice.agent"};
  TestAgent bob_{world_, two_, "bob.agent"};
};

gateway::v1::InboxRequest AckOf(uint64_t sequence) {
  gateway::v1::InboxRequest request;
  request.mutable_ack()->add_sequences(sequence);
  return request;
}

TEST_F(GatewayTest, TellsWhoItIs) {
  const auto info = one_.logic->GetInfo();
  EXPECT_EQ(info.peer_id(), crypto::PeerIdFromKey(one_.key.public_key()));
  ASSERT_EQ(info.addresses_size(), 1);
  EXPECT_EQ(info.addresses(0), one_.address());
  EXPECT_FALSE(info.version().empty());
}

TEST_F(GatewayTest, NegotiatesVersionsAndFeatures) {
  gateway::v1::NegotiateRequest request;
  for (const char* version : {"2.0.0", "1.0.0", "0.9.0", "nonsense"}) request.add_versions(version);
  request.add_required_features("topics");
  const auto spoken = one_.logic->Negotiate(request);
  ASSERT_TRUE(spoken.ok()) << spoken.status();
  EXPECT_EQ(spoken->version(), "1.0.0");
  ASSERT_EQ(spoken->message_versions_size(), 1);
  EXPECT_EQ(spoken->message_versions(0), "1.0.0");
  EXPECT_EQ(spoken->limits().message_bytes(), record::kMaxMessageSize);
  EXPECT_EQ(spoken->limits().channels(), 8u);
  EXPECT_EQ(spoken->limits().inbox_messages(), InboxLimits().max_messages);
  EXPECT_FALSE(spoken->release().empty());

  request.add_required_features("telepathy");
  const auto missing = one_.logic->Negotiate(request);
  EXPECT_TRUE(absl::IsFailedPrecondition(missing.status())) << missing.status();
  EXPECT_EQ(ReasonOf(missing.status()), reason::kVersion);
  EXPECT_NE(missing.status().message().find("telepathy"), std::string::npos);
  EXPECT_NE(missing.status().message().find("dead-letters"), std::string::npos);

  request.Clear();
  request.add_versions("2.0.0");
  const auto newer = one_.logic->Negotiate(request);
  EXPECT_EQ(ReasonOf(newer.status()), reason::kVersion);
  EXPECT_NE(newer.status().message().find("1.0.0 is spoken here, and 2.0.0 was offered"), std::string::npos)
      << newer.status();
}

TEST_F(GatewayTest, AMessageOfAnUnknownVersionIsRefusedAsThat) {
  alice_.Settle();
  record::Json message = record::Json::parse(alice_.SignMessage("bob.agent", "m1"));
  message["version"] = "2.0.0";
  const auto sent = alice_.Send(message.dump());
  EXPECT_TRUE(absl::IsFailedPrecondition(sent.status())) << sent.status();
  EXPECT_EQ(ReasonOf(sent.status()), reason::kVersion);
  EXPECT_NE(sent.status().message().find("/dotagent/message/1.0.0"), std::string::npos);
}

TEST_F(GatewayTest, EveryCallNeedsAToken) {
  const auto record = alice_.MakeRecord({one_.address()});
  EXPECT_EQ(ReasonOf(alice_.Register(record->json()).status()), reason::kNotAuthenticated);
  EXPECT_EQ(ReasonOf(alice_.Send("{}").status()), reason::kNotAuthenticated);
  EXPECT_EQ(ReasonOf(*alice_.OpenInbox()->finished), reason::kNotAuthenticated);
  EXPECT_EQ(ReasonOf(*alice_.Call("bob.agent")->finished), reason::kNotAuthenticated);
  absl::Status resolved;
  one_.logic->Resolve("", {}, [&](const auto& response) { resolved = response.status(); });
  EXPECT_EQ(ReasonOf(resolved), reason::kNotAuthenticated);
}

TEST_F(GatewayTest, RefusesAWrongProof) {
  gateway::v1::ChallengeRequest challenge;
  challenge.set_public_key(std::string(alice_.key.public_key().bytes()));
  challenge.set_client_nonce(std::string(32, 'n'));
  const auto challenged = one_.logic->authenticator().Challenge(challenge);
  ASSERT_TRUE(challenged.ok()) << challenged.status();
  gateway::v1::AuthenticateRequest answer;
  answer.set_challenge_id(challenged->challenge_id());
  answer.set_signature(std::string(64, 's'));
  EXPECT_TRUE(absl::IsUnauthenticated(one_.logic->authenticator().Authenticate(answer).status()));
}

TEST_F(GatewayTest, RefusesARevokedKeyAndItsTokens) {
  ASSERT_TRUE(alice_.Authenticate().ok());
  world_.revoked.insert(alice_.key.public_key());
  one_.logic->OnRevoked(alice_.key.public_key());
  EXPECT_EQ(ReasonOf(alice_.Send("{}").status()), reason::kNotAuthenticated);
  const absl::Status again = alice_.Authenticate();
  EXPECT_TRUE(absl::IsPermissionDenied(again));
  EXPECT_EQ(ReasonOf(again), reason::kKeyRevoked);
}

TEST_F(GatewayTest, RegistersARecordOfTheAuthenticatedKeyThatLivesHere) {
  ASSERT_TRUE(alice_.Authenticate().ok());
  EXPECT_EQ(ReasonOf(alice_.Register(bob_.MakeRecord({one_.address()})->json()).status()), reason::kKeyMismatch);
  const auto elsewhere = alice_.Register(alice_.MakeRecord({two_.address()})->json());
  EXPECT_TRUE(absl::IsInvalidArgument(elsewhere.status()));
  EXPECT_EQ(ReasonOf(elsewhere.status()), reason::kBadRecord);
  EXPECT_FALSE(alice_.Register("{}").ok());
  const auto registered = alice_.Register(alice_.MakeRecord({one_.address()})->json());
  ASSERT_TRUE(registered.ok()) << registered.status();
  EXPECT_EQ(registered->stored_by_size(), 3);
  EXPECT_EQ(registered->asked(), 5u);
}

TEST_F(GatewayTest, WhatGoesWithARecordIsPassedOn) {
  ASSERT_TRUE(alice_.Authenticate().ok());
  ASSERT_TRUE(alice_.Register(alice_.MakeRecord({one_.address()})->json(), {"the chain", "the certificate"}).ok());
  EXPECT_EQ(alice_.world.directory.last_proof.rotation_chain, "the chain");
  EXPECT_EQ(alice_.world.directory.last_proof.name_certificate, "the certificate");
}

TEST_F(GatewayTest, DeliversAcrossGatewaysAndKeepsUntilAcknowledged) {
  alice_.Settle();
  bob_.Settle();
  const std::string json = alice_.SignMessage("bob.agent", "m1", "attached");
  const auto sent = alice_.Send(json, "attached");
  ASSERT_TRUE(sent.ok()) << sent.status();
  EXPECT_FALSE(sent->duplicate());
  EXPECT_TRUE(alice_.Send(json, "attached")->duplicate());

  auto inbox = bob_.OpenInbox();
  ASSERT_EQ(inbox->received.size(), 2u);
  EXPECT_EQ(inbox->received[0].ready().pending(), 1u);
  EXPECT_EQ(inbox->received[1].message().message_json(), json);
  EXPECT_EQ(inbox->received[1].message().attachment(), "attached");
  EXPECT_EQ(inbox->received[1].message().sender_key(), alice_.key.public_key().bytes());

  // Not acknowledged: it comes again. Then live.
  inbox->Cancel();
  inbox = bob_.OpenInbox();
  ASSERT_EQ(inbox->received.size(), 2u);
  const uint64_t first = inbox->received[1].message().sequence();
  ASSERT_TRUE(alice_.Send(alice_.SignMessage("bob.agent", "m2")).ok());
  ASSERT_EQ(inbox->received.size(), 3u);
  inbox->Send(AckOf(first));
  inbox->Send(AckOf(inbox->received[2].message().sequence()));
  world_.tasks.Run();
  EXPECT_EQ(two_.inboxes->size(), 0u);
  EXPECT_EQ(bob_.OpenInbox()->received.size(), 1u);
}

TEST_F(GatewayTest, DeliversWithinAGateway) {
  TestAgent carol(world_, one_, "carol.agent");
  alice_.Settle();
  carol.Settle();
  const auto inbox = carol.OpenInbox();
  ASSERT_TRUE(alice_.Send(alice_.SignMessage("carol.agent", "m1")).ok());
  ASSERT_EQ(inbox->received.size(), 2u);
}

TEST_F(GatewayTest, RefusesMessagesThatBreakARule) {
  alice_.Settle();
  bob_.Settle();
  const auto unknown = alice_.Send(alice_.SignMessage("nobody.agent", "m1"));
  EXPECT_TRUE(absl::IsNotFound(unknown.status()));
  EXPECT_EQ(ReasonOf(unknown.status()), reason::kNameNotFound);
  EXPECT_EQ(ReasonOf(alice_.Send(bob_.SignMessage("alice.agent", "m1")).status()), reason::kBadSignature);
  EXPECT_EQ(ReasonOf(alice_.Send(alice_.SignMessage("bob.agent", "m1"), "unannounced").status()), reason::kBadMessage);
  EXPECT_EQ(ReasonOf(alice_.Send(std::string(record::kMaxMessageSize + 1, ' ')).status()), reason::kTooLarge);
  EXPECT_EQ(
      ReasonOf(alice_.Send(alice_.SignMessage("bob.agent", "m1"), std::string(record::kMaxAttachmentSize + 1, ' '))
                   .status()),
      reason::kTooLarge);

  // A minute ahead is a clock that is off; an hour is refused, and kept out of the inbox.
  const auto signed_at = [&](absl::Time time) {
    return record::Message::Sign({.id = "m1", .sender = "alice.agent", .recipient = "bob.agent", .timestamp = time},
                                 alice_.key)
        ->json();
  };
  EXPECT_EQ(ReasonOf(alice_.Send(signed_at(world_.clock.Now() + absl::Hours(1))).status()), reason::kFutureDated);

  // Signed with the right key, but in the name of another.
  TestAgent mallory(world_, one_, "mallory.agent");
  ASSERT_TRUE(mallory.Authenticate().ok());
  const auto unregistered = mallory.Send(mallory.SignMessage("bob.agent", "m1"));
  EXPECT_TRUE(absl::IsFailedPrecondition(unregistered.status())) << unregistered.status();
  TestAgent impostor(world_, one_, "alice.agent");
  ASSERT_TRUE(impostor.Authenticate().ok());
  EXPECT_EQ(ReasonOf(impostor.Send(impostor.SignMessage("bob.agent", "m1")).status()), reason::kKeyMismatch);
  EXPECT_EQ(two_.inboxes->size(), 0u);
}

TEST_F(GatewayTest, BelievesNothingBecauseAGatewaySaysSo) {
  alice_.Settle();
  bob_.Settle();
  const auto deliver = [&](TestGateway& to, const std::string& json, const crypto::PublicKey& key) {
    trunk::v1::DeliverRequest request;
    request.set_message_json(json);
    request.set_sender_key(std::string(key.bytes()));
    absl::StatusOr<bool> result = absl::UnknownError("not answered");
    to.logic->trunk_handlers().deliver(one_.key.public_key(), request, [&](auto duplicate) { result = duplicate; });
    world_.tasks.Run();
    return result;
  };
  TestAgent impostor(world_, one_, "alice.agent");
  const std::string forged = impostor.SignMessage("bob.agent", "m1");
  EXPECT_EQ(ReasonOf(deliver(two_, forged, alice_.key.public_key()).status()), reason::kBadSignature);
  EXPECT_EQ(ReasonOf(deliver(two_, forged, impostor.key.public_key()).status()), reason::kKeyMismatch);
  const std::string good = alice_.SignMessage("bob.agent", "m1");
  EXPECT_EQ(ReasonOf(deliver(one_, good, alice_.key.public_key()).status()), reason::kBadAddress);
  const auto early = record::Message::Sign(
      {.id = "m0", .sender = "alice.agent", .recipient = "bob.agent", .timestamp = world_.clock.Now() + absl::Hours(1)},
      alice_.key);
  EXPECT_EQ(ReasonOf(deliver(two_, early->json(), alice_.key.public_key()).status()), reason::kFutureDated);
  EXPECT_EQ(two_.inboxes->size(), 0u);
  EXPECT_TRUE(deliver(two_, good, alice_.key.public_key()).ok());
  world_.revoked.insert(alice_.key.public_key());
  EXPECT_EQ(ReasonOf(deliver(two_, alice_.SignMessage("bob.agent", "m2"), alice_.key.public_key()).status()),
            reason::kKeyRevoked);
}

TEST_F(GatewayTest, PassesOnWhyTheOtherGatewayRefuses) {
  TestGateway small(world_, 8, {.max_messages = 1});
  TestAgent dave(world_, small, "dave.agent");
  alice_.Settle();
  dave.Settle();
  ASSERT_TRUE(alice_.Send(alice_.SignMessage("dave.agent", "m1")).ok());
  const auto full = alice_.Send(alice_.SignMessage("dave.agent", "m2"));
  EXPECT_TRUE(absl::IsResourceExhausted(full.status()));
  EXPECT_EQ(ReasonOf(full.status()), reason::kLimit);
  world_.trunks.Leave(small.key.public_key());
  EXPECT_EQ(ReasonOf(alice_.Send(alice_.SignMessage("dave.agent", "m3")).status()), reason::kUnreachable);
}

TEST_F(GatewayTest, AsksForTheSendersNameOnceAMinute) {
  alice_.Settle();
  bob_.Settle();
  TestAgent second_session(world_, one_, "alice.agent");
  second_session.key = *crypto::SigningKey::FromSeed(alice_.key.seed().view());
  ASSERT_TRUE(second_session.Authenticate().ok());
  ASSERT_TRUE(second_session.Send(second_session.SignMessage("bob.agent", "m1")).ok());
  world_.clock.Advance(absl::Seconds(2));
  const int before = world_.directory.resolves;
  ASSERT_TRUE(second_session.Send(second_session.SignMessage("bob.agent", "m2")).ok());
  const int known = world_.directory.resolves - before;
  world_.clock.Advance(absl::Minutes(2));
  ASSERT_TRUE(second_session.Send(second_session.SignMessage("bob.agent", "m3")).ok());
  EXPECT_EQ(world_.directory.resolves - before - known, known + 1);
}

TEST_F(GatewayTest, BelievesARecordForASecondAndNotOnceItIsRegisteredAnew) {
  alice_.Settle();
  bob_.Settle();
  ASSERT_TRUE(alice_.Send(alice_.SignMessage("bob.agent", "m1")).ok());
  const int before = world_.directory.resolves;
  ASSERT_TRUE(alice_.Send(alice_.SignMessage("bob.agent", "m2")).ok());
  EXPECT_EQ(world_.directory.resolves, before);
  world_.clock.Advance(absl::Seconds(1));
  ASSERT_TRUE(alice_.Send(alice_.SignMessage("bob.agent", "m3")).ok());
  EXPECT_EQ(world_.directory.resolves, before + 3) << "at one gateway the recipient, at the other the sender too";

  // Bob moves to the gateway where Alice is: she reaches him there at once.
  TestAgent moved(world_, one_, "bob.agent");
  moved.key = *crypto::SigningKey::FromSeed(bob_.key.seed().view());
  moved.Settle();
  ASSERT_TRUE(alice_.Send(alice_.SignMessage("bob.agent", "m4")).ok());
  EXPECT_EQ(one_.inboxes->size(), 1u);
}

// Alice's gateway still believes that he is where he was, and what is there knows better: nobody has to send again.
TEST_F(GatewayTest, ARecipientThatHasMovedIsFollowed) {
  alice_.Settle();
  bob_.Settle();
  TestGateway three(world_);
  TestAgent moved(world_, three, "bob.agent");
  moved.key = *crypto::SigningKey::FromSeed(bob_.key.seed().view());
  const auto move = [&] {
    // Alice's gateway looks him up, but does not get as far as his, which would believe it, too.
    world_.trunks.Leave(two_.key.public_key());
    EXPECT_EQ(ReasonOf(alice_.Send(alice_.SignMessage("bob.agent", "m0")).status()), reason::kUnreachable);
    world_.trunks.Join(two_.key.public_key(), two_.logic->trunk_handlers());
    moved.Settle();
  };
  move();
  const auto sent = alice_.Send(alice_.SignMessage("bob.agent", "m1"));
  EXPECT_TRUE(sent.ok()) << sent.status();
  EXPECT_EQ(three.inboxes->size(), 1u);
  EXPECT_EQ(two_.inboxes->size(), 0u);

  // A request, which nobody listens for there, is refused by the gateway where he is.
  world_.clock.Advance(absl::Seconds(2));
  bob_.Settle();
  move();
  gateway::v1::RequestRequest request;
  request.set_message_json(record::Message::Sign({.id = "r1",
                                                  .type = record::MessageType::kRequest,
                                                  .sender = "alice.agent",
                                                  .recipient = "bob.agent",
                                                  .timestamp = world_.clock.Now()},
                                                 alice_.key)
                               ->json());
  absl::Status asked;
  one_.logic->Request(alice_.token, request, absl::InfiniteFuture(), [&](auto answer) { asked = answer.status(); });
  world_.tasks.Run();
  EXPECT_EQ(ReasonOf(asked), reason::kRecipientOffline) << asked;
}

// Word of a gateway that refuses what the DHT still says it is for is what the sender is told.
TEST_F(GatewayTest, AGatewayThatDoesNotKnowItsAgentIsNotAskedTwice) {
  alice_.Settle();
  bob_.Settle();
  TestGateway three(world_);
  auto handlers = three.logic->trunk_handlers();  // at the place of two: it takes nothing for bob
  int asked = 0;
  const auto deliver = handlers.deliver;
  handlers.deliver = [&](const crypto::PublicKey& gateway, const auto& request, auto done) {
    ++asked;
    deliver(gateway, request, done);
  };
  world_.trunks.Leave(two_.key.public_key());
  world_.trunks.Join(two_.key.public_key(), handlers);
  EXPECT_EQ(ReasonOf(alice_.Send(alice_.SignMessage("bob.agent", "m1")).status()), reason::kBadAddress);
  EXPECT_EQ(asked, 1);
}

TEST_F(GatewayTest, ANewerInboxTakesOver) {
  bob_.Settle();
  const auto older = bob_.OpenInbox();
  const auto newer = bob_.OpenInbox();
  ASSERT_TRUE(older->finished);
  EXPECT_EQ(ReasonOf(*older->finished), reason::kSuperseded);
  EXPECT_FALSE(newer->finished);
}

TEST_F(GatewayTest, AnInboxIsForTheHolderOfTheName) {
  bob_.Settle();
  TestAgent thief(world_, two_, "bob.agent");
  ASSERT_TRUE(thief.Authenticate().ok());
  const auto inbox = thief.OpenInbox();
  ASSERT_TRUE(inbox->finished);
  EXPECT_EQ(ReasonOf(*inbox->finished), reason::kKeyMismatch);
}

TEST_F(GatewayTest, AnInboxThatBreaksTheProtocolEnds) {
  bob_.Settle();
  auto call = std::make_shared<InboxCall>(world_.tasks);
  call->Send(AckOf(1));
  two_.logic->Inbox(bob_.token, call);
  world_.tasks.Run();
  EXPECT_EQ(ReasonOf(*call->finished), reason::kProtocol);

  const auto twice = bob_.OpenInbox();
  gateway::v1::InboxRequest again;
  again.mutable_open()->set_name("bob.agent");
  twice->Send(again);
  world_.tasks.Run();
  EXPECT_EQ(ReasonOf(*twice->finished), reason::kProtocol);
}

TEST_F(GatewayTest, HoldsBackFromAnAgentThatDoesNotAcknowledge) {
  alice_.Settle();
  bob_.Settle();
  const size_t sent = kMaxUnacked + 5;
  for (size_t i = 0; i < sent; ++i) {
    ASSERT_TRUE(alice_.Send(alice_.SignMessage("bob.agent", absl::StrCat("m", i))).ok());
  }
  const auto inbox = bob_.OpenInbox();
  ASSERT_EQ(inbox->received.size(), 1 + kMaxUnacked);
  const uint64_t first = inbox->received[1].message().sequence();
  inbox->Send(AckOf(first));
  world_.tasks.Run();
  EXPECT_EQ(inbox->received.size(), 2 + kMaxUnacked);
  EXPECT_EQ(inbox->received.back().message().sequence(), first + kMaxUnacked);
}

TEST_F(GatewayTest, AnInboxResumesFromACursor) {
  alice_.Settle();
  bob_.Settle();
  for (const char* id : {"m1", "m2", "m3"}) ASSERT_TRUE(alice_.Send(alice_.SignMessage("bob.agent", id)).ok());
  auto inbox = bob_.OpenInbox();
  ASSERT_EQ(inbox->received.size(), 4u);
  const uint64_t second = inbox->received[2].message().sequence();
  const uint64_t third = inbox->received[3].message().sequence();
  inbox->Cancel();
  inbox = bob_.OpenInbox(true, second);
  ASSERT_EQ(inbox->received.size(), 2u);
  EXPECT_EQ(inbox->received[0].ready().pending(), 1u);
  EXPECT_EQ(inbox->received[1].message().sequence(), third);
  EXPECT_EQ(inbox->received[1].message().deliveries(), 2u);

  const auto refused = bob_.OpenInbox(true, third + 1);
  ASSERT_TRUE(refused->finished);
  EXPECT_EQ(ReasonOf(*refused->finished), reason::kStale);
  EXPECT_FALSE(inbox->finished) << "the one that is open stays so";
  EXPECT_NE(two_.metrics.Render().find("dotagent_gateway_inbox_acknowledged_total 2"), std::string::npos);
}

// Two senders at the other gateway write to Bob all day; nobody's token lasts as long.
TEST_F(GatewayTest, WhoWasAwayForADayGetsEverythingInOrderPerSender) {
  TestAgent carol(world_, one_, "carol.agent");
  for (TestAgent* agent : {&alice_, &carol}) agent->Settle();
  bob_.Settle();
  bob_.OpenInbox()->Cancel();
  world_.tasks.Run();
  std::map<std::string, std::vector<std::string>> sent;
  for (int minute = 0; minute < 24 * 60; minute += 10) {
    if (minute % 30 == 0) {
      for (TestAgent* agent : {&alice_, &carol}) agent->Settle();  // their tokens lapse, and records run out
      bob_.Settle();
    }
    for (TestAgent* agent : {&alice_, &carol}) {
      const std::string id = absl::StrCat("m", minute);
      ASSERT_TRUE(agent->Send(agent->SignMessage("bob.agent", id)).ok()) << id;
      sent[agent->name].push_back(id);
    }
    world_.clock.Advance(absl::Minutes(10));
    two_.logic->Tick();
    world_.tasks.Run();
  }
  bob_.Settle();
  std::map<std::string, std::vector<std::string>> got;
  const auto inbox = bob_.OpenInbox();
  EXPECT_EQ(inbox->received[0].ready().pending(), sent["alice.agent"].size() + sent["carol.agent"].size());
  for (size_t next = 1; next < inbox->received.size(); ++next) {
    const auto& message = inbox->received[next].message();
    const record::Json json = *record::ParseStrictJson(message.message_json());
    got[json["sender"].get<std::string>()].push_back(json["id"].get<std::string>());
    inbox->Send(AckOf(message.sequence()));
    world_.tasks.Run();
  }
  EXPECT_EQ(got, sent);
}

TEST_F(GatewayTest, ListsDeadLettersForTheHolderOfTheName) {
  alice_.Settle();
  bob_.Settle();
  ASSERT_TRUE(alice_.Send(alice_.SignMessage("bob.agent", "m1")).ok());
  world_.clock.Advance(absl::Hours(24 * 7));
  two_.logic->Tick();
  world_.tasks.Run();
  two_.logic->Tick();
  EXPECT_NE(two_.metrics.Render().find("dotagent_gateway_inbox_died_total{reason=\"expired\"} 1"), std::string::npos);
  EXPECT_NE(two_.metrics.Render().find("dotagent_gateway_inbox_dead_letters 1"), std::string::npos);

  const auto list = [&](TestAgent& agent, const std::string& name) {
    gateway::v1::ListDeadLettersRequest request;
    request.set_name(name);
    absl::StatusOr<gateway::v1::ListDeadLettersResponse> page = absl::UnknownError("not answered");
    two_.logic->ListDeadLetters(agent.token, request, [&](auto response) { page = std::move(response); });
    world_.tasks.Run();
    return page;
  };
  EXPECT_EQ(ReasonOf(list(bob_, "bob.agent").status()), reason::kNotAuthenticated) << "its token has ended";
  bob_.Settle();
  const auto page = list(bob_, "bob.agent");
  ASSERT_TRUE(page.ok()) << page.status();
  ASSERT_EQ(page->letters_size(), 1);
  EXPECT_EQ(page->letters(0).reason(), gateway::v1::DEAD_LETTER_REASON_EXPIRED);
  EXPECT_EQ(bob_.OpenInbox()->received.size(), 1u);

  EXPECT_EQ(ReasonOf(list(bob_, "BAD NAME").status()), reason::kBadName);
  TestAgent thief(world_, two_, "bob.agent");
  ASSERT_TRUE(thief.Authenticate().ok());
  EXPECT_EQ(ReasonOf(list(thief, "bob.agent").status()), reason::kKeyMismatch);
}

TEST_F(GatewayTest, RevocationAndDrainEndInboxes) {
  bob_.Settle();
  const auto revoked = bob_.OpenInbox();
  world_.revoked.insert(bob_.key.public_key());
  two_.logic->OnRevoked(bob_.key.public_key());
  ASSERT_TRUE(revoked->finished);
  EXPECT_TRUE(absl::IsPermissionDenied(*revoked->finished));
  EXPECT_EQ(ReasonOf(*revoked->finished), reason::kKeyRevoked);

  alice_.Settle();
  const auto drained = alice_.OpenInbox();
  one_.logic->Drain();
  ASSERT_TRUE(drained->finished);
  EXPECT_TRUE(absl::IsUnavailable(*drained->finished));
  EXPECT_TRUE(absl::IsUnavailable(*alice_.OpenInbox()->finished));
}

TEST_F(GatewayTest, AskCallsEndWithTheKeyThatOpenedThem) {
  alice_.Settle();
  const auto open = [&] {
    auto call = std::make_shared<FakeCall<gateway::v1::AskRequest, gateway::v1::AskResponse>>(world_.tasks);
    one_.logic->Ask(alice_.token, call);
    world_.tasks.Run();
    return call;
  };
  const auto call = open();
  EXPECT_FALSE(call->finished);
  world_.revoked.insert(alice_.key.public_key());
  one_.logic->OnRevoked(alice_.key.public_key());
  world_.tasks.Run();
  ASSERT_TRUE(call->finished);
  EXPECT_EQ(ReasonOf(*call->finished), reason::kKeyRevoked);
  EXPECT_EQ(ReasonOf(*open()->finished), reason::kNotAuthenticated);
}

TEST_F(GatewayTest, NobodySendsToARevokedKey) {
  alice_.Settle();
  bob_.Settle();
  world_.revoked.insert(bob_.key.public_key());
  const auto refused = alice_.Send(alice_.SignMessage("bob.agent", "m1"));
  EXPECT_TRUE(absl::IsPermissionDenied(refused.status()));
  EXPECT_EQ(ReasonOf(refused.status()), reason::kKeyRevoked);
}

TEST_F(GatewayTest, CountsWhatItDoes) {
  alice_.Settle();
  bob_.Settle();
  ASSERT_TRUE(alice_.Send(alice_.SignMessage("bob.agent", "m1")).ok());
  ASSERT_FALSE(alice_.Send("{}").ok());
  EXPECT_NE(one_.metrics.Render().find("dotagent_gateway_authentications_total{result=\"ok\"} 1"), std::string::npos)
      << one_.metrics.Render();
  EXPECT_NE(one_.metrics.Render().find("dotagent_gateway_messages_total{outcome=\"refused\"} 1"), std::string::npos);
  EXPECT_NE(two_.metrics.Render().find("dotagent_gateway_inbox_messages 1"), std::string::npos);
}

TEST_F(GatewayTest, FindsARotationChainForWhoHasAuthenticated) {
  world_.directory.rotations[std::string(64, '0')] = "chain";
  gateway::v1::GetRotationRequest request;
  request.set_agent_id(std::string(32, '\0'));
  absl::StatusOr<gateway::v1::GetRotationResponse> answer;
  const auto ask = [&](const std::string& token) {
    answer = absl::UnknownError("not answered");
    alice_.gateway.logic->GetRotation(token, request, [&](auto response) { answer = std::move(response); });
    world_.tasks.Run();
    return ReasonOf(answer.status());
  };
  EXPECT_EQ(ask("no token"), reason::kNotAuthenticated);
  ASSERT_TRUE(alice_.Authenticate().ok());
  EXPECT_EQ(ask(alice_.token), "");
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer->rotation_chain(), "chain");
  request.set_agent_id("short");
  EXPECT_EQ(ask(alice_.token), reason::kBadKey);
  request.set_agent_id(std::string(32, 'x'));
  ask(alice_.token);
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace dotagent::gateway_service
