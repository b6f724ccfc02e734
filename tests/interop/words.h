// What the C++ sides of these checks have in common: a question is a line of words, its answer a line too. Words are
// base64, but for numbers; "-" is nothing.
//
//   ask: COMMAND WORD…        answer: ok BASE64      or      refused REASON message
#ifndef DOTAGENT_TESTS_INTEROP_WORDS_H_
#define DOTAGENT_TESTS_INTEROP_WORDS_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <iostream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "common/base/bytes.h"
#include "common/base/status.h"
#include "common/crypto/keys.h"

namespace dotagent::interop {

// A line's words, read one after the other. The first that is wrong is kept.
class Words {
 public:
  explicit Words(const std::string& line) : words_(absl::StrSplit(line, ' ')) {}

  std::string Text() { return next_ < words_.size() ? words_[next_++] : Missing(); }
  std::string Bytes() {
    const std::string text = Text();
    if (text == "-") return "";
    absl::StatusOr<std::string> bytes = Base64Decode(text);
    if (!bytes.ok()) Note(bytes.status());
    return bytes.value_or("");
  }
  int64_t Number() {
    int64_t number = 0;
    if (!absl::SimpleAtoi(Text(), &number)) Note(absl::InvalidArgumentError("no number"));
    return number;
  }
  crypto::PublicKey Key() {
    const auto key = crypto::PublicKey::FromUncheckedBytes(Bytes());
    if (!key.ok()) Note(key.status());
    return key.value_or(crypto::PublicKey());
  }
  [[nodiscard]] bool more() const { return next_ < words_.size(); }
  absl::Status Finish() const {
    if (status_.ok() && next_ < words_.size()) return absl::InvalidArgumentError("too many words");
    return status_;
  }

 private:
  std::string Missing() {
    Note(absl::InvalidArgumentError("too few words"));
    return "";
  }
  void Note(const absl::Status& status) {
    if (status_.ok()) status_ = status;
  }
  const std::vector<std::string> words_;
  size_t next_ = 0;
  absl::Status status_;
};

// Answers every line of standard input.
inline void AnswerLines(const std::function<absl::StatusOr<std::string>(const std::string& command, Words&)>& answer) {
  std::string line;
  while (std::getline(std::cin, line)) {
    Words words(line);
    const std::string command = words.Text();
    const auto answered = answer(command, words);
    if (answered.ok()) {
      std::cout << "ok " << Base64Encode(*answered) << std::endl;
    } else {
      const std::string reason = ReasonOf(answered.status());
      std::cout << "refused " << (reason.empty() ? "-" : reason) << " " << answered.status().message() << std::endl;
    }
  }
}

}  // namespace dotagent::interop

#endif  // DOTAGENT_TESTS_INTEROP_WORDS_H_
