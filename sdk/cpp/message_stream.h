// A stream of messages between two agents: the specification's STREAM messages (§5.1), each signed, over a channel, so
// that gateways and relays see ciphertext only. In order, each once, both ways at a time, and with back pressure from
// end to end: who sends waits for who reads. What has to outlive an end of the stream goes to an inbox instead.
//
// On the channel each message is its length as a varint and its JSON, then the length of its attachment, 0 for none,
// and that (docs/protocol.md). A message that is not signed by the other end, for this one, of type STREAM, ends the
// stream.
//
//   ASSIGN_OR_RETURN(auto to_bob, alice->OpenStream("bob.agent"));
//   RETURN_IF_ERROR(to_bob->Send({{"reading", 21.5}}));
//   RETURN_IF_ERROR(to_bob->CloseWrite());
//   // bob: ASSIGN_OR_RETURN(auto from_alice, agent.AcceptStream(offer));  then Next() until it gives nothing
#ifndef DOTAGENT_SDK_CPP_MESSAGE_STREAM_H_
#define DOTAGENT_SDK_CPP_MESSAGE_STREAM_H_

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/base/random.h"
#include "common/record/message.h"
#include "sdk/cpp/channel.h"
#include "sdk/cpp/gateway_client.h"

namespace dotagent::sdk {

// What the agents' session of such a channel speaks.
inline constexpr char kMessagesProtocol[] = "/dotagent/messages/1.0.0";

struct StreamedMessage {
  record::Message message;  // verified
  std::string attachment;
};

// Thread-safe; one Send and one Next at a time.
class MessageStream {
 public:
  // `channel` speaks kMessagesProtocol with `peer`, whose name its key was found under; `own` is this agent's name.
  MessageStream(std::unique_ptr<Channel> channel, std::shared_ptr<GatewayClient> gateway, std::string own,
                std::string peer)
      : channel_(std::move(channel)), gateway_(std::move(gateway)), own_(std::move(own)), peer_(std::move(peer)) {}

  // Returns when the message is in the channel's bounded buffer: as long as the other end does not read, not more than
  // what fits there. InvalidArgument (TOO_LARGE, BAD_MESSAGE), or why the channel ended.
  [[nodiscard]] absl::Status Send(const record::Json& content);
  // The same for bytes, up to record::kMaxAttachmentSize of them.
  [[nodiscard]] absl::Status SendAttachment(absl::string_view attachment, absl::string_view media_type);
  // The next message; nothing when the other end has sent its last. InvalidArgument or DataLoss if what comes is no
  // message of the other end's, which also ends the stream; otherwise why the channel ended.
  [[nodiscard]] absl::StatusOr<std::optional<StreamedMessage>> Next();

  // As the channel's.
  [[nodiscard]] absl::Status CloseWrite() { return channel_->CloseWrite(); }
  [[nodiscard]] absl::Status Finish(absl::Duration timeout) { return channel_->Finish(timeout); }
  void Cancel() { channel_->Cancel(); }
  [[nodiscard]] const Channel& channel() const { return *channel_; }

 private:
  [[nodiscard]] absl::Status Write(const record::Json& content, absl::string_view attachment);
  [[nodiscard]] absl::StatusOr<std::optional<StreamedMessage>> Read();
  // What comes with its length before it; nothing at the end.
  [[nodiscard]] absl::StatusOr<std::optional<std::string>> ReadPart(size_t max);
  // False at the end.
  [[nodiscard]] absl::StatusOr<bool> ReadMore();
  [[nodiscard]] absl::Status Check(const record::Message& message) const;

  const std::unique_ptr<Channel> channel_;
  const std::shared_ptr<GatewayClient> gateway_;
  const std::string own_;
  const std::string peer_;
  std::string read_;     // and not taken
  absl::Status broken_;  // why Next gives nothing more
  SystemRandom random_;  // for ids of messages
};

}  // namespace dotagent::sdk

#endif  // DOTAGENT_SDK_CPP_MESSAGE_STREAM_H_
