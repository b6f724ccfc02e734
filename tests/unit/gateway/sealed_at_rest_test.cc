// What a gateway's disk holds of a message: all of it, unless it is sealed. RocksDB's own files are read, with its own
// settings, after the message was put into an inbox, delivered, moved to another gateway and buried there.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/base/random.h"
#include "common/record/seal.h"
#include "services/gateway/inbox_store.h"
#include "tests/unit/gateway/post_nothing.h"
#include "tests/unit/storage/temp_folder.h"

namespace dotagent::gateway_service {
namespace {

// A gateway's inboxes on a disk of their own.
class Home {
 public:
  Home() { Restart(); }
  void Restart() {
    inboxes_.reset();
    store_.reset();
    auto store = storage::OpenRocksDb({.path = folder_.path() + "/data"});
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
    auto inboxes = InboxStore::Open(*store_, PostNothing, {.lifetime = absl::Hours(1), .clustered = true});
    ASSERT_TRUE(inboxes.ok()) << inboxes.status();
    inboxes_ = *std::move(inboxes);
  }
  [[nodiscard]] InboxStore& inboxes() { return *inboxes_; }
  // Files of the store that hold `text`.
  [[nodiscard]] std::vector<std::string> FilesWith(const std::string& text) const {
    std::vector<std::string> found;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder_.path())) {
      if (!entry.is_regular_file()) continue;
      std::ifstream file(entry.path(), std::ios::binary);
      const std::string bytes{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
      if (absl::StrContains(bytes, text)) found.push_back(entry.path().filename().string());
    }
    return found;
  }

 private:
  const storage::TempFolder folder_;
  std::unique_ptr<storage::Store> store_;
  std::unique_ptr<InboxStore> inboxes_;
};

class SealedAtRestTest : public testing::Test {
 protected:
  // Random, so that no compression can take it apart, and the id cannot be taken for it.
  std::string Secret() { return HexEncode(random_.Bytes(24)); }

  [[nodiscard]] record::MessageFields Fields(const record::Json& content) const {
    return {.id = "m1", .sender = "alice.agent", .recipient = "bob.agent", .timestamp = now_, .content = content};
  }
  void Add(Home& home, const record::Message& message, const std::string& attachment) {
    absl::StatusOr<bool> added = absl::UnknownError("not answered");
    home.inboxes().Add(bob_,
                       {.sender = "alice.agent",
                        .id = message.id(),
                        .timestamp = message.timestamp(),
                        .json = message.json(),
                        .attachment = attachment,
                        .sender_key = alice_key_.public_key()},
                       now_, [&](const absl::StatusOr<bool>& result) { added = result; });
    home.inboxes().Flush();
    ASSERT_TRUE(added.ok() && *added) << added.status();
  }
  absl::StatusOr<gateway::v1::InboxMessage> Deliver(Home& home) {
    auto message = home.inboxes().Deliver(bob_, 0, now_);
    home.inboxes().Flush();
    return message;
  }
  void Move(Home& from, Home& to) {
    const auto part = from.inboxes().Pack(bob_, 1 << 20);
    ASSERT_TRUE(part.ok()) << part.status();
    ASSERT_EQ(part->messages_size(), 1);
    absl::Status status = absl::UnknownError("not answered");
    const auto done = [&](const absl::Status& result) { status = result; };
    to.inboxes().Unpack(bob_, *part, now_, done);
    to.inboxes().Flush();
    ASSERT_TRUE(status.ok()) << status;
    from.inboxes().Discard(bob_, *part, done);
    from.inboxes().Flush();
    ASSERT_TRUE(status.ok()) << status;
  }
  gateway::v1::ListDeadLettersResponse Bury(Home& home) {
    EXPECT_TRUE(home.inboxes().Expire(now_ + absl::Hours(1)).ok());
    home.inboxes().Flush();
    auto letters = home.inboxes().DeadLetters(bob_, 0);
    EXPECT_TRUE(letters.ok()) << letters.status();
    return letters.value_or(gateway::v1::ListDeadLettersResponse());
  }
  // The way of a message from gateway to gateway; how many files hold each of `secrets` at each stop.
  std::vector<size_t> Travel(const record::Message& message, const std::string& attachment,
                             const std::vector<std::string>& secrets) {
    std::vector<size_t> found;
    const auto look = [&](const Home& home) {
      for (const std::string& secret : secrets) found.push_back(home.FilesWith(secret).size());
    };
    Home one;
    Home two;
    Add(one, message, attachment);
    look(one);
    EXPECT_TRUE(Deliver(one).ok());
    one.Restart();  // into a table, out of the log
    look(one);
    Move(one, two);
    look(two);
    two.Restart();
    look(two);
    delivered_ = *Deliver(two);
    const auto letters = Bury(two);
    EXPECT_EQ(letters.letters_size(), 1);
    if (letters.letters_size() == 1) buried_ = letters.letters(0).message();
    two.Restart();
    look(two);
    return found;
  }

  SeededRandom random_{21};
  const crypto::SigningKey alice_key_ = crypto::SigningKey::Generate(random_);
  const crypto::SigningKey bob_key_ = crypto::SigningKey::Generate(random_);
  const InboxId bob_{*record::Name::Parse("bob.agent"), bob_key_.public_key()};
  const absl::Time now_ = absl::FromUnixSeconds(1'800'000'000);
  gateway::v1::InboxMessage delivered_;  // by the second gateway
  gateway::v1::InboxMessage buried_;
};

TEST_F(SealedAtRestTest, NoFileHoldsWhatIsSealed) {
  const std::string media_type = Secret();
  const std::string bytes = Secret();
  const record::Json content = record::AttachmentContent(media_type, bytes);
  const auto sealed = record::SignSealed(Fields(content), bytes, bob_key_.public_key(), alice_key_, random_);
  ASSERT_TRUE(sealed.ok()) << sealed.status();
  const std::vector<std::string> secrets = {media_type, bytes, content["sha256"]};
  for (const size_t files : Travel(sealed->message, sealed->attachment, secrets)) EXPECT_EQ(files, 0U);
  for (const auto& arrived : {delivered_, buried_}) {
    const auto message = record::Message::Verify(arrived.message_json(), alice_key_.public_key(), now_);
    ASSERT_TRUE(message.ok()) << message.status();
    const auto opened = record::OpenSealed(*message, arrived.attachment(), alice_key_.public_key(), bob_key_);
    ASSERT_TRUE(opened.ok()) << opened.status();
    EXPECT_EQ(opened->attachment, bytes);
    EXPECT_EQ(opened->content, content);
  }
}

TEST_F(SealedAtRestTest, TheSameSearchFindsWhatIsNot) {
  const std::string media_type = Secret();
  const std::string bytes = Secret();
  const record::Json content = record::AttachmentContent(media_type, bytes);
  const auto plain = record::Message::Sign(Fields(content), alice_key_);
  ASSERT_TRUE(plain.ok()) << plain.status();
  for (const size_t files : Travel(*plain, bytes, {media_type, bytes, content["sha256"]})) EXPECT_GE(files, 1U);
  EXPECT_EQ(buried_.attachment(), bytes);
}

}  // namespace
}  // namespace dotagent::gateway_service
