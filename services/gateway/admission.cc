#include "services/gateway/admission.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/hash/hash.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/abuse/refusal.h"
#include "common/base/status.h"
#include "common/crypto/peer_id.h"
#include "common/telemetry/log.h"

namespace dotagent::gateway_service {
namespace {

using abuse::Anomaly;
using abuse::Standing;

constexpr size_t kSentRemembered = 65'536;  // in a generation
constexpr absl::Duration kSweepInterval = absl::Minutes(1);
constexpr size_t kWorst = 20;
constexpr double kBytesOfOne = 64.0 * 1024;
constexpr std::array<absl::string_view, 3> kShedNames = {"low", "normal", "high"};  // by abuse::Priority

uint64_t Seed(Random& random) {
  uint64_t seed = 0;
  random.Fill(&seed, sizeof seed);
  return seed;
}

std::string PeerIdOf(absl::string_view key) {
  const auto parsed = crypto::PublicKey::FromUncheckedBytes(key);
  return parsed.ok() ? crypto::PeerIdFromKey(*parsed) : absl::BytesToHexString(key);
}

// A sender as another gateway has it.
std::string SenderKey(const crypto::PublicKey& gateway, absl::string_view sender) {
  return absl::StrCat(gateway.bytes(), sender.substr(0, gateway.bytes().size()));
}

std::string SenderText(absl::string_view party) {
  const size_t size = std::min<size_t>(party.size(), 32);
  return absl::StrCat(PeerIdOf(party.substr(size)), " of gateway ", PeerIdOf(party.substr(0, size)));
}

// An IPv6 /64 is its 8 bytes.
std::string AddressText(absl::string_view party) {
  if (party.size() != 8 || absl::StrContains(party, ".")) return std::string(party);
  std::string text;
  for (size_t i = 0; i < 8; i += 2) absl::StrAppend(&text, absl::BytesToHexString(party.substr(i, 2)), ":");
  return absl::StrCat(text, ":/64");
}

}  // namespace

double call_cost::OfMessage(size_t bytes, abuse::Priority priority) {
  const double size = kOne + static_cast<double>(bytes) / kBytesOfOne;
  return priority == abuse::Priority::kCritical ? 4 * size : priority == abuse::Priority::kHigh ? 2 * size : size;
}

// The conduct of one kind of party, behind a lock, with its metrics.
class Admission::Side {
 public:
  // `of`: the label; `party`: what a refused one is called; `text`: how an operator reads one's key.
  Side(const std::string& of, std::string party, const abuse::ConductLimits& limits, uint64_t seed,
       std::string (*text)(absl::string_view), telemetry::Metrics& metrics)
      : party_(std::move(party)),
        text_(text),
        refused_{&Refused(metrics, of, "rate"), &Refused(metrics, of, "recipients"),
                 &Refused(metrics, of, "quarantine")},
        throttled_(InStanding(metrics, of, Standing::kThrottled)),
        quarantined_(InStanding(metrics, of, Standing::kQuarantined)),
        known_(metrics.AddGauge("dotagent_gateway_parties", "Parties whose conduct is remembered.", {{"of", of}})),
        quarantines_(metrics.AddCounter("dotagent_gateway_quarantines_total", "Quarantines begun.", {{"of", of}})),
        conduct_(limits, seed) {
    for (const Anomaly anomaly : abuse::kAnomalies) {
      anomalies_[static_cast<size_t>(anomaly)] =
          &metrics.AddCounter("dotagent_gateway_anomalies_total", "What parties did that adds to their score.",
                              {{"of", of}, {"kind", std::string(abuse::AnomalyName(anomaly))}});
    }
  }

  [[nodiscard]] absl::Status Admit(absl::string_view key, double cost, absl::Duration now) {
    abuse::Verdict verdict;
    {
      const Lock lock(mutex_);
      verdict = conduct_.Admit(key, cost, now);
    }
    return Judge(key, verdict);
  }
  [[nodiscard]] absl::Status AdmitRecipient(absl::string_view key, absl::string_view recipient, absl::Duration now) {
    abuse::Verdict verdict;
    {
      const Lock lock(mutex_);
      verdict = conduct_.AdmitRecipient(key, recipient, now);
    }
    return Judge(key, verdict);
  }
  void Note(absl::string_view key, Anomaly anomaly, absl::Duration now) {
    Standing standing = Standing::kGood;
    {
      const Lock lock(mutex_);
      if (!conduct_.Note(key, anomaly, now)) return;
      standing = conduct_.Look(key, now).standing;
    }
    LogFall(key, standing);
  }
  [[nodiscard]] abuse::Record Look(absl::string_view key, absl::Duration now) {
    const Lock lock(mutex_);
    return conduct_.Look(key, now);
  }
  [[nodiscard]] nlohmann::ordered_json Worst(absl::Duration now) {
    std::vector<abuse::Conduct::Offender> worst;
    {
      const Lock lock(mutex_);
      worst = conduct_.Worst(kWorst, now);
    }
    auto list = nlohmann::ordered_json::array();
    for (const auto& [party, record] : worst) {
      list.push_back({{"party", text_(party)},
                      {"standing", std::string(abuse::StandingName(record.standing))},
                      {"score", record.score},
                      {"quarantine_left_s", absl::ToDoubleSeconds(record.quarantine_left)},
                      {"quarantines", record.quarantines}});
    }
    return list;
  }
  void Sweep(absl::Duration now) {
    const Lock lock(mutex_);
    conduct_.Sweep(now);
  }
  void Show() {
    const Lock lock(mutex_);
    throttled_.Set(static_cast<double>(conduct_.throttled()));
    quarantined_.Set(static_cast<double>(conduct_.quarantined()));
    known_.Set(static_cast<double>(conduct_.size()));
    Update(quarantines_, conduct_.quarantines());
    for (const Anomaly anomaly : abuse::kAnomalies) {
      Update(*anomalies_[static_cast<size_t>(anomaly)], conduct_.anomalies(anomaly));
    }
  }

 private:
  static telemetry::Counter& Refused(telemetry::Metrics& metrics, const std::string& of, const std::string& why) {
    return metrics.AddCounter("dotagent_gateway_turned_away_total", "Calls refused for what the caller does.",
                              {{"of", of}, {"cause", why}});
  }
  static telemetry::Gauge& InStanding(telemetry::Metrics& metrics, const std::string& of, Standing standing) {
    return metrics.AddGauge("dotagent_gateway_bad_standing", "Parties that are throttled or quarantined.",
                            {{"of", of}, {"standing", std::string(abuse::StandingName(standing))}});
  }
  static void Update(telemetry::Counter& counter, uint64_t count) {
    counter.Increment(static_cast<double>(count) - counter.Value());
  }

  [[nodiscard]] absl::Status Judge(absl::string_view key, const abuse::Verdict& verdict) {
    using Kind = abuse::Verdict::Kind;
    if (verdict.fallen) LogFall(key, verdict.standing);
    if (verdict.admitted()) return absl::OkStatus();
    refused_[verdict.kind == Kind::kTooFast ? 0 : verdict.kind == Kind::kTooManyRecipients ? 1 : 2]->Increment();
    return abuse::Refusal(verdict, party_);
  }

  void LogFall(absl::string_view key, Standing standing) const {
    telemetry::Log(telemetry::Level::kWarning, absl::StrCat(party_, " is ", abuse::StandingName(standing)),
                   {{"party", text_(key)}});
  }

  const std::string party_;
  std::string (*const text_)(absl::string_view);
  const std::array<telemetry::Counter*, 3> refused_;
  std::array<telemetry::Counter*, abuse::kAnomalies.size()> anomalies_{};
  telemetry::Gauge& throttled_;
  telemetry::Gauge& quarantined_;
  telemetry::Gauge& known_;
  telemetry::Counter& quarantines_;
  Mutex mutex_;
  abuse::Conduct conduct_ ABSL_GUARDED_BY(mutex_);
};

Admission::Admission(const AdmissionLimits& limits, const Clock& clock, Random& random, telemetry::Metrics& metrics)
    : limits_(limits),
      clock_(clock),
      seed_(Seed(random)),
      agents_(std::make_unique<Side>("agent", "this agent", limits.agents, seed_, PeerIdOf, metrics)),
      gateways_(std::make_unique<Side>("gateway", "this gateway", limits.gateways, seed_, PeerIdOf, metrics)),
      senders_(std::make_unique<Side>("sender", "this sender", limits.agents, seed_, SenderText, metrics)),
      addresses_(std::make_unique<Side>("address", "this address", limits.addresses, seed_, AddressText, metrics)),
      level_(metrics.AddGauge("dotagent_gateway_overload",
                              "What is refused because the gateway cannot keep up: 0 nothing, 1 low priority, 2 also "
                              "normal, 3 also high.")),
      overload_(limits.overload_target) {
  for (size_t i = 0; i < shed_.size(); ++i) {
    shed_[i] = &metrics.AddCounter("dotagent_gateway_shed_total",
                                   "Messages, requests and publications refused because the gateway cannot keep up.",
                                   {{"priority", std::string(kShedNames[i])}});
  }
}

Admission::~Admission() = default;

absl::Status Admission::AdmitAgent(const crypto::PublicKey& agent, double cost) {
  return agents_->Admit(agent.bytes(), cost, clock_.Elapsed());
}

absl::Status Admission::AdmitAddress(absl::string_view address, double cost) {
  return address.empty() ? absl::OkStatus() : addresses_->Admit(address, cost, clock_.Elapsed());
}

absl::Status Admission::AdmitGateway(const crypto::PublicKey& gateway, double cost) {
  return gateways_->Admit(gateway.bytes(), cost, clock_.Elapsed());
}

absl::Status Admission::AdmitSender(const crypto::PublicKey& gateway, absl::string_view sender, double cost) {
  const absl::Status admitted = AdmitGateway(gateway, cost);
  return admitted.ok() ? senders_->Admit(SenderKey(gateway, sender), cost, clock_.Elapsed()) : admitted;
}

bool Admission::CameBefore(const crypto::PublicKey& agent, const record::Message& message, bool* other_bytes) {
  const uint64_t id = absl::HashOf(seed_, agent.bytes(), message.id(), message.recipient().text());
  const uint64_t bytes = absl::HashOf(seed_, message.json());
  const Lock lock(mutex_);
  const auto young = sent_.find(id);
  const auto old = sent_before_.find(id);
  if (young == sent_.end() && old == sent_before_.end()) {
    if (sent_.size() >= kSentRemembered) sent_before_ = std::exchange(sent_, {});
    sent_.emplace(id, bytes);
    return false;
  }
  *other_bytes = (young != sent_.end() ? young : old)->second != bytes;
  return true;
}

absl::Status Admission::AdmitMessage(const crypto::PublicKey& agent, const record::Message& message) {
  const absl::Duration now = clock_.Elapsed();
  bool other_bytes = false;
  if (CameBefore(agent, message, &other_bytes)) {
    agents_->Note(agent.bytes(), other_bytes ? Anomaly::kReplay : Anomaly::kResend, now);
  }
  return agents_->AdmitRecipient(agent.bytes(), message.recipient().text(), now);
}

void Admission::NoteChecked(const crypto::PublicKey& agent, const absl::Status& result) {
  if (result.ok()) return;
  const std::string why = ReasonOf(result);
  if (why == reason::kBadSignature) agents_->Note(agent.bytes(), Anomaly::kBadSignature, clock_.Elapsed());
  if (why == reason::kStale) agents_->Note(agent.bytes(), Anomaly::kStale, clock_.Elapsed());
}

void Admission::NoteResend(const crypto::PublicKey& agent) {
  agents_->Note(agent.bytes(), Anomaly::kResend, clock_.Elapsed());
}

void Admission::NoteCheckedOf(const crypto::PublicKey& gateway, const crypto::PublicKey& sender,
                              const absl::Status& result) {
  if (result.ok()) return;
  const std::string why = ReasonOf(result);
  if (why == reason::kBadSignature) gateways_->Note(gateway.bytes(), Anomaly::kBadSignature, clock_.Elapsed());
  if (why == reason::kStale) senders_->Note(SenderKey(gateway, sender.bytes()), Anomaly::kStale, clock_.Elapsed());
}

void Admission::NoteResendOf(const crypto::PublicKey& gateway, absl::string_view sender) {
  senders_->Note(SenderKey(gateway, sender), Anomaly::kResend, clock_.Elapsed());
}

void Admission::NoteProof(absl::string_view address, const absl::Status& result) {
  if (address.empty() || !absl::IsUnauthenticated(result)) return;
  addresses_->Note(address, Anomaly::kBadSignature, clock_.Elapsed());
}

void Admission::SawWait(absl::Duration wait) {
  const absl::Duration now = clock_.Elapsed();
  const Lock lock(mutex_);
  overload_.SawWait(wait, now);
}

void Admission::SawBacklog(double share) {
  const Lock lock(mutex_);
  overload_.SawBacklog(share);
}

absl::Status Admission::CheckLoad(abuse::Priority priority, absl::string_view what) {
  const absl::Duration now = clock_.Elapsed();
  abuse::Priority lowest = abuse::Priority::kLow;
  {
    const Lock lock(mutex_);
    lowest = overload_.Lowest(now);
  }
  if (priority >= lowest) return absl::OkStatus();
  const auto index = static_cast<size_t>(priority);
  shed_[index]->Increment();
  return abuse::Overloaded(absl::StrCat(what, " of ", kShedNames[index], " priority"), abuse::kOverloadRetryAfter);
}

abuse::Record Admission::StandingOf(const crypto::PublicKey& agent) {
  return agents_->Look(agent.bytes(), clock_.Elapsed());
}

std::string Admission::Standings() {
  const absl::Duration now = clock_.Elapsed();
  const nlohmann::ordered_json all = {{"agents", agents_->Worst(now)},
                                      {"gateways", gateways_->Worst(now)},
                                      {"senders", senders_->Worst(now)},
                                      {"addresses", addresses_->Worst(now)}};
  return all.dump();
}

void Admission::Tick() {
  const absl::Duration now = clock_.Elapsed();
  bool sweep = false;
  {
    const Lock lock(mutex_);
    level_.Set(static_cast<double>(overload_.Lowest(now)));
    sweep = now >= next_sweep_;
    if (sweep) next_sweep_ = now + kSweepInterval;
  }
  for (Side* side : {agents_.get(), gateways_.get(), senders_.get(), addresses_.get()}) {
    if (sweep) side->Sweep(now);
    side->Show();
  }
}

}  // namespace dotagent::gateway_service
