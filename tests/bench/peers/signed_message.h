// The specification's messages with the key that signed them before them: what agents exchange, with nothing of what
// says who holds the key, or whether they may.
#ifndef DOTAGENT_TESTS_BENCH_PEERS_SIGNED_MESSAGE_H_
#define DOTAGENT_TESTS_BENCH_PEERS_SIGNED_MESSAGE_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "common/base/status.h"
#include "common/crypto/keys.h"
#include "common/record/message.h"

namespace dotagent::bench {

// One signature.
[[nodiscard]] inline absl::StatusOr<std::string> SignMessage(const crypto::SigningKey& key, record::MessageType type,
                                                             const std::string& id, const record::Json& content) {
  const bool asks = type == record::MessageType::kRequest;
  ASSIGN_OR_RETURN(const record::Message message,
                   record::Message::Sign({.id = id,
                                          .type = type,
                                          .sender = asks ? "alice.bench.agent" : "bob.bench.agent",
                                          .recipient = asks ? "bob.bench.agent" : "alice.bench.agent",
                                          .timestamp = absl::Now(),
                                          .content = content},
                                         key));
  return absl::StrCat(key.public_key().bytes(), message.json());
}

// One verification.
[[nodiscard]] inline absl::StatusOr<record::Message> VerifyMessage(absl::string_view bytes) {
  ASSIGN_OR_RETURN(const auto key, crypto::PublicKey::FromUncheckedBytes(bytes.substr(0, crypto::kPublicKeySize)));
  return record::Message::Verify(bytes.substr(crypto::kPublicKeySize), key, absl::Now());
}

}  // namespace dotagent::bench

#endif  // DOTAGENT_TESTS_BENCH_PEERS_SIGNED_MESSAGE_H_
