#include "services/gateway/post_office.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/record/topic.h"
#include "services/gateway/holder_check.h"

namespace dotagent::gateway_service {
namespace {

constexpr absl::Duration kBelieved = absl::Seconds(1);
constexpr size_t kMaxFound = 4096;  // names; beyond it all are asked again

constexpr char kMessages[] = "dotagent_gateway_messages_total";
constexpr char kMessagesHelp[] = "Messages taken from agents and from other gateways, by what became of them.";

constexpr char kDeadLetters[] = "dotagent_gateway_inbox_died_total";
constexpr char kDeadLettersHelp[] = "Messages that were given up, by why.";

absl::Status TooLarge(absl::string_view what, size_t size, size_t limit) {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kTooLarge,
                         absl::StrCat("the ", what, " has ", size, " bytes; at most ", limit, " are allowed"));
}

absl::Status Revoked(const record::Name& name) {
  return ErrorWithReason(absl::StatusCode::kPermissionDenied, reason::kKeyRevoked,
                         absl::StrCat("the key of ", name.text(), " has been revoked"));
}

// Our own trouble, or the network's: worth another try. Anything else is the message's fault.
bool IsFailure(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) || absl::IsInternal(status) ||
         absl::IsDataLoss(status) || absl::IsUnknown(status);
}

}  // namespace

PostOffice::PostOffice(const Parts& parts)
    : parts_(parts),
      accepted_(parts.metrics.AddCounter(kMessages, kMessagesHelp, {{"outcome", "accepted"}})),
      duplicates_(parts.metrics.AddCounter(kMessages, kMessagesHelp, {{"outcome", "duplicate"}})),
      refused_(parts.metrics.AddCounter(kMessages, kMessagesHelp, {{"outcome", "refused"}})),
      failed_(parts.metrics.AddCounter(kMessages, kMessagesHelp, {{"outcome", "failed"}})),
      waiting_(parts.metrics.AddGauge("dotagent_gateway_inbox_messages", "Messages that wait in inboxes here.")),
      being_written_(parts.metrics.AddGauge("dotagent_gateway_inbox_being_written",
                                            "Messages and acknowledgements that wait for the disk.")),
      dead_letters_(parts.metrics.AddGauge("dotagent_gateway_inbox_dead_letters", "Dead letters that are kept.")),
      commits_{parts.metrics.AddCounter("dotagent_gateway_inbox_commits_total",
                                        "Writes of inboxes to the disk, each of all that waited for it.")},
      expired_{parts.metrics.AddCounter(kDeadLetters, kDeadLettersHelp, {{"reason", "expired"}})},
      given_up_{parts.metrics.AddCounter(kDeadLetters, kDeadLettersHelp, {{"reason", "too_many_deliveries"}})} {}

PostOffice::Done PostOffice::Counted(Done done) {
  return [this, done = std::move(done)](absl::StatusOr<bool> duplicate) {
    if (duplicate.ok()) {
      (*duplicate ? duplicates_ : accepted_).Increment();
    } else {
      (IsFailure(duplicate.status()) ? failed_ : refused_).Increment();
    }
    ShowInboxes();
    done(std::move(duplicate));
  };
}

void PostOffice::ShowInboxes() {
  waiting_.Set(static_cast<double>(parts_.inboxes.size()));
  being_written_.Set(static_cast<double>(parts_.inboxes.being_written()));
  dead_letters_.Set(static_cast<double>(parts_.inboxes.dead_letters()));
  commits_.Update(parts_.inboxes.commits());
  expired_.Update(parts_.inboxes.expired());
  given_up_.Update(parts_.inboxes.given_up());
}

template <typename Envelope>
absl::StatusOr<std::shared_ptr<const PostOffice::Letter>> PostOffice::Open(const Envelope& envelope,
                                                                           const crypto::PublicKey& sender_key) {
  const std::string& json = envelope.message_json();
  const std::string& attachment = envelope.attachment();
  if (json.size() > record::kMaxMessageSize) return TooLarge("message", json.size(), record::kMaxMessageSize);
  if (attachment.size() > record::kMaxAttachmentSize) {
    return TooLarge("attachment", attachment.size(), record::kMaxAttachmentSize);
  }
  if (envelope.token().size() > capability::kMaxTokenSize) {
    return TooLarge("token", envelope.token().size(), capability::kMaxTokenSize);
  }
  ASSIGN_OR_RETURN(record::Message message, record::Message::Verify(json, sender_key, parts_.clock.Now()));
  RETURN_IF_ERROR(message.CheckAttachment(attachment));
  if (record::IsPublication(message)) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kBadMessage,
                           "a publication goes to its topic's subscribers and into no inbox: use Publish");
  }
  if (parts_.is_revoked(sender_key)) return Revoked(message.sender());
  return std::make_shared<const Letter>(
      Letter{std::move(message), attachment, envelope.token(), sender_key, envelope.priority()});
}

void PostOffice::Send(const std::shared_ptr<Agent>& sender, const gateway::v1::SendRequest& request, Done done) {
  done = Counted(std::move(done));
  auto letter = Open(request, sender->key);
  parts_.admission.NoteChecked(sender->key, letter.status());
  if (!letter.ok()) return done(letter.status());
  const absl::Status admitted = parts_.admission.AdmitMessage(sender->key, (*letter)->message);
  if (!admitted.ok()) return done(admitted);
  parts_.tap.Append(request.message_json());
  parts_.tap.Append(request.attachment());
  CheckHolder(parts_.directory, parts_.clock, sender, (*letter)->message.sender(),
              [this, letter = *letter, done = std::move(done)](const absl::Status& holds) {
                if (!holds.ok()) return done(WithContext(holds, "sender"));
                Forward(letter, done);
              });
}

void PostOffice::Forward(const std::shared_ptr<const Letter>& letter, Done done) {
  FindRecipient(letter, [this, letter, done = std::move(done)](const absl::StatusOr<SharedRecord>& recipient) {
    recipient.ok() ? ForwardTo(letter, *recipient, true, done) : done(recipient.status());
  });
}

void PostOffice::ForwardTo(const std::shared_ptr<const Letter>& letter, const SharedRecord& recipient, bool again,
                           const Done& done) {
  if (parts_.homes.LivesHere(*recipient)) return KeepAtHome(letter, *recipient, done);
  auto gateways = GatewaysOf(*recipient);
  if (!gateways.ok()) return done(gateways.status());
  parts_.trunk.Deliver(*std::move(gateways), Enclose(*letter),
                       [this, letter, recipient, again, done](const absl::StatusOr<bool>& delivered) {
                         if (!again || ReasonOf(delivered.status()) != reason::kBadAddress) return done(delivered);
                         FindMoved(recipient, delivered.status(), [this, letter, done](const auto& moved) {
                           moved.ok() ? ForwardTo(letter, *moved, false, done) : done(moved.status());
                         });
                       });
}

void PostOffice::FindMoved(const SharedRecord& known, const absl::Status& refused, Found done) {
  parts_.directory.Resolve(
      known->name(), true,
      [this, known, refused, done = std::move(done)](const absl::StatusOr<host::Resolution>& found) {
        if (!found.ok() || found->record.json() == known->json()) return done(refused);
        if (parts_.is_revoked(found->record.public_key())) return done(Revoked(known->name()));
        known_.erase(known->name().text());
        done(std::make_shared<const record::Record>(found->record));
      });
}

trunk::v1::DeliverRequest PostOffice::Enclose(const Letter& letter) {
  trunk::v1::DeliverRequest request;
  request.set_message_json(letter.message.json());
  request.set_attachment(letter.attachment);
  request.set_sender_key(std::string(letter.sender_key.bytes()));
  request.set_token(letter.token);
  request.set_priority(letter.priority);
  return request;
}

void PostOffice::KeepAtHome(const std::shared_ptr<const Letter>& letter, const record::Record& recipient,
                            const Done& done) {
  const auto home = parts_.homes.HomeOf(recipient.name());
  if (!home.ok()) return done(home.status());
  *home ? (*home)->Deliver(Enclose(*letter), done) : Keep(letter, recipient, done);
}

void PostOffice::Receive(const std::optional<crypto::PublicKey>& stranger, const trunk::v1::DeliverRequest& request,
                         Done done) {
  done = Counted(std::move(done));
  // Unchecked: CheckSender has it equal the key of a record, which was checked.
  const auto sender_key = crypto::PublicKey::FromUncheckedBytes(request.sender_key());
  if (!sender_key.ok()) return done(WithContext(sender_key.status(), "sender_key"));
  auto letter = Open(request, *sender_key);
  if (stranger) parts_.admission.NoteCheckedOf(*stranger, *sender_key, letter.status());
  if (!letter.ok()) return done(letter.status());
  parts_.tap.Append(request.message_json());
  parts_.tap.Append(request.attachment());
  FindRecipientHere(*letter, [this, letter = *letter, fellow = !stranger,
                              done = std::move(done)](const absl::StatusOr<SharedRecord>& recipient) {
    if (!recipient.ok()) return done(recipient.status());
    fellow ? Keep(letter, **recipient, done) : KeepAtHome(letter, **recipient, done);
  });
}

void PostOffice::FindRecipientHere(const std::shared_ptr<const Letter>& letter, Found done) {
  CheckSender(letter, [this, letter, done = std::move(done)](const absl::Status& checked) {
    if (!checked.ok()) return done(checked);
    FindRecipient(letter, [this, done](const absl::StatusOr<SharedRecord>& recipient) {
      if (recipient.ok() && !parts_.homes.LivesHere(**recipient)) {
        return done(ErrorWithReason(
            absl::StatusCode::kFailedPrecondition, reason::kBadAddress,
            absl::StrCat((*recipient)->name().text(), " does not live at this gateway (any more); resolve it again")));
      }
      done(recipient);
    });
  });
}

void PostOffice::Request(const std::shared_ptr<Agent>& sender, const gateway::v1::RequestRequest& request,
                         absl::Time deadline, AnswerDone done) {
  auto letter = Open(request, sender->key);
  parts_.admission.NoteChecked(sender->key, letter.status());
  if (!letter.ok()) return done(letter.status());
  const absl::Status admitted = parts_.admission.AdmitMessage(sender->key, (*letter)->message);
  if (!admitted.ok()) return done(admitted);
  const absl::Status form = Requests::CheckForm((*letter)->message, parts_.clock.Now());
  parts_.admission.NoteChecked(sender->key, form);
  if (!form.ok()) return done(form);
  parts_.tap.Append(request.message_json());
  parts_.tap.Append(request.attachment());
  CheckHolder(parts_.directory, parts_.clock, sender, (*letter)->message.sender(),
              [this, letter = *letter, deadline, done = std::move(done)](const absl::Status& holds) {
                if (!holds.ok()) return done(WithContext(holds, "sender"));
                ForwardRequest(letter, deadline, done);
              });
}

void PostOffice::ForwardRequest(const std::shared_ptr<const Letter>& letter, absl::Time deadline,
                                const AnswerDone& done) {
  FindRecipient(letter, [this, letter, deadline, done](const absl::StatusOr<SharedRecord>& recipient) {
    recipient.ok() ? ForwardRequestTo(letter, *recipient, deadline, true, done) : done(recipient.status());
  });
}

void PostOffice::ForwardRequestTo(const std::shared_ptr<const Letter>& letter, const SharedRecord& recipient,
                                  absl::Time deadline, bool again, const AnswerDone& done) {
  const auto finish = [recipient, done](absl::StatusOr<Answer> answer) {
    if (!answer.ok()) return done(answer.status());
    done(Answered{*std::move(answer), recipient});
  };
  if (parts_.homes.LivesHere(*recipient)) return PresentAtHome(letter, *recipient, deadline, finish);
  auto gateways = GatewaysOf(*recipient);
  if (!gateways.ok()) return done(gateways.status());
  const auto on_answer = [this, letter, recipient, deadline, again, done, finish](absl::StatusOr<Answer> answer) {
    if (again && ReasonOf(answer.status()) == reason::kBadAddress) {
      return FindMoved(recipient, answer.status(), [this, letter, deadline, done](const auto& moved) {
        moved.ok() ? ForwardRequestTo(letter, *moved, deadline, false, done) : done(moved.status());
      });
    }
    if (!answer.ok()) return finish(std::move(answer));
    // The other gateway's word counts for nothing.
    const absl::Status checked =
        Requests::CheckAnswer(letter->message, *answer, recipient->public_key(), parts_.clock.Now());
    if (!checked.ok()) return finish(WithContext(checked, "the answer that came"));
    TapAnswer(*answer);
    finish(std::move(answer));
  };
  parts_.trunk.Request(*std::move(gateways), EncloseRequest(*letter, deadline), on_answer);
}

trunk::v1::RequestCall PostOffice::EncloseRequest(const Letter& letter, absl::Time deadline) const {
  trunk::v1::RequestCall call;
  *call.mutable_request() = Enclose(letter);
  const absl::Duration left = std::max(deadline - parts_.clock.Now(), absl::Milliseconds(1));
  call.set_timeout_ms(static_cast<uint32_t>(absl::ToInt64Milliseconds(left)));
  return call;
}

void PostOffice::PresentAtHome(const std::shared_ptr<const Letter>& letter, const record::Record& recipient,
                               absl::Time deadline, const Requests::Done& done) {
  const auto home = parts_.homes.HomeOf(recipient.name());
  if (!home.ok()) return done(home.status());
  if (!*home) return Present(letter, recipient, deadline, done);
  (*home)->Request(EncloseRequest(*letter, deadline), [this, done](absl::StatusOr<Answer> answer) {
    if (answer.ok()) TapAnswer(*answer);
    done(std::move(answer));
  });
}

void PostOffice::ReceiveRequest(const std::optional<crypto::PublicKey>& stranger, const trunk::v1::RequestCall& call,
                                Requests::Done done) {
  const auto sender_key = crypto::PublicKey::FromUncheckedBytes(call.request().sender_key());  // as in Receive
  if (!sender_key.ok()) return done(WithContext(sender_key.status(), "sender_key"));
  auto letter = Open(call.request(), *sender_key);
  if (stranger) parts_.admission.NoteCheckedOf(*stranger, *sender_key, letter.status());
  if (!letter.ok()) return done(letter.status());
  const absl::Time now = parts_.clock.Now();
  const absl::Status form = Requests::CheckForm((*letter)->message, now);
  if (stranger) parts_.admission.NoteCheckedOf(*stranger, *sender_key, form);
  if (!form.ok()) return done(form);
  parts_.tap.Append(call.request().message_json());
  parts_.tap.Append(call.request().attachment());
  const absl::Time deadline = now + std::min(absl::Milliseconds(call.timeout_ms()), kMaxRequestTimeout);
  FindRecipientHere(*letter, [this, letter = *letter, deadline, fellow = !stranger,
                              done = std::move(done)](const absl::StatusOr<SharedRecord>& recipient) {
    if (!recipient.ok()) return done(recipient.status());
    fellow ? Present(letter, **recipient, deadline, done) : PresentAtHome(letter, **recipient, deadline, done);
  });
}

void PostOffice::TapAnswer(const Answer& answer) {
  parts_.tap.Append(answer.message_json);
  parts_.tap.Append(answer.attachment);
}

void PostOffice::Present(const std::shared_ptr<const Letter>& letter, const record::Record& recipient,
                         absl::Time deadline, const Requests::Done& done) {
  parts_.guard.Check(letter->message, letter->sender_key, recipient, letter->token,
                     [this, letter, inbox = InboxId{recipient.name(), recipient.public_key()}, deadline,
                      done](const InboxGuard::Admitted& allowed) {
                       if (!allowed.ok()) return done(allowed.status());
                       parts_.requests.Present(inbox, letter->message, letter->attachment, letter->sender_key, deadline,
                                               [this, done](absl::StatusOr<Answer> answer) {
                                                 if (answer.ok()) TapAnswer(*answer);
                                                 done(std::move(answer));
                                               });
                     });
}

void PostOffice::Find(const record::Name& name, Found done) {
  const absl::Time asked = parts_.clock.Now();
  if (const auto known = known_.find(name.text()); known != known_.end() && asked < known->second.until) {
    const SharedRecord record = known->second.record;  // held: `done` may change what is known
    return done(record);
  }
  parts_.directory.Resolve(name, false,
                           [this, name, asked, done = std::move(done)](absl::StatusOr<host::Resolution> found) {
                             if (!found.ok()) return done(found.status());
                             if (known_.size() >= kMaxFound) known_.clear();
                             const absl::Time until = std::min(asked + kBelieved, found->record.expires());
                             const auto record = std::make_shared<const record::Record>(std::move(found->record));
                             known_.insert_or_assign(name.text(), Known{record, until});
                             done(SharedRecord(record));
                           });
}

void PostOffice::CheckSender(const std::shared_ptr<const Letter>& letter, std::function<void(absl::Status)> done) {
  Find(letter->message.sender(), [letter, done = std::move(done)](const absl::StatusOr<SharedRecord>& record) {
    const std::string& name = letter->message.sender().text();
    if (!record.ok()) return done(WithContext(record.status(), absl::StrCat("cannot check the sender ", name)));
    if ((*record)->public_key() == letter->sender_key) return done(absl::OkStatus());
    done(ErrorWithReason(absl::StatusCode::kPermissionDenied, reason::kKeyMismatch,
                         absl::StrCat(name, " is held by another key than the one that signed the message")));
  });
}

void PostOffice::FindRecipient(const std::shared_ptr<const Letter>& letter, Found done) {
  Find(letter->message.recipient(), [this, done = std::move(done)](const absl::StatusOr<SharedRecord>& record) {
    if (absl::IsNotFound(record.status())) return done(WithContext(record.status(), "unknown recipient"));
    if (!record.ok()) return done(WithContext(record.status(), "recipient"));
    if (parts_.is_revoked((*record)->public_key())) return done(Revoked((*record)->name()));
    done(record);
  });
}

void PostOffice::Keep(const std::shared_ptr<const Letter>& letter, const record::Record& recipient, const Done& done) {
  ++keeping_;
  const auto kept = [this, letter, done](const absl::StatusOr<bool>& duplicate) {
    --keeping_;
    done(duplicate);
    if (duplicate.ok()) FollowHome(letter->message.recipient());
  };
  parts_.guard.Check(letter->message, letter->sender_key, recipient, letter->token,
                     [this, letter, inbox = InboxId{recipient.name(), recipient.public_key()},
                      kept](const InboxGuard::Admitted& allowed) {
                       if (!allowed.ok()) return kept(allowed.status());
                       Add(letter, inbox, kept);
                     });
}

void PostOffice::FollowHome(const record::Name& recipient) {
  const auto home = parts_.homes.HomeOf(recipient);
  if (home.ok() && *home != nullptr) parts_.left_behind();
}

void PostOffice::Add(const std::shared_ptr<const Letter>& letter, const InboxId& inbox, const Done& done) {
  const record::Message& message = letter->message;
  parts_.inboxes.Add(inbox,
                     {.sender = message.sender().text(),
                      .id = message.id(),
                      .timestamp = message.timestamp(),
                      .json = message.json(),
                      .attachment = letter->attachment,
                      .sender_key = letter->sender_key},
                     parts_.clock.Now(), [this, inbox, done](const absl::StatusOr<bool>& added) {
                       if (!added.ok()) return done(added.status());
                       if (*added) parts_.listeners.Notify(inbox);
                       done(!*added);
                     });
}

}  // namespace dotagent::gateway_service
