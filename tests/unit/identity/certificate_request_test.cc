#include "common/identity/certificate_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/base/status.h"
#include "common/crypto/key_file.h"
#include "common/identity/certificate_builder.h"
#include "common/identity/der.h"
#include "tests/unit/identity/fixtures.h"

namespace dotagent::identity {
namespace {

using testing::HasSubstr;

class CertificateRequestTest : public CertificateTest {
 protected:
  static std::string ReasonFor(const std::string& request) {
    return ReasonOf(VerifyCertificateRequest(request).status());
  }

  // What `openssl req -new` makes with a new key of `kind` and further `arguments`.
  std::string OpensslRequest(const std::string& arguments, const std::string& kind = "ed25519") const {
    const CommandResult made =
        RunCommand(absl::StrCat("openssl genpkey -algorithm ", kind, " -out ", folder_, "/key && chmod 600 ", folder_,
                                "/key && openssl req -new -key ", folder_, "/key -outform DER -out ", folder_,
                                "/csr -subj /CN=anyone ", arguments));
    EXPECT_EQ(made.status, 0) << made.output;
    return Read("csr");
  }

  // The signed part of a request by key_, in which `attributes` stand.
  std::string Request(const std::string& attributes) const {
    const std::string key_info = DerElement(
        der::kSequence,
        absl::StrCat(der::kEd25519Algorithm,
                     DerElement(der::kBitString, absl::StrCat(std::string(1, '\0'), key_.public_key().bytes()))));
    const std::string info =
        DerElement(der::kSequence, absl::StrCat(absl::string_view("\x02\x01\x00\x30\x00", 5), key_info,
                                                DerElement(der::Constructed(0), attributes)));
    return SignedDer(info, key_).value();
  }
  // The attribute that asks for these alternative names.
  static std::string Asking(const std::string& names) {
    const std::string extension = DerElement(
        der::kSequence,
        absl::StrCat("\x06\x03\x55\x1d\x11", DerElement(der::kOctetString, DerElement(der::kSequence, names))));
    return DerElement(der::kSequence, absl::StrCat("\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x0e",
                                                   DerElement(der::kSet, DerElement(der::kSequence, extension))));
  }
  static std::string Uri(absl::string_view uri) { return DerElement(der::Primitive(6), uri); }
};

TEST_F(CertificateRequestTest, RoundTrips) {
  for (const std::string& name :
       {std::string("bob.agent"), std::string(63, 'a') + "." + std::string(63, 'b') + ".agent"}) {
    const absl::StatusOr<CertificateRequest> request =
        VerifyCertificateRequest(MakeCertificateRequest(key_, name).value());
    ASSERT_TRUE(request.ok()) << request.status();
    EXPECT_EQ(request->key, key_.public_key());
    EXPECT_EQ(request->name, name);
  }
}

TEST_F(CertificateRequestTest, OpensslVerifiesIt) {
  const std::string path = Write("ours", MakeCertificateRequest(key_, "bob.agent").value());
  const CommandResult verified = RunCommand("openssl req -inform DER -verify -noout -text -in " + path);
  EXPECT_EQ(verified.status, 0) << verified.output;
  for (const char* line : {"verify OK", "Subject: O = dotagent, CN = bob.agent", "Public Key Algorithm: ED25519",
                           "URI:agent://bob.agent", "Signature Algorithm: ED25519"}) {
    EXPECT_THAT(verified.output, HasSubstr(line));
  }
}

TEST_F(CertificateRequestTest, TakesOpensslsRequests) {
  const std::vector<std::pair<const char*, const char*>> names = {
      {"", ""},
      {"-addext subjectAltName=DNS:bob.example,URI:agent://bob.agent,URI:https://bob.example", "bob.agent"},
      {"-addext subjectAltName=DNS:bob.example -addext keyUsage=critical,keyCertSign -addext basicConstraints=CA:TRUE",
       ""}};
  for (const auto& [arguments, name] : names) {
    const auto request = VerifyCertificateRequest(OpensslRequest(arguments));
    ASSERT_TRUE(request.ok()) << request.status();
    EXPECT_EQ(request->key, crypto::ReadKeyFile(folder_ + "/key", std::nullopt)->public_key());
    EXPECT_EQ(request->name, name);
  }
}

TEST_F(CertificateRequestTest, RefusesOtherKindsOfKeys) {
  for (const char* kind : {"ed448", "ec -pkeyopt ec_paramgen_curve:P-256", "rsa -pkeyopt rsa_keygen_bits:2048"}) {
    EXPECT_EQ(ReasonFor(OpensslRequest("", kind)), reason::kBadStatement) << kind;
  }
}

TEST_F(CertificateRequestTest, RefusesEveryChangedBitAndEveryCut) {
  const std::string good = MakeCertificateRequest(key_, "bob.agent").value();
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string altered = good;
    altered[bit / 8] = static_cast<char>(altered[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_FALSE(VerifyCertificateRequest(altered).ok()) << bit;
  }
  for (size_t size = 0; size < good.size(); ++size) {
    EXPECT_EQ(ReasonFor(good.substr(0, size)), reason::kBadStatement) << size;
  }
  EXPECT_EQ(ReasonFor(good + "x"), reason::kBadStatement);
  EXPECT_EQ(ReasonFor(std::string(kMaxCertificateRequestSize + 1, '\x30')), reason::kBadStatement);
}

TEST_F(CertificateRequestTest, OnlyTheKeysHolderCanAsk) {
  const std::string bytes(key_.public_key().bytes());
  const std::string mallorys = MakeCertificateRequest(other_, "bob.agent").value();
  const std::string stolen = absl::StrReplaceAll(mallorys, {{std::string(other_.public_key().bytes()), bytes}});
  EXPECT_EQ(ReasonFor(stolen), reason::kBadSignature);
  // A key that is none has no holder.
  EXPECT_EQ(
      ReasonFor(absl::StrReplaceAll(mallorys, {{std::string(other_.public_key().bytes()), std::string(32, '\0')}})),
      reason::kBadStatement);
}

TEST_F(CertificateRequestTest, ReadsOneNameOrRefuses) {
  const auto name_in = [this](const std::string& attributes) {
    return VerifyCertificateRequest(Request(attributes))->name;
  };
  EXPECT_EQ(name_in(""), "");
  EXPECT_EQ(name_in(Asking("")), "");
  EXPECT_EQ(name_in(Asking(Uri("agent://bob.agent"))), "bob.agent");
  EXPECT_EQ(name_in(Asking(Uri("spiffe://x/agent/bob"))), "");
  for (const std::string& names :
       {Uri("agent://"), Uri("agent://Bob.agent"), Uri("agent://bob.agent/x"), Uri("agent://bob.example"),
        Uri("agent://bob.agent") + Uri("agent://bob.agent"), Uri(std::string("agent://bob\0.agent", 18))}) {
    EXPECT_EQ(ReasonFor(Request(Asking(names))), reason::kBadName) << names;
  }
  EXPECT_EQ(ReasonFor(Request(Asking(Uri("agent://bob.agent")) + Asking(Uri("agent://eve.agent")))), reason::kBadName);
}

// Signed by its key, and still not well formed.
TEST_F(CertificateRequestTest, RefusesBrokenAttributesHoweverWellSigned) {
  const std::string good = Asking(Uri("agent://bob.agent"));
  ASSERT_TRUE(VerifyCertificateRequest(Request(good)).ok());
  for (size_t size = 1; size < good.size(); ++size) {
    EXPECT_EQ(ReasonFor(Request(good.substr(0, size))), reason::kBadStatement) << size;
    EXPECT_EQ(ReasonFor(Request(good + good.substr(0, size))), reason::kBadStatement) << size;
  }
  for (const char* attributes : {"\x30\x80", "\x31\x02\x30\x30", "\x1f\x01\x30", "\x30\x81\x01\x30"}) {
    EXPECT_EQ(ReasonFor(Request(attributes)), reason::kBadStatement);
  }
}

}  // namespace
}  // namespace dotagent::identity
