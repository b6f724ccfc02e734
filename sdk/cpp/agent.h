// What an agent's author imports: an identity on the network, in a few calls.
//
//   ASSIGN_OR_RETURN(auto alice, sdk::Agent::Connect({.gateway = {.gateway = "127.0.0.1:7443"}, .name = "alice.agent"},
//   key)); RETURN_IF_ERROR(alice->Register({}).status()); RETURN_IF_ERROR(alice->Send({.recipient = "bob.agent",
//   .content = {{"text", "hello"}}}).status()); ASSIGN_OR_RETURN(auto channel, alice->OpenChannel("bob.agent")); // end
//   to end encrypted RETURN_IF_ERROR(channel->Write("…"));
//
// Believes no gateway: records, messages and channel peers are verified here.
#ifndef DOTAGENT_SDK_CPP_AGENT_H_
#define DOTAGENT_SDK_CPP_AGENT_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/crypto/keys.h"
#include "common/record/message.h"
#include "common/record/record.h"
#include "sdk/cpp/channel.h"
#include "sdk/cpp/gateway_client.h"
#include "sdk/cpp/inbox.h"

namespace dotagent::sdk {

struct AgentOptions {
  GatewayOptions gateway;
  std::string name;  // such as alice.agent; may be empty for an agent that only resolves
};

struct RegisterOptions {
  int64_t ttl_seconds = record::kDefaultTtlSeconds;
  std::vector<std::string> protocols = {"/dotagent/message/1.0.0", "/dotagent/channel/1.0.0"};
  std::vector<std::string> extra_addresses;  // beside those of the gateway
};

struct Registration {
  record::Record record;
  std::vector<std::string> stored_by;  // peer ids of DHT nodes that confirmed
  uint32_t asked = 0;
};

struct ResolvedName {
  record::Record record;
  std::string source;  // "cache", "store" or "dht"
  uint32_t hops = 0;
  uint32_t agreeing_nodes = 0;
};

struct OutgoingMessage {
  std::string recipient;
  record::MessageType type = record::MessageType::kNotification;
  record::Json content = record::Json::object();
  std::string attachment;  // if there is one, `content` is made from it
  std::string media_type = "application/octet-stream";
};

struct SentMessage {
  record::Message message;
  bool duplicate = false;
};

// Thread-safe. Every call blocks, at most GatewayOptions::timeout.
class Agent {
 public:
  [[nodiscard]] static absl::StatusOr<std::unique_ptr<Agent>> Connect(const AgentOptions& options,
                                                                      std::shared_ptr<const crypto::Signer> key);

  // Signs a record with the gateway's addresses and publishes it. AlreadyExists (NAME_TAKEN) if another key holds the
  // name.
  [[nodiscard]] absl::StatusOr<Registration> Register(const RegisterOptions& options);
  // Publishes a record that was signed elsewhere.
  [[nodiscard]] absl::StatusOr<Registration> RegisterSigned(absl::string_view record_json);

  // Finds and verifies a record. NotFound (NAME_NOT_FOUND), PermissionDenied (KEY_REVOKED).
  [[nodiscard]] absl::StatusOr<ResolvedName> Resolve(absl::string_view name, bool bypass_cache = false);

  // Signs a message and puts it into the recipient's inbox: on disk there when this returns OK.
  [[nodiscard]] absl::StatusOr<SentMessage> Send(const OutgoingMessage& message);

  // Messages and, if wanted, offers of channels. The agent must outlive it.
  [[nodiscard]] absl::StatusOr<std::unique_ptr<Inbox>> OpenInbox(bool accept_channels);

  // Calls another agent: a session end to end, with the key that its record holds. Unavailable (RECIPIENT_OFFLINE) if
  // it is not listening.
  [[nodiscard]] absl::StatusOr<std::unique_ptr<Channel>> OpenChannel(absl::string_view recipient);
  // Takes an offer from the inbox. Unauthenticated (KEY_MISMATCH) unless the caller's key is the one that the record of
  // its name holds.
  [[nodiscard]] absl::StatusOr<std::unique_ptr<Channel>> AcceptChannel(const ChannelOffer& offer);

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] GatewayClient& gateway() { return *gateway_; }

 private:
  Agent(std::string name, std::shared_ptr<GatewayClient> gateway)
      : name_(std::move(name)), gateway_(std::move(gateway)) {}
  [[nodiscard]] absl::Status RequireName() const;

  const std::string name_;
  const std::shared_ptr<GatewayClient> gateway_;
};

}  // namespace dotagent::sdk

#endif  // DOTAGENT_SDK_CPP_AGENT_H_
