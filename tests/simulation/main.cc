// dotagent-sim: simulates a DHT of thousands of nodes and tells how well names are found. docs/simulation.md.
#include <cstdio>
#include <memory>
#include <optional>
#include <string>

#include "absl/time/clock.h"
#include "common/base/config.h"
#include "common/base/progress.h"
#include "tests/simulation/run.h"

namespace {

// As the dotagent command's.
constexpr int kOk = 0;
constexpr int kUsage = 2;

}  // namespace

int main(int argc, char** argv) {
  dotagent::simulation::Parameters parameters;
  dotagent::OptionTable table(
      "dotagent-sim", "Simulates a network of DHT nodes, honest and hostile, over virtual time, and measures lookups.");
  parameters.AddTo(&table);
  const absl::StatusOr<bool> go_on = table.Parse(argc, argv);
  if (go_on.ok() && !*go_on) return kOk;
  const absl::Status status = go_on.ok() ? parameters.Complete() : go_on.status();
  if (!status.ok()) {
    std::fprintf(stderr, "dotagent-sim: %s\n", std::string(status.message()).c_str());
    return kUsage;
  }
  const absl::Time started = absl::Now();
  std::optional<dotagent::Progress> progress;
  dotagent::simulation::Outcome outcome = dotagent::simulation::Run(
      parameters,
      [&](const std::string& what, uint64_t steps) {
        progress.emplace(what, steps, parameters.json && !parameters.progress, dotagent::Progress::Unit::kItems);
      },
      [&] { progress->Add(1); });
  progress.reset();
  outcome.wall_s = absl::ToDoubleSeconds(absl::Now() - started);
  const std::string text = parameters.json ? ToJson(parameters, outcome) + "\n" : ToTable(parameters, outcome);
  std::fputs(text.c_str(), stdout);
  return kOk;
}
