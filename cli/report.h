// What a command has to tell: aligned lines for a person, one JSON object for a program.
//
//   Report report;
//   report.Add("peer_id", "Peer id", id);
//   report.Print(json);          // "Peer id  12D3…"   or   {"peer_id":"12D3…"}
#ifndef DOTAGENT_CLI_REPORT_H_
#define DOTAGENT_CLI_REPORT_H_

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace dotagent::cli {

class Report {
 public:
  // An empty label keeps a field out of the text; a list prints one line an element. Texts come from strangers too, and
  // so are escaped where they could move the cursor.
  void Add(const std::string& key, const std::string& label, nlohmann::ordered_json value);
  // To standard output, flushed.
  void Print(bool json) const;
  // What Print(true) prints, to be put into a larger report.
  [[nodiscard]] const nlohmann::ordered_json& json() const { return object_; }

 private:
  std::vector<std::pair<std::string, std::string>> lines_;  // label, value
  nlohmann::ordered_json object_ = nlohmann::ordered_json::object();
};

// Writes a signed statement to standard output: its bytes as they are, to be kept in a file; in base64 for a program.
// Returns the exit status.
int PrintStatement(bool json, const std::string& statement);

// Columns lined up by their widest cell; the first row is the heading.
[[nodiscard]] std::string FormatTable(const std::vector<std::vector<std::string>>& rows);

// Prints that what a command was asked to verify breaks a rule, and which. That is an answer, not a failure to get one;
// returns its exit status, 1.
int PrintInvalid(bool json, const absl::Status& status);

// `text` with control characters, and bytes that are not UTF-8, as \xNN: safe to print on a terminal.
[[nodiscard]] std::string Printable(absl::string_view text);

}  // namespace dotagent::cli

#endif  // DOTAGENT_CLI_REPORT_H_
