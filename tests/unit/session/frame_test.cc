#include "common/session/frame.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/base/status.h"
#include "common/session/quic_varint.h"

namespace dotagent::session {
namespace {

using ::testing::HasSubstr;

std::string Encoded(const Frame& frame) {
  std::string out;
  AppendFrame(frame, &out);
  return out;
}

absl::Status Refusal(absl::string_view bytes) { return TakeFrame(&bytes).status(); }

// The bytes that docs/protocol.md promises.
TEST(FrameTest, BytesOfEveryType) {
  const std::pair<Frame, const char*> frames[] = {
      {{.type = FrameType::kPing}, "01"},
      {{.type = FrameType::kResetStream, .stream = 4, .value = 7, .size = 300}, "040407412c"},
      {{.type = FrameType::kStopSending, .stream = 5, .value = 64}, "05054040"},
      {{.type = FrameType::kStream, .stream = 8, .data = "abc"}, "0a0803616263"},
      {{.type = FrameType::kStream, .stream = 8, .fin = true, .data = "abc"}, "0b0803616263"},
      {{.type = FrameType::kStream, .stream = 8, .fin = true}, "0b0800"},
      {{.type = FrameType::kMaxData, .value = 1 << 20}, "1080100000"},
      {{.type = FrameType::kMaxStreamData, .stream = 1, .value = 37}, "110125"},
      {{.type = FrameType::kMaxStreams, .value = 256}, "124100"},
      {{.type = FrameType::kDataBlocked, .value = 1}, "1401"},
      {{.type = FrameType::kStreamDataBlocked, .stream = 4, .value = 1}, "150401"},
      {{.type = FrameType::kPriority, .stream = 4, .value = 3}, "380403"},
      {{.type = FrameType::kRekey}, "39"},
      {{.type = FrameType::kGoAway, .value = 10, .data = "bye"}, "3a0a03627965"},
      {{.type = FrameType::kDependency, .stream = 4, .value = 8}, "3e0408"},
  };
  for (const auto& [frame, hex] : frames) {
    const std::string bytes = Encoded(frame);
    EXPECT_EQ(HexEncode(bytes), hex);
    absl::string_view in = bytes;
    const auto parsed = TakeFrame(&in);
    ASSERT_TRUE(parsed.ok()) << hex << ": " << parsed.status();
    EXPECT_TRUE(in.empty());
    EXPECT_EQ(parsed->type, frame.type) << hex;
    EXPECT_EQ(parsed->stream, frame.stream) << hex;
    EXPECT_EQ(parsed->value, frame.value) << hex;
    EXPECT_EQ(parsed->size, frame.size) << hex;
    EXPECT_EQ(parsed->fin, frame.fin) << hex;
    EXPECT_EQ(parsed->data, frame.data) << hex;
    for (size_t cut = 0; cut < bytes.size(); ++cut)
      EXPECT_EQ(ReasonOf(Refusal(absl::string_view(bytes).substr(0, cut))), reason::kProtocol) << hex << " cut " << cut;
  }
}

TEST(FrameTest, EveryOtherTypeIsRefused) {
  int known = 0;
  for (int type = 0; type < 256; ++type) {
    const std::string bytes = absl::StrCat(std::string(1, static_cast<char>(type)), std::string(32, '\0'));
    if (Refusal(bytes).ok()) {
      ++known;
    } else {
      EXPECT_THAT(std::string(Refusal(bytes).message()), HasSubstr("unknown type"));
    }
  }
  EXPECT_EQ(known, 14);
}

TEST(FrameTest, LimitsAreKept) {
  EXPECT_THAT(std::string(Refusal(*HexDecode("380404")).message()), HasSubstr("levels are 0 to 3"));
  EXPECT_THAT(std::string(Refusal(*HexDecode("12d000000000000001")).message()), HasSubstr("2^60"));
  EXPECT_TRUE(Refusal(*HexDecode("12d000000000000000")).ok());
  EXPECT_THAT(std::string(Refusal(*HexDecode("0a04ffffffffffffffff")).message()), HasSubstr("bytes follow"));
  const std::string reason(kMaxGoAwayReason + 1, 'x');
  EXPECT_FALSE(Refusal(Encoded({.type = FrameType::kGoAway, .value = 1, .data = reason})).ok());

  const size_t most = kMaxFrameSize - StreamFrameOverhead(0, kMaxFrameSize - 1);
  const std::string data(most + 1, 'x');
  EXPECT_TRUE(Refusal(Encoded({.type = FrameType::kStream, .data = absl::string_view(data).substr(0, most)})).ok());
  EXPECT_THAT(std::string(Refusal(Encoded({.type = FrameType::kStream, .data = data})).message()),
              HasSubstr("at most 16384"));
}

TEST(FrameTest, OverheadIsWhatAFrameTakesBesidesItsData) {
  for (const size_t size : {0UL, 1UL, 63UL, 64UL, 16'000UL}) {
    for (const StreamId id : {StreamId{0}, StreamId{64}, StreamId{1} << 40}) {
      const std::string data(size, 'x');
      EXPECT_EQ(Encoded({.type = FrameType::kStream, .stream = id, .data = data}).size(),
                StreamFrameOverhead(id, size) + size);
    }
  }
}

}  // namespace
}  // namespace dotagent::session
