#include "tests/simulation/parameters.h"

#include <algorithm>
#include <array>
#include <thread>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/status.h"
#include "common/dht/lookup.h"
#include "common/record/record.h"

namespace dotagent::simulation {
namespace {

constexpr std::array<std::pair<absl::string_view, Behaviour>, 6> kBehaviours = {{
    {"drop", Behaviour::kDrop},
    {"lie", Behaviour::kLie},
    {"withhold", Behaviour::kWithhold},
    {"pollute", Behaviour::kPollute},
    {"eclipse", Behaviour::kEclipse},
    {"claim", Behaviour::kClaim},
}};
constexpr uint64_t kMaxNodes = 1'000'000;
constexpr uint64_t kMaxLookups = 10'000'000;
constexpr uint64_t kMostNames = 10'000;
constexpr uint64_t kMaxPuzzleBits = 20;  // a million hashes a node
constexpr uint64_t kMaxThreads = 256;
// Threads wait for each other once in so much virtual time (timeline.h).
constexpr double kLeastLatencyMs = 0.1;
constexpr double kMaxHours = 24 * 30;

absl::Status CheckShare(absl::string_view option, double value, double max) {
  if (value >= 0 && value <= max) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("--", option, " is ", value, "; it is a share, 0 to ", max));
}

absl::Status CheckCount(absl::string_view option, uint64_t value, uint64_t min, uint64_t max) {
  if (value >= min && value <= max) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("--", option, " is ", value, "; ", min, " to ", max));
}

absl::StatusOr<std::vector<Behaviour>> ParseBehaviours(absl::string_view text) {
  std::vector<Behaviour> behaviours;
  for (const absl::string_view word : absl::StrSplit(text, ',')) {
    const auto* found =
        std::find_if(kBehaviours.begin(), kBehaviours.end(), [&](const auto& b) { return b.first == word; });
    if (found == kBehaviours.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat("--behaviour: '", word, "' is none of drop, lie, withhold, pollute, eclipse, claim"));
    }
    behaviours.push_back(found->second);
  }
  return behaviours;
}

absl::StatusOr<std::pair<absl::Duration, absl::Duration>> ParseLatency(absl::string_view text) {
  const std::pair<absl::string_view, absl::string_view> ends = absl::StrSplit(text, absl::MaxSplits(':', 1));
  double min = 0;
  double max = 0;
  if (!absl::SimpleAtod(ends.first, &min) || !absl::SimpleAtod(ends.second, &max) || !(min >= kLeastLatencyMs) ||
      !(max >= min) || !(max <= 10'000)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--latency-ms: '", text, "' is not MIN:MAX in milliseconds, such as 5:50, 0.1 to 10000"));
  }
  return std::make_pair(absl::Milliseconds(min), absl::Milliseconds(max));
}

}  // namespace

void Parameters::AddTo(OptionTable* table) {
  table->Add("nodes", &nodes, "Nodes in the network");
  table->Add("hostile", &hostile, "Share of them that is hostile, 0 to 0.9");
  table->Add(
      "behaviour", &behaviour,
      "What hostile nodes do: drop, lie, withhold, pollute, eclipse, claim; of several, separated by commas, each "
      "node does one");
  table->Add("churn", &churn,
             "Share of the nodes that leaves for good in an hour, each replaced by a new node; 0: a static network, "
             "measured without letting hours pass");
  table->Add("hours", &hours, "Virtual hours of churn, over which the lookups are spread");
  table->Add("lookups", &lookups, "Lookups, each by a random honest node for a random name");
  table->Add("names", &names, "Names published before; 0: as many as lookups, at most 10000");
  table->Add("absent", &absent, "Share of the lookups that is for names which nobody published");
  table->Add("policy", &policy, "Whose a name is: first-claim, or registrar (who has a certificate for it)");
  table->Add("paths", &paths, "Disjoint paths of a lookup, d");
  table->Add("puzzle-bits", &puzzle_bits, "Difficulty of both crypto puzzles that a node solves, in bits");
  table->Add("latency-ms", &latency_ms, "MIN:MAX of a message's one way, in milliseconds, evenly spread");
  table->Add("loss", &loss, "Share of calls that get lost");
  table->Add("bootstrap", &bootstrap, "Random living nodes, hostile ones too, that a newcomer is told of");
  table->Add("ttl", &ttl, "Lifetime of the records");
  table->Add("refresh", &refresh, "Owners publish again 2 h before their record expires; --refresh=false: they do not");
  table->Add("seed", &seed, "The same seed gives the same figures, on any number of threads");
  table->Add("threads", &threads, "Threads that share the nodes; 0: one for each core");
  table->Add("json", &json, "Print one JSON object instead of a table");
  table->Add("progress", &progress, "Draw a progress bar even with --json");
  table->AddExample("dotagent-sim --nodes 10000 --hostile 0.2 --lookups 10000 --seed 1");
  table->AddExample("dotagent-sim --nodes 10000 --hostile 0.2 --churn 0.3 --hours 2 --lookups 10000 --json");
  table->AddExample("dotagent-sim --nodes 2000 --hostile 0.2 --behaviour claim --absent 0.1");
}

absl::Status Parameters::Complete() {
  RETURN_IF_ERROR(CheckCount("nodes", nodes, 2, kMaxNodes));
  RETURN_IF_ERROR(CheckShare("hostile", hostile, 0.9));
  RETURN_IF_ERROR(CheckShare("churn", churn, 10));
  RETURN_IF_ERROR(CheckCount("lookups", lookups, 1, kMaxLookups));
  RETURN_IF_ERROR(CheckCount("names", names, 0, kMaxLookups));
  RETURN_IF_ERROR(CheckShare("absent", absent, 1));
  RETURN_IF_ERROR(CheckCount("paths", paths, 1, dht::kMaxPaths));
  RETURN_IF_ERROR(CheckCount("puzzle-bits", puzzle_bits, 0, kMaxPuzzleBits));
  RETURN_IF_ERROR(CheckShare("loss", loss, 0.9));
  RETURN_IF_ERROR(CheckCount("threads", threads, 0, kMaxThreads));
  RETURN_IF_ERROR(CheckCount("bootstrap", bootstrap, 1, 20));
  if (!(hours >= 0) || hours > kMaxHours) {
    return absl::InvalidArgumentError(absl::StrCat("--hours is ", hours, "; 0 to ", kMaxHours));
  }
  const absl::Duration least = absl::Seconds(record::kMinTtlSeconds);
  const absl::Duration most = absl::Seconds(record::kMaxTtlSeconds);
  if (ttl < least || ttl > most) {
    return absl::InvalidArgumentError(absl::StrCat("--ttl is ", absl::FormatDuration(ttl), "; ",
                                                   absl::FormatDuration(least), " to ", absl::FormatDuration(most)));
  }
  if (policy != "first-claim" && policy != "registrar") {
    return absl::InvalidArgumentError(absl::StrCat("--policy: '", policy, "' is neither first-claim nor registrar"));
  }
  ASSIGN_OR_RETURN(behaviours, ParseBehaviours(behaviour));
  ASSIGN_OR_RETURN(std::tie(min_latency, max_latency), ParseLatency(latency_ms));
  if (threads == 0) threads = std::max(1U, std::thread::hardware_concurrency());
  if (churn == 0) hours = 0;
  if (names == 0) names = std::min(lookups, kMostNames);
  return absl::OkStatus();
}

}  // namespace dotagent::simulation
