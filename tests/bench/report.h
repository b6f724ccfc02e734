// What was measured, beside what it was measured against: a table for a person, JSON for a program, and the table in
// docs/benchmarks.md.
#ifndef DOTAGENT_TESTS_BENCH_REPORT_H_
#define DOTAGENT_TESTS_BENCH_REPORT_H_

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace dotagent::bench {

// 0 ≤ quantile ≤ 1, by nearest rank; 0 of nothing.
[[nodiscard]] double Quantile(std::vector<double> values, double quantile);
[[nodiscard]] inline double Median(std::vector<double> values) { return Quantile(std::move(values), 0.5); }

// One figure, taken several times in turn with the peer's; the machine's speed drifts, so what is quoted is the median
// of the ratios of neighbours.
struct Row {
  std::string what;
  std::string unit;
  std::vector<double> ours = {};
  std::string peer_name = "";
  std::vector<double> peers = {};                // as many as ours, or none
  std::optional<double> at_most = std::nullopt;  // goals, of the ratio ours / peer's; without a peer, of the figure
  std::optional<double> at_least = std::nullopt;

  [[nodiscard]] std::optional<double> Ratio() const;
  [[nodiscard]] std::optional<bool> Met() const;  // std::nullopt: no goal, or nothing measured
};

class Report {
 public:
  // `name` is the subcommand's: its table's in docs/benchmarks.md too.
  Report(std::string name, std::string command);

  void Add(Row row) { rows_.push_back(std::move(row)); }
  // A sentence below the table: what was not measured and why, or how to read it.
  void Note(std::string text) { notes_.push_back(std::move(text)); }

  [[nodiscard]] std::string Text() const;  // aligned columns
  [[nodiscard]] nlohmann::ordered_json Json() const;
  // Replaces what is between `<!-- dotagent-bench NAME: begin -->` and `… end -->` in `file`. NotFound if it has no
  // such lines.
  [[nodiscard]] absl::Status WriteInto(const std::string& file) const;

 private:
  [[nodiscard]] std::vector<std::vector<std::string>> Cells() const;
  [[nodiscard]] std::string Markdown() const;

  const std::string name_;
  const std::string command_;
  const std::vector<std::pair<std::string, std::string>> machine_;
  std::vector<Row> rows_;
  std::vector<std::string> notes_;
};

}  // namespace dotagent::bench

#endif  // DOTAGENT_TESTS_BENCH_REPORT_H_
