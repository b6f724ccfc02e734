#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "cli/command.h"
#include "common/base/status.h"
#include "common/crypto/keys.h"
#include "common/identity/agent_certificate.h"
#include "common/identity/name_certificate.h"
#include "common/identity/rotation.h"

namespace dotagent::cli {
namespace {

class ProofFilesTest : public testing::Test {
 protected:
  ProofFilesTest() { std::filesystem::create_directory(folder_); }
  ~ProofFilesTest() override { std::filesystem::remove_all(folder_); }

  std::string Write(const std::string& name, const std::string& content) {
    const std::string path = absl::StrCat(folder_, "/", name);
    std::ofstream(path, std::ios::binary) << content;
    return path;
  }

  const std::string folder_ = absl::StrCat(testing::TempDir(), "/proof-", getpid());
};

TEST_F(ProofFilesTest, NoFilesAreNoProof) {
  const auto proof = ProofFiles().Read();
  ASSERT_TRUE(proof.ok()) << proof.status();
  EXPECT_TRUE(proof->empty());
}

TEST_F(ProofFilesTest, ReadsACertificateAndAChainAndAgainWhenTheyHaveChanged) {
  SeededRandom random(1);
  const auto key = crypto::SigningKey::Generate(random);
  const auto issue = [&](char serial) {
    return identity::IssueAgentCertificate(
               identity::CertificateProfile::kName, key,
               {key.public_key(), identity::AgentId::FromFirstKey(key.public_key()), "bob.agent"},
               {"example.org", absl::FromUnixSeconds(1'800'000'000), absl::Hours(1), std::string(8, serial)})
        .value();
  };
  const ProofFiles files{.certificate = Write("bob.crt", identity::NameCertificateToPem(issue('a'))),
                         .rotation_chain = Write("bob.chain", std::string("c\0d", 3))};
  EXPECT_EQ(files.Read()->name_certificate, issue('a'));
  EXPECT_EQ(files.Read()->rotation_chain, std::string("c\0d", 3));
  Write("bob.crt", identity::NameCertificateToPem(issue('b')));
  EXPECT_EQ(files.Read()->name_certificate, issue('b'));
}

TEST_F(ProofFilesTest, SaysWhatIsWrongWithAFile) {
  const ProofFiles missing{.certificate = folder_ + "/nothing", .rotation_chain = {}};
  EXPECT_TRUE(absl::IsNotFound(missing.Read().status()));
  const ProofFiles no_pem{.certificate = Write("text", "hello"), .rotation_chain = {}};
  EXPECT_EQ(ReasonOf(no_pem.Read().status()), reason::kBadStatement);
  const ProofFiles large{.certificate = {},
                         .rotation_chain = Write("large", std::string(identity::kMaxRotationChainSize + 1, 'x'))};
  EXPECT_EQ(ReasonOf(large.Read().status()), reason::kTooLarge);
}

}  // namespace
}  // namespace dotagent::cli
