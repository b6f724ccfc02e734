// What answers a REQUEST (§5.1): a RESPONSE, or an ERROR that says what went wrong in one of a closed set of codes.
//
// An answer has the id of the REQUEST, is sent by its recipient and goes to its sender; the signature covers all three,
// so that an answer to one request is none to another, nor to anybody else's.
//
// An ERROR's content: {"code": "NOT_FOUND", "message": "for people to read"}; further members are the agents' own. The
// codes are gRPC's canonical ones by name, but for OK.
//
//   ASSIGN_OR_RETURN(Message answer, Message::Sign({.id = request.id(), .type = MessageType::kError, …,
//                                                   .content = ErrorContent(absl::NotFoundError("no such event"))},
//                                                   key));
//   RETURN_IF_ERROR(CheckAnswers(request, answer));
#ifndef DOTAGENT_COMMON_RECORD_ANSWER_H_
#define DOTAGENT_COMMON_RECORD_ANSWER_H_

#include <string>

#include "absl/status/status.h"
#include "common/record/canonical_json.h"
#include "common/record/message.h"
#include "common/record/name.h"

namespace dotagent::record {

// The content of an ERROR; its text is cut to 1,024 bytes and cleaned of what is not UTF-8. `error` must not be OK.
[[nodiscard]] Json ErrorContent(const absl::Status& error);

// What of a REQUEST its answer is held against: who waits for one need keep no more.
struct Question {
  std::string id;
  Name sender;
  Name recipient;

  explicit Question(const Message& request)
      : id(request.id()), sender(request.sender()), recipient(request.recipient()) {}
};

// InvalidArgument (BAD_MESSAGE) unless `answer` answers `question`; also if it is an ERROR whose content is not as
// above.
[[nodiscard]] absl::Status CheckAnswers(const Question& question, const Message& answer);
[[nodiscard]] inline absl::Status CheckAnswers(const Message& request, const Message& answer) {
  return CheckAnswers(Question(request), answer);
}

// OK of a RESPONSE; of an ERROR what it says, with no reason: the words are the other agent's. After CheckAnswers.
[[nodiscard]] absl::Status StatusOfAnswer(const Message& answer);

}  // namespace dotagent::record

#endif  // DOTAGENT_COMMON_RECORD_ANSWER_H_
