// Messages on their way: from an agent here to an inbox here or at another gateway, and from other gateways to inboxes
// here.
//
// Nothing is believed because another gateway says so: both ways in check the signature, that the sender's name is held
// by the key that signed, and that the recipient lives here.
//
// What a name's record says is believed for a second, so that a busy sender or recipient does not cost a question a
// message; whether its key is revoked is asked each time.
#ifndef DOTAGENT_SERVICES_GATEWAY_POST_OFFICE_H_
#define DOTAGENT_SERVICES_GATEWAY_POST_OFFICE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/crypto/keys.h"
#include "common/record/message.h"
#include "common/record/name.h"
#include "common/record/record.h"
#include "common/telemetry/metrics.h"
#include "dotagent/gateway/v1/gateway.pb.h"
#include "dotagent/trunk/v1/trunk.pb.h"
#include "services/gateway/admission.h"
#include "services/gateway/authenticator.h"
#include "services/gateway/homes.h"
#include "services/gateway/inbox_guard.h"
#include "services/gateway/inbox_store.h"
#include "services/gateway/listeners.h"
#include "services/gateway/requests.h"
#include "services/gateway/tap.h"
#include "services/gateway/token_table.h"
#include "services/gateway/trunk.h"
#include "services/host/directory.h"

namespace dotagent::gateway_service {

// One for all who have asked for it lately.
using SharedRecord = std::shared_ptr<const record::Record>;

// On the loop.
class PostOffice {
 public:
  // `duplicate`: the message had come before.
  using Done = std::function<void(absl::StatusOr<bool> duplicate)>;

  struct Parts {
    const Homes& homes;
    InboxStore& inboxes;
    Listeners& listeners;
    host::Directory& directory;
    Trunk& trunk;
    Tap& tap;
    InboxGuard& guard;
    Requests& requests;
    Admission& admission;
    RevocationCheck is_revoked;
    const Clock& clock;
    telemetry::Metrics& metrics;
    // A message was kept here whose inbox has moved to another gateway of the cluster meanwhile.
    std::function<void()> left_behind;
  };
  // All parts must outlive it.
  explicit PostOffice(const Parts& parts);

  // In place of the stranger that hands something over: a gateway of the same cluster does. It has charged whom there
  // is to charge, and has found that the inbox is here (homes.h), so that it is.
  static constexpr std::nullopt_t kFellow = std::nullopt;

  // A message of an authenticated agent's. InvalidArgument if a rule of messages is broken, PermissionDenied
  // (KEY_MISMATCH) if the agent does not hold the sender's name, as InboxGuard::Check if the recipient lives here,
  // NotFound (NAME_NOT_FOUND) for an unknown recipient, PermissionDenied (KEY_REVOKED), Unavailable (UNREACHABLE) if
  // the recipient's gateway is not reached, or as InboxStore::Add.
  void Send(const std::shared_ptr<Agent>& sender, const gateway::v1::SendRequest& request, Done done);

  // A name was registered here: its record is asked for anew.
  void OnRegistered(const record::Name& name) { known_.erase(name.text()); }

  // A REQUEST of an authenticated agent's: handed to its recipient now, and not kept. `done` gets the answer, which the
  // key in the recipient's record has signed, with that record. As Send and Requests.
  struct Answered {
    Answer answer;
    SharedRecord recipient;
  };
  using AnswerDone = std::function<void(absl::StatusOr<Answered>)>;
  void Request(const std::shared_ptr<Agent>& sender, const gateway::v1::RequestRequest& request, absl::Time deadline,
               AnswerDone done);
  // The same from another gateway. As Receive and Requests.
  void ReceiveRequest(const std::optional<crypto::PublicKey>& stranger, const trunk::v1::RequestCall& call,
                      Requests::Done done);

  // Messages that are on their way into an inbox here.
  [[nodiscard]] size_t keeping() const { return keeping_; }

  // Brings the metrics of inboxes up to date; call about once a second.
  void ShowInboxes();

  // A message from another gateway. As Send, and FailedPrecondition (BAD_ADDRESS) if the recipient does not live here.
  void Receive(const std::optional<crypto::PublicKey>& stranger, const trunk::v1::DeliverRequest& request, Done done);

 private:
  struct Letter {
    record::Message message;
    std::string attachment;
    std::string token;
    crypto::PublicKey sender_key;
    int priority = 0;  // a gateway.v1.Priority
  };
  // `envelope`: a SendRequest or a DeliverRequest.
  template <typename Envelope>
  [[nodiscard]] absl::StatusOr<std::shared_ptr<const Letter>> Open(const Envelope& envelope,
                                                                   const crypto::PublicKey& sender_key);
  // To where the recipient lives. Once more (`again`) by what the DHT says then, if it has moved from where it was
  // known.
  void Forward(const std::shared_ptr<const Letter>& letter, Done done);
  void ForwardTo(const std::shared_ptr<const Letter>& letter, const SharedRecord& recipient, bool again,
                 const Done& done);
  void ForwardRequest(const std::shared_ptr<const Letter>& letter, absl::Time deadline, const AnswerDone& done);
  void ForwardRequestTo(const std::shared_ptr<const Letter>& letter, const SharedRecord& recipient, absl::Time deadline,
                        bool again, const AnswerDone& done);
  // The record of who does not live any more where `known` says, so that a gateway there has `refused`; that, if there
  // is no newer one.
  using Found = std::function<void(const absl::StatusOr<SharedRecord>&)>;
  void FindMoved(const SharedRecord& known, const absl::Status& refused, Found done);
  // If the recipient's policy lets it in.
  void Present(const std::shared_ptr<const Letter>& letter, const record::Record& recipient, absl::Time deadline,
               const Requests::Done& done);
  void TapAnswer(const Answer& answer);
  // In the inbox, here or at the member of the cluster where that is.
  void KeepAtHome(const std::shared_ptr<const Letter>& letter, const record::Record& recipient, const Done& done);
  void PresentAtHome(const std::shared_ptr<const Letter>& letter, const record::Record& recipient, absl::Time deadline,
                     const Requests::Done& done);
  [[nodiscard]] static trunk::v1::DeliverRequest Enclose(const Letter& letter);
  [[nodiscard]] trunk::v1::RequestCall EncloseRequest(const Letter& letter, absl::Time deadline) const;
  // The recipient of what came from another gateway: FailedPrecondition (BAD_ADDRESS) if it does not live here.
  void FindRecipientHere(const std::shared_ptr<const Letter>& letter, Found done);
  // The record of a name; as Directory::Resolve, but maybe at once.
  void Find(const record::Name& name, Found done);
  void CheckSender(const std::shared_ptr<const Letter>& letter, std::function<void(absl::Status)> done);
  void FindRecipient(const std::shared_ptr<const Letter>& letter, Found done);
  // If the recipient's policy lets it in.
  void Keep(const std::shared_ptr<const Letter>& letter, const record::Record& recipient, const Done& done);
  void Add(const std::shared_ptr<const Letter>& letter, const InboxId& inbox, const Done& done);
  // It was kept here. Its home may have moved meanwhile.
  void FollowHome(const record::Name& recipient);
  [[nodiscard]] Done Counted(Done done);

  struct Known {
    SharedRecord record;
    absl::Time until;  // when it is asked for again
  };

  const Parts parts_;
  absl::flat_hash_map<std::string, Known> known_;  // by name
  size_t keeping_ = 0;
  telemetry::Counter& accepted_;
  telemetry::Counter& duplicates_;
  telemetry::Counter& refused_;
  telemetry::Counter& failed_;
  telemetry::Gauge& waiting_;
  telemetry::Gauge& being_written_;
  telemetry::Gauge& dead_letters_;
  // What the store counts, and how much of it has been shown.
  struct Shown {
    telemetry::Counter& counter;
    uint64_t count = 0;
    void Update(uint64_t now) { counter.Increment(static_cast<double>(now - std::exchange(count, now))); }
  };
  Shown commits_;
  Shown expired_;
  Shown given_up_;
};

}  // namespace dotagent::gateway_service

#endif  // DOTAGENT_SERVICES_GATEWAY_POST_OFFICE_H_
