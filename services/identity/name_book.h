// Whose a name is, where identity is the network's registrar: his who asked for a certificate of it first, for as long
// as he keeps asking.
//
// An entry holds the AgentId, which stays when a key is rotated, and lapses 30 days after the newest certificate ended,
// as a first-claim binding does. Revoking a key frees no name. Written to disk before a certificate is handed out, so
// that a crash cannot give a name away twice.
//
// Defends against a second certificate for a name that somebody has, and against a disk filled with names (their number
// is bounded). Not against squatting: first come, first served.
#ifndef DOTAGENT_SERVICES_IDENTITY_NAME_BOOK_H_
#define DOTAGENT_SERVICES_IDENTITY_NAME_BOOK_H_

#include <cstddef>
#include <memory>
#include <optional>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/identity/agent_id.h"
#include "common/storage/store.h"

namespace dotagent::identity_service {

inline constexpr absl::Duration kNameLapses = absl::Hours(24 * 30);

// Not thread-safe.
class NameBook {
 public:
  // Counts what `store`, which must outlive it, keeps under "name/", and drops what has lapsed. DataLoss (STORAGE) if
  // an entry is damaged.
  [[nodiscard]] static absl::StatusOr<NameBook> Open(storage::Store* store, absl::Time now,
                                                     size_t capacity = 1'000'000);

  // Who has the name; nullopt if it is free.
  [[nodiscard]] absl::StatusOr<std::optional<identity::AgentId>> HolderOf(const std::string& name,
                                                                          absl::Time now) const;

  // The name is `agent`'s, by a certificate that ends then. AlreadyExists (NAME_TAKEN) if it is another's,
  // ResourceExhausted (LIMIT) if the book is full, or the disk's Unavailable (STORAGE).
  [[nodiscard]] absl::Status Hold(const std::string& name, const identity::AgentId& agent, absl::Time ends,
                                  absl::Time now);

  // The same for who writes it with something else: returns what to write. The name is the agent's at once, for
  // whoever asks here; Settle it when the write has been made, or has failed.
  [[nodiscard]] absl::StatusOr<storage::Batch> Reserve(const std::string& name, const identity::AgentId& agent,
                                                       absl::Time ends, absl::Time now);
  void Settle(const std::string& name, bool written);

  [[nodiscard]] size_t size() const { return size_; }

 private:
  struct Entry {
    identity::AgentId agent;
    absl::Time ends;
  };
  struct Reserved {
    Entry entry;
    bool is_new = false;  // counted, and not on disk
  };
  NameBook(storage::Store* store, size_t capacity) : store_(store), capacity_(capacity) {}
  [[nodiscard]] static absl::StatusOr<Entry> Decode(absl::string_view row, absl::string_view bytes);
  // Also if it has lapsed.
  [[nodiscard]] absl::StatusOr<std::optional<Entry>> Find(const std::string& name) const;

  storage::Store* store_;
  size_t capacity_;
  size_t size_ = 0;
  absl::flat_hash_map<std::string, Reserved> reserved_;  // those that one commit writes
};

}  // namespace dotagent::identity_service

#endif  // DOTAGENT_SERVICES_IDENTITY_NAME_BOOK_H_
