// Prints what comes, one event a line, for the commands that go on until they are interrupted.
#ifndef DOTAGENT_CLI_EVENT_PRINTER_H_
#define DOTAGENT_CLI_EVENT_PRINTER_H_

#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/synchronization/mutex.h"

namespace dotagent::cli {

// Thread-safe.
class EventPrinter {
 public:
  explicit EventPrinter(bool json) : json_(json) {}

  void Print(const nlohmann::ordered_json& event, const std::string& text) {
    absl::MutexLock lock(&mutex_);
    std::puts(json_ ? event.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace).c_str()
                    : text.c_str());
    std::fflush(stdout);
  }

 private:
  const bool json_;
  absl::Mutex mutex_;
};

}  // namespace dotagent::cli

#endif  // DOTAGENT_CLI_EVENT_PRINTER_H_
