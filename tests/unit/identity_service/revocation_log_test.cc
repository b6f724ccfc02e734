#include "services/identity/revocation_log.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/random.h"
#include "common/base/status.h"

namespace dotagent::identity_service {
namespace {

crypto::PublicKey KeyFromSeed(uint64_t seed) {
  SeededRandom random(seed);
  return crypto::SigningKey::Generate(random).public_key();
}

class RevocationLogTest : public testing::Test {
 protected:
  RevocationLog Open() {
    auto log = RevocationLog::Open(store_.get());
    EXPECT_TRUE(log.ok()) << log.status();
    return *std::move(log);
  }
  // Appends the statement "statement SEED" for a key.
  uint64_t Append(RevocationLog& log, uint64_t seed, bool expect_added = true) {
    bool added = !expect_added;
    const auto sequence = log.Append(KeyFromSeed(seed), absl::StrCat("statement ", seed), &added);
    EXPECT_TRUE(sequence.ok()) << sequence.status();
    EXPECT_EQ(added, expect_added);
    return *sequence;
  }
  // Every statement after `cursor`, read as a watcher reads.
  static std::vector<std::string> After(const RevocationLog& log, uint64_t cursor) {
    std::vector<std::string> statements;
    for (;;) {
      const auto entry = log.After(cursor);
      EXPECT_TRUE(entry.ok()) << entry.status();
      if (!entry.ok() || !*entry) return statements;
      EXPECT_EQ((*entry)->sequence, cursor + 1);
      cursor = (*entry)->sequence;
      statements.push_back((*entry)->statement);
    }
  }

  std::unique_ptr<storage::Store> store_ = storage::NewMemoryStore();
};

TEST_F(RevocationLogTest, IsReadInTheOrderInWhichItWasWritten) {
  RevocationLog log = Open();
  EXPECT_EQ(log.last_sequence(), 0U);
  EXPECT_TRUE(After(log, 0).empty());
  // More than ten, so that an order of texts would not be one of numbers.
  std::vector<std::string> written;
  for (uint64_t i = 1; i <= 12; ++i) {
    EXPECT_EQ(Append(log, 100 - i), i);
    written.push_back(absl::StrCat("statement ", 100 - i));
  }
  EXPECT_EQ(After(log, 0), written);
  EXPECT_EQ(After(log, 10), std::vector<std::string>(written.begin() + 10, written.end()));
  EXPECT_TRUE(After(log, 12).empty());
  EXPECT_TRUE(After(log, 1000).empty()) << "a cursor from another log";
}

TEST_F(RevocationLogTest, AKeyIsRevokedOnce) {
  RevocationLog log = Open();
  EXPECT_EQ(Append(log, 1), 1U);
  EXPECT_EQ(Append(log, 2), 2U);
  bool added = true;
  EXPECT_EQ(*log.Append(KeyFromSeed(1), "another statement", &added), 1U);
  EXPECT_FALSE(added);
  EXPECT_EQ(log.last_sequence(), 2U);
  EXPECT_EQ((*log.Find(KeyFromSeed(1)))->statement, "statement 1");
  EXPECT_EQ((*log.Find(KeyFromSeed(2)))->sequence, 2U);
  EXPECT_FALSE(log.Find(KeyFromSeed(3))->has_value());
}

TEST_F(RevocationLogTest, GoesOnAfterARestart) {
  {
    RevocationLog log = Open();
    Append(log, 1);
    Append(log, 2);
  }
  RevocationLog log = Open();
  EXPECT_EQ(log.last_sequence(), 2U);
  EXPECT_EQ(Append(log, 1, /*expect_added=*/false), 1U);
  EXPECT_EQ(Append(log, 3), 3U);
  EXPECT_EQ(After(log, 0), (std::vector<std::string>{"statement 1", "statement 2", "statement 3"}));
}

TEST_F(RevocationLogTest, DamageIsReportedNotMisread) {
  ASSERT_TRUE(store_->Put("last-sequence", "two", storage::Durability::kBuffered).ok());
  const absl::Status status = RevocationLog::Open(store_.get()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(ReasonOf(status), reason::kStorage);
}

}  // namespace
}  // namespace dotagent::identity_service
