#include "cli/report.h"

#include <gtest/gtest.h>

#include <string>

namespace dotagent::cli {
namespace {

std::string Printed(const Report& report, bool json) {
  testing::internal::CaptureStdout();
  report.Print(json);
  return testing::internal::GetCapturedStdout();
}

TEST(PrintableTest, WhatMovesTheCursorIsEscaped) {
  EXPECT_EQ(Printable("plain text, h\xc3\xa9llo"), "plain text, h\xc3\xa9llo");
  EXPECT_EQ(Printable("\x1b[31mred\x1b[0m"), "\\x1b[31mred\\x1b[0m");
  EXPECT_EQ(Printable("one\ntwo\r\t"), "one\\x0atwo\\x0d\\x09");
  EXPECT_EQ(Printable(absl::string_view("a\0b\x7f", 4)), "a\\x00b\\x7f");
  // The same moves as one character: U+009B is CSI, U+0085 is next line.
  EXPECT_EQ(Printable("\xc2\x9b"
                      "31m\xc2\x85"),
            "\\xc2\\x9b31m\\xc2\\x85");
  EXPECT_EQ(Printable("\xc2\xa0\xc3\x85"), "\xc2\xa0\xc3\x85") << "no-break space and A with ring are harmless";
  // Not UTF-8, where a terminal may see the eight-bit control.
  EXPECT_EQ(Printable("\x9b"
                      "31m"),
            "\\x9b31m");
}

TEST(PrintStatementTest, BytesForAFileAndBase64ForAProgram) {
  const std::string statement("\x0a\x00\xff\n", 4);
  const auto printed = [&](bool json) {
    testing::internal::CaptureStdout();
    EXPECT_EQ(PrintStatement(json, statement), 0);
    return testing::internal::GetCapturedStdout();
  };
  EXPECT_EQ(printed(false), statement);
  EXPECT_EQ(printed(true), "{\"statement\":\"CgD/Cg==\"}\n");
}

TEST(FormatTableTest, ColumnsLineUpByTheirWidestCell) {
  EXPECT_EQ(FormatTable({{"name", "state"}, {"bob.agent", "up"}, {"x", "unreachable"}}),
            "name       state\n"
            "bob.agent  up\n"
            "x          unreachable\n");
  EXPECT_EQ(FormatTable({{"na\xc3\xafve", "a"}, {"plain", "b"}}), "na\xc3\xafve  a\nplain  b\n")
      << "characters, not bytes";
  EXPECT_EQ(FormatTable({{"a", "b", "c"}, {"longer"}}), "a       b  c\nlonger\n") << "short rows are rows";
  EXPECT_EQ(FormatTable({}), "");
}

TEST(ReportTest, OneObjectOrAlignedLines) {
  Report report;
  report.Add("peer_id", "Peer id", "12D3");
  report.Add("hops", "Hops", 3);
  report.Add("nodes", "Nodes", nlohmann::ordered_json::array({"a", "b"}));
  report.Add("none", "None", nlohmann::ordered_json::array());
  report.Add("hidden", "", true);
  report.Add("evil", "Evil", "\x1b[2J");
  EXPECT_EQ(Printed(report, /*json=*/false),
            "Peer id  12D3\n"
            "Hops     3\n"
            "Nodes    a\n"
            "         b\n"
            "None     none\n"
            "Evil     \\x1b[2J\n");
  EXPECT_EQ(Printed(report, /*json=*/true),
            R"({"peer_id":"12D3","hops":3,"nodes":["a","b"],"none":[],"hidden":true,"evil":"\u001b[2J"})"
            "\n");
}

TEST(ReportTest, BytesThatAreNoTextDoNotBreakIt) {
  Report report;
  report.Add("name", "Name", "\xff\xfe");
  EXPECT_EQ(Printed(report, /*json=*/true), "{\"name\":\"\xef\xbf\xbd\xef\xbf\xbd\"}\n");
}

}  // namespace
}  // namespace dotagent::cli
