#include "services/gateway/admission_options.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace dotagent::gateway_service {

void AdmissionOptions::AddTo(OptionTable& table) {
  table.Add("agent-rate", &agent_rate, "Calls a second of one agent, once its burst is used up; 0: any number");
  table.Add("agent-burst", &agent_burst, "Calls of one agent at once");
  table.Add("max-recipients", &max_recipients, "Agents that one agent may write to within a minute; 0: any number");
  table.Add("gateway-rate", &gateway_rate, "Calls a second of one other gateway; 0: any number");
  table.Add("gateway-burst", &gateway_burst, "Calls of one other gateway at once");
  table.Add("address-rate", &address_rate,
            "Challenges and proofs a second of one IPv4 address or IPv6 /64; 0: any number, as behind a proxy");
  table.Add("address-burst", &address_burst, "Challenges and proofs of one address at once");
  table.Add("throttle-score", &throttle_score,
            "Points for anomalies from which on a party has a tenth of its rate; 0: never");
  table.Add("quarantine-score", &quarantine_score,
            "Points for anomalies from which on a party is refused for a time; 0: never");
  table.Add("quarantine-time", &quarantine, "The first quarantine; each repetition doubles it, up to 64 times this");
  table.Add("overload-target", &overload,
            "How long calls may wait for the gateway before it refuses what has low priority; 0: any time");
}

absl::Status AdmissionOptions::Check() const {
  const std::pair<const char*, double> numbers[] = {
      {"agent-rate", agent_rate},         {"agent-burst", agent_burst},          {"gateway-rate", gateway_rate},
      {"gateway-burst", gateway_burst},   {"address-rate", address_rate},        {"address-burst", address_burst},
      {"throttle-score", throttle_score}, {"quarantine-score", quarantine_score}};
  for (const auto& [name, value] : numbers) {
    if (value < 0) return absl::InvalidArgumentError(absl::StrCat("--", name, " is below 0"));
  }
  if (quarantine < absl::ZeroDuration() || quarantine > absl::Hours(24)) {
    return absl::InvalidArgumentError("--quarantine-time is 0s to 24h");
  }
  if (overload < absl::ZeroDuration()) return absl::InvalidArgumentError("--overload-target is below 0");
  return absl::OkStatus();
}

AdmissionLimits AdmissionOptions::Limits() const {
  const abuse::ConductLimits common{
      .throttle_score = throttle_score, .quarantine_score = quarantine_score, .quarantine = quarantine};
  AdmissionLimits limits{.agents = common, .gateways = common, .addresses = common, .overload_target = overload};
  limits.agents.rate = {.per_second = agent_rate, .burst = agent_burst};
  limits.agents.max_recipients = max_recipients;
  limits.gateways.rate = {.per_second = gateway_rate, .burst = gateway_burst};
  limits.addresses.rate = {.per_second = address_rate, .burst = address_burst};
  return limits;
}

}  // namespace dotagent::gateway_service
