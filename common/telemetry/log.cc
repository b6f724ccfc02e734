#include "common/telemetry/log.h"

#include <spdlog/logger.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "common/telemetry/log_line.h"

namespace dotagent::telemetry {
namespace {

// The process's log: the one thing here that is global, because standard error is.
class ProcessLog {
 public:
  // Never destroyed, so that destructors at exit can still log.
  static ProcessLog& Get() {
    static auto* log = new ProcessLog;
    return *log;
  }

  void Set(const LogOptions& options) {
    absl::MutexLock lock(&mutex_);
    options_ = options;
  }

  void Write(Level level, absl::string_view message, LogFields fields) {
    LogOptions options;
    {
      absl::ReaderMutexLock lock(&mutex_);
      if (level < options_.level) return;
      options = options_;
    }
    const absl::Time now = absl::Now();
    const std::string line = options.format == LogFormat::kJson
                                 ? JsonLine(options.service, now, level, message, fields)
                                 : TextLine(options.service, now, level, message, fields);
    logger_.log(spdlog::level::info, spdlog::string_view_t(line.data(), line.size()));
    logger_.flush();
  }

 private:
  ProcessLog() : logger_("dotagent", std::make_shared<spdlog::sinks::stderr_sink_mt>()) {
    logger_.set_pattern("%v");
    logger_.set_level(spdlog::level::trace);
  }

  absl::Mutex mutex_;
  LogOptions options_ ABSL_GUARDED_BY(mutex_) = {"", Level::kWarning, LogFormat::kText};
  spdlog::logger logger_;  // thread-safe itself
};

}  // namespace

void InitLog(const LogOptions& options) { ProcessLog::Get().Set(options); }

absl::StatusOr<Level> ParseLevel(absl::string_view text) {
  if (text == "debug") return Level::kDebug;
  if (text == "info") return Level::kInfo;
  if (text == "warning") return Level::kWarning;
  if (text == "error") return Level::kError;
  return absl::InvalidArgumentError(absl::StrCat("'", text, "' is no log level; choose debug, info, warning or error"));
}

void Log(Level level, absl::string_view message,
         std::initializer_list<std::pair<absl::string_view, std::string>> fields) {
  ProcessLog::Get().Write(level, message, LogFields(fields.begin(), fields.size()));
}

}  // namespace dotagent::telemetry
