// InboxStore: cursors, counted deliveries, and what becomes of messages that nobody acknowledges.
#include "common/base/status.h"
#include "tests/unit/gateway/inbox_store_fixture.h"

namespace dotagent::gateway_service {
namespace {

using gateway::v1::DEAD_LETTER_REASON_EXPIRED;
using gateway::v1::DEAD_LETTER_REASON_TOO_MANY_DELIVERIES;

class DeadLettersTest : public InboxStoreTest {
 protected:
  absl::StatusOr<size_t> AckThrough(const InboxId& inbox, uint64_t sequence) {
    auto acknowledged = inboxes_->AckThrough(inbox, sequence, now_,
                                             [](const absl::Status& written) { EXPECT_TRUE(written.ok()) << written; });
    inboxes_->Flush();
    return acknowledged;
  }
  gateway::v1::ListDeadLettersResponse List(const InboxId& inbox, uint64_t after = 0) {
    const auto page = inboxes_->DeadLetters(inbox, after);
    EXPECT_TRUE(page.ok()) << page.status();
    return page.value_or(gateway::v1::ListDeadLettersResponse());
  }
};

TEST_F(DeadLettersTest, ACursorAcknowledgesAllUpToIt) {
  for (const char* id : {"a", "b", "c"}) ASSERT_TRUE(*Add(bob_, Message(id)));
  EXPECT_EQ(*AckThrough(bob_, first_ + 1), 2u);
  for (const bool restarted : {false, true}) {
    if (restarted) Open({});
    EXPECT_EQ(inboxes_->pending(bob_), 1u);
    EXPECT_EQ(Next(bob_, 0)->message_json(), "{c}");
  }
  EXPECT_EQ(*AckThrough(bob_, first_ + 1), 0u);
}

TEST_F(DeadLettersTest, ACursorOfAnotherInboxDoesNoHarm) {
  // Here nothing has ever come: one from before is taken, one from after cannot be.
  EXPECT_EQ(*AckThrough(bob_, first_ - 1), 0u);
  EXPECT_EQ(ReasonOf(AckThrough(bob_, first_).status()), reason::kStale);
  ASSERT_TRUE(*Add(bob_, Message("a")));
  // Of an inbox that was made later: it is above all that is here.
  const absl::Status above = AckThrough(bob_, first_ + 1'000'000).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(above));
  EXPECT_EQ(ReasonOf(above), reason::kStale);
  EXPECT_EQ(ReasonOf(AckThrough(bob_, first_ + 1).status()), reason::kStale);
  // Of one that was made earlier, whatever came there since: it is below all that is here.
  EXPECT_EQ(*AckThrough(bob_, first_ - 1), 0u);
  EXPECT_EQ(inboxes_->pending(bob_), 1u);
}

TEST_F(DeadLettersTest, AMessageThatIsDeliveredTooOftenDies) {
  Open({.max_deliveries = 2});
  ASSERT_TRUE(*Add(bob_, Message("a", "bytes")));
  ASSERT_TRUE(*Add(bob_, Message("b")));
  EXPECT_EQ(Next(bob_, 0)->deliveries(), 1u);
  EXPECT_EQ(Next(bob_, 0)->deliveries(), 2u);
  now_ += absl::Minutes(1);
  EXPECT_EQ(Next(bob_, 0)->message_json(), "{b}");
  for (const bool restarted : {false, true}) {
    if (restarted) Open({.max_deliveries = 2});
    EXPECT_EQ(inboxes_->pending(bob_), 1u);
    EXPECT_EQ(inboxes_->dead_letters(), 1u);
    const auto page = List(bob_);
    ASSERT_EQ(page.letters_size(), 1);
    EXPECT_EQ(page.total(), 1u);
    EXPECT_FALSE(page.more());
    EXPECT_EQ(page.letters(0).message().message_json(), "{a}");
    EXPECT_EQ(page.letters(0).message().attachment(), "bytes");
    EXPECT_EQ(page.letters(0).message().sequence(), first_);
    EXPECT_EQ(page.letters(0).message().deliveries(), 2u);
    EXPECT_EQ(page.letters(0).reason(), DEAD_LETTER_REASON_TOO_MANY_DELIVERIES);
    EXPECT_EQ(page.letters(0).died_at_ms(), absl::ToUnixMillis(now_));
    EXPECT_EQ(page.letters(0).expires_at_ms(), absl::ToUnixMillis(now_ + absl::Hours(24 * 7)));
    EXPECT_EQ(inboxes_->given_up(), restarted ? 0u : 1u);
    EXPECT_FALSE(*Add(bob_, Message("a"))) << "a copy of a dead letter is still a copy";
  }
}

TEST_F(DeadLettersTest, WithoutAMaximumAMessageIsDeliveredForEver) {
  Open({.max_deliveries = 0});
  ASSERT_TRUE(*Add(bob_, Message("a")));
  for (uint32_t i = 1; i < 300; ++i) ASSERT_EQ(Next(bob_, 0)->deliveries(), i);
}

TEST_F(DeadLettersTest, DeliveriesAreCountedAcrossARestart) {
  Open({.max_deliveries = 3});
  ASSERT_TRUE(*Add(bob_, Message("a")));
  EXPECT_EQ(Next(bob_, 0)->deliveries(), 1u);
  EXPECT_EQ(Next(bob_, 0)->deliveries(), 2u);
  Open({.max_deliveries = 3});
  EXPECT_EQ(Next(bob_, 0)->deliveries(), 3u);
  EXPECT_TRUE(absl::IsNotFound(Next(bob_, 0).status()));
  EXPECT_EQ(inboxes_->dead_letters(), 1u);
}

TEST_F(DeadLettersTest, WhatExpiresIsKeptForAWhileAndThenDropped) {
  const InboxLimits limits{.lifetime = absl::Hours(1), .dead_letter_lifetime = absl::Hours(2)};
  Open(limits);
  ASSERT_TRUE(*Add(bob_, Message("a")));
  Expire(now_ + absl::Hours(1));
  EXPECT_EQ(inboxes_->pending(bob_), 0u);
  EXPECT_EQ(inboxes_->expired(), 1u);
  EXPECT_TRUE(absl::IsNotFound(Next(bob_, 0).status()));
  Open(limits);
  ASSERT_EQ(List(bob_).letters_size(), 1);
  EXPECT_EQ(List(bob_).letters(0).reason(), DEAD_LETTER_REASON_EXPIRED);
  EXPECT_EQ(List(bob_).letters(0).message().deliveries(), 0u);
  Expire(now_ + absl::Hours(3) - absl::Seconds(1));
  EXPECT_EQ(inboxes_->dead_letters(), 1u);
  Expire(now_ + absl::Hours(3));
  EXPECT_EQ(inboxes_->dead_letters(), 0u);
  EXPECT_EQ(List(bob_).letters_size(), 0);
  EXPECT_EQ(Rows(), 0u);
}

TEST_F(DeadLettersTest, AMessageThatIsAcknowledgedWhileItDiesIsGone) {
  Open({.lifetime = absl::Hours(1)});
  ASSERT_TRUE(*Add(bob_, Message("a")));
  store_->Hold();
  ASSERT_TRUE(inboxes_->Expire(now_ + absl::Hours(1)).ok());
  store_->AwaitWrites(2);
  bool acknowledged = false;
  inboxes_->Ack(bob_, {first_}, [&](const absl::Status& written) { acknowledged = written.ok(); });
  store_->Release();
  while (inboxes_->Flush()) {
  }
  EXPECT_TRUE(acknowledged);
  EXPECT_EQ(inboxes_->dead_letters(), 0u);
  EXPECT_EQ(inboxes_->expired(), 0u);
  Open({.lifetime = absl::Hours(1)});
  EXPECT_EQ(inboxes_->dead_letters(), 0u);
  EXPECT_EQ(inboxes_->size(), 0u);
  Expire(now_ + absl::Hours(2));
  EXPECT_EQ(Rows(), 0u);
}

TEST_F(DeadLettersTest, AnInboxKeepsTheNewest) {
  const InboxLimits limits{.lifetime = absl::Hours(1), .max_dead_letters = 3, .max_dead_letter_bytes = 250};
  Open(limits);
  for (const char* id : {"a", "b", "c", "d"}) ASSERT_TRUE(*Add(bob_, Message(id)));
  Expire(now_ + absl::Hours(1));
  for (const bool restarted : {false, true}) {
    if (restarted) Open(limits);
    ASSERT_EQ(List(bob_).letters_size(), 3);
    EXPECT_EQ(List(bob_).letters(0).message().message_json(), "{b}");
  }
  ASSERT_TRUE(*Add(bob_, Message("large", std::string(240, 'x'))));
  Expire(now_ + absl::Hours(1));
  ASSERT_EQ(List(bob_).letters_size(), 2);
  EXPECT_EQ(List(bob_).letters(0).message().message_json(), "{d}");
  Expire(now_ + absl::Hours(24 * 8));
  EXPECT_EQ(Rows(), 0u);
}

TEST_F(DeadLettersTest, ListsInPages) {
  for (const char* id : {"a", "b", "c"}) ASSERT_TRUE(*Add(bob_, Message(id, std::string(700'000, 'x'))));
  Expire(now_ + absl::Hours(24 * 7));
  const auto first = List(bob_);
  ASSERT_EQ(first.letters_size(), 2);
  EXPECT_TRUE(first.more());
  EXPECT_EQ(first.total(), 3u);
  const auto second = List(bob_, first.letters(1).message().sequence());
  ASSERT_EQ(second.letters_size(), 1);
  EXPECT_FALSE(second.more());
  EXPECT_EQ(second.letters(0).message().message_json(), "{c}");
  const InboxId other{bob_.name, sender_};
  EXPECT_EQ(List(other).total(), 0u);
}

TEST_F(DeadLettersTest, WhatCannotBeWrittenWaitsAgain) {
  Open({.max_deliveries = 1});
  ASSERT_TRUE(*Add(bob_, Message("a")));
  EXPECT_TRUE(Next(bob_, 0).ok());
  store_->FailWith(absl::UnavailableError("the disk is full"));
  EXPECT_TRUE(absl::IsNotFound(Next(bob_, 0).status()));
  EXPECT_EQ(inboxes_->pending(bob_), 1u);
  EXPECT_EQ(inboxes_->dead_letters(), 0u);
  store_->FailWith(absl::OkStatus());
  EXPECT_TRUE(absl::IsNotFound(Next(bob_, 0).status()));
  EXPECT_EQ(inboxes_->pending(bob_), 0u);
  EXPECT_EQ(inboxes_->dead_letters(), 1u);
}

TEST_F(DeadLettersTest, ANewKeyTakesOverDeadLettersAndCounts) {
  const InboxId rotated{bob_.name, crypto::SigningKey::Generate(random_).public_key()};
  Open({.max_deliveries = 2});
  ASSERT_TRUE(*Add(bob_, Message("dead", "bytes")));
  EXPECT_TRUE(Next(bob_, 0).ok() && Next(bob_, 0).ok() && !Next(bob_, 0).ok());
  ASSERT_TRUE(*Add(bob_, Message("a")));
  // The second count is still being written when the inbox moves.
  EXPECT_TRUE(inboxes_->Deliver(bob_, 0, now_).ok() && inboxes_->Deliver(bob_, 0, now_).ok());
  EXPECT_EQ(*inboxes_->TakeOver(bob_, rotated, now_), 1u);
  for (const bool restarted : {false, true}) {
    if (restarted) Open({.max_deliveries = 2});
    EXPECT_EQ(inboxes_->pending(bob_), 0u);
    EXPECT_EQ(inboxes_->size(), 1u);
    EXPECT_EQ(List(bob_).total(), 0u);
    ASSERT_EQ(List(rotated).letters_size(), 1);
    EXPECT_EQ(List(rotated).letters(0).message().message_json(), "{dead}");
    EXPECT_EQ(List(rotated).letters(0).message().deliveries(), 2u);
  }
  EXPECT_TRUE(absl::IsNotFound(Next(rotated, 0).status())) << "it had been delivered twice";
  EXPECT_EQ(inboxes_->dead_letters(), 2u);
}

}  // namespace
}  // namespace dotagent::gateway_service
