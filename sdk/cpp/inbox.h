// An agent's inbox: its messages, verified, and the calls of other agents.
//
// At least once: a message comes again on the next Open until Ack. Messages are verified against the record of their
// sender, and sealed ones (record/seal.h) opened.
#ifndef DOTAGENT_SDK_CPP_INBOX_H_
#define DOTAGENT_SDK_CPP_INBOX_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/crypto/keys.h"
#include "common/record/message.h"
#include "sdk/cpp/channel.h"
#include "sdk/cpp/gateway_client.h"

namespace dotagent::sdk {

class Agent;

struct ReceivedMessage {
  uint64_t sequence = 0;    // for Ack, or as a cursor
  record::Message message;  // as it was signed; the content of a sealed one only says that it is sealed
  std::string attachment;
  uint32_t deliveries = 0;                  // this one included
  std::optional<record::Json> opened = {};  // the content of a sealed message

  [[nodiscard]] bool sealed() const { return opened.has_value(); }
  // What the sender said.
  [[nodiscard]] const record::Json& content() const { return opened ? *opened : message.content(); }
};

// A message that did not verify: a lying gateway, or a sender who has changed keys since. Or one that is sealed, and
// could not be opened: for why, see Agent::Open.
struct RejectedMessage {
  uint64_t sequence = 0;
  absl::Status why;
  // The message, if it verified and was not opened; and whether it is sealed to a key that this agent had once, with
  // which it would be (AgentOptions::former_keys).
  std::optional<record::Message> message = {};
  bool needs_former_key = false;
  // That key is not here; or its sender's record could not be looked up just now, or is contested: the message may well
  // be good. Leave it without Ack, and it comes again with the next Open.
  [[nodiscard]] bool undecided() const {
    return needs_former_key || absl::IsUnavailable(why) || absl::IsDeadlineExceeded(why) || absl::IsAborted(why);
  }
};

// Another agent asks, and waits for the answer: give it with Inbox::Answer or Refuse. It comes once.
struct ReceivedRequest {
  record::Message message;
  std::string attachment;
  absl::Time deadline;  // after that nobody waits any more
};

// An answer that did not reach who asked.
struct RefusedAnswer {
  absl::Status why;
};

struct InboxOptions {
  bool accept_channels = false;
  bool accept_requests = false;
  // The sequence of the last message that was dealt with, if the agent keeps that: it and all before it are
  // acknowledged first. 0: none is.
  uint64_t after_sequence = 0;
};

using InboxItem = std::variant<ReceivedMessage, RejectedMessage, ChannelOffer, ReceivedRequest, RefusedAnswer>;

// Thread-safe. Holds at most 64 items that have not been asked for; the rest waits at the gateway.
class Inbox {
 public:
  // `agent` must outlive it. Returns when the gateway has said that everything from now on arrives here.
  // FailedPrecondition (STALE) if the cursor is another gateway's.
  [[nodiscard]] static absl::StatusOr<std::unique_ptr<Inbox>> Open(Agent& agent, std::shared_ptr<GatewayClient> gateway,
                                                                   const std::string& name,
                                                                   const InboxOptions& options);
  // Ends the stream; what is not acknowledged stays at the gateway.
  ~Inbox();

  // The next item; DeadlineExceeded after `timeout`; otherwise why the stream has ended.
  [[nodiscard]] absl::StatusOr<InboxItem> Next(absl::Duration timeout);
  // Ends a Next that waits, and this inbox: from a signal handler's thread, say.
  void Cancel();
  // The gateway may forget the message.
  [[nodiscard]] absl::Status Ack(uint64_t sequence);
  // Answers a request with a RESPONSE. What the gateway says against it comes as a RefusedAnswer.
  [[nodiscard]] absl::Status Answer(const ReceivedRequest& request, const record::Json& content);
  // Answers it with an ERROR of this code and text; `error` must not be OK.
  [[nodiscard]] absl::Status Refuse(const ReceivedRequest& request, const absl::Status& error);
  // Messages that waited when it was opened.
  [[nodiscard]] uint64_t pending() const;

 private:
  Inbox();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace dotagent::sdk

#endif  // DOTAGENT_SDK_CPP_INBOX_H_
