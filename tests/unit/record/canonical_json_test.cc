#include "common/record/canonical_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <limits>

#include "common/base/random.h"
#include "common/record/utf8.h"

namespace dotagent::record {
namespace {

using testing::HasSubstr;

std::string Canonical(absl::string_view text) {
  const auto value = ParseStrictJson(text);
  if (!value.ok()) return value.status().ToString();
  const auto canonical = CanonicalJson(*value);
  return canonical.ok() ? *canonical : canonical.status().ToString();
}

// RFC 8785 §3.2.2 to §3.2.4. The expected text is what the bytes in §3.2.4 spell.
TEST(Rfc8785Test, TheExample) {
  EXPECT_EQ(Canonical(R"({
    "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
    "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
    "literals": [null, true, false]
  })"),
            "{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],"
            "\"string\":\"\xe2\x82\xac$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}");
}

// RFC 8785 §3.2.3.
TEST(Rfc8785Test, MembersSortByUtf16CodeUnits) {
  EXPECT_EQ(Canonical(R"({
    "\u20ac": "Euro Sign",
    "\r": "Carriage Return",
    "\ufb33": "Hebrew Letter Dalet With Dagesh",
    "1": "One",
    "\ud83d\ude00": "Emoji: Grinning Face",
    "\u0080": "Control",
    "\u00f6": "Latin Small Letter O With Diaeresis"
  })"),
            "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\xc2\x80\":\"Control\","
            "\"\xc3\xb6\":\"Latin Small Letter O With Diaeresis\",\"\xe2\x82\xac\":\"Euro Sign\","
            "\"\xf0\x9f\x98\x80\":\"Emoji: Grinning Face\",\"\xef\xac\xb3\":\"Hebrew Letter Dalet With Dagesh\"}");
}

// RFC 8785 appendix B, all of it.
TEST(Rfc8785Test, Numbers) {
  const std::pair<uint64_t, const char*> cases[] = {
      {0x0000000000000000, "0"},
      {0x8000000000000000, "0"},
      {0x0000000000000001, "5e-324"},
      {0x8000000000000001, "-5e-324"},
      {0x7fefffffffffffff, "1.7976931348623157e+308"},
      {0xffefffffffffffff, "-1.7976931348623157e+308"},
      {0x4340000000000000, "9007199254740992"},
      {0xc340000000000000, "-9007199254740992"},
      {0x4430000000000000, "295147905179352830000"},
      {0x44b52d02c7e14af5, "9.999999999999997e+22"},
      {0x44b52d02c7e14af6, "1e+23"},
      {0x44b52d02c7e14af7, "1.0000000000000001e+23"},
      {0x444b1ae4d6e2ef4e, "999999999999999700000"},
      {0x444b1ae4d6e2ef4f, "999999999999999900000"},
      {0x444b1ae4d6e2ef50, "1e+21"},
      {0x3eb0c6f7a0b5ed8c, "9.999999999999997e-7"},
      {0x3eb0c6f7a0b5ed8d, "0.000001"},
      {0x41b3de4355555553, "333333333.3333332"},
      {0x41b3de4355555554, "333333333.33333325"},
      {0x41b3de4355555555, "333333333.3333333"},
      {0x41b3de4355555556, "333333333.3333334"},
      {0x41b3de4355555557, "333333333.33333343"},
      {0xbecbf647612f3696, "-0.0000033333333333333333"},
      {0x43143ff3c1cb0959, "1424953923781206.2"},
  };
  for (const auto& [bits, text] : cases) {
    EXPECT_EQ(*CanonicalNumber(std::bit_cast<double>(bits)), text) << std::hex << bits;
    EXPECT_EQ(Canonical(text), text);
  }
  EXPECT_FALSE(CanonicalNumber(std::bit_cast<double>(uint64_t{0x7fffffffffffffff})).ok());
  EXPECT_FALSE(CanonicalNumber(std::bit_cast<double>(uint64_t{0x7ff0000000000000})).ok());
  EXPECT_FALSE(CanonicalNumber(-std::numeric_limits<double>::infinity()).ok());
}

// The published test data of the RFC's authors (cyberphone/json-canonicalization, testdata/).
TEST(Rfc8785Test, PublishedTestData) {
  EXPECT_EQ(Canonical("{\n  \"peach\": \"This sorting order\",\n  \"péché\": \"is wrong according to French\",\n"
                      "  \"pêche\": \"but canonicalization MUST\",\n  \"sin\":   \"ignore locale\"\n}"),
            "{\"peach\":\"This sorting order\",\"péché\":\"is wrong according to French\","
            "\"pêche\":\"but canonicalization MUST\",\"sin\":\"ignore locale\"}");
  EXPECT_EQ(
      Canonical("{\n  \"1\": {\"f\": {\"f\": \"hi\",\"F\": 5} ,\"\\n\": 56.0},\n  \"10\": { },\n  \"\": \"empty\",\n"
                "  \"a\": { },\n  \"111\": [ {\"e\": \"yes\",\"E\": \"no\" } ],\n  \"A\": { }\n}"),
      R"({"":"empty","1":{"\n":56,"f":{"F":5,"f":"hi"}},"10":{},"111":[{"E":"no","e":"yes"}],"A":{},"a":{}})");
  EXPECT_EQ(Canonical("{\n  \"Unnormalized Unicode\":\"A\\u030a\"\n}\n"), "{\"Unnormalized Unicode\":\"A\xcc\x8a\"}");
  EXPECT_EQ(Canonical("[56, {\"d\": true, \"10\": null, \"1\": [ ]}]"), R"([56,{"1":[],"10":null,"d":true}])");
  EXPECT_EQ(Canonical(R"({"\u20ac":"Euro Sign","\r":"Carriage Return","\u000a":"Newline","1":"One",)"
                      R"("\u0080":"Control\u007f","\ud83d\ude02":"Smiley","\u00f6":"Latin",)"
                      R"("\ufb33":"Hebrew","</script>":"Browser Challenge"})"),
            "{\"\\n\":\"Newline\",\"\\r\":\"Carriage Return\",\"1\":\"One\",\"</script>\":\"Browser Challenge\","
            "\"\xc2\x80\":\"Control\x7f\",\"\xc3\xb6\":\"Latin\",\"\xe2\x82\xac\":\"Euro Sign\","
            "\"\xf0\x9f\x98\x82\":\"Smiley\",\"\xef\xac\xb3\":\"Hebrew\"}");
}

TEST(CanonicalJsonTest, EscapesOnlyWhatMustBe) {
  EXPECT_EQ(Canonical(R"("\u0000\u0001\u0008\u0009\u000b\u000c\u001f\u007f\u2028\/")"),
            "\"\\u0000\\u0001\\b\\t\\u000b\\f\\u001f\x7f\xe2\x80\xa8/\"");
}

TEST(CanonicalJsonTest, RandomDoublesReadBackAsTheSameValue) {
  SeededRandom random(7);
  for (int i = 0; i < 20000; ++i) {
    uint64_t bits = 0;
    random.Fill(&bits, sizeof(bits));
    const auto value = std::bit_cast<double>(bits);
    const auto text = CanonicalNumber(value);
    if (!text.ok()) continue;
    const auto parsed = ParseStrictJson(*text);
    ASSERT_TRUE(parsed.ok()) << *text << parsed.status();
    ASSERT_EQ(parsed->get<double>(), value) << *text;
    ASSERT_EQ(*CanonicalJson(*parsed), *text);
  }
}

TEST(CanonicalJsonTest, RefusesWhatIsNoJson) {
  EXPECT_FALSE(CanonicalJson(Json("\xff")).ok());
  EXPECT_FALSE(CanonicalJson(Json{{"\xed\xa0\x80", 1}}).ok());
  EXPECT_FALSE(CanonicalJson(Json(std::numeric_limits<double>::quiet_NaN())).ok());
  EXPECT_FALSE(CanonicalJson(Json(std::numeric_limits<double>::infinity())).ok());
  EXPECT_FALSE(CanonicalJson(Json::binary({1, 2})).ok());
  EXPECT_FALSE(CanonicalJson(Json(uint64_t{9007199254740993})).ok());
  EXPECT_FALSE(CanonicalJson(Json(int64_t{-9007199254740993})).ok());
  EXPECT_FALSE(CanonicalJson(Json(std::numeric_limits<uint64_t>::max())).ok());
  Json deep = 1;
  for (int i = 0; i < kMaxJsonDepth; ++i) deep = Json::array({deep});
  EXPECT_TRUE(CanonicalJson(deep).ok());
  EXPECT_FALSE(CanonicalJson(Json::array({deep})).ok());
}

TEST(StrictJsonTest, TheSpellingOfANumberDoesNotMatter) {
  for (const char* one : {"1", "1.0", "1e0", "10e-1", "0.1E+1", "1.000"}) {
    const auto value = ParseStrictJson(one);
    ASSERT_TRUE(value.ok());
    EXPECT_TRUE(value->is_number_integer());
    EXPECT_EQ(value->get<int64_t>(), 1);
  }
  for (const char* zero : {"0", "-0", "0.0", "-0.0", "0e5", "1e-400"}) EXPECT_EQ(Canonical(zero), "0") << zero;
}

TEST(StrictJsonTest, IntegersBeyondDoublesAreRefused) {
  for (const char* good : {"9007199254740992", "-9007199254740992", "9007199254740994", "100000000000000000000",
                           "295147905179352830000", "-18446744073709552000"}) {
    EXPECT_EQ(Canonical(good), good);
  }
  for (const char* bad : {"9007199254740993", "-9007199254740993", "18446744073709551615", "18446744073709551616",
                          "295147905179352825856", "123456789012345678901234567890"}) {
    EXPECT_THAT(Canonical(bad), HasSubstr("beyond 2^53")) << bad;
  }
  for (const char* bad : {"1e309", "-1e309", "[1e99999]"}) EXPECT_THAT(Canonical(bad), HasSubstr("too large")) << bad;
  EXPECT_FALSE(ParseStrictJson("1" + std::string(400, '0')).ok());
}

TEST(StrictJsonTest, RefusesWhatParsersDisagreeAbout) {
  const std::pair<std::string, std::string> cases[] = {
      {R"({"a":1,"a":1})", "twice"},
      {R"({"a":1,"\u0061":2})", "twice"},
      {R"([{"x":{"":1,"":1}}])", "twice"},
      {"\"\xff\"", "UTF-8"},
      {"\"\xc0\x80\"", "UTF-8"},
      {"\"\xed\xa0\x80\"", "UTF-8"},
      {"\"\xf4\x90\x80\x80\"", "UTF-8"},
      {"\"\xe2\x82", "UTF-8"},
      {R"("\ud800")", "surrogate"},
      {R"("\udc00")", "surrogate"},
      {R"("\ud800\u0041")", "surrogate"},
      {"\xef\xbb\xbf{}", "byte-order mark"},
      {std::string("{}\0", 3), "zero byte"},
      {std::string("{}\0garbage", 10), "zero byte"},
      {std::string("\0", 1), "zero byte"},
      {"{} {}", "byte"},
      {"{}x", "byte"},
      {"1 2", "byte"},
      {"", "byte"},
      {" ", "byte"},
      {"{", "byte"},
      {"[1,]", "byte"},
      {"{\"a\":1,}", "byte"},
      {"{a:1}", "byte"},
      {"{'a':1}", "byte"},
      {"// x\n1", "byte"},
      {"/* x */ 1", "byte"},
      {"01", "byte"},
      {"+1", "byte"},
      {".5", "byte"},
      {"5.", "byte"},
      {"0x10", "byte"},
      {"NaN", "byte"},
      {"Infinity", "byte"},
      {"nul", "byte"},
      {"True", "byte"},
      {"\"\n\"", "byte"},
      {"\"\\x\"", "byte"},
      {"\"a", "byte"},
      {"\xa0{}", "byte"},
  };
  for (const auto& [text, problem] : cases) {
    const absl::Status status = ParseStrictJson(text).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(std::string(status.message()), HasSubstr(problem)) << text;
    EXPECT_TRUE(IsValidUtf8(status.message()));
    EXPECT_LT(status.message().size(), 500U);
  }
}

TEST(StrictJsonTest, DepthIsBounded) {
  const auto nested = [](size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_TRUE(ParseStrictJson(nested(kMaxJsonDepth)).ok());
  EXPECT_THAT(std::string(ParseStrictJson(nested(kMaxJsonDepth + 1)).status().message()), HasSubstr("levels deep"));
  EXPECT_FALSE(ParseStrictJson(nested(1000000)).ok());
  EXPECT_FALSE(ParseStrictJson(std::string(1000000, '[')).ok());
}

TEST(StrictJsonTest, ErrorsStayShortWhateverTheInput) {
  const std::string name(100000, 'n');
  EXPECT_LT(ParseStrictJson("{\"" + name + "\":1,\"" + name + "\":1}").status().message().size(), 300U);
  EXPECT_LT(ParseStrictJson("{\"" + name + "\n\":1}").status().message().size(), 500U);
  EXPECT_LT(ParseStrictJson("1" + std::string(100000, '0')).status().message().size(), 300U);
}

TEST(Utf8Test, AcceptsExactlyUtf8) {
  for (const char* good : {"", "a", "\x7f", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80",
                           "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"}) {
    EXPECT_TRUE(IsValidUtf8(good)) << good;
  }
  for (const char* bad :
       {"\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xc2", "\xc2\x41", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xe1\x80",
        "\xe1\x80\x41", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xf1\x80\x80", "\xff", "a\xfe"}) {
    EXPECT_FALSE(IsValidUtf8(bad)) << bad;
  }
}

}  // namespace
}  // namespace dotagent::record
