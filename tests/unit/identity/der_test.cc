#include "common/identity/der.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/base/status.h"

namespace dotagent::identity {
namespace {

// The content of the one OCTET STRING in `hex`; "refused" if it is not that.
std::string Content(absl::string_view hex) {
  const std::string bytes = *HexDecode(hex);
  DerReader reader(bytes);
  const absl::string_view content = reader.Take(der::kOctetString);
  return reader.Finished() ? HexEncode(content) : "refused";
}

TEST(DerReaderTest, ReadsShortestLengthsOnly) {
  EXPECT_EQ(Content("0400"), "");
  EXPECT_EQ(Content("0403616263"), "616263");
  for (const size_t size : {0x7fU, 0x80U, 0xffU, 0x100U, 0xffffU}) {
    const std::string content(size, 'x');
    EXPECT_EQ(Content(HexEncode(DerElement(der::kOctetString, content))), HexEncode(content)) << size;
  }
  EXPECT_EQ(DerElement(0x04, std::string(0x80, 'x')).substr(0, 3), "\x04\x81\x80");
  EXPECT_EQ(HexEncode(DerElement(0x04, std::string(0x100, 'x')).substr(0, 4)), "04820100");
  for (const char* hex : {"", "04", "0401", "040261", "048161", "048203", "04810161", "04817f61", "0482000161",
                          "0480616200", "048400000001", "04ff", "0501", "0300", "040161ff"}) {
    EXPECT_EQ(Content(hex), "refused") << hex;
  }
  EXPECT_EQ(Content("04"
                    "8180" +
                    std::string(0x7f * 2, '0')),
            "refused");
}

TEST(DerReaderTest, AFailureSticks) {
  DerReader reader("\x04\x01g\x04\x01h");
  EXPECT_EQ(reader.Take(der::kOctetString), "g");
  EXPECT_FALSE(reader.Finished());
  EXPECT_TRUE(reader.More());
  EXPECT_EQ(reader.Take(der::kInteger), "");
  EXPECT_FALSE(reader.NextIs(der::kOctetString));
  EXPECT_EQ(reader.Take(der::kOctetString), "");
  EXPECT_FALSE(reader.More());
  EXPECT_FALSE(reader.Finished());
  EXPECT_FALSE(reader.Enter(der::kSequence).Finished());
}

TEST(DerReaderTest, EntersExpectsAndSkips) {
  const std::string bytes = absl::StrCat(DerElement(der::kSequence, "\x04\x01g"), "\x01\x01\xff", "\x86\x01u");
  DerReader reader(bytes);
  DerReader inner = reader.Enter(der::kSequence);
  EXPECT_EQ(inner.TakeWhole(der::kOctetString), "\x04\x01g");
  EXPECT_TRUE(inner.Finished());
  reader.Expect("\x01\x01\xff");
  reader.Skip();
  EXPECT_TRUE(reader.Finished());
  reader.Skip();
  EXPECT_FALSE(reader.Finished());
  DerReader unexpected("\x01\x01\x01");
  unexpected.Expect("\x01\x01\xff");
  EXPECT_FALSE(unexpected.More());
  DerReader long_tag("\x1f\x01g");
  long_tag.Skip();
  EXPECT_FALSE(long_tag.More());
}

TEST(DerTest, ReadsDatesAsRfc5280WritesThem) {
  const auto read = [](uint8_t tag, absl::string_view text) {
    const std::string bytes = DerElement(tag, text);
    DerReader reader(bytes);
    const absl::StatusOr<absl::Time> time = TakeTime(reader);
    if (!time.ok()) {
      EXPECT_EQ(ReasonOf(time.status()), reason::kBadStatement);
      return std::string("refused");
    }
    return absl::FormatTime("%Y-%m-%d %H:%M:%S", *time, absl::UTCTimeZone());
  };
  const std::vector<std::pair<const char*, const char*>> utc = {{"261123154228Z", "2026-11-23 15:42:28"},
                                                                {"491231235959Z", "2049-12-31 23:59:59"},
                                                                {"500101000000Z", "1950-01-01 00:00:00"},
                                                                {"240229000000Z", "2024-02-29 00:00:00"},
                                                                {"230229000000Z", "refused"},
                                                                {"2611231542Z", "refused"},
                                                                {"261123154228+0000", "refused"},
                                                                {"261123154228z", "refused"},
                                                                {"261323154228Z", "refused"},
                                                                {"261100154228Z", "refused"},
                                                                {"261123244228Z", "refused"},
                                                                {"261123156028Z", "refused"},
                                                                {"261123154260Z", "refused"},
                                                                {"2611231542 8Z", "refused"},
                                                                {"-61123154228Z", "refused"},
                                                                {"", "refused"},
                                                                {"20261123154228Z", "refused"},
                                                                {"261123154228.0Z", "refused"}};
  for (const auto& [text, expected] : utc) EXPECT_EQ(read(der::kUtcTime, text), expected) << text;
  const std::vector<std::pair<const char*, const char*>> generalized = {{"20500101000000Z", "2050-01-01 00:00:00"},
                                                                        {"99991231235959Z", "9999-12-31 23:59:59"},
                                                                        {"20491231235959Z", "refused"},
                                                                        {"500101000000Z", "refused"},
                                                                        {"2050010100000xZ", "refused"},
                                                                        {"00000101000000Z", "refused"}};
  for (const auto& [text, expected] : generalized) EXPECT_EQ(read(der::kGeneralizedTime, text), expected) << text;
  EXPECT_EQ(read(der::kOctetString, "261123154228Z"), "refused");
}

TEST(DerTest, ReadsWholeBytesAndEd25519KeysOnly) {
  EXPECT_EQ(WholeBytes(absl::string_view("\0ab", 3)), "ab");
  EXPECT_EQ(WholeBytes("\1ab"), "");
  EXPECT_EQ(WholeBytes(""), "");
  const std::string key(32, 'k');
  const std::string bits = DerElement(der::kBitString, std::string(1, '\0') + key);
  EXPECT_EQ(Ed25519KeyIn(DerElement(der::kSequence, absl::StrCat(der::kEd25519Algorithm, bits))), key);
  // X25519, Ed448, and an algorithm with NULL parameters.
  EXPECT_EQ(Ed25519KeyIn(DerElement(der::kSequence, absl::StrCat("\x30\x05\x06\x03\x2b\x65\x6e", bits))), "");
  EXPECT_EQ(Ed25519KeyIn(DerElement(der::kSequence, absl::StrCat("\x30\x05\x06\x03\x2b\x65\x71", bits))), "");
  EXPECT_EQ(Ed25519KeyIn(DerElement(der::kSequence,
                                    absl::StrCat(absl::string_view("\x30\x07\x06\x03\x2b\x65\x70\x05\x00", 9), bits))),
            "");
  EXPECT_EQ(Ed25519KeyIn(""), "");
}

}  // namespace
}  // namespace dotagent::identity
