#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <string>

#include "common/session/byte_queue.h"
#include "common/session/message.h"
#include "common/session/send_queue.h"

namespace dotagent::session {
namespace {

std::string Pattern(size_t size, size_t seed) {
  std::string bytes(size, '\0');
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>((i + seed) * 31 + (i >> 8));
  return bytes;
}

TEST(ByteQueueTest, GivesBackWhatWentInInAnyPieces) {
  std::mt19937 random(5);
  ByteQueue queue;
  std::string expected;
  for (size_t i = 0; i < 3000; ++i) {
    const std::string bytes = Pattern(random() % (i % 50 == 0 ? 60'000 : 200), i);
    queue.Append(bytes);
    expected += bytes;
    const size_t count = random() % (queue.size() + 1);
    EXPECT_EQ(queue.front(), absl::string_view(expected).substr(0, queue.front().size()));
    if (i % 4 == 0) {
      queue.Drop(count);
    } else {
      ASSERT_EQ(queue.Take(count), expected.substr(0, count)) << i;
    }
    expected.erase(0, count);
    ASSERT_EQ(queue.size(), expected.size());
  }
  EXPECT_EQ(queue.Take(queue.size()), expected);
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.front(), "");
}

TEST(SendQueueTest, GivesBackWhatWentInInAnyPieces) {
  std::mt19937 random(6);
  SendQueue queue(1000);
  std::string expected;
  for (size_t i = 0; i < 3000; ++i) {
    const std::string bytes = Pattern(random() % 3000, i);
    if (i % 3 == 0 && !bytes.empty()) {
      queue.Append(Slice{std::make_shared<const std::string>("before" + bytes + "after"), 6, bytes.size()});
    } else {
      queue.Append(bytes);
    }
    expected += bytes;
    for (size_t pieces = random() % 4; pieces > 0 && !queue.empty(); --pieces) {
      const size_t count = random() % (queue.front_size() + 1);
      ASSERT_EQ(queue.Take(count).view(), expected.substr(0, count)) << i;
      expected.erase(0, count);
    }
    ASSERT_EQ(queue.size(), expected.size());
  }
  queue.Clear();
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.front_size(), 0U);
}

TEST(MessageTest, ItsPiecesAreTheFramesOneAfterTheOther) {
  const auto data = std::make_shared<const std::string>(Pattern(16'000, 1));
  Message message;
  std::string expected;
  EXPECT_TRUE(message.empty());
  for (const size_t size : {size_t{0}, size_t{3}, size_t{4096}, size_t{5000}, size_t{16'000}}) {
    message.Add({.type = FrameType::kPing});
    message.AddData(4, size == 3, Slice{data, 0, size});
    AppendFrame({.type = FrameType::kPing}, &expected);
    AppendFrame({.type = FrameType::kStream, .stream = 4, .fin = size == 3, .data = data->substr(0, size)}, &expected);
    EXPECT_EQ(message.ToString(), expected) << size;
    EXPECT_EQ(message.size(), expected.size());
  }
  EXPECT_GT(message.pieces().size(), 3U);
  message.Clear();
  EXPECT_TRUE(message.empty());
  EXPECT_TRUE(message.pieces().empty());
}

}  // namespace
}  // namespace dotagent::session
