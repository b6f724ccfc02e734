// A channel between two agents: their own Noise session, end to end, through whatever gateways and relays lie between.
//
// The session's keys are the agents' keys, so what carries it sees ciphertext, and cannot pose as either end. This
// version gives one stream of bytes in each direction, with back pressure from end to end.
//
// What is written goes at once; what has to wait goes together, up to 256 KiB in a gRPC message. Memory of an end:
// 256 KiB that Write may be ahead, what the peer may send before it is read (session/session.h), and 512 KiB that stay
// until the channel ends once bulk has been sent.
#ifndef DOTAGENT_SDK_CPP_CHANNEL_H_
#define DOTAGENT_SDK_CPP_CHANNEL_H_

#include <cstddef>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/crypto/keys.h"
#include "sdk/cpp/gateway_client.h"

namespace dotagent::sdk {

// What the agents' session of a channel speaks, of which both ends have to be of one mind: bytes.
inline constexpr char kBytesProtocol[] = "/dotagent/agent/1.0.0";

// Another agent calls; from Inbox.
struct ChannelOffer {
  std::string channel_id;
  std::string caller;            // a hint until AcceptChannel has proved it
  crypto::PublicKey caller_key;  // likewise
  std::string method;            // what for, says the caller; empty: nothing in particular
  std::string token;             // the capability token that it shows; may be empty
};

// What a caller says beside its name.
struct ChannelCallOptions {
  std::string method = {};  // what for: the path of a resource of the callee's, such as calendar/events
  // A capability token (capability/token.h) made out to the caller's key, where the callee asks for one. It must allow
  // "channel" on the method, or on the whole agent.
  std::string token = {};
};

// Thread-safe; one Read and one Write at a time. Two threads each, joined by the destructor.
class Channel {
 public:
  // Both return once the handshake is over and the other end has proved `peer`. Where the ends speak different
  // protocols, both fail.
  [[nodiscard]] static absl::StatusOr<std::unique_ptr<Channel>> Call(std::shared_ptr<GatewayClient> gateway,
                                                                     const std::string& caller,
                                                                     const std::string& recipient,
                                                                     const crypto::PublicKey& peer,
                                                                     const ChannelCallOptions& options = {},
                                                                     const std::string& protocol = kBytesProtocol);
  [[nodiscard]] static absl::StatusOr<std::unique_ptr<Channel>> Accept(std::shared_ptr<GatewayClient> gateway,
                                                                       const ChannelOffer& offer,
                                                                       const crypto::PublicKey& peer,
                                                                       const std::string& protocol = kBytesProtocol);
  // Ends the channel at once if it has not ended.
  ~Channel();

  // Returns when all of `data` is in the bounded send buffer. Errors say why the channel ended: PermissionDenied
  // (KEY_REVOKED), Unavailable, ….
  [[nodiscard]] absl::Status Write(absl::string_view data);
  // No more from here: the other end reads the end after all that was written. Idempotent.
  [[nodiscard]] absl::Status CloseWrite();
  // 1 to `max` bytes, or an empty string at the end. Errors as Write's.
  [[nodiscard]] absl::StatusOr<std::string> Read(size_t max);
  // Waits until the other end has closed too and all is sent; then both ends are gone.
  [[nodiscard]] absl::Status Finish(absl::Duration timeout);
  // Ends it at once, also a Read or Write that waits in another thread.
  void Cancel();

  [[nodiscard]] const crypto::PublicKey& peer_key() const;
  // "local", "direct" or "relayed": how this end's gateway reaches the other's.
  [[nodiscard]] const std::string& path() const;

 private:
  Channel();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace dotagent::sdk

#endif  // DOTAGENT_SDK_CPP_CHANNEL_H_
