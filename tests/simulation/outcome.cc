#include "tests/simulation/outcome.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/format.h"

namespace dotagent::simulation {
namespace {

constexpr char kSignatures[] = "records: Ed25519, checked by every node; nodes: none, who speaks is taken as proved";

double Ratio(uint64_t part, uint64_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

// Figures are printed to a millionth, so that their text says no more than they do.
double Rounded(double value) { return std::round(value * 1e6) / 1e6; }

double Rounds(const LookupFigures& figures, double share) {
  return Percentile(std::vector<double>(figures.rounds.begin(), figures.rounds.end()), share);
}

double Mean(const std::vector<uint32_t>& values) {
  return Ratio(std::accumulate(values.begin(), values.end(), uint64_t{0}), values.size());
}

nlohmann::ordered_json Failures(const LookupFigures& figures) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  for (const auto& [reason, count] : figures.failures) json[reason] = count;
  return json;
}

class Table {
 public:
  void Section(const std::string& title) { absl::StrAppend(&text_, text_.empty() ? "" : "\n", title, "\n"); }
  void Row(const std::string& label, const std::string& value) {
    absl::StrAppendFormat(&text_, "  %-34s %s\n", label, value);
  }
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  std::string text_;
};

std::string Share(uint64_t part, uint64_t whole) {
  return absl::StrFormat("%.2f %%  (%d of %d)", 100 * Ratio(part, whole), part, whole);
}

void AddLookups(const LookupFigures& figures, const std::string& as_wished, Table* table) {
  table->Row(as_wished, Share(figures.as_wished, figures.lookups));
  for (const auto& [reason, count] : figures.failures) table->Row(absl::StrCat("  ", reason), absl::StrCat(count));
  table->Row("rounds, p50 / p99", absl::StrFormat("%.0f / %.0f", Rounds(figures, 0.5), Rounds(figures, 0.99)));
  table->Row("latency, p50 / p99", absl::StrFormat("%.0f / %.0f ms", Percentile(figures.latency_ms, 0.5),
                                                   Percentile(figures.latency_ms, 0.99)));
  table->Row("messages a lookup", absl::StrFormat("%.1f", Ratio(figures.messages, figures.lookups)));
  table->Row("bytes a lookup", FormatBytes(Ratio(figures.bytes, figures.lookups)));
}

}  // namespace

double Percentile(std::vector<double> values, double share) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const auto rank = static_cast<size_t>(std::ceil(share * static_cast<double>(values.size())));
  return values[std::clamp<size_t>(rank, 1, values.size()) - 1];
}

std::string ToJson(const Parameters& parameters, const Outcome& outcome) {
  const LookupFigures& present = outcome.present;
  const LookupFigures& absent = outcome.absent;
  const nlohmann::ordered_json json = {
      {"nodes", parameters.nodes},
      {"hostile", parameters.hostile},
      {"behaviour", parameters.behaviour},
      {"churn", parameters.churn},
      {"hours", parameters.hours},
      {"lookups", parameters.lookups},
      {"names", parameters.names},
      {"absent", parameters.absent},
      {"policy", parameters.policy},
      {"paths", parameters.paths},
      {"puzzle_bits", parameters.puzzle_bits},
      {"latency_ms", parameters.latency_ms},
      {"loss", parameters.loss},
      {"bootstrap", parameters.bootstrap},
      {"ttl_s", absl::ToInt64Seconds(parameters.ttl)},
      {"refresh", parameters.refresh},
      {"seed", parameters.seed},
      {"signatures", kSignatures},
      {"success", Rounded(Ratio(present.as_wished, present.lookups))},
      {"failures", Failures(present)},
      {"rounds_p50", Rounds(present, 0.5)},
      {"rounds_p99", Rounds(present, 0.99)},
      {"rounds_mean", Rounded(Mean(present.rounds))},
      {"latency_ms_p50", Rounded(Percentile(present.latency_ms, 0.5))},
      {"latency_ms_p99", Rounded(Percentile(present.latency_ms, 0.99))},
      {"messages_per_lookup", Rounded(Ratio(present.messages, present.lookups))},
      {"bytes_per_lookup", Rounded(Ratio(present.bytes, present.lookups))},
      {"absent_lookups", absent.lookups},
      {"absent_not_found", absent.as_wished},
      {"absent_failures", Failures(absent)},
      {"absent_messages_per_lookup", Rounded(Ratio(absent.messages, absent.lookups))},
      {"readers_left", outcome.readers_left},
      {"ram_bytes_per_node", outcome.ram_bytes_per_node},
      {"nodes_astray", outcome.nodes_astray},
      {"names_published", outcome.names_published},
      {"names_unpublished", outcome.names_unpublished},
      {"records_lost", outcome.records_lost},
      {"names_stolen", outcome.names_stolen},
      {"names_contested", outcome.names_contested},
      {"thefts_tried", outcome.thefts_tried},
      {"thefts_confirmed", outcome.thefts_confirmed},
      {"nodes_replaced", outcome.nodes_replaced},
      {"join_virtual_s", Rounded(outcome.join_virtual_s)},
      {"virtual_hours", Rounded(outcome.virtual_hours)},
      {"events", outcome.events},
      {"messages", outcome.messages},
      {"bytes", outcome.bytes},
      {"threads", parameters.threads},
      {"wall_s", Rounded(outcome.wall_s)},
  };
  return json.dump();
}

std::string ToTable(const Parameters& parameters, const Outcome& outcome) {
  Table table;
  table.Section("Simulated");
  table.Row("nodes", absl::StrCat(parameters.nodes));
  table.Row("hostile", parameters.hostile == 0
                           ? "none"
                           : absl::StrFormat("%.1f %%: %s", 100 * parameters.hostile, parameters.behaviour));
  table.Row("churn", parameters.churn == 0
                         ? "none"
                         : absl::StrFormat("%.1f %% of the nodes an hour, for %.1f h: %d replaced",
                                           100 * parameters.churn, parameters.hours, outcome.nodes_replaced));
  table.Row("policy", parameters.policy);
  table.Row("disjoint paths", absl::StrCat(parameters.paths));
  table.Row("latency, one way", absl::StrCat(parameters.latency_ms, " ms"));
  table.Row("calls lost", absl::StrFormat("%.1f %%", 100 * parameters.loss));
  table.Row("names",
            Share(outcome.names_published, outcome.names_published + outcome.names_unpublished) + " published");
  table.Row("seed", absl::StrCat(parameters.seed));
  table.Row("signatures", kSignatures);
  table.Section("Lookups of names");
  AddLookups(outcome.present, "owner's record found", &table);
  if (outcome.absent.lookups > 0) {
    table.Section("Lookups of names that do not exist");
    AddLookups(outcome.absent, "definitely NOT_FOUND", &table);
  }
  table.Section("Names and nodes");
  table.Row("records lost", Share(outcome.records_lost, outcome.names_published));
  table.Row("names stolen", Share(outcome.names_stolen, outcome.names_published));
  table.Row("names contested", Share(outcome.names_contested, outcome.names_published));
  if (outcome.thefts_tried > 0) {
    table.Row("thieves' records stored", Share(outcome.thefts_confirmed, outcome.thefts_tried));
  }
  table.Row("nodes led astray", absl::StrCat(outcome.nodes_astray));
  table.Row("RAM a node", FormatBytes(static_cast<double>(outcome.ram_bytes_per_node)));
  table.Section("The run");
  table.Row("virtual time",
            absl::StrFormat("%.2f h, joining %.1f min of it", outcome.virtual_hours, outcome.join_virtual_s / 60));
  table.Row("events", absl::StrCat(outcome.events));
  table.Row("messages", absl::StrCat(outcome.messages, ", ", FormatBytes(static_cast<double>(outcome.bytes))));
  table.Row("took", absl::StrFormat("%.1f s on %d threads", outcome.wall_s, parameters.threads));
  return table.text();
}

}  // namespace dotagent::simulation
