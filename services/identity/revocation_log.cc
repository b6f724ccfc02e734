#include "services/identity/revocation_log.h"

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/status.h"

namespace dotagent::identity_service {
namespace {

constexpr char kLogTable[] = "log/";
constexpr char kKeyTable[] = "key/";
constexpr char kLastKey[] = "last-sequence";

// Fixed width, so that the store's order is the numbers' order.
std::string LogKey(uint64_t sequence) { return absl::StrFormat("%s%020d", kLogTable, sequence); }

absl::StatusOr<uint64_t> ParseSequence(absl::string_view text) {
  uint64_t sequence = 0;
  if (!absl::SimpleAtoi(text, &sequence)) {
    return ErrorWithReason(absl::StatusCode::kDataLoss, reason::kStorage,
                           "the log of revocations holds a number that is none; restore the data folder from a backup");
  }
  return sequence;
}

}  // namespace

absl::StatusOr<RevocationLog> RevocationLog::Open(storage::Store* store) {
  RevocationLog log(store);
  const auto last = store->Get(kLastKey);
  if (last.ok()) {
    ASSIGN_OR_RETURN(log.last_, ParseSequence(*last));
  } else if (!absl::IsNotFound(last.status())) {
    return last.status();
  }
  return log;
}

absl::StatusOr<uint64_t> RevocationLog::Append(const crypto::PublicKey& key, absl::string_view statement, bool* added) {
  *added = false;
  ASSIGN_OR_RETURN(const std::optional<Entry> known, Find(key));
  if (known) return known->sequence;
  const uint64_t sequence = last_ + 1;
  storage::Batch batch;
  batch.Put(LogKey(sequence), statement);
  batch.Put(absl::StrCat(kKeyTable, key.bytes()), absl::StrCat(sequence));
  batch.Put(kLastKey, absl::StrCat(sequence));
  RETURN_IF_ERROR(store_->Write(batch, storage::Durability::kSync));
  last_ = sequence;
  *added = true;
  return sequence;
}

absl::StatusOr<std::optional<RevocationLog::Entry>> RevocationLog::Find(const crypto::PublicKey& key) const {
  const auto number = store_->Get(absl::StrCat(kKeyTable, key.bytes()));
  if (absl::IsNotFound(number.status())) return std::optional<Entry>();
  RETURN_IF_ERROR(number.status());
  ASSIGN_OR_RETURN(const uint64_t sequence, ParseSequence(*number));
  ASSIGN_OR_RETURN(std::string statement, store_->Get(LogKey(sequence)));
  return std::optional<Entry>(Entry{sequence, std::move(statement)});
}

absl::StatusOr<std::optional<RevocationLog::Entry>> RevocationLog::After(uint64_t sequence) const {
  // Numbers have no gaps, so the next entry is one read away.
  if (sequence >= last_) return std::optional<Entry>();
  ASSIGN_OR_RETURN(std::string statement, store_->Get(LogKey(sequence + 1)));
  return std::optional<Entry>(Entry{sequence + 1, std::move(statement)});
}

}  // namespace dotagent::identity_service
