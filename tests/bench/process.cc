#include "tests/bench/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace dotagent::bench {
namespace {

constexpr absl::Duration kGrace = absl::Seconds(20);

absl::Status Failed(const std::string& what) {
  return absl::InternalError(absl::StrCat(what, ": ", std::strerror(errno)));
}

// Only what may be called between fork and exec.
[[noreturn]] void RunChild(char* const* arguments, int in, int out) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  dup2(in, STDIN_FILENO);
  dup2(out, STDOUT_FILENO);
  execv(arguments[0], arguments);
  _exit(127);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Process>> Process::Start(const std::vector<std::string>& command) {
  int in[2];
  int out[2];
  if (pipe2(in, O_CLOEXEC) != 0) return Failed("pipe");
  if (pipe2(out, O_CLOEXEC) != 0) {
    close(in[0]);
    close(in[1]);
    return Failed("pipe");
  }
  std::vector<std::string> words = command;
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  const pid_t pid = fork();
  if (pid == 0) RunChild(arguments.data(), in[0], out[1]);
  close(in[0]);
  close(out[1]);
  std::unique_ptr<Process> process(new Process(command[0], pid, in[1], out[0]));
  if (pid < 0) return Failed("fork");
  return process;
}

Process::~Process() {
  close(in_);
  close(out_);
  if (pid_ <= 0) return;
  kill(pid_, SIGTERM);
  const absl::Time deadline = absl::Now() + kGrace;
  while (Running() && absl::Now() < deadline) poll(nullptr, 0, 10);
  if (pid_ <= 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

bool Process::Running() {
  if (pid_ > 0 && waitpid(pid_, nullptr, WNOHANG) == pid_) pid_ = 0;
  return pid_ > 0;
}

absl::StatusOr<std::string> Process::ReadLine(absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  while (true) {
    const size_t end = buffer_.find('\n');
    if (end != std::string::npos) {
      std::string line = buffer_.substr(0, end);
      buffer_.erase(0, end + 1);
      return line;
    }
    pollfd readable{.fd = out_, .events = POLLIN, .revents = 0};
    const int64_t left = absl::ToInt64Milliseconds(deadline - absl::Now());
    if (left <= 0) return absl::DeadlineExceededError(absl::StrCat(name_, " has not answered in time"));
    if (poll(&readable, 1, static_cast<int>(left)) < 0 && errno != EINTR) return Failed("poll");
    if (readable.revents == 0) continue;
    char piece[65536];
    const ssize_t size = read(out_, piece, sizeof piece);
    if (size <= 0) return absl::UnavailableError(absl::StrCat(name_, " has ended"));
    buffer_.append(piece, static_cast<size_t>(size));
  }
}

absl::StatusOr<std::string> Process::Ask(const std::string& line, absl::Duration timeout) {
  const std::string whole = line + "\n";
  if (write(in_, whole.data(), whole.size()) != static_cast<ssize_t>(whole.size())) {
    return absl::UnavailableError(absl::StrCat(name_, " has ended"));
  }
  return ReadLine(timeout);
}

}  // namespace dotagent::bench
