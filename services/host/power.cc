#include "services/host/power.h"

#include <array>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "common/telemetry/log.h"

namespace dotagent::host {
namespace {

// The first word of a small file; empty if it cannot be read.
std::string Word(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::array<char, 64> bytes{};
  file.read(bytes.data(), bytes.size());
  return std::string(absl::StripAsciiWhitespace(absl::string_view(bytes.data(), static_cast<size_t>(file.gcount()))));
}

}  // namespace

bool IsOnBattery(const std::string& folder) {
  std::error_code error;
  bool drained = false;
  size_t seen = 0;
  // Entries are links into the devices' folders.
  for (auto supply = std::filesystem::directory_iterator(folder, error);
       !error && supply != std::filesystem::directory_iterator(); supply.increment(error)) {
    if (++seen > kMaxPowerSupplies) break;
    const std::filesystem::path& path = supply->path();
    const std::string type = Word(path / "type");
    if (type == "Battery" || type == "UPS") {
      drained = drained || (Word(path / "status") == "Discharging" && Word(path / "scope") != "Device");
    } else if (type == "Mains" || absl::StartsWith(type, "USB") || type == "Wireless") {
      if (Word(path / "online") == "1") return false;
    }
  }
  return drained;
}

PowerWatch::PowerWatch(const asio::any_io_executor& executor, telemetry::Metrics& metrics, std::string folder,
                       double factor)
    : timer_(executor),
      folder_(std::move(folder)),
      factor_(factor),
      gauge_(metrics.AddGauge("dotagent_host_on_battery", "1 if this machine runs on a battery.")) {
  Look();
  Wait();
}

void PowerWatch::Look() {
  const bool now = IsOnBattery(folder_);
  if (on_battery_.exchange(now) != now) {
    telemetry::Log(telemetry::Level::kInfo, now ? "on battery: looking around less often" : "off battery");
  }
  gauge_.Set(now ? 1 : 0);
}

void PowerWatch::Wait() {
  timer_.expires_after(kPowerInterval);
  timer_.async_wait([this](const std::error_code& error) {
    if (error) return;
    Look();
    Wait();
  });
}

}  // namespace dotagent::host
