// Lets a fuzzer past the signature: takes any JSON object, makes it `key`'s and signs it.
#ifndef DOTAGENT_TESTS_FUZZ_SIGNED_AGAIN_H_
#define DOTAGENT_TESTS_FUZZ_SIGNED_AGAIN_H_

#include <cstdlib>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/base/bytes.h"
#include "common/crypto/keys.h"
#include "common/record/canonical_json.h"

namespace dotagent::record {

// 2026-11-23T12:00:00Z: what the corpus is dated.
inline absl::Time FuzzTime() { return absl::FromUnixSeconds(1795435200); }

inline crypto::SigningKey FuzzKey() { return *crypto::SigningKey::FromSeed(std::string(32, 'f')); }

inline std::optional<std::string> SignedAgain(absl::string_view input, const crypto::SigningKey& key) {
  auto document = ParseStrictJson(input);
  if (!document.ok() || !document->is_object()) return std::nullopt;
  document->erase("signature");
  if (document->contains("publicKey")) (*document)["publicKey"] = Base64Encode(key.public_key().bytes());
  const auto bytes = CanonicalJson(*document);
  if (!bytes.ok()) std::abort();  // what was parsed can be written
  (*document)["signature"] = Base64Encode(*key.Sign(*bytes));
  return *CanonicalJson(*document);
}

// A refusal is one short line of printable text, whatever the input.
inline void CheckRefusal(const absl::Status& status) {
  const absl::string_view message = status.message();
  if (message.empty() || message.size() > 1024 || message.find('\n') != absl::string_view::npos) std::abort();
}

}  // namespace dotagent::record

#endif  // DOTAGENT_TESTS_FUZZ_SIGNED_AGAIN_H_
