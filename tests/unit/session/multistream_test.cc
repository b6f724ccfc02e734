#include "common/session/multistream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/base/varint.h"
#include "common/session/cookie.h"

namespace dotagent::session {
namespace {

using ::testing::HasSubstr;

const std::string kGreeting = "\x13/multistream/1.0.0\n";
const std::string kNoise = "\x07/noise\n";

TEST(MultistreamTest, DiallerSaysAllAtOnce) {
  EXPECT_EQ(Multistream(Role::kDialler, "/noise").Start(), kGreeting + kNoise);
  EXPECT_EQ(Multistream(Role::kListener, "/noise").Start(), "");
}

TEST(MultistreamTest, ListenerAnswersInKindAndLeavesTheRest) {
  Multistream listener(Role::kListener, "/noise");
  const std::string bytes = kGreeting + kNoise + "rest";
  std::string out;
  for (size_t size = 0; size < kGreeting.size() + kNoise.size(); ++size) {
    Multistream fresh(Role::kListener, "/noise");
    std::string answer;
    absl::string_view part = absl::string_view(bytes).substr(0, size);
    EXPECT_EQ(*fresh.Advance(&part, &answer), false) << size;
  }
  absl::string_view in = bytes;
  EXPECT_TRUE(*listener.Advance(&in, &out));
  EXPECT_EQ(in, "rest");
  EXPECT_EQ(out, kGreeting + kNoise);
}

TEST(MultistreamTest, OtherProposalsAreDeclinedUpToALimit) {
  Multistream listener(Role::kListener, "/noise");
  std::string out;
  std::string bytes = kGreeting + "\x0b/tls/1.0.0\n" + "\x03ls\n" + kNoise;
  absl::string_view in = bytes;
  EXPECT_TRUE(*listener.Advance(&in, &out));
  EXPECT_EQ(out, kGreeting + "\x03na\n" + "\x03na\n" + kNoise);

  Multistream patient(Role::kListener, "/noise");
  bytes = kGreeting;
  for (size_t i = 0; i < Multistream::kMaxProposals; ++i) bytes += "\x0b/tls/1.0.0\n";
  in = bytes;
  out.clear();
  const auto refused = patient.Advance(&in, &out);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kUnimplemented);
  EXPECT_LE(out.size(), kGreeting.size() + 4 * Multistream::kMaxProposals);
}

TEST(MultistreamTest, DiallerTakesNoForAnAnswer) {
  Multistream dialler(Role::kDialler, "/noise");
  const std::string bytes = kGreeting + "\x03na\n";
  absl::string_view in = bytes;
  std::string out;
  const auto refused = dialler.Advance(&in, &out);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("does not speak /noise"));
}

const std::string kCookieLine = "\x17/dotagent/cookie/1.0.0\n";

TEST(MultistreamTest, WorkIsOfferedBeforeTheProtocolAndNeedNotBeTakenUp) {
  Multistream dialler(Role::kDialler, "/noise");
  dialler.OfferWork();
  const std::string flight = dialler.Start();
  EXPECT_EQ(flight, kGreeting + kCookieLine + kNoise);
  Multistream listener(Role::kListener, "/noise");
  std::string answer;
  absl::string_view in = flight;
  EXPECT_TRUE(*listener.Advance(&in, &answer));
  EXPECT_EQ(answer, kGreeting + "\x03na\n" + kNoise);
  in = answer;
  std::string out;
  EXPECT_TRUE(*dialler.Advance(&in, &out));
  EXPECT_FALSE(dialler.work_asked());
  EXPECT_EQ(dialler.cookie(), "");
}

TEST(MultistreamTest, ACookieIsGivenToWhoOffersAndToNobodyElse) {
  const std::string cookie(kCookieSize, 'c');
  Multistream listener(Role::kListener, "/noise");
  listener.AskForWork(cookie);
  std::string flight = kGreeting + kCookieLine + kCookieLine + kNoise + "rest";
  std::string answer;
  absl::string_view in = flight;
  EXPECT_TRUE(*listener.Advance(&in, &answer));
  EXPECT_EQ(answer, kGreeting + kCookieLine + WithLength(cookie) + "\x03na\n" + kNoise) << "one is enough";
  EXPECT_TRUE(listener.work_asked());
  EXPECT_EQ(in, "rest");

  Multistream stock(Role::kListener, "/noise");
  stock.AskForWork(cookie);
  flight = kGreeting + kNoise;
  in = flight;
  answer.clear();
  EXPECT_TRUE(*stock.Advance(&in, &answer));
  EXPECT_EQ(answer, kGreeting + kNoise);
  EXPECT_FALSE(stock.work_asked());
}

TEST(MultistreamTest, ADiallerTakesACookieOfTheRightSizeOnly) {
  for (const size_t size : {size_t{1}, kCookieSize - 1, kCookieSize, kCookieSize + 1, size_t{200}}) {
    Multistream dialler(Role::kDialler, "/noise");
    dialler.OfferWork();
    const std::string answer = kGreeting + kCookieLine + WithLength(std::string(size, 'c')) + kNoise;
    absl::string_view in = answer;
    std::string out;
    const auto agreed = dialler.Advance(&in, &out);
    EXPECT_EQ(agreed.ok(), size == kCookieSize) << size;
    EXPECT_EQ(dialler.cookie().size(), size == kCookieSize ? kCookieSize : 0);
  }
}

TEST(MultistreamTest, AnotherAnswerToTheOfferIsRefused) {
  Multistream dialler(Role::kDialler, "/noise");
  dialler.OfferWork();
  const std::string answer = kGreeting + kNoise;  // skips the offer
  absl::string_view in = answer;
  std::string out;
  EXPECT_EQ(ReasonOf(dialler.Advance(&in, &out).status()), reason::kProtocol);
}

TEST(MultistreamTest, GarbageIsRefusedAsSoonAsItIsKnown) {
  const std::string long_line = WithLength(std::string(Multistream::kMaxLine + 1, 'x'));
  const std::string cases[] = {
      "GET / HTTP/1.1\r\n\r\n" + std::string(80, ' '),
      std::string(1, '\0'),
      std::string(10, '\xff'),
      long_line.substr(0, 2),
      WithLength("/multistream/2.0.0\n"),
      WithLength("/multistream/1.0.0"),
      "\x16\x03\x01\x02\x05\x01" + std::string(600, 'x'),  // a TLS ClientHello
  };
  for (const Role role : {Role::kDialler, Role::kListener}) {
    for (const std::string& bytes : cases) {
      Multistream stranger(role, "/noise");
      absl::string_view in = bytes;
      std::string out;
      const auto result = stranger.Advance(&in, &out);
      EXPECT_EQ(ReasonOf(result.status()), reason::kProtocol) << bytes.substr(0, 20);
      EXPECT_EQ(out, "");
    }
  }
}

}  // namespace
}  // namespace dotagent::session
