// Resolution records (§2.3): a name's public key and addresses, signed.
//
// The document is exactly the specification's JSON. The signature is Ed25519 over the RFC 8785 form of the document
// without `signature`, base64. The bytes that came in are kept and passed on verbatim.
//
// Defends against data poisoning, replay of old records, and records that two readers understand differently. Every
// refusal has its own reason and message: TOO_LARGE, BAD_RECORD (not JSON, unknown or missing field, bad base64, bad
// timestamp, ttl, protocol), BAD_NAME, BAD_KEY, BAD_SIGNATURE, BAD_ADDRESS, and as FailedPrecondition, since the same
// record may have been fine or may become so, STALE and FUTURE_DATED. All others are InvalidArgument.
//
// `timestamp` is RFC 3339 (timestamp.h), `addresses` are multiaddrs (address.h); both lists may be empty.
//
//   ASSIGN_OR_RETURN(auto record, Record::Sign(fields, key));
//   ASSIGN_OR_RETURN(auto checked, Record::Verify(json_bytes, clock.Now()));
#ifndef DOTAGENT_COMMON_RECORD_RECORD_H_
#define DOTAGENT_COMMON_RECORD_RECORD_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/crypto/keys.h"
#include "common/record/name.h"

namespace dotagent::record {

inline constexpr size_t kMaxRecordSize = 8 * 1024;
inline constexpr absl::Duration kMaxRecordAge = absl::Hours(24 * 7);
inline constexpr absl::Duration kMaxRecordFuture = absl::Minutes(5);
inline constexpr int64_t kMinTtlSeconds = 60;
inline constexpr int64_t kMaxTtlSeconds = 7 * 24 * 3600;
inline constexpr int64_t kDefaultTtlSeconds = 86400;
inline constexpr size_t kMaxAddresses = 32;
inline constexpr size_t kMaxProtocols = 64;
inline constexpr size_t kMaxProtocolSize = 128;  // printable ASCII without spaces

struct RecordFields {
  std::string name;                    // any case; written in lower case
  std::vector<std::string> addresses;  // multiaddrs
  std::vector<std::string> protocols;
  absl::Time timestamp;  // written in UTC with milliseconds
  int64_t ttl_seconds = kDefaultTtlSeconds;
};

// A record that has been verified. A value.
class Record {
 public:
  // Builds and signs a record, in canonical form, then checks it by the rules of Verify. Costs as much as Verify.
  [[nodiscard]] static absl::StatusOr<Record> Sign(const RecordFields& fields, const crypto::Signer& key);

  // Checks in this order: size, strict JSON, fields and types, name, key, signature; then, of what was signed,
  // timestamp against `now`, ttl, addresses, protocols. A record past expires() still verifies: it is true, and whoever
  // serves it decides. Costs about two signature checks: one, and the check that the key is a point.
  [[nodiscard]] static absl::StatusOr<Record> Verify(absl::string_view json, absl::Time now);

  [[nodiscard]] const std::string& json() const { return json_; }  // verbatim
  [[nodiscard]] const Name& name() const { return name_; }
  [[nodiscard]] const crypto::PublicKey& public_key() const { return public_key_; }
  [[nodiscard]] const std::vector<std::string>& addresses() const { return addresses_; }
  [[nodiscard]] const std::vector<std::string>& protocols() const { return protocols_; }
  [[nodiscard]] absl::Time timestamp() const { return timestamp_; }
  [[nodiscard]] absl::Duration ttl() const { return ttl_; }
  // When readers must stop using it: timestamp + ttl.
  [[nodiscard]] absl::Time expires() const { return timestamp_ + ttl_; }

 private:
  Record(std::string json, Name name, crypto::PublicKey public_key)
      : json_(std::move(json)), name_(std::move(name)), public_key_(public_key) {}
  std::string json_;
  Name name_;
  crypto::PublicKey public_key_;
  std::vector<std::string> addresses_;
  std::vector<std::string> protocols_;
  absl::Time timestamp_;
  absl::Duration ttl_;
};

}  // namespace dotagent::record

#endif  // DOTAGENT_COMMON_RECORD_RECORD_H_
