#include "sdk/cpp/renewal.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "common/base/status.h"
#include "common/identity/name_certificate.h"
#include "sdk/cpp/agent.h"

namespace dotagent::sdk {
namespace {

constexpr double kPartOfTtl = 0.9;
constexpr double kSpread = 0.2;
constexpr double kPauseSpread = 0.5;
constexpr absl::Duration kFirstPause = absl::Seconds(1);
constexpr absl::Duration kLongestPause = absl::Minutes(5);
constexpr absl::Duration kShortestProof = absl::Seconds(30);

// Whether asking again later may help.
bool MayPass(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kPermissionDenied:  // KEY_REVOKED; but a certificate may come yet
      return ReasonOf(status) == reason::kNotCertified;
    case absl::StatusCode::kAlreadyExists:    // NAME_TAKEN
    case absl::StatusCode::kInvalidArgument:  // a rule of the record
      return false;
    default:
      return true;
  }
}

}  // namespace

absl::Duration Renewer::Jittered(absl::Duration whole, double spread) {
  constexpr uint64_t kSteps = 1 << 20;
  const double part = static_cast<double>(parts_.random.Below(kSteps)) / static_cast<double>(kSteps);
  return whole * (1 - spread * part);
}

absl::Time Renewer::RenewalOf(const record::Record& record) {
  return record.timestamp() + Jittered(std::min(record.ttl() * kPartOfTtl, kLongestWithoutRenewal), kSpread);
}

absl::Time Renewer::RenewalOfProof() {
  if (!parts_.proof_ends) return absl::InfiniteFuture();
  const absl::Time now = parts_.clock.Now();
  const absl::Time ends = parts_.proof_ends();
  if (ends == absl::InfiniteFuture()) return ends;
  // The same certificate over and over would otherwise be published ever faster.
  return now + std::max(Jittered((ends - now) * kPartOfTtl, kSpread), kShortestProof);
}

Renewer::Step Renewer::Failed(const absl::Status& why, bool renewing) {
  Step step;
  if (renewing) step.renewed = why;
  step.ended = !MayPass(why);
  pause_ = std::clamp(2 * pause_, kFirstPause, kLongestPause);
  step.wait = Jittered(pause_, kPauseSpread);
  due_ = parts_.clock.Now() + step.wait;
  return step;
}

Renewer::Step Renewer::Run() {
  const absl::Time now = parts_.clock.Now();
  const bool renewing = record_.has_value();
  if (renewing && now < due_) return {.wait = due_ - now};
  absl::StatusOr<record::Record> record = renewing ? parts_.renew(*record_) : parts_.look_up();
  if (!record.ok()) return Failed(record.status(), renewing);
  pause_ = absl::ZeroDuration();
  record_ = *record;
  due_ = std::min(RenewalOf(*record_), RenewalOfProof());
  Step step{.wait = std::max(due_ - parts_.clock.Now(), absl::ZeroDuration())};
  if (renewing) step.renewed = std::move(record);
  return step;
}

std::unique_ptr<Renewal> Renewal::Start(Agent& agent, std::function<void(const absl::StatusOr<record::Record>&)> told) {
  std::unique_ptr<Renewal> renewal(new Renewal(agent, std::move(told)));
  renewal->thread_ = std::thread([renewal = renewal.get()] { renewal->Loop(); });
  return renewal;
}

Renewal::Renewal(Agent& agent, std::function<void(const absl::StatusOr<record::Record>&)> told)
    : told_(std::move(told)),
      renewer_({.look_up = [&agent]() -> absl::StatusOr<record::Record> {
                  auto resolved = agent.Resolve(agent.name());
                  if (!resolved.ok()) return resolved.status();
                  return std::move(resolved->record);
                },
                .renew = [&agent](const record::Record& record) -> absl::StatusOr<record::Record> {
                  auto registration = agent.Refresh(record);
                  if (!registration.ok()) return registration.status();
                  return std::move(registration->record);
                },
                .clock = clock_,
                .random = random_,
                .proof_ends =
                    [&agent] {
                      const auto proof = agent.Proof();
                      if (!proof.ok() || proof->name_certificate.empty()) return absl::InfiniteFuture();
                      return identity::EndOfNameCertificate(proof->name_certificate).value_or(absl::InfiniteFuture());
                    }}) {}

Renewal::~Renewal() {
  {
    absl::MutexLock lock(&mutex_);
    stopped_ = true;
  }
  thread_.join();
}

void Renewal::Loop() {
  for (;;) {
    const Renewer::Step step = renewer_.Run();
    if (step.renewed) told_(*step.renewed);
    if (step.ended) return;
    absl::MutexLock lock(&mutex_);
    if (mutex_.AwaitWithTimeout(absl::Condition(&stopped_), step.wait)) return;
  }
}

}  // namespace dotagent::sdk
