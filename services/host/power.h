// Whether this machine runs on a battery, as Linux's power_supply class says in sysfs, and how much slower a node then
// does what only it has a use for.
//
// What slows down is looking around (dht/upkeep.h: buckets of the routing table that no lookup has visited): each round
// wakes the radio for what nobody waits for. What does not: whatever is owed to others or keeps the node safe. Copies
// of values (others rely on their number), a name's or a reservation's renewal (it would lapse), revocations, the doubt
// about the network's size, keepalives of sessions that are open.
#ifndef DOTAGENT_SERVICES_HOST_POWER_H_
#define DOTAGENT_SERVICES_HOST_POWER_H_

#include <asio/any_io_executor.hpp>
#include <asio/steady_timer.hpp>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <string>

#include "common/telemetry/metrics.h"

namespace dotagent::host {

inline constexpr char kPowerFolder[] = "/sys/class/power_supply";
inline constexpr std::chrono::minutes kPowerInterval{1};
inline constexpr size_t kMaxPowerSupplies = 64;  // beyond them none is looked at

// True: a battery or UPS of the system is being drained, and no other supply is online. A battery of a device (a mouse,
// say: `scope` is Device) does not count. False where there is no folder, or nothing that can be read: most servers.
// Reads at most 64 bytes of each file; a few milliseconds where a driver asks its hardware.
[[nodiscard]] bool IsOnBattery(const std::string& folder);

// Looks once a minute.
class PowerWatch {
 public:
  // On the loop, as Stop. `factor`: 1 or more; intervals are that much longer on a battery.
  PowerWatch(const asio::any_io_executor& executor, telemetry::Metrics& metrics, std::string folder, double factor);

  // By how much to stretch an interval now: 1, or the factor. From any thread.
  [[nodiscard]] double stretch() const { return on_battery_ ? factor_ : 1; }

  // Looks now.
  void Look();
  void Stop() { timer_.cancel(); }

 private:
  void Wait();

  asio::steady_timer timer_;
  const std::string folder_;
  const double factor_;
  std::atomic<bool> on_battery_ = false;
  telemetry::Gauge& gauge_;
};

}  // namespace dotagent::host

#endif  // DOTAGENT_SERVICES_HOST_POWER_H_
