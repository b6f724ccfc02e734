// The C++ side of check_seal.py (words.h):
//
//   hpke-seal ephemeral recipient info aad plaintext   → enc ‖ ciphertext ‖ tag; keys are X25519's
//   hpke-open recipient info aad sealed                → plaintext
//   seal seed recipient UNIXMILLIS fields attachment   → uvarint length ‖ message's JSON ‖ its attachment
//   open seed sender UNIXMILLIS json attachment        → uvarint length ‖ content's JSON ‖ attachment
//
// `fields` is a JSON object of the message's id, type, sender, recipient and content.
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/random.h"
#include "common/base/varint.h"
#include "common/crypto/hpke.h"
#include "common/record/seal.h"
#include "tests/interop/words.h"

namespace dotagent::record {
namespace {

using interop::Words;

absl::StatusOr<std::string> HpkeSeal(Words& words) {
  auto ephemeral = crypto::DhKey::FromPrivate(words.Bytes());
  const std::string recipient = words.Bytes();
  const std::string info = words.Bytes();
  const std::string aad = words.Bytes();
  const std::string plaintext = words.Bytes();
  RETURN_IF_ERROR(words.Finish());
  RETURN_IF_ERROR(ephemeral.status());
  return crypto::HpkeSeal(*std::move(ephemeral), recipient, info, aad, plaintext);
}

absl::StatusOr<std::string> HpkeOpen(Words& words) {
  const auto recipient = crypto::DhKey::FromPrivate(words.Bytes());
  const std::string info = words.Bytes();
  const std::string aad = words.Bytes();
  const std::string sealed = words.Bytes();
  RETURN_IF_ERROR(words.Finish());
  RETURN_IF_ERROR(recipient.status());
  return crypto::HpkeOpen(*recipient, info, aad, sealed);
}

absl::StatusOr<std::string> Seal(Words& words) {
  const auto key = crypto::SigningKey::FromSeed(words.Bytes());
  const crypto::PublicKey recipient = words.Key();
  const absl::Time now = absl::FromUnixMillis(words.Number());
  const absl::StatusOr<Json> fields = ParseStrictJson(words.Bytes());
  const std::string attachment = words.Bytes();
  RETURN_IF_ERROR(words.Finish());
  RETURN_IF_ERROR(key.status());
  RETURN_IF_ERROR(fields.status());
  ASSIGN_OR_RETURN(const MessageType type, ParseMessageType(fields->at("type").get<std::string>()));
  SystemRandom random;
  ASSIGN_OR_RETURN(const SealedMessage sealed, SignSealed({.id = fields->at("id"),
                                                           .type = type,
                                                           .sender = fields->at("sender"),
                                                           .recipient = fields->at("recipient"),
                                                           .timestamp = now,
                                                           .content = fields->at("content")},
                                                          attachment, recipient, *key, random));
  return absl::StrCat(WithLength(sealed.message.json()), sealed.attachment);
}

absl::StatusOr<std::string> Open(Words& words) {
  const auto key = crypto::SigningKey::FromSeed(words.Bytes());
  const crypto::PublicKey sender = words.Key();
  const absl::Time now = absl::FromUnixMillis(words.Number());
  const std::string json = words.Bytes();
  const std::string attachment = words.Bytes();
  RETURN_IF_ERROR(words.Finish());
  RETURN_IF_ERROR(key.status());
  ASSIGN_OR_RETURN(const Message message, Message::Verify(json, sender, now));
  RETURN_IF_ERROR(message.CheckAttachment(attachment));
  ASSIGN_OR_RETURN(const OpenedContent opened, OpenSealed(message, attachment, sender, *key));
  ASSIGN_OR_RETURN(const std::string content, CanonicalJson(opened.content));
  return absl::StrCat(WithLength(content), opened.attachment);
}

absl::StatusOr<std::string> Answer(const std::string& command, Words& words) {
  if (command == "hpke-seal") return HpkeSeal(words);
  if (command == "hpke-open") return HpkeOpen(words);
  if (command == "seal") return Seal(words);
  if (command == "open") return Open(words);
  return absl::InvalidArgumentError("unknown command");
}

}  // namespace
}  // namespace dotagent::record

int main() {
  dotagent::interop::AnswerLines(dotagent::record::Answer);
  return 0;
}
