#include "common/session/transport.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "common/base/status.h"
#include "common/session/frame.h"

namespace dotagent::session {
namespace {

using ::testing::HasSubstr;

const absl::Time kStart = absl::FromUnixSeconds(1'800'000'000);

Transport Make(Role role, RekeyLimits limits = {}) {
  const std::string one(32, '1');
  const std::string two(32, '2');
  if (role == Role::kDialler) return {{CipherState(one), CipherState(two)}, limits, kStart};
  return {{CipherState(two), CipherState(one)}, limits, kStart};
}

std::string Send(Transport& from, absl::string_view frames, absl::Time now = kStart) {
  std::string out;
  std::string* message = from.BeginMessage(now);
  message->append(frames.data(), frames.size());
  from.EndMessage(now, &out);
  return out;
}

absl::StatusOr<std::string> Take(Transport& to, absl::string_view bytes, absl::Time now = kStart) {
  std::string plaintext;
  ASSIGN_OR_RETURN(const bool taken, to.TakeMessage(&bytes, now, &plaintext));
  if (!taken) return absl::UnavailableError("not whole");
  return plaintext;
}

TEST(TransportTest, MessagesAreALengthAndCiphertext) {
  Transport a = Make(Role::kDialler);
  Transport b = Make(Role::kListener);
  const std::string bytes = Send(a, "hello");
  ASSERT_EQ(bytes.size(), 5 + kMessageOverhead);
  EXPECT_EQ(bytes.substr(0, 2), std::string("\0\x15", 2));
  EXPECT_THAT(bytes, testing::Not(HasSubstr("hello")));
  for (size_t cut = 0; cut < bytes.size(); ++cut)
    EXPECT_EQ(Take(b, bytes.substr(0, cut)).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(*Take(b, bytes), "hello");
  EXPECT_EQ(*Take(a, Send(b, "")), "");
}

TEST(TransportTest, ReplayedReorderedReflectedAndChangedMessagesAreRefused) {
  Transport a = Make(Role::kDialler);
  const std::string first = Send(a, "first");
  const std::string second = Send(a, "second");
  {
    Transport b = Make(Role::kListener);
    ASSERT_TRUE(Take(b, first).ok());
    EXPECT_EQ(Take(b, first).status().code(), absl::StatusCode::kDataLoss) << "replayed";
  }
  {
    Transport b = Make(Role::kListener);
    EXPECT_EQ(Take(b, second).status().code(), absl::StatusCode::kDataLoss) << "reordered";
  }
  EXPECT_EQ(Take(a, first).status().code(), absl::StatusCode::kDataLoss) << "reflected";
  for (size_t bit = 16; bit < 8 * first.size(); ++bit) {
    Transport b = Make(Role::kListener);
    std::string changed = first;
    changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_EQ(Take(b, changed).status().code(), absl::StatusCode::kDataLoss) << "bit " << bit;
  }
  Transport b = Make(Role::kListener);
  std::string shorter = first.substr(0, first.size() - 1);
  shorter[1] = static_cast<char>(shorter[1] - 1);
  EXPECT_EQ(Take(b, shorter).status().code(), absl::StatusCode::kDataLoss) << "truncated";
  EXPECT_EQ(Take(b, std::string("\0\x0f", 2)).status().code(), absl::StatusCode::kInvalidArgument)
      << "no room for a tag";
}

TEST(TransportTest, KeyChangesWithTheThousandthMessage) {
  Transport a = Make(Role::kDialler);
  Transport b = Make(Role::kListener);
  for (int i = 1; i <= 2500; ++i) {
    std::string* message = a.BeginMessage(kStart);
    EXPECT_EQ(!message->empty(), i % 1000 == 0) << i;
    message->append("x");
    std::string bytes;
    a.EndMessage(kStart, &bytes);
    ASSERT_EQ(*Take(b, bytes), "x") << i;
  }
}

TEST(TransportTest, KeyChangesWithTime) {
  Transport a = Make(Role::kDialler);
  Transport b = Make(Role::kListener);
  EXPECT_EQ(a.NextTimeout(), kStart + absl::Minutes(10));
  a.OnTimeout(kStart + absl::Minutes(9));
  EXPECT_FALSE(a.rekey_wanted());
  absl::Time now = kStart + absl::Minutes(10);
  a.OnTimeout(now);
  EXPECT_TRUE(a.rekey_wanted());
  EXPECT_EQ(a.NextTimeout(), absl::InfiniteFuture()) << "it is due now; the timer must not spin";
  EXPECT_EQ(*Take(b, Send(a, "", now), now), "");
  EXPECT_FALSE(a.rekey_wanted());
  EXPECT_EQ(a.NextTimeout(), now + absl::Minutes(10));

  // Also when nobody called OnTimeout: an idle end's first message rekeys.
  now += absl::Hours(2);
  EXPECT_EQ(*a.BeginMessage(now), "\x39");
  std::string bytes;
  a.EndMessage(now, &bytes);
  EXPECT_TRUE(Take(b, bytes, now).ok());
  EXPECT_EQ(*Take(b, Send(a, "after", now), now), "after");
}

TEST(TransportTest, PeerThatNeverRekeysIsRefused) {
  Transport a = Make(Role::kDialler, {.messages = 1'000'000, .interval = absl::Hours(1000)});
  Transport b = Make(Role::kListener, {.messages = 10, .interval = absl::Minutes(10)});
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(Take(b, Send(a, "x")).ok());
  const auto refused = Take(b, Send(a, "x"));
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("more than 10 messages"));
}

TEST(TransportTest, PeerWhoseKeyIsTooOldIsRefused) {
  Transport a = Make(Role::kDialler, {.messages = 1000, .interval = absl::Hours(1000)});
  Transport b = Make(Role::kListener);
  const absl::Time late = kStart + absl::Minutes(20);
  ASSERT_TRUE(Take(b, Send(a, "x"), late).ok()) << "a stalled network is forgiven";
  const auto refused = Take(b, Send(a, "x"), late + absl::Seconds(1));
  EXPECT_EQ(ReasonOf(refused.status()), reason::kLimit);
}

}  // namespace
}  // namespace dotagent::session
