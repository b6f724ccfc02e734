#include "tests/bench/private_network.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"

namespace dotagent::bench {
namespace {

absl::Status Failed(const std::string& what) {
  return absl::PermissionDeniedError(absl::StrCat("no network of its own: ", what, ": ", std::strerror(errno)));
}

ifreq Request(const std::string& interface) {
  ifreq request{};
  std::memcpy(request.ifr_name, interface.data(), interface.size());
  return request;
}

bool SetAddress(int socket, unsigned long what, const std::string& address) {
  ifreq request = Request("lo:1");
  sockaddr_in value{};
  value.sin_family = AF_INET;
  inet_pton(AF_INET, address.c_str(), &value.sin_addr);
  std::memcpy(&request.ifr_addr, &value, sizeof value);
  return ioctl(socket, what, &request) == 0;
}

bool SwitchOn(int socket) {
  ifreq request = Request("lo");
  request.ifr_flags = IFF_UP | IFF_LOOPBACK | IFF_RUNNING;
  return ioctl(socket, SIOCSIFFLAGS, &request) == 0;
}

}  // namespace

absl::Status EnterPrivateNetwork() {
  if (unshare(CLONE_NEWNET) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) return Failed("unshare");
  const int socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (socket < 0) return Failed("socket");
  // On a loopback interface, an address with a mask stands for all of its network.
  const bool made = SwitchOn(socket) && SetAddress(socket, SIOCSIFADDR, "10.0.0.1") &&
                    SetAddress(socket, SIOCSIFNETMASK, "255.0.0.0");
  const absl::Status status = made ? absl::OkStatus() : Failed("the loopback interface");
  close(socket);
  return status;
}

}  // namespace dotagent::bench
