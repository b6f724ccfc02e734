// dotagent doctor: what may be wrong between an agent and its gateway, and what to do about it.
#include <algorithm>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "cli/command.h"
#include "cli/exit_status.h"
#include "cli/http_get.h"
#include "cli/report.h"
#include "common/abuse/conduct.h"
#include "common/abuse/refusal.h"
#include "common/base/status.h"
#include "common/crypto/peer_id.h"
#include "common/rpc/channel.h"
#include "common/rpc/status.h"
#include "dotagent/gateway/v1/gateway.grpc.pb.h"

namespace dotagent::cli {
namespace {

namespace v1 = ::dotagent::gateway::v1;

// What is dated ahead by more than 5 minutes is refused everywhere.
constexpr absl::Duration kClockWarn = absl::Seconds(30);
constexpr absl::Duration kClockFail = absl::Minutes(5);
constexpr double kShortOfTime = 0.1;  // of a record's ttl

struct DoctorArguments {
  std::string http;
};

// A member of what a service said, whatever it said.
std::string Text(const nlohmann::ordered_json& object, const char* member) {
  if (!object.is_object()) return "";
  const auto found = object.find(member);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

double Number(const nlohmann::ordered_json& object, const char* member) {
  if (!object.is_object()) return 0;
  const auto found = object.find(member);
  return found != object.end() && found->is_number() ? found->get<double>() : 0;
}

// The checks that were made, in order.
class Checks {
 public:
  void Ok(const std::string& check, const std::string& details) { Add(check, "ok", details, ""); }
  void Warn(const std::string& check, const std::string& details, const std::string& advice) {
    Add(check, "warn", details, advice);
  }
  void Fail(const std::string& check, const absl::Status& why, const std::string& advice) {
    Add(check, "fail", std::string(why.message()), advice);
    if (worst_.ok()) worst_ = why;
  }

  void SetOffenders(nlohmann::ordered_json offenders) { offenders_ = std::move(offenders); }

  [[nodiscard]] int Print(bool json) const {
    if (json) {
      Report report;
      report.Add("healthy", "", worst_.ok());
      report.Add("checks", "", list_);
      if (!offenders_.is_null()) report.Add("standings", "", offenders_);
      report.Print(true);
    } else {
      std::fputs(FormatTable(table_).c_str(), stdout);
      PrintOffenders();
    }
    if (worst_.ok()) return kOk;
    return std::max<int>(ExitStatusFor(worst_), kFailed);
  }

 private:
  void Add(const std::string& check, const std::string& result, const std::string& details, const std::string& advice) {
    table_.push_back({check, result, Printable(advice.empty() ? details : absl::StrCat(details, ": ", advice))});
    list_.push_back({{"check", check}, {"result", result}, {"details", details}, {"advice", advice}});
  }

  void PrintOffenders() const {
    if (!offenders_.is_object()) return;
    std::vector<std::vector<std::string>> table = {{"OFFENDER", "KIND", "STANDING", "SCORE", "LEFT"}};
    for (const auto& [kind, parties] : offenders_.items()) {
      if (!parties.is_array()) continue;
      for (const auto& party : parties) {
        const absl::Duration left = absl::Seconds(Number(party, "quarantine_left_s"));
        table.push_back({Printable(Text(party, "party")), Printable(kind), Printable(Text(party, "standing")),
                         absl::StrFormat("%.1f", Number(party, "score")),
                         absl::FormatDuration(absl::Ceil(left, absl::Seconds(1)))});
      }
    }
    if (table.size() > 1) std::fputs(absl::StrCat("\n", FormatTable(table)).c_str(), stdout);
  }

  std::vector<std::vector<std::string>> table_ = {{"CHECK", "RESULT", "DETAILS"}};
  nlohmann::ordered_json list_ = nlohmann::ordered_json::array();
  nlohmann::ordered_json offenders_;
  absl::Status worst_;
};

// Whether a key was pinned for the gateway before: named outright, or remembered.
bool Pinned(const Globals& globals) {
  if (absl::StrContains(globals.gateway, '@')) return true;
  std::ifstream file(globals.KnownNodes());
  for (std::string line; std::getline(file, line);) {
    if (absl::StartsWith(line, absl::StrCat(globals.gateway, " "))) return true;
  }
  return false;
}

void CheckClock(const v1::GetInfoResponse& info, absl::Time asked, absl::Time answered, Checks& checks) {
  if (info.now_ms() == 0) {
    return checks.Warn("clock", "the gateway does not tell its time", "it runs an older release");
  }
  const absl::Duration skew = absl::FromUnixMillis(info.now_ms()) - (asked + (answered - asked) / 2);
  const std::string details = absl::StrCat(
      "the gateway's clock is ", absl::FormatDuration(absl::Trunc(absl::AbsDuration(skew), absl::Milliseconds(1))),
      skew < absl::ZeroDuration() ? " behind" : " ahead");
  if (absl::AbsDuration(skew) >= kClockFail) {
    return checks.Fail(
        "clock", absl::FailedPreconditionError(details),
        "set this machine's clock (NTP), or have the operator set the gateway's; what is signed is refused");
  }
  if (absl::AbsDuration(skew) >= kClockWarn) return checks.Warn("clock", details, "run NTP on both");
  checks.Ok("clock", details);
}

// Who the gateway is, if it answers.
std::optional<v1::GetInfoResponse> CheckGateway(const Globals& globals, Checks& checks) {
  const absl::Duration timeout = absl::Seconds(static_cast<double>(globals.timeout_s));
  const bool pinned = Pinned(globals);
  v1::GetInfoResponse info;
  absl::Time asked;
  const absl::Status reached = [&]() -> absl::Status {
    ASSIGN_OR_RETURN(const auto channel, rpc::NewChannel(globals.gateway, {.known_nodes = globals.KnownNodes()}));
    RETURN_IF_ERROR(channel->WaitUntilReady(timeout));
    const auto stub = v1::GatewayService::NewStub(channel->grpc());
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + absl::ToChronoMilliseconds(timeout));
    asked = absl::Now();
    return rpc::FromGrpc(stub->GetInfo(&context, {}, &info));
  }();
  if (!reached.ok()) {
    const bool other_key = ReasonOf(reached) == reason::kKeyMismatch;
    checks.Fail(
        other_key ? "gateway key" : "gateway", reached,
        other_key ? "find out who answers there before you go on" : "is it running, and --gateway its gRPC port?");
    return std::nullopt;
  }
  const absl::Time answered = absl::Now();
  checks.Ok("gateway", absl::StrCat(globals.gateway, " answers in ",
                                    absl::FormatDuration(absl::Trunc(answered - asked, absl::Microseconds(100))),
                                    ", release ", info.version()));
  if (pinned) {
    checks.Ok("gateway key", absl::StrCat(info.peer_id(), ", as before"));
  } else {
    checks.Warn("gateway key", absl::StrCat(info.peer_id(), " is seen here for the first time and remembered"),
                "compare it with what the operator says (dotagent status there)");
  }
  CheckClock(info, asked, answered, checks);
  return info;
}

std::string Points(double score, double limit) {
  return limit > 0 ? absl::StrFormat("%.1f of %.0f points", score, limit) : absl::StrFormat("%.1f points", score);
}

void CheckStanding(sdk::GatewayClient& gateway, Checks& checks) {
  v1::GetStandingResponse standing;
  const absl::Status asked =
      gateway.Run([&](grpc::ClientContext& context) { return gateway.stub().GetStanding(&context, {}, &standing); });
  if (absl::IsUnimplemented(asked)) {
    return checks.Warn("standing", "the gateway does not tell", "it runs an older release");
  }
  if (!asked.ok()) return checks.Fail("standing", asked, "try again");
  switch (standing.standing()) {
    case v1::STANDING_QUARANTINED:
      return checks.Fail(
          "standing",
          ErrorWithReason(absl::StatusCode::kResourceExhausted, abuse::kQuarantined,
                          absl::StrCat("quarantined for another ",
                                       absl::FormatDuration(absl::Ceil(
                                           absl::Milliseconds(standing.quarantine_left_ms()), absl::Seconds(1))),
                                       "; it is its quarantine number ", standing.quarantines())),
          "stop what was refused (bad signatures, floods, ids used twice), wait, and go on slower");
    case v1::STANDING_THROTTLED:
      return checks.Warn("standing",
                         absl::StrCat("throttled, ", Points(standing.score(), standing.quarantine_score()),
                                      " that lead to quarantine"),
                         "slow down and heed what is refused; the points halve in a minute");
    default:
      checks.Ok("standing", absl::StrCat("good, ", Points(standing.score(), standing.throttle_score())));
  }
}

void CheckName(sdk::Agent& agent, const crypto::PublicKey& key, const v1::GetInfoResponse& info, Checks& checks) {
  const auto found = agent.Resolve(agent.name(), true);
  if (!found.ok()) {
    const bool quarantined = ReasonOf(found.status()) == abuse::kQuarantined;
    return checks.Fail(
        "name", found.status(),
        quarantined ? "ask again after the quarantine" : absl::StrCat("dotagent register --name ", agent.name()));
  }
  const record::Record& record = found->record;
  if (record.public_key() != key) {
    return checks.Fail("name",
                       ErrorWithReason(absl::StatusCode::kPermissionDenied, reason::kKeyMismatch,
                                       absl::StrCat(agent.name(), " is held by another key")),
                       "give --key the file with the key that registered it");
  }
  const absl::Duration left = record.expires() - absl::Now();
  const bool here = std::any_of(record.addresses().begin(), record.addresses().end(), [&](const std::string& address) {
    return absl::StrContains(address, absl::StrCat("/p2p/", info.peer_id()));
  });
  const std::string details =
      absl::StrCat(agent.name(), " is yours for another ", absl::FormatDuration(absl::Trunc(left, absl::Seconds(1))));
  if (!here) {
    return checks.Warn("name", absl::StrCat(details, ", and lives at another gateway"),
                       "messages wait there; dotagent register moves it here");
  }
  if (left < kShortOfTime * record.ttl()) {
    return checks.Warn("name", details, "dotagent listen renews it, and so does dotagent register");
  }
  checks.Ok("name", absl::StrCat(details, " and lists this gateway"));
}

void CheckAgent(const Globals& globals, const std::optional<v1::GetInfoResponse>& info, Checks& checks) {
  if (globals.key_address.empty()) {
    return checks.Warn("key", "none was given", "--key FILE has the agent's own side checked, --name its record");
  }
  const auto key = globals.Key();
  if (!key.ok()) return checks.Fail("key", key.status(), "dotagent keygen FILE makes one");
  checks.Ok("key", crypto::PeerIdFromKey((*key)->public_key()));
  if (!info) return;
  const auto agent = globals.ConnectWith(*key, {});
  if (!agent.ok()) return checks.Fail("authentication", agent.status(), "the gateway does not know this key");
  checks.Ok("authentication", "the gateway knows this key, and proved its own");
  CheckStanding((*agent)->gateway(), checks);
  if (globals.name.empty()) {
    return checks.Warn("name", "none was given", "--name NAME has its record checked");
  }
  CheckName(**agent, (*key)->public_key(), *info, checks);
}

// What only an operator can see.
void CheckOperator(const std::string& http, absl::Duration timeout, Checks& checks) {
  const auto ready = HttpGet(http, "/readyz", timeout);
  if (!ready.ok()) return checks.Fail("readiness", ready.status(), "look at the service's log");
  checks.Ok("readiness", "it serves");
  const auto metrics = HttpGet(http, "/metrics", timeout);
  if (!metrics.ok()) return checks.Fail("load", metrics.status(), "look at the service's log");
  double level = 0;
  for (const absl::string_view line : absl::StrSplit(*metrics, '\n')) {
    if (!absl::StartsWith(line, "dotagent_gateway_overload{") &&
        !absl::StartsWith(line, "dotagent_gateway_overload ")) {
      continue;
    }
    (void)absl::SimpleAtod(line.substr(line.rfind(' ') + 1), &level);
  }
  if (level > 0) {
    checks.Warn("load", absl::StrFormat("the gateway cannot keep up: level %.0f of 3", level),
                "dotagent_gateway_shed_total counts what it refuses; give it more of a machine, or add gateways");
  } else {
    checks.Ok("load", "nothing is refused for it");
  }
  const auto standings = HttpGet(http, "/standings", timeout);
  if (!standings.ok()) return checks.Fail("conduct", standings.status(), "is it a gateway of this release?");
  auto offenders = nlohmann::ordered_json::parse(*standings, nullptr, /*allow_exceptions=*/false);
  if (!offenders.is_object()) return checks.Fail("conduct", absl::DataLossError("the answer is no JSON object"), "");
  size_t bad = 0;
  for (const auto& [_, parties] : offenders.items()) {
    for (const auto& party : parties) {
      const std::string standing = Text(party, "standing");
      if (!standing.empty() && standing != abuse::StandingName(abuse::Standing::kGood)) ++bad;
    }
  }
  checks.SetOffenders(std::move(offenders));
  if (bad == 0) return checks.Ok("conduct", "nobody is throttled or quarantined");
  checks.Warn("conduct", absl::StrCat(bad, " throttled or quarantined"), "the worst are listed; the log says for what");
}

absl::StatusOr<int> Examine(const Globals& globals, const DoctorArguments& arguments) {
  Checks checks;
  const auto info = CheckGateway(globals, checks);
  CheckAgent(globals, info, checks);
  if (!arguments.http.empty()) {
    CheckOperator(arguments.http, absl::Seconds(static_cast<double>(globals.timeout_s)), checks);
  }
  return checks.Print(globals.json);
}

}  // namespace

void AddDoctorCommand(CLI::App& app, Globals& globals, Chosen& chosen) {
  auto arguments = std::make_shared<DoctorArguments>();
  CLI::App* command =
      AddCommand(&app, "doctor", "Look for what is wrong between an agent and its gateway, and say what to do",
                 {"dotagent doctor", "dotagent doctor --name alice.agent --key alice.pem",
                  "dotagent doctor --http 127.0.0.1:8080   # a gateway's operator: its load, and who misbehaves"});
  command->add_option("--http", arguments->http, "The gateway's HTTP host:port (--http-listen), for its operator");
  command->callback(
      [&globals, &chosen, arguments] { chosen.run = [&globals, arguments] { return Examine(globals, *arguments); }; });
}

}  // namespace dotagent::cli
