#include "services/identity/certificate_log.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/base/status.h"
#include "common/identity/name_certificate.h"

namespace dotagent::identity_service {
namespace {

constexpr absl::string_view kTable = "cert/";
constexpr absl::string_view kKeyTable = "certified/";
constexpr size_t kNumberSize = 8;
constexpr size_t kLengthSize = 2;
// Twice as many at a commit as could have come with one of one entry: the log shrinks as it should.
constexpr size_t kDropAtOnce = 64;

std::string BigEndian(uint64_t value, size_t size) {
  std::string bytes(size, '\0');
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(value >> (8 * (size - 1 - i)));
  return bytes;
}

uint64_t FromBigEndian(absl::string_view bytes) {
  uint64_t value = 0;
  for (const char byte : bytes) value = value << 8 | static_cast<uint8_t>(byte);
  return value;
}

// The row by which a certificate's key is found; empty for bytes that are no certificate.
std::string KeyRow(absl::string_view name_der) {
  const auto key = identity::KeyBytesOfNameCertificate(name_der);
  return key.ok() ? absl::StrCat(kKeyTable, *key) : "";
}

absl::StatusOr<CertificateLog::Entry> Decode(absl::string_view row, absl::string_view bytes) {
  const absl::string_view number = row.substr(kTable.size());
  const size_t header = kNumberSize + kLengthSize;
  if (number.size() == kNumberSize && bytes.size() > header) {
    const size_t length = FromBigEndian(bytes.substr(kNumberSize, kLengthSize));
    if (length <= bytes.size() - header) {
      return CertificateLog::Entry{
          .number = FromBigEndian(number),
          .ends = absl::FromUnixMillis(static_cast<int64_t>(FromBigEndian(bytes.substr(0, kNumberSize)))),
          .certificates = {.name_der = std::string(bytes.substr(header, length)),
                           .svid_der = std::string(bytes.substr(header + length))}};
    }
  }
  return ErrorWithReason(absl::StatusCode::kDataLoss, reason::kStorage,
                         "an entry of the log of certificates in the data folder is damaged; restore the folder from a "
                         "copy");
}

}  // namespace

absl::StatusOr<CertificateLog> CertificateLog::Open(storage::Store* store) {
  CertificateLog log(store);
  absl::Status bad;
  RETURN_IF_ERROR(store->Scan(kTable, kTable, [&](absl::string_view row, absl::string_view bytes) {
    const absl::StatusOr<Entry> entry = Decode(row, bytes);
    bad = entry.status();
    if (entry.ok()) log.last_ = entry->number;
    return entry.ok();
  }));
  RETURN_IF_ERROR(bad);
  return log;
}

void CertificateLog::Append(const identity::IssuedCertificates& certificates, absl::Time ends,
                            std::function<void(const absl::Status&)> done, storage::Batch also) {
  for (auto& [key, value] : also.changes()) {
    if (value) {
      batch_.Put(key, *value);
    } else {
      batch_.Delete(key);
    }
  }
  const std::string number = BigEndian(++last_, kNumberSize);
  if (const std::string row = KeyRow(certificates.name_der); !row.empty()) batch_.Put(row, number);
  batch_.Put(
      absl::StrCat(kTable, number),
      absl::StrCat(BigEndian(static_cast<uint64_t>(absl::ToUnixMillis(ends)), kNumberSize),
                   BigEndian(certificates.name_der.size(), kLengthSize), certificates.name_der, certificates.svid_der));
  waiting_.push_back(std::move(done));
}

absl::Status CertificateLog::AddExpired(absl::Time now, storage::Batch& batch) const {
  size_t dropped = 0;
  return store_->Scan(kTable, kTable, [&](absl::string_view row, absl::string_view bytes) {
    const absl::StatusOr<Entry> entry = Decode(row, bytes);
    if (!entry.ok() || now < entry->ends + kCertificateKept || ++dropped > kDropAtOnce) return false;
    batch.Delete(row);
    const std::string of_key = KeyRow(entry->certificates.name_der);
    const auto newest = store_->Get(of_key);
    if (newest.ok() && *newest == row.substr(kTable.size())) batch.Delete(of_key);
    return true;
  });
}

void CertificateLog::Commit(absl::Time now) {
  if (waiting_.empty()) return;
  // A callback may append again: that is the next commit's.
  storage::Batch fresh = std::exchange(batch_, {});
  const auto waiting = std::exchange(waiting_, {});
  storage::Batch batch;
  absl::Status written = AddExpired(now, batch);
  batch.Append(std::move(fresh));  // behind: a key whose old entry goes may have its new one here
  if (written.ok()) written = store_->Write(batch, storage::Durability::kSync);
  for (const auto& done : waiting) done(written);
}

absl::StatusOr<bool> CertificateLog::Knows(const crypto::PublicKey& key) const {
  const auto newest = store_->Get(absl::StrCat(kKeyTable, key.bytes()));
  if (absl::IsNotFound(newest.status())) return false;
  RETURN_IF_ERROR(newest.status());
  return true;
}

absl::StatusOr<std::optional<CertificateLog::Entry>> CertificateLog::After(uint64_t number) const {
  absl::StatusOr<std::optional<Entry>> found = std::optional<Entry>();
  RETURN_IF_ERROR(store_->Scan(kTable, absl::StrCat(kTable, BigEndian(number + 1, kNumberSize)),
                               [&](absl::string_view row, absl::string_view bytes) {
                                 const absl::StatusOr<Entry> entry = Decode(row, bytes);
                                 if (entry.ok()) {
                                   found = std::optional<Entry>(*entry);
                                 } else {
                                   found = entry.status();
                                 }
                                 return false;
                               }));
  return found;
}

}  // namespace dotagent::identity_service
