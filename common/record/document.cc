#include "common/record/document.h"

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/bytes.h"
#include "common/base/status.h"
#include "common/record/timestamp.h"

namespace dotagent::record {
namespace {

constexpr char kSignature[] = "signature";

absl::Status Refuse(const DocumentKind& kind, absl::string_view problem) {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument, kind.reason, absl::StrCat(kind.noun, ": ", problem));
}

std::string Quoted(absl::string_view name) { return absl::StrCat("\"", absl::CHexEscape(name.substr(0, 40)), "\""); }

bool HasType(const Json& value, FieldType type) {
  switch (type) {
    case FieldType::kString:
      return value.is_string();
    case FieldType::kInteger:
      return value.is_number_integer();
    case FieldType::kStrings:
      return value.is_array() &&
             std::all_of(value.begin(), value.end(), [](const Json& element) { return element.is_string(); });
    case FieldType::kObject:
      return value.is_object();
  }
  return false;
}

absl::string_view TypeName(FieldType type) {
  switch (type) {
    case FieldType::kString:
      return "a string";
    case FieldType::kInteger:
      return "a whole number";
    case FieldType::kStrings:
      return "a list of strings";
    case FieldType::kObject:
      return "an object";
  }
  return "";
}

std::string FieldNames(const DocumentKind& kind) {
  return absl::StrJoin(kind.fields, ", ",
                       [](std::string* out, const Field& field) { absl::StrAppend(out, field.name); });
}

absl::Status CheckFields(const DocumentKind& kind, const Json& members) {
  if (!members.is_object()) return Refuse(kind, "it must be a JSON object");
  for (const Field& field : kind.fields) {
    const auto found = members.find(std::string(field.name));
    if (found == members.end()) {
      return Refuse(kind, absl::StrCat("field \"", field.name, "\" is missing",
                                       field.name == kSignature ? "; sign it" : "; add it and sign again"));
    }
    if (!HasType(*found, field.type)) {
      return Refuse(kind, absl::StrCat("field \"", field.name, "\" must be ", TypeName(field.type)));
    }
  }
  if (const auto version = members.find("version"); version != members.end() && !kind.version.empty()) {
    return ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kVersion,
                           absl::StrCat(kind.noun, ": it is of a version, ",
                                        Quoted(version->is_string() ? version->get_ref<const std::string&>() : "?"),
                                        ", that is not spoken here: only ", kind.version, ", which has no such field"));
  }
  for (const auto& [name, value] : members.items()) {
    if (std::none_of(kind.fields.begin(), kind.fields.end(),
                     [&, &member = name](const Field& field) { return field.name == member; })) {
      return Refuse(kind, absl::StrCat("field ", Quoted(name), " is unknown; it may have exactly ", FieldNames(kind)));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> Canonical(const DocumentKind& kind, const Json& members) {
  absl::StatusOr<std::string> bytes = CanonicalJson(members);
  if (!bytes.ok()) return Refuse(kind, bytes.status().message());
  return bytes;
}

absl::Status CheckSize(const DocumentKind& kind, absl::string_view json) {
  if (json.size() <= kind.max_size) return absl::OkStatus();
  return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kTooLarge,
                         absl::StrCat(kind.noun, ": it has ", json.size(), " bytes; at most ", kind.max_size,
                                      " are allowed: ", kind.size_hint));
}

}  // namespace

absl::StatusOr<Document> Document::Parse(const DocumentKind& kind, absl::string_view json) {
  RETURN_IF_ERROR(CheckSize(kind, json));
  absl::StatusOr<Json> members = ParseStrictJson(json);
  if (!members.ok()) return Refuse(kind, members.status().message());
  RETURN_IF_ERROR(CheckFields(kind, *members));
  const auto signature = members->find(kSignature);
  std::string taken = std::move(signature->get_ref<std::string&>());
  members->erase(signature);
  return Document(kind, *std::move(members), std::move(taken));
}

absl::StatusOr<std::string> Document::Sign(const DocumentKind& kind, Json members, const crypto::Signer& key) {
  ASSIGN_OR_RETURN(const std::string bytes, Canonical(kind, members));
  ASSIGN_OR_RETURN(const std::string signature, key.Sign(bytes));
  members[kSignature] = Base64Encode(signature);
  RETURN_IF_ERROR(CheckFields(kind, members));
  ASSIGN_OR_RETURN(std::string json, Canonical(kind, members));
  RETURN_IF_ERROR(CheckSize(kind, json));
  return json;
}

absl::Status Document::VerifySignature(const crypto::PublicKey& key) const {
  const absl::StatusOr<std::string> signature = Base64Decode(signature_);
  if (!signature.ok()) {
    return Bad(absl::StrCat("field \"signature\" is ", signature.status().message(), "; sign it again"));
  }
  if (signature->empty()) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kBadSignature,
                           absl::StrCat(kind_->noun, ": it is not signed: field \"signature\" is empty; sign it"));
  }
  ASSIGN_OR_RETURN(const std::string bytes, Canonical(*kind_, members_));
  return WithContext(crypto::Verify(key, bytes, *signature), kind_->noun);
}

absl::StatusOr<absl::Time> Document::CheckTimestamp(absl::Time now) const {
  const absl::StatusOr<absl::Time> time = ParseTimestamp(String("timestamp"));
  if (!time.ok()) return Bad(time.status().message());
  if (*time > now + kMaxFuture) {
    return ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kFutureDated,
                           absl::StrCat(kind_->noun, ": timestamp ", String("timestamp"), " is ",
                                        absl::FormatDuration(absl::Trunc(*time - now, absl::Seconds(1))),
                                        " ahead of this clock; at most 5 minutes are allowed: set the clock, and sign "
                                        "it again with the current time"));
  }
  return *time;
}

const std::string& Document::String(absl::string_view field) const {
  return Value(field).get_ref<const std::string&>();
}

int64_t Document::Integer(absl::string_view field) const { return Value(field).get<int64_t>(); }

std::vector<std::string> Document::Strings(absl::string_view field) const {
  return Value(field).get<std::vector<std::string>>();
}

const Json& Document::Value(absl::string_view field) const { return *members_.find(std::string(field)); }

absl::Status Document::Bad(absl::string_view problem) const { return Refuse(*kind_, problem); }

}  // namespace dotagent::record
