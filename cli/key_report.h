// What the commands about keys share: whose a key is, and how it is shown.
#ifndef DOTAGENT_CLI_KEY_REPORT_H_
#define DOTAGENT_CLI_KEY_REPORT_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/report.h"
#include "common/crypto/key_store.h"
#include "common/identity/rotation.h"

namespace dotagent::cli {

// A file with a rotation chain, verified.
struct ChainFile {
  std::vector<std::string> statements;
  identity::RotationChain chain;
};
// As ReadInput, DecodeRotationChain and VerifyRotationChain, with the path before it.
[[nodiscard]] absl::StatusOr<ChainFile> ReadChainFile(const std::string& path);

// Of the identity in the chain's file, if one is named (InvalidArgument, KEY_MISMATCH, if the key is none of its, nor
// the next); else what the key's own file notes; else of the key itself.
[[nodiscard]] absl::StatusOr<std::string> AgentIdOf(const crypto::StoredKey& key, const std::string& rotation_chain);

// agent_id, public_key, peer_id.
void AddKeyFields(const crypto::PublicKey& key, const std::string& agent_id, Report& report);

// Makes a key there, with the notes where the store keeps them.
[[nodiscard]] absl::StatusOr<crypto::StoredKey> MakeKeyAt(const std::string& address,
                                                          const crypto::KeyAttributes& attributes,
                                                          std::optional<crypto::SecretBytes> secret);

}  // namespace dotagent::cli

#endif  // DOTAGENT_CLI_KEY_REPORT_H_
