// Outgoing TCP connections, and the settings that every connection of a node gets.
#ifndef DOTAGENT_COMMON_P2P_TCP_DIAL_H_
#define DOTAGENT_COMMON_P2P_TCP_DIAL_H_

#include <asio/any_io_executor.hpp>
#include <asio/ip/tcp.hpp>
#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "common/p2p/multiaddr.h"
#include "common/p2p/operation.h"

namespace dotagent::p2p {

// Resolves the host of `address` if it is a name, then tries each IP address that it has in turn. `done` is never
// called from inside; it gets a tuned socket, or Unavailable with the system's words. Has no deadline of its own:
// cancel it.
[[nodiscard]] std::shared_ptr<Operation> DialTcp(const asio::any_io_executor& executor, const Multiaddr& address,
                                                 std::function<void(absl::StatusOr<asio::ip::tcp::socket>)> done);

// What the kernel takes from us and has not sent yet, in bytes; beyond it, and the write that crosses it, a socket is
// not writable. What is in the kernel's hands is past the scheduler (session/scheduler.h): without a bound a frame of
// level `critical` would wait behind the up to 4 MiB of `low` ones that a send buffer grows to; with this one, behind
// 192 KiB. Bytes that are under way and not acknowledged do not count, so a long path is filled all the same.
inline constexpr int kMaxUnsent = 128 * 1024;

// No delay, a bound on what waits unsent, and an end within about 20 s when the other side vanishes without a word
// (half-open connections): keepalive probes while idle, a user timeout (RFC 5482) on bytes that nobody acknowledges.
// The latter also ends a connection whose peer has stopped reading altogether; a session's flow control never stops
// reading.
void TuneTcp(asio::ip::tcp::socket& socket);
// The same for every connection that it takes in: Linux hands a listening socket's options down, which spares a system
// call each for whoever connects.
void TuneTcp(asio::ip::tcp::acceptor& acceptor);

}  // namespace dotagent::p2p

#endif  // DOTAGENT_COMMON_P2P_TCP_DIAL_H_
