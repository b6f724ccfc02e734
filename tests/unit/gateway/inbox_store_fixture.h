// An InboxStore over a store that obeys the test, and Bob's inbox in it.
#ifndef DOTAGENT_TESTS_UNIT_GATEWAY_INBOX_STORE_FIXTURE_H_
#define DOTAGENT_TESTS_UNIT_GATEWAY_INBOX_STORE_FIXTURE_H_

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/random.h"
#include "services/gateway/inbox_store.h"
#include "tests/unit/gateway/post_nothing.h"
#include "tests/unit/storage/held_store.h"

namespace dotagent::gateway_service {

class InboxStoreTest : public testing::Test {
 protected:
  InboxStoreTest() { Open({}); }

  void Open(const InboxLimits& limits) {
    inboxes_.reset();
    auto inboxes = InboxStore::Open(*store_, PostNothing, limits);
    ASSERT_TRUE(inboxes.ok()) << inboxes.status();
    inboxes_ = *std::move(inboxes);
  }

  // Rows of inboxes in the store, but for the counters.
  size_t Rows() const {
    size_t rows = 0;
    const absl::Status scanned = store_->Scan("inbox/", "inbox/", [&](absl::string_view key, absl::string_view) {
      if (!absl::StartsWith(key, "inbox/n/")) ++rows;
      return true;
    });
    EXPECT_TRUE(scanned.ok()) << scanned;
    return rows;
  }

  [[nodiscard]] NewMessage Message(const std::string& id, const std::string& attachment = "") const {
    return {.sender = "alice.agent",
            .id = id,
            .timestamp = now_,
            .json = absl::StrCat("{", id, "}"),
            .attachment = attachment,
            .sender_key = sender_};
  }

  // Where it is put once Add has called back; UnknownError until then.
  using Answer = std::shared_ptr<absl::StatusOr<bool>>;
  Answer Begin(const InboxId& inbox, const NewMessage& message) {
    auto answer = std::make_shared<absl::StatusOr<bool>>(absl::UnknownError("not answered"));
    inboxes_->Add(inbox, message, now_, [answer](const absl::StatusOr<bool>& added) {
      EXPECT_TRUE(absl::IsUnknown(answer->status())) << "answered twice";
      *answer = added;
    });
    return answer;
  }
  absl::StatusOr<bool> Add(const InboxId& inbox, const NewMessage& message) {
    const Answer answer = Begin(inbox, message);
    inboxes_->Flush();
    return *answer;
  }
  absl::Status Ack(const InboxId& inbox, const std::vector<uint64_t>& sequences) {
    absl::Status status = absl::UnknownError("not answered");
    inboxes_->Ack(inbox, sequences, [&](const absl::Status& written) { status = written; });
    inboxes_->Flush();
    return status;
  }
  // What Deliver gives now.
  absl::StatusOr<gateway::v1::InboxMessage> Next(const InboxId& inbox, uint64_t after) {
    auto message = inboxes_->Deliver(inbox, after, now_);
    inboxes_->Flush();
    return message;
  }
  bool Expire(absl::Time now) {
    const absl::StatusOr<bool> more = inboxes_->Expire(now);
    EXPECT_TRUE(more.ok()) << more.status();
    inboxes_->Flush();
    return more.value_or(false);
  }

  SeededRandom random_{11};
  crypto::PublicKey sender_ = crypto::SigningKey::Generate(random_).public_key();
  crypto::PublicKey bob_key_ = crypto::SigningKey::Generate(random_).public_key();
  InboxId bob_{*record::Name::Parse("bob.agent"), bob_key_};
  absl::Time now_ = absl::FromUnixSeconds(1'800'000'000);
  const uint64_t first_ = static_cast<uint64_t>(absl::ToUnixMicros(now_));  // the first sequence
  std::unique_ptr<storage::HeldStore> store_ = std::make_unique<storage::HeldStore>();
  std::unique_ptr<InboxStore> inboxes_;
};

}  // namespace dotagent::gateway_service

#endif  // DOTAGENT_TESTS_UNIT_GATEWAY_INBOX_STORE_FIXTURE_H_
