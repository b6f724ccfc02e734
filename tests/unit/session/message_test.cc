// What a Noise message is put together from.
#include "common/session/message.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <memory>
#include <string>

#include "common/session/frame.h"
#include "common/session/send_queue.h"

namespace dotagent::session {
namespace {

constexpr size_t kStride = 1024;

Slice Data(size_t size) {
  std::string bytes(size, '\0');
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i * 31 + i / 251);
  return {std::make_shared<const std::string>(std::move(bytes)), 0, size};
}

std::string Encoded(StreamId stream, bool fin, const Slice& data) {
  std::string frame;
  AppendStreamHeader(stream, fin, data.size, &frame);
  return frame + std::string(data.view());
}

TEST(MessageTest, SaysTheSameWhateverStaysWhereItIs) {
  for (const size_t size : {size_t{0}, size_t{1}, 4 * kStride - 1, 4 * kStride, 5 * kStride, 15358UL, 16378UL}) {
    Message message;
    message.AddData(4, false, Data(size));
    message.AddData(8, true, Data(5000));
    message.Append("end");
    const std::string expected = Encoded(4, false, Data(size)) + Encoded(8, true, Data(5000)) + "end";
    EXPECT_EQ(message.ToString(), expected) << size;
    EXPECT_EQ(message.size(), expected.size()) << size;
  }
}

// With AVX-512, 18 bytes less than 16 KiB take OpenSSL a third longer than 16 KiB (`openssl speed -bytes`).
TEST(MessageTest, TheCipherGetsWholeStrides) {
  for (const size_t size : {4 * kStride, 9999UL, 15358UL, 16378UL}) {
    Message message;
    message.AddData(4, false, Data(size));
    message.AddData(8, false, Data(6000));
    const Message::Pieces pieces = message.pieces();
    ASSERT_GT(pieces.size(), 2U) << size;
    for (size_t i = 0; i + 1 < pieces.size(); ++i) EXPECT_EQ(pieces[i].size() % kStride, 0U) << size << ", piece " << i;
  }
}

TEST(MessageTest, ACopyIsMadeOfEndsOnly) {
  const Slice data = Data(16378);
  Message message;
  message.AddData(4, false, data);
  const Message::Pieces pieces = message.pieces();
  ASSERT_GE(pieces.size(), 2U);
  EXPECT_GE(pieces[1].data(), data.owner->data());
  EXPECT_LT(pieces[1].data(), data.owner->data() + data.size);
  EXPECT_GE(pieces[1].size(), data.size - 2 * kStride);
}

}  // namespace
}  // namespace dotagent::session
