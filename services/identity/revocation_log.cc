#include "services/identity/revocation_log.h"

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/status.h"

namespace dotagent::identity_service {
namespace {

constexpr char kLogTable[] = "log/";
constexpr char kTokenLogTable[] = "token-log/";
constexpr char kChainTable[] = "chain/";
constexpr char kKeyTable[] = "key/";
constexpr char kBlockTable[] = "block/";
constexpr char kLastKey[] = "last-sequence";
constexpr char kStrangersKey[] = "stranger-bytes";
constexpr uint64_t kRowsBytes = 128;  // of an entry's keys and numbers, about

// Fixed width, so that the store's order is the numbers' order.
std::string LogKey(const char* table, uint64_t sequence) { return absl::StrFormat("%s%020d", table, sequence); }

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
  ASSIGN_OR_RETURN(const std::optional<uint64_t> last, log.NumberAt(kLastKey));
  ASSIGN_OR_RETURN(const std::optional<uint64_t> strangers, log.NumberAt(kStrangersKey));
  log.last_ = last.value_or(0);
  log.stranger_bytes_ = strangers.value_or(0);
  return log;
}

absl::StatusOr<std::optional<uint64_t>> RevocationLog::NumberAt(const std::string& index) const {
  const auto number = store_->Get(index);
  if (absl::IsNotFound(number.status())) return std::optional<uint64_t>();
  RETURN_IF_ERROR(number.status());
  ASSIGN_OR_RETURN(const uint64_t sequence, ParseSequence(*number));
  return std::optional<uint64_t>(sequence);
}

absl::StatusOr<uint64_t> RevocationLog::AppendAt(const std::string& index, Entry entry, Of of, bool* added) {
  *added = false;
  ASSIGN_OR_RETURN(const std::optional<uint64_t> known, NumberAt(index));
  if (known) return *known;
  entry.sequence = last_ + 1;
  const uint64_t strangers =
      stranger_bytes_ + (of == Of::kStranger ? BytesOf(entry.statement, entry.rotation_chain) : 0);
  storage::Batch batch;
  batch.Put(LogKey(entry.of_token ? kTokenLogTable : kLogTable, entry.sequence), entry.statement);
  if (!entry.rotation_chain.empty()) batch.Put(LogKey(kChainTable, entry.sequence), entry.rotation_chain);
  batch.Put(index, absl::StrCat(entry.sequence));
  batch.Put(kLastKey, absl::StrCat(entry.sequence));
  if (of == Of::kStranger) batch.Put(kStrangersKey, absl::StrCat(strangers));
  RETURN_IF_ERROR(store_->Write(batch, storage::Durability::kSync));
  last_ = entry.sequence;
  stranger_bytes_ = strangers;
  *added = true;
  return entry.sequence;
}

absl::StatusOr<uint64_t> RevocationLog::Append(const crypto::PublicKey& key, absl::string_view statement, bool* added,
                                               absl::string_view rotation_chain, Of of) {
  return AppendAt(absl::StrCat(kKeyTable, key.bytes()),
                  {.statement = std::string(statement), .rotation_chain = std::string(rotation_chain)}, of, added);
}

absl::StatusOr<std::string> RevocationLog::ChainOf(uint64_t sequence) const {
  absl::StatusOr<std::string> chain = store_->Get(LogKey(kChainTable, sequence));
  if (absl::IsNotFound(chain.status())) return std::string();
  return chain;
}

absl::StatusOr<uint64_t> RevocationLog::AppendBlock(absl::string_view block, const crypto::PublicKey& signer,
                                                    absl::string_view statement, bool* added, Of of) {
  return AppendAt(absl::StrCat(kBlockTable, block, signer.bytes()),
                  {.statement = std::string(statement), .of_token = true}, of, added);
}

absl::StatusOr<std::optional<uint64_t>> RevocationLog::FindBlock(absl::string_view block,
                                                                 const crypto::PublicKey& signer) const {
  return NumberAt(absl::StrCat(kBlockTable, block, signer.bytes()));
}

uint64_t RevocationLog::BytesOf(absl::string_view statement, absl::string_view rotation_chain) {
  return statement.size() + rotation_chain.size() + kRowsBytes;
}

absl::StatusOr<std::optional<RevocationLog::Entry>> RevocationLog::Find(const crypto::PublicKey& key) const {
  ASSIGN_OR_RETURN(const std::optional<uint64_t> sequence, NumberAt(absl::StrCat(kKeyTable, key.bytes())));
  if (!sequence) return std::optional<Entry>();
  ASSIGN_OR_RETURN(std::string statement, store_->Get(LogKey(kLogTable, *sequence)));
  ASSIGN_OR_RETURN(std::string chain, ChainOf(*sequence));
  return std::optional<Entry>(
      Entry{.sequence = *sequence, .statement = std::move(statement), .rotation_chain = std::move(chain)});
}

absl::StatusOr<std::optional<RevocationLog::Entry>> RevocationLog::After(uint64_t sequence) const {
  // Numbers have no gaps, so the next entry is one read away, or two.
  if (sequence >= last_) return std::optional<Entry>();
  Entry entry{.sequence = sequence + 1};
  absl::StatusOr<std::string> statement = store_->Get(LogKey(kLogTable, entry.sequence));
  if (absl::IsNotFound(statement.status())) {
    entry.of_token = true;
    statement = store_->Get(LogKey(kTokenLogTable, entry.sequence));
  }
  RETURN_IF_ERROR(statement.status());
  entry.statement = *std::move(statement);
  if (!entry.of_token) {
    ASSIGN_OR_RETURN(entry.rotation_chain, ChainOf(entry.sequence));
  }
  return std::optional<Entry>(std::move(entry));
}

}  // namespace dotagent::identity_service
