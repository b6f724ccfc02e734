#include "services/gateway/inbox_store.h"

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/status.h"
#include "tests/unit/gateway/inbox_store_fixture.h"

namespace dotagent::gateway_service {
namespace {

TEST_F(InboxStoreTest, HandsOutInOrderUntilAcknowledged) {
  for (const char* id : {"a", "b", "c"}) {
    const auto added = Add(bob_, Message(id, "bytes"));
    ASSERT_TRUE(added.ok()) << added.status();
    EXPECT_TRUE(*added);
  }
  EXPECT_EQ(inboxes_->pending(bob_), 3u);
  auto first = Next(bob_, 0);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(first->sequence(), first_);
  EXPECT_EQ(first->message_json(), "{a}");
  EXPECT_EQ(first->attachment(), "bytes");
  EXPECT_EQ(first->sender_key(), sender_.bytes());
  EXPECT_EQ(Next(bob_, first_)->message_json(), "{b}");
  EXPECT_TRUE(absl::IsNotFound(Next(bob_, first_ + 2).status()));

  ASSERT_TRUE(Ack(bob_, {first_, first_ + 2, 99}).ok());
  EXPECT_EQ(inboxes_->pending(bob_), 1u);
  EXPECT_EQ(Next(bob_, 0)->message_json(), "{b}");
}

// Three senders write every minute, the gateway restarts every six hours, and its upkeep runs all along.
TEST_F(InboxStoreTest, WhoWasAwayForADayGetsEverythingInOrder) {
  constexpr int kMinutes = 24 * 60;
  const std::vector<std::string> senders = {"alice.agent", "carol.agent", "dave.agent"};
  for (int minute = 0; minute < kMinutes; ++minute, now_ += absl::Minutes(1)) {
    for (const std::string& sender : senders) {
      NewMessage message = Message(absl::StrCat(minute));
      message.sender = sender;
      message.json = absl::StrCat(sender, " ", minute);
      const auto added = Add(bob_, message);
      ASSERT_TRUE(added.ok() && *added) << added.status();
    }
    EXPECT_FALSE(Expire(now_));
    if (minute % 360 == 359) Open({});
  }
  std::map<std::string, int> heard;
  uint64_t after = 0;
  for (size_t i = 0; i < senders.size() * kMinutes; ++i) {
    const auto next = Next(bob_, after);
    ASSERT_TRUE(next.ok()) << i << ": " << next.status();
    after = next->sequence();
    const std::pair<std::string, std::string> said = absl::StrSplit(next->message_json(), ' ');
    ASSERT_EQ(said.second, absl::StrCat(heard[said.first]++)) << "of " << said.first;
  }
  EXPECT_TRUE(absl::IsNotFound(Next(bob_, after).status()));
  EXPECT_EQ(heard.size(), senders.size());
}

TEST_F(InboxStoreTest, TakesAMessageOnceEvenAfterItWasReadAndTheGatewayRestarted) {
  ASSERT_TRUE(*Add(bob_, Message("a")));
  EXPECT_FALSE(*Add(bob_, Message("a")));
  EXPECT_EQ(inboxes_->pending(bob_), 1u);
  ASSERT_TRUE(Ack(bob_, {first_}).ok());
  EXPECT_FALSE(*Add(bob_, Message("a")));
  Open({});
  EXPECT_FALSE(*Add(bob_, Message("a")));
  EXPECT_EQ(inboxes_->size(), 0u);

  NewMessage same_id_of_another = Message("a");
  same_id_of_another.sender = "carol.agent";
  EXPECT_TRUE(*Add(bob_, same_id_of_another));
}

TEST_F(InboxStoreTest, ASequenceIsNeverUsedTwice) {
  ASSERT_TRUE(*Add(bob_, Message("a")));
  ASSERT_TRUE(Ack(bob_, {first_}).ok());
  Open({});
  ASSERT_TRUE(*Add(bob_, Message("b")));
  EXPECT_EQ(Next(bob_, 0)->sequence(), first_ + 1);
}

TEST_F(InboxStoreTest, TheNextOwnerOfANameReadsNothingOfTheLast) {
  ASSERT_TRUE(*Add(bob_, Message("a")));
  const InboxId other{bob_.name, sender_};
  EXPECT_EQ(inboxes_->pending(other), 0u);
  EXPECT_TRUE(absl::IsNotFound(Next(other, 0).status()));
}

TEST_F(InboxStoreTest, ANewKeyTakesOverWhatWaitsAndWhatCameBefore) {
  const InboxId rotated{bob_.name, crypto::SigningKey::Generate(random_).public_key()};
  for (const char* id : {"read", "a", "b"}) ASSERT_TRUE(*Add(bob_, Message(id, "bytes")));
  ASSERT_TRUE(Ack(bob_, {first_}).ok());
  ASSERT_TRUE(*Add(rotated, Message("c")));
  const auto moved = inboxes_->TakeOver(bob_, rotated, now_);
  ASSERT_TRUE(moved.ok()) << moved.status();
  EXPECT_EQ(*moved, 2u);
  for (const bool restarted : {false, true}) {
    if (restarted) Open({});
    EXPECT_EQ(inboxes_->pending(bob_), 0u);
    EXPECT_EQ(inboxes_->size(), 3u);
    EXPECT_EQ(Next(rotated, 0)->message_json(), "{c}");
    EXPECT_EQ(Next(rotated, first_)->message_json(), "{a}");
    EXPECT_EQ(Next(rotated, first_ + 1)->message_json(), "{b}");
    EXPECT_EQ(Next(rotated, first_ + 1)->attachment(), "bytes");
    EXPECT_EQ(Next(rotated, first_ + 1)->sequence(), first_ + 2);
    for (const char* id : {"read", "a", "b", "c"}) EXPECT_FALSE(*Add(rotated, Message(id))) << id;
    EXPECT_EQ(*inboxes_->TakeOver(bob_, rotated, now_), 0u);
  }
  // Nothing of the old inbox is left behind, and what moved runs out when it would have.
  for (const int days : {8, 16}) {
    while (Expire(now_ + absl::Hours(24 * days))) {
    }
    EXPECT_EQ(inboxes_->size(), 0u);
  }
  EXPECT_EQ(Rows(), 0u);
}

TEST_F(InboxStoreTest, RefusesOverTheQuotaAndTakesAgainAfterAcks) {
  Open({.max_messages = 2, .max_bytes = 1000});
  ASSERT_TRUE(*Add(bob_, Message("a")));
  ASSERT_TRUE(*Add(bob_, Message("b")));
  const auto third = Add(bob_, Message("c"));
  EXPECT_TRUE(absl::IsResourceExhausted(third.status()));
  EXPECT_EQ(ReasonOf(third.status()), reason::kLimit);
  ASSERT_TRUE(Ack(bob_, {first_}).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(Add(bob_, Message("d", std::string(1000, 'x'))).status()));
  EXPECT_TRUE(*Add(bob_, Message("c")));
}

TEST_F(InboxStoreTest, DropsWhatOutlivedItsTime) {
  Open({.lifetime = absl::Hours(1), .dead_letter_lifetime = absl::ZeroDuration()});
  ASSERT_TRUE(*Add(bob_, Message("a")));
  Expire(now_ + absl::Minutes(59));
  EXPECT_EQ(inboxes_->pending(bob_), 1u);
  Expire(now_ + absl::Hours(1));
  EXPECT_EQ(inboxes_->pending(bob_), 0u);
  // Its id is remembered for as long as a copy could still be young enough.
  const NewMessage copy = Message("a");
  now_ += absl::Hours(1);
  EXPECT_FALSE(*Add(bob_, copy));
  now_ += absl::Minutes(5);
  Expire(now_);
  const auto replay = Add(bob_, copy);
  EXPECT_EQ(ReasonOf(replay.status()), reason::kStale) << replay.status();
  EXPECT_EQ(Rows(), 0u);
  EXPECT_EQ(inboxes_->expired(), 1u);
}

TEST_F(InboxStoreTest, AddsThatMeetShareASyncAndAreSeenOnceItIsOver) {
  store_->Hold();
  std::vector<Answer> answers = {Begin(bob_, Message("a"))};
  store_->AwaitWrites(1);
  for (const char* id : {"b", "c", "d"}) answers.push_back(Begin(bob_, Message(id)));
  EXPECT_EQ(inboxes_->being_written(), 4u);
  EXPECT_EQ(inboxes_->pending(bob_), 0u);
  EXPECT_TRUE(absl::IsNotFound(inboxes_->Deliver(bob_, 0, now_).status()));
  for (const Answer& answer : answers) EXPECT_TRUE(absl::IsUnknown(answer->status()));
  store_->Release();
  EXPECT_TRUE(inboxes_->Flush());
  for (const Answer& answer : answers) EXPECT_TRUE(**answer);
  EXPECT_EQ(store_->writes().size(), 2u);
  EXPECT_EQ(inboxes_->commits(), 2u);
  uint64_t last = 0;
  for (const char* id : {"a", "b", "c", "d"}) {
    const auto next = Next(bob_, last);
    ASSERT_TRUE(next.ok()) << next.status();
    EXPECT_EQ(next->message_json(), absl::StrCat("{", id, "}"));
    EXPECT_GT(next->sequence(), last);
    last = next->sequence();
  }
}

TEST_F(InboxStoreTest, ASecondCopyWaitsForTheFirstOnesOutcome) {
  store_->Hold();
  const Answer first = Begin(bob_, Message("a"));
  const Answer second = Begin(bob_, Message("a"));
  store_->AwaitWrites(1);
  const Answer third = Begin(bob_, Message("a"));
  EXPECT_TRUE(absl::IsUnknown(second->status()));
  store_->Release();
  inboxes_->Flush();
  EXPECT_TRUE(**first);
  EXPECT_FALSE(**second);
  EXPECT_FALSE(**third);
  EXPECT_EQ(inboxes_->pending(bob_), 1u);
  EXPECT_EQ(store_->writes().size(), 1u);
}

TEST_F(InboxStoreTest, TooManyCopiesOfWhatIsBeingWrittenAreRefused) {
  store_->Hold();
  std::vector<Answer> answers;
  for (int i = 0; i < 65; ++i) answers.push_back(Begin(bob_, Message("a")));
  EXPECT_EQ(ReasonOf(answers.back()->status()), reason::kLimit);
  store_->Release();
  inboxes_->Flush();
  EXPECT_TRUE(**answers.front());
  EXPECT_FALSE(**answers[63]);
}

TEST_F(InboxStoreTest, WhatIsBeingWrittenCountsAgainstTheQuota) {
  Open({.max_messages = 2, .max_bytes = 1000});
  store_->Hold();
  const Answer a = Begin(bob_, Message("a"));
  const Answer large = Begin(bob_, Message("large", std::string(1000, 'x')));
  EXPECT_EQ(ReasonOf(large->status()), reason::kLimit);
  const Answer b = Begin(bob_, Message("b"));
  const Answer c = Begin(bob_, Message("c"));
  EXPECT_EQ(ReasonOf(c->status()), reason::kLimit);
  store_->Release();
  inboxes_->Flush();
  EXPECT_TRUE(a->ok() && b->ok());
  EXPECT_EQ(ReasonOf(Add(bob_, Message("c")).status()), reason::kLimit);
}

TEST_F(InboxStoreTest, AFailedWriteFailsEachOfItsAddsAndLeavesNothingBehind) {
  Open({.max_messages = 3});
  ASSERT_TRUE(*Add(bob_, Message("before")));
  store_->Hold();
  const Answer a = Begin(bob_, Message("a"));
  const Answer b = Begin(bob_, Message("b"));
  const Answer twin = Begin(bob_, Message("b"));
  store_->FailWith(absl::UnavailableError("the disk is full"));
  store_->Release();
  inboxes_->Flush();
  for (const Answer& answer : {a, b, twin}) EXPECT_TRUE(absl::IsUnavailable(answer->status())) << answer->status();
  EXPECT_EQ(inboxes_->pending(bob_), 1u);
  EXPECT_EQ(inboxes_->size(), 1u);

  // Once there is space all goes on, also what has failed, and the quota is what it was.
  store_->FailWith(absl::OkStatus());
  EXPECT_TRUE(*Add(bob_, Message("b")));
  EXPECT_TRUE(*Add(bob_, Message("a")));
  EXPECT_EQ(ReasonOf(Add(bob_, Message("c")).status()), reason::kLimit);
  const auto first = Next(bob_, 0);
  const auto second = Next(bob_, first->sequence());
  EXPECT_EQ(second->message_json(), "{b}");
  EXPECT_GT(second->sequence(), first->sequence());
}

TEST_F(InboxStoreTest, AnAckThatCannotBeWrittenLeavesTheMessage) {
  ASSERT_TRUE(*Add(bob_, Message("a", "12345")));
  store_->FailWith(absl::UnavailableError("the disk is full"));
  EXPECT_TRUE(absl::IsUnavailable(Ack(bob_, {Next(bob_, 0)->sequence()})));
  EXPECT_EQ(inboxes_->pending(bob_), 1u);
  EXPECT_EQ(Next(bob_, 0)->attachment(), "12345");
  EXPECT_FALSE(Expire(now_ + absl::Hours(24 * 30)));
  EXPECT_EQ(inboxes_->pending(bob_), 1u);
  store_->FailWith(absl::OkStatus());
  EXPECT_TRUE(Ack(bob_, {Next(bob_, 0)->sequence()}).ok());
  EXPECT_EQ(inboxes_->size(), 0u);
  Open({});
  EXPECT_EQ(inboxes_->size(), 0u);
}

TEST_F(InboxStoreTest, AnAckDoesNotWaitForTheDiskAndIsWrittenAfterWhatCameBefore) {
  ASSERT_TRUE(*Add(bob_, Message("a")));
  const uint64_t sequence = Next(bob_, 0)->sequence();
  store_->Hold();
  const Answer b = Begin(bob_, Message("b"));
  store_->AwaitWrites(2);
  bool written = false;
  inboxes_->Ack(bob_, {sequence}, [&](const absl::Status& status) { written = status.ok(); });
  EXPECT_EQ(inboxes_->pending(bob_), 0u);
  EXPECT_FALSE(written);
  store_->Release();
  inboxes_->Flush();
  EXPECT_TRUE(written);
  EXPECT_EQ(store_->writes().back().durability, storage::Durability::kBuffered);
  EXPECT_EQ(inboxes_->pending(bob_), 1u);
}

TEST_F(InboxStoreTest, ANewKeyTakesOverWhatIsBeingWritten) {
  const InboxId rotated{bob_.name, crypto::SigningKey::Generate(random_).public_key()};
  store_->Hold();
  const Answer a = Begin(bob_, Message("a"));
  store_->AwaitWrites(1);
  const Answer b = Begin(bob_, Message("b"));
  const Answer c = Begin(rotated, Message("c"));
  store_->Release();
  const auto moved = inboxes_->TakeOver(bob_, rotated, now_);
  ASSERT_TRUE(moved.ok()) << moved.status();
  EXPECT_EQ(*moved, 2u);
  EXPECT_TRUE(**a && **b && **c);
  EXPECT_EQ(inboxes_->pending(bob_), 0u);
  EXPECT_EQ(inboxes_->pending(rotated), 3u);
  for (const char* id : {"a", "b", "c"}) EXPECT_FALSE(*Add(rotated, Message(id))) << id;
  ASSERT_TRUE(*Add(rotated, Message("d")));
  Open({});
  EXPECT_EQ(inboxes_->pending(rotated), 4u);
}

TEST_F(InboxStoreTest, NobodyIsCalledBackAfterItsEndButTheMessageIsThere) {
  store_->Hold();
  const Answer a = Begin(bob_, Message("a"));
  store_->AwaitWrites(1);
  const Answer b = Begin(bob_, Message("b"));
  store_->Release();
  Open({});
  EXPECT_TRUE(absl::IsUnknown(a->status()));
  EXPECT_EQ(inboxes_->pending(bob_), 2u);
  EXPECT_FALSE(*Add(bob_, Message("b")));
}

TEST_F(InboxStoreTest, SaysSoIfWhatIsOnDiskIsDamaged) {
  ASSERT_TRUE(store_->Put("inbox/x/short", "?", storage::Durability::kSync).ok());
  const auto opened = InboxStore::Open(*store_, PostNothing, {});
  EXPECT_TRUE(absl::IsDataLoss(opened.status()));
  EXPECT_EQ(ReasonOf(opened.status()), reason::kStorage);
}

// The child is killed the moment Add has said OK; what it acknowledged must be there.
TEST_F(InboxStoreTest, AnAcknowledgedMessageSurvivesKillNine) {
  inboxes_.reset();  // a process that forks has no other threads
  const std::string path = absl::StrCat(testing::TempDir(), "inbox-", getpid());
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    auto store = storage::OpenRocksDb({.path = path, .schema_version = 1});
    if (!store.ok()) _exit(1);
    auto inboxes = InboxStore::Open(**store, PostNothing, {});
    if (!inboxes.ok()) _exit(2);
    (*inboxes)->Add(bob_, Message("a", std::string(100'000, 'x')), now_, [](const absl::StatusOr<bool>& added) {
      if (added.ok()) kill(getpid(), SIGKILL);
    });
    (*inboxes)->Flush();
    _exit(3);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status)) << WEXITSTATUS(status);
  {
    auto store = storage::OpenRocksDb({.path = path, .schema_version = 1});
    ASSERT_TRUE(store.ok()) << store.status();
    auto inboxes = InboxStore::Open(**store, PostNothing, {});
    ASSERT_TRUE(inboxes.ok()) << inboxes.status();
    EXPECT_EQ((*inboxes)->pending(bob_), 1u);
    EXPECT_EQ((*inboxes)->Deliver(bob_, 0, now_)->attachment().size(), 100'000u);
    inboxes_ = *std::move(inboxes);
    EXPECT_FALSE(*Add(bob_, Message("a")));
    inboxes_.reset();
  }
  std::filesystem::remove_all(path);
}

}  // namespace
}  // namespace dotagent::gateway_service
