// Messages, as they come and signed again: no input crashes, and what is accepted can be signed as it was read.
#include "common/record/message.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "tests/fuzz/signed_again.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using dotagent::record::Message;
  const absl::string_view input(reinterpret_cast<const char*>(data), size);
  const absl::Time now = dotagent::record::FuzzTime();
  static const dotagent::crypto::SigningKey key = dotagent::record::FuzzKey();
  const auto raw = Message::Verify(input, key.public_key(), now);
  if (!raw.ok()) dotagent::record::CheckRefusal(raw.status());

  const auto json = dotagent::record::SignedAgain(input, key);
  if (!json) return 0;
  const auto message = Message::Verify(*json, key.public_key(), now);
  if (!message.ok()) {
    dotagent::record::CheckRefusal(message.status());
    return 0;
  }
  const absl::Status attachment = message->CheckAttachment(input);
  if (!attachment.ok()) dotagent::record::CheckRefusal(attachment);
  const auto copy = Message::Sign({.id = message->id(),
                                   .type = message->type(),
                                   .sender = message->sender().text(),
                                   .recipient = message->recipient().text(),
                                   .timestamp = message->timestamp(),
                                   .content = message->content()},
                                  key);
  // The copy's timestamp has milliseconds, so that it may be a few bytes longer.
  if (!copy.ok() && json->size() + 64 < dotagent::record::kMaxMessageSize) std::abort();
  return 0;
}
