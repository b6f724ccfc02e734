#include "tests/bench/puzzle_cost.h"

#include <functional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/crypto/keys.h"
#include "common/dht/puzzle.h"
#include "common/dht/types.h"

namespace dotagent::bench {
namespace {

constexpr size_t kChecks = 200'000;

// Milliseconds that one run of `work` takes, on average.
absl::StatusOr<double> MeanMilliseconds(size_t runs, const std::function<absl::Status()>& work) {
  const absl::Time begun = absl::Now();
  for (size_t i = 0; i < runs; ++i) RETURN_IF_ERROR(work());
  return absl::ToDoubleMilliseconds(absl::Now() - begun) / static_cast<double>(runs);
}

}  // namespace

absl::Status MeasurePuzzles(size_t repetitions, Report& report) {
  SystemRandom random;
  struct Puzzle {
    int bits;
    size_t runs;
  };
  for (const Puzzle puzzle : {Puzzle{8, 200}, Puzzle{12, 15}}) {
    Row row{.what = absl::StrCat("making a node's key, static puzzle of ", puzzle.bits, " bits, mean"), .unit = "ms"};
    for (size_t i = 0; i < repetitions; ++i) {
      ASSIGN_OR_RETURN(row.ours.emplace_back(), MeanMilliseconds(puzzle.runs, [&] {
                         return dht::GenerateNodeKey(puzzle.bits, random).status();
                       }));
    }
    report.Add(std::move(row));
  }
  for (const Puzzle puzzle : {Puzzle{12, 1000}, Puzzle{16, 80}, Puzzle{20, 5}}) {
    Row row{.what = absl::StrCat("solving a dynamic puzzle of ", puzzle.bits, " bits, mean"), .unit = "ms"};
    for (size_t i = 0; i < repetitions; ++i) {
      ASSIGN_OR_RETURN(row.ours.emplace_back(), MeanMilliseconds(puzzle.runs, [&] {
                         const dht::Id node = dht::Id::OfNode(crypto::SigningKey::Generate(random).public_key());
                         return dht::SolveDynamic(node, puzzle.bits, random).status();
                       }));
    }
    report.Add(std::move(row));
  }
  Row row{.what = "checking both puzzles of a contact", .unit = "µs"};
  const dht::Id node = dht::Id::OfNode(crypto::SigningKey::Generate(random).public_key());
  for (size_t i = 0; i < repetitions; ++i) {
    uint64_t solution = 0;
    size_t solved = 0;
    ASSIGN_OR_RETURN(const double milliseconds, MeanMilliseconds(kChecks, [&] {
                       // Both always, as for a contact that passes.
                       solved += dht::SolvesStatic(node, 16) ? 1 : 0;
                       solved += dht::SolvesDynamic(node, ++solution, 16) ? 1 : 0;
                       return absl::OkStatus();
                     }));
    if (solved == 2 * kChecks) return absl::InternalError("every number solves the puzzles: they are not checked");
    row.ours.push_back(milliseconds * 1000);
  }
  report.Add(std::move(row));
  return absl::OkStatus();
}

}  // namespace dotagent::bench
