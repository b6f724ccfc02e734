// All revocations that this service has taken, of keys and of capability tokens' blocks, in the order in which it took
// them, durable and numbered from 1.
//
// Watchers read it from any number on, so that one that was away misses none: the number is the cursor.
#ifndef DOTAGENT_SERVICES_IDENTITY_REVOCATION_LOG_H_
#define DOTAGENT_SERVICES_IDENTITY_REVOCATION_LOG_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/crypto/keys.h"
#include "common/storage/store.h"

namespace dotagent::identity_service {

// Not thread-safe. Memory: none but two numbers; everything else is read from the store.
class RevocationLog {
 public:
  struct Entry {
    uint64_t sequence = 0;
    std::string statement;
    std::string rotation_chain = {};  // what it takes to verify it, if that is more than the statement
    bool of_token = false;            // of a token's block, not of a key
  };

  // `store` must outlive it. Tables by number: "log/" of keys, "token-log/" of blocks, "chain/" the
  // chains; numbers: "key/" by key,
  // "block/" by block and signer.
  [[nodiscard]] static absl::StatusOr<RevocationLog> Open(storage::Store* store);

  // Whose revocation it is: of a key that the service has dealings with, or of a stranger's, whose bytes are counted.
  enum class Of { kKnown, kStranger };

  // On disk when it returns. A key that is there already keeps its first statement and number; `added` tells.
  [[nodiscard]] absl::StatusOr<uint64_t> Append(const crypto::PublicKey& key, absl::string_view statement, bool* added,
                                                absl::string_view rotation_chain = {}, Of of = Of::kKnown);

  // The same for a token's block (an id of 32 bytes). Kept for each signer: whether one of them may is for those to say
  // who see the token.
  [[nodiscard]] absl::StatusOr<uint64_t> AppendBlock(absl::string_view block, const crypto::PublicKey& signer,
                                                     absl::string_view statement, bool* added, Of of = Of::kKnown);

  // The entry for a key; std::nullopt if it has not been revoked.
  [[nodiscard]] absl::StatusOr<std::optional<Entry>> Find(const crypto::PublicKey& key) const;

  // The number that a block has by this signer; std::nullopt if it has not been revoked by it.
  [[nodiscard]] absl::StatusOr<std::optional<uint64_t>> FindBlock(absl::string_view block,
                                                                  const crypto::PublicKey& signer) const;

  // The first entry after `sequence`; std::nullopt if there is none.
  [[nodiscard]] absl::StatusOr<std::optional<Entry>> After(uint64_t sequence) const;

  [[nodiscard]] uint64_t last_sequence() const { return last_; }
  // What strangers' entries take, about; also after a restart.
  [[nodiscard]] uint64_t stranger_bytes() const { return stranger_bytes_; }
  // The same of one entry.
  [[nodiscard]] static uint64_t BytesOf(absl::string_view statement, absl::string_view rotation_chain = {});

 private:
  explicit RevocationLog(storage::Store* store) : store_(store) {}
  // `index`: the row that holds the number of what is revoked.
  [[nodiscard]] absl::StatusOr<uint64_t> AppendAt(const std::string& index, Entry entry, Of of, bool* added);
  [[nodiscard]] absl::StatusOr<std::string> ChainOf(uint64_t sequence) const;
  [[nodiscard]] absl::StatusOr<std::optional<uint64_t>> NumberAt(const std::string& index) const;
  storage::Store* store_;
  uint64_t last_ = 0;
  uint64_t stranger_bytes_ = 0;
};

}  // namespace dotagent::identity_service

#endif  // DOTAGENT_SERVICES_IDENTITY_REVOCATION_LOG_H_
