#include "common/identity/rotation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/crypto/hash.h"
#include "dotagent/identity/v1/statements.pb.h"

namespace dotagent::identity {
namespace {

using testing::HasSubstr;

constexpr absl::string_view kInceptionContext("dotagent inception v1\0", 22);
constexpr absl::string_view kRotationContext("dotagent rotation v1\0", 21);
constexpr absl::string_view kAcceptContext("dotagent rotation accept v1\0", 28);

class RotationTest : public testing::Test {
 protected:
  using Statements = std::vector<std::string>;

  RotationTest() {
    for (size_t i = 0; i < kMaxRotationStatements + 2; ++i) keys_.push_back(crypto::SigningKey::Generate(random_));
  }

  // An identity's first `length` events, a minute apart.
  Statements Make(size_t length) const {
    Statements statements = {MakeInception(keys_[0], keys_[1].public_key(), now_).value()};
    while (statements.size() < length) {
      const size_t i = statements.size();
      const RotationChain chain = VerifyRotationChain(statements, Later(i)).value();
      statements.push_back(MakeRotation(chain, keys_[i - 1], keys_[i], keys_[i + 1].public_key(), Later(i)).value());
    }
    return statements;
  }
  absl::Time Later(size_t minutes) const { return now_ + absl::Minutes(static_cast<int64_t>(minutes)); }

  RotationChain Verified(const Statements& statements) const {
    const auto chain = VerifyRotationChain(statements, later_);
    EXPECT_TRUE(chain.ok()) << chain.status();
    return *chain;
  }
  absl::Status Refusal(const Statements& statements) const { return VerifyRotationChain(statements, later_).status(); }

  static std::string SignedBytes(absl::string_view context, const std::string& statement) {
    v1::SignedStatement outer;
    EXPECT_TRUE(outer.ParseFromString(statement));
    return absl::StrCat(context, outer.payload());
  }

  // A rotation as a hostile holder of `old_key` and `new_key` would write it.
  static std::string Wrap(const std::string& payload, const crypto::SigningKey& old_key,
                          const crypto::SigningKey& new_key, absl::string_view context = kRotationContext,
                          absl::string_view accept_context = kAcceptContext) {
    v1::SignedStatement outer;
    outer.set_payload(payload);
    outer.set_public_key(std::string(old_key.public_key().bytes()));
    outer.set_signature(old_key.Sign(absl::StrCat(context, payload)).value());
    outer.set_successor_signature(new_key.Sign(absl::StrCat(accept_context, payload)).value());
    return outer.SerializeAsString();
  }
  static std::string WrapInception(const v1::Inception& inception, const crypto::SigningKey& key,
                                   absl::string_view context = kInceptionContext) {
    v1::SignedStatement outer;
    outer.set_payload(inception.SerializeAsString());
    outer.set_public_key(std::string(key.public_key().bytes()));
    outer.set_signature(key.Sign(absl::StrCat(context, outer.payload())).value());
    return outer.SerializeAsString();
  }
  template <typename Payload>
  static Payload PayloadOf(const std::string& statement) {
    v1::SignedStatement outer;
    Payload payload;
    EXPECT_TRUE(outer.ParseFromString(statement) && payload.ParseFromString(outer.payload()));
    return payload;
  }

  SeededRandom random_{7};
  std::vector<crypto::SigningKey> keys_;
  const absl::Time now_ = absl::FromUnixMillis(1800000000123);
  const absl::Time later_ = now_ + absl::Hours(24);
};

TEST_F(RotationTest, TheIdentityStaysFromKeyToKey) {
  const RotationChain chain = Verified(Make(3));
  EXPECT_EQ(chain.agent, AgentId::FromFirstKey(keys_[0].public_key()));
  EXPECT_EQ(chain.first(), keys_[0].public_key());
  EXPECT_EQ(chain.current(), keys_[2].public_key());
  EXPECT_EQ(chain.length(), 3U);
  EXPECT_EQ(chain.newest(), Later(2));
  EXPECT_EQ(chain.next_commitment, crypto::Sha256(keys_[3].public_key().bytes()));
  for (size_t i = 0; i < 5; ++i) EXPECT_EQ(chain.KeyWasOf(keys_[i].public_key()), i < 3) << i;
}

TEST_F(RotationTest, AnInceptionIsAChain) {
  const RotationChain chain = Verified(Make(1));
  EXPECT_EQ(chain.first(), chain.current());
  EXPECT_EQ(chain.length(), 1U);
  EXPECT_EQ(chain.newest(), now_);
}

TEST_F(RotationTest, KnowsWhichKeySucceedsWhich) {
  const RotationChain chain = Verified(Make(3));
  for (size_t key = 0; key < 5; ++key) {
    for (size_t successor = 0; successor < 5; ++successor) {
      EXPECT_EQ(chain.Succeeds(keys_[successor].public_key(), keys_[key].public_key()), key < 3 && successor == key + 1)
          << key << " " << successor;
    }
  }
}

// Every signed byte, spelled out: docs/protocol.md tells others to write them so.
TEST_F(RotationTest, TheSignedBytesAreThoseOfTheProtocolPage) {
  const Statements statements = Make(2);
  const std::string key0(keys_[0].public_key().bytes());
  const std::string key1(keys_[1].public_key().bytes());
  const std::string key2(keys_[2].public_key().bytes());
  // 1800000000123 as a varint; a minute later.
  const std::string date0 = *HexDecode("fba0f1c2b134");
  const std::string date1 = *HexDecode("dbf5f4c2b134");
  const std::string inception = absl::StrCat("\x0a\x20", key0, "\x12\x20", crypto::Sha256(key1), "\x18", date0);
  const std::string first_bytes = absl::StrCat(kInceptionContext, inception);
  EXPECT_EQ(statements[0],
            absl::StrCat("\x0a\x4b", inception, "\x12\x20", key0, "\x1a\x40", *keys_[0].Sign(first_bytes)));

  const std::string rotation =
      absl::StrCat("\x0a\x20", crypto::Sha256(key0), "\x10\x01", "\x1a\x20", crypto::Sha256(first_bytes), "\x22\x20",
                   key1, "\x2a\x20", crypto::Sha256(key2), "\x30", date1);
  EXPECT_EQ(statements[1], absl::StrCat("\x0a\x91\x01", rotation, "\x12\x20", key0, "\x1a\x40",
                                        *keys_[0].Sign(absl::StrCat(kRotationContext, rotation)), "\x22\x40",
                                        *keys_[1].Sign(absl::StrCat(kAcceptContext, rotation))));
}

TEST_F(RotationTest, RefusesEveryChangeOfOneBit) {
  const Statements good = Make(3);
  for (size_t i = 0; i < good.size(); ++i) {
    for (size_t bit = 0; bit < good[i].size() * 8; ++bit) {
      Statements altered = good;
      altered[i][bit / 8] = static_cast<char>(altered[i][bit / 8] ^ (1 << (bit % 8)));
      EXPECT_FALSE(VerifyRotationChain(altered, later_).ok()) << i << " " << bit;
    }
  }
}

TEST_F(RotationTest, RefusesCutExtendedSplicedAndReorderedChains) {
  const Statements good = Make(4);
  for (size_t i = 0; i < good.size(); ++i) {
    for (const size_t cut : {size_t{0}, size_t{1}, good[i].size() / 2, good[i].size() - 1}) {
      Statements bad = good;
      bad[i].resize(cut);
      EXPECT_FALSE(VerifyRotationChain(bad, later_).ok()) << i << " " << cut;
    }
    for (const std::string& more : {std::string("\x28\x01"), good[i]}) {
      Statements bad = good;
      bad[i] += more;
      EXPECT_FALSE(VerifyRotationChain(bad, later_).ok()) << i;
    }
  }
  const std::vector<Statements> bad = {
      {},
      {good[1]},
      {good[1], good[2]},
      {good[0], good[2]},
      {good[0], good[2], good[1]},
      {good[0], good[1], good[1]},
      {good[0], good[1], good[0]},
      {""},
      {good[0], ""},
  };
  for (size_t i = 0; i < bad.size(); ++i) EXPECT_EQ(ReasonOf(Refusal(bad[i])), reason::kBadStatement) << i;
  // By the right key, but as another kind of statement.
  EXPECT_EQ(ReasonOf(Refusal({good[0], good[0]})), reason::kBadSignature);
}

TEST_F(RotationTest, LimitsAreCheckedBeforeAnythingElse) {
  const std::string junk(kMaxRotationStatementSize, '\x0a');
  EXPECT_EQ(ReasonOf(Refusal(Statements(kMaxRotationStatements + 1, junk))), reason::kTooLarge);
  EXPECT_EQ(ReasonOf(Refusal({junk + "x"})), reason::kTooLarge);
  EXPECT_EQ(ReasonOf(Refusal(Statements(kMaxRotationStatements, junk))), reason::kBadStatement);
}

TEST_F(RotationTest, AFullChainFitsItsLimitsAndGoesNoFurther) {
  const Statements full = Make(kMaxRotationStatements);
  for (const std::string& statement : full) EXPECT_LE(statement.size(), kMaxRotationStatementSize);
  EXPECT_LE(EncodeRotationChain(full).size(), kMaxRotationChainSize);
  EXPECT_LE(EncodeRotationChain(Statements(kMaxRotationStatements, std::string(kMaxRotationStatementSize, 'x'))).size(),
            kMaxRotationChainSize);
  const RotationChain chain = Verified(full);
  const size_t last = kMaxRotationStatements;
  const absl::Status more =
      MakeRotation(chain, keys_[last - 1], keys_[last], keys_[last + 1].public_key(), later_).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(more));
  EXPECT_EQ(ReasonOf(more), reason::kLimit);
}

TEST_F(RotationTest, AStolenCurrentKeyCannotRotate) {
  const Statements good = Make(2);
  const RotationChain chain = Verified(good);
  const crypto::SigningKey& stolen = keys_[1];
  const crypto::SigningKey mine = crypto::SigningKey::Generate(random_);
  EXPECT_EQ(ReasonOf(MakeRotation(chain, stolen, mine, keys_[9].public_key(), later_).status()), reason::kKeyMismatch);

  v1::Rotation payload = PayloadOf<v1::Rotation>(Make(3)[2]);
  // To a key of the thief's own: the chain has not committed to it.
  payload.set_public_key(std::string(mine.public_key().bytes()));
  EXPECT_THAT(Refusal({good[0], good[1], Wrap(payload.SerializeAsString(), stolen, mine)}).message(),
              HasSubstr("committed to another key"));
  // To the right key, whose public half he has seen somewhere: he cannot sign for it.
  payload.set_public_key(std::string(keys_[2].public_key().bytes()));
  const absl::Status status = Refusal({good[0], good[1], Wrap(payload.SerializeAsString(), stolen, mine)});
  EXPECT_EQ(ReasonOf(status), reason::kBadSignature);
  EXPECT_THAT(status.message(), HasSubstr("rotation 2: by the new key"));
}

TEST_F(RotationTest, AStolenNextKeyCannotRotate) {
  const Statements good = Make(3);
  v1::SignedStatement outer;
  ASSERT_TRUE(outer.ParseFromString(Wrap(SignedBytes("", good[2]), keys_[2], keys_[2])));
  EXPECT_EQ(ReasonOf(Refusal({good[0], good[1], outer.SerializeAsString()})), reason::kBadStatement);
  outer.set_public_key(std::string(keys_[1].public_key().bytes()));
  EXPECT_EQ(ReasonOf(Refusal({good[0], good[1], outer.SerializeAsString()})), reason::kBadSignature);
}

TEST_F(RotationTest, SignaturesForAnotherPurposeAreWorthNothing) {
  const Statements good = Make(2);
  const std::string payload = SignedBytes("", good[1]);
  EXPECT_TRUE(VerifyRotationChain(Statements{good[0], Wrap(payload, keys_[0], keys_[1])}, later_).ok());
  EXPECT_EQ(ReasonOf(Refusal({good[0], Wrap(payload, keys_[0], keys_[1], kAcceptContext, kAcceptContext)})),
            reason::kBadSignature);
  EXPECT_EQ(ReasonOf(Refusal({good[0], Wrap(payload, keys_[0], keys_[1], kRotationContext, kRotationContext)})),
            reason::kBadSignature);
  EXPECT_EQ(ReasonOf(Refusal({good[0], Wrap(payload, keys_[0], keys_[1], kRotationContext, "")})),
            reason::kBadSignature);
  EXPECT_EQ(ReasonOf(Refusal({WrapInception(PayloadOf<v1::Inception>(good[0]), keys_[0], kRotationContext)})),
            reason::kBadSignature);
}

// Rotations that both right keys have signed, and inceptions that the first key has, with one thing wrong.
TEST_F(RotationTest, RefusesWrongFieldsHoweverWellSigned) {
  const Statements good = Make(2);
  const std::vector<std::pair<const char*, std::function<void(v1::Rotation&)>>> rotations = {
      {"another identity's", [](v1::Rotation& r) { r.set_agent_id(std::string(32, 'a')); }},
      {"another identity's", [](v1::Rotation& r) { r.clear_agent_id(); }},
      {"sequence number is 0", [](v1::Rotation& r) { r.set_sequence(0); }},
      {"sequence number is 2", [](v1::Rotation& r) { r.set_sequence(2); }},
      {"sequence number is 4294967295", [](v1::Rotation& r) { r.set_sequence(UINT32_MAX); }},
      {"follows another", [](v1::Rotation& r) { r.set_previous(std::string(32, 'p')); }},
      {"follows another", [](v1::Rotation& r) { r.clear_previous(); }},
      {"committed to another key", [](v1::Rotation& r) { r.clear_public_key(); }},
      {"commitment is not 32", [](v1::Rotation& r) { r.clear_next_commitment(); }},
      {"commitment is not 32", [](v1::Rotation& r) { r.set_next_commitment(std::string(33, 'c')); }},
      {"dated before the statement", [](v1::Rotation& r) { r.set_signed_at_ms(1800000000122); }},
      {"check the clocks", [](v1::Rotation& r) { r.set_signed_at_ms(0); }},
      {"check the clocks", [](v1::Rotation& r) { r.set_signed_at_ms(INT64_MIN); }},
      {"check the clocks", [](v1::Rotation& r) { r.set_signed_at_ms(INT64_MAX); }},
  };
  for (const auto& [message, change] : rotations) {
    auto payload = PayloadOf<v1::Rotation>(good[1]);
    change(payload);
    const absl::Status status = Refusal({good[0], Wrap(payload.SerializeAsString(), keys_[0], keys_[1])});
    EXPECT_EQ(ReasonOf(status), reason::kBadStatement) << status;
    EXPECT_THAT(status.message(), HasSubstr(message));
  }
  for (const std::string& payload : {std::string(), std::string("junk"), SignedBytes("", good[1]) + "\x38\x01"}) {
    EXPECT_EQ(ReasonOf(Refusal({good[0], Wrap(payload, keys_[0], keys_[1])})), reason::kBadStatement)
        << HexEncode(payload);
  }
  const std::vector<std::function<void(v1::Inception&)>> inceptions = {
      [this](v1::Inception& i) { i.set_public_key(std::string(keys_[1].public_key().bytes())); },
      [](v1::Inception& i) { i.clear_public_key(); },
      [](v1::Inception& i) { i.clear_next_commitment(); },
      [](v1::Inception& i) { i.set_next_commitment("short"); },
      [](v1::Inception& i) { i.clear_signed_at_ms(); },
  };
  for (size_t i = 0; i < inceptions.size(); ++i) {
    auto payload = PayloadOf<v1::Inception>(good[0]);
    inceptions[i](payload);
    EXPECT_EQ(ReasonOf(Refusal({WrapInception(payload, keys_[0])})), reason::kBadStatement) << i;
  }
}

TEST_F(RotationTest, ARetiredKeyNeverComesBack) {
  const Statements good = Make(2);
  const RotationChain chain = Verified(good);
  EXPECT_EQ(ReasonOf(MakeRotation(chain, keys_[1], keys_[2], keys_[0].public_key(), later_).status()),
            reason::kKeyMismatch);
  EXPECT_EQ(ReasonOf(MakeRotation(chain, keys_[1], keys_[2], keys_[2].public_key(), later_).status()),
            reason::kKeyMismatch);
  EXPECT_EQ(ReasonOf(MakeInception(keys_[0], keys_[0].public_key(), now_).status()), reason::kKeyMismatch);
  // One that commits to its first key all the same can only ever be stuck.
  auto second = PayloadOf<v1::Rotation>(good[1]);
  second.set_next_commitment(crypto::Sha256(keys_[0].public_key().bytes()));
  const std::string back = Wrap(second.SerializeAsString(), keys_[0], keys_[1]);
  v1::Rotation third = second;
  third.set_sequence(2);
  third.set_previous(crypto::Sha256(SignedBytes(kRotationContext, back)));
  third.set_public_key(std::string(keys_[0].public_key().bytes()));
  EXPECT_TRUE(VerifyRotationChain(Statements{good[0], back}, later_).ok());
  EXPECT_THAT(Refusal({good[0], back, Wrap(third.SerializeAsString(), keys_[1], keys_[0])}).message(),
              HasSubstr("used before"));
}

TEST_F(RotationTest, ASignerOrANewKeyThatIsNoKeyIsRefused) {
  const Statements good = Make(2);
  v1::SignedStatement outer;
  for (const std::string& key : {std::string(), std::string(32, '\0'), std::string(31, 'k')}) {
    ASSERT_TRUE(outer.ParseFromString(good[0]));
    outer.set_public_key(key);
    EXPECT_EQ(ReasonOf(Refusal({outer.SerializeAsString()})), reason::kBadStatement);
    // An inception that commits to it, and a rotation that reveals it.
    auto inception = PayloadOf<v1::Inception>(good[0]);
    inception.set_next_commitment(crypto::Sha256(key));
    const std::string first = WrapInception(inception, keys_[0]);
    auto rotation = PayloadOf<v1::Rotation>(good[1]);
    rotation.set_previous(crypto::Sha256(SignedBytes(kInceptionContext, first)));
    rotation.set_public_key(key);
    const absl::Status status = Refusal({first, Wrap(rotation.SerializeAsString(), keys_[0], keys_[1])});
    EXPECT_THAT(status.message(), HasSubstr("its new key")) << status;
  }
  // An inception with a second signature.
  ASSERT_TRUE(outer.ParseFromString(good[0]));
  outer.set_successor_signature(std::string(64, 's'));
  EXPECT_THAT(Refusal({outer.SerializeAsString()}).message(), HasSubstr("only a rotation"));
}

TEST_F(RotationTest, RefusesDatesFromTheFuture) {
  const Statements statements = Make(2);
  const absl::Time newest = Later(1);
  EXPECT_TRUE(VerifyRotationChain(statements, newest - absl::Minutes(5)).ok());
  EXPECT_FALSE(VerifyRotationChain(statements, newest - absl::Minutes(5) - absl::Milliseconds(1)).ok());
  EXPECT_TRUE(VerifyRotationChain(statements, newest + absl::Hours(24 * 365 * 50)).ok());
  // Who rotates with a slow clock is told so.
  const absl::Status status =
      MakeRotation(Verified(statements), keys_[1], keys_[2], keys_[3].public_key(), newest - absl::Milliseconds(1))
          .status();
  EXPECT_EQ(ReasonOf(status), reason::kFutureDated);
  EXPECT_TRUE(MakeRotation(Verified(statements), keys_[1], keys_[2], keys_[3].public_key(), newest).ok());
}

TEST_F(RotationTest, TellsOlderNewerForkedAndStrangers) {
  const Statements good = Make(4);
  const RotationChain two = Verified({good[0], good[1]});
  const RotationChain four = Verified(good);
  const auto compare = [](const RotationChain& a, const RotationChain& b) {
    const ChainComparison comparison = CompareRotationChains(a, b);
    return std::pair(comparison.relation, comparison.common);
  };
  EXPECT_EQ(compare(four, four), std::pair(ChainRelation::kSame, size_t{4}));
  EXPECT_EQ(compare(two, four), std::pair(ChainRelation::kOlder, size_t{2}));
  EXPECT_EQ(compare(four, two), std::pair(ChainRelation::kNewer, size_t{2}));

  // Who has the current key and the next writes another third event.
  const RotationChain fork =
      Verified({good[0], good[1], MakeRotation(two, keys_[1], keys_[2], keys_[9].public_key(), later_).value()});
  EXPECT_EQ(compare(fork, four), std::pair(ChainRelation::kFork, size_t{2}));
  EXPECT_EQ(compare(four, fork), std::pair(ChainRelation::kFork, size_t{2}));
  // And who stole the first key before its inception was known, another first one.
  const RotationChain other_start = Verified({MakeInception(keys_[0], keys_[9].public_key(), now_).value()});
  EXPECT_EQ(compare(other_start, four), std::pair(ChainRelation::kFork, size_t{0}));

  const RotationChain stranger = Verified({MakeInception(keys_[5], keys_[6].public_key(), now_).value()});
  EXPECT_EQ(compare(stranger, four), std::pair(ChainRelation::kStrangers, size_t{0}));
}

TEST_F(RotationTest, TravelsAsOneValue) {
  const Statements good = Make(3);
  const std::string bytes = EncodeRotationChain(good);
  EXPECT_EQ(DecodeRotationChain(bytes).value(), good);
  for (const std::string& bad : {std::string(), bytes + "\x10\x01", bytes.substr(0, bytes.size() - 1),
                                 std::string("\x0a\x81"), std::string("x")}) {
    EXPECT_EQ(ReasonOf(DecodeRotationChain(bad).status()), reason::kBadStatement) << HexEncode(bad);
  }
  EXPECT_EQ(ReasonOf(DecodeRotationChain(std::string(kMaxRotationChainSize + 1, '\x0a')).status()), reason::kTooLarge);
  EXPECT_EQ(ReasonOf(DecodeRotationChain(EncodeRotationChain(Statements(kMaxRotationStatements + 1, "x"))).status()),
            reason::kTooLarge);
}

TEST_F(RotationTest, ItsDhtKeyDependsOnTheIdentity) {
  // SHA-256("rotation:" and 32 zero bytes), by sha256sum.
  EXPECT_EQ(HexEncode(RotationKey(AgentId())), "90fcc3e307ebecc786f2fe50183945f4e5ad638405068c03864fd8935d438f29");
}

}  // namespace
}  // namespace dotagent::identity
