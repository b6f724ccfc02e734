// The C++ side of check_record.py: answers one line for each line of standard input.
//
//   canonical BASE64(json)                              → ok BASE64(canonical form)
//   record-verify UNIXMILLIS BASE64(json)               → ok
//   message-verify UNIXMILLIS BASE64(key) BASE64(json)  → ok
//   record-sign BASE64(seed) UNIXMILLIS BASE64(fields)  → ok BASE64(json)
//   message-sign BASE64(seed) UNIXMILLIS BASE64(fields) → ok BASE64(json)
//
// or "refused REASON message". `fields` is a JSON object of the document's fields without key, timestamp and signature.
#include <iostream>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/bytes.h"
#include "common/base/status.h"
#include "common/record/canonical_json.h"
#include "common/record/message.h"
#include "common/record/record.h"

namespace dotagent::record {
namespace {

absl::StatusOr<absl::Time> ReadTime(absl::string_view text) {
  int64_t millis = 0;
  if (!absl::SimpleAtoi(text, &millis)) return absl::InvalidArgumentError("the time is no number of milliseconds");
  return absl::FromUnixMillis(millis);
}

absl::StatusOr<crypto::SigningKey> ReadSeed(absl::string_view text) {
  ASSIGN_OR_RETURN(const std::string seed, Base64Decode(text));
  return crypto::SigningKey::FromSeed(seed);
}

absl::StatusOr<Json> ReadJson(absl::string_view text) {
  ASSIGN_OR_RETURN(const std::string json, Base64Decode(text));
  return ParseStrictJson(json);
}

absl::StatusOr<std::string> SignRecord(absl::string_view seed, absl::string_view time, absl::string_view text) {
  ASSIGN_OR_RETURN(const crypto::SigningKey key, ReadSeed(seed));
  ASSIGN_OR_RETURN(const absl::Time timestamp, ReadTime(time));
  ASSIGN_OR_RETURN(const Json fields, ReadJson(text));
  ASSIGN_OR_RETURN(const Record record, Record::Sign({.name = fields.at("name"),
                                                      .addresses = fields.at("addresses"),
                                                      .protocols = fields.at("protocols"),
                                                      .timestamp = timestamp,
                                                      .ttl_seconds = fields.at("ttl")},
                                                     key));
  return record.json();
}

absl::StatusOr<std::string> SignMessage(absl::string_view seed, absl::string_view time, absl::string_view text) {
  ASSIGN_OR_RETURN(const crypto::SigningKey key, ReadSeed(seed));
  ASSIGN_OR_RETURN(const absl::Time timestamp, ReadTime(time));
  ASSIGN_OR_RETURN(const Json fields, ReadJson(text));
  ASSIGN_OR_RETURN(const MessageType type, ParseMessageType(fields.at("type").get<std::string>()));
  ASSIGN_OR_RETURN(const Message message, Message::Sign({.id = fields.at("id"),
                                                         .type = type,
                                                         .sender = fields.at("sender"),
                                                         .recipient = fields.at("recipient"),
                                                         .timestamp = timestamp,
                                                         .content = fields.at("content")},
                                                        key));
  return message.json();
}

absl::StatusOr<std::string> VerifyRecord(absl::string_view now_text, absl::string_view text) {
  ASSIGN_OR_RETURN(const absl::Time now, ReadTime(now_text));
  ASSIGN_OR_RETURN(const std::string json, Base64Decode(text));
  RETURN_IF_ERROR(Record::Verify(json, now).status());
  return "";
}

absl::StatusOr<std::string> VerifyMessage(absl::string_view now_text, absl::string_view key_text,
                                          absl::string_view text) {
  ASSIGN_OR_RETURN(const absl::Time now, ReadTime(now_text));
  ASSIGN_OR_RETURN(const std::string key_bytes, Base64Decode(key_text));
  ASSIGN_OR_RETURN(const crypto::PublicKey key, crypto::PublicKey::FromBytes(key_bytes));
  ASSIGN_OR_RETURN(const std::string json, Base64Decode(text));
  RETURN_IF_ERROR(Message::Verify(json, key, now).status());
  return "";
}

absl::StatusOr<std::string> Answer(const std::vector<std::string>& words) {
  const auto is = [&](absl::string_view command, size_t arguments) {
    return words[0] == command && words.size() == arguments + 1;
  };
  if (is("record-sign", 3)) return SignRecord(words[1], words[2], words[3]);
  if (is("message-sign", 3)) return SignMessage(words[1], words[2], words[3]);
  if (is("record-verify", 2)) return VerifyRecord(words[1], words[2]);
  if (is("message-verify", 3)) return VerifyMessage(words[1], words[2], words[3]);
  if (is("canonical", 1)) {
    ASSIGN_OR_RETURN(const Json value, ReadJson(words[1]));
    return CanonicalJson(value);
  }
  return absl::InvalidArgumentError("unknown command");
}

}  // namespace
}  // namespace dotagent::record

int main() {
  std::string line;
  while (std::getline(std::cin, line)) {
    const auto answer = dotagent::record::Answer(absl::StrSplit(line, ' '));
    if (answer.ok()) {
      std::cout << "ok " << dotagent::Base64Encode(*answer) << std::endl;
    } else {
      const std::string reason = dotagent::ReasonOf(answer.status());
      std::cout << "refused " << (reason.empty() ? "-" : reason) << " " << answer.status().message() << std::endl;
    }
  }
  return 0;
}
