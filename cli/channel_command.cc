// dotagent channel.
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cli/command.h"
#include "cli/exit_status.h"
#include "cli/report.h"
#include "cli/token_tree.h"
#include "common/base/progress.h"
#include "common/base/status.h"
#include "common/crypto/peer_id.h"

namespace dotagent::cli {
namespace {

struct ChannelArguments {
  std::string recipient;
  std::string file;
  std::string token;
  std::string method;
};

constexpr size_t kChunk = 256 * 1024;
constexpr absl::Duration kGoodbye = absl::Seconds(10);

// A file descriptor that closes itself.
class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  ~Fd() {
    if (fd_ > STDERR_FILENO) close(fd_);
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  [[nodiscard]] int get() const { return fd_; }

 private:
  const int fd_;
};

// Carries what is to be sent into the channel, on a thread of its own, until it ends or the channel does.
class Sender {
 public:
  Sender(sdk::Channel& channel, int input, Progress& progress)
      : channel_(channel), input_(input), progress_(progress), stop_(eventfd(0, EFD_CLOEXEC)) {
    thread_ = std::thread([this] { status_ = Run(); });
  }
  ~Sender() { Join().IgnoreError(); }

  // Stops waiting for input, and tells how it went.
  [[nodiscard]] absl::Status Join() {
    if (thread_.joinable()) {
      const uint64_t one = 1;
      // An eventfd takes 8 bytes always.
      static_cast<void>(!write(stop_.get(), &one, sizeof(one)));
      thread_.join();
    }
    return status_;
  }
  // After Join.
  [[nodiscard]] uint64_t sent() const { return sent_; }

 private:
  absl::Status Run() {
    std::string buffer(kChunk, '\0');
    for (;;) {
      pollfd waits[] = {{input_, POLLIN, 0}, {stop_.get(), POLLIN, 0}};
      if (poll(waits, 2, -1) < 0 && errno != EINTR)
        return absl::UnavailableError(absl::StrCat("cannot wait for input: ", std::strerror(errno)));
      if ((waits[0].revents & (POLLIN | POLLHUP | POLLERR)) != 0) {
        const ssize_t got = read(input_, buffer.data(), buffer.size());
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return absl::UnavailableError(absl::StrCat("cannot read the input: ", std::strerror(errno)));
        if (got == 0) return channel_.CloseWrite();
        RETURN_IF_ERROR(channel_.Write(absl::string_view(buffer.data(), static_cast<size_t>(got))));
        sent_ += static_cast<uint64_t>(got);
        progress_.Add(static_cast<uint64_t>(got));
      } else if ((waits[1].revents & POLLIN) != 0) {
        return absl::OkStatus();
      }
    }
  }

  sdk::Channel& channel_;
  const int input_;
  Progress& progress_;
  const Fd stop_;
  absl::Status status_;
  uint64_t sent_ = 0;
  std::thread thread_;
};

// Reads to the end. With --json the answer is kept for the report, which bounds it.
absl::StatusOr<std::string> Receive(sdk::Channel& channel, bool keep) {
  constexpr size_t kMaxKept = 16 * 1024 * 1024;
  std::string kept;
  for (;;) {
    ASSIGN_OR_RETURN(const std::string data, channel.Read(kChunk));
    if (data.empty()) return kept;
    if (!keep) {
      std::fwrite(data.data(), 1, data.size(), stdout);
      std::fflush(stdout);
    } else if (kept.size() + data.size() > kMaxKept) {
      return ErrorWithReason(absl::StatusCode::kResourceExhausted, reason::kTooLarge,
                             "the answer is over 16 MiB; leave --json out to have it on standard output");
    } else {
      kept += data;
    }
  }
}

absl::StatusOr<int> OpenChannel(const Globals& globals, const ChannelArguments& arguments) {
  const bool from_file = !arguments.file.empty() && arguments.file != "-";
  const Fd input(from_file ? open(arguments.file.c_str(), O_RDONLY | O_CLOEXEC) : STDIN_FILENO);
  if (input.get() < 0)
    return absl::NotFoundError(absl::StrCat("cannot read ", arguments.file, ": ", std::strerror(errno)));
  struct stat info {};
  const bool regular = fstat(input.get(), &info) == 0 && S_ISREG(info.st_mode);

  sdk::ChannelCallOptions call{.method = arguments.method};
  if (!arguments.token.empty()) {
    ASSIGN_OR_RETURN(call.token, ReadToken(arguments.token));
  }
  ASSIGN_OR_RETURN(const auto agent, globals.Connect());
  ASSIGN_OR_RETURN(const auto channel, agent->OpenChannel(arguments.recipient, call));
  std::fprintf(stderr, "channel to %s open (%s), key %s\n", arguments.recipient.c_str(), channel->path().c_str(),
               crypto::PeerIdFromKey(channel->peer_key()).c_str());

  Progress progress("sending", regular ? static_cast<uint64_t>(info.st_size) : 0, globals.json || !regular);
  Sender sender(*channel, input.get(), progress);
  absl::StatusOr<std::string> answer = Receive(*channel, globals.json);
  if (!answer.ok()) channel->Cancel();  // also frees a Write that waits
  const absl::Status sent = sender.Join();
  RETURN_IF_ERROR(answer.status());
  RETURN_IF_ERROR(sent);
  RETURN_IF_ERROR(channel->CloseWrite());  // the other end may have closed first
  RETURN_IF_ERROR(channel->Finish(kGoodbye));
  if (globals.json) {
    Report report;
    report.Add("recipient", "", arguments.recipient);
    report.Add("peer_id", "", crypto::PeerIdFromKey(channel->peer_key()));
    report.Add("path", "", channel->path());
    report.Add("sent_bytes", "", sender.sent());
    report.Add("answer", "", *answer);
    report.Print(true);
  }
  return kOk;
}

}  // namespace

void AddChannelCommand(CLI::App& app, Globals& globals, Chosen& chosen) {
  auto arguments = std::make_shared<ChannelArguments>();
  CLI::App* command =
      AddCommand(&app, "channel", "Open an end-to-end encrypted channel: standard input goes in, the answer comes out",
                 {"dotagent channel bob.agent --name alice.agent --key alice.pem --file report.txt",
                  "tar c folder | dotagent channel bob.agent",
                  "dotagent channel bob.agent --method backup --token backup.token --file data.tar"});
  command->add_option("recipient", arguments->recipient, "Whom to call, such as bob.agent")->required();
  command->add_option("--file", arguments->file, "Send this file instead of standard input");
  command->add_option("--method", arguments->method,
                      "What for: a path such as calendar/events, which the other agent sees and may guard");
  command->add_option("--token", arguments->token,
                      "File with a capability token that allows channel, where the other agent asks for one");
  command->callback([&globals, &chosen, arguments] {
    chosen.run = [&globals, arguments] { return OpenChannel(globals, *arguments); };
  });
}

}  // namespace dotagent::cli
