#include "common/dht/record_value.h"

#include <algorithm>
#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/dht/owner_proof.h"
#include "common/dht/wire.h"
#include "common/identity/name_certificate.h"
#include "common/record/record.h"
#include "dotagent/dht/v1/dht.pb.h"

namespace dotagent::dht {
namespace {

absl::StatusOr<v1::Proof> ParseProof(const std::string& bytes) {
  if (bytes.size() > kMaxProofSize) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kTooLarge,
                           absl::StrCat("the proof that goes with the record has ", bytes.size(), " bytes; at most ",
                                        kMaxProofSize, " are allowed"));
  }
  v1::Proof proof;
  if (proof.ParseFromString(bytes)) return proof;
  return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kBadStatement,
                         "the proof that goes with the record is not a dotagent.dht.v1.Proof");
}

absl::StatusOr<identity::NameCertificate> CheckCertificate(const record::Record& record, const std::string& bytes,
                                                           const std::vector<crypto::PublicKey>& registrars,
                                                           absl::Time now) {
  if (bytes.empty()) {
    return ErrorWithReason(absl::StatusCode::kPermissionDenied, reason::kNotCertified,
                           absl::StrCat("names here need a registrar's certificate, and the record of ",
                                        record.name().text(), " has none; ask the registrar for one"));
  }
  ASSIGN_OR_RETURN(identity::NameCertificate certificate,
                   identity::VerifyNameCertificateFor(record.public_key(), bytes, registrars, now));
  if (certificate.name == record.name().text()) return certificate;
  return ErrorWithReason(absl::StatusCode::kPermissionDenied, reason::kNotCertified,
                         absl::StrCat("the certificate is for ", certificate.name, ", not for ", record.name().text()));
}

}  // namespace

std::string EncodeProof(const record::NameProof& proof) {
  v1::Proof out;
  out.set_rotation_chain(proof.rotation_chain);
  out.set_name_certificate(proof.name_certificate);
  return out.SerializeAsString();
}

size_t RecordValue::max_size() const { return record::kMaxRecordSize; }

absl::StatusOr<Value> RecordValue::Validate(const Item& item, absl::Time now) const {
  ASSIGN_OR_RETURN(const record::Record record, record::Record::Verify(item.bytes, now));
  if (record.expires() <= now) {
    return ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kStale,
                           absl::StrCat("the record of ", record.name().text(), " expired at ",
                                        absl::FormatTime(record.expires(), absl::UTCTimeZone()), "; sign a new one"));
  }
  ASSIGN_OR_RETURN(const Id key, Id::FromBytes(record.name().DhtKey()));
  Value value{.kind = ValueKind::kRecord,
              .key = key,
              .signer = record.public_key(),
              .timestamp = record.timestamp(),
              .expires = record.expires(),
              .item = item};
  ASSIGN_OR_RETURN(const v1::Proof proof, ParseProof(item.proof));
  ASSIGN_OR_RETURN(value.owner, OwnerOf(value.signer, proof.rotation_chain(), now));
  if (policy_.registrars.empty()) return value;
  ASSIGN_OR_RETURN(const identity::NameCertificate certificate,
                   CheckCertificate(record, proof.name_certificate(), policy_.registrars, now));
  value.certified = certificate.not_before;
  value.expires = std::min(value.expires, certificate.not_after);
  return value;
}

absl::StatusOr<bool> RecordValue::Replaces(const Value& held, const Value& offered) const {
  if (offered.item.bytes == held.item.bytes && offered.certified <= held.certified) return false;
  // After a rotation no date makes up for the wrong key: whoever stole the old one can sign with any.
  if (offered.owner == held.owner && offered.signer != held.signer) {
    ASSIGN_OR_RETURN(const v1::Proof ours, ParseProof(held.item.proof));
    ASSIGN_OR_RETURN(const v1::Proof theirs, ParseProof(offered.item.proof));
    return TookThePlaceOf({held.signer, ours.rotation_chain()}, {offered.signer, theirs.rotation_chain()});
  }
  // The registrar's newest word decides; of one owner's records, his own; of one instant's, all nodes keep the same.
  const auto rank = [](const Value& value) {
    return std::make_tuple(value.certified, value.timestamp, absl::string_view(value.item.bytes));
  };
  if (rank(offered) > rank(held)) return true;
  if (offered.owner != held.owner) {
    return ErrorWithReason(absl::StatusCode::kAlreadyExists, reason::kNameTaken,
                           "a registrar certified another key for this name since; ask it for a new certificate");
  }
  return ErrorWithReason(
      absl::StatusCode::kFailedPrecondition, reason::kSuperseded,
      absl::StrCat("a record of ", absl::FormatTime(held.timestamp, absl::UTCTimeZone()),
                   " is already held, newer than this one of ",
                   absl::FormatTime(offered.timestamp, absl::UTCTimeZone()), "; sign one with the current time"));
}

absl::Status RecordValue::Absent() const {
  return ErrorWithReason(absl::StatusCode::kNotFound, reason::kNameNotFound,
                         "no node holds a record of this name; check its spelling, or ask its owner to register it");
}

}  // namespace dotagent::dht
