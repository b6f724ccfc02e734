#include "common/capability/advert.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/crypto/hash.h"
#include "common/identity/revocation.h"
#include "common/identity/statement.h"
#include "dotagent/capability/v1/advert.pb.h"

namespace dotagent::capability {
namespace {

constexpr absl::string_view kContext("dotagent capability advert v1\0", 30);
const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);

class AdvertTest : public testing::Test {
 protected:
  AdvertFields Fields() const {
    return {.agent = identity::AgentId::FromFirstKey(key_.public_key()),
            .agent_name = "alice.agent",
            .capability = "text.translate",
            .versions = {"1.4.0", "2.0.0"}};
  }
  // The reason for which a well signed advert is refused once `spoil` has changed it.
  std::string Refusal(const std::function<void(v1::CapabilityAdvert&)>& spoil,
                      absl::string_view context = kContext) const {
    const std::string good = SignCapabilityAdvert(key_, Fields(), kNow).value();
    v1::CapabilityAdvert advert;
    EXPECT_TRUE(advert.ParseFromString(identity::ParseStatement(good)->payload()));
    spoil(advert);
    const std::string bytes =
        identity::SignStatement(key_, context, advert.SerializeAsString()).value().SerializeAsString();
    return ReasonOf(VerifyCapabilityAdvert(bytes, kNow).status());
  }

  SeededRandom random_{1};
  crypto::SigningKey key_ = crypto::SigningKey::Generate(random_);
};

TEST_F(AdvertTest, SaysWhatWasSigned) {
  const auto bytes = SignCapabilityAdvert(key_, Fields(), kNow);
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  const auto advert = VerifyCapabilityAdvert(*bytes, kNow + absl::Hours(23));
  ASSERT_TRUE(advert.ok()) << advert.status();
  EXPECT_EQ(advert->agent, Fields().agent);
  EXPECT_EQ(advert->agent_name, "alice.agent");
  EXPECT_EQ(advert->capability, "text.translate");
  EXPECT_EQ(advert->versions, (std::vector<std::string>{"2.0.0", "1.4.0"}));
  EXPECT_EQ(advert->signed_at, kNow);
  EXPECT_EQ(advert->expires, kNow + absl::Hours(24));
  EXPECT_EQ(advert->signer, key_.public_key());
  EXPECT_EQ(Refusal([](v1::CapabilityAdvert&) {}), "");
}

TEST_F(AdvertTest, LiesUnderItsCapability) {
  EXPECT_EQ(CapabilityKey("text.translate"), crypto::Sha256("capability:text.translate"));
}

TEST_F(AdvertTest, EachBrokenFieldHasItsReason) {
  using A = v1::CapabilityAdvert;
  EXPECT_EQ(Refusal([](A& a) { a.set_agent_id("short"); }), reason::kBadStatement);
  EXPECT_EQ(Refusal([](A& a) { a.set_agent_name("alice"); }), reason::kBadName);
  EXPECT_EQ(Refusal([](A& a) { a.set_agent_name("Alice.agent"); }), reason::kBadName);
  EXPECT_EQ(Refusal([](A& a) { a.set_capability("Text"); }), reason::kBadStatement);
  EXPECT_EQ(Refusal([](A& a) { a.set_versions(0, "2"); }), reason::kBadStatement);
  EXPECT_EQ(Refusal([](A& a) { a.add_versions("1.5.0"); }), reason::kBadStatement) << "not the highest first";
  EXPECT_EQ(Refusal([](A& a) { a.add_versions("1.4.0+b"); }), reason::kBadStatement) << "twice the same";
  EXPECT_EQ(Refusal([](A& a) {
              a.clear_versions();
              for (int i = 9; i > 0; --i) a.add_versions(absl::StrCat(i, ".0.0"));
            }),
            reason::kBadStatement);
  EXPECT_EQ(Refusal([](A& a) { a.set_signed_at_ms(-1); }), reason::kBadStatement);
  EXPECT_EQ(Refusal([](A& a) { a.set_signed_at_ms(absl::ToUnixMillis(kNow + absl::Minutes(6))); }),
            reason::kFutureDated);
  EXPECT_EQ(Refusal([](A& a) { a.set_expires_at_ms(a.signed_at_ms()); }), reason::kBadStatement);
  EXPECT_EQ(Refusal([](A& a) { a.set_expires_at_ms(a.expires_at_ms() + 1); }), reason::kBadStatement) << "too long";
  EXPECT_EQ(Refusal([](A& a) { a.set_expires_at_ms(INT64_MAX); }), reason::kBadStatement);
  EXPECT_EQ(Refusal([](A& a) {
              a.set_signed_at_ms(INT64_MIN);
              a.set_expires_at_ms(INT64_MAX);
            }),
            reason::kBadStatement);
  EXPECT_EQ(Refusal([](A& a) { a.set_agent_name(std::string(2000, 'a') + ".agent"); }), reason::kTooLarge);
}

TEST_F(AdvertTest, EndsWhenItSays) {
  AdvertFields fields = Fields();
  fields.lifetime = absl::Hours(1);
  const std::string bytes = SignCapabilityAdvert(key_, fields, kNow).value();
  EXPECT_TRUE(VerifyCapabilityAdvert(bytes, kNow + absl::Minutes(59)).ok());
  EXPECT_EQ(ReasonOf(VerifyCapabilityAdvert(bytes, kNow + absl::Hours(1)).status()), reason::kStale);
}

TEST_F(AdvertTest, AStatementOfAnotherKindIsNone) {
  EXPECT_EQ(Refusal([](v1::CapabilityAdvert&) {}, absl::string_view("dotagent relay advert v1\0", 25)),
            reason::kBadSignature);
  EXPECT_EQ(Refusal([](v1::CapabilityAdvert&) {}, ""), reason::kBadSignature);
  const std::string revocation = identity::SignRevocation(key_, "", kNow).value();
  EXPECT_EQ(ReasonOf(VerifyCapabilityAdvert(revocation, kNow).status()), reason::kBadSignature);
}

TEST_F(AdvertTest, HasOneFormOnly) {
  const std::string bytes = SignCapabilityAdvert(key_, Fields(), kNow).value();
  EXPECT_EQ(ReasonOf(VerifyCapabilityAdvert(bytes + std::string("\x32\x01x", 3), kNow).status()),
            reason::kBadStatement);
  EXPECT_EQ(Refusal([](v1::CapabilityAdvert& a) {
              v1::CapabilityAdvert::GetReflection()->MutableUnknownFields(&a)->AddVarint(9, 1);
            }),
            reason::kBadStatement);
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::string damaged = bytes;
    damaged[i] = static_cast<char>(damaged[i] ^ 1);
    EXPECT_FALSE(VerifyCapabilityAdvert(damaged, kNow).ok()) << i;
  }
}

TEST_F(AdvertTest, DoesNotSignWhatNoOneTakes) {
  AdvertFields fields = Fields();
  fields.versions = {"one"};
  EXPECT_EQ(ReasonOf(SignCapabilityAdvert(key_, fields, kNow).status()), reason::kBadStatement);
  fields = Fields();
  fields.lifetime = absl::Hours(25);
  EXPECT_EQ(ReasonOf(SignCapabilityAdvert(key_, fields, kNow).status()), reason::kBadStatement);
}

TEST_F(AdvertTest, TheLargestThatMayBeSignedFits) {
  AdvertFields fields = Fields();
  fields.agent_name = absl::StrCat(std::string(63, 'a'), ".", std::string(63, 'b'), ".", std::string(63, 'c'), ".",
                                   std::string(55, 'd'), ".agent");
  ASSERT_EQ(fields.agent_name.size(), record::kMaxNameSize);
  fields.capability = std::string(64, 'c');
  fields.versions.clear();
  for (int i = 1; i <= 8; ++i) {
    fields.versions.push_back(absl::StrCat(i, ".0.0-", std::string(40, 'r')));
  }
  const auto bytes = SignCapabilityAdvert(key_, fields, kNow);
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  EXPECT_LE(bytes->size(), kMaxAdvertSize);
}

TEST_F(AdvertTest, OffersWhatLiesInTheRange) {
  const std::string bytes = SignCapabilityAdvert(key_, Fields(), kNow).value();
  EXPECT_TRUE(Offers(bytes, VersionRange::Parse("^1.0.0").value()));
  EXPECT_TRUE(Offers(bytes, VersionRange::Parse("2.0.0").value()));
  EXPECT_FALSE(Offers(bytes, VersionRange::Parse("^3.0.0").value()));
  AdvertFields none = Fields();
  none.versions.clear();
  EXPECT_FALSE(Offers(SignCapabilityAdvert(key_, none, kNow).value(), VersionRange::Parse("*").value()));
}

TEST(CapabilityNameTest, IsLabelsWithDots) {
  const std::vector<std::string> good = {"a", "translate", "text.translate-v2", "x.y.z", "0", std::string(64, 'a')};
  for (const std::string& name : good) {
    EXPECT_TRUE(CheckCapabilityName(name).ok()) << name;
  }
  const std::vector<std::string> bad = {
      "", ".", "a.", ".a", "a..b", "-a", "a-", "a.-b", "A", "a b", "a_b", "\xc3\xa4", std::string(65, 'a')};
  for (const std::string& name : bad) {
    EXPECT_EQ(ReasonOf(CheckCapabilityName(name)), reason::kBadStatement) << name;
  }
}

}  // namespace
}  // namespace dotagent::capability
