#include "common/identity/name_certificate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/objects.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/base/bytes.h"
#include "common/base/status.h"
#include "common/identity/agent_certificate.h"
#include "common/identity/certificate.h"
#include "common/identity/certificate_names.h"
#include "common/identity/der.h"
#include "tests/unit/identity/fixtures.h"

namespace dotagent::identity {
namespace {

using testing::HasSubstr;

// key_ is the registrar's, other_ the agent's.
class NameCertificateTest : public CertificateTest {
 protected:
  CertificateTerms Terms() const {
    return {.trust_domain = "dotagent.local", .not_before = now_, .lifetime = absl::Hours(24), .serial = "\x7fserial"};
  }
  std::string Issue(const std::string& name = "bob.agent") const {
    return IssueAgentCertificate(CertificateProfile::kName, key_,
                                 {.key = other_.public_key(), .agent = agent_, .name = name}, Terms())
        .value();
  }
  absl::StatusOr<NameCertificate> Verify(const std::string& certificate) const {
    return VerifyNameCertificate(certificate, registrars_, now_);
  }
  std::string ReasonFor(const std::string& certificate) const { return ReasonOf(Verify(certificate).status()); }

  // The good certificate with every `from` in its signed part replaced by as many bytes, and signed anew by the
  // registrar: what a careless registrar could be brought to issue.
  std::string Altered(const std::string& from, const std::string& to) const {
    EXPECT_EQ(from.size(), to.size());
    const std::string certificate = Issue();
    DerReader outer(certificate);
    DerReader fields = outer.Enter(der::kSequence);
    std::string part(fields.TakeWhole(der::kSequence));
    EXPECT_THAT(part, HasSubstr(from)) << HexEncode(from);
    return SignedDer(absl::StrReplaceAll(part, {{from, to}}), key_).value();
  }

  // A certificate made of the usual parts, but for what `change` replaces.
  struct Recipe {
    std::function<void(CertificateBuilder&)> key;
    const char* basic_constraints = "critical,CA:FALSE";
    const char* key_usage = "critical,digitalSignature";
    std::function<void(AlternativeNames&)> names;
    std::function<void(CertificateBuilder&)> more = [](CertificateBuilder&) {};
    bool key_identifiers = true;
  };
  Recipe Usual() const {
    Recipe recipe;
    recipe.key = [this](CertificateBuilder& builder) { builder.SetKey(other_.public_key()); };
    recipe.names = [this](AlternativeNames& names) {
      names.AddUri("agent://bob.agent");
      names.AddPermanentIdentifier(agent_.ToString());
    };
    return recipe;
  }
  std::string Make(const Recipe& recipe) const {
    CertificateBuilder builder;
    builder.SetSerial("1");
    builder.SetValidity(now_ - absl::Hours(1), now_ + absl::Hours(1));
    builder.SetSubject(MakeName("bob.agent").get());
    builder.SetIssuer(MakeName("root").get());
    recipe.key(builder);
    if (recipe.basic_constraints != nullptr) builder.AddExtension(NID_basic_constraints, recipe.basic_constraints);
    if (recipe.key_usage != nullptr) builder.AddExtension(NID_key_usage, recipe.key_usage);
    if (recipe.key_identifiers) builder.AddKeyIdentifiers(other_.public_key(), key_.public_key());
    AlternativeNames names;
    recipe.names(names);
    builder.AddAlternativeNames(names);
    recipe.more(builder);
    return builder.Sign(key_).value();
  }
  std::string MakeWithNames(std::function<void(AlternativeNames&)> names) const {
    Recipe recipe = Usual();
    recipe.names = std::move(names);
    return Make(recipe);
  }

  // The agent has rotated: its id is not that of the key.
  const AgentId agent_ = AgentId::FromBytes(std::string(32, '\xab')).value();
  const std::vector<crypto::PublicKey> registrars_ = {other_.public_key(), key_.public_key()};
};

TEST_F(NameCertificateTest, SaysWhoseKeyHoldsWhichName) {
  const std::string certificate = Issue();
  EXPECT_LT(certificate.size(), 700U);
  const absl::StatusOr<NameCertificate> verified = Verify(certificate);
  ASSERT_TRUE(verified.ok()) << verified.status();
  EXPECT_EQ(verified->registrar, key_.public_key());
  EXPECT_EQ(verified->agent, agent_);
  EXPECT_EQ(verified->key, other_.public_key());
  EXPECT_EQ(verified->name, "bob.agent");
  EXPECT_EQ(verified->not_before, now_);
  EXPECT_EQ(verified->not_after, now_ + absl::Hours(24));
}

TEST_F(NameCertificateTest, TheLongestNameFits) {
  const std::string name = absl::StrCat(std::string(63, 'a'), ".", std::string(63, 'b'), ".", std::string(63, 'c'), ".",
                                        std::string(55, 'd'), ".agent");
  ASSERT_EQ(name.size(), 253U);
  const std::string certificate = Issue(name);
  EXPECT_LE(certificate.size(), kMaxNameCertificateSize);
  EXPECT_EQ(Verify(certificate)->name, name);
}

TEST_F(NameCertificateTest, ForAKeyThatIsKnown) {
  const std::string certificate = Issue();
  const auto verified = VerifyNameCertificateFor(other_.public_key(), certificate, registrars_, now_);
  ASSERT_TRUE(verified.ok()) << verified.status();
  EXPECT_EQ(verified->key, other_.public_key());
  EXPECT_EQ(verified->name, "bob.agent");
  EXPECT_EQ(ReasonOf(VerifyNameCertificateFor(key_.public_key(), certificate, registrars_, now_).status()),
            reason::kKeyMismatch);
}

TEST_F(NameCertificateTest, OpensslAgrees) {
  const Issuer issuer = Issuer::Create(key_, {}, now_).value();
  const std::string root = Write("root.pem", issuer.root_pem());
  const std::string name = Write("name.pem", CertificateToPem(Issue()));
  const CommandResult verified =
      RunCommand("openssl verify -x509_strict -attime 1800000000 -CAfile " + root + " " + name);
  EXPECT_EQ(verified.status, 0) << verified.output;
  const CommandResult late = RunCommand("openssl verify -attime 1800090000 -CAfile " + root + " " + name);
  EXPECT_NE(late.status, 0) << late.output;
  const CommandResult text = RunCommand("openssl x509 -noout -text -in " + name);
  EXPECT_EQ(text.status, 0);
  for (const char* line :
       {"Version: 3", "Signature Algorithm: ED25519", "Issuer: O = dotagent, CN = dotagent.local root",
        "Subject: O = dotagent, CN = bob.agent", "Public Key Algorithm: ED25519", "0x7f73657269616c",
        "X509v3 Basic Constraints: critical\n                CA:FALSE",
        "X509v3 Key Usage: critical\n                Digital Signature\n",
        "X509v3 Subject Key Identifier:", "X509v3 Authority Key Identifier:",
        "\n                URI:agent://bob.agent, othername: Permanent Identifier"}) {
    EXPECT_THAT(text.output, HasSubstr(line));
  }
  EXPECT_THAT(text.output, testing::Not(HasSubstr("spiffe")));
}

TEST_F(NameCertificateTest, IsValidForItsTimeOnly) {
  const std::string certificate = Issue();
  const absl::Time end = now_ + absl::Hours(24);
  const auto at = [&](absl::Time when) { return VerifyNameCertificate(certificate, registrars_, when).status(); };
  EXPECT_TRUE(at(now_).ok());
  EXPECT_TRUE(at(end + absl::Milliseconds(999)).ok());
  EXPECT_EQ(ReasonOf(at(now_ - absl::Milliseconds(1))), reason::kFutureDated);
  EXPECT_EQ(ReasonOf(at(end + absl::Seconds(1))), reason::kStale);
  EXPECT_TRUE(absl::IsFailedPrecondition(at(end + absl::Seconds(1))));
}

TEST_F(NameCertificateTest, IsTheWordOfATrustedRegistrarOnly) {
  const std::string certificate = Issue();
  for (const std::vector<crypto::PublicKey>& registrars :
       {std::vector<crypto::PublicKey>{}, std::vector<crypto::PublicKey>{other_.public_key()}}) {
    EXPECT_EQ(ReasonOf(VerifyNameCertificate(certificate, registrars, now_).status()), reason::kKeyMismatch);
  }
  // Mallory signs, and names the registrar.
  const crypto::SigningKey mallory = crypto::SigningKey::Generate(random_);
  DerReader outer(certificate);
  DerReader fields = outer.Enter(der::kSequence);
  EXPECT_EQ(ReasonFor(SignedDer(fields.TakeWhole(der::kSequence), mallory).value()), reason::kBadSignature);
}

TEST_F(NameCertificateTest, RefusesEveryChangedBitAndEveryCut) {
  const std::string good = Issue();
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string altered = good;
    altered[bit / 8] = static_cast<char>(altered[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_FALSE(Verify(altered).ok()) << bit;
  }
  for (size_t size = 0; size < good.size(); ++size) {
    EXPECT_EQ(ReasonFor(good.substr(0, size)), reason::kBadStatement) << size;
  }
  EXPECT_EQ(ReasonFor(good + "x"), reason::kBadStatement);
  EXPECT_EQ(ReasonFor(std::string(kMaxNameCertificateSize + 1, '\x30')), reason::kTooLarge);
}

TEST_F(NameCertificateTest, RefusesOtherKindsOfCertificates) {
  const Issuer issuer = Issuer::Create(key_, {}, now_).value();
  EXPECT_EQ(ReasonFor(issuer.root_der()), reason::kBadStatement);
  const std::string svid =
      IssueAgentCertificate(CertificateProfile::kSvid, key_,
                            {.key = other_.public_key(), .agent = agent_, .name = "bob.agent"}, Terms())
          .value();
  EXPECT_EQ(ReasonFor(svid), reason::kBadStatement);
  EXPECT_EQ(ReasonFor(PemToDer(MakeNodeCertificate(key_, {}, now_)->certificate_pem)), reason::kBadStatement);
  // Another curve, and an Ed25519 certificate for a key of another curve.
  for (const char* kind : {"ed448", "rsa:2048", "ec -pkeyopt ec_paramgen_curve:P-256"}) {
    const CommandResult made = RunCommand(absl::StrCat("openssl req -x509 -nodes -subj /CN=x -keyout ", folder_,
                                                       "/key -outform DER -out ", folder_, "/der -newkey ", kind));
    ASSERT_EQ(made.status, 0) << made.output;
    EXPECT_EQ(ReasonFor(Read("der")), reason::kBadStatement) << kind;
  }
  Recipe recipe = Usual();
  recipe.key = [](CertificateBuilder& builder) { builder.SetKey(crypto::PkeyPtr(EVP_EC_gen("P-256")).get()); };
  EXPECT_EQ(ReasonFor(Make(recipe)), reason::kBadStatement);
}

TEST_F(NameCertificateTest, RefusesWrongExtensionsHoweverWellSigned) {
  ASSERT_TRUE(Verify(Make(Usual())).ok());
  const std::vector<std::function<void(Recipe&)>> changes = {
      [](Recipe& r) { r.basic_constraints = "critical,CA:TRUE"; },
      [](Recipe& r) { r.basic_constraints = "critical,CA:TRUE,pathlen:0"; },
      [](Recipe& r) { r.basic_constraints = nullptr; },
      [](Recipe& r) { r.key_usage = nullptr; },
      [](Recipe& r) { r.key_usage = "critical,digitalSignature,keyCertSign"; },
      [](Recipe& r) { r.key_usage = "critical,keyAgreement"; },
      [](Recipe& r) { r.more = [](auto& b) { b.AddExtension(NID_ext_key_usage, "critical,clientAuth"); }; },
      [](Recipe& r) { r.more = [](auto& b) { b.AddExtension(NID_name_constraints, "critical,permitted;DNS:x"); }; },
      [](Recipe& r) { r.more = [](auto& b) { b.AddExtension(NID_basic_constraints, "critical,CA:FALSE"); }; },
      [](Recipe& r) { r.more = [](auto& b) { b.AddRawExtension("2.5.29.17", "\x30"); }; },
      [](Recipe& r) { r.more = [](auto& b) { b.AddRawExtension("1.2.3", ""); }; },
  };
  for (size_t i = 0; i < changes.size(); ++i) {
    Recipe recipe = Usual();
    changes[i](recipe);
    EXPECT_EQ(ReasonFor(Make(recipe)), reason::kBadStatement) << i;
  }
  Recipe recipe = Usual();
  recipe.key_identifiers = false;
  EXPECT_EQ(ReasonFor(Make(recipe)), reason::kKeyMismatch);
  // What is not critical may be there.
  recipe = Usual();
  recipe.more = [](CertificateBuilder& b) { b.AddExtension(NID_ext_key_usage, "clientAuth"); };
  EXPECT_TRUE(Verify(Make(recipe)).ok());
}

TEST_F(NameCertificateTest, RefusesWrongNamesHoweverWellSigned) {
  const std::string id = agent_.ToString();
  for (const std::string& uri :
       {std::string("agent://Bob.agent"), std::string("agent://bob"), std::string("agent://"),
        std::string("agent://.agent"), std::string("agent://bob.agent/"), std::string("agent://bob.agent."),
        std::string("agent://-bob.agent"), std::string("agent://b_b.agent"), std::string("agent://b\0b.agent", 17),
        std::string("agent://b\xc3\xb6.agent"), absl::StrCat("agent://", std::string(64, 'b'), ".agent")}) {
    const std::string made = MakeWithNames([&](AlternativeNames& names) {
      names.AddUri(uri);
      names.AddPermanentIdentifier(id);
    });
    EXPECT_EQ(ReasonFor(made), reason::kBadName) << uri;
  }
  const std::vector<std::function<void(AlternativeNames&)>> changes = {
      [](AlternativeNames& names) { names.AddUri("agent://bob.agent"); },
      [&](AlternativeNames& names) { names.AddPermanentIdentifier(id); },
      [&](AlternativeNames& names) {
        names.AddPermanentIdentifier(id);
        names.AddUri("agent://bob.agent");
      },
      [&](AlternativeNames& names) {
        names.AddUri("agent://bob.agent");
        names.AddUri("agent://eve.agent");
        names.AddPermanentIdentifier(id);
      },
      [&](AlternativeNames& names) {
        names.AddUri("agent://bob.agent");
        names.AddPermanentIdentifier(id);
        names.AddUri("agent://eve.agent");
      },
      [&](AlternativeNames& names) {
        names.AddUri("spiffe://dotagent.local/agent/bob");
        names.AddPermanentIdentifier(id);
      },
      [&](AlternativeNames& names) {
        ASSERT_TRUE(names.AddHost("bob.agent").ok());
        names.AddPermanentIdentifier(id);
      },
  };
  for (size_t i = 0; i < changes.size(); ++i)
    EXPECT_EQ(ReasonFor(MakeWithNames(changes[i])), reason::kBadStatement) << i;
  for (const std::string& identifier :
       {std::string(), id.substr(1), id + "0", std::string(64, 'g'), std::string(64, 'A'), std::string(32, '\xab')}) {
    const std::string made = MakeWithNames([&](AlternativeNames& names) {
      names.AddUri("agent://bob.agent");
      names.AddPermanentIdentifier(identifier);
    });
    EXPECT_EQ(ReasonFor(made), reason::kBadStatement) << identifier;
  }
}

TEST_F(NameCertificateTest, RefusesWrongFieldsHoweverWellSigned) {
  const auto hex = [](absl::string_view text) { return *HexDecode(text); };
  const std::string bob = "agent://bob.agent";
  ASSERT_EQ(Verify(Altered(bob, "agent://eve.agent"))->name, "eve.agent");
  const std::vector<std::pair<std::string, std::string>> changes = {
      {hex("a003020102"), hex("a003020101")},                      // version 2
      {hex("0207") + "\x7fserial", hex("0207") + "\xffserial"},    // a negative serial number
      {hex("0207") + "\x7fse", hex("0207") + hex("000000")},       // one that is padded
      {hex("06032b6570"), hex("06032b6571")},                      // Ed448
      {hex("0603551d13"), hex("0603551d12")},                      // a critical extension that nobody knows
      {hex("0101ff"), hex("010101")},                              // a BOOLEAN that is not DER
      {hex("0101ff"), hex("010100")},                              // a default that is spelled out
      {hex("06082b06010505070803"), hex("06082b06010505070804")},  // another kind of name
      {"Z", "z"},                                                  // a date without its zone
  };
  for (size_t i = 0; i < changes.size(); ++i) {
    EXPECT_EQ(ReasonFor(Altered(changes[i].first, changes[i].second)), reason::kBadStatement) << i;
  }
  // Dates that run backwards.
  const auto date = [](absl::Time when) { return absl::FormatTime("%y%m%d%H%M%SZ", when, absl::UTCTimeZone()); };
  EXPECT_THAT(Verify(Altered(date(now_ + absl::Hours(24)), date(now_ - absl::Hours(24)))).status().message(),
              HasSubstr("ends before it begins"));
  // A subject's key that is none.
  EXPECT_EQ(ReasonFor(Altered(std::string(other_.public_key().bytes()), std::string(32, '\0'))), reason::kBadStatement);
}

// The profiles are written by hand; OpenSSL, told the same, writes the same.
TEST_F(NameCertificateTest, TheSameBytesAsOpenssl) {
  const std::vector<std::string> serials = {
      "\x01", "\x7f", "\xff\xff", std::string("\x80\x80", 2), std::string("\0\x81z", 3), std::string(20, '\xfe')};
  const std::vector<absl::Time> begins = {
      now_, absl::FromCivil(absl::CivilSecond(2049, 12, 31, 23, 59, 30), absl::UTCTimeZone()),
      absl::FromUnixSeconds(1)};
  for (const std::string& name :
       {std::string("bob.agent"), std::string("a.b.c.agent"), absl::StrCat(std::string(63, 'n'), ".agent")}) {
    for (const std::string& serial : serials) {
      for (const absl::Time begin : begins) {
        for (const CertificateProfile profile : {CertificateProfile::kName, CertificateProfile::kSvid}) {
          const bool svid = profile == CertificateProfile::kSvid;
          const CertificateTerms terms{"example.org", begin, absl::Hours(24), serial};
          AlternativeNames names;
          names.AddUri(svid ? SpiffeId("example.org", name) : AgentUri(name));
          names.AddPermanentIdentifier(agent_.ToString());
          CertificateBuilder builder;
          builder.SetSerial(serial);
          builder.SetValidity(begin, begin + absl::Hours(24));
          builder.SetSubject(MakeName(name).get());
          builder.SetIssuer(MakeName(RegistrarName("example.org")).get());
          builder.SetKey(other_.public_key());
          builder.AddExtension(NID_basic_constraints, "critical,CA:FALSE");
          builder.AddExtension(NID_key_usage, "critical,digitalSignature");
          if (svid) builder.AddExtension(NID_ext_key_usage, "clientAuth,serverAuth");
          builder.AddKeyIdentifiers(other_.public_key(), key_.public_key());
          builder.AddAlternativeNames(names);
          const auto issued = IssueAgentCertificate(profile, key_, {other_.public_key(), agent_, name}, terms);
          ASSERT_TRUE(issued.ok()) << issued.status();
          ASSERT_EQ(HexEncode(*issued), HexEncode(*builder.Sign(key_))) << name << " " << HexEncode(serial);
        }
      }
    }
  }
}

TEST_F(NameCertificateTest, IssuingRefusesTermsThatCannotBe) {
  const auto issue = [this](const std::string& name, const CertificateTerms& terms) {
    return IssueAgentCertificate(CertificateProfile::kName, key_,
                                 {.key = other_.public_key(), .agent = agent_, .name = name}, terms)
        .status();
  };
  EXPECT_EQ(ReasonOf(issue("Bob.agent", Terms())), reason::kBadName);
  const std::vector<std::function<void(CertificateTerms&)>> changes = {
      [](CertificateTerms& t) { t.trust_domain = "a/b"; },
      [](CertificateTerms& t) { t.lifetime = absl::Seconds(59); },
      [](CertificateTerms& t) { t.lifetime = absl::InfiniteDuration(); },
      [](CertificateTerms& t) { t.serial = ""; },
      [](CertificateTerms& t) { t.serial = std::string(21, 's'); },
  };
  for (size_t i = 0; i < changes.size(); ++i) {
    CertificateTerms terms = Terms();
    changes[i](terms);
    EXPECT_TRUE(absl::IsInvalidArgument(issue("bob.agent", terms))) << i;
  }
  // A serial number of nothing but zeros.
  CertificateTerms zero = Terms();
  zero.serial = std::string(16, '\0');
  EXPECT_FALSE(issue("bob.agent", zero).ok());
}

// A registrar's key may be in a token that fails.
TEST_F(NameCertificateTest, AFailingSignerIsReported) {
  class BrokenToken : public crypto::Signer {
   public:
    explicit BrokenToken(const crypto::PublicKey& key) : key_(key) {}
    const crypto::PublicKey& public_key() const override { return key_; }
    absl::StatusOr<std::string> Sign(absl::string_view) const override {
      return absl::UnavailableError("the token was pulled out");
    }

   private:
    const crypto::PublicKey key_;
  };
  const BrokenToken token(key_.public_key());
  EXPECT_TRUE(absl::IsUnavailable(
      IssueAgentCertificate(CertificateProfile::kName, token,
                            {.key = other_.public_key(), .agent = agent_, .name = "bob.agent"}, Terms())
          .status()));
  EXPECT_TRUE(absl::IsUnavailable(Issuer::Create(token, {}, now_).status()));
}

TEST(CertificateNamesTest, KnowTheNormalFormAndTheUris) {
  for (const char* name : {"a.agent", "alice.agent", "a-b.c9.agent", "xn--bcher-kva.agent", "agent.agent"}) {
    EXPECT_TRUE(CheckAgentName(name).ok()) << name;
  }
  for (const std::string& name :
       {std::string("agent"), std::string(".agent"), std::string("a..agent"), std::string("a-.agent"),
        std::string("-a.agent"), std::string("A.agent"), std::string("a.agent."), std::string("a_b.agent"),
        std::string("a.agents"), absl::StrCat(std::string(64, 'a'), ".agent"),
        absl::StrCat(std::string(60, 'a'), ".", std::string(60, 'a'), ".", std::string(60, 'a'), ".",
                     std::string(60, 'a'), ".", "abcd.agent")}) {
    EXPECT_EQ(ReasonOf(CheckAgentName(name)), reason::kBadName) << name;
  }
  EXPECT_EQ(AgentUri("alice.agent"), "agent://alice.agent");
  EXPECT_EQ(SpiffeId("example.org", "alice.lab.agent"), "spiffe://example.org/agent/alice.lab");
}

TEST_F(NameCertificateTest, CanBeReadWithoutTrustAndSaysWhenToRenewIt) {
  const std::string certificate = Issue();
  const auto text = ReadNameCertificate(certificate);
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_EQ(text->says.name, "bob.agent");
  EXPECT_EQ(text->says.key, other_.public_key());
  EXPECT_EQ(text->says.agent, agent_);
  EXPECT_EQ(text->says.registrar, crypto::PublicKey());
  EXPECT_EQ(text->registrar_key, HexEncode(KeyIdentifier(key_.public_key())));
  EXPECT_EQ(text->serial, HexEncode("\x7fserial"));
  EXPECT_EQ(text->renew_at(), now_ + absl::Hours(12));
  // Also what nobody signed; but not what is of another form.
  std::string forged = certificate;
  forged.back() = static_cast<char>(forged.back() ^ 1);
  EXPECT_TRUE(ReadNameCertificate(forged).ok());
  EXPECT_EQ(ReasonOf(ReadNameCertificate(certificate.substr(1)).status()), reason::kBadStatement);
  Recipe ca = Usual();
  ca.basic_constraints = "critical,CA:TRUE";
  EXPECT_EQ(ReasonOf(ReadNameCertificate(Make(ca)).status()), reason::kBadStatement);
}

TEST_F(NameCertificateTest, ItsHolderSeesWhenItEndsAndKeepsItAsPem) {
  const std::string certificate = Issue();
  EXPECT_EQ(EndOfNameCertificate(certificate).value(), Verify(certificate)->not_after);
  EXPECT_EQ(KeyBytesOfNameCertificate(certificate).value(), other_.public_key().bytes());
  EXPECT_EQ(ReasonOf(KeyBytesOfNameCertificate(certificate.substr(1)).status()), reason::kBadStatement);
  EXPECT_EQ(NameCertificateFromPem(NameCertificateToPem(certificate)).value(), certificate);
  EXPECT_EQ(ReasonOf(EndOfNameCertificate(certificate.substr(1)).status()), reason::kBadStatement);
  EXPECT_EQ(ReasonOf(NameCertificateFromPem(certificate).status()), reason::kBadStatement);
  EXPECT_EQ(ReasonOf(NameCertificateFromPem("").status()), reason::kBadStatement);
  // Nobody is asked for the passphrase of one that says it is encrypted.
  std::string encrypted = NameCertificateToPem(certificate);
  encrypted.insert(encrypted.find('\n') + 1,
                   "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00112233445566778899AABBCCDDEEFF\n\n");
  testing::internal::CaptureStderr();
  EXPECT_EQ(ReasonOf(NameCertificateFromPem(encrypted).status()), reason::kBadStatement);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

}  // namespace
}  // namespace dotagent::identity
