#include "services/gateway/name_keeper.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/identity/name_certificate.h"
#include "common/record/record.h"
#include "common/telemetry/log.h"

namespace dotagent::gateway_service {
namespace {

constexpr double kPartOfTtl = 0.9;
constexpr double kSpread = 0.2;
constexpr double kPauseSpread = 0.5;
constexpr absl::Duration kLongestWithoutRenewal = absl::Hours(22);
constexpr absl::Duration kFirstPause = absl::Seconds(1);
constexpr absl::Duration kLongestPause = absl::Minutes(5);
constexpr absl::Duration kShortestProof = absl::Seconds(30);

}  // namespace

absl::Duration NameKeeper::Jittered(absl::Duration whole, double spread) {
  constexpr uint64_t kSteps = 1 << 20;
  const double part = static_cast<double>(parts_.random.Below(kSteps)) / static_cast<double>(kSteps);
  return whole * (1 - spread * part);
}

void NameKeeper::Tick() {
  if (under_way_ || parts_.clock.Now() < due_) return;
  const absl::StatusOr<Draft> draft = Sign();
  if (!draft.ok()) return Fail(draft.status());
  under_way_ = true;
  parts_.publish(draft->request, [this, draft = *draft](const absl::StatusOr<gateway::v1::RegisterResponse>& done) {
    under_way_ = false;
    Finish(draft, done.status());
  });
}

absl::StatusOr<NameKeeper::Draft> NameKeeper::Sign() {
  const absl::Time now = parts_.clock.Now();
  ASSIGN_OR_RETURN(const record::NameProof proof, parts_.proof());
  ASSIGN_OR_RETURN(const record::Record record, record::Record::Sign({.name = parts_.name.text(),
                                                                      .addresses = parts_.addresses(),
                                                                      .protocols = {"/dotagent/message/1.0.0"},
                                                                      .timestamp = now},
                                                                     parts_.key));
  Draft draft{.expires = record.expires(),
              .due = now + Jittered(std::min(record.ttl() * kPartOfTtl, kLongestWithoutRenewal), kSpread)};
  draft.request.set_record_json(record.json());
  draft.request.set_rotation_chain(proof.rotation_chain);
  draft.request.set_name_certificate(proof.name_certificate);
  if (!proof.name_certificate.empty()) {
    ASSIGN_OR_RETURN(const absl::Time end, identity::EndOfNameCertificate(proof.name_certificate));
    // The same certificate over and over would otherwise be published ever faster.
    draft.due = std::min(draft.due, now + std::max(Jittered((end - now) * kPartOfTtl, kSpread), kShortestProof));
  }
  return draft;
}

void NameKeeper::Finish(const Draft& draft, const absl::Status& published) {
  if (!published.ok()) return Fail(published);
  pause_ = absl::ZeroDuration();
  outcome_ = published;
  expires_ = draft.expires;
  due_ = draft.due;
}

void NameKeeper::Fail(const absl::Status& why) {
  outcome_ = why;
  pause_ = std::clamp(2 * pause_, kFirstPause, kLongestPause);
  const absl::Duration wait = Jittered(pause_, kPauseSpread);
  due_ = parts_.clock.Now() + wait;
  telemetry::Log(telemetry::Level::kWarning, "the agent's name is not registered; trying again",
                 {{"name", parts_.name.text()},
                  {"why", why.ToString()},
                  {"in", absl::FormatDuration(absl::Trunc(wait, absl::Milliseconds(1)))}});
}

}  // namespace dotagent::gateway_service
