// A Unix socket that only this user's processes reach.
//
// Defends against the machine's other users, in three ways: the folder must be this user's (or root's) and closed to
// writing by others, so that nobody can put a socket of his own in its place; the socket has mode 0600 from its first
// moment; and the kernel says of each connection whose process opened it (SO_PEERCRED), so that a socket whose mode was
// loosened later lets nobody in either. Root, who can become anyone, is let in only as the user that root became.
#ifndef DOTAGENT_COMMON_RPC_LOCAL_SOCKET_H_
#define DOTAGENT_COMMON_RPC_LOCAL_SOCKET_H_

#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace dotagent::rpc {

inline constexpr size_t kMaxLocalSocketPath = 107;  // bytes; Linux

// A socket that listens at `path`, and its file's inode. The folder is made, mode 0700, if it is missing. What an
// earlier process left there is replaced, if nobody listens on it: Unavailable (UNREACHABLE) if somebody does,
// FailedPrecondition (STORAGE) if the file is no socket or the folder is open to others, InvalidArgument (BAD_ADDRESS)
// for a path that is no absolute one or too long.
struct LocalSocket {
  int fd = -1;  // the caller's
  unsigned long inode = 0;
};
[[nodiscard]] absl::StatusOr<LocalSocket> ListenOnLocalSocket(const std::string& path);

// Removes the file, if it is still this socket's.
void RemoveLocalSocket(const std::string& path, unsigned long inode);

// Whether the process at the other end of a connection runs, or ran when it connected, as this process's user.
[[nodiscard]] bool IsSameUser(int connection);

}  // namespace dotagent::rpc

#endif  // DOTAGENT_COMMON_RPC_LOCAL_SOCKET_H_
