// The same tests over every kind of key store, then what only one kind has.
#include "common/crypto/key_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/crypto/key_file.h"
#include "common/crypto/key_store_error.h"
#include "common/crypto/tpm_key_file.h"
#include "hardware.h"

namespace dotagent::crypto {
namespace {

using testing::HasSubstr;

std::optional<SecretBytes> Secret(const std::string& text) { return SecretBytes(absl::string_view(text)); }

// One kind of store, with room for keys of any name.
class Place {
 public:
  virtual ~Place() = default;
  virtual std::string Address(const std::string& name) const = 0;
  virtual bool KeysCanLeave() const { return true; }
};

class FilePlace : public Place {
 public:
  std::string Address(const std::string& name) const override { return folder_.Path(name); }

 private:
  TemporaryFolder folder_;
};

class TokenPlace : public Place {
 public:
  TokenPlace() { hsm_.AddToken("agents"); }
  std::string Address(const std::string& name) const override {
    return absl::StrCat("pkcs11:token=agents;object=", name, "?module-path=", kSoftHsmModule);
  }
  bool KeysCanLeave() const override { return false; }

 private:
  SoftHsm hsm_;
};

class TpmPlace : public Place {
 public:
  std::string Address(const std::string& name) const override {
    return absl::StrCat("tpm2:", folder_.Path(name), "?tcti=", absl::StrReplaceAll(tpm_.tcti(), {{"=", "%3D"}}));
  }

 private:
  TemporaryFolder folder_;
  SoftTpm tpm_;
};

struct Kind {
  std::string name;
  std::function<std::unique_ptr<Place>()> make;
};

class AnyKeyStoreTest : public testing::TestWithParam<Kind> {
 protected:
  std::unique_ptr<KeyStore> Store(const std::string& name, const std::string& secret = "1234") const {
    auto store = OpenKeyStore(place_->Address(name), Secret(secret));
    EXPECT_TRUE(store.ok()) << store.status();
    return store.ok() ? *std::move(store) : nullptr;
  }

  const std::unique_ptr<Place> place_ = GetParam().make();
  SystemRandom random_;
};

TEST_P(AnyKeyStoreTest, AKeyThatIsMadeSignsNowAndWhenItIsOpenedAgain) {
  const auto made = Store("alice")->Generate({}, random_);
  ASSERT_TRUE(made.ok()) << made.status();
  const auto opened = Store("alice")->Open();
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ(opened->signer->public_key(), made->signer->public_key());
  for (const StoredKey* key : {&*made, &*opened}) {
    for (const std::string& message : {std::string(), std::string("hello"), std::string(100'000, 'x')}) {
      const auto signature = key->signer->Sign(message);
      ASSERT_TRUE(signature.ok()) << signature.status();
      EXPECT_TRUE(Verify(made->signer->public_key(), message, *signature).ok());
    }
    EXPECT_EQ(key->secret != nullptr, place_->KeysCanLeave());
    if (key->secret != nullptr) {
      EXPECT_EQ(key->secret->public_key(), key->signer->public_key());
    }
  }
}

TEST_P(AnyKeyStoreTest, AKeyThatIsPutThereIsThatKey) {
  const SigningKey key = SigningKey::Generate(random_);
  ASSERT_TRUE(Store("bob")->Import(key, {}).ok());
  const auto opened = Store("bob")->Open();
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ(opened->signer->public_key(), key.public_key());
  EXPECT_EQ(opened->signer->Sign("message").value(), key.Sign("message").value());  // Ed25519 is deterministic
}

TEST_P(AnyKeyStoreTest, KeysOfTwoNamesAreTwo) {
  const auto one = Store("one")->Generate({}, random_);
  const auto two = Store("two")->Generate({}, random_);
  ASSERT_TRUE(one.ok() && two.ok()) << one.status() << two.status();
  EXPECT_NE(one->signer->public_key(), two->signer->public_key());
  EXPECT_EQ(Store("one")->Open()->signer->public_key(), one->signer->public_key());
}

TEST_P(AnyKeyStoreTest, AKeyIsNeverOverwritten) {
  const auto made = Store("carol")->Generate({}, random_);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_TRUE(absl::IsAlreadyExists(Store("carol")->Generate({}, random_).status()));
  EXPECT_TRUE(absl::IsAlreadyExists(Store("carol")->Import(SigningKey::Generate(random_), {}).status()));
  EXPECT_EQ(Store("carol")->Open()->signer->public_key(), made->signer->public_key());
}

TEST_P(AnyKeyStoreTest, AKeyThatIsNotThereIsNotFound) {
  const absl::Status status = Store("nobody")->Open().status();
  EXPECT_TRUE(absl::IsNotFound(status)) << status;
  EXPECT_FALSE(ReasonOf(status).empty());
}

TEST_P(AnyKeyStoreTest, AWrongOrMissingSecretIsSaidToBeOne) {
  ASSERT_TRUE(Store("dora")->Generate({}, random_).ok());
  const absl::Status wrong = Store("dora", "4321")->Open().status();
  EXPECT_TRUE(absl::IsFailedPrecondition(wrong)) << wrong;
  EXPECT_EQ(ReasonOf(wrong), reason::kBadKey);
  EXPECT_THAT(wrong.message(), HasSubstr("wrong"));
  auto without = OpenKeyStore(place_->Address("dora"), std::nullopt);
  ASSERT_TRUE(without.ok());
  const absl::Status missing = (*without)->Open().status();
  EXPECT_TRUE(absl::IsFailedPrecondition(missing)) << missing;
  EXPECT_EQ(ReasonOf(missing), reason::kBadKey);
  EXPECT_TRUE(Store("dora")->Open().ok());  // and nothing is broken after
}

TEST_P(AnyKeyStoreTest, ASignerOutlivesItsStoreAndServesManyThreads) {
  std::shared_ptr<const Signer> signer = Store("erin")->Generate({}, random_)->signer;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&signer, i] {
      for (int k = 0; k < 20; ++k) {
        const std::string message = absl::StrCat(i, " ", k);
        const auto signature = signer->Sign(message);
        ASSERT_TRUE(signature.ok()) << signature.status();
        EXPECT_TRUE(Verify(signer->public_key(), message, *signature).ok());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

INSTANTIATE_TEST_SUITE_P(, AnyKeyStoreTest,
                         testing::Values(Kind{"File", [] { return std::make_unique<FilePlace>(); }},
                                         Kind{"Pkcs11", [] { return std::make_unique<TokenPlace>(); }},
                                         Kind{"Tpm", [] { return std::make_unique<TpmPlace>(); }}),
                         [](const auto& kind) { return kind.param.name; });

std::string TokenAddress(const std::string& rest) {
  return absl::StrCat("pkcs11:", rest, "?module-path=", kSoftHsmModule);
}

absl::StatusOr<StoredKey> OpenKey(const std::string& address, const std::string& secret = "1234") {
  ASSIGN_OR_RETURN(const auto store, OpenKeyStore(address, Secret(secret)));
  return store->Open();
}

absl::StatusOr<StoredKey> MakeKey(const std::string& address, const KeyAttributes& attributes = {}) {
  SystemRandom random;
  ASSIGN_OR_RETURN(const auto store, OpenKeyStore(address, Secret("1234")));
  return store->Generate(attributes, random);
}

TEST(FileKeyStoreTest, KeepsAttributes) {
  const TemporaryFolder folder;
  const KeyAttributes attributes{.agent_id = std::string(64, 'a'), .name = "alice.agent"};
  ASSERT_TRUE(MakeKey(folder.Path("alice"), attributes).ok());
  EXPECT_EQ(OpenKey(folder.Path("alice"))->attributes, attributes);
}

TEST(Pkcs11KeyStoreTest, FindsATokenByWhatTheAddressSays) {
  SoftHsm hsm;
  hsm.AddToken("first");
  hsm.AddToken("second token");
  const auto made = MakeKey(TokenAddress("token=second%20token;object=alice;type=private"));
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_TRUE(OpenKey(TokenAddress("token=second%20token;model=SoftHSM%20v2;object=alice")).ok());
  const absl::Status none = OpenKey(TokenAddress("token=third;object=alice")).status();
  EXPECT_TRUE(absl::IsNotFound(none));
  EXPECT_THAT(none.message(), testing::AllOf(HasSubstr("\"first\""), HasSubstr("\"second token\"")));
  const absl::Status several = OpenKey(TokenAddress("object=alice")).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(several)) << several;
  EXPECT_THAT(several.message(), HasSubstr("2 tokens"));
}

TEST(Pkcs11KeyStoreTest, AnAddressMustFitOneKey) {
  SoftHsm hsm;
  hsm.AddToken("agents");
  ASSERT_TRUE(MakeKey(TokenAddress("token=agents;object=alice;id=%01")).ok());
  ASSERT_TRUE(MakeKey(TokenAddress("token=agents;object=alice;id=%02")).ok());
  const absl::Status several = OpenKey(TokenAddress("token=agents;object=alice")).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(several)) << several;
  EXPECT_TRUE(OpenKey(TokenAddress("token=agents;id=%02")).ok());
  EXPECT_EQ(ReasonOf(MakeKey(TokenAddress("token=agents")).status()), reason::kBadKey);
  EXPECT_EQ(ReasonOf(MakeKey(TokenAddress("token=agents;object=x"), {.name = "x.agent"}).status()), reason::kBadKey);
}

TEST(Pkcs11KeyStoreTest, ThePinMayBeInAFile) {
  SoftHsm hsm;
  hsm.AddToken("agents");
  const TemporaryFolder folder;
  std::ofstream(folder.Path("pin")) << "1234\n";
  chmod(folder.Path("pin").c_str(), 0440);
  ASSERT_TRUE(MakeKey(TokenAddress("token=agents;object=alice")).ok());
  const std::string address =
      absl::StrCat(TokenAddress("token=agents;object=alice"), "&pin-source=", folder.Path("pin"));
  const auto store = OpenKeyStore(address, std::nullopt);
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_TRUE((*store)->Open().ok());
  chmod(folder.Path("pin").c_str(), 0444);
  EXPECT_TRUE(absl::IsPermissionDenied(OpenKeyStore(address, std::nullopt).status()));
}

TEST(Pkcs11KeyStoreTest, ATokenThatIsRemovedIsAnErrorAndNoCrash) {
  SoftHsm hsm;
  hsm.AddToken("agents");
  const auto key = MakeKey(TokenAddress("token=agents;object=alice"));
  ASSERT_TRUE(key.ok()) << key.status();
  hsm.RemoveTokens();
  const auto signature = key->signer->Sign("message");
  ASSERT_FALSE(signature.ok());
  EXPECT_EQ(ReasonOf(signature.status()), reason::kKeyStore) << signature.status();
  EXPECT_EQ(ReasonOf(OpenKey(TokenAddress("token=agents;object=alice")).status()), reason::kKeyStore);
}

TEST(Pkcs11KeyStoreTest, AModuleThatIsNoneIsSaidToBeNone) {
  const absl::Status missing = OpenKeyStore("pkcs11:object=a?module-path=/no/module.so", Secret("1")).status();
  EXPECT_TRUE(absl::IsUnavailable(missing)) << missing;
  EXPECT_EQ(ReasonOf(missing), reason::kKeyStore);
  EXPECT_THAT(missing.message(), HasSubstr("/no/module.so"));
  const absl::Status other =
      OpenKeyStore("pkcs11:object=a?module-path=/usr/lib/x86_64-linux-gnu/libsodium.so.23", Secret("1")).status();
  EXPECT_THAT(other.message(), HasSubstr("no PKCS#11 module"));
}

class TpmKeyStoreTest : public testing::Test {
 protected:
  std::string Address(const std::string& name, const SoftTpm& tpm) const {
    return absl::StrCat("tpm2:", folder_.Path(name), "?tcti=", absl::StrReplaceAll(tpm.tcti(), {{"=", "%3D"}}));
  }
  std::string Read(const std::string& name) const {
    std::ifstream file(folder_.Path(name));
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void Write(const std::string& name, const std::string& content) const {
    std::ofstream(folder_.Path(name)) << content;
    chmod(folder_.Path(name).c_str(), 0600);
  }
  const TemporaryFolder folder_;
};

TEST_F(TpmKeyStoreTest, AnotherTpmDoesNotOpenIt) {
  const SoftTpm mine;
  const SoftTpm other;
  ASSERT_TRUE(MakeKey(Address("key", mine)).ok());
  ASSERT_TRUE(OpenKey(Address("key", mine)).ok());
  const absl::Status status = OpenKey(Address("key", other)).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(status.message(), HasSubstr("another TPM"));
}

TEST_F(TpmKeyStoreTest, TheFileSaysNothingOfTheKey) {
  const SoftTpm tpm;
  SystemRandom random;
  const SigningKey key = SigningKey::Generate(random);
  ASSERT_TRUE(OpenKeyStore(Address("key", tpm), std::nullopt).value()->Import(key, {}).ok());
  const auto file = TpmKeyFromPem(Read("key"));
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_TRUE(file->empty_auth);
  EXPECT_EQ(file->private_part.find(std::string(key.seed().view())), std::string::npos);
  EXPECT_EQ(OpenKeyStore(Address("key", tpm), std::nullopt).value()->Open()->signer->public_key(), key.public_key());
}

TEST_F(TpmKeyStoreTest, WrongPasswordsLockTheTpm) {
  const SoftTpm tpm;
  ASSERT_TRUE(MakeKey(Address("key", tpm)).ok());
  absl::Status status;
  for (int i = 0; i < 40 && status.message().find("locked itself") == std::string::npos; ++i) {
    status = OpenKey(Address("key", tpm), "wrong").status();
    ASSERT_TRUE(absl::IsFailedPrecondition(status)) << status;
  }
  EXPECT_THAT(status.message(), HasSubstr("locked itself"));
  EXPECT_EQ(ReasonOf(MakeKey(Address("other", tpm)).status()), "");  // keys without a guess in them still work
  EXPECT_EQ(ReasonOf(OpenKey(Address("key", tpm), std::string(33, 'x')).status()), reason::kBadKey);
}

TEST_F(TpmKeyStoreTest, ATpmThatIsGoneIsAnError) {
  SoftTpm tpm;
  ASSERT_TRUE(MakeKey(Address("key", tpm)).ok());
  tpm.Kill();
  const absl::Status status = OpenKey(Address("key", tpm)).status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_EQ(ReasonOf(status), reason::kKeyStore);
}

TEST_F(TpmKeyStoreTest, DamagedFilesAreRefused) {
  const SoftTpm tpm;
  ASSERT_TRUE(MakeKey(Address("key", tpm)).ok());
  const TpmKeyFile good = TpmKeyFromPem(Read("key")).value();
  const auto open = [&](const TpmKeyFile& file) {
    Write("bad", TpmKeyToPem(file));
    return OpenKey(Address("bad", tpm)).status();
  };
  ASSERT_TRUE(open(good).ok());
  TpmKeyFile bad = good;
  bad.private_part.back() = static_cast<char>(bad.private_part.back() ^ 1);
  EXPECT_EQ(ReasonOf(open(bad)), reason::kBadKey);
  bad = good;
  bad.private_part.pop_back();
  EXPECT_EQ(ReasonOf(open(bad)), reason::kBadKey);
  bad = good;
  bad.public_part += "x";
  EXPECT_EQ(ReasonOf(open(bad)), reason::kBadKey);
  bad = good;
  bad.public_part.assign("\xff\xff");
  EXPECT_EQ(ReasonOf(open(bad)), reason::kBadKey);
  bad = good;
  bad.parent = 0x81001234;  // a persistent key that is not there
  EXPECT_EQ(ReasonOf(open(bad)), reason::kKeyStore);
  Write("text", "hello");
  EXPECT_EQ(ReasonOf(OpenKey(Address("text", tpm)).status()), reason::kBadKey);
}

}  // namespace
}  // namespace dotagent::crypto
