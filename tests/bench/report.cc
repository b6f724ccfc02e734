#include "tests/bench/report.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "tests/bench/machine.h"

namespace dotagent::bench {
namespace {

// Three significant digits; whole numbers from a thousand on.
std::string Number(double value) {
  if (value >= 1000) return absl::StrCat(static_cast<int64_t>(std::llround(value)));
  return absl::StrFormat("%.3g", value);
}

size_t Width(const std::string& text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

}  // namespace

double Quantile(std::vector<double> values, double quantile) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const double rank = std::ceil(quantile * static_cast<double>(values.size()));
  return values[std::min(values.size(), std::max<size_t>(static_cast<size_t>(rank), 1)) - 1];
}

std::optional<double> Row::Ratio() const {
  if (ours.empty() || peers.size() != ours.size()) return std::nullopt;
  std::vector<double> ratios;
  for (size_t i = 0; i < ours.size(); ++i) {
    if (peers[i] > 0) ratios.push_back(ours[i] / peers[i]);
  }
  if (ratios.empty()) return std::nullopt;
  return Median(ratios);
}

std::optional<bool> Row::Met() const {
  std::optional<double> figure = Ratio();
  if (!figure.has_value() && peer_name.empty() && !ours.empty()) figure = Median(ours);
  if (!figure.has_value() || (!at_most.has_value() && !at_least.has_value())) return std::nullopt;
  return (!at_most.has_value() || *figure <= *at_most) && (!at_least.has_value() || *figure >= *at_least);
}

Report::Report(std::string name, std::string command)
    : name_(std::move(name)), command_(std::move(command)), machine_(DescribeMachine()) {}

std::vector<std::vector<std::string>> Report::Cells() const {
  std::vector<std::vector<std::string>> cells = {{"what", "unit", "dotagent", "beside", "its figure", "ratio", "goal"}};
  for (const Row& row : rows_) {
    const std::optional<double> ratio = row.Ratio();
    const std::optional<bool> met = row.Met();
    std::string goal;
    if (row.at_least.has_value()) goal = absl::StrCat("≥ ", Number(*row.at_least));
    if (row.at_most.has_value()) goal = absl::StrCat("≤ ", Number(*row.at_most));
    if (met.has_value()) absl::StrAppend(&goal, *met ? ": met" : ": missed");
    cells.push_back({row.what, row.unit, row.ours.empty() ? "" : Number(Median(row.ours)), row.peer_name,
                     row.peers.empty() ? "" : Number(Median(row.peers)), ratio.has_value() ? Number(*ratio) : "",
                     goal});
  }
  return cells;
}

std::string Report::Text() const {
  const auto cells = Cells();
  std::vector<size_t> widths(cells[0].size());
  for (const auto& row : cells) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], Width(row[i]));
  }
  std::string text;
  for (const auto& row : cells) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) line += row[i] + std::string(widths[i] - Width(row[i]) + 2, ' ');
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  for (const std::string& note : notes_) absl::StrAppend(&text, "\n", note, "\n");
  text += "\n";
  for (const auto& [key, value] : machine_) absl::StrAppend(&text, key, ": ", value, "\n");
  return text;
}

nlohmann::ordered_json Report::Json() const {
  nlohmann::ordered_json json = {{"benchmark", name_}, {"command", command_}};
  for (const auto& [key, value] : machine_) json["machine"][key] = value;
  for (const Row& row : rows_) {
    nlohmann::ordered_json one = {{"what", row.what}, {"unit", row.unit}, {"ours", row.ours}};
    if (!row.ours.empty()) one["median"] = Median(row.ours);
    if (!row.peer_name.empty()) one["beside"] = row.peer_name;
    if (!row.peers.empty()) one["peers"] = row.peers;
    if (!row.peers.empty()) one["peer_median"] = Median(row.peers);
    if (const auto ratio = row.Ratio()) one["ratio"] = *ratio;
    if (row.at_most.has_value()) one["at_most"] = *row.at_most;
    if (row.at_least.has_value()) one["at_least"] = *row.at_least;
    if (const auto met = row.Met()) one["met"] = *met;
    json["rows"].push_back(std::move(one));
  }
  json["notes"] = notes_;
  return json;
}

std::string Report::Markdown() const {
  std::string text;
  const auto cells = Cells();
  for (size_t i = 0; i < cells.size(); ++i) {
    absl::StrAppend(&text, "| ", absl::StrJoin(cells[i], " | "), " |\n");
    if (i == 0) text += "| --- | --- | ---: | --- | ---: | ---: | --- |\n";
  }
  for (const std::string& note : notes_) absl::StrAppend(&text, "\n", note, "\n");
  std::vector<std::string> facts;
  for (const auto& [key, value] : machine_) facts.push_back(absl::StrCat(key, ": ", value));
  absl::StrAppend(&text, "\nMeasured by `", command_, "`; ", absl::StrJoin(facts, "; "), ".\n");
  return text;
}

absl::Status Report::WriteInto(const std::string& file) const {
  std::ifstream in(file);
  std::stringstream contents;
  contents << in.rdbuf();
  std::string text = contents.str();
  const std::string begin = absl::StrCat("<!-- dotagent-bench ", name_, ": begin -->\n");
  const std::string end = absl::StrCat("<!-- dotagent-bench ", name_, ": end -->\n");
  const size_t from = text.find(begin);
  const size_t to = text.find(end);
  if (from == std::string::npos || to == std::string::npos || to < from) {
    return absl::NotFoundError(absl::StrCat(file, " has no lines '", begin, "' and '", end, "' to write between"));
  }
  const size_t start = from + begin.size();
  text.replace(start, to - start, Markdown());
  // Beside, then over it: a full disk must not leave half a page.
  const std::string beside = file + ".new";
  std::ofstream out(beside, std::ios::trunc);
  out << text << std::flush;
  if (!out) return absl::UnavailableError(absl::StrCat("cannot write ", beside));
  out.close();
  if (std::rename(beside.c_str(), file.c_str()) != 0)
    return absl::UnavailableError(absl::StrCat("cannot write ", file));
  return absl::OkStatus();
}

}  // namespace dotagent::bench
