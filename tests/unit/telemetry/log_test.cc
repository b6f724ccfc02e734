#include "common/telemetry/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/telemetry/log_line.h"

namespace dotagent::telemetry {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const absl::Time kTime = absl::FromUnixMillis(1795435200123);

TEST(LogLineTest, JsonHasTheDocumentedForm) {
  const std::pair<absl::string_view, std::string> fields[] = {{"name", "bob.agent"}, {"bytes", "512"}};
  EXPECT_EQ(JsonLine("resolver", kTime, Level::kInfo, "record stored", fields),
            R"({"time":"2026-11-23T12:00:00.123Z","level":"info","service":"resolver","msg":"record stored",)"
            R"("name":"bob.agent","bytes":"512"})");
}

TEST(LogLineTest, HostileValuesStayOneValidJsonLine) {
  for (const std::string& hostile :
       {std::string("a\nb\"c\\d\r\t\0e", 12), std::string("\x1b[31mred"), std::string("\xff\xfe \xc3"),
        std::string("\xc0\x80 \xed\xa0\x80 \xf4\x90\x80\x80"), std::string("\xe2\x80\xa8 \xe2\x80\xae \xc2\x9b")}) {
    const std::pair<absl::string_view, std::string> fields[] = {{"name", hostile}};
    for (const std::string& line :
         {JsonLine("s", kTime, Level::kError, hostile, fields), TextLine("s", kTime, Level::kError, hostile, fields)}) {
      for (const char c : line) EXPECT_GE(static_cast<unsigned char>(c), 0x20) << line;
      EXPECT_THAT(line, Not(HasSubstr("\x7f")));
      EXPECT_THAT(line, Not(HasSubstr("\xe2\x80\xa8")));
      EXPECT_THAT(line, Not(HasSubstr("\xe2\x80\xae")));
      EXPECT_THAT(line, Not(HasSubstr("\xc2\x9b")));
    }
    // nlohmann's parser refuses invalid UTF-8 and raw control characters.
    EXPECT_TRUE(nlohmann::json::accept(JsonLine("s", kTime, Level::kError, hostile, fields)));
  }
}

TEST(LogLineTest, ValidTextSurvivesTheRoundTrip) {
  const std::string text = "grüße \"日本\" \\ \xf0\x9f\x98\x80\n";
  EXPECT_EQ(nlohmann::json::parse(QuoteJson(text)).get<std::string>(), text);
}

TEST(LogLineTest, TextQuotesOnlyWhatNeedsIt) {
  const std::pair<absl::string_view, std::string> fields[] = {{"a", "plain"}, {"b", "two words"}, {"c", ""}};
  EXPECT_THAT(TextLine("relay", kTime, Level::kWarning, "look", fields),
              HasSubstr("warning relay: look a=plain b=\"two words\" c=\"\""));
}

TEST(LogTest, LevelsAreParsedAndApplied) {
  EXPECT_EQ(*ParseLevel("warning"), Level::kWarning);
  EXPECT_THAT(ParseLevel("loud").status().message(), HasSubstr("'loud'"));

  InitLog({.service = "test", .level = Level::kInfo, .format = LogFormat::kJson});
  testing::internal::CaptureStderr();
  Log(Level::kDebug, "too quiet");
  Log(Level::kInfo, "heard {} %s", {{"n", "1"}});
  const std::string out = testing::internal::GetCapturedStderr();
  EXPECT_THAT(out, Not(HasSubstr("too quiet")));
  EXPECT_EQ(nlohmann::json::parse(out).at("msg"), "heard {} %s");
}

TEST(LogTest, ThreadsDoNotMixTheirLines) {
  InitLog({.service = "test", .level = Level::kInfo, .format = LogFormat::kJson});
  testing::internal::CaptureStderr();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([] {
      for (int i = 0; i < 100; ++i) Log(Level::kInfo, "line", {{"i", absl::StrCat(i)}});
    });
  }
  for (auto& thread : threads) thread.join();
  const std::vector<std::string> lines =
      absl::StrSplit(testing::internal::GetCapturedStderr(), '\n', absl::SkipEmpty());
  EXPECT_EQ(lines.size(), 400U);
  for (const std::string& line : lines) EXPECT_TRUE(nlohmann::json::accept(line)) << line;
}

}  // namespace
}  // namespace dotagent::telemetry
