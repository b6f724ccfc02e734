#include "services/resolver/finder.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/identity/agent_id.h"
#include "common/identity/revocation.h"

namespace dotagent::resolver_service {
namespace {

dht::Id DhtId(const std::string& key) {
  // A SHA-256 is always the right size.
  return *dht::Id::FromBytes(key);
}

absl::Status NotFound(const record::Name& name) {
  return ErrorWithReason(absl::StatusCode::kNotFound, reason::kNameNotFound,
                         absl::StrCat(name.text(), " is not registered: no node of the DHT has a record for it"));
}

}  // namespace

absl::Status KeyRevoked(const record::Name& name) {
  return ErrorWithReason(absl::StatusCode::kPermissionDenied, reason::kKeyRevoked,
                         absl::StrCat("the key of ", name.text(), " has been revoked"));
}

absl::Status Finder::CheckNotRevoked(const record::Record& record) const {
  return revocations_.IsRevoked(record.public_key()) ? KeyRevoked(record.name()) : absl::OkStatus();
}

void Finder::Find(const record::Name& name, Callback<Answer> done) {
  dht_.Get(
      DhtId(name.DhtKey()), dht::ValueKind::kRecord,
      [this, name, done = std::move(done)](const absl::StatusOr<dht::GetResult>& found) {
        if (!found.ok()) {
          return done(absl::IsNotFound(found.status()) ? NotFound(name) : WithContext(found.status(), name.text()));
        }
        absl::StatusOr<Answer> answer = Check(name, *found);
        if (!answer.ok()) return done(std::move(answer));
        // Of the key in the record: that an earlier one of its owner's was revoked ends nothing.
        const std::string revocation_key =
            identity::RevocationKey(identity::AgentId::FromFirstKey(answer->record.public_key()));
        dht_.Get(DhtId(revocation_key), dht::ValueKind::kRevocation,
                 [this, answer = *std::move(answer), done](const absl::StatusOr<dht::GetResult>& revocation) {
                   const absl::Status allowed = CheckRevocation(answer, revocation);
                   done(allowed.ok() ? absl::StatusOr<Answer>(answer) : allowed);
                 });
      });
}

absl::StatusOr<Answer> Finder::Check(const record::Name& name, const dht::GetResult& found) const {
  const absl::Time now = clock_.Now();
  ASSIGN_OR_RETURN(record::Record record, record::Record::Verify(found.item.bytes, now));
  if (record.expires() <= now) {
    return ErrorWithReason(absl::StatusCode::kNotFound, reason::kNameNotFound,
                           absl::StrCat("the record of ", name.text(), " has expired; its owner must register again"));
  }
  RETURN_IF_ERROR(CheckNotRevoked(record));
  // The key may be a later one of the owner's: what proves it was checked by the DHT.
  ASSIGN_OR_RETURN(const auto owner, identity::AgentId::FromBytes(found.owner.bytes()));
  std::vector<Receipt> receipts;
  for (const dht::WitnessReceipt& witness : found.receipts) {
    receipts.push_back({witness.node, witness.receipt.first_seen, witness.receipt.signature});
  }
  return Answer{.record = std::move(record),
                .owner = owner,
                .from_own_store = found.from_own_store,
                .hops = found.hops,
                .messages = found.messages,
                .agreeing_nodes = found.agreeing_nodes,
                .paths_agreed = found.agreeing_paths,
                .receipts = std::move(receipts)};
}

absl::Status Finder::CheckRevocation(const Answer& answer, const absl::StatusOr<dht::GetResult>& found) {
  if (found.ok()) {
    ASSIGN_OR_RETURN(const std::string rotation_chain, dht::ChainInProof(found->item.proof));
    RETURN_IF_ERROR(revocations_.Learn(found->item.bytes, rotation_chain));
  } else if (!absl::IsNotFound(found.status())) {
    return WithContext(found.status(),
                       absl::StrCat(answer.record.name().text(), " was found, but not whether its key is revoked"));
  }
  // Also what became known by another way while the DHT was asked.
  return CheckNotRevoked(answer.record);
}

}  // namespace dotagent::resolver_service
