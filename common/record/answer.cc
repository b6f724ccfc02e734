#include "common/record/answer.h"

#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/base/status.h"
#include "common/record/utf8.h"

namespace dotagent::record {
namespace {

constexpr char kCode[] = "code";
constexpr char kMessage[] = "message";
constexpr size_t kMaxText = 1024;

std::optional<absl::StatusCode> CodeFromName(absl::string_view name) {
  for (int number = 1; number <= static_cast<int>(absl::StatusCode::kUnauthenticated); ++number) {
    const auto code = static_cast<absl::StatusCode>(number);
    if (absl::StatusCodeToString(code) == name) return code;
  }
  return std::nullopt;
}

absl::Status NoAnswer(absl::string_view why) {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kBadMessage,
                         absl::StrCat("this does not answer the REQUEST: ", why));
}

// What an ERROR says; std::nullopt if it does not say it as it should.
std::optional<absl::Status> ErrorOf(const Json& content) {
  const auto code = content.find(kCode);
  const auto message = content.find(kMessage);
  if (code == content.end() || message == content.end() || !code->is_string() || !message->is_string()) {
    return std::nullopt;
  }
  const auto known = CodeFromName(code->get_ref<const std::string&>());
  if (!known) return std::nullopt;
  return absl::Status(*known, message->get_ref<const std::string&>());
}

}  // namespace

Json ErrorContent(const absl::Status& error) {
  std::string text(error.message().substr(0, kMaxText));
  // A cut may have split a character; a text that was never UTF-8 is not worth passing on.
  while (!text.empty() && !IsValidUtf8(text)) text.pop_back();
  Json content = Json::object();
  content[kCode] = absl::StatusCodeToString(error.code());
  content[kMessage] = text;
  return content;
}

absl::Status CheckAnswers(const Question& question, const Message& answer) {
  if (answer.type() != MessageType::kResponse && answer.type() != MessageType::kError) {
    return NoAnswer(absl::StrCat("its type is ", MessageTypeName(answer.type()), ", not RESPONSE or ERROR"));
  }
  if (answer.id() != question.id) return NoAnswer("its id is not the REQUEST's");
  if (answer.sender() != question.recipient || answer.recipient() != question.sender) {
    return NoAnswer("it is not from the REQUEST's recipient to its sender");
  }
  if (answer.type() == MessageType::kError && !ErrorOf(answer.content())) {
    return NoAnswer("an ERROR's content needs a `code`, the name of one of gRPC's but OK, and a `message`");
  }
  return absl::OkStatus();
}

absl::Status StatusOfAnswer(const Message& answer) {
  if (answer.type() == MessageType::kResponse) return absl::OkStatus();
  const std::optional<absl::Status> error = ErrorOf(answer.content());
  return error ? *error : absl::UnknownError("an ERROR that does not say what it is");
}

}  // namespace dotagent::record
