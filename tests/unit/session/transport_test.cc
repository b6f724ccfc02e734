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

Random* TestRandom() {
  static SeededRandom random(3);
  return &random;
}

Transport Make(Role role, RekeyLimits limits = {}) {
  const std::string one(32, '1');
  const std::string two(32, '2');
  if (role == Role::kDialler) return {role, {CipherState(one), CipherState(two)}, limits, TestRandom(), kStart};
  return {role, {CipherState(two), CipherState(one)}, limits, TestRandom(), kStart};
}

std::string Send(Transport& from, absl::string_view frames, absl::Time now = kStart) {
  Message* message = from.BeginMessage(now);
  message->Append(frames);
  std::string out(message->size() + kMessageOverhead, '\0');
  EXPECT_EQ(from.EndMessage(now, out.data()), out.size());
  return out;
}

absl::StatusOr<std::string> Take(Transport& to, absl::string_view bytes, absl::Time now = kStart) {
  PlaintextBuffer buffer;
  ASSIGN_OR_RETURN(const auto plaintext, to.TakeMessage(&bytes, now, &buffer));
  if (!plaintext) return absl::UnavailableError("not whole");
  return std::string(*plaintext);
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
    EXPECT_EQ(!a.BeginMessage(kStart)->empty(), i % 1000 == 0) << i;
    ASSERT_EQ(*Take(b, Send(a, "x")), "x") << i;
  }
}

TEST(TransportTest, KeyChangesWithTime) {
  Transport a = Make(Role::kDialler);
  Transport b = Make(Role::kListener);
  EXPECT_EQ(a.NextTimeout(), kStart + absl::Minutes(10));
  a.OnTimeout(kStart + absl::Minutes(9));
  EXPECT_FALSE(a.message_wanted());
  absl::Time now = kStart + absl::Minutes(10);
  a.OnTimeout(now);
  EXPECT_TRUE(a.message_wanted());
  EXPECT_EQ(a.NextTimeout(), absl::InfiniteFuture()) << "it is due now; the timer must not spin";
  EXPECT_EQ(*Take(b, Send(a, "", now), now), "");
  EXPECT_FALSE(a.message_wanted());
  EXPECT_EQ(a.NextTimeout(), now + absl::Minutes(10));

  // Also when nobody called OnTimeout: an idle end's first message rekeys.
  now += absl::Hours(2);
  EXPECT_EQ(a.BeginMessage(now)->ToString(), "\x39");
  EXPECT_TRUE(Take(b, Send(a, "", now), now).ok());
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

// What each end has to say for the sake of keys, until neither has.
void Settle(Transport& a, Transport& b, absl::Time now) {
  a.OnTimeout(now);
  b.OnTimeout(now);
  while (a.message_wanted() || b.message_wanted()) {
    Transport& from = a.message_wanted() ? a : b;
    ASSERT_TRUE(Take(&from == &a ? b : a, Send(from, "", now), now).ok());
  }
}

TEST(TransportTest, FreshKeysEveryTenMinutes) {
  Transport a = Make(Role::kDialler);
  Transport b = Make(Role::kListener);
  absl::Time now = kStart;
  for (int i = 0; i < 5; ++i) {
    now += absl::Minutes(10);
    EXPECT_LE(a.NextTimeout(), now);
    Settle(a, b, now);
    EXPECT_EQ(*Take(b, Send(a, "to b", now), now), "to b");
    EXPECT_EQ(*Take(a, Send(b, "to a", now), now), "to a");
  }
}

TEST(TransportTest, MessagesGoOnWhileKeysAreExchanged) {
  Transport a = Make(Role::kDialler);
  Transport b = Make(Role::kListener);
  const absl::Time now = kStart + absl::Minutes(10);
  const std::string offer = Send(a, "with the offer", now);
  const std::string after_offer = Send(a, "after it", now);
  const std::string before_answer = Send(b, "before the answer", now);
  EXPECT_EQ(*Take(b, offer, now), "with the offer");
  const std::string answer = Send(b, "with the answer", now);
  const std::string after_answer = Send(b, "after it", now);
  EXPECT_EQ(*Take(b, after_offer, now), "after it");
  EXPECT_EQ(*Take(a, before_answer, now), "before the answer");
  EXPECT_EQ(*Take(a, answer, now), "with the answer");
  EXPECT_EQ(*Take(a, after_answer, now), "after it");
  EXPECT_EQ(*Take(b, Send(a, "with the end", now), now), "with the end");
  EXPECT_EQ(*Take(b, Send(a, "after it", now), now), "after it");
  EXPECT_EQ(*Take(a, Send(b, "and back", now), now), "and back");
}

// Who knows every key so far, and only listens, knows none after an exchange.
TEST(TransportTest, AnExchangeShutsOutWhoeverKnewTheKeys) {
  Transport a = Make(Role::kDialler);
  Transport b = Make(Role::kListener);
  Transport eve = Make(Role::kListener);
  const absl::Time now = kStart + absl::Minutes(10);
  std::string offer = Send(a, "", now);
  ASSERT_TRUE(Take(b, offer, now).ok());
  ASSERT_TRUE(Take(eve, offer, now).ok());
  ASSERT_TRUE(Take(a, Send(b, "", now), now).ok());
  (void)Send(eve, "", now);  // her own answer, which nobody gets
  const std::string done = Send(a, "", now);
  ASSERT_TRUE(Take(b, done, now).ok());
  ASSERT_TRUE(Take(eve, done, now).ok());
  const std::string secret = Send(a, "secret", now);
  EXPECT_EQ(*Take(b, secret, now), "secret");
  EXPECT_EQ(Take(eve, secret, now).status().code(), absl::StatusCode::kDataLoss);
}

TEST(TransportTest, APeerThatNeverExchangesKeysIsRefused) {
  const RekeyLimits often = {.messages = 1000, .interval = absl::Minutes(10)};
  Transport a = Make(Role::kListener, often);  // two listeners: nobody offers
  Transport b = Make(Role::kDialler, {.messages = 1, .interval = absl::Hours(100)});
  EXPECT_TRUE(Take(a, Send(b, "x", kStart + absl::Minutes(19)), kStart + absl::Minutes(19)).ok());
  const auto refused = Take(a, Send(b, "x", kStart + absl::Minutes(21)), kStart + absl::Minutes(21));
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("fresh keys"));
}

TEST(TransportTest, ADiallerWhoseOfferIsNotAnsweredEndsIt) {
  Transport a = Make(Role::kDialler);
  Transport b = Make(Role::kListener);
  absl::Time now = kStart + absl::Minutes(10);
  (void)Send(a, "", now);  // gets lost
  ASSERT_TRUE(Take(a, Send(b, "x", now), now).ok());
  now += absl::Minutes(10) + absl::Seconds(1);
  EXPECT_EQ(Take(a, Send(b, "x", now), now).status().code(), absl::StatusCode::kResourceExhausted);
}

TEST(TransportTest, KeyFramesOutOfTurnAreRefused) {
  const std::string key(32, 'k');
  const struct {
    Role receiver;
    std::string plaintext;
    const char* why;
  } cases[] = {
      {Role::kDialler, "\x3b" + key, "out of turn"},
      {Role::kListener, "\x3b" + key, "after the last"},  // at once
      {Role::kListener, "\x3b" + key.substr(1), "cut short"},
      {Role::kDialler, "\x3c" + key, "without an offer"},
      {Role::kListener, "\x3d", "without an exchange"},
  };
  for (const auto& c : cases) {
    Transport receiver = Make(c.receiver);
    Transport sender = Make(c.receiver == Role::kDialler ? Role::kListener : Role::kDialler);
    const absl::Status refused = Take(receiver, Send(sender, c.plaintext)).status();
    EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument) << c.why;
    EXPECT_THAT(std::string(refused.message()), HasSubstr(c.why));
  }
  Transport a = Make(Role::kDialler);
  Transport b = Make(Role::kListener);
  const absl::Time now = kStart + absl::Minutes(6);
  const std::string zero(32, '\0');
  EXPECT_EQ(Take(b, Send(a, "\x3b" + zero, now), now).status().code(), absl::StatusCode::kInvalidArgument)
      << "a key of small order";
}

}  // namespace
}  // namespace dotagent::session
