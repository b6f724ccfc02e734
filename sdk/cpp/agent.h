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
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/crypto/keys.h"
#include "common/identity/agent_id.h"
#include "common/identity/rotation.h"
#include "common/record/message.h"
#include "common/record/name.h"
#include "common/record/name_proof.h"
#include "common/record/record.h"
#include "common/record/seal.h"
#include "sdk/cpp/ask_call.h"
#include "sdk/cpp/channel.h"
#include "sdk/cpp/gateway_client.h"
#include "sdk/cpp/inbox.h"
#include "sdk/cpp/message_stream.h"
#include "sdk/cpp/subscription.h"
#include "sdk/cpp/verified_records.h"

namespace dotagent::sdk {

struct AgentOptions {
  GatewayOptions gateway;
  std::string name;  // such as alice.agent; may be empty for an agent that only resolves
  // What goes with the name's record, if its own signature is not enough: where the network's names need a registrar's
  // certificate, or after the key was rotated. Asked at each registration, so that a renewed certificate is taken up;
  // from the thread that registers.
  std::function<absl::StatusOr<record::NameProof>()> proof = nullptr;
  // Keys that this agent had before it rotated: they open what was sealed to them. Its own opens too, if it is a
  // SigningKey: one that stays in its token does not.
  std::vector<std::shared_ptr<const crypto::SigningKey>> former_keys = {};
};

struct RegisterOptions {
  int64_t ttl_seconds = record::kDefaultTtlSeconds;
  std::vector<std::string> protocols = {"/dotagent/message/1.0.0", "/dotagent/channel/1.0.0"};
  std::vector<std::string> extra_addresses;  // beside those of the gateway
  bool sealed = true;                        // also record::kSealedProtocol, if this agent's key opens sealed messages
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
  uint32_t agreeing_nodes = 0;   // that returned this very record
  bool stale = false;            // from the cache, and being renewed
  uint32_t paths_agreed = 0;     // disjoint paths of the lookup that led to this owner
  uint32_t receipts = 0;         // nodes that signed that they know the name as this owner's
  uint32_t messages = 0;         // calls that the lookup made
  absl::Duration remaining_ttl;  // for which the answer may be kept
  std::string owner = {};        // AgentId, 32 bytes, by the DHT's word: the same after the key was rotated
};

struct FoundRotationChain {
  identity::RotationChain chain;
  std::string bytes;            // as identity::EncodeRotationChain
  uint32_t agreeing_nodes = 0;  // DHT nodes that returned this very chain
};

// What a gateway that cannot keep up refuses last. A high one takes twice as much of the agent's rate, a critical one
// four times.
enum class Priority { kLow, kNormal, kHigh, kCritical };

struct OutgoingMessage {
  std::string recipient;
  record::MessageType type = record::MessageType::kNotification;
  record::Json content = record::Json::object();
  std::string attachment;  // if there is one, `content` is made from it
  std::string media_type = "application/octet-stream";
  // A capability token (capability/token.h) made out to this agent's key, where the recipient asks for one.
  std::string token;
  Priority priority = Priority::kNormal;
  // So that only the recipient can read content and attachment (record/seal.h). Not of a REQUEST.
  bool seal = false;
};

// Who may write to an agent.
enum class InboxMode { kOpen, kContacts, kCapability };
struct InboxPolicy {
  InboxMode mode = InboxMode::kOpen;
  std::vector<std::string> contacts = {};         // names; at most 1,000
  std::vector<std::string> guarded_methods = {};  // such as calendar/events; at most 256: requests need a token
};

// A message that is not delivered any more.
struct DeadLetter {
  uint64_t sequence = 0;
  bool expired = false;  // otherwise it was delivered too often
  uint32_t deliveries = 0;
  absl::Time died;
  absl::Time expires;  // when the gateway drops it
  // Signed by the key that the gateway says was its sender's then; whose that is now has not been looked up.
  absl::StatusOr<record::Message> message;
  std::string attachment;                    // as it was before it was sealed, if that was opened
  std::optional<record::Json> opened = {};   // the content of a sealed message
  absl::Status unopened = absl::OkStatus();  // why it was not opened, as Agent::Open
};

struct DeadLetters {
  std::vector<DeadLetter> letters;
  bool more = false;  // ask again, behind the last one
  uint64_t total = 0;
};

struct SentMessage {
  record::Message message;
  bool duplicate = false;
};

// What another agent answered to a request: a RESPONSE, verified.
struct AnsweredRequest {
  record::Message message;
  std::string attachment;
};

// A durable subscription, as the gateway keeps it.
struct DurableSubscription {
  std::string subscriber;  // the name that this agent had
  std::string name;
  std::string publisher;
  std::string pattern;
  uint64_t waiting = 0;
  uint64_t waiting_bytes = 0;
  uint64_t not_kept = 0;
  bool open = false;
  absl::Time last_used;
};

struct PublishedMessage {
  record::Message message;
  bool duplicate = false;
  uint64_t sequence = 0;     // among this agent's publications
  uint32_t subscribers = 0;  // at this gateway
  uint32_t gateways = 0;     // others, with subscribers of theirs
};

// Thread-safe. Every call blocks, at most GatewayOptions::timeout.
class Agent {
 public:
  [[nodiscard]] static absl::StatusOr<std::unique_ptr<Agent>> Connect(const AgentOptions& options,
                                                                      std::shared_ptr<const crypto::Signer> key);

  // Signs a record with the gateway's addresses and publishes it. AlreadyExists (NAME_TAKEN) if another key holds the
  // name, PermissionDenied (NOT_CERTIFIED) if names need a registrar's certificate and AgentOptions::proof has none.
  [[nodiscard]] absl::StatusOr<Registration> Register(const RegisterOptions& options);
  // Signs `record`, which is this name's own, anew and publishes it: with the same ttl, protocols and addresses, but
  // those of this gateway as they are now. renewal.h calls it in time. FailedPrecondition (KEY_MISMATCH) if the record
  // holds another key, and no rotation chain of AgentOptions::proof leads from that to this agent's.
  [[nodiscard]] absl::StatusOr<Registration> Refresh(const record::Record& record);
  // Publishes a record that was signed elsewhere.
  [[nodiscard]] absl::StatusOr<Registration> RegisterSigned(absl::string_view record_json);

  // Finds and verifies a record. NotFound (NAME_NOT_FOUND), PermissionDenied (KEY_REVOKED), Aborted (CONFLICT) if it is
  // contested who holds the name, Unavailable (NOT_BOOTSTRAPPED, TOO_FEW_CLEAN_PATHS).
  [[nodiscard]] absl::StatusOr<ResolvedName> Resolve(absl::string_view name, bool bypass_cache = false);

  // Whether the record of `name` holds `key`, by a lookup of at most VerifiedRecords::kBelievedFor ago. Unauthenticated
  // (KEY_MISMATCH) if it holds another one; otherwise as Resolve.
  [[nodiscard]] absl::Status CheckKey(const record::Name& name, const crypto::PublicKey& key);

  // Finds and verifies the rotation chain of an identity: by which keys it came to its current one. NotFound if it has
  // published none, which its first key alone needs not.
  [[nodiscard]] absl::StatusOr<FoundRotationChain> GetRotationChain(const identity::AgentId& agent);

  // Says who may write to this agent, from now on, at this gateway; on disk there when this returns OK.
  // InvalidArgument (BAD_MESSAGE) if the policy breaks a rule.
  [[nodiscard]] absl::Status SetInboxPolicy(const InboxPolicy& policy);

  // Signs a message and puts it into the recipient's inbox: on disk there when this returns OK. One that is on its way
  // when the connection breaks is sent once more. PermissionDenied (NOT_A_CONTACT, TOKEN_REQUIRED, or as the token is
  // refused) if the recipient's policy keeps it out. If it is to be sealed: FailedPrecondition (VERSION) if the
  // recipient's record does not say that it opens sealed messages; also as record::SignSealed.
  [[nodiscard]] absl::StatusOr<SentMessage> Send(const OutgoingMessage& message);

  // Signs a publication on a topic of this agent's own (record/topic.h), and hands it to whoever subscribes to it now.
  // FailedPrecondition (BAD_ADDRESS) if the gateway is not the first that this agent's record lists.
  [[nodiscard]] absl::StatusOr<PublishedMessage> Publish(absl::string_view topic, record::Json content,
                                                         Priority priority = Priority::kNormal);

  // Publications of another agent whose topics match `pattern`; with a durable name also those that come while this is
  // not open (subscription.h). The agent must outlive it. PermissionDenied
  // (NOT_A_CONTACT, TOKEN_REQUIRED, or as the token is refused) if the publisher's policy keeps this agent out.
  [[nodiscard]] absl::StatusOr<std::unique_ptr<Subscription>> Subscribe(absl::string_view publisher,
                                                                        absl::string_view pattern,
                                                                        const std::string& token = {},
                                                                        const std::string& durable_name = {});
  // What the gateway keeps for this agent's key: its durable subscriptions. Ending one forgets what waits in it.
  [[nodiscard]] absl::StatusOr<std::vector<DurableSubscription>> ListSubscriptions();
  [[nodiscard]] absl::Status Unsubscribe(absl::string_view durable_name);

  // Signs a REQUEST, hands it to the recipient, who must be listening for requests, and waits for the answer, for
  // `timeout` and not GatewayOptions::timeout. Of an ERROR the code and text that the other agent gave, without a
  // reason; otherwise as Send, Unavailable (RECIPIENT_OFFLINE), DeadlineExceeded, or DataLoss (KEY_MISMATCH) if the
  // gateway's answer is not the recipient's. `message.type` does not count.
  [[nodiscard]] absl::StatusOr<AnsweredRequest> Request(const OutgoingMessage& message, absl::Duration timeout);

  // What is inside a sealed message that `sender` has signed, as the inbox does it. FailedPrecondition (KEY_MISMATCH)
  // if it is sealed to a key that this agent had once: give it in AgentOptions::former_keys. Unimplemented (KEY_STORE)
  // if this agent's key is in a token, where it opens nothing. InvalidArgument: KEY_MISMATCH if it is sealed to a key
  // that was never this agent's, otherwise as record::OpenSealed. Unavailable if that had to be looked up, and could
  // not.
  [[nodiscard]] absl::StatusOr<record::OpenedContent> Open(const record::Message& message, absl::string_view attachment,
                                                           const crypto::PublicKey& sender);

  // Messages and, if wanted, offers of channels and requests. The agent must outlive it.
  [[nodiscard]] absl::StatusOr<std::unique_ptr<Inbox>> OpenInbox(const InboxOptions& options);
  // Messages that the gateway has given up delivering, whose sequence is above `after_sequence`: a page of them.
  [[nodiscard]] absl::StatusOr<DeadLetters> ListDeadLetters(uint64_t after_sequence = 0);

  // Calls another agent: a session end to end, with the key that its record holds. Unavailable (RECIPIENT_OFFLINE) if
  // it is not listening. PermissionDenied (NOT_A_CONTACT, TOKEN_REQUIRED, or as the token is refused) if its policy
  // keeps this agent out.
  [[nodiscard]] absl::StatusOr<std::unique_ptr<Channel>> OpenChannel(absl::string_view recipient,
                                                                     const ChannelCallOptions& options = {});
  // Takes an offer from the inbox. Unauthenticated (KEY_MISMATCH) unless the caller's key is the one that the record of
  // its name holds. With `require_token` the caller's capability token is checked here too, whatever the gateway says:
  // PermissionDenied (TOKEN_REQUIRED), or as VerifyToken and Token::Allows. What has been revoked since, and how often
  // a token was used, only the gateway knows.
  [[nodiscard]] absl::StatusOr<std::unique_ptr<Channel>> AcceptChannel(const ChannelOffer& offer,
                                                                       bool require_token = false);
  // The same for a channel that carries messages. Both ends have to mean one: say so by the call's method.
  [[nodiscard]] absl::StatusOr<std::unique_ptr<MessageStream>> OpenStream(absl::string_view recipient,
                                                                          const ChannelCallOptions& options = {});
  [[nodiscard]] absl::StatusOr<std::unique_ptr<MessageStream>> AcceptStream(const ChannelOffer& offer,
                                                                            bool require_token = false);

  // What goes with its record now.
  [[nodiscard]] absl::StatusOr<record::NameProof> Proof() const { return proof_ ? proof_() : record::NameProof(); }
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] GatewayClient& gateway() { return *gateway_; }

 private:
  Agent(std::string name, std::function<absl::StatusOr<record::NameProof>()> proof,
        std::vector<std::shared_ptr<const crypto::SigningKey>> opening_keys, std::shared_ptr<GatewayClient> gateway)
      : name_(std::move(name)),
        proof_(std::move(proof)),
        opening_keys_(std::move(opening_keys)),
        gateway_(std::move(gateway)) {}
  [[nodiscard]] absl::Status RequireName() const;
  [[nodiscard]] record::MessageFields FieldsOf(const OutgoingMessage& message, record::MessageType type) const;
  [[nodiscard]] absl::StatusOr<record::SealedMessage> Seal(const OutgoingMessage& message);
  // The private half of `key`, if it is here.
  [[nodiscard]] const crypto::SigningKey* OpeningKey(const crypto::PublicKey& key) const;
  [[nodiscard]] bool OpensSealed() const { return OpeningKey(gateway_->key().public_key()) != nullptr; }
  // The chain of AgentOptions::proof; nothing if there is none.
  [[nodiscard]] absl::StatusOr<std::optional<identity::RotationChain>> OwnChain() const;
  // Whether this agent rotated from `key`, by its own word or the DHT's.
  [[nodiscard]] absl::StatusOr<bool> HadKey(const crypto::PublicKey& key);
  // That the offer's token allows a channel for the offer's method to whoever holds `caller`.
  [[nodiscard]] absl::Status CheckToken(const ChannelOffer& offer, const crypto::PublicKey& caller) const;
  // Whose offer it is, before it is accepted.
  [[nodiscard]] absl::StatusOr<record::Record> CheckCaller(const ChannelOffer& offer, bool require_token);
  [[nodiscard]] absl::Status CheckOwn(const record::Record& record) const;
  [[nodiscard]] absl::StatusOr<gateway::v1::GetInfoResponse> GatewayInfo();
  [[nodiscard]] absl::StatusOr<Registration> SignAndRegister(const gateway::v1::GetInfoResponse& info,
                                                             const RegisterOptions& options);

  // Over the call that requests and messages share, if the gateway has such calls.
  [[nodiscard]] absl::StatusOr<gateway::v1::RequestResponse> Exchange(const gateway::v1::RequestRequest& request,
                                                                      absl::Duration timeout);
  [[nodiscard]] absl::StatusOr<gateway::v1::SendResponse> Deliver(const gateway::v1::SendRequest& request);
  // What `act` returns, given that call; with a new token if the old one has lapsed.
  template <typename Act>
  [[nodiscard]] auto OverAskCall(const Act& act) -> decltype(act(std::declval<AskCall&>()));
  // The call that they share; another one in place of `useless`, or of one that has ended.
  [[nodiscard]] std::shared_ptr<AskCall> OpenAskCall(const std::shared_ptr<AskCall>& useless = nullptr);

  const std::string name_;
  const std::function<absl::StatusOr<record::NameProof>()> proof_;
  const std::vector<std::shared_ptr<const crypto::SigningKey>> opening_keys_;
  const std::shared_ptr<GatewayClient> gateway_;
  VerifiedRecords records_;
  absl::Mutex ask_call_mutex_;
  std::shared_ptr<AskCall> ask_call_ ABSL_GUARDED_BY(ask_call_mutex_);
};

}  // namespace dotagent::sdk

#endif  // DOTAGENT_SDK_CPP_AGENT_H_
