#include "common/identity/certificate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <initializer_list>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/base/status.h"
#include "common/crypto/hash.h"
#include "common/crypto/key_file.h"
#include "common/crypto/peer_id.h"
#include "common/identity/agent_id.h"
#include "common/identity/certificate_builder.h"
#include "common/identity/certificate_request.h"
#include "common/identity/name_certificate.h"
#include "tests/unit/identity/fixtures.h"

namespace dotagent::identity {
namespace {

using testing::HasSubstr;

std::string DerToPem(const std::string& der) {
  return absl::StrCat("-----BEGIN CERTIFICATE-----\n", Base64Encode(der), "\n-----END CERTIFICATE-----\n");
}

// Shows one key and signs with another.
class LyingSigner : public crypto::Signer {
 public:
  LyingSigner(const crypto::PublicKey& shown, const crypto::SigningKey& used) : shown_(shown), used_(used) {}
  const crypto::PublicKey& public_key() const override { return shown_; }
  absl::StatusOr<std::string> Sign(absl::string_view message) const override { return used_.Sign(message); }

 private:
  const crypto::PublicKey shown_;
  const crypto::SigningKey& used_;
};

class NodeCertificateTest : public CertificateTest {
 protected:
  std::string ReasonFor(const std::string& pem) const { return ReasonOf(CheckNodeCertificate(pem, now_).status()); }
};

TEST_F(NodeCertificateTest, ProvesTheNodeKey) {
  const absl::StatusOr<NodeCertificate> made = MakeNodeCertificate(key_, {}, now_);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->sha256, crypto::Sha256(PemToDer(made->certificate_pem)));
  const absl::StatusOr<PeerCertificate> peer = CheckNodeCertificate(made->certificate_pem, now_);
  ASSERT_TRUE(peer.ok()) << peer.status();
  EXPECT_EQ(peer->node_key, key_.public_key());
  EXPECT_EQ(peer->sha256, made->sha256);
  EXPECT_NE(MakeNodeCertificate(key_, {}, now_)->sha256, made->sha256);
}

TEST_F(NodeCertificateTest, IsWhatOpensslCallsACertificate) {
  const NodeCertificate made =
      MakeNodeCertificate(key_, {"gateway-0.gateway", "192.0.2.7", "2001:db8::7"}, now_).value();
  const std::string pem = Write("node.pem", made.certificate_pem);
  const CommandResult text = RunCommand("openssl x509 -noout -text -in " + pem);
  EXPECT_EQ(text.status, 0);
  for (const char* line :
       {"Version: 3", "NIST CURVE: P-256", "ecdsa-with-SHA256", "1.3.6.1.4.1.53594.1.1: ", "Digital Signature",
        "TLS Web Server Authentication, TLS Web Client Authentication", "CA:FALSE",
        "DNS:dotagent, DNS:localhost, IP Address:127.0.0.1, DNS:gateway-0.gateway, IP Address:192.0.2.7, "
        "IP Address:2001:DB8:0:0:0:0:0:7"}) {
    EXPECT_THAT(text.output, HasSubstr(line));
  }
  EXPECT_THAT(text.output, testing::Not(HasSubstr("1.3.6.1.4.1.53594.1.1: critical")));
  const CommandResult verified = RunCommand(
      "openssl verify -x509_strict -attime 1800000000 -purpose sslserver -verify_hostname dotagent -CAfile " + pem +
      " " + pem);
  EXPECT_EQ(verified.status, 0) << verified.output;
  // The private key is the certificate's.
  const std::string key_path = Write("node.key", made.private_key_pem);
  EXPECT_EQ(RunCommand("openssl pkey -pubout -in " + key_path).output,
            RunCommand("openssl x509 -noout -pubkey -in " + pem).output);
}

TEST_F(NodeCertificateTest, IsRefusedOutOfDate) {
  const std::string pem = MakeNodeCertificate(key_, {}, now_)->certificate_pem;
  EXPECT_TRUE(CheckNodeCertificate(pem, now_ - absl::Minutes(59)).ok());
  EXPECT_TRUE(CheckNodeCertificate(pem, now_ + absl::Hours(24 * 3649)).ok());
  for (const absl::Time when : {now_ - absl::Minutes(61), now_ + absl::Hours(24 * 3651)}) {
    const absl::Status status = CheckNodeCertificate(pem, when).status();
    EXPECT_TRUE(absl::IsUnauthenticated(status));
    EXPECT_EQ(ReasonOf(status), reason::kNotAuthenticated);
  }
}

TEST_F(NodeCertificateTest, RefusesEveryChangedByte) {
  const std::string der = PemToDer(MakeNodeCertificate(key_, {}, now_)->certificate_pem);
  for (size_t i = 0; i < der.size(); ++i) {
    std::string altered = der;
    altered[i] = static_cast<char>(altered[i] ^ 1);
    const absl::StatusOr<PeerCertificate> peer = CheckNodeCertificate(DerToPem(altered), now_);
    EXPECT_TRUE(absl::IsUnauthenticated(peer.status())) << i;
  }
}

TEST_F(NodeCertificateTest, RefusesAClaimToAnotherNodesKey) {
  const LyingSigner liar(key_.public_key(), other_);
  const NodeCertificate made = MakeNodeCertificate(liar, {}, now_).value();
  EXPECT_EQ(ReasonFor(made.certificate_pem), reason::kBadSignature);
}

// Certificates that sign themselves properly, around an extension that lies or is missing.
TEST_F(NodeCertificateTest, RefusesAStolenTornOrMissingExtension) {
  const std::string stolen = [&] {
    const std::string der = PemToDer(MakeNodeCertificate(key_, {}, now_)->certificate_pem);
    const size_t at = der.find(std::string("\x30\x68\x04\x24", 4));
    return der.substr(at, 106);
  }();
  const auto with_extension = [&](std::initializer_list<std::string> contents) {
    const crypto::PkeyPtr key(EVP_EC_gen("P-256"));
    const X509NamePtr name = MakeName("mallory");
    CertificateBuilder builder;
    builder.SetSerial("1");
    builder.SetValidity(now_ - absl::Hours(1), now_ + absl::Hours(1));
    builder.SetSubject(name.get());
    builder.SetIssuer(name.get());
    builder.SetKey(key.get());
    for (const std::string& content : contents) {
      builder.AddRawExtension("1.3.6.1.4.1.53594.1.1", content);
    }
    return CertificateToPem(**builder.Sign(key.get(), EVP_sha256()));
  };
  EXPECT_EQ(ReasonFor(with_extension({stolen})), reason::kBadSignature);
  EXPECT_EQ(ReasonFor(with_extension({})), reason::kKeyMismatch);
  EXPECT_EQ(ReasonFor(with_extension({""})), reason::kKeyMismatch);
  EXPECT_EQ(ReasonFor(with_extension({stolen.substr(0, 105)})), reason::kKeyMismatch);
  EXPECT_EQ(ReasonFor(with_extension({stolen + "x"})), reason::kKeyMismatch);
  EXPECT_EQ(ReasonFor(with_extension({stolen, stolen})), reason::kKeyMismatch);
  EXPECT_EQ(ReasonFor(with_extension({std::string("\x30\x68\x04\x24", 4) + std::string(102, '\0')})),
            reason::kKeyMismatch);
}

TEST_F(NodeCertificateTest, RefusesACriticalExtensionThatItDoesNotKnow) {
  const CommandResult made = RunCommand(absl::StrCat("openssl req -x509 -nodes -newkey ed25519 -subj /CN=x -keyout ",
                                                     folder_, "/key -addext 1.2.3.4=critical,DER:0500"));
  const absl::Status status = CheckNodeCertificate(made.output, absl::Now()).status();
  EXPECT_EQ(ReasonOf(status), reason::kKeyMismatch);
  EXPECT_THAT(status.message(), HasSubstr("critical extension")) << made.output;
}

TEST_F(NodeCertificateTest, RefusesWhatIsNoCertificate) {
  const std::string good = MakeNodeCertificate(key_, {}, now_)->certificate_pem;
  for (const std::string& text :
       {std::string(), std::string("hello"), good.substr(0, good.size() / 2), std::string(20000, 'A'),
        crypto::PublicKeyToPem(key_.public_key()), DerToPem("x"), good + std::string(20000, '\n')}) {
    const absl::Status status = CheckNodeCertificate(text, now_).status();
    EXPECT_TRUE(absl::IsUnauthenticated(status));
    EXPECT_EQ(ReasonOf(status), reason::kKeyMismatch);
  }
}

TEST_F(NodeCertificateTest, RefusesExpensiveTlsKeys) {
  for (const char* kind : {"rsa:2048", "ec -pkeyopt ec_paramgen_curve:P-521"}) {
    const CommandResult made = RunCommand(
        absl::StrCat("openssl req -x509 -nodes -days 1 -subj /CN=x -keyout ", folder_, "/key -newkey ", kind));
    const absl::Status status = CheckNodeCertificate(made.output, absl::Now()).status();
    EXPECT_THAT(status.message(), HasSubstr("neither P-256 nor Ed25519")) << made.output;
  }
}

TEST_F(NodeCertificateTest, RefusesHostsThatAreNone) {
  for (const char* host : {"", "a,DNS:b", "a b", "a\nb", "ä", "*"}) {
    EXPECT_EQ(ReasonOf(MakeNodeCertificate(key_, {host}, now_).status()), reason::kBadAddress) << host;
  }
  EXPECT_FALSE(MakeNodeCertificate(key_, {std::string(254, 'a')}, now_).ok());
}

// Vector 1 of the libp2p TLS specification.
constexpr char kLibp2pCertificate[] =
    "308201ae30820156a0030201020204499602d2300a06082a8648ce3d040302302031123010060355040a13096c69627032702e696f310a30"
    "0806035504051301313020170d3735303130313133303030305a180f34303936303130313133303030305a302031123010060355040a1309"
    "6c69627032702e696f310a300806035504051301313059301306072a8648ce3d020106082a8648ce3d030107034200040c901d423c831ca8"
    "5e27c73c263ba132721bb9d7a84c4f0380b2a6756fd601331c8870234dec878504c174144fa4b14b66a651691606d8173e55bd37e381569e"
    "a37c307a3078060a2b0601040183a25a0101046a3068042408011220a77f1d92fedb59dddaea5a1c4abd1ac2fbde7d7b879ed36450180992"
    "3d7c11b90440d90d2769db992d5e6195dbb08e706b6651e024fda6cfb8846694a435519941cac215a8207792e42849cccc6cd8136c6e4bde"
    "92a58c5e08cfd4206eb5fe0bf909300a06082a8648ce3d0403020346003043021f50f6b6c52711a881778718238f650c9fb48943ae6ee6d2"
    "8427dc6071ae55e702203625f116a7a454db9c56986c82a25682f7248ea1cb764d322ea983ed36a31b77";

TEST_F(NodeCertificateTest, AgreesWithTheLibp2pSpecification) {
  const absl::StatusOr<PeerCertificate> peer = CheckNodeCertificate(DerToPem(*HexDecode(kLibp2pCertificate)), now_);
  ASSERT_TRUE(peer.ok()) << peer.status();
  EXPECT_EQ(crypto::PeerIdFromKey(peer->node_key), "12D3KooWM6CgA9iBFZmcYAHA6A2qvbAxqfkmrYiRQuz3XEsk4Ksv");
}

class IssuerTest : public CertificateTest {
 protected:
  CertificateSubject Subject(const crypto::SigningKey& key, absl::string_view name = "bob.agent") const {
    return {.key = key.public_key(), .agent = AgentId::FromFirstKey(key.public_key()), .name = std::string(name)};
  }
  absl::StatusOr<IssuedCertificates> IssueFor(absl::string_view name) const {
    return issuer_.Issue(MakeCertificateRequest(other_, "bob.agent").value(), Subject(other_, name), "\x7fserial",
                         now_);
  }

  const Issuer issuer_ = Issuer::Create(key_, {}, now_).value();
};

TEST_F(IssuerTest, IssuesWhatOpensslVerifies) {
  const absl::StatusOr<IssuedCertificates> issued = IssueFor("bob.agent");
  ASSERT_TRUE(issued.ok()) << issued.status();
  const std::string root_path = Write("root.pem", issuer_.root_pem());
  const std::string leaf_path = Write("leaf.pem", DerToPem(issued->svid_der));
  const std::string name_path = Write("name.pem", DerToPem(issued->name_der));
  EXPECT_EQ(RunCommand(absl::StrCat("openssl verify -x509_strict -attime 1800000000 -CAfile ", root_path, " ",
                                    leaf_path, " ", name_path))
                .status,
            0);
  for (const char* purpose : {"sslclient", "sslserver"}) {
    const CommandResult verified = RunCommand(absl::StrCat("openssl verify -x509_strict -attime 1800000000 -purpose ",
                                                           purpose, " -CAfile ", root_path, " ", leaf_path));
    EXPECT_EQ(verified.status, 0) << verified.output;
  }
  for (const char* when : {"1799999000", "1800090000"}) {
    EXPECT_NE(RunCommand(absl::StrCat("openssl verify -attime ", when, " -CAfile ", root_path, " ", leaf_path)).status,
              0);
  }
  // A leaf vouches for nobody.
  EXPECT_NE(RunCommand(absl::StrCat("openssl verify -attime 1800000000 -CAfile ", leaf_path, " ", root_path)).status,
            0);
  EXPECT_EQ(PemToDer(issuer_.root_pem()), issuer_.root_der());
}

TEST_F(IssuerTest, ACertificateEndsADayAfterItIsIssuedAndIsToBeRenewedAtHalfOfItsLife) {
  const auto issued = IssueFor("bob.agent");
  ASSERT_TRUE(issued.ok()) << issued.status();
  const auto text = ReadNameCertificate(issued->name_der);
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_EQ(text->says.not_after, now_ + absl::Hours(24));
  // From a little before, for clocks that are behind.
  EXPECT_EQ(text->says.not_before, now_ - absl::Minutes(5));
  EXPECT_EQ(text->renew_at() - text->says.not_before, text->says.not_after - text->renew_at());
  EXPECT_EQ(text->renew_at(), now_ + absl::Hours(12) - absl::Minutes(2.5));
  // The SVID the same, as openssl reads it.
  const CommandResult dates =
      RunCommand("openssl x509 -inform DER -noout -startdate -enddate -in " + Write("svid.der", issued->svid_der));
  EXPECT_EQ(dates.output, "notBefore=Jan 15 07:55:00 2027 GMT\nnotAfter=Jan 16 08:00:00 2027 GMT\n");
}

// SPIFFE's X509-SVID: exactly one URI.
TEST_F(IssuerTest, TheSvidSaysWhoItIsFor) {
  const std::string der = IssueFor("bob.agent")->svid_der;
  const std::string leaf_path = Write("leaf.der", der);
  const CommandResult text = RunCommand("openssl x509 -inform DER -noout -text -in " + leaf_path);
  EXPECT_EQ(text.status, 0);
  for (const char* line :
       {"Version: 3", "Signature Algorithm: ED25519", "Issuer: O = dotagent, CN = dotagent.local root",
        "Subject: O = dotagent, CN = bob.agent", "Public Key Algorithm: ED25519", "0x7f73657269616c02",
        "\n                URI:spiffe://dotagent.local/agent/bob, othername: Permanent Identifier", "CA:FALSE",
        "TLS Web Client Authentication, TLS Web Server Authentication"}) {
    EXPECT_THAT(text.output, HasSubstr(line));
  }
  const CommandResult structure = RunCommand("openssl asn1parse -inform DER -dump -in " + leaf_path);
  EXPECT_EQ(structure.status, 0);
  const std::string id = AgentId::FromFirstKey(other_.public_key()).ToString();
  // OTHER NAME: the object identifier, then [0] { SEQUENCE { UTF8String of 64 digits } }.
  EXPECT_THAT(der, HasSubstr(*HexDecode("06082b06010505070803a04430420c40") + id));
}

TEST_F(IssuerTest, ALongNameStandsInTheUrisOnly) {
  const std::string name = std::string(63, 'a') + "." + std::string(63, 'b') + ".agent";
  const std::string leaf_path = Write("leaf.pem", DerToPem(IssueFor(name)->name_der));
  const std::string text = RunCommand("openssl x509 -noout -text -in " + leaf_path).output;
  EXPECT_THAT(text, HasSubstr("Subject: O = dotagent\n"));
  EXPECT_THAT(text, HasSubstr("URI:agent://" + name));
}

TEST_F(IssuerTest, RefusesNamesThatAreNone) {
  for (const char* name :
       {"", ".agent", "bob", "bob.example", "Bob.agent", "bob.agent/x", "bob.agent,URI:agent://eve.agent", "a..agent",
        "bob.agent\n", "bob agent.agent", ".bob.agent"}) {
    EXPECT_EQ(ReasonOf(IssueFor(name).status()), reason::kBadName) << name;
    EXPECT_EQ(ReasonOf(MakeCertificateRequest(key_, name).status()), reason::kBadName) << name;
  }
  EXPECT_EQ(ReasonOf(IssueFor(std::string(250, 'a') + ".agent").status()), reason::kBadName);
}

TEST_F(IssuerTest, RefusesARequestForAnotherKey) {
  const std::string csr = MakeCertificateRequest(other_, "bob.agent").value();
  const absl::Status status = issuer_.Issue(csr, Subject(key_), "1", now_).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_EQ(ReasonOf(status), reason::kKeyMismatch);
}

TEST_F(IssuerTest, RefusesEveryChangedByteOfARequest) {
  const std::string csr = MakeCertificateRequest(other_, "bob.agent").value();
  for (size_t i = 0; i < csr.size(); ++i) {
    std::string altered = csr;
    altered[i] = static_cast<char>(altered[i] ^ 1);
    EXPECT_FALSE(issuer_.Issue(altered, Subject(other_), "1", now_).ok()) << i;
  }
  for (const std::string& bad : {std::string(), csr.substr(0, csr.size() - 1), csr + "x", std::string(4097, '\x30')}) {
    EXPECT_EQ(ReasonOf(issuer_.Issue(bad, Subject(other_), "1", now_).status()), reason::kBadStatement);
  }
}

TEST_F(IssuerTest, GoesOnWithItsRoot) {
  const absl::StatusOr<Issuer> loaded = Issuer::Load(key_, {}, issuer_.root_pem());
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->root_pem(), issuer_.root_pem());
  const std::string csr = MakeCertificateRequest(other_, "bob.agent").value();
  // Ed25519 signs the same way twice.
  EXPECT_EQ(loaded->Issue(csr, Subject(other_), "1", now_)->svid_der,
            issuer_.Issue(csr, Subject(other_), "1", now_)->svid_der);
}

TEST_F(IssuerTest, RefusesAnotherKeysRoot) {
  EXPECT_TRUE(absl::IsFailedPrecondition(Issuer::Load(other_, {}, issuer_.root_pem()).status()));
  // A leaf of the issuer's own key is no root.
  const std::string csr = MakeCertificateRequest(key_, "bob.agent").value();
  const std::string leaf = issuer_.Issue(csr, Subject(key_), "1", now_)->svid_der;
  EXPECT_TRUE(absl::IsFailedPrecondition(Issuer::Load(key_, {}, DerToPem(leaf)).status()));
  EXPECT_FALSE(Issuer::Load(key_, {}, "garbage").ok());
}

TEST_F(IssuerTest, NeverOutlivesItsRoot) {
  const std::string csr = MakeCertificateRequest(other_, "bob.agent").value();
  const auto issue_at = [&](absl::Time when) { return issuer_.Issue(csr, Subject(other_), "1", when).status(); };
  EXPECT_TRUE(issue_at(now_ + absl::Hours(24 * 3648)).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(issue_at(now_ + absl::Hours(24 * 3650 - 1))));
  EXPECT_TRUE(absl::IsFailedPrecondition(issue_at(now_ - absl::Hours(1))));
}

TEST_F(IssuerTest, RefusesOptionsAndSerialsThatCannotBe) {
  for (const char* domain : {"", "Upper.case", "a/b", "a b", "a@b"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(Issuer::Create(key_, {.trust_domain = domain}, now_).status())) << domain;
  }
  EXPECT_FALSE(Issuer::Create(key_, {.leaf_lifetime = absl::ZeroDuration()}, now_).ok());
  EXPECT_FALSE(Issuer::Create(key_, {.leaf_lifetime = absl::InfiniteDuration()}, now_).ok());
  const std::string csr = MakeCertificateRequest(other_, "bob.agent").value();
  EXPECT_FALSE(issuer_.Issue(csr, Subject(other_), "", now_).ok());
  EXPECT_FALSE(issuer_.Issue(csr, Subject(other_), std::string(20, 's'), now_).ok());
  EXPECT_TRUE(issuer_.Issue(csr, Subject(other_), std::string(19, '\xff'), now_).ok());
}

}  // namespace
}  // namespace dotagent::identity
