// Small files that only their owner may read: keys, and what belongs to them.
//
// Defends against other users of the machine (mode 0600, and a file that others can use is refused, as ssh does), a
// crash half-way (a new file is there whole or not at all, and on disk), and a key that is overwritten.
#ifndef DOTAGENT_COMMON_CRYPTO_PRIVATE_FILE_H_
#define DOTAGENT_COMMON_CRYPTO_PRIVATE_FILE_H_

#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/crypto/secret.h"

namespace dotagent::crypto {

// Writes a new file, mode 0600, and returns once it is on disk. AlreadyExists (STORAGE) if there is one. Other failures
// have the errno's code and the reason STORAGE.
[[nodiscard]] absl::Status WriteNewPrivateFile(const std::string& path, absl::string_view content);

// Reads a whole file of at most `max` bytes. NotFound and other failures of the disk: the errno's code (STORAGE).
// PermissionDenied (BAD_KEY) if others may use it: says to chmod 600. InvalidArgument (BAD_KEY) if it is no regular
// file or larger. kOwnerAndGroup is for what Kubernetes mounts, whose secrets belong to root and a group.
enum class Readers { kOwner, kOwnerAndGroup };
[[nodiscard]] absl::StatusOr<SecretBytes> ReadPrivateFile(const std::string& path, size_t max,
                                                          Readers readers = Readers::kOwner);

}  // namespace dotagent::crypto

#endif  // DOTAGENT_COMMON_CRYPTO_PRIVATE_FILE_H_
