// A network of a test's own, which can be switched off under it: loopback in a namespace.
#ifndef DOTAGENT_TESTS_UNIT_NETWORK_OWN_NETWORK_H_
#define DOTAGENT_TESTS_UNIT_NETWORK_OWN_NETWORK_H_

#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <functional>
#include <thread>

namespace dotagent {

// Of the calling thread's network. False: not allowed.
inline bool SetLoopback(bool up) {
  const int any = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  bool done = ioctl(any, SIOCGIFFLAGS, &request) == 0;
  request.ifr_flags = static_cast<int16_t>(up ? request.ifr_flags | IFF_UP : request.ifr_flags & ~IFF_UP);
  done = done && ioctl(any, SIOCSIFFLAGS, &request) == 0;
  close(any);
  return done;
}

// Runs `test` on a thread whose network is its own, and of the threads that it starts; loopback is off. False: that
// needs root.
inline bool InOwnNetwork(const std::function<void()>& test) {
  bool own = false;
  std::thread([&] {
    own = unshare(CLONE_NEWNET) == 0;
    if (own) test();
  }).join();
  return own;
}

}  // namespace dotagent

#endif  // DOTAGENT_TESTS_UNIT_NETWORK_OWN_NETWORK_H_
