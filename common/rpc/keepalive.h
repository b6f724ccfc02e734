// How the two ends of a gRPC connection find out that the other has vanished without a word (half-open TCP): a network
// that is gone sends no reset, and an agent that waits in its Inbox would wait for ever, as would its place at the
// gateway.
//
// Whoever has a call open and hears nothing pings. The client, because it is the client that can connect anew; the
// server more rarely, because a ping of its clients is a sign of life to it as well, so that it pings only those that
// do not: 15,000 agents that only wait cost a gateway 750 pings a second, and none of its own. Against floods of pings
// the server allows one in `kShortestPing` while a call is open, and one in two hours while none is (gRPC's default);
// at the third that comes too early it ends the connection.
#ifndef DOTAGENT_COMMON_RPC_KEEPALIVE_H_
#define DOTAGENT_COMMON_RPC_KEEPALIVE_H_

#include <grpc/grpc.h>

#include <chrono>

namespace dotagent::rpc {

struct Keepalive {
  std::chrono::seconds after;    // of silence a ping goes out
  std::chrono::seconds timeout;  // for its answer; then the connection has ended, and its calls are UNAVAILABLE
};

inline constexpr Keepalive kClientKeepalive{.after = std::chrono::seconds(20), .timeout = std::chrono::seconds(10)};
inline constexpr Keepalive kServerKeepalive{.after = std::chrono::seconds(60), .timeout = std::chrono::seconds(20)};
inline constexpr std::chrono::seconds kShortestPing(10);

// Pings that a network delays and then lets through together must not look like a flood.
static_assert(kShortestPing * 2 <= kClientKeepalive.after);
// So that a client's pings keep the server's from being needed.
static_assert(kClientKeepalive.after + kClientKeepalive.timeout < kServerKeepalive.after);

// Sets it with `set(name, value)`.
template <typename Set>
void SetKeepalive(const Keepalive& keepalive, const Set& set) {
  const auto milliseconds = [](std::chrono::milliseconds duration) { return static_cast<int>(duration.count()); };
  set(GRPC_ARG_KEEPALIVE_TIME_MS, milliseconds(keepalive.after));
  set(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, milliseconds(keepalive.timeout));
  // gRPC would stop pinging after two pings without data, which is when they are needed.
  set(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
}

}  // namespace dotagent::rpc

#endif  // DOTAGENT_COMMON_RPC_KEEPALIVE_H_
