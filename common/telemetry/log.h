// Logs: one JSON object a line on standard error, for machines; or plain text on a terminal, for people.
//
// Values are escaped, so that a hostile name cannot forge a line. Secrets are never passed here.
//
//   telemetry::Log(telemetry::Level::kInfo, "record stored", {{"name", "bob.agent"}, {"bytes", absl::StrCat(size)}});
//   → {"time":"2026-11-23T12:00:00.000Z","level":"info","service":"resolver","msg":"record
//   stored","name":"bob.agent","bytes":"512"}
#ifndef DOTAGENT_COMMON_TELEMETRY_LOG_H_
#define DOTAGENT_COMMON_TELEMETRY_LOG_H_

#include <initializer_list>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace dotagent::telemetry {

enum class Level { kDebug, kInfo, kWarning, kError };
enum class LogFormat { kJson, kText };

struct LogOptions {
  std::string service;  // such as "resolver"
  Level level = Level::kInfo;
  LogFormat format = LogFormat::kJson;
};

// Sets the process's log up; call once, before threads. Until then, warnings and errors go to standard error as text.
void InitLog(const LogOptions& options);

// "debug", "info", "warning" or "error".
[[nodiscard]] absl::StatusOr<Level> ParseLevel(absl::string_view text);

// Thread-safe. `fields` are added to the line in their order.
void Log(Level level, absl::string_view message,
         std::initializer_list<std::pair<absl::string_view, std::string>> fields = {});

}  // namespace dotagent::telemetry

#endif  // DOTAGENT_COMMON_TELEMETRY_LOG_H_
