#include "common/abuse/conduct.h"

#include <algorithm>
#include <cmath>
#include <tuple>
#include <utility>

#include "absl/hash/hash.h"

namespace dotagent::abuse {
namespace {

constexpr std::array<double, kAnomalies.size()> kPoints = {10, 10, 1, 0.01, 0.5, 2, 5};
constexpr std::array<absl::string_view, kAnomalies.size()> kNames = {"bad_signature", "replay",    "stale", "resend",
                                                                     "fan_out",       "rate_jump", "flood"};
constexpr double kJump = 10;  // times the average
constexpr absl::Duration kAverageTime = absl::Minutes(5);
constexpr uint32_t kFloodCalls = 10;  // refused in a second
constexpr double kForgotten = 0.5;    // a score that is none

double Decayed(double score, absl::Duration age) {
  return age <= absl::ZeroDuration() ? score : score * std::exp2(-absl::FDivDuration(age, kScoreHalfLife));
}

}  // namespace

absl::string_view AnomalyName(Anomaly anomaly) { return kNames[static_cast<size_t>(anomaly)]; }

absl::string_view StandingName(Standing standing) {
  switch (standing) {
    case Standing::kGood:
      return "good";
    case Standing::kThrottled:
      return "throttled";
    case Standing::kQuarantined:
      return "quarantined";
  }
  return "unknown";
}

Standing Conduct::StandingOf(const Party& party, absl::Duration now) const {
  if (now < party.quarantine_end) return Standing::kQuarantined;
  const bool bad = limits_.throttle_score > 0 && Decayed(party.score, now - party.scored) >= limits_.throttle_score;
  return bad ? Standing::kThrottled : Standing::kGood;
}

Conduct::Parties::value_type& Conduct::Find(absl::string_view key, absl::Duration now) {
  if (const auto known = parties_.find(key); known != parties_.end()) {
    Refile(*known, now);
    return *known;
  }
  while (!parties_.empty() && parties_.size() >= limits_.max_parties) Evict();
  auto& entry = *parties_.try_emplace(std::string(key), std::max(limits_.rate.burst, 1.0), now).first;
  File& file = FileOf(Standing::kGood);
  entry.second.place = file.insert(file.end(), &entry);
  return entry;
}

// To the end of where it belongs: it is used now.
void Conduct::Refile(Parties::value_type& entry, absl::Duration now) {
  Party& party = entry.second;
  party.last_used = now;
  while (party.quarantines > 0 && now >= party.forgive) {
    --party.quarantines;
    party.forgive += kForgiveAfter;
  }
  const Standing standing = StandingOf(party, now);
  File& file = FileOf(standing);
  file.splice(file.end(), FileOf(std::exchange(party.filed, standing)), party.place);
}

void Conduct::Evict() {
  for (File& file : filed_) {
    if (!file.empty()) return Erase(*file.front());
  }
}

void Conduct::Erase(Parties::value_type& entry) {
  DropRecipients(entry.second);
  FileOf(entry.second.filed).erase(entry.second.place);
  parties_.erase(parties_.find(entry.first));
}

void Conduct::DropRecipients(Party& party) {
  remembered_recipients_ -= party.recipients.size();
  party.recipients = {};
}

void Conduct::Add(Party& party, Anomaly anomaly, absl::Duration now) {
  ++anomalies_[static_cast<size_t>(anomaly)];
  if (now < party.quarantine_end) return;
  party.score = Decayed(party.score, now - party.scored) + kPoints[static_cast<size_t>(anomaly)];
  party.scored = now;
  if (limits_.quarantine_score <= 0 || party.score < limits_.quarantine_score) return;
  // It begins anew after that, but for the repetition.
  party.score = 0;
  party.quarantine_end = now + limits_.quarantine * (1 << std::min(party.quarantines, kMaxDoublings));
  party.forgive = party.quarantine_end + kForgiveAfter;
  party.quarantines = std::min(party.quarantines + 1, kMaxDoublings + 1);
  ++quarantines_;
}

void Conduct::CloseSecond(Party& party, absl::Duration now) {
  const absl::Duration took = now - party.second;
  if (took < absl::Seconds(1)) return;
  const uint32_t admitted = std::exchange(party.admitted, 0);
  const uint32_t refused = std::exchange(party.refused, 0);
  party.second = now;
  if (refused >= kFloodCalls && refused > admitted) Add(party, Anomaly::kFlood, now);
  // Calls came before a pause, if there was one.
  const double rate = static_cast<double>(admitted) + refused;
  if (rate > limits_.rate.per_second / 2 && rate > kJump * party.average) Add(party, Anomaly::kRateJump, now);
  const double over = rate / absl::ToDoubleSeconds(took);
  party.average += (over - party.average) * (1 - std::exp(-absl::FDivDuration(took, kAverageTime)));
}

Verdict Conduct::Admit(absl::string_view key, double cost, absl::Duration now) {
  auto& entry = Find(key, now);
  Party& party = entry.second;
  const Standing before = party.filed;
  if (limits_.rate.per_second > 0) CloseSecond(party, now);
  const Standing standing = StandingOf(party, now);
  if (standing != before) Refile(entry, now);
  Verdict verdict{.standing = standing, .fallen = standing > before};
  if (standing == Standing::kQuarantined) {
    verdict.kind = Verdict::Kind::kQuarantined;
    verdict.retry_after = party.quarantine_end - now;
    return verdict;
  }
  Rate rate = limits_.rate;
  if (standing == Standing::kThrottled) rate.per_second *= kThrottledShare;
  verdict.retry_after = party.bucket.Take(rate, cost, now);
  const bool admitted = verdict.retry_after == absl::ZeroDuration();
  ++(admitted ? party.admitted : party.refused);
  if (!admitted) verdict.kind = Verdict::Kind::kTooFast;
  return verdict;
}

Verdict Conduct::AdmitRecipient(absl::string_view key, absl::string_view recipient, absl::Duration now) {
  if (limits_.max_recipients == 0) return {};
  auto& entry = Find(key, now);
  Party& party = entry.second;
  if (now >= party.window + kFanOutWindow || party.recipients.empty()) {
    DropRecipients(party);
    party.window = now;
  }
  Verdict verdict{.standing = party.filed};
  const auto hash = static_cast<uint32_t>(absl::HashOf(seed_, recipient));
  if (party.recipients.contains(hash)) return verdict;
  if (party.recipients.size() >= limits_.max_recipients) {
    verdict.kind = Verdict::Kind::kTooManyRecipients;
    verdict.retry_after = party.window + kFanOutWindow - now;
    verdict.fallen = Note(key, Anomaly::kFanOut, now);
    verdict.standing = party.filed;
  } else if (remembered_recipients_ < limits_.max_remembered_recipients) {
    party.recipients.insert(hash);
    ++remembered_recipients_;
  }
  return verdict;
}

bool Conduct::Note(absl::string_view key, Anomaly anomaly, absl::Duration now) {
  auto& entry = Find(key, now);
  const Standing before = entry.second.filed;
  Add(entry.second, anomaly, now);
  Refile(entry, now);
  return entry.second.filed > before;
}

Record Conduct::Look(absl::string_view key, absl::Duration now) const {
  const auto known = parties_.find(key);
  if (known == parties_.end()) return {};
  const Party& party = known->second;
  return {.standing = StandingOf(party, now),
          .score = Decayed(party.score, now - party.scored),
          .quarantine_left = std::max(party.quarantine_end - now, absl::ZeroDuration()),
          .quarantines = party.quarantines};
}

std::vector<Conduct::Offender> Conduct::Worst(size_t count, absl::Duration now) const {
  std::vector<Offender> offenders;
  for (const auto& [key, _] : parties_) {
    Record record = Look(key, now);
    if (record.score >= kForgotten || record.standing != Standing::kGood || record.quarantines > 0) {
      offenders.push_back({key, record});
    }
  }
  const auto worse = [](const Offender& a, const Offender& b) {
    return std::tie(a.record.standing, a.record.quarantine_left, a.record.score, b.party) >
           std::tie(b.record.standing, b.record.quarantine_left, b.record.score, a.party);
  };
  const size_t kept = std::min(count, offenders.size());
  std::partial_sort(offenders.begin(), offenders.begin() + static_cast<ptrdiff_t>(kept), offenders.end(), worse);
  offenders.resize(kept);
  return offenders;
}

// What a newcomer would be told too.
bool Conduct::Forgettable(const Party& party, absl::Duration now) const {
  const absl::Duration idle = now - party.last_used;
  const bool refilled = limits_.rate.per_second <= 0 ||
                        absl::ToDoubleSeconds(idle) * limits_.rate.per_second * kThrottledShare >= limits_.rate.burst;
  return refilled && idle >= kFanOutWindow && party.quarantines == 0 && now >= party.quarantine_end &&
         Decayed(party.score, now - party.scored) < kForgotten;
}

void Conduct::Sweep(absl::Duration now) {
  for (auto next = parties_.begin(); next != parties_.end();) {
    auto& entry = *next++;
    Party& party = entry.second;
    if (now >= party.window + kFanOutWindow) DropRecipients(party);
    // Those whose standing has changed with time; being looked at is not being used.
    const absl::Duration used = party.last_used;
    if (StandingOf(party, now) != party.filed || now >= party.forgive) Refile(entry, now);
    party.last_used = used;
    if (Forgettable(party, now)) Erase(entry);
  }
}

}  // namespace dotagent::abuse
