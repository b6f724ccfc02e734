// Inboxes that move from one store to another: in order, nothing lost, nothing twice, whatever breaks half-way.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "services/gateway/inbox_store.h"
#include "tests/unit/gateway/post_nothing.h"
#include "tests/unit/storage/held_store.h"

namespace dotagent::gateway_service {
namespace {

using cluster::v1::MoveInbox;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

struct Home {
  explicit Home(const InboxLimits& inbox_limits) : limits(inbox_limits) { Restart(); }
  void Restart() {
    inboxes.reset();
    inboxes = *InboxStore::Open(*store, PostNothing, limits);
  }
  // Rows of inboxes on disk.
  [[nodiscard]] size_t Rows() const {
    size_t rows = 0;
    EXPECT_TRUE(store->Scan("inbox/", "inbox/", [&](absl::string_view, absl::string_view) { return ++rows > 0; }).ok());
    return rows;
  }

  const InboxLimits limits;
  std::unique_ptr<storage::HeldStore> store = std::make_unique<storage::HeldStore>();
  std::unique_ptr<InboxStore> inboxes;
};

class InboxMoveTest : public testing::Test {
 protected:
  static InboxLimits Limits() {
    return {.max_messages = 100, .lifetime = absl::Hours(24), .max_deliveries = 2, .clustered = true};
  }

  absl::StatusOr<bool> Add(Home& home, const std::string& id) {
    absl::StatusOr<bool> result = absl::UnknownError("not answered");
    home.inboxes->Add(bob_,
                      {.sender = "alice.agent",
                       .id = id,
                       .timestamp = now_,
                       .json = absl::StrCat(R"({"id":")", id, R"(","sender":"alice.agent"})"),
                       .attachment = std::string(100, 'x'),
                       .sender_key = sender_},
                      now_, [&](const absl::StatusOr<bool>& added) { result = added; });
    home.inboxes->Flush();
    return result;
  }
  absl::Status Unpack(Home& home, const MoveInbox& part) {
    absl::Status result = absl::UnknownError("not answered");
    home.inboxes->Unpack(bob_, part, now_, [&](const absl::Status& status) { result = status; });
    home.inboxes->Flush();
    return result;
  }
  absl::Status Discard(Home& home, const MoveInbox& part) {
    absl::Status result = absl::UnknownError("not answered");
    home.inboxes->Discard(bob_, part, [&](const absl::Status& status) { result = status; });
    home.inboxes->Flush();
    return result;
  }
  static bool IsNothing(const MoveInbox& part) { return part.messages_size() == 0 && part.seen_size() == 0; }
  // Moves Bob's inbox whole, in parts of one message if `bytes` is 1.
  void Move(Home& from, Home& to, size_t bytes = 1) {
    while (true) {
      const auto part = from.inboxes->Pack(bob_, bytes);
      ASSERT_TRUE(part.ok()) << part.status();
      if (IsNothing(*part)) break;
      ASSERT_TRUE(Unpack(to, *part).ok());
      ASSERT_TRUE(Discard(from, *part).ok());
    }
    from.inboxes->Close(bob_);
    from.inboxes->Flush();
  }
  // What is delivered, by id, and the sequences in `sequences_`.
  std::vector<std::string> Deliver(Home& home) {
    std::vector<std::string> ids;
    sequences_.clear();
    uint64_t after = 0;
    for (auto message = home.inboxes->Deliver(bob_, 0, now_); message.ok();
         message = home.inboxes->Deliver(bob_, after, now_)) {
      after = message->sequence();
      sequences_.push_back(after);
      ids.push_back(message->message_json().substr(7, message->message_json().find('"', 7) - 7));
      EXPECT_EQ(message->attachment().size(), 100u);
      EXPECT_EQ(message->sender_key(), sender_.bytes());
    }
    home.inboxes->Flush();
    return ids;
  }
  void Ack(Home& home, const std::vector<uint64_t>& sequences) {
    home.inboxes->Ack(bob_, sequences, [](const absl::Status& status) { EXPECT_TRUE(status.ok()); });
    home.inboxes->Flush();
  }

  SeededRandom random_{3};
  const crypto::PublicKey sender_ = crypto::SigningKey::Generate(random_).public_key();
  const InboxId bob_{*record::Name::Parse("bob.agent"), crypto::SigningKey::Generate(random_).public_key()};
  absl::Time now_ = absl::FromUnixSeconds(1'800'000'000);
  std::vector<uint64_t> sequences_;
  Home one_{Limits()};
  Home two_{Limits()};
};

TEST_F(InboxMoveTest, MovesInOrderBehindWhatWaitsAndLeavesNothing) {
  for (const char* id : {"a", "b", "c"}) ASSERT_TRUE(*Add(one_, id));
  now_ += absl::Seconds(1);
  ASSERT_TRUE(*Add(two_, "d"));
  Move(one_, two_);
  EXPECT_EQ(one_.Rows(), 0u);
  EXPECT_EQ(one_.inboxes->size(), 0u);
  EXPECT_THAT(Deliver(two_), ElementsAre("d", "a", "b", "c"));
  EXPECT_TRUE(std::is_sorted(sequences_.begin(), sequences_.end()));
  two_.Restart();
  EXPECT_EQ(two_.inboxes->pending(bob_), 4u);
}

TEST_F(InboxMoveTest, APartIsBounded) {
  for (const char* id : {"a", "b", "c"}) ASSERT_TRUE(*Add(one_, id));
  EXPECT_EQ(one_.inboxes->Pack(bob_, 1)->messages_size(), 1);
  EXPECT_EQ(one_.inboxes->Pack(bob_, 1 << 20)->messages_size(), 3);
}

TEST_F(InboxMoveTest, WhatCameBeforeIsKnownAtTheNewHome) {
  ASSERT_TRUE(*Add(one_, "acknowledged"));
  Deliver(one_);
  Ack(one_, sequences_);
  ASSERT_TRUE(*Add(one_, "waits"));
  Move(one_, two_);
  EXPECT_FALSE(*Add(two_, "acknowledged"));
  EXPECT_FALSE(*Add(two_, "waits"));
  EXPECT_THAT(Deliver(two_), ElementsAre("waits"));
  // And is forgotten in its time.
  now_ += absl::Hours(25);
  ASSERT_TRUE(two_.inboxes->Expire(now_).ok());
  two_.inboxes->Flush();
  now_ += absl::Hours(24 * 8);
  ASSERT_TRUE(two_.inboxes->Expire(now_).ok());
  two_.inboxes->Flush();
  EXPECT_EQ(two_.Rows(), 1u) << "the counter";
}

// The old home dies after the new one has the part, and before it has forgotten it; or the answer is lost.
TEST_F(InboxMoveTest, APartThatIsSentTwiceIsThereOnce) {
  ASSERT_TRUE(*Add(one_, "a"));
  const auto part = one_.inboxes->Pack(bob_, 1);
  ASSERT_TRUE(Unpack(two_, *part).ok());
  one_.Restart();
  ASSERT_TRUE(Unpack(two_, *one_.inboxes->Pack(bob_, 1)).ok());
  EXPECT_EQ(two_.inboxes->pending(bob_), 1u);
  // Nor does it come again once it is acknowledged there.
  EXPECT_THAT(Deliver(two_), ElementsAre("a"));
  Ack(two_, sequences_);
  Move(one_, two_);
  EXPECT_EQ(two_.inboxes->pending(bob_), 0u);
}

TEST_F(InboxMoveTest, OnePartTwiceAtTheSameTimeIsThereOnce) {
  ASSERT_TRUE(*Add(one_, "a"));
  const auto part = one_.inboxes->Pack(bob_, 1);
  two_.store->Hold();
  absl::Status first = absl::UnknownError("not answered");
  absl::Status second = first;
  absl::StatusOr<bool> copy = first;
  two_.inboxes->Unpack(bob_, *part, now_, [&](const absl::Status& status) { first = status; });
  two_.inboxes->Unpack(bob_, *part, now_, [&](const absl::Status& status) { second = status; });
  // A copy that its sender brings meanwhile is a duplicate, but only once that is certain.
  two_.inboxes->Add(bob_, {.sender = "alice.agent", .id = "a", .timestamp = now_, .json = "{}", .sender_key = sender_},
                    now_, [&](const absl::StatusOr<bool>& added) { copy = added; });
  EXPECT_TRUE(absl::IsUnavailable(second)) << second;
  EXPECT_TRUE(absl::IsUnknown(copy.status()));
  two_.store->Release();
  two_.inboxes->Flush();
  EXPECT_TRUE(first.ok());
  ASSERT_TRUE(copy.ok());
  EXPECT_FALSE(*copy);
  EXPECT_EQ(two_.inboxes->pending(bob_), 1u);
}

TEST_F(InboxMoveTest, IsAcknowledgedOnlyOnceItIsOnDisk) {
  ASSERT_TRUE(*Add(one_, "a"));
  const auto part = one_.inboxes->Pack(bob_, 1);
  two_.store->FailWith(absl::UnavailableError("the disk is full"));
  EXPECT_TRUE(absl::IsUnavailable(Unpack(two_, *part)));
  EXPECT_EQ(two_.inboxes->pending(bob_), 0u);
  two_.store->FailWith(absl::OkStatus());
  EXPECT_TRUE(*Add(two_, "a")) << "it never came";
  Move(one_, two_);
  EXPECT_EQ(two_.inboxes->pending(bob_), 1u);
}

TEST_F(InboxMoveTest, WhatCannotBeForgottenWaitsAsBefore) {
  ASSERT_TRUE(*Add(one_, "a"));
  const auto part = one_.inboxes->Pack(bob_, 1);
  one_.store->FailWith(absl::UnavailableError("the disk is full"));
  EXPECT_FALSE(Discard(one_, *part).ok());
  EXPECT_THAT(Deliver(one_), ElementsAre("a"));
  one_.store->FailWith(absl::OkStatus());
  Move(one_, two_);
  EXPECT_EQ(one_.Rows(), 0u);
}

TEST_F(InboxMoveTest, NothingMovesWhileItIsBeingWritten) {
  one_.store->Hold();
  one_.inboxes->Add(bob_, {.sender = "alice.agent", .id = "a", .timestamp = now_, .json = "{}", .sender_key = sender_},
                    now_, [](const absl::StatusOr<bool>&) {});
  EXPECT_TRUE(absl::IsUnavailable(one_.inboxes->Pack(bob_, 1).status()));
  one_.store->Release();
  one_.inboxes->Flush();
  EXPECT_TRUE(one_.inboxes->Pack(bob_, 1).ok());
}

TEST_F(InboxMoveTest, DeadLettersAndDeliveriesGoAlong) {
  ASSERT_TRUE(*Add(one_, "a"));
  Deliver(one_);
  Deliver(one_);
  EXPECT_THAT(Deliver(one_), IsEmpty());
  ASSERT_EQ(one_.inboxes->dead_letters(), 1u);
  ASSERT_TRUE(*Add(one_, "b"));
  EXPECT_THAT(Deliver(one_), ElementsAre("b"));
  Move(one_, two_, 1 << 20);
  EXPECT_EQ(one_.inboxes->dead_letters(), 0u);
  EXPECT_EQ(one_.Rows(), 0u);
  for (int i = 0; i < 2; ++i) {
    const auto letters = two_.inboxes->DeadLetters(bob_, 0);
    ASSERT_EQ(letters->letters_size(), 1);
    EXPECT_EQ(letters->letters(0).reason(), gateway::v1::DEAD_LETTER_REASON_TOO_MANY_DELIVERIES);
    EXPECT_EQ(letters->letters(0).message().deliveries(), 2u);
    two_.Restart();  // as it is on disk
  }
  EXPECT_FALSE(*Add(two_, "a"));
  // One delivery came along: this is the last.
  EXPECT_THAT(Deliver(two_), ElementsAre("b"));
  EXPECT_THAT(Deliver(two_), IsEmpty());
}

TEST_F(InboxMoveTest, TheQuotaHoldsNoMoveUp) {
  Home small{{.max_messages = 1, .clustered = true}};
  ASSERT_TRUE(*Add(small, "a"));
  ASSERT_TRUE(*Add(one_, "b"));
  Move(one_, small);
  EXPECT_EQ(small.inboxes->pending(bob_), 2u);
  EXPECT_EQ(ReasonOf(Add(small, "c").status()), reason::kLimit);
}

TEST_F(InboxMoveTest, EmptyInboxesAreKeptAsLongAsTheyRememberAnything) {
  EXPECT_THAT(*one_.inboxes->Kept(), IsEmpty());
  ASSERT_TRUE(*Add(one_, "a"));
  Deliver(one_);
  Ack(one_, sequences_);
  const auto kept = one_.inboxes->Kept();
  ASSERT_EQ(kept->size(), 1u);
  EXPECT_EQ(kept->front().ToString(), bob_.ToString());
  Move(one_, two_);
  EXPECT_THAT(*one_.inboxes->Kept(), IsEmpty());
  EXPECT_EQ(two_.inboxes->Kept()->size(), 1u);
}

TEST_F(InboxMoveTest, RefusesWhatIsNoMessage) {
  MoveInbox part;
  part.add_messages()->set_message("\xff\xff");
  EXPECT_EQ(ReasonOf(Unpack(two_, part)), reason::kProtocol);
  gateway::v1::InboxMessage message;
  message.set_message_json("[]");
  part.mutable_messages(0)->set_message(message.SerializeAsString());
  EXPECT_EQ(ReasonOf(Unpack(two_, part)), reason::kProtocol);
  EXPECT_EQ(two_.Rows(), 0u);
}

// One dies with a message that Bob has not seen; he goes on at Two, and comes back to One with Two's cursor.
TEST_F(InboxMoveTest, ACursorOfTheHomeInBetweenLosesNothing) {
  ASSERT_TRUE(*Add(one_, "unseen"));
  now_ += absl::Seconds(10);
  ASSERT_TRUE(*Add(two_, "seen"));
  EXPECT_THAT(Deliver(two_), ElementsAre("seen"));
  const uint64_t cursor = sequences_.back();
  now_ += absl::Seconds(10);
  one_.Restart();
  const auto acknowledged = one_.inboxes->AckThrough(bob_, cursor, now_, [](const absl::Status&) {});
  ASSERT_TRUE(acknowledged.ok()) << acknowledged.status();
  EXPECT_EQ(*acknowledged, 0u);
  // What comes now is above the cursor, although the counter of before is far below.
  ASSERT_TRUE(*Add(one_, "new"));
  EXPECT_THAT(Deliver(one_), ElementsAre("unseen", "new"));
  EXPECT_GT(sequences_.back(), cursor);
  // One's own cursor counts, until others may be homes again.
  EXPECT_EQ(*one_.inboxes->AckThrough(bob_, sequences_.front(), now_, [](const absl::Status&) {}), 1u);
  one_.inboxes->ForgetHandedOut();
  EXPECT_EQ(*one_.inboxes->AckThrough(bob_, sequences_.back(), now_, [](const absl::Status&) {}), 0u);
}

}  // namespace
}  // namespace dotagent::gateway_service
