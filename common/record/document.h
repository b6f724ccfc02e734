// What records and messages have in common: a JSON object of exactly known fields, signed over its canonical form.
// Inside this room only.
//
// signature = base64(Ed25519(JCS(the object without `signature`)))
#ifndef DOTAGENT_COMMON_RECORD_DOCUMENT_H_
#define DOTAGENT_COMMON_RECORD_DOCUMENT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "common/crypto/keys.h"
#include "common/record/canonical_json.h"

namespace dotagent::record {

inline constexpr absl::Duration kMaxFuture = absl::Minutes(5);

enum class FieldType { kString, kInteger, kStrings, kObject };

struct Field {
  absl::string_view name;
  FieldType type;
};

struct DocumentKind {
  absl::string_view noun;    // for messages: "record"
  absl::string_view reason;  // of a malformed one
  size_t max_size;
  absl::string_view size_hint;     // what to do about one that is too large
  absl::Span<const Field> fields;  // all of them, each required; `signature` is one
  absl::string_view version = {};  // the protocol whose documents these are; a field `version` is refused with it
};

// A document of the right shape. Its signature is checked by VerifySignature, its values by the caller.
class Document {
 public:
  // Size, strict JSON, then fields and their types.
  [[nodiscard]] static absl::StatusOr<Document> Parse(const DocumentKind& kind, absl::string_view json);

  // Adds `signature` to `members` (which has the other fields); returns the canonical form of the whole, which Parse
  // takes.
  [[nodiscard]] static absl::StatusOr<std::string> Sign(const DocumentKind& kind, Json members,
                                                        const crypto::Signer& key);

  [[nodiscard]] absl::Status VerifySignature(const crypto::PublicKey& key) const;

  // InvalidArgument unless `timestamp` is one; FailedPrecondition (FUTURE_DATED) if it is over kMaxFuture ahead of
  // `now`.
  [[nodiscard]] absl::StatusOr<absl::Time> CheckTimestamp(absl::Time now) const;

  // The values; the field must be one of the kind's but `signature`, of that type.
  [[nodiscard]] const std::string& String(absl::string_view field) const;
  [[nodiscard]] int64_t Integer(absl::string_view field) const;
  [[nodiscard]] std::vector<std::string> Strings(absl::string_view field) const;
  [[nodiscard]] const Json& Value(absl::string_view field) const;

  // "record: PROBLEM", with the kind's reason.
  [[nodiscard]] absl::Status Bad(absl::string_view problem) const;

 private:
  Document(const DocumentKind& kind, Json members, std::string signature)
      : kind_(&kind), members_(std::move(members)), signature_(std::move(signature)) {}
  const DocumentKind* kind_;
  Json members_;  // that are signed
  std::string signature_;
};

}  // namespace dotagent::record

#endif  // DOTAGENT_COMMON_RECORD_DOCUMENT_H_
