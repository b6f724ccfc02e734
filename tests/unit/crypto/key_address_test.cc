#include "common/crypto/key_address.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <variant>

#include "common/base/status.h"

namespace dotagent::crypto {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(KeyAddressTest, APathIsAPath) {
  for (const char* path : {"alice.pem", "/etc/keys/alice.pem", "./pkcs11:x", "a=b?c;d", "pkcs11", "C:tpm2:x"}) {
    const auto parsed = ParseKeyAddress(path);
    ASSERT_TRUE(parsed.ok()) << path;
    ASSERT_TRUE(std::holds_alternative<FileKeyAddress>(*parsed)) << path;
    EXPECT_EQ(std::get<FileKeyAddress>(*parsed).path, path);
  }
}

TEST(KeyAddressTest, ReadsAPkcs11Uri) {
  const auto parsed = ParseKeyAddress(
      "pkcs11:token=The%20Software%20PKCS%2311;manufacturer=Snake%20Oil;model=1.0;serial=4711;slot-id=327;"
      "object=my%3Bkey;id=%69%00%ff;type=private?module-path=/usr/lib/p11.so&pin-source=file:/etc/token");
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  const auto& address = std::get<Pkcs11KeyAddress>(*parsed);
  EXPECT_EQ(address.token, "The Software PKCS#11");
  EXPECT_EQ(address.manufacturer, "Snake Oil");
  EXPECT_EQ(address.model, "1.0");
  EXPECT_EQ(address.serial, "4711");
  EXPECT_EQ(address.slot_id, 327u);
  EXPECT_EQ(address.object, "my;key");
  EXPECT_EQ(address.id, std::string("i\0\xff", 3));
  EXPECT_EQ(address.module_path, "/usr/lib/p11.so");
  EXPECT_EQ(address.pin_source, "/etc/token");
  EXPECT_TRUE(ParseKeyAddress("pkcs11:").ok());
  EXPECT_EQ(std::get<Pkcs11KeyAddress>(*ParseKeyAddress("pkcs11:?pin-source=file:///a")).pin_source, "/a");
}

TEST(KeyAddressTest, ReadsATpmAddress) {
  const auto parsed = ParseKeyAddress("tpm2:keys/alice%20a.tpm?tcti=swtpm:host%3Dlocalhost,port%3D2321&pin-source=/p");
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  const auto& address = std::get<TpmKeyAddress>(*parsed);
  EXPECT_EQ(address.path, "keys/alice a.tpm");
  EXPECT_EQ(address.tcti, "swtpm:host=localhost,port=2321");
  EXPECT_EQ(address.pin_source, "/p");
}

TEST(KeyAddressTest, RefusesWhatIsWrong) {
  struct Case {
    std::string text;
    const char* message;
  };
  for (const Case& one : std::vector<Case>{
           {"", "1 to 4096"},
           {std::string(4097, 'a'), "1 to 4096"},
           {std::string("a\0b", 3), "1 to 4096"},
           {"pkcs11:token", "NAME=VALUE"},
           {"pkcs11:=a", "NAME=VALUE"},
           {"pkcs11:token=a;", "NAME=VALUE"},
           {"pkcs11:token=a;token=b", "twice"},
           {"pkcs11:Token=a", "lower-case"},
           {"pkcs11:token=", "empty"},
           {"pkcs11:token=a%0", "two hexadecimal"},
           {"pkcs11:token=a%zz", "two hexadecimal"},
           {"pkcs11:token=a%00b", "zero byte"},
           {"pkcs11:token=a b", "must be written as %XX"},
           {"pkcs11:id=", "empty"},
           {"pkcs11:slot-id=-1", "no number"},
           {"pkcs11:slot-id=99999999999999999999", "no number"},
           {"pkcs11:type=cert", "type must be"},
           {"pkcs11:library-version=3", "library-version is not understood"},
           {"pkcs11:x-vendor=3", "x-vendor is not understood"},
           {"pkcs11:token=a?module-name=softhsm", "module-name is not understood"},
           {"pkcs11:token=a?module-path=lib.so", "absolute"},
           {"pkcs11:token=a?pin-source=pin", "absolute"},
           {"pkcs11:token=a?pin-source=https://a/b", "absolute"},
           {"pkcs11:token=a?pin-source=|/bin/sh", "absolute"},
           {"tpm2:", "empty"},
           {"tpm2:a?object=b", "object is not understood"},
       }) {
    const absl::Status status = ParseKeyAddress(one.text).status();
    EXPECT_EQ(ReasonOf(status), reason::kBadKey) << one.text;
    EXPECT_THAT(std::string(status.message()), HasSubstr(one.message)) << one.text;
  }
}

TEST(KeyAddressTest, APinInAnAddressIsRefusedAndNotRepeated) {
  const absl::Status status = ParseKeyAddress("pkcs11:token=a?pin-value=987654").status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("pin-source"));
  EXPECT_THAT(std::string(status.message()), Not(HasSubstr("987654")));
}

}  // namespace
}  // namespace dotagent::crypto
