#include "hardware.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace dotagent::crypto {
namespace {

sockaddr_in Loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

// A TCP socket bound to 127.0.0.1; port 0 picks a free one. -1 if it is taken.
int Bind(int port) {
  const int bound = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_in address = Loopback(port);
  if (bind(bound, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) return bound;
  close(bound);
  return -1;
}

// tpm2-tss wants the control port right behind the command port: the first of two that are free now.
int TwoFreePorts() {
  while (true) {
    const int first = Bind(0);
    sockaddr_in address{};
    socklen_t size = sizeof(address);
    EXPECT_EQ(getsockname(first, reinterpret_cast<sockaddr*>(&address), &size), 0);
    const int port = ntohs(address.sin_port);
    const int second = port == UINT16_MAX ? -1 : Bind(port + 1);
    close(first);
    if (second < 0) continue;
    close(second);
    return port;
  }
}

bool Answers(int port) {
  const int probe = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_in address = Loopback(port);
  const bool answers = connect(probe, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
  close(probe);
  return answers;
}

pid_t StartTpm(const std::string& folder, int port) {
  std::vector<std::string> words = {"swtpm",
                                    "socket",
                                    "--tpm2",
                                    "--tpmstate",
                                    absl::StrCat("dir=", folder),
                                    "--server",
                                    absl::StrCat("type=tcp,port=", port),
                                    "--ctrl",
                                    absl::StrCat("type=tcp,port=", port + 1),
                                    "--flags",
                                    "not-need-init,startup-clear"};
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  const pid_t pid = fork();
  if (pid == 0) {
    // Another test may have taken the ports meanwhile; what swtpm says of it is no matter.
    const int nowhere = open("/dev/null", O_WRONLY);
    dup2(nowhere, STDERR_FILENO);
    execvp(arguments[0], arguments.data());
    _exit(127);
  }
  return pid;
}

}  // namespace

TemporaryFolder::TemporaryFolder() {
  path_ = testing::TempDir() + "hardware.XXXXXX";
  EXPECT_NE(mkdtemp(path_.data()), nullptr);
}
TemporaryFolder::~TemporaryFolder() { std::filesystem::remove_all(path_); }

SoftHsm::SoftHsm() {
  EXPECT_TRUE(std::filesystem::exists(kSoftHsmModule)) << "install softhsm2 (scripts/install-dependencies --test)";
  std::filesystem::create_directory(folder_.Path("tokens"));
  std::ofstream(folder_.Path("softhsm2.conf"))
      << "directories.tokendir = " << folder_.Path("tokens") << "\nobjectstore.backend = file\nlog.level = ERROR\n";
  setenv("SOFTHSM2_CONF", folder_.Path("softhsm2.conf").c_str(), 1);
}

SoftHsm::~SoftHsm() { unsetenv("SOFTHSM2_CONF"); }

void SoftHsm::AddToken(const std::string& label) {
  const std::string command =
      absl::StrCat("softhsm2-util --init-token --free --label '", label, "' --so-pin 5678 --pin 1234 >/dev/null");
  EXPECT_EQ(system(command.c_str()), 0);
}

void SoftHsm::RemoveTokens() {
  for (const auto& token : std::filesystem::directory_iterator(folder_.Path("tokens"))) {
    std::filesystem::remove_all(token.path());
  }
}

SoftTpm::SoftTpm() {
  setenv("TSS2_LOG", "all+NONE", 1);
  const absl::Time deadline = absl::Now() + absl::Seconds(30);
  while (absl::Now() < deadline) {
    const int port = TwoFreePorts();
    pid_ = StartTpm(folder_.Path("."), port);
    while (waitpid(pid_, nullptr, WNOHANG) == 0 && absl::Now() < deadline) {
      if (Answers(port) && Answers(port + 1)) {
        tcti_ = absl::StrCat("swtpm:host=127.0.0.1,port=", port);
        return;
      }
      std::this_thread::yield();
    }
    // It has ended: the ports were taken. Others, then.
  }
  pid_ = -1;
  ADD_FAILURE() << "swtpm does not start; install it (scripts/install-dependencies --test)";
}

SoftTpm::~SoftTpm() { Kill(); }

void SoftTpm::Kill() {
  if (pid_ <= 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

}  // namespace dotagent::crypto
