#include "tests/simulation/names.h"

#include "absl/strings/str_cat.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/crypto/hash.h"
#include "common/identity/agent_certificate.h"
#include "common/identity/agent_id.h"
#include "common/record/name.h"
#include "common/record/record.h"
#include "dotagent/dht/v1/dht.pb.h"

namespace dotagent::simulation {
namespace {

constexpr uint64_t kThief = ~uint64_t{0};
constexpr uint64_t kRegistrar = kThief - 1;

dht::Id KeyOf(absl::string_view text) { return dht::Id::FromBytes(crypto::Sha256(text)).value(); }

dht::Id AgentIdOf(const crypto::SigningKey& key) {
  return dht::Id::FromBytes(identity::AgentId::FromFirstKey(key.public_key()).bytes()).value();
}

}  // namespace

Names::Names(uint64_t seed, size_t count, bool certified) : seed_(seed), certified_(certified) {
  thief_ = AgentIdOf(KeyNumber(kThief));
  for (size_t name = 0; name < count; ++name) {
    keys_.push_back(KeyOf(Text(name)));
    owners_.push_back(AgentIdOf(KeyNumber(name)));
    by_key_[keys_.back()] = name;
  }
}

std::string Names::Text(size_t name) const { return absl::StrCat("agent-", name, ".run-", seed_, ".agent"); }

crypto::SigningKey Names::KeyNumber(uint64_t number) const {
  SeededRandom random(seed_);
  const uint64_t base = random.Below(kThief);
  SeededRandom own(base ^ number);
  return crypto::SigningKey::Generate(own);
}

std::optional<size_t> Names::Find(const dht::Id& key) const {
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return std::nullopt;
  return found->second;
}

dht::Id Names::AbsentKey(size_t number) const {
  return KeyOf(absl::StrCat("absent-", number, ".run-", seed_, ".agent"));
}

dht::NamePolicy Names::policy() const {
  if (!certified_) return {};
  return {.registrars = {KeyNumber(kRegistrar).public_key()}};
}

absl::StatusOr<dht::Item> Names::Sign(size_t name, absl::Time now, absl::Duration ttl) const {
  return SignWith(KeyNumber(name), KeyNumber(kRegistrar), name, now, ttl);
}

absl::StatusOr<dht::Item> Names::SignAsThief(size_t name, absl::Time now, absl::Duration ttl) const {
  const crypto::SigningKey thief = KeyNumber(kThief);
  return SignWith(thief, thief, name, now, ttl);
}

absl::StatusOr<dht::Item> Names::SignWith(const crypto::Signer& key, const crypto::Signer& registrar, size_t name,
                                          absl::Time now, absl::Duration ttl) const {
  const record::RecordFields fields{.name = Text(name),
                                    .addresses = {"/ip4/198.51.100.7/tcp/4001"},
                                    .protocols = {"/dotagent/1.0.0"},
                                    .timestamp = now,
                                    .ttl_seconds = absl::ToInt64Seconds(ttl)};
  ASSIGN_OR_RETURN(const record::Record record, record::Record::Sign(fields, key));
  if (!certified_) return dht::Item{record.json(), ""};
  const identity::CertificateSubject subject{key.public_key(), identity::AgentId::FromFirstKey(key.public_key()),
                                             Text(name)};
  const identity::CertificateTerms terms{.trust_domain = "simulation",
                                         .not_before = now - absl::Hours(1),
                                         .lifetime = absl::Hours(24 * 365),
                                         .serial = std::to_string(name + 1)};
  dht::v1::Proof proof;
  ASSIGN_OR_RETURN(*proof.mutable_name_certificate(),
                   identity::IssueAgentCertificate(identity::CertificateProfile::kName, registrar, subject, terms));
  return dht::Item{record.json(), proof.SerializeAsString()};
}

}  // namespace dotagent::simulation
