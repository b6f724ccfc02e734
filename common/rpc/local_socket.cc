#include "common/rpc/local_socket.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace dotagent::rpc {
namespace {

absl::Status Failed(absl::string_view what, const std::string& path, int error) {
  return ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kStorage,
                         absl::StrCat(what, " ", path, ": ", std::strerror(error)));
}

// The folder, open, and locked against another process that does the same at this moment.
absl::StatusOr<int> OpenFolder(const std::string& folder) {
  if (mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) return Failed("cannot make the folder", folder, errno);
  const int fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return Failed("cannot open the folder", folder, errno);
  absl::Cleanup close_it = [fd] { close(fd); };
  struct stat info {};
  if (fstat(fd, &info) != 0) return Failed("cannot look at the folder", folder, errno);
  if ((info.st_uid != geteuid() && info.st_uid != 0) || (info.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return ErrorWithReason(
        absl::StatusCode::kFailedPrecondition, reason::kStorage,
        absl::StrCat("others may write to the folder ", folder,
                     ", and so put a socket of theirs in the place of this one; name a path in a folder of its own, "
                     "which is made if it is missing"));
  }
  if (flock(fd, LOCK_EX) != 0) return Failed("cannot lock the folder", folder, errno);
  std::move(close_it).Cancel();
  return fd;
}

// Makes room for a new socket at the address.
absl::Status RemoveStale(const std::string& path, const sockaddr_un& address) {
  struct stat info {};
  if (lstat(path.c_str(), &info) != 0) {
    return errno == ENOENT ? absl::OkStatus() : Failed("cannot look at", path, errno);
  }
  if (!S_ISSOCK(info.st_mode)) {
    return ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kStorage,
                           absl::StrCat(path, " is there and is no socket; it is left alone: name another path"));
  }
  const int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (probe < 0) return Failed("cannot make a socket for", path, errno);
  const absl::Cleanup close_it = [probe] { close(probe); };
  // Only a socket that nobody listens on refuses; a busy one says EAGAIN.
  if (connect(probe, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 || errno != ECONNREFUSED) {
    return ErrorWithReason(absl::StatusCode::kUnavailable, reason::kUnreachable,
                           absl::StrCat("another process listens on ", path, "; stop it, or name another path"));
  }
  return unlink(path.c_str()) == 0 ? absl::OkStatus() : Failed("cannot remove the stale socket", path, errno);
}

}  // namespace

absl::StatusOr<LocalSocket> ListenOnLocalSocket(const std::string& path) {
  if (path.empty() || path.front() != '/' || path.size() > kMaxLocalSocketPath || path.back() == '/') {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kBadAddress,
                           absl::StrCat("'", path, "' is no absolute path of at most ", kMaxLocalSocketPath,
                                        " bytes, as a Unix socket needs one"));
  }
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, path.size());
  ASSIGN_OR_RETURN(const int folder, OpenFolder(std::filesystem::path(path).parent_path().string()));
  const absl::Cleanup unlock = [folder] { close(folder); };
  RETURN_IF_ERROR(RemoveStale(path, address));
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return Failed("cannot make a socket for", path, errno);
  absl::Cleanup close_it = [fd] { close(fd); };
  // On Linux the file gets the socket's mode: no moment in which it is open to more.
  if (fchmod(fd, 0600) != 0) return Failed("cannot close to others the socket", path, errno);
  if (bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return Failed("cannot bind the socket", path, errno);
  }
  struct stat info {};
  if (lstat(path.c_str(), &info) != 0 || listen(fd, SOMAXCONN) != 0) return Failed("cannot listen on", path, errno);
  if ((info.st_mode & 0777) != 0600 && chmod(path.c_str(), 0600) != 0) {
    return Failed("cannot close to others the socket", path, errno);
  }
  std::move(close_it).Cancel();
  return LocalSocket{fd, info.st_ino};
}

void RemoveLocalSocket(const std::string& path, unsigned long inode) {
  struct stat info {};
  if (lstat(path.c_str(), &info) == 0 && S_ISSOCK(info.st_mode) && info.st_ino == inode) unlink(path.c_str());
}

bool IsSameUser(int connection) {
  ucred peer{};
  socklen_t size = sizeof peer;
  return getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && size == sizeof peer &&
         peer.uid == geteuid();
}

}  // namespace dotagent::rpc
