#include "services/identity/certificate_log.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/identity/agent_id.h"
#include "common/identity/certificate_request.h"
#include "common/storage/store.h"

namespace dotagent::identity_service {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);
const absl::Time kEnds = kNow + absl::Hours(24);

// Counts what reaches the disk, and fails when it is told to.
class CountingStore : public storage::Store {
 public:
  absl::StatusOr<std::string> Get(absl::string_view key) const override { return memory_->Get(key); }
  absl::Status Write(const storage::Batch& batch, storage::Durability durability) override {
    if (!failure.ok()) return failure;
    if (durability == storage::Durability::kSync) ++syncs;
    return memory_->Write(batch, durability);
  }
  absl::Status Scan(absl::string_view prefix, absl::string_view from,
                    const std::function<bool(absl::string_view, absl::string_view)>& visit) const override {
    return memory_->Scan(prefix, from, visit);
  }
  int syncs = 0;
  absl::Status failure;

 private:
  const std::unique_ptr<storage::Store> memory_ = storage::NewMemoryStore();
};

class CertificateLogTest : public testing::Test {
 protected:
  identity::IssuedCertificates Certificates(int n) const {
    return {.name_der = absl::StrCat("name ", n), .svid_der = absl::StrCat("svid ", n)};
  }
  CountingStore store_;
};

TEST_F(CertificateLogTest, WhatWaitsIsWrittenWithOneSyncAndOnlyThenAnswered) {
  CertificateLog log = CertificateLog::Open(&store_).value();
  std::vector<int> answered;
  for (int n = 0; n < 100; ++n) {
    log.Append(Certificates(n), kEnds, [&answered, n](const absl::Status& written) {
      EXPECT_TRUE(written.ok());
      answered.push_back(n);
    });
  }
  EXPECT_TRUE(answered.empty());
  EXPECT_EQ(log.waiting(), 100u);
  log.Commit(kNow);
  EXPECT_EQ(store_.syncs, 1);
  ASSERT_EQ(answered.size(), 100u);
  EXPECT_EQ(answered.front(), 0);
  log.Commit(kNow);
  EXPECT_EQ(store_.syncs, 1);
}

TEST_F(CertificateLogTest, IsReadInOrderAndGoesOnAfterARestart) {
  for (int n = 1; n <= 3; ++n) {
    CertificateLog log = CertificateLog::Open(&store_).value();
    log.Append(Certificates(n), kEnds, [](const absl::Status&) {});
    log.Commit(kNow);
  }
  const CertificateLog log = CertificateLog::Open(&store_).value();
  for (uint64_t n = 1; n <= 3; ++n) {
    const auto entry = log.After(n - 1);
    ASSERT_TRUE(entry.ok() && entry->has_value());
    EXPECT_EQ((*entry)->number, n);
    EXPECT_EQ((*entry)->ends, kEnds);
    EXPECT_EQ((*entry)->certificates.name_der, absl::StrCat("name ", n));
    EXPECT_EQ((*entry)->certificates.svid_der, absl::StrCat("svid ", n));
  }
  EXPECT_FALSE(log.After(3)->has_value());
}

TEST_F(CertificateLogTest, AFullDiskFailsAllThatWaitedAndTheNextTryWorks) {
  CertificateLog log = CertificateLog::Open(&store_).value();
  storage::Batch also;
  also.Put("name/x", "bob");
  absl::Status answer;
  log.Append(
      Certificates(1), kEnds, [&](const absl::Status& written) { answer = written; }, also);
  store_.failure = ErrorWithReason(absl::StatusCode::kUnavailable, reason::kStorage, "full");
  log.Commit(kNow);
  EXPECT_EQ(ReasonOf(answer), reason::kStorage);
  EXPECT_FALSE(store_.Get("name/x").ok());
  store_.failure = absl::OkStatus();
  log.Append(Certificates(2), kEnds, [&](const absl::Status& written) { answer = written; });
  log.Commit(kNow);
  EXPECT_TRUE(answer.ok());
  EXPECT_EQ((*log.After(0))->certificates.name_der, "name 2");
}

TEST_F(CertificateLogTest, WhatIsWrittenAlongIsThereToo) {
  CertificateLog log = CertificateLog::Open(&store_).value();
  storage::Batch also;
  also.Put("name/x", "bob");
  log.Append(
      Certificates(1), kEnds, [](const absl::Status&) {}, also);
  log.Commit(kNow);
  EXPECT_EQ(store_.Get("name/x").value(), "bob");
}

TEST_F(CertificateLogTest, DropsWhatIsPastItsTime) {
  CertificateLog log = CertificateLog::Open(&store_).value();
  for (int n = 1; n <= 5; ++n) log.Append(Certificates(n), kEnds, [](const absl::Status&) {});
  log.Commit(kNow);
  log.Append(Certificates(6), kEnds + absl::Hours(24 * 40), [](const absl::Status&) {});
  log.Commit(kEnds + kCertificateKept - absl::Milliseconds(1));
  EXPECT_EQ((*log.After(0))->number, 1u);
  log.Append(Certificates(7), kEnds + absl::Hours(24 * 40), [](const absl::Status&) {});
  log.Commit(kEnds + kCertificateKept);
  EXPECT_EQ((*log.After(0))->number, 6u);
}

TEST_F(CertificateLogTest, KnowsTheKeysOfWhatItKeeps) {
  SeededRandom random(1);
  const crypto::SigningKey root = crypto::SigningKey::Generate(random);
  const crypto::SigningKey bob = crypto::SigningKey::Generate(random);
  const auto issuer = identity::Issuer::Create(root, {}, kNow);
  ASSERT_TRUE(issuer.ok()) << issuer.status();
  const identity::CertificateSubject subject{
      .key = bob.public_key(), .agent = identity::AgentId::FromFirstKey(bob.public_key()), .name = "bob.agent"};
  const auto certificates =
      issuer->Issue(identity::MakeCertificateRequest(bob, "bob.agent").value(), subject, random.Bytes(16), kNow);
  ASSERT_TRUE(certificates.ok()) << certificates.status();

  CertificateLog log = CertificateLog::Open(&store_).value();
  const auto append = [&](absl::Time ends, absl::Time now) {
    log.Append(*certificates, ends, [](const absl::Status&) {});
    log.Commit(now);
  };
  EXPECT_FALSE(log.Knows(bob.public_key()).value());
  append(kEnds, kNow);
  EXPECT_TRUE(log.Knows(bob.public_key()).value());
  EXPECT_FALSE(log.Knows(root.public_key()).value());
  // The commit that drops the old one has the new one; then another's drops that.
  append(kEnds + kCertificateKept, kEnds + kCertificateKept);
  EXPECT_EQ((*log.After(0))->number, 2u);
  EXPECT_TRUE(log.Knows(bob.public_key()).value());
  log.Append(Certificates(3), kEnds + 4 * kCertificateKept, [](const absl::Status&) {});
  log.Commit(kEnds + 2 * kCertificateKept);
  EXPECT_EQ((*log.After(0))->number, 3u);
  EXPECT_FALSE(log.Knows(bob.public_key()).value());
}

TEST_F(CertificateLogTest, SaysSoIfWhatIsOnDiskIsDamaged) {
  for (const std::string& bytes : {std::string(), std::string(10, '\0'), std::string("12345678\xff\xffx")}) {
    ASSERT_TRUE(store_.Put(std::string("cert/\0\0\0\0\0\0\0\1", 13), bytes, storage::Durability::kSync).ok());
    EXPECT_TRUE(absl::IsDataLoss(CertificateLog::Open(&store_).status())) << bytes.size();
  }
}

}  // namespace
}  // namespace dotagent::identity_service
