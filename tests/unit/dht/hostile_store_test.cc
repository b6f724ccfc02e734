// STOREs that no honest node sends: malformed, oversized, replayed, of the wrong key, conflicting. Each is refused with
// a status that says why, and leaves nothing behind: no value, no claim, no vote.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/base/bytes.h"
#include "common/base/status.h"
#include "common/dht/dht.h"
#include "common/dht/testing/simulation.h"
#include "common/dht/wire.h"
#include "common/identity/rotation.h"
#include "common/record/record.h"
#include "dotagent/dht/v1/dht.pb.h"
#include "tests/unit/dht/fixtures.h"

namespace dotagent::dht {
namespace {

using testing::AnyOf;

constexpr ValueKind kRecord = ValueKind::kRecord;

Id AgentOf(const crypto::Signer& key) {
  return *Id::FromBytes(identity::AgentId::FromFirstKey(key.public_key()).bytes());
}

class HostileStoreTest : public testing::Test {
 protected:
  HostileStoreTest() {
    for (int i = 0; i < 3; ++i) simulation_.AddNode();
    simulation_.StartAll();
  }

  // What node 0 says to node `from`, whose bytes reach it as they do from a session.
  absl::Status StoreBytes(const std::string& request, size_t from = 1) {
    const absl::StatusOr<Request> decoded = DecodeRequest(request);
    if (!decoded.ok()) return decoded.status();
    const Response response = simulation_.dht(0).Handle(simulation_.contact(from).key, *decoded);
    const auto* refusal = std::get_if<absl::Status>(&response.answer);
    return refusal == nullptr ? absl::OkStatus() : *refusal;
  }
  absl::Status Store(const Id& key, ValueKind kind, const Item& item, bool witness_only = false) {
    return StoreBytes(EncodeRequest({simulation_.contact(1), StoreCall{key, kind, item, witness_only}}));
  }
  absl::Status StoreRecord(const Item& item, bool witness_only = false) {
    return Store(kBob, kRecord, item, witness_only);
  }

  // Whose the key is, says node 0; none: it knows of no owner.
  std::optional<Receipt> ReceiptOf(const Id& key, ValueKind kind) {
    const Contact& asker = simulation_.contact(1);
    const Response response = simulation_.dht(0).Handle(asker.key, {asker, FindValueCall{key, kind}});
    return std::get<ValueAnswer>(response.answer).receipt;
  }
  void ExpectNothingKept() {
    EXPECT_EQ(simulation_.dht(0).stored_values(), 0);
    EXPECT_EQ(ReceiptOf(kBob, kRecord), std::nullopt);
  }
  absl::Time now() { return simulation_.clock().Now(); }

  Simulation simulation_{{.seed = 1, .start = kStart}};
  const Id kBob = KeyOfName("bob.agent");
  const crypto::SigningKey bob_ = KeyFromSeed(1);
  const crypto::SigningKey mallory_ = KeyFromSeed(2);
};

// Of each kind, one that is good, and where it belongs.
struct Sample {
  ValueKind kind;
  Id key;
  Item item;
};
std::vector<Sample> Samples(const crypto::SigningKey& key, absl::Time now) {
  const std::string inception = *identity::MakeInception(key, KeyFromSeed(7).public_key(), now);
  const Item chain{identity::EncodeRotationChain({inception}), ""};
  const Value rotation = ValueTypes().Of(ValueKind::kRotation).Validate(chain, now).value();
  const Value revocation = RevocationOf(key, now);
  return {{kRecord, KeyOfName("bob.agent"), SignedRecord(key, "bob.agent", now)},
          {ValueKind::kRotation, rotation.key, chain},
          {ValueKind::kRevocation, revocation.key, revocation.item}};
}

TEST_F(HostileStoreTest, AnythingCutShortOrChangedByABitIsRefused) {
  for (const Sample& sample : Samples(bob_, now())) {
    const std::string& bytes = sample.item.bytes;
    for (size_t i = 0; i < bytes.size(); ++i) {
      EXPECT_FALSE(Store(sample.key, sample.kind, {bytes.substr(0, i), ""}).ok()) << i;
      EXPECT_FALSE(Store(sample.key, sample.kind, Damaged(sample.item, i)).ok()) << i;
      ASSERT_EQ(simulation_.dht(0).stored_values(), 0) << i;
    }
    EXPECT_FALSE(Store(sample.key, sample.kind, {bytes + "x", ""}).ok());
    EXPECT_FALSE(Store(sample.key, sample.kind, {bytes + bytes, ""}).ok());
    EXPECT_EQ(ReasonOf(Store(sample.key, sample.kind, {bytes, "no proof"})), reason::kBadStatement);
    EXPECT_EQ(ReceiptOf(sample.key, sample.kind), std::nullopt);
  }
  for (const Sample& sample : Samples(bob_, now())) {
    EXPECT_TRUE(Store(sample.key, sample.kind, sample.item).ok()) << "what was changed above was good";
  }
}

TEST_F(HostileStoreTest, AMessageCutShortIsRefused) {
  const std::string request =
      EncodeRequest({simulation_.contact(1), StoreCall{kBob, kRecord, SignedRecord(bob_, "bob.agent", now())}});
  for (size_t i = 0; i < request.size(); ++i) {
    const absl::Status status = StoreBytes(request.substr(0, i));
    // A message may lack what came last, and then asks for less; it never stores half a value.
    if (status.ok()) continue;
    EXPECT_THAT(ReasonOf(status), AnyOf(reason::kProtocol, reason::kBadRecord, reason::kBadSignature)) << status;
  }
  EXPECT_LE(simulation_.dht(0).stored_values(), 1);
}

TEST_F(HostileStoreTest, ValuesOverTheirLimitAreRefusedBeforeTheyAreParsed) {
  const std::string record = SignedRecord(bob_, "bob.agent", now()).bytes;
  // Spaces are no part of what is signed, so nothing else is wrong with it.
  const std::string padded = record + std::string(record::kMaxRecordSize + 1 - record.size(), ' ');
  EXPECT_EQ(ReasonOf(StoreRecord({padded, ""})), reason::kTooLarge);
  for (const Sample& sample : Samples(bob_, now())) {
    const size_t limit = ValueTypes().Of(sample.kind).max_size();
    ASSERT_LE(limit, kMaxValueSize);
    EXPECT_FALSE(Store(sample.key, sample.kind, {std::string(limit + 1, 'x'), ""}).ok());
    EXPECT_EQ(ReasonOf(Store(sample.key, sample.kind, {std::string(kMaxValueSize + 1, 'x'), ""})), reason::kProtocol);
    EXPECT_EQ(ReasonOf(Store(sample.key, sample.kind, {sample.item.bytes, std::string(kMaxProofSize + 1, 'x')})),
              reason::kProtocol);
  }
  EXPECT_EQ(ReasonOf(StoreBytes(std::string(kMaxDhtMessage + 1, 'x'))), reason::kProtocol);
  ExpectNothingKept();
}

TEST_F(HostileStoreTest, AReplayedRecordReplacesNothingAndProlongsNothing) {
  const Item old = SignedRecord(bob_, "bob.agent", now());
  simulation_.RunFor(absl::Minutes(1));
  const absl::Time signed_at = now();
  const Item current = SignedRecord(bob_, "bob.agent", signed_at, 3600);
  ASSERT_TRUE(StoreRecord(old).ok());
  ASSERT_TRUE(StoreRecord(current).ok());
  const std::optional<Receipt> receipt = ReceiptOf(kBob, kRecord);
  for (const bool witness_only : {false, true}) {
    EXPECT_EQ(ReasonOf(StoreRecord(old, witness_only)), reason::kSuperseded);
    EXPECT_TRUE(StoreRecord(current, witness_only).ok()) << "the same again is what every copy is";
  }
  EXPECT_EQ(simulation_.dht(0).GetLocal(kBob, kRecord).value(), current);
  EXPECT_EQ(ReceiptOf(kBob, kRecord), receipt);

  // However often it is sent, it is over when its signer said; the older one, which would still be alive, stays out.
  simulation_.RunFor(absl::Minutes(59));
  ASSERT_TRUE(StoreRecord(current).ok());
  simulation_.RunFor(signed_at + absl::Hours(1) - now());
  EXPECT_TRUE(absl::IsNotFound(simulation_.dht(0).GetLocal(kBob, kRecord).status()));
  EXPECT_EQ(ReasonOf(StoreRecord(current)), reason::kStale);
  simulation_.RunFor(absl::Hours(3));  // it is swept, and still its date is known
  EXPECT_EQ(simulation_.dht(0).stored_values(), 0);
  EXPECT_EQ(ReasonOf(StoreRecord(old)), reason::kSuperseded);
  // Nor does it keep the name: the claim lapses 30 days after its date.
  simulation_.SetClockOffset(0, signed_at + absl::Hours(24 * 30) - now() - absl::Seconds(1));
  EXPECT_EQ(ReceiptOf(kBob, kRecord), receipt);
  simulation_.SetClockOffset(0, signed_at + absl::Hours(24 * 30) - now());
  EXPECT_EQ(ReceiptOf(kBob, kRecord), std::nullopt);
}

TEST_F(HostileStoreTest, AReplayUnderAnotherKeyOrKindIsRefused) {
  const std::vector<Sample> samples = Samples(bob_, now());
  for (const Sample& sample : samples) {
    EXPECT_EQ(ReasonOf(Store(KeyOfName("alice.agent"), sample.kind, sample.item)), reason::kProtocol);
    for (const Sample& other : samples) {
      if (other.kind == sample.kind) continue;
      EXPECT_FALSE(Store(sample.key, other.kind, sample.item).ok());
    }
  }
  ExpectNothingKept();
}

TEST_F(HostileStoreTest, ARecordIsItsSignersOnly) {
  const std::string record = SignedRecord(bob_, "bob.agent", now()).bytes;
  const std::string bobs_key = Base64Encode(bob_.public_key().bytes());
  const std::string mallorys_key = Base64Encode(mallory_.public_key().bytes());
  const std::string forged = absl::StrReplaceAll(record, {{bobs_key, mallorys_key}});
  ASSERT_NE(forged, record);
  EXPECT_EQ(ReasonOf(StoreRecord({forged, ""})), reason::kBadSignature);
  const std::string hers = SignedRecord(mallory_, "bob.agent", now()).bytes;
  EXPECT_EQ(ReasonOf(StoreRecord({absl::StrReplaceAll(hers, {{mallorys_key, bobs_key}}), ""})), reason::kBadSignature);
  ExpectNothingKept();

  // The chain of an identity whose key signed nothing here gives its name away no more than none does.
  ASSERT_TRUE(StoreRecord(SignedRecord(bob_, "bob.agent", now())).ok());
  Item borrowed = SignedRecord(mallory_, "bob.agent", now());
  v1::Proof proof;
  proof.set_rotation_chain(
      identity::EncodeRotationChain({*identity::MakeInception(bob_, KeyFromSeed(7).public_key(), now())}));
  borrowed.proof = proof.SerializeAsString();
  EXPECT_EQ(ReasonOf(StoreRecord(borrowed)), reason::kKeyMismatch);
}

TEST_F(HostileStoreTest, ASenderSpeaksForItself) {
  const Item record = SignedRecord(bob_, "bob.agent", now());
  const std::string request = EncodeRequest({simulation_.contact(2), StoreCall{kBob, kRecord, record}});
  EXPECT_EQ(ReasonOf(StoreBytes(request, /*from=*/1)), reason::kKeyMismatch);
  ExpectNothingKept();
}

TEST_F(HostileStoreTest, ASecondOwnerIsRefusedWhateverHeSends) {
  const Item record = SignedRecord(bob_, "bob.agent", now());
  ASSERT_TRUE(StoreRecord(record, /*witness_only=*/true).ok());
  const std::optional<Receipt> receipt = ReceiptOf(kBob, kRecord);
  ASSERT_TRUE(receipt);
  for (const absl::Duration ahead : {-absl::Hours(1), absl::ZeroDuration(), absl::Minutes(5)}) {
    for (const bool witness_only : {false, true}) {
      const absl::Status taken = StoreRecord(SignedRecord(mallory_, "bob.agent", now() + ahead), witness_only);
      EXPECT_EQ(taken.code(), absl::StatusCode::kAlreadyExists);
      EXPECT_EQ(ReasonOf(taken), reason::kNameTaken);
    }
  }
  EXPECT_EQ(simulation_.dht(0).stored_values(), 0);
  EXPECT_EQ(ReceiptOf(kBob, kRecord), receipt);
  EXPECT_EQ(receipt->owner, AgentOf(bob_));
}

TEST_F(HostileStoreTest, AForkOfARotationChainIsAConflict) {
  std::vector<std::string> chain = {*identity::MakeInception(bob_, KeyFromSeed(7).public_key(), now())};
  const std::vector<std::string> fork = {*identity::MakeInception(bob_, KeyFromSeed(8).public_key(), now())};
  const auto value = [&](const std::vector<std::string>& statements) {
    return Item{identity::EncodeRotationChain(statements), ""};
  };
  const Id key = ValueTypes().Of(ValueKind::kRotation).Validate(value(chain), now())->key;
  ASSERT_TRUE(Store(key, ValueKind::kRotation, value(chain)).ok());
  EXPECT_EQ(ReasonOf(Store(key, ValueKind::kRotation, value(fork))), reason::kConflict);
  EXPECT_EQ(simulation_.dht(0).GetLocal(key, ValueKind::kRotation).value(), value(chain));
}

TEST_F(HostileStoreTest, DatesThatCannotBeAreRefused) {
  const auto refusal = [&](absl::Time signed_at, int64_t ttl = 86400) {
    return ReasonOf(StoreRecord(SignedRecord(bob_, "bob.agent", signed_at, ttl)));
  };
  EXPECT_EQ(refusal(now() + absl::Minutes(5) + absl::Seconds(1)), reason::kFutureDated);
  EXPECT_EQ(refusal(now() + absl::Hours(24)), reason::kFutureDated);
  EXPECT_EQ(refusal(now() - absl::Hours(24)), reason::kStale) << "its ttl is over";
  EXPECT_EQ(refusal(now() - absl::Hours(7 * 24) - absl::Seconds(1), 7 * 86400), reason::kStale);
  ExpectNothingKept();
}

}  // namespace
}  // namespace dotagent::dht
