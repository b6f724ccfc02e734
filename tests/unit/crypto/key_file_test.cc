#include "common/crypto/key_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/base/bytes.h"
#include "common/base/status.h"

namespace dotagent::crypto {
namespace {

using testing::HasSubstr;

struct CommandResult {
  int status;
  std::string output;
};

CommandResult RunCommand(const std::string& command) {
  FILE* const pipe = popen((command + " 2>&1").c_str(), "r");
  CommandResult result{-1, ""};
  char buffer[4096];
  while (const size_t count = fread(buffer, 1, sizeof(buffer), pipe)) {
    result.output.append(buffer, count);
  }
  result.status = pclose(pipe);
  return result;
}

class KeyFileTest : public testing::Test {
 protected:
  KeyFileTest() {
    folder_ = testing::TempDir() + "key_file_test.XXXXXX";
    EXPECT_NE(mkdtemp(folder_.data()), nullptr);
  }
  ~KeyFileTest() override { std::filesystem::remove_all(folder_); }

  std::string Path(const std::string& name) const { return folder_ + "/" + name; }

  std::string Write(const std::string& name, const std::string& content, mode_t mode = 0600) const {
    std::ofstream(Path(name), std::ios::binary) << content;
    chmod(Path(name).c_str(), mode);
    return Path(name);
  }

  static std::string Read(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  SystemRandom random_;
  const SigningKey key_ = SigningKey::Generate(random_);
  const std::optional<SecretBytes> passphrase_{SecretBytes("correct horse")};
  std::string folder_;
};

// RFC 8410 §10.3.
TEST_F(KeyFileTest, ReadsAndWritesTheKeyOfRfc8410) {
  const std::string pem =
      "-----BEGIN PRIVATE KEY-----\n"
      "MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n"
      "-----END PRIVATE KEY-----\n";
  const absl::StatusOr<SigningKey> key = KeyFromPem(pem, std::nullopt);
  ASSERT_TRUE(key.ok()) << key.status();
  EXPECT_EQ(HexEncode(key->seed().view()), "d4ee72dbf913584ad5b6d8f1f769f8ad3afe7c28cbf1d4fbe097a88f44755842");
  EXPECT_EQ(KeyToPem(*key, std::nullopt).value(), pem);
  EXPECT_EQ(PublicKeyToPem(key->public_key()),
            "-----BEGIN PUBLIC KEY-----\n"
            "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n"
            "-----END PUBLIC KEY-----\n");
}

TEST_F(KeyFileTest, WritesWhatOpensslReads) {
  ASSERT_TRUE(WriteKeyFile(Path("plain"), key_, std::nullopt).ok());
  ASSERT_TRUE(WriteKeyFile(Path("sealed"), key_, passphrase_).ok());
  const std::string public_pem = PublicKeyToPem(key_.public_key());
  const CommandResult plain = RunCommand("openssl pkey -pubout -in " + Path("plain"));
  EXPECT_EQ(plain.status, 0);
  EXPECT_EQ(plain.output, public_pem);
  const CommandResult sealed = RunCommand("openssl pkey -pubout -passin 'pass:correct horse' -in " + Path("sealed"));
  EXPECT_EQ(sealed.status, 0);
  EXPECT_EQ(sealed.output, public_pem);
  const CommandResult structure = RunCommand("openssl asn1parse -in " + Path("sealed"));
  EXPECT_THAT(structure.output, HasSubstr("PBES2"));
  EXPECT_THAT(structure.output, HasSubstr("scrypt"));
  EXPECT_THAT(structure.output, HasSubstr("aes-256-cbc"));
}

TEST_F(KeyFileTest, ReadsWhatOpensslWrites) {
  ASSERT_EQ(RunCommand("umask 077; openssl genpkey -algorithm ed25519 -out " + Path("plain")).status, 0);
  ASSERT_EQ(RunCommand("umask 077; openssl genpkey -algorithm ed25519 -aes256 -pass 'pass:correct horse' -out " +
                       Path("sealed"))
                .status,
            0);
  for (const char* name : {"plain", "sealed"}) {
    const absl::StatusOr<SigningKey> key = ReadKeyFile(Path(name), passphrase_);
    ASSERT_TRUE(key.ok()) << key.status();
    EXPECT_EQ(PublicKeyToPem(key->public_key()),
              RunCommand("openssl pkey -pubout -passin 'pass:correct horse' -in " + Path(name)).output);
  }
}

TEST_F(KeyFileTest, RoundTripsAndIsPrivate) {
  ASSERT_TRUE(WriteKeyFile(Path("plain"), key_, std::nullopt).ok());
  ASSERT_TRUE(WriteKeyFile(Path("sealed"), key_, passphrase_).ok());
  for (const char* name : {"plain", "sealed"}) {
    struct stat info {};
    ASSERT_EQ(stat(Path(name).c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777, 0600);
    EXPECT_EQ(ReadKeyFile(Path(name), passphrase_)->public_key(), key_.public_key());
  }
  // Nothing temporary stays.
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 2);
}

TEST_F(KeyFileTest, AttributesGoThroughOpensslAndBack) {
  const KeyAttributes attributes{.agent_id = std::string(64, 'a'), .name = "alice.agent"};
  ASSERT_TRUE(WriteKeyFile(Path("plain"), key_, std::nullopt, attributes).ok());
  ASSERT_TRUE(WriteKeyFile(Path("sealed"), key_, passphrase_, attributes).ok());
  for (const char* name : {"plain", "sealed"}) {
    const absl::StatusOr<AgentKey> read = ReadAgentKeyFile(Path(name), passphrase_);
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(read->attributes, attributes);
    EXPECT_EQ(read->key.public_key(), key_.public_key());
    const CommandResult shown = RunCommand("openssl pkey -pubout -passin 'pass:correct horse' -in " + Path(name));
    EXPECT_EQ(shown.output, PublicKeyToPem(key_.public_key()));
  }
  // As a stranger sees them, and after a stranger has put the file under another passphrase.
  const CommandResult structure = RunCommand("openssl asn1parse -in " + Path("plain"));
  EXPECT_THAT(structure.output, HasSubstr(":friendlyName"));
  EXPECT_THAT(structure.output, HasSubstr(":Permanent Identifier"));
  ASSERT_EQ(RunCommand("umask 077; openssl pkcs8 -topk8 -passin 'pass:correct horse' -passout pass:other -in " +
                       Path("sealed") + " -out " + Path("again"))
                .status,
            0);
  EXPECT_EQ(ReadKeyFile(Path("again"), SecretBytes("other"))->public_key(), key_.public_key());
}

TEST_F(KeyFileTest, RefusesAttributesOfAnotherForm) {
  for (const KeyAttributes& bad : std::vector<KeyAttributes>{{.agent_id = std::string(63, 'a')},
                                                             {.agent_id = std::string(64, 'A')},
                                                             {.agent_id = std::string(64, 'g')},
                                                             {.name = "alice agent"},
                                                             {.name = "\xc3\xa4.agent"},
                                                             {.name = std::string(254, 'a')}}) {
    EXPECT_EQ(ReasonOf(KeyToPem(key_, std::nullopt, bad).status()), reason::kBadKey) << bad.agent_id << bad.name;
  }
}

// What PKCS #12 tools write there need not be a name of ours, nor one at all; the key is still a key.
TEST_F(KeyFileTest, PassesOverStrangersAttributes) {
  const std::string pem =
      KeyToPem(key_, std::nullopt, {.agent_id = std::string(64, 'a'), .name = "alice.agent"}).value();
  const std::string body =
      absl::StrReplaceAll(pem, {{"-----BEGIN PRIVATE KEY-----", ""}, {"-----END PRIVATE KEY-----", ""}, {"\n", ""}});
  const std::string der = *Base64Decode(body);
  const auto read = [](const std::string& bytes) {
    return AgentKeyFromPem(
        absl::StrCat("-----BEGIN PRIVATE KEY-----\n", Base64Encode(bytes), "\n-----END PRIVATE KEY-----\n"),
        std::nullopt);
  };
  ASSERT_EQ(read(der)->attributes.name, "alice.agent");
  std::string spaced = der;
  spaced[der.find(std::string("a\0l", 3))] = ' ';
  EXPECT_EQ(read(spaced)->attributes, (KeyAttributes{.agent_id = std::string(64, 'a')}));
  std::string upper = der;
  upper[der.find("aaaa")] = 'A';
  EXPECT_EQ(read(upper)->attributes, (KeyAttributes{.name = "alice.agent"}));
  // Every other byte of the attributes changed: a key, with or without notes, or a clear error.
  const size_t first = 3 + 46;
  for (size_t at = first; at < der.size(); ++at) {
    std::string changed = der;
    changed[at] = static_cast<char>(changed[at] ^ 0x15);
    const absl::StatusOr<AgentKey> key = read(changed);
    if (key.ok()) {
      EXPECT_EQ(key->key.public_key(), key_.public_key()) << at;
      EXPECT_TRUE(CheckAttributes(key->attributes).ok()) << at;
    } else {
      EXPECT_EQ(ReasonOf(key.status()), reason::kBadKey) << at;
    }
  }
}

TEST_F(KeyFileTest, ReadsEveryEncryptionThatOpensslOffersForPbes2) {
  ASSERT_TRUE(WriteKeyFile(Path("plain"), key_, std::nullopt).ok());
  for (const char* const how : {"-iter 1", "-iter 200000", "-v2 aes-128-cbc -v2prf hmacWithSHA512", "-v2 des3",
                                "-scrypt", "-scrypt -scrypt_N 1024 -scrypt_r 1 -scrypt_p 64"}) {
    const CommandResult sealed =
        RunCommand(absl::StrCat("openssl pkcs8 -topk8 -passout 'pass:correct horse' ", how, " -in ", Path("plain")));
    ASSERT_EQ(sealed.status, 0) << sealed.output;
    const absl::StatusOr<SigningKey> key = KeyFromPem(sealed.output, passphrase_);
    ASSERT_TRUE(key.ok()) << how << ": " << key.status();
    EXPECT_EQ(key->public_key(), key_.public_key());
  }
}

TEST_F(KeyFileTest, RefusesTheEncryptionsBeforePbes2) {
  ASSERT_TRUE(WriteKeyFile(Path("plain"), key_, std::nullopt).ok());
  const CommandResult sealed =
      RunCommand("openssl pkcs8 -topk8 -v1 PBE-SHA1-3DES -passout 'pass:correct horse' -in " + Path("plain"));
  ASSERT_EQ(sealed.status, 0) << sealed.output;
  const absl::Status refused = KeyFromPem(sealed.output, passphrase_).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ReasonOf(refused), reason::kBadKey);
  EXPECT_THAT(refused.message(), HasSubstr("pbeWithSHA1And3-KeyTripleDES-CBC"));
  EXPECT_THAT(refused.message(), HasSubstr("openssl pkcs8 -topk8"));
}

TEST_F(KeyFileTest, SealsWithFreshSalt) {
  EXPECT_NE(KeyToPem(key_, passphrase_).value(), KeyToPem(key_, passphrase_).value());
}

TEST_F(KeyFileTest, TellsAMissingFromAWrongPassphrase) {
  ASSERT_TRUE(WriteKeyFile(Path("sealed"), key_, passphrase_).ok());
  const absl::Status missing = ReadKeyFile(Path("sealed"), std::nullopt).status();
  EXPECT_EQ(missing.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(ReasonOf(missing), reason::kBadKey);
  EXPECT_THAT(missing.message(), HasSubstr("give its passphrase"));
  EXPECT_THAT(missing.message(), HasSubstr(Path("sealed")));
  const absl::Status wrong = ReadKeyFile(Path("sealed"), SecretBytes("battery staple")).status();
  EXPECT_EQ(wrong.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(wrong.message(), HasSubstr("passphrase is wrong"));
  EXPECT_EQ(ReadKeyFile(Path("sealed"), SecretBytes(std::string(5000, 'x'))).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST_F(KeyFileTest, RefusesAnEmptyOrHugePassphrase) {
  EXPECT_EQ(ReasonOf(KeyToPem(key_, SecretBytes()).status()), reason::kBadKey);
  EXPECT_EQ(ReasonOf(KeyToPem(key_, SecretBytes(std::string(1025, 'x'))).status()), reason::kBadKey);
}

TEST_F(KeyFileTest, NeverOverwrites) {
  const std::string path = Write("key", "something precious");
  const absl::Status status = WriteKeyFile(path, key_, std::nullopt);
  EXPECT_TRUE(absl::IsAlreadyExists(status)) << status;
  EXPECT_EQ(Read(path), "something precious");
  // A dangling link is taken as well: a key must not appear where someone else pointed.
  std::filesystem::create_symlink(Path("elsewhere"), Path("link"));
  EXPECT_TRUE(absl::IsAlreadyExists(WriteKeyFile(Path("link"), key_, std::nullopt)));
  EXPECT_FALSE(std::filesystem::exists(Path("elsewhere")));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 2);
}

TEST_F(KeyFileTest, RefusesAFileThatOthersCanUse) {
  ASSERT_TRUE(WriteKeyFile(Path("key"), key_, std::nullopt).ok());
  for (const mode_t mode : {0640, 0604, 0620, 0601, 0644, 0777}) {
    chmod(Path("key").c_str(), mode);
    const absl::Status status = ReadKeyFile(Path("key"), std::nullopt).status();
    EXPECT_TRUE(absl::IsPermissionDenied(status)) << status;
    EXPECT_THAT(status.message(), HasSubstr("chmod 600 " + Path("key")));
  }
  for (const mode_t mode : {0600, 0400}) {
    chmod(Path("key").c_str(), mode);
    EXPECT_TRUE(ReadKeyFile(Path("key"), std::nullopt).ok());
  }
}

TEST_F(KeyFileTest, RefusesWhatIsNoKey) {
  const std::string good = KeyToPem(key_, std::nullopt).value();
  const std::vector<std::string> bad = {
      "",
      "hello",
      std::string(1000, '\0'),
      good.substr(0, good.size() / 2),
      good.substr(0, good.size() - 10),
      absl::StrReplaceAll(good, {{"MC4CAQ", "MC4CAw"}}),
      absl::StrReplaceAll(good, {{"MC4C", "!!!!"}}),
      PublicKeyToPem(key_.public_key()),
      "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n",
      "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
      "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
      "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n",
  };
  for (size_t i = 0; i < bad.size(); ++i) {
    const absl::Status status = ReadKeyFile(Write(absl::StrCat(i), bad[i]), passphrase_).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << bad[i];
    EXPECT_EQ(ReasonOf(status), reason::kBadKey) << bad[i];
  }
}

TEST_F(KeyFileTest, CutOrAlteredEncryptedKeysAreRefused) {
  const std::string good = KeyToPem(key_, passphrase_).value();
  const size_t body = good.find('\n') + 1;
  const size_t end = good.rfind("-----END");
  for (size_t at = body; at < end; at += 16) {
    std::string altered = good;
    altered[at] = altered[at] == 'A' ? 'B' : 'A';
    const absl::StatusOr<SigningKey> key = KeyFromPem(altered, passphrase_);
    EXPECT_TRUE(!key.ok() || key->public_key() != key_.public_key()) << at;
    EXPECT_FALSE(KeyFromPem(good.substr(0, at), passphrase_).ok()) << at;
  }
}

TEST_F(KeyFileTest, RefusesOtherTypesOfKey) {
  for (const std::string& type : {std::string("RSA -pkeyopt rsa_keygen_bits:2048"), std::string("X25519"),
                                  std::string("EC -pkeyopt ec_paramgen_curve:P-256"), std::string("ED448")}) {
    const CommandResult pem = RunCommand("openssl genpkey -algorithm " + type + " 2>/dev/null");
    ASSERT_THAT(pem.output, HasSubstr("BEGIN PRIVATE KEY")) << type;
    const absl::Status status = KeyFromPem(pem.output, std::nullopt).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(status.message(), HasSubstr("need Ed25519")) << type;
  }
}

TEST_F(KeyFileTest, FindsTheKeyAmongOtherText) {
  const std::string pem = absl::StrCat("my key, keep it safe\n", PublicKeyToPem(key_.public_key()), "\n",
                                       KeyToPem(key_, std::nullopt).value(), "\nend\n");
  EXPECT_EQ(KeyFromPem(pem, std::nullopt)->public_key(), key_.public_key());
}

TEST_F(KeyFileTest, RefusesMissingHugeAndIrregularFiles) {
  EXPECT_TRUE(absl::IsNotFound(ReadKeyFile(Path("nothing"), std::nullopt).status()));
  EXPECT_FALSE(ReadKeyFile(folder_, std::nullopt).ok());
  ASSERT_EQ(mkfifo(Path("pipe").c_str(), 0600), 0);
  EXPECT_THAT(ReadKeyFile(Path("pipe"), std::nullopt).status().message(), HasSubstr("not a regular file"));
  const std::string huge = Write("huge", std::string(64 * 1024 + 1, ' '));
  EXPECT_THAT(ReadKeyFile(huge, std::nullopt).status().message(), HasSubstr("64 KiB"));
  EXPECT_FALSE(KeyFromPem(std::string(64 * 1024 + 1, ' '), std::nullopt).ok());
}

TEST_F(KeyFileTest, SaysWhyItCannotWrite) {
  const absl::Status status = WriteKeyFile(Path("no/such/folder/key"), key_, std::nullopt);
  EXPECT_TRUE(absl::IsNotFound(status)) << status;
  EXPECT_EQ(ReasonOf(status), reason::kStorage);
  EXPECT_THAT(status.message(), HasSubstr("No such file or directory"));
}

TEST_F(KeyFileTest, MakesAKeyOnceEvenInARace) {
  std::vector<PublicKey> keys(8);
  {
    std::vector<std::thread> threads;
    for (PublicKey& key : keys) {
      threads.emplace_back([this, &key] {
        SystemRandom random;
        const absl::StatusOr<SigningKey> made = ReadOrCreateKeyFile(Path("key"), random);
        ASSERT_TRUE(made.ok()) << made.status();
        key = made->public_key();
      });
    }
    for (std::thread& thread : threads) {
      thread.join();
    }
  }
  for (const PublicKey& key : keys) {
    EXPECT_EQ(key, keys[0]);
  }
  EXPECT_EQ(ReadKeyFile(Path("key"), std::nullopt)->public_key(), keys[0]);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1);
}

TEST_F(KeyFileTest, DoesNotReplaceAKeyThatItCannotRead) {
  const std::string path = Write("key", "not a key");
  EXPECT_FALSE(ReadOrCreateKeyFile(path, random_).ok());
  EXPECT_EQ(Read(path), "not a key");
}

}  // namespace
}  // namespace dotagent::crypto
