#include "services/gateway/inbox_guard.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/capability/resource.h"
#include "common/capability/token.h"
#include "common/crypto/hash.h"

namespace dotagent::gateway_service {
namespace {

using gateway::v1::InboxPolicy;

constexpr char kTable[] = "policy/";
constexpr size_t kTableSize = sizeof(kTable) - 1;
constexpr char kVersions[] = "policy-version/";
constexpr char kMethod[] = "method";
constexpr char kChecks[] = "dotagent_gateway_token_checks_total";
constexpr char kChecksHelp[] = "Messages and channels that needed a capability token, by what became of them.";
constexpr absl::string_view kRedemptionContext("dotagent redemption v1\0", 23);
constexpr absl::string_view kChannelRedemptionContext("dotagent channel redemption v1\0", 31);

absl::Status BadPolicy(absl::string_view message) {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kBadMessage,
                         absl::StrCat("inbox policy: ", message));
}

absl::Status Refused(absl::string_view reason, absl::string_view message) {
  return ErrorWithReason(absl::StatusCode::kPermissionDenied, reason, message);
}

// What a message or a channel asks for.
struct Wanted {
  capability::Resource resource;
  std::string action;
  bool guardable = true;    // guarded methods are for requests and channels
  bool odd_method = false;  // it names a method, which is no path
};

Wanted WantedBy(const record::Message& message) {
  capability::Resource whole = *capability::Resource::Of(message.recipient(), "");
  if (message.type() != record::MessageType::kRequest) return {std::move(whole), "send", false};
  const auto method = message.content().find(kMethod);
  if (method == message.content().end()) return {std::move(whole), "call"};
  if (method->is_string() && !method->get_ref<const std::string&>().empty()) {
    auto resource = capability::Resource::Of(message.recipient(), method->get_ref<const std::string&>());
    if (resource.ok()) return {*std::move(resource), "call"};
  }
  return {.resource = std::move(whole), .action = "call", .odd_method = true};
}

// Whoever it is, and whatever for: most inboxes, of which nothing more needs to be worked out.
bool LetsAllIn(const InboxPolicy& policy) {
  return policy.mode() == gateway::v1::INBOX_MODE_OPEN && policy.guarded_methods().empty();
}

// The redemption's id of one use.
std::string UseOf(absl::string_view context, const crypto::PublicKey& key, const record::Name& recipient,
                  absl::string_view id) {
  return crypto::Sha256(absl::StrCat(context, key.bytes(), recipient.text(), "/", id));
}

}  // namespace

struct InboxGuard::Approach {
  const record::Name& sender;
  const crypto::PublicKey& key;
  Wanted wanted;
  absl::string_view what;  // for a person
  const std::string& token;
  std::string use;                               // the redemption's id
  std::function<absl::Status()> check_use = {};  // before it is counted
};

InboxGuard::InboxGuard(storage::Store& store, Redeemer& redeemer, KeyRevoked key_revoked, const Clock& clock,
                       telemetry::Metrics& metrics, size_t token_cache_bytes)
    : store_(store),
      redeemer_(redeemer),
      clock_(clock),
      tokens_(token_cache_bytes, std::move(key_revoked)),
      allowed_(metrics.AddCounter(kChecks, kChecksHelp, {{"result", "allowed"}})),
      refused_(metrics.AddCounter(kChecks, kChecksHelp, {{"result", "refused"}})) {}

namespace {

absl::Status CheckPolicy(const record::Name& name, const InboxPolicy& policy) {
  if (policy.mode() == gateway::v1::INBOX_MODE_UNSPECIFIED || !gateway::v1::InboxMode_IsValid(policy.mode())) {
    return BadPolicy("it has no mode; say open, contacts or capability");
  }
  if (static_cast<size_t>(policy.contacts_size()) > kMaxContacts ||
      static_cast<size_t>(policy.guarded_methods_size()) > kMaxGuardedMethods) {
    return BadPolicy(
        absl::StrCat("it has at most ", kMaxContacts, " contacts and ", kMaxGuardedMethods, " guarded methods"));
  }
  for (const std::string& contact : policy.contacts()) {
    const auto parsed = record::Name::Parse(contact);
    if (!parsed.ok()) return BadPolicy(absl::StrCat("a contact: ", parsed.status().message()));
    if (parsed->text() != contact) return BadPolicy(absl::StrCat("write the contact ", contact, " in lower case"));
  }
  for (const std::string& method : policy.guarded_methods()) {
    const auto parsed = capability::Resource::Of(name, method);
    if (method.empty() || !parsed.ok()) {
      return BadPolicy(absl::StrCat("a guarded method is a path such as calendar/events: ", parsed.status().message()));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status InboxGuard::SetPolicy(const record::Name& name, const InboxPolicy& policy) {
  RETURN_IF_ERROR(CheckPolicy(name, policy));
  ASSIGN_OR_RETURN(const uint64_t before, VersionOf(name.text()));
  const auto now = static_cast<uint64_t>(absl::ToUnixMicros(clock_.Now()));
  return WritePolicy(name, policy.SerializeAsString(), std::max(now, before + 1));
}

absl::Status InboxGuard::WritePolicy(const record::Name& name, const std::string& policy, uint64_t version) {
  storage::Batch batch;
  batch.Put(absl::StrCat(kTable, name.text()), policy);
  batch.Put(absl::StrCat(kVersions, name.text()), absl::StrCat(version));
  return store_.Write(batch, storage::Durability::kSync);
}

// 0: there is none, or it was set by a release that did not number them.
absl::StatusOr<uint64_t> InboxGuard::VersionOf(absl::string_view name) const {
  const auto stored = store_.Get(absl::StrCat(kVersions, name));
  if (absl::IsNotFound(stored.status())) return 0;
  RETURN_IF_ERROR(stored.status());
  uint64_t version = 0;
  if (absl::SimpleAtoi(*stored, &version)) return version;
  return ErrorWithReason(absl::StatusCode::kDataLoss, reason::kStorage,
                         absl::StrCat("the version of the inbox policy of ", name, " is damaged; set it anew"));
}

absl::StatusOr<cluster::v1::Policies> InboxGuard::PoliciesAfter(const std::string& after, size_t max_bytes) const {
  cluster::v1::Policies page;
  size_t bytes = 0;
  RETURN_IF_ERROR(store_.Scan(kTable, absl::StrCat(kTable, after), [&](absl::string_view key, absl::string_view value) {
    const absl::string_view name = key.substr(kTableSize);
    if (!after.empty() && name == after) return true;
    if (bytes > 0 && bytes + value.size() > max_bytes) return false;
    bytes += value.size();
    cluster::v1::Policy& policy = *page.add_policies();
    policy.set_name(std::string(name));
    policy.set_policy(std::string(value));
    return true;
  }));
  for (cluster::v1::Policy& policy : *page.mutable_policies()) {
    ASSIGN_OR_RETURN(const uint64_t version, VersionOf(policy.name()));
    policy.set_version(version);
  }
  return page;
}

absl::StatusOr<cluster::v1::Policy> InboxGuard::FindPolicy(const record::Name& name) const {
  cluster::v1::Policy policy;
  policy.set_name(name.text());
  ASSIGN_OR_RETURN(*policy.mutable_policy(), store_.Get(absl::StrCat(kTable, name.text())));
  ASSIGN_OR_RETURN(const uint64_t version, VersionOf(name.text()));
  policy.set_version(version);
  return policy;
}

absl::Status InboxGuard::TakePolicy(const cluster::v1::Policy& policy) {
  ASSIGN_OR_RETURN(const record::Name name, record::Name::Parse(policy.name()));
  InboxPolicy parsed;
  if (!parsed.ParseFromString(policy.policy())) return BadPolicy("it cannot be read");
  RETURN_IF_ERROR(CheckPolicy(name, parsed));
  ASSIGN_OR_RETURN(const uint64_t version, VersionOf(name.text()));
  if (policy.version() < version) return absl::OkStatus();
  const auto stored = store_.Get(absl::StrCat(kTable, name.text()));
  // Of two with one version, which two members gave at the same time, all take the same.
  if (stored.ok() && policy.version() == version && policy.policy() <= *stored) return absl::OkStatus();
  if (!stored.ok() && !absl::IsNotFound(stored.status())) return stored.status();
  return WritePolicy(name, policy.policy(), policy.version());
}

absl::StatusOr<InboxPolicy> InboxGuard::PolicyOf(const record::Name& name) const {
  InboxPolicy policy;
  const auto stored = store_.Get(absl::StrCat(kTable, name.text()));
  if (absl::IsNotFound(stored.status())) {
    policy.set_mode(gateway::v1::INBOX_MODE_OPEN);
    return policy;
  }
  RETURN_IF_ERROR(stored.status());
  if (policy.ParseFromString(*stored)) return policy;
  return ErrorWithReason(absl::StatusCode::kDataLoss, reason::kStorage,
                         absl::StrCat("the inbox policy of ", name.text(), " is damaged; set it anew"));
}

InboxGuard::Verdict InboxGuard::Judge(const InboxPolicy& policy, const record::Name& recipient,
                                      const Approach& approach) {
  const bool contact =
      std::find(policy.contacts().begin(), policy.contacts().end(), approach.sender.text()) != policy.contacts().end();
  if (policy.mode() == gateway::v1::INBOX_MODE_CONTACTS && !contact) return Verdict::kNotAContact;
  if (policy.mode() == gateway::v1::INBOX_MODE_CAPABILITY && !contact) return Verdict::kTokenRequired;
  if (policy.guarded_methods().empty() || !approach.wanted.guardable) return Verdict::kAllowed;
  const auto guards = [&](const std::string& method) {
    const auto guarded = capability::Resource::Of(recipient, method);
    return guarded.ok() && guarded->Covers(approach.wanted.resource);
  };
  const bool guarded = approach.wanted.odd_method ||
                       std::any_of(policy.guarded_methods().begin(), policy.guarded_methods().end(), guards);
  return guarded ? Verdict::kTokenRequired : Verdict::kAllowed;
}

void InboxGuard::Check(const record::Message& message, const crypto::PublicKey& sender_key,
                       const record::Record& recipient, const std::string& token, Done done) {
  const auto policy = PolicyOf(recipient.name());
  if (!policy.ok()) return done(policy.status());
  if (LetsAllIn(*policy)) return done(nullptr);
  Admit(*policy,
        {.sender = message.sender(),
         .key = sender_key,
         .wanted = WantedBy(message),
         .what = "messages",
         .token = token,
         .use = UseOf(kRedemptionContext, sender_key, recipient.name(), message.id())},
        recipient, std::move(done));
}

absl::Status InboxGuard::CheckForm(const record::Name& recipient, absl::string_view method, absl::string_view token) {
  if (method.size() > kMaxChannelMethod || token.size() > capability::kMaxTokenSize) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kTooLarge,
                           absl::StrCat("a channel's method has at most ", kMaxChannelMethod, " bytes, its token ",
                                        capability::kMaxTokenSize));
  }
  const auto resource = capability::Resource::Of(recipient, method);
  if (resource.ok()) return absl::OkStatus();
  return ErrorWithReason(
      absl::StatusCode::kInvalidArgument, reason::kBadMessage,
      absl::StrCat("a channel's method is a path such as calendar/events: ", resource.status().message()));
}

absl::Status InboxGuard::InTime(const capability::Token& token, absl::Time now) {
  if (now < token.last().expires) return absl::OkStatus();
  return ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kStale,
                         "the time of the token that allowed this is up; ask for a new one, and begin anew with it");
}

void InboxGuard::CheckChannel(const AskedChannel& request, const record::Record& recipient, Done done) {
  const absl::Status form = CheckForm(recipient.name(), request.method, request.token);
  if (!form.ok()) return done(form);
  const auto policy = PolicyOf(recipient.name());
  if (!policy.ok()) return done(policy.status());
  Admit(*policy,
        {.sender = request.caller,
         .key = request.caller_key,
         .wanted = {.resource = *capability::Resource::Of(recipient.name(), request.method), .action = "channel"},
         .what = "channels",
         .token = request.token,
         .use = UseOf(kChannelRedemptionContext, request.caller_key, recipient.name(), request.id),
         .check_use = request.can_be_offered},
        recipient, std::move(done));
}

void InboxGuard::Admit(const InboxPolicy& policy, const Approach& approach, const record::Record& recipient,
                       Done done) {
  const Verdict verdict = Judge(policy, recipient.name(), approach);
  if (verdict == Verdict::kAllowed) return done(nullptr);
  if (verdict == Verdict::kNotAContact) {
    return done(Refused(reason::kNotAContact,
                        absl::StrCat(recipient.name().text(), " takes ", approach.what, " from its contacts only, and ",
                                     approach.sender.text(), " is none of them")));
  }
  done = [this, done = std::move(done)](auto admitted) {
    (admitted.ok() ? allowed_ : refused_).Increment();
    done(std::move(admitted));
  };
  const Wanted& wanted = approach.wanted;
  if (approach.token.empty()) {
    return done(
        Refused(reason::kTokenRequired,
                absl::StrCat(recipient.name().text(), " asks for a capability token that allows ", wanted.action,
                             " on ", wanted.resource.text(), "; ask it for one, and send it along")));
  }
  const crypto::PublicKey& owner = recipient.public_key();
  const auto checked = tokens_.Check(
      approach.token,
      {.owners = {&owner, 1}, .presenter = approach.key, .resource = wanted.resource, .action = wanted.action},
      clock_.Now());
  if (!checked.ok()) return done(WithContext(checked.status(), "capability token"));
  if (!(*checked)->counted()) return done(*checked);
  if (approach.check_use) {
    const absl::Status useful = approach.check_use();
    if (!useful.ok()) return done(useful);
  }
  redeemer_.Redeem(approach.token, approach.use,
                   [token = *checked, done = std::move(done)](const absl::Status& redeemed) {
                     redeemed.ok() ? done(token) : done(redeemed);
                   });
}

}  // namespace dotagent::gateway_service
