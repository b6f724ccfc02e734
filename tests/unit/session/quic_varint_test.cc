#include "common/session/quic_varint.h"

#include <gtest/gtest.h>

#include <string>

#include "common/base/bytes.h"

namespace dotagent::session {
namespace {

// RFC 9000, appendix A.1.
struct Sample {
  const char* hex;
  uint64_t value;
  bool shortest;
};
const Sample kSamples[] = {{"c2197c5eff14e88c", 151'288'809'941'952'652, true},
                           {"9d7f3e7d", 494'878'333, true},
                           {"7bbd", 15'293, true},
                           {"25", 37, true},
                           {"4025", 37, false}};

TEST(QuicVarintTest, Rfc9000AppendixA1) {
  for (const Sample& sample : kSamples) {
    const std::string bytes = *HexDecode(sample.hex);
    absl::string_view in = bytes;
    EXPECT_EQ(TakeQuicVarint(&in), sample.value) << sample.hex;
    EXPECT_TRUE(in.empty());
    if (!sample.shortest) continue;
    std::string out;
    AppendQuicVarint(sample.value, &out);
    EXPECT_EQ(HexEncode(out), sample.hex);
    EXPECT_EQ(QuicVarintSize(sample.value), out.size());
  }
}

TEST(QuicVarintTest, EdgesOfEverySize) {
  const std::pair<uint64_t, size_t> edges[] = {
      {0, 1}, {63, 1}, {64, 2}, {16'383, 2}, {16'384, 4}, {(1ULL << 30) - 1, 4}, {1ULL << 30, 8}, {kMaxQuicVarint, 8}};
  for (const auto& [value, size] : edges) {
    std::string out;
    AppendQuicVarint(value, &out);
    EXPECT_EQ(out.size(), size);
    absl::string_view in = out;
    EXPECT_EQ(TakeQuicVarint(&in), value);
    for (size_t cut = 0; cut < out.size(); ++cut) {
      absl::string_view part = absl::string_view(out).substr(0, cut);
      EXPECT_EQ(TakeQuicVarint(&part), std::nullopt);
      EXPECT_EQ(part.size(), cut) << "nothing is taken of what is cut short";
    }
  }
}

}  // namespace
}  // namespace dotagent::session
