#include "common/record/record.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/base/status.h"
#include "common/record/address.h"
#include "common/record/document.h"
#include "common/record/timestamp.h"

namespace dotagent::record {
namespace {

static_assert(kMaxRecordFuture == kMaxFuture);

constexpr Field kFields[] = {
    {"name", FieldType::kString},       {"publicKey", FieldType::kString}, {"addresses", FieldType::kStrings},
    {"protocols", FieldType::kStrings}, {"timestamp", FieldType::kString}, {"ttl", FieldType::kInteger},
    {"signature", FieldType::kString},
};

constexpr DocumentKind kRecordKind = {
    .noun = "record",
    .reason = reason::kBadRecord,
    .max_size = kMaxRecordSize,
    .size_hint = "list fewer addresses or protocols",
    .fields = kFields,
};

absl::StatusOr<crypto::PublicKey> ReadPublicKey(const Document& document) {
  const absl::StatusOr<std::string> bytes = Base64Decode(document.String("publicKey"));
  if (!bytes.ok()) return document.Bad(absl::StrCat("field \"publicKey\" is ", bytes.status().message()));
  absl::StatusOr<crypto::PublicKey> key = crypto::PublicKey::FromBytes(*bytes);
  if (!key.ok()) return WithContext(key.status(), "record: field \"publicKey\"");
  return key;
}

absl::StatusOr<absl::Time> CheckAge(const Document& document, absl::Time now) {
  ASSIGN_OR_RETURN(const absl::Time timestamp, document.CheckTimestamp(now));
  const absl::Duration age = now - timestamp;
  if (age > kMaxRecordAge) {
    const int64_t days = age / absl::Hours(24);
    return ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kStale,
                           absl::StrCat("record: timestamp ", document.String("timestamp"), " is ", days,
                                        " days old; records older than 7 days are refused: sign it again with the "
                                        "current time"));
  }
  return timestamp;
}

absl::StatusOr<absl::Duration> CheckTtl(const Document& document) {
  const int64_t seconds = document.Integer("ttl");
  if (seconds < kMinTtlSeconds || seconds > kMaxTtlSeconds) {
    return document.Bad(
        absl::StrCat("ttl is ", seconds, " seconds; it must be ", kMinTtlSeconds, " to ", kMaxTtlSeconds));
  }
  return absl::Seconds(seconds);
}

absl::StatusOr<std::vector<std::string>> CheckAddresses(const Document& document) {
  std::vector<std::string> addresses = document.Strings("addresses");
  if (addresses.size() > kMaxAddresses) {
    return document.Bad(absl::StrCat("it lists ", addresses.size(), " addresses; at most ", kMaxAddresses,
                                     " are allowed: remove some"));
  }
  for (const std::string& address : addresses) {
    RETURN_IF_ERROR(WithContext(CheckAddress(address), "record"));
  }
  return addresses;
}

absl::StatusOr<std::vector<std::string>> CheckProtocols(const Document& document) {
  std::vector<std::string> protocols = document.Strings("protocols");
  if (protocols.size() > kMaxProtocols) {
    return document.Bad(absl::StrCat("it lists ", protocols.size(), " protocols; at most ", kMaxProtocols,
                                     " are allowed: remove some"));
  }
  for (const std::string& protocol : protocols) {
    if (protocol.empty() || protocol.size() > kMaxProtocolSize ||
        !std::all_of(protocol.begin(), protocol.end(), absl::ascii_isgraph)) {
      return document.Bad(absl::StrCat("protocol \"", absl::CHexEscape(protocol.substr(0, 40)), "\" must be 1–",
                                       kMaxProtocolSize, " printable ASCII characters without spaces"));
    }
  }
  return protocols;
}

}  // namespace

absl::StatusOr<Record> Record::Sign(const RecordFields& fields, const crypto::Signer& key) {
  ASSIGN_OR_RETURN(const Name name, Name::Parse(fields.name));
  ASSIGN_OR_RETURN(const std::string json, Document::Sign(kRecordKind,
                                                          {{"name", name.text()},
                                                           {"publicKey", Base64Encode(key.public_key().bytes())},
                                                           {"addresses", fields.addresses},
                                                           {"protocols", fields.protocols},
                                                           {"timestamp", FormatTimestamp(fields.timestamp)},
                                                           {"ttl", fields.ttl_seconds}},
                                                          key));
  return Verify(json, fields.timestamp);
}

absl::StatusOr<Record> Record::Verify(absl::string_view json, absl::Time now) {
  ASSIGN_OR_RETURN(const Document document, Document::Parse(kRecordKind, json));
  ASSIGN_OR_RETURN(Name name, Name::Parse(document.String("name")));
  ASSIGN_OR_RETURN(const crypto::PublicKey key, ReadPublicKey(document));
  RETURN_IF_ERROR(document.VerifySignature(key));
  Record record(std::string(json), std::move(name), key);
  ASSIGN_OR_RETURN(record.timestamp_, CheckAge(document, now));
  ASSIGN_OR_RETURN(record.ttl_, CheckTtl(document));
  ASSIGN_OR_RETURN(record.addresses_, CheckAddresses(document));
  ASSIGN_OR_RETURN(record.protocols_, CheckProtocols(document));
  return record;
}

}  // namespace dotagent::record
