#include "services/gateway/durable_queues.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "tests/unit/gateway/post_nothing.h"

namespace dotagent::gateway_service {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class DurableQueuesTest : public testing::Test {
 protected:
  DurableQueuesTest() { Open(); }

  // As after kill -9: what was handed over has been written, the rest is gone.
  void Open(const DurableLimits& limits = {}) {
    queues_.reset();
    auto queues = DurableQueues::Open(*store_, PostNothing, limits);
    ASSERT_TRUE(queues.ok()) << queues.status();
    queues_ = *std::move(queues);
  }
  DurableId Id(const std::string& name) const { return *DurableId::Make(bob_, key_, name); }

  absl::Status Make(const DurableId& id, const std::string& request = "request") {
    gateway::v1::SubscribeRequest asked;
    asked.set_message_json(request);
    absl::Status status = absl::UnknownError("not answered");
    queues_->Make(id, asked, now_, [&](const absl::Status& written) { status = written; });
    queues_->Flush();
    return status;
  }
  absl::Status Append(const DurableId& id, const std::string& event) {
    absl::Status status = absl::UnknownError("not answered");
    queues_->Append(id, event, now_, [&](const absl::Status& written) { status = written; });
    queues_->Flush();
    return status;
  }
  void Fill(const DurableId& id, int count) {
    for (int i = 1; i <= count; ++i) ASSERT_EQ(Append(id, absl::StrCat("e", i)), absl::OkStatus());
  }
  std::vector<std::string> All(const DurableId& id, uint64_t after = 0) const {
    std::vector<std::string> events;
    for (auto next = queues_->Next(id, after); next.ok(); next = queues_->Next(id, next->cursor)) {
      events.push_back(next->response);
    }
    return events;
  }
  size_t Rows() const {
    size_t rows = 0;
    EXPECT_TRUE(store_->Scan("durable/", "", [&](absl::string_view, absl::string_view) { return ++rows > 0; }).ok());
    return rows;
  }

  SeededRandom random_{7};
  absl::Time now_ = absl::FromUnixSeconds(1'800'000'000);
  const record::Name bob_ = *record::Name::Parse("bob.agent");
  const crypto::PublicKey key_ = crypto::SigningKey::Generate(random_).public_key();
  std::unique_ptr<storage::Store> store_ = storage::NewMemoryStore();
  std::unique_ptr<DurableQueues> queues_;
};

TEST_F(DurableQueuesTest, EventsComeInOrderUntilTheyAreAcknowledged) {
  const DurableId id = Id("prices");
  ASSERT_EQ(Make(id), absl::OkStatus());
  Fill(id, 4);
  EXPECT_THAT(All(id), ElementsAre("e1", "e2", "e3", "e4"));
  EXPECT_THAT(All(id), ElementsAre("e1", "e2", "e3", "e4"));  // again, until
  ASSERT_EQ(queues_->Ack(id, queues_->Next(id, 1)->cursor, 0), absl::OkStatus());
  EXPECT_THAT(All(id), ElementsAre("e3", "e4"));
  EXPECT_EQ(ReasonOf(queues_->Ack(id, 5, 0)), reason::kStale);
  EXPECT_THAT(All(id), ElementsAre("e3", "e4"));
}

TEST_F(DurableQueuesTest, ARestartGoesOnBehindTheLastAcknowledgement) {
  const DurableId id = Id("prices");
  ASSERT_EQ(Make(id, "the request"), absl::OkStatus());
  Fill(id, 3);
  ASSERT_EQ(queues_->Ack(id, 2, 0), absl::OkStatus());
  Open();
  EXPECT_THAT(All(id), ElementsAre("e3"));
  ASSERT_EQ(queues_->List(&key_).size(), 1u);
  EXPECT_EQ(queues_->List(&key_)[0].request.message_json(), "the request");
  // No cursor is given out twice, also where nothing waits.
  ASSERT_EQ(queues_->Ack(id, 3, 0), absl::OkStatus());
  Open();
  EXPECT_THAT(All(id), IsEmpty());
  ASSERT_EQ(Append(id, "e4"), absl::OkStatus());
  EXPECT_EQ(queues_->Next(id, 0)->cursor, 4u);
}

TEST_F(DurableQueuesTest, WhatIsBeingWrittenIsNotHandedOut) {
  const DurableId id = Id("prices");
  ASSERT_EQ(Make(id), absl::OkStatus());
  std::string order;
  queues_->Append(id, "e1", now_, [&](const absl::Status&) { order += "e1 "; });
  EXPECT_TRUE(absl::IsNotFound(queues_->Next(id, 0).status()));
  queues_->AfterWritten([&](const absl::Status&) { order += "all"; });
  EXPECT_EQ(order, "");
  queues_->Flush();
  EXPECT_EQ(order, "e1 all");
  EXPECT_THAT(All(id), ElementsAre("e1"));
}

TEST_F(DurableQueuesTest, TheOldestGoFirstAndAreCounted) {
  Open({.max_entries = 3});
  const DurableId id = Id("prices");
  ASSERT_EQ(Make(id), absl::OkStatus());
  Fill(id, 5);
  EXPECT_THAT(All(id), ElementsAre("e3", "e4", "e5"));
  EXPECT_EQ(queues_->lost(id), 2u);
  Open({.max_entries = 3});
  EXPECT_EQ(queues_->lost(id), 2u);
  // Told of them, and an acknowledgement since; one more was lost meanwhile.
  ASSERT_EQ(Append(id, "e6"), absl::OkStatus());
  ASSERT_EQ(queues_->Ack(id, 4, 2), absl::OkStatus());
  EXPECT_EQ(queues_->lost(id), 1u);
  EXPECT_THAT(All(id), ElementsAre("e5", "e6"));
}

TEST_F(DurableQueuesTest, BytesAreBoundedToo) {
  Open({.max_bytes = 250});
  const DurableId id = Id("prices");
  ASSERT_EQ(Make(id), absl::OkStatus());
  for (const char c : {'a', 'b', 'c'}) ASSERT_EQ(Append(id, std::string(100, c)), absl::OkStatus());
  EXPECT_THAT(All(id), ElementsAre(std::string(100, 'b'), std::string(100, 'c')));
  EXPECT_EQ(ReasonOf(Append(id, std::string(300, 'd'))), reason::kLimit);
  EXPECT_EQ(queues_->lost(id), 2u);
  EXPECT_EQ(All(id).size(), 2u);  // a giant pushes nothing out
}

TEST_F(DurableQueuesTest, OldEventsAndIdleQueuesEnd) {
  const DurableId id = Id("prices");
  ASSERT_EQ(Make(id), absl::OkStatus());
  Fill(id, 2);
  now_ += DurableLimits().max_age;
  ASSERT_EQ(Append(id, "young"), absl::OkStatus());
  now_ += absl::Seconds(1);
  EXPECT_FALSE(queues_->Expire(now_));
  EXPECT_THAT(All(id), ElementsAre("young"));
  EXPECT_EQ(queues_->lost(id), 2u);
  queues_->Touch(id, now_);
  now_ += DurableLimits().max_idle;
  static_cast<void>(queues_->Expire(now_));
  EXPECT_TRUE(queues_->Has(id));
  now_ += absl::Seconds(1);
  static_cast<void>(queues_->Expire(now_));
  EXPECT_FALSE(queues_->Has(id));
  queues_->Flush();
  EXPECT_EQ(Rows(), 0u);
}

TEST_F(DurableQueuesTest, ARemovedQueueLeavesNothing) {
  const DurableId id = Id("prices");
  ASSERT_EQ(Make(id), absl::OkStatus());
  Fill(id, 3);
  queues_->Append(id, "being written", now_, [](const absl::Status&) {});
  absl::Status removed = absl::UnknownError("not answered");
  queues_->Remove(id, [&](const absl::Status& written) { removed = written; });
  queues_->Flush();
  EXPECT_EQ(removed, absl::OkStatus());
  EXPECT_EQ(Rows(), 0u);
  EXPECT_TRUE(absl::IsNotFound(Append(id, "late")));
  EXPECT_TRUE(absl::IsNotFound(queues_->Ack(id, 1, 0)));
}

TEST_F(DurableQueuesTest, QueuesAreKeptApartAndBounded) {
  Open({.max_per_agent = 2});
  ASSERT_EQ(Make(Id("a")), absl::OkStatus());
  ASSERT_EQ(Make(Id("a-b")), absl::OkStatus());
  EXPECT_EQ(ReasonOf(Make(Id("c"))), reason::kLimit);
  EXPECT_EQ(Make(Id("a"), "newer"), absl::OkStatus());  // it is there already
  const DurableId other = *DurableId::Make(bob_, crypto::SigningKey::Generate(random_).public_key(), "a");
  ASSERT_EQ(Make(other), absl::OkStatus());
  ASSERT_EQ(Append(Id("a"), "mine"), absl::OkStatus());
  EXPECT_THAT(All(Id("a-b")), IsEmpty());
  EXPECT_THAT(All(other), IsEmpty());
  EXPECT_EQ(queues_->List(&key_).size(), 2u);
  EXPECT_EQ(queues_->List(nullptr).size(), 3u);
}

TEST_F(DurableQueuesTest, NamesHaveAForm) {
  for (const std::string& name : {std::string(), std::string("a/b"), std::string("a b"), std::string(65, 'a')}) {
    EXPECT_EQ(ReasonOf(DurableId::Make(bob_, key_, name).status()), reason::kBadMessage) << name;
  }
  EXPECT_TRUE(DurableId::Make(bob_, key_, std::string(64, 'a')).ok());
}

TEST_F(DurableQueuesTest, DamageIsReported) {
  ASSERT_TRUE(store_->Put("durable/q/nobody.agent/00/x/12345678", "12345678", storage::Durability::kSync).ok());
  queues_.reset();
  EXPECT_TRUE(absl::IsDataLoss(DurableQueues::Open(*store_, PostNothing, {}).status()));
}

}  // namespace
}  // namespace dotagent::gateway_service
