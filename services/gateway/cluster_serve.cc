// Cluster: what other members ask of this one.
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "services/gateway/cluster.h"

namespace dotagent::gateway_service {
namespace {

using cluster::v1::ClusterAnswer;
using cluster::v1::ClusterCall;

absl::Status Malformed(absl::string_view what) {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kProtocol, absl::StrCat("this is no ", what));
}

absl::StatusOr<InboxId> ParseInbox(const std::string& name, const std::string& key) {
  ASSIGN_OR_RETURN(record::Name parsed, record::Name::Parse(name));
  ASSIGN_OR_RETURN(crypto::PublicKey public_key, crypto::PublicKey::FromBytes(key));
  return InboxId{std::move(parsed), std::move(public_key)};
}

}  // namespace

ClusterHandlers Cluster::link_handlers() {
  return {.call =
              [this, alive = std::weak_ptr(alive_)](const crypto::PublicKey& member, const ClusterCall& call,
                                                    ClusterLink::Answered answer) {
                if (!alive.expired()) OnCall(member, call, std::move(answer));
              },
          .relay =
              [this, alive = std::weak_ptr(alive_)](const crypto::PublicKey&, const cluster::v1::RelayOpen& open,
                                                    std::shared_ptr<Pipe> pipe) {
                if (alive.expired()) return;
                const absl::Status home = CanBeHome();
                home.ok() ? handlers_.relay(open, std::move(pipe)) : pipe->Abort(home);
              }};
}

// A member that calls may know more, or less, of who is there; but what this one gives up it does not take anew.
absl::Status Cluster::CanBeHome() const {
  if (members_.joined() && (!members_.draining() || members_.active().empty())) return absl::OkStatus();
  return ErrorWithReason(absl::StatusCode::kUnavailable, reason::kUnreachable,
                         "this gateway of the cluster comes or goes; try again");
}

void Cluster::OnCall(const crypto::PublicKey& member, const ClusterCall& call, ClusterLink::Answered answer) {
  switch (call.call_case()) {
    case ClusterCall::kHello: {
      OnHello(member, call.hello());
      ClusterAnswer response;
      *response.mutable_hello() = HelloTo(member);
      return answer(std::move(response));
    }
    case ClusterCall::kDeliver: {
      trunk::v1::DeliverRequest request;
      if (!request.ParseFromString(call.deliver())) return answer(Malformed("DeliverRequest"));
      if (const absl::Status home = CanBeHome(); !home.ok()) return answer(home);
      return handlers_.deliver(request, [answer = std::move(answer)](const absl::StatusOr<bool>& duplicate) {
        if (!duplicate.ok()) return answer(duplicate.status());
        ClusterAnswer response;
        response.set_duplicate(*duplicate);
        answer(std::move(response));
      });
    }
    case ClusterCall::kRequest: {
      trunk::v1::RequestCall request;
      if (!request.ParseFromString(call.request())) return answer(Malformed("RequestCall"));
      if (const absl::Status home = CanBeHome(); !home.ok()) return answer(home);
      return handlers_.request(request, [answer = std::move(answer)](absl::StatusOr<Answer> said) {
        if (!said.ok()) return answer(said.status());
        trunk::v1::RequestAnswer body;
        body.set_message_json(std::move(said->message_json));
        body.set_attachment(std::move(said->attachment));
        ClusterAnswer response;
        response.set_body(body.SerializeAsString());
        answer(std::move(response));
      });
    }
    case ClusterCall::kMove:
      return OnMove(call.move(), std::move(answer));
    case ClusterCall::kPolicies: {
      for (const cluster::v1::Policy& policy : call.policies().policies()) {
        const absl::Status taken = parts_.guard.TakePolicy(policy);
        if (!taken.ok()) return answer(taken);
      }
      return answer(ClusterAnswer());
    }
    case ClusterCall::kRegistered:
      OnRegistered(call.registered());
      return answer(ClusterAnswer());
    case ClusterCall::kListDead:
      return answer(OnListDead(call.list_dead()));
    case ClusterCall::CALL_NOT_SET:
      break;
  }
  answer(Malformed("call that this release knows; use the same release at all gateways of a cluster"));
}

void Cluster::OnMove(const cluster::v1::MoveInbox& part, ClusterLink::Answered answer) {
  const auto inbox = ParseInbox(part.name(), part.key());
  if (!inbox.ok()) return answer(inbox.status());
  if (members_.HomeOf(inbox->name.text()) != parts_.self) {
    return answer(ErrorWithReason(absl::StatusCode::kUnavailable, reason::kUnreachable,
                                  absl::StrCat("this gateway is not the home of ", inbox->name.text(), " (yet)")));
  }
  parts_.inboxes.Unpack(
      *inbox, part, parts_.clock.Now(),
      [this, alive = std::weak_ptr(alive_), inbox = *inbox, answer = std::move(answer)](const absl::Status& unpacked) {
        if (alive.expired()) return;
        if (!unpacked.ok()) return answer(unpacked);
        answer(ClusterAnswer());
        handlers_.came(inbox);
      });
}

void Cluster::OnRegistered(const cluster::v1::Registered& registered) {
  const auto inbox = ParseInbox(registered.name(), registered.key());
  if (inbox.ok()) handlers_.registered(registered.rotation_chain(), inbox->name, inbox->key);
}

absl::StatusOr<ClusterAnswer> Cluster::OnListDead(const cluster::v1::ListDead& ask) const {
  ASSIGN_OR_RETURN(const InboxId inbox, ParseInbox(ask.name(), ask.key()));
  ASSIGN_OR_RETURN(const gateway::v1::ListDeadLettersResponse letters,
                   parts_.inboxes.DeadLetters(inbox, ask.after_sequence()));
  ClusterAnswer response;
  response.set_body(letters.SerializeAsString());
  return response;
}

}  // namespace dotagent::gateway_service
