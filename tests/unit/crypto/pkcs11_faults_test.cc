// Modules that fail half-way, or answer nonsense: a clear error each, no crash, and the next try works.
#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <p11-kit/pkcs11.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/crypto/key_store.h"
#include "common/crypto/key_store_error.h"
#include "faulty/faulty_pkcs11.h"

namespace dotagent::crypto {
namespace {

using testing::HasSubstr;

class Pkcs11FaultsTest : public testing::Test {
 protected:
  Pkcs11FaultsTest() {
    module_ = dlopen(FAULTY_PKCS11, RTLD_NOW);
    EXPECT_NE(module_, nullptr);
    Plan({});
  }
  ~Pkcs11FaultsTest() override {
    Plan({});
    EXPECT_EQ(Counts().open_sessions, 0);
    EXPECT_EQ(Counts().initialized, 0);
    ForgetKeys();
    dlclose(module_);
  }
  void Plan(const FaultyPlan& plan) { reinterpret_cast<FaultySetPlan>(dlsym(module_, "SetFaultyPlan"))(plan); }
  FaultyCounts Counts() const {
    FaultyCounts counts;
    reinterpret_cast<FaultyGetCounts>(dlsym(module_, "GetFaultyCounts"))(&counts);
    return counts;
  }
  void ForgetKeys() const { reinterpret_cast<FaultyForgetKeys>(dlsym(module_, "ForgetFaultyKeys"))(); }

  static absl::StatusOr<std::unique_ptr<KeyStore>> Store(const std::string& pin = "1234",
                                                         const std::string& object = "key") {
    return OpenKeyStore(absl::StrCat("pkcs11:token=faulty;object=", object, "?module-path=", FAULTY_PKCS11),
                        SecretBytes(absl::string_view(pin)));
  }
  static absl::StatusOr<StoredKey> Open() {
    ASSIGN_OR_RETURN(const auto store, Store());
    return store->Open();
  }
  // Opens a key and signs with it, twice.
  static absl::Status Use() {
    ASSIGN_OR_RETURN(const StoredKey key, Open());
    RETURN_IF_ERROR(key.signer->Sign("one").status());
    return key.signer->Sign("two").status();
  }

  void* module_ = nullptr;
};

TEST_F(Pkcs11FaultsTest, WithoutFaultsItWorks) {
  const absl::Status status = Use();
  EXPECT_TRUE(status.ok()) << status;
}

TEST_F(Pkcs11FaultsTest, EachCallMayFailAtAnyTime) {
  const std::vector<std::string> functions = {
      "C_Initialize",  "C_GetSlotList",      "C_GetTokenInfo",      "C_OpenSession", "C_Login", "C_FindObjectsInit",
      "C_FindObjects", "C_FindObjectsFinal", "C_GetAttributeValue", "C_SignInit",    "C_Sign"};
  for (const std::string& function : functions) {
    int failures = 0;
    for (int calls_before = 0; calls_before < 40; ++calls_before) {
      for (const CK_RV answer : {CKR_DEVICE_ERROR, CKR_FUNCTION_FAILED, CK_RV{0x80001234}}) {
        Plan({.function = function.c_str(), .answer = answer, .calls_before = calls_before});
        const absl::Status status = Use();
        if (status.ok()) continue;
        ++failures;
        EXPECT_TRUE(absl::IsUnavailable(status)) << status;
        EXPECT_EQ(ReasonOf(status), reason::kKeyStore) << status;
        EXPECT_THAT(status.message(), HasSubstr(function));
      }
    }
    EXPECT_GT(failures, 0) << function;
  }
  Plan({});
  EXPECT_TRUE(Use().ok());
}

TEST_F(Pkcs11FaultsTest, ASignerGoesOnAfterAFault) {
  const auto key = Open();
  ASSERT_TRUE(key.ok()) << key.status();
  for (const char* function : {"C_SignInit", "C_Sign"}) {
    Plan({.function = function, .answer = CKR_DEVICE_ERROR, .calls_before = 0});
    EXPECT_EQ(ReasonOf(key->signer->Sign("message").status()), reason::kKeyStore);
    Plan({});
    EXPECT_TRUE(key->signer->Sign("message").ok());
  }
}

TEST_F(Pkcs11FaultsTest, ALostSessionIsOpenedAnew) {
  Plan({.lie = FaultyLie::kSessionsDie});
  const auto key = Open();
  ASSERT_TRUE(key.ok()) << key.status();
  for (int i = 0; i < 10; ++i) {
    const auto signature = key->signer->Sign(absl::StrCat(i));
    ASSERT_TRUE(signature.ok()) << signature.status();
  }
}

TEST_F(Pkcs11FaultsTest, ATokenThatIsGoneSaysSo) {
  const auto key = Open();
  ASSERT_TRUE(key.ok());
  Plan({.function = "C_SignInit", .answer = CKR_DEVICE_REMOVED, .calls_before = 0});
  EXPECT_THAT(key->signer->Sign("message").status().message(), HasSubstr("is the token still there?"));
}

TEST_F(Pkcs11FaultsTest, PinsThatAreWrongOrLocked) {
  const auto store = Store("4321");
  ASSERT_TRUE(store.ok());
  EXPECT_THAT((*store)->Open().status().message(), HasSubstr("is wrong"));
  Plan({.function = "C_Login", .answer = CKR_PIN_LOCKED, .calls_before = 0});
  const absl::Status locked = Open().status();
  EXPECT_EQ(ReasonOf(locked), reason::kBadKey);
  EXPECT_THAT(locked.message(), HasSubstr("locked"));
}

TEST_F(Pkcs11FaultsTest, NonsenseIsRefused) {
  struct Case {
    FaultyLie lie;
    absl::string_view why;
    const char* message;
  };
  const std::vector<Case> cases = {
      {FaultyLie::kNoFunctions, reason::kKeyStore, "no list of functions"},
      {FaultyLie::kMissingFunction, reason::kKeyStore, "lacks functions"},
      {FaultyLie::kOldVersion, reason::kKeyStore, "another version"},
      {FaultyLie::kBillionSlots, reason::kKeyStore, "1000000000 tokens"},
      {FaultyLie::kMoreSlots, reason::kKeyStore, "more slots"},
      {FaultyLie::kEndlessObjects, reason::kKeyStore, "more objects"},
      {FaultyLie::kMoreObjects, reason::kKeyStore, "more objects"},
      {FaultyLie::kHugeAttribute, reason::kKeyStore, "over 4 KiB"},
      {FaultyLie::kGrowingAttribute, reason::kKeyStore, "two lengths"},
      {FaultyLie::kShortSignature, reason::kKeyStore, "63 bytes"},
      {FaultyLie::kLongSignature, reason::kKeyStore, "1000 bytes"},
      {FaultyLie::kWrongSignature, reason::kKeyStore, "does not verify"},
      {FaultyLie::kOtherKeyType, reason::kBadKey, "need Ed25519"},
      {FaultyLie::kOtherPublicKey, reason::kKeyStore, "does not verify"},
      {FaultyLie::kSmallOrderKey, reason::kBadKey, "public key"},
  };
  for (const Case& one : cases) {
    Plan({.lie = one.lie});
    const absl::Status status = Use();
    EXPECT_EQ(ReasonOf(status), one.why) << one.message << ": " << status;
    EXPECT_THAT(status.message(), HasSubstr(one.message));
  }
}

TEST_F(Pkcs11FaultsTest, TakesBothFormsOfAPublicPoint) {
  Plan({.lie = FaultyLie::kRawPoint});
  const absl::Status status = Use();
  EXPECT_TRUE(status.ok()) << status;
}

// Keys that are made in the token: from nothing, or of a key that there is.
class Pkcs11MakingTest : public Pkcs11FaultsTest, public testing::WithParamInterface<bool> {
 protected:
  static absl::StatusOr<StoredKey> Make() {
    ASSIGN_OR_RETURN(const auto store, Store("1234", "new"));
    SeededRandom random(7);
    if (GetParam()) return store->Import(SigningKey::Generate(random), {});
    return store->Generate({}, random);
  }
  static absl::Status OpenNew() {
    ASSIGN_OR_RETURN(const auto store, Store("1234", "new"));
    ASSIGN_OR_RETURN(const StoredKey key, store->Open());
    return key.signer->Sign("message").status();
  }
};

INSTANTIATE_TEST_SUITE_P(Ways, Pkcs11MakingTest, testing::Bool(),
                         [](const auto& way) { return way.param ? "Import" : "Generate"; });

TEST_P(Pkcs11MakingTest, AKeyIsMadeOnceAndNeverOverwritten) {
  const auto made = Make();
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_TRUE(made->signer->Sign("message").ok());
  EXPECT_TRUE(OpenNew().ok());
  EXPECT_TRUE(absl::IsAlreadyExists(Make().status()));
  EXPECT_EQ(Counts().private_keys, 1);
  EXPECT_EQ(Counts().public_keys, 1);
}

TEST_P(Pkcs11MakingTest, WhatFailsAnywhereLeavesAWholeKeyOrNone) {
  const std::vector<std::string> functions = {"C_Initialize",
                                              "C_GetSlotList",
                                              "C_GetTokenInfo",
                                              "C_OpenSession",
                                              "C_Login",
                                              "C_FindObjects",
                                              "C_FindObjectsInit",
                                              "C_FindObjectsFinal",
                                              "C_GenerateKeyPair",
                                              "C_CreateObject",
                                              "C_SignInit",
                                              "C_GetAttributeValue",
                                              "C_Sign"};
  int none = 0;
  int whole = 0;
  for (const std::string& function : functions) {
    for (int calls_before = 0; calls_before < 20; ++calls_before) {
      for (const CK_RV answer : {CKR_DEVICE_ERROR, CKR_DEVICE_MEMORY, CKR_ATTRIBUTE_VALUE_INVALID}) {
        Plan({.function = function.c_str(), .answer = answer, .calls_before = calls_before});
        const absl::Status failed = Make().status();
        Plan({});
        EXPECT_EQ(Counts().private_keys, Counts().public_keys) << function << ": " << failed;
        if (failed.ok()) {
          EXPECT_EQ(Counts().private_keys, 1);
        } else {
          EXPECT_EQ(ReasonOf(failed), reason::kKeyStore) << failed;
          EXPECT_THAT(failed.message(), HasSubstr(function));
          ++(Counts().private_keys == 0 ? none : whole);
        }
        if (Counts().private_keys == 0) {
          EXPECT_TRUE(Make().ok()) << "the next attempt after " << failed;
        } else if (!failed.ok()) {
          EXPECT_THAT(failed.message(), HasSubstr("the token has the new key \"new\", which could not be opened"));
        }
        EXPECT_TRUE(OpenNew().ok()) << failed;
        ForgetKeys();
      }
    }
  }
  EXPECT_GT(none, 0);
  EXPECT_GT(whole, 0);
}

TEST_F(Pkcs11FaultsTest, HalfAKeyThatCannotBeTakenBackIsSaidToBeThere) {
  const auto store = Store("1234", "new");
  ASSERT_TRUE(store.ok());
  SeededRandom random(7);
  const SigningKey key = SigningKey::Generate(random);
  Plan({.lie = FaultyLie::kKeepsObjects, .function = "C_CreateObject", .answer = CKR_DEVICE_MEMORY, .calls_before = 1});
  const absl::Status failed = (*store)->Import(key, {}).status();
  EXPECT_EQ(ReasonOf(failed), reason::kKeyStore);
  EXPECT_THAT(failed.message(), HasSubstr("C_CreateObject: CKR_DEVICE_MEMORY; half a key \"new\" may be left"));
  EXPECT_EQ(Counts().private_keys, 1);
  EXPECT_EQ(Counts().public_keys, 0);
}

TEST_F(Pkcs11FaultsTest, HalfAPairIsTakenBack) {
  const auto store = Store("1234", "new");
  ASSERT_TRUE(store.ok());
  SeededRandom random(7);
  Plan({.lie = FaultyLie::kHalfAPair});
  const absl::Status failed = (*store)->Generate({}, random).status();
  EXPECT_EQ(ReasonOf(failed), reason::kKeyStore);
  EXPECT_THAT(failed.message(), HasSubstr("C_GenerateKeyPair: CKR_DEVICE_MEMORY"));
  EXPECT_EQ(Counts().private_keys, 0);
  EXPECT_EQ(Counts().public_keys, 0);
  Plan({});
  EXPECT_TRUE((*store)->Generate({}, random).ok());
}

TEST_F(Pkcs11FaultsTest, TwoUsersShareAModuleUntilBothAreGone) {
  auto first = Open();
  ASSERT_TRUE(first.ok());
  {
    const auto second = Open();
    ASSERT_TRUE(second.ok());
  }
  EXPECT_TRUE(first->signer->Sign("message").ok());
}

}  // namespace
}  // namespace dotagent::crypto
