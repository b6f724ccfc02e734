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
    FaultyCounts counts;
    reinterpret_cast<FaultyGetCounts>(dlsym(module_, "GetFaultyCounts"))(&counts);
    EXPECT_EQ(counts.open_sessions, 0);
    EXPECT_EQ(counts.initialized, 0);
    dlclose(module_);
  }
  void Plan(const FaultyPlan& plan) { reinterpret_cast<FaultySetPlan>(dlsym(module_, "SetFaultyPlan"))(plan); }

  static absl::StatusOr<std::unique_ptr<KeyStore>> Store(const std::string& pin = "1234") {
    return OpenKeyStore(absl::StrCat("pkcs11:token=faulty;object=key?module-path=", FAULTY_PKCS11),
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
