// InboxStore on a disk that is full.
#include <gtest/gtest.h>
#include <unistd.h>

#include <map>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "services/gateway/inbox_store.h"
#include "tests/unit/gateway/post_nothing.h"
#include "tests/unit/storage/small_disk.h"

namespace dotagent::gateway_service {
namespace {

using storage::Fill;
using storage::SmallDisk;

class InboxDiskTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!storage::CanMount()) GTEST_SKIP() << "a small disk takes root and mount namespaces";
  }

  void Open(const storage::RocksDbOptions& options) {
    inboxes_.reset();
    store_.reset();
    auto store = storage::OpenRocksDb(options);
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
    auto inboxes = InboxStore::Open(*store_, PostNothing, {});
    ASSERT_TRUE(inboxes.ok()) << inboxes.status();
    inboxes_ = *std::move(inboxes);
  }

  void Begin(const std::string& id, size_t size) {
    inboxes_->Add(bob_,
                  {.sender = "alice.agent",
                   .id = id,
                   .timestamp = now_,
                   .json = absl::StrCat("{", id, "}"),
                   .attachment = std::string(size, 'x'),
                   .sender_key = bob_.key},
                  now_, [this, id](const absl::StatusOr<bool>& added) { answers_.insert_or_assign(id, added); });
  }
  absl::StatusOr<bool> Add(const std::string& id, size_t size = 100) {
    Begin(id, size);
    inboxes_->Flush();
    return answers_.at(id);
  }

  SeededRandom random_{12};
  InboxId bob_{*record::Name::Parse("bob.agent"), crypto::SigningKey::Generate(random_).public_key()};
  absl::Time now_ = absl::FromUnixSeconds(1'800'000'000);
  std::unique_ptr<storage::Store> store_;
  std::unique_ptr<InboxStore> inboxes_;
  std::map<std::string, absl::StatusOr<bool>> answers_;
};

TEST_F(InboxDiskTest, AFullDiskRefusesWhatComesAndAllGoesOnWithSpace) {
  const std::string disk = SmallDisk("48m");
  if (disk.empty()) return;
  Open({.path = disk + "/data"});
  ASSERT_TRUE(*Add("before"));
  const auto first = inboxes_->Deliver(bob_, 0, now_);
  ASSERT_TRUE(first.ok()) << first.status();

  Fill(disk + "/ballast");
  for (const char* id : {"a", "b", "c"}) Begin(id, 1000);
  inboxes_->Flush();
  for (const char* id : {"a", "b", "c"}) {
    EXPECT_TRUE(absl::IsUnavailable(answers_.at(id).status())) << answers_.at(id).status();
    EXPECT_EQ(ReasonOf(answers_.at(id).status()), reason::kStorage);
  }
  absl::Status acknowledged;
  inboxes_->Ack(bob_, {first->sequence()}, [&](const absl::Status& status) { acknowledged = status; });
  inboxes_->Flush();
  EXPECT_TRUE(absl::IsUnavailable(acknowledged)) << acknowledged;
  EXPECT_EQ(inboxes_->pending(bob_), 1u);
  EXPECT_EQ(inboxes_->size(), 1u);

  ASSERT_EQ(unlink((disk + "/ballast").c_str()), 0);
  for (const char* id : {"a", "b", "c"}) EXPECT_TRUE(*Add(id));
  EXPECT_FALSE(*Add("before"));
  Open({.path = disk + "/data"});
  EXPECT_EQ(inboxes_->pending(bob_), 4u);
  EXPECT_FALSE(*Add("a"));
}

TEST_F(InboxDiskTest, ADiskThatRunsFullInAWriteLosesNothingThatWasAcknowledged) {
  const std::string disk = SmallDisk("12m");
  if (disk.empty()) return;
  const storage::RocksDbOptions options = {.path = disk + "/data", .min_free_bytes = 0};
  Open(options);
  Fill(disk + "/ballast");
  int sent = 0;
  bool failed = false;
  while (!failed && sent < 1000) {
    for (int together = 0; together < 4; ++together) Begin(absl::StrCat(sent++), 32 * 1024);
    inboxes_->Flush();
    for (const auto& [id, added] : answers_) failed = failed || !added.ok();
  }
  ASSERT_TRUE(failed);
  size_t acknowledged = 0;
  for (const auto& [id, added] : answers_) acknowledged += added.ok() ? 1 : 0;
  EXPECT_EQ(inboxes_->pending(bob_), acknowledged);

  ASSERT_EQ(unlink((disk + "/ballast").c_str()), 0);
  Open(options);
  const auto before = answers_;
  for (const auto& [id, added] : before) {
    const auto again = Add(id, 32 * 1024);
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_FALSE(added.ok() && *again) << id << " had been acknowledged, and is lost";
  }
  EXPECT_EQ(inboxes_->pending(bob_), before.size());
}

}  // namespace
}  // namespace dotagent::gateway_service
