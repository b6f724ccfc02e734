#include "common/crypto/private_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace dotagent::crypto {
namespace {

absl::Status BadKey(absl::string_view message) {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kBadKey, message);
}

absl::Status FileError(absl::string_view doing, const std::string& path, int error) {
  return ErrorWithReason(absl::ErrnoToStatusCode(error), reason::kStorage,
                         absl::StrCat("cannot ", doing, " ", path, ": ", std::strerror(error)));
}

absl::Status WriteAndSync(int file, absl::string_view bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t written = write(file, bytes.data(), bytes.size());
    if (written < 0 && errno != EINTR) {
      return FileError("write", path, errno);
    }
    bytes.remove_prefix(written < 0 ? 0 : static_cast<size_t>(written));
  }
  // fchmod, because the mode of a new file passes through the umask.
  if (fchmod(file, S_IRUSR | S_IWUSR) != 0 || fsync(file) != 0) {
    return FileError("write", path, errno);
  }
  return absl::OkStatus();
}

// Gives the file `from` the name `to`, unless that is taken. The second way is for file systems without
// RENAME_NOREPLACE.
int MoveWithoutReplacing(const std::string& from, const std::string& to) {
  if (renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) {
    return 0;
  }
  if (errno != EINVAL && errno != ENOSYS) {
    return errno;
  }
  return link(from.c_str(), to.c_str()) == 0 ? 0 : errno;
}

absl::Status SyncFolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const int descriptor = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) {
    return FileError("open", folder, errno);
  }
  const int error = fsync(descriptor) == 0 ? 0 : errno;
  close(descriptor);
  // Some network file systems cannot sync a folder; the file itself is safe there.
  return error == 0 || error == EINVAL ? absl::OkStatus() : FileError("write", folder, error);
}

// Refuses what is no private file of ours, and returns its size.
absl::StatusOr<size_t> CheckFile(int file, const std::string& path, size_t max, Readers readers) {
  struct stat info {};
  if (fstat(file, &info) != 0) {
    return FileError("read", path, errno);
  }
  if (!S_ISREG(info.st_mode)) {
    return BadKey(absl::StrCat(path, " is not a regular file; give the path of a private key"));
  }
  const mode_t forbidden = readers == Readers::kOwner ? S_IRWXG | S_IRWXO : S_IWGRP | S_IRWXO;
  if ((info.st_mode & forbidden) != 0) {
    return ErrorWithReason(absl::StatusCode::kPermissionDenied, reason::kBadKey,
                           absl::StrCat("others can use the private key ", path, "; run: chmod 600 ", path));
  }
  if (static_cast<size_t>(info.st_size) > max) {
    return BadKey(absl::StrCat(path, " is over ", max / 1024, " KiB and so no private key"));
  }
  return static_cast<size_t>(info.st_size);
}

}  // namespace

absl::Status WriteNewPrivateFile(const std::string& path, absl::string_view content) {
  std::string temporary = path + ".XXXXXX";
  const int file = mkostemp(temporary.data(), O_CLOEXEC);
  if (file < 0) {
    return FileError("make a key file beside", path, errno);
  }
  // After a rename this finds nothing to remove; after a link or a failure it does.
  const absl::Cleanup remove = [&temporary] { unlink(temporary.c_str()); };
  const absl::Status written = WriteAndSync(file, content, temporary);
  close(file);
  RETURN_IF_ERROR(written);
  if (const int error = MoveWithoutReplacing(temporary, path); error == EEXIST) {
    return ErrorWithReason(
        absl::StatusCode::kAlreadyExists, reason::kStorage,
        absl::StrCat(path, " exists; a key is never overwritten: move it away, or choose another path"));
  } else if (error != 0) {
    return FileError("write", path, error);
  }
  return SyncFolderOf(path);
}

absl::StatusOr<SecretBytes> ReadPrivateFile(const std::string& path, size_t max, Readers readers) {
  // Non-blocking, so that a pipe in the file's place cannot hold the program up.
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) {
    return FileError("open the private key", path, errno);
  }
  const absl::Cleanup close_file = [file] { close(file); };
  ASSIGN_OR_RETURN(const size_t size, CheckFile(file, path, max, readers));
  SecretBytes content(size);
  size_t filled = 0;
  while (filled < size) {
    const ssize_t count = read(file, content.data() + filled, size - filled);
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count < 0) {
      return FileError("read", path, errno);
    }
    if (count == 0) {
      return SecretBytes(content.view().substr(0, filled));  // it became shorter meanwhile
    }
    filled += static_cast<size_t>(count);
  }
  return content;
}

}  // namespace dotagent::crypto
