#include "common/telemetry/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "absl/base/thread_annotations.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace dotagent::telemetry {
namespace {

// A process has one standard error, and so one log.
class ProcessLog {
 public:
  static ProcessLog& Get() {
    static ProcessLog log;
    return log;
  }

  void Configure(const LogOptions& options) {
    absl::MutexLock lock(&mutex_);
    options_ = options;
    logger_->set_level(ToSpdlog(options.level));
  }
  [[nodiscard]] LogOptions options() const {
    absl::MutexLock lock(&mutex_);
    return options_;
  }
  [[nodiscard]] spdlog::logger& logger() { return *logger_; }

  static spdlog::level::level_enum ToSpdlog(Level level) {
    switch (level) {
      case Level::kDebug:
        return spdlog::level::debug;
      case Level::kInfo:
        return spdlog::level::info;
      case Level::kWarning:
        return spdlog::level::warn;
      case Level::kError:
        return spdlog::level::err;
    }
    return spdlog::level::err;
  }

 private:
  ProcessLog()
      : logger_(std::make_shared<spdlog::logger>("dotagent", std::make_shared<spdlog::sinks::stderr_sink_mt>())) {
    logger_->set_pattern("%v");
    logger_->set_level(ToSpdlog(options_.level));
    logger_->flush_on(spdlog::level::debug);
  }

  const std::shared_ptr<spdlog::logger> logger_;
  mutable absl::Mutex mutex_;
  LogOptions options_ ABSL_GUARDED_BY(mutex_) = {.service = "", .level = Level::kWarning, .format = LogFormat::kText};
};

absl::string_view LevelName(Level level) {
  switch (level) {
    case Level::kDebug:
      return "debug";
    case Level::kInfo:
      return "info";
    case Level::kWarning:
      return "warning";
    case Level::kError:
      return "error";
  }
  return "error";
}

using Fields = std::initializer_list<std::pair<absl::string_view, std::string>>;

std::string JsonLine(const std::string& service, Level level, absl::string_view message, Fields fields) {
  nlohmann::ordered_json line;
  line["time"] = absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", absl::Now(), absl::UTCTimeZone());
  line["level"] = std::string(LevelName(level));
  line["service"] = service;
  line["msg"] = std::string(message);
  for (const auto& [key, value] : fields) line[std::string(key)] = value;
  // Bytes that are no UTF-8 become U+FFFD, so that the line stays JSON.
  return line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

// Control characters would let a hostile value forge a line or move a terminal's cursor.
std::string Escaped(absl::string_view text) {
  std::string out;
  for (const char c : text) {
    if (absl::ascii_iscntrl(static_cast<unsigned char>(c))) {
      absl::StrAppendFormat(&out, "\\x%02x", static_cast<unsigned char>(c));
    } else {
      out.push_back(c);
    }
  }
  return out;
}

std::string TextLine(const std::string& service, Level level, absl::string_view message, Fields fields) {
  std::string line = absl::FormatTime("%H:%M:%E3S", absl::Now(), absl::LocalTimeZone());
  absl::StrAppend(&line, " ", LevelName(level), " ", service, service.empty() ? "" : ": ", Escaped(message));
  for (const auto& [key, value] : fields) absl::StrAppend(&line, " ", key, "=", Escaped(value));
  return line;
}

}  // namespace

void InitLog(const LogOptions& options) { ProcessLog::Get().Configure(options); }

absl::StatusOr<Level> ParseLevel(absl::string_view text) {
  for (const Level level : {Level::kDebug, Level::kInfo, Level::kWarning, Level::kError}) {
    if (text == LevelName(level)) return level;
  }
  return absl::InvalidArgumentError(absl::StrCat("log level ", text, " is none of debug, info, warning, error"));
}

void Log(Level level, absl::string_view message, Fields fields) {
  ProcessLog& log = ProcessLog::Get();
  const auto spdlog_level = ProcessLog::ToSpdlog(level);
  if (!log.logger().should_log(spdlog_level)) return;
  const LogOptions options = log.options();
  // The line is an argument and not the format: braces in it mean nothing.
  log.logger().log(spdlog_level, "{}",
                   options.format == LogFormat::kJson ? JsonLine(options.service, level, message, fields)
                                                      : TextLine(options.service, level, message, fields));
}

}  // namespace dotagent::telemetry
