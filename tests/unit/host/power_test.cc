#include "services/host/power.h"

#include <gtest/gtest.h>

#include <asio/io_context.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>

namespace dotagent::host {
namespace {

// A power_supply folder that is played here.
class PowerTest : public testing::Test {
 protected:
  PowerTest() {
    std::string made = testing::TempDir() + "/dotagent-XXXXXX";
    folder_ = mkdtemp(made.data());
  }
  ~PowerTest() override { std::filesystem::remove_all(folder_); }

  void Set(const std::string& supply, const std::map<std::string, std::string>& files) {
    std::filesystem::create_directories(folder_ + "/" + supply);
    for (const auto& [name, text] : files) std::ofstream(folder_ + "/" + supply + "/" + name) << text << "\n";
  }

  std::string folder_;
};

TEST_F(PowerTest, WithoutSuppliesThereIsNoBattery) {
  EXPECT_FALSE(IsOnBattery(folder_));
  EXPECT_FALSE(IsOnBattery(folder_ + "/missing"));
}

TEST_F(PowerTest, ABatteryThatIsDrainedCounts) {
  Set("BAT0", {{"type", "Battery"}, {"status", "Discharging"}});
  EXPECT_TRUE(IsOnBattery(folder_));
  for (const char* status : {"Charging", "Full", "Not charging", "Unknown", ""}) {
    Set("BAT0", {{"status", status}});
    EXPECT_FALSE(IsOnBattery(folder_)) << status;
  }
  Set("BAT1", {{"type", "UPS"}, {"status", "Discharging"}, {"scope", "System"}});
  EXPECT_TRUE(IsOnBattery(folder_));
}

TEST_F(PowerTest, AnotherSupplyThatIsOnlineWins) {
  Set("BAT0", {{"type", "Battery"}, {"status", "Discharging"}});  // a weak charger drains it slowly
  Set("AC", {{"type", "Mains"}, {"online", "0"}});
  EXPECT_TRUE(IsOnBattery(folder_));
  Set("AC", {{"online", "1"}});
  EXPECT_FALSE(IsOnBattery(folder_));
  Set("AC", {{"online", "0"}});
  Set("ucsi", {{"type", "USB_PD"}, {"online", "1"}});
  EXPECT_FALSE(IsOnBattery(folder_));
}

TEST_F(PowerTest, ADevicesBatteryIsNotTheMachines) {
  Set("hid-mouse", {{"type", "Battery"}, {"status", "Discharging"}, {"scope", "Device"}});
  EXPECT_FALSE(IsOnBattery(folder_));
}

TEST_F(PowerTest, NonsenseIsNoBattery) {
  Set("junk", {{"type", std::string(100'000, 'x')}});
  Set("empty", {});
  std::ofstream(folder_ + "/file") << "Battery";
  EXPECT_FALSE(IsOnBattery(folder_));
}

TEST_F(PowerTest, IntervalsAreStretchedWhileItLasts) {
  asio::io_context context;
  telemetry::Metrics metrics;
  Set("BAT0", {{"type", "Battery"}, {"status", "Discharging"}});
  PowerWatch watch(context.get_executor(), metrics, folder_, 4);
  EXPECT_EQ(watch.stretch(), 4);
  EXPECT_NE(metrics.Render().find("dotagent_host_on_battery 1"), std::string::npos) << metrics.Render();
  Set("BAT0", {{"status", "Full"}});
  EXPECT_EQ(watch.stretch(), 4);  // until it looks again
  watch.Look();
  EXPECT_EQ(watch.stretch(), 1);
  EXPECT_NE(metrics.Render().find("dotagent_host_on_battery 0"), std::string::npos);
}

}  // namespace
}  // namespace dotagent::host
