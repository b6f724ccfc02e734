#include "services/identity/name_book.h"

#include <cstdint>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace dotagent::identity_service {
namespace {

constexpr char kTable[] = "name/";
constexpr size_t kAgentIdSize = 32;

std::string RowOf(const std::string& name) { return absl::StrCat(kTable, name); }

}  // namespace

absl::StatusOr<NameBook> NameBook::Open(storage::Store* store, absl::Time now, size_t capacity) {
  NameBook book(store, capacity);
  storage::Batch lapsed;
  absl::Status bad;
  RETURN_IF_ERROR(store->Scan(kTable, kTable, [&](absl::string_view row, absl::string_view bytes) {
    const absl::StatusOr<Entry> entry = Decode(row, bytes);
    if (!entry.ok()) {
      bad = entry.status();
      return false;
    }
    if (now >= entry->ends + kNameLapses) {
      lapsed.Delete(row);
    } else {
      ++book.size_;
    }
    return true;
  }));
  RETURN_IF_ERROR(bad);
  if (!lapsed.empty()) RETURN_IF_ERROR(store->Write(lapsed, storage::Durability::kBuffered));
  return book;
}

absl::StatusOr<NameBook::Entry> NameBook::Decode(absl::string_view row, absl::string_view bytes) {
  Entry entry;
  int64_t ends_ms = 0;
  if (bytes.size() > kAgentIdSize && absl::SimpleAtoi(bytes.substr(kAgentIdSize), &ends_ms)) {
    ASSIGN_OR_RETURN(entry.agent, identity::AgentId::FromBytes(bytes.substr(0, kAgentIdSize)));
    entry.ends = absl::FromUnixMillis(ends_ms);
    return entry;
  }
  return ErrorWithReason(absl::StatusCode::kDataLoss, reason::kStorage,
                         absl::StrCat("the entry ", row,
                                      " in the data folder is damaged; restore the folder from a copy: without its "
                                      "book a registrar would give names away twice"));
}

absl::StatusOr<std::optional<NameBook::Entry>> NameBook::Find(const std::string& name) const {
  if (const auto found = reserved_.find(name); found != reserved_.end()) {
    return std::optional<Entry>(found->second.entry);
  }
  const std::string row = RowOf(name);
  const absl::StatusOr<std::string> bytes = store_->Get(row);
  if (absl::IsNotFound(bytes.status())) return std::optional<Entry>();
  RETURN_IF_ERROR(bytes.status());
  ASSIGN_OR_RETURN(const Entry entry, Decode(row, *bytes));
  return std::optional<Entry>(entry);
}

absl::StatusOr<std::optional<identity::AgentId>> NameBook::HolderOf(const std::string& name, absl::Time now) const {
  ASSIGN_OR_RETURN(const std::optional<Entry> entry, Find(name));
  if (!entry || now >= entry->ends + kNameLapses) return std::optional<identity::AgentId>();
  return std::optional<identity::AgentId>(entry->agent);
}

absl::StatusOr<storage::Batch> NameBook::Reserve(const std::string& name, const identity::AgentId& agent,
                                                 absl::Time ends, absl::Time now) {
  ASSIGN_OR_RETURN(const std::optional<Entry> entry, Find(name));
  const bool alive = entry && now < entry->ends + kNameLapses;
  if (alive && entry->agent != agent) {
    return ErrorWithReason(absl::StatusCode::kAlreadyExists, reason::kNameTaken,
                           absl::StrCat(name,
                                        " is another agent's, by this registrar's own certificate; choose another "
                                        "name, or ask with the key that holds it"));
  }
  if (!entry && size_ >= capacity_) {
    return ErrorWithReason(absl::StatusCode::kResourceExhausted, reason::kLimit,
                           absl::StrCat("this registrar keeps ", capacity_, " names, and has no room for another"));
  }
  storage::Batch batch;
  batch.Put(RowOf(name), absl::StrCat(agent.bytes(), absl::ToUnixMillis(ends)));
  Reserved& reserved = reserved_[name];
  reserved.entry = {agent, ends};
  if (!entry) {
    reserved.is_new = true;
    ++size_;
  }
  return batch;
}

void NameBook::Settle(const std::string& name, bool written) {
  const auto found = reserved_.find(name);
  if (found == reserved_.end()) return;  // by another request of the same commit
  if (!written && found->second.is_new) --size_;
  reserved_.erase(found);
}

absl::Status NameBook::Hold(const std::string& name, const identity::AgentId& agent, absl::Time ends, absl::Time now) {
  ASSIGN_OR_RETURN(const storage::Batch batch, Reserve(name, agent, ends, now));
  const absl::Status written = store_->Write(batch, storage::Durability::kSync);
  Settle(name, written.ok());
  return written;
}

}  // namespace dotagent::identity_service
