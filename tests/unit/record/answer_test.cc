#include "common/record/answer.h"

#include <gtest/gtest.h>

#include <string>

#include "common/base/random.h"
#include "common/base/status.h"
#include "common/crypto/keys.h"

namespace dotagent::record {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);

class AnswerTest : public testing::Test {
 protected:
  Message Make(MessageType type, const std::string& id, const std::string& from, const std::string& to,
               Json content = Json::object()) {
    return Message::Sign(
               {.id = id, .type = type, .sender = from, .recipient = to, .timestamp = kNow, .content = content}, key_)
        .value();
  }
  bool Answers(const Message& answer) const {
    const absl::Status checked = CheckAnswers(request_, answer);
    if (!checked.ok()) {
      EXPECT_EQ(ReasonOf(checked), reason::kBadMessage);
    }
    return checked.ok();
  }

  SeededRandom random_{1};
  const crypto::SigningKey key_ = crypto::SigningKey::Generate(random_);
  const Message request_ = Make(MessageType::kRequest, "q1", "alice.agent", "bob.agent");
};

TEST_F(AnswerTest, AResponseWithTheRequestsIdThatGoesBackAnswersIt) {
  const Message answer = Make(MessageType::kResponse, "q1", "bob.agent", "alice.agent", {{"result", 42}});
  EXPECT_TRUE(Answers(answer));
  EXPECT_TRUE(StatusOfAnswer(answer).ok());
}

TEST_F(AnswerTest, AnotherIdWayOrTypeDoesNot) {
  EXPECT_FALSE(Answers(Make(MessageType::kResponse, "q2", "bob.agent", "alice.agent")));
  EXPECT_FALSE(Answers(Make(MessageType::kResponse, "q1", "alice.agent", "bob.agent")));
  EXPECT_FALSE(Answers(Make(MessageType::kResponse, "q1", "mallory.agent", "alice.agent")));
  EXPECT_FALSE(Answers(Make(MessageType::kResponse, "q1", "bob.agent", "mallory.agent")));
  EXPECT_FALSE(Answers(Make(MessageType::kNotification, "q1", "bob.agent", "alice.agent")));
  EXPECT_FALSE(Answers(Make(MessageType::kRequest, "q1", "bob.agent", "alice.agent")));
}

TEST_F(AnswerTest, EveryCodeOfAnErrorComesThrough) {
  for (int code = 1; code <= static_cast<int>(absl::StatusCode::kUnauthenticated); ++code) {
    const absl::Status error(static_cast<absl::StatusCode>(code), "why");
    const Message answer = Make(MessageType::kError, "q1", "bob.agent", "alice.agent", ErrorContent(error));
    EXPECT_TRUE(Answers(answer)) << error;
    EXPECT_EQ(StatusOfAnswer(answer), error);
  }
}

TEST_F(AnswerTest, AnErrorSaysWhatItIs) {
  for (const Json& content : {Json::object(), Json{{"code", "NOT_FOUND"}}, Json{{"code", "OK"}, {"message", ""}},
                              Json{{"code", "NO_SUCH_CODE"}, {"message", ""}}, Json{{"code", 5}, {"message", ""}},
                              Json{{"code", "NOT_FOUND"}, {"message", nullptr}}}) {
    EXPECT_FALSE(Answers(Make(MessageType::kError, "q1", "bob.agent", "alice.agent", content))) << content;
  }
  const Json more{{"code", "NOT_FOUND"}, {"message", "no such event"}, {"hint", "ask later"}};
  EXPECT_TRUE(Answers(Make(MessageType::kError, "q1", "bob.agent", "alice.agent", more)));
}

TEST_F(AnswerTest, AnErrorsTextIsCutBetweenCharacters) {
  std::string text;
  while (text.size() < 2000) text += "ä";
  const Json content = ErrorContent(absl::InternalError("x" + text));
  EXPECT_EQ(content["message"].get<std::string>().size(), 1023u);
  EXPECT_EQ(ErrorContent(absl::InternalError("\xff")).at("message"), "");
}

}  // namespace
}  // namespace dotagent::record
