#include "services/gateway/inbox_store.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/random.h"
#include "common/base/status.h"

namespace dotagent::gateway_service {
namespace {

class InboxStoreTest : public testing::Test {
 protected:
  InboxStoreTest() { Open({}); }

  void Open(const InboxLimits& limits) {
    auto inboxes = InboxStore::Open(*store_, limits);
    ASSERT_TRUE(inboxes.ok()) << inboxes.status();
    inboxes_ = *std::move(inboxes);
  }

  [[nodiscard]] NewMessage Message(const std::string& id, const std::string& attachment = "") const {
    return {.sender = "alice.agent",
            .id = id,
            .timestamp = now_,
            .json = absl::StrCat("{", id, "}"),
            .attachment = attachment,
            .sender_key = sender_};
  }

  SeededRandom random_{11};
  crypto::PublicKey sender_ = crypto::SigningKey::Generate(random_).public_key();
  crypto::PublicKey bob_key_ = crypto::SigningKey::Generate(random_).public_key();
  InboxId bob_{*record::Name::Parse("bob.agent"), bob_key_};
  absl::Time now_ = absl::FromUnixSeconds(1'800'000'000);
  std::unique_ptr<storage::Store> store_ = storage::NewMemoryStore();
  std::unique_ptr<InboxStore> inboxes_;
};

TEST_F(InboxStoreTest, HandsOutInOrderUntilAcknowledged) {
  for (const char* id : {"a", "b", "c"}) {
    const auto added = inboxes_->Add(bob_, Message(id, "bytes"), now_);
    ASSERT_TRUE(added.ok()) << added.status();
    EXPECT_TRUE(*added);
  }
  EXPECT_EQ(inboxes_->pending(bob_), 3u);
  auto first = inboxes_->Next(bob_, 0);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(first->sequence(), 1u);
  EXPECT_EQ(first->message_json(), "{a}");
  EXPECT_EQ(first->attachment(), "bytes");
  EXPECT_EQ(first->sender_key(), sender_.bytes());
  EXPECT_EQ(inboxes_->Next(bob_, 1)->message_json(), "{b}");
  EXPECT_TRUE(absl::IsNotFound(inboxes_->Next(bob_, 3).status()));

  ASSERT_TRUE(inboxes_->Ack(bob_, {1, 3, 99}).ok());
  EXPECT_EQ(inboxes_->pending(bob_), 1u);
  EXPECT_EQ(inboxes_->Next(bob_, 0)->message_json(), "{b}");
}

TEST_F(InboxStoreTest, TakesAMessageOnceEvenAfterItWasReadAndTheGatewayRestarted) {
  ASSERT_TRUE(*inboxes_->Add(bob_, Message("a"), now_));
  EXPECT_FALSE(*inboxes_->Add(bob_, Message("a"), now_));
  EXPECT_EQ(inboxes_->pending(bob_), 1u);
  ASSERT_TRUE(inboxes_->Ack(bob_, {1}).ok());
  EXPECT_FALSE(*inboxes_->Add(bob_, Message("a"), now_));
  Open({});
  EXPECT_FALSE(*inboxes_->Add(bob_, Message("a"), now_));
  EXPECT_EQ(inboxes_->size(), 0u);

  NewMessage same_id_of_another = Message("a");
  same_id_of_another.sender = "carol.agent";
  EXPECT_TRUE(*inboxes_->Add(bob_, same_id_of_another, now_));
}

TEST_F(InboxStoreTest, ASequenceIsNeverUsedTwice) {
  ASSERT_TRUE(*inboxes_->Add(bob_, Message("a"), now_));
  ASSERT_TRUE(inboxes_->Ack(bob_, {1}).ok());
  Open({});
  ASSERT_TRUE(*inboxes_->Add(bob_, Message("b"), now_));
  EXPECT_EQ(inboxes_->Next(bob_, 0)->sequence(), 2u);
}

TEST_F(InboxStoreTest, TheNextOwnerOfANameReadsNothingOfTheLast) {
  ASSERT_TRUE(*inboxes_->Add(bob_, Message("a"), now_));
  const InboxId other{bob_.name, sender_};
  EXPECT_EQ(inboxes_->pending(other), 0u);
  EXPECT_TRUE(absl::IsNotFound(inboxes_->Next(other, 0).status()));
}

TEST_F(InboxStoreTest, ANewKeyTakesOverWhatWaitsAndWhatCameBefore) {
  const InboxId rotated{bob_.name, crypto::SigningKey::Generate(random_).public_key()};
  for (const char* id : {"read", "a", "b"}) ASSERT_TRUE(*inboxes_->Add(bob_, Message(id, "bytes"), now_));
  ASSERT_TRUE(inboxes_->Ack(bob_, {1}).ok());
  ASSERT_TRUE(*inboxes_->Add(rotated, Message("c"), now_));
  const auto moved = inboxes_->TakeOver(bob_, rotated);
  ASSERT_TRUE(moved.ok()) << moved.status();
  EXPECT_EQ(*moved, 2u);
  for (const bool restarted : {false, true}) {
    if (restarted) Open({});
    EXPECT_EQ(inboxes_->pending(bob_), 0u);
    EXPECT_EQ(inboxes_->size(), 3u);
    EXPECT_EQ(inboxes_->Next(rotated, 0)->message_json(), "{c}");
    EXPECT_EQ(inboxes_->Next(rotated, 1)->message_json(), "{a}");
    EXPECT_EQ(inboxes_->Next(rotated, 2)->message_json(), "{b}");
    EXPECT_EQ(inboxes_->Next(rotated, 2)->attachment(), "bytes");
    EXPECT_EQ(inboxes_->Next(rotated, 2)->sequence(), 3u);
    for (const char* id : {"read", "a", "b", "c"}) EXPECT_FALSE(*inboxes_->Add(rotated, Message(id), now_)) << id;
    EXPECT_EQ(*inboxes_->TakeOver(bob_, rotated), 0u);
  }
  // Nothing of the old inbox is left behind, and what moved runs out when it would have.
  const absl::Time late = now_ + absl::Hours(24 * 8);
  while (*inboxes_->Expire(late)) {
  }
  EXPECT_EQ(inboxes_->size(), 0u);
  size_t rows = 0;
  ASSERT_TRUE(store_
                  ->Scan("inbox/", "inbox/",
                         [&](absl::string_view key, absl::string_view) {
                           if (!absl::StartsWith(key, "inbox/n/")) ++rows;
                           return true;
                         })
                  .ok());
  EXPECT_EQ(rows, 0u);
}

TEST_F(InboxStoreTest, RefusesOverTheQuotaAndTakesAgainAfterAcks) {
  Open({.max_messages = 2, .max_bytes = 1000});
  ASSERT_TRUE(*inboxes_->Add(bob_, Message("a"), now_));
  ASSERT_TRUE(*inboxes_->Add(bob_, Message("b"), now_));
  const auto third = inboxes_->Add(bob_, Message("c"), now_);
  EXPECT_TRUE(absl::IsResourceExhausted(third.status()));
  EXPECT_EQ(ReasonOf(third.status()), reason::kLimit);
  ASSERT_TRUE(inboxes_->Ack(bob_, {1}).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(inboxes_->Add(bob_, Message("d", std::string(1000, 'x')), now_).status()));
  EXPECT_TRUE(*inboxes_->Add(bob_, Message("c"), now_));
}

TEST_F(InboxStoreTest, DropsWhatOutlivedItsTime) {
  Open({.lifetime = absl::Hours(1)});
  ASSERT_TRUE(*inboxes_->Add(bob_, Message("a"), now_));
  ASSERT_TRUE(inboxes_->Expire(now_ + absl::Minutes(59)).ok());
  EXPECT_EQ(inboxes_->pending(bob_), 1u);
  ASSERT_TRUE(inboxes_->Expire(now_ + absl::Hours(1)).ok());
  EXPECT_EQ(inboxes_->pending(bob_), 0u);
  // Its id is remembered for as long as a copy could still be young enough.
  EXPECT_FALSE(*inboxes_->Add(bob_, Message("a"), now_ + absl::Hours(1)));
  ASSERT_TRUE(inboxes_->Expire(now_ + absl::Hours(1) + absl::Minutes(5)).ok());
  const auto replay = inboxes_->Add(bob_, Message("a"), now_ + absl::Hours(1) + absl::Minutes(5));
  EXPECT_EQ(ReasonOf(replay.status()), reason::kStale) << replay.status();
  // Nothing is left but the counter.
  size_t keys = 0;
  ASSERT_TRUE(store_->Scan("inbox/", "inbox/", [&](absl::string_view, absl::string_view) { return ++keys > 0; }).ok());
  EXPECT_EQ(keys, 1u);
}

TEST_F(InboxStoreTest, SaysSoIfWhatIsOnDiskIsDamaged) {
  ASSERT_TRUE(store_->Put("inbox/x/short", "?", storage::Durability::kSync).ok());
  const auto opened = InboxStore::Open(*store_, {});
  EXPECT_TRUE(absl::IsDataLoss(opened.status()));
  EXPECT_EQ(ReasonOf(opened.status()), reason::kStorage);
}

// The child is killed the moment Add has said OK; what it acknowledged must be there.
TEST_F(InboxStoreTest, AnAcknowledgedMessageSurvivesKillNine) {
  const std::string path = absl::StrCat(testing::TempDir(), "inbox-", getpid());
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    auto store = storage::OpenRocksDb({.path = path, .schema_version = 1});
    if (!store.ok()) _exit(1);
    auto inboxes = InboxStore::Open(**store, {});
    if (!inboxes.ok() || !(*inboxes)->Add(bob_, Message("a", std::string(100'000, 'x')), now_).ok()) _exit(2);
    kill(getpid(), SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status)) << WEXITSTATUS(status);
  {
    auto store = storage::OpenRocksDb({.path = path, .schema_version = 1});
    ASSERT_TRUE(store.ok()) << store.status();
    auto inboxes = InboxStore::Open(**store, {});
    ASSERT_TRUE(inboxes.ok()) << inboxes.status();
    EXPECT_EQ((*inboxes)->pending(bob_), 1u);
    EXPECT_EQ((*inboxes)->Next(bob_, 0)->attachment().size(), 100'000u);
    EXPECT_FALSE(*(*inboxes)->Add(bob_, Message("a"), now_));
  }
  std::filesystem::remove_all(path);
}

}  // namespace
}  // namespace dotagent::gateway_service
