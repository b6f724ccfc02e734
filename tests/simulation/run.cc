#include "tests/simulation/run.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "common/base/status.h"
#include "common/dht/testing/simulation.h"
#include "common/dht/value_type.h"
#include "tests/simulation/heap.h"
#include "tests/simulation/names.h"
#include "tests/simulation/population.h"

namespace dotagent::simulation {
namespace {

// Names that are published at the same time, and lookups where time does not matter.
constexpr size_t kAtOnce = 64;
constexpr int kPublishTries = 5;
constexpr absl::Duration kRetryPause = absl::Seconds(30);
constexpr absl::Duration kRefreshBefore = absl::Hours(2);
// After joining a node looks around for half a minute more.
constexpr absl::Duration kSettling = absl::Minutes(2);
constexpr size_t kLikelyHolders = 64;
// RAM is rounded to this, so that what the allocator does in detail does not show.
constexpr uint64_t kRamStep = 100;

dht::SimulationOptions NetworkOptions(const Parameters& parameters) {
  return {.seed = parameters.seed,
          .threads = parameters.threads,
          .min_delay = parameters.min_latency,
          .max_delay = parameters.max_latency,
          .loss = parameters.loss,
          .through_wire = false,
          .keep_tables = false,
          .real_keys = false};
}

// What nodes have been asked to do. A node that leaves takes what it was doing with it, and no one hears of it.
class Tasks {
 public:
  using Id = std::pair<size_t, uint64_t>;

  // `abandoned` is called if the node leaves before End.
  Id Begin(size_t node, std::function<void()> abandoned) {
    const Id id(node, begun_++);
    abandoned_.emplace(id, std::move(abandoned));
    return id;
  }
  // False if it has been abandoned.
  [[nodiscard]] bool End(const Id& id) { return abandoned_.erase(id) == 1; }
  void Left(size_t node) {
    for (auto next = abandoned_.lower_bound(Id(node, 0)); next != abandoned_.end() && next->first.first == node;
         next = abandoned_.lower_bound(Id(node, 0))) {
      const std::function<void()> abandoned = std::move(next->second);
      abandoned_.erase(next);
      abandoned();
    }
  }

 private:
  std::map<Id, std::function<void()>> abandoned_;
  uint64_t begun_ = 0;
};

class Experiment {
 public:
  Experiment(const Parameters& parameters, const StageBegun& stage, const StepDone& step)
      : parameters_(parameters),
        stage_(stage),
        step_(step),
        names_(parameters.seed, parameters.names, parameters.policy == "registrar"),
        types_(names_.policy()),
        network_(NetworkOptions(parameters)),
        population_(parameters, &network_, &names_),
        random_(parameters.seed ^ 0x65787072) {}

  Outcome Run() {
    Join();
    Publish();
    if (population_.has_thieves()) Steal();
    LookUp();
    CountLost();
    present_traffic_.AddTo(&outcome_.present);
    absent_traffic_.AddTo(&outcome_.absent);
    outcome_.names_stolen = stolen_.size();
    outcome_.names_contested = contested_.size();
    outcome_.nodes_replaced = population_.replaced();
    outcome_.virtual_hours = absl::ToDoubleHours(network_.clock().Elapsed());
    outcome_.events = network_.events();
    outcome_.messages = network_.messages();
    outcome_.bytes = network_.bytes();
    return std::move(outcome_);
  }

 private:
  struct Lookup {
    bool present;
    size_t name;  // or the number of the absent one
    absl::Duration started;
  };
  using CallerAndKey = std::pair<size_t, dht::Id>;
  struct Traffic {
    std::atomic<uint64_t> messages = 0;
    std::atomic<uint64_t> bytes = 0;
    void AddTo(LookupFigures* figures) const {
      figures->messages += messages;
      figures->bytes += bytes;
    }
  };

  void Join() {
    stage_("nodes joined", parameters_.nodes);
    const uint64_t before = HeapInUse();
    population_.Join(step_);
    outcome_.join_virtual_s = absl::ToDoubleSeconds(network_.clock().Elapsed());
    network_.RunFor(kSettling);
    const double per_node =
        static_cast<double>(HeapInUse() - before) / static_cast<double>(parameters_.nodes * kRamStep);
    outcome_.ram_bytes_per_node = static_cast<uint64_t>(per_node + 0.5) * kRamStep;
    outcome_.nodes_astray = population_.CountAstray();
  }

  // Keeps kAtOnce of `count` tasks under way until all are done. start(i, done) starts one.
  template <typename Start>
  void InParallel(size_t count, Start start) {
    size_t next = 0;
    size_t done = 0;
    std::function<void()> start_next = [&] {
      if (next < count)
        start(next++, [&] {
          ++done;
          step_();
          start_next();
        });
    };
    for (size_t i = 0; i < std::min(kAtOnce, count); ++i) start_next();
    while (done < count && network_.RunUntil([&, before = done] { return done > before; }, absl::Hours(1))) {
    }
  }

  void Publish() {
    stage_("names published", names_.size());
    InParallel(names_.size(), [this](size_t name, std::function<void()> done) {
      PublishOne(name, kPublishTries, [this, name, done = std::move(done)](bool published) {
        if (published) {
          published_.push_back(name);
          population_.Reveal(name);
        }
        done();
      });
    });
    outcome_.names_published = published_.size();
    outcome_.names_unpublished = names_.size() - published_.size();
  }

  void PublishOne(size_t name, int tries, std::function<void(bool)> done) {
    const absl::StatusOr<dht::Item> record = names_.Sign(name, network_.clock().Now(), parameters_.ttl);
    const size_t publisher = population_.RandomHonest();
    const Tasks::Id task = tasks_.Begin(publisher, [this, name, tries, done] { PublishOne(name, tries, done); });
    Put(publisher, record.value(), [this, task, name, tries, done = std::move(done)](bool put) {
      if (!tasks_.End(task)) return;
      if (put) RefreshLater(name);
      if (put || tries == 1) return done(put);
      network_.RunAfter(kRetryPause, [this, name, tries, done] { PublishOne(name, tries - 1, done); });
    });
  }

  // `done` is told, between windows, whether it has been stored.
  void Put(size_t node, const dht::Item& record, std::function<void(bool)> done) {
    network_.dht(node).Put(dht::ValueKind::kRecord, record,
                           [this, node, done = std::move(done)](const absl::StatusOr<dht::PutResult>& put) {
                             network_.Post(node, [done, stored = put.ok()] { done(stored); });
                           });
  }

  // For each name a thief tries to store a record of his own, through the honest code of his node.
  void Steal() {
    stage_("thefts tried", published_.size());
    InParallel(published_.size(), [this](size_t i, std::function<void()> done) {
      const absl::StatusOr<dht::Item> record =
          names_.SignAsThief(published_[i], network_.clock().Now(), parameters_.ttl);
      ++outcome_.thefts_tried;
      Put(*population_.RandomHostile(), record.value(), [this, done = std::move(done)](bool put) {
        outcome_.thefts_confirmed += put ? 1 : 0;
        done();
      });
    });
  }

  void RefreshLater(size_t name) {
    if (!parameters_.refresh || parameters_.ttl <= kRefreshBefore) return;
    network_.RunAfter(parameters_.ttl - kRefreshBefore, [this, name] { PublishOne(name, kPublishTries, [](bool) {}); });
  }

  void LookUp() {
    stage_("lookups", parameters_.lookups);
    if (published_.empty()) return;
    network_.Observe([this](const dht::MessageSeen& message) { Count(message); });
    const auto start = [this](size_t, std::function<void()> done) { LookUpOne(std::move(done)); };
    if (parameters_.churn == 0) return InParallel(parameters_.lookups, start);
    population_.OnLeave([this](size_t node) { tasks_.Left(node); });
    population_.StartChurn();
    const absl::Duration span = absl::Hours(1) * parameters_.hours;
    size_t left = parameters_.lookups;
    for (size_t i = 0; i < parameters_.lookups; ++i) {
      const double moment = (static_cast<double>(i) + static_cast<double>(random_.Below(1000)) / 1000) /
                            static_cast<double>(parameters_.lookups);
      network_.RunAfter(span * moment, [this, &left] {
        LookUpOne([this, &left] {
          --left;
          step_();
        });
      });
    }
    network_.RunFor(span);
    while (left > 0 && network_.RunUntil([&left] { return left == 0; }, absl::Minutes(10))) {
    }
  }

  void LookUpOne(std::function<void()> done) {
    const bool present = static_cast<double>(random_.Below(1'000'000)) >= parameters_.absent * 1e6;
    LookupFigures& figures = present ? outcome_.present : outcome_.absent;
    const size_t number = figures.lookups++;
    const Lookup lookup{present, present ? published_[number % published_.size()] : number, network_.clock().Elapsed()};
    const dht::Id key = present ? names_.key(lookup.name) : names_.AbsentKey(number);
    const size_t reader = population_.RandomHonest();
    counted_[CallerAndKey(reader, key)] = present ? &present_traffic_ : &absent_traffic_;
    const Tasks::Id task = tasks_.Begin(reader, [this, &figures, done] {
      ++outcome_.readers_left;
      --figures.lookups;
      done();
    });
    const auto judged = [this, task, lookup, done = std::move(done)](const absl::StatusOr<dht::GetResult>& got,
                                                                     absl::Duration took) {
      if (!tasks_.End(task)) return;
      Judge(lookup, got, took);
      done();
    };
    network_.dht(reader).Get(key, dht::ValueKind::kRecord,
                             [this, reader, lookup, judged](const absl::StatusOr<dht::GetResult>& got) {
                               const absl::Duration took = network_.clock(reader).Elapsed() - lookup.started;
                               network_.Post(reader, [judged, got, took] { judged(got, took); });
                             });
  }

  void Judge(const Lookup& lookup, const absl::StatusOr<dht::GetResult>& got, absl::Duration took) {
    LookupFigures& figures = lookup.present ? outcome_.present : outcome_.absent;
    const std::string reason = got.ok() ? "OK" : ReasonOf(got.status());
    const bool owners = got.ok() && lookup.present && got->owner == names_.owner(lookup.name);
    if (owners || (!lookup.present && reason == reason::kNameNotFound)) {
      ++figures.as_wished;
      figures.rounds.push_back(got.ok() ? got->hops : 0);
      figures.latency_ms.push_back(absl::ToDoubleMilliseconds(took));
      return;
    }
    ++figures.failures[got.ok() ? "STOLEN" : reason];
    if (!lookup.present) return;
    if (got.ok()) stolen_.insert(lookup.name);
    if (reason == reason::kConflict) contested_.insert(lookup.name);
  }

  // A lookup's messages are its node's calls for its key, and their answers; also those that come too late for it. On
  // the nodes' threads.
  void Count(const dht::MessageSeen& message) {
    const auto* find = std::get_if<dht::FindValueCall>(&message.request.call);
    if (find == nullptr) return;
    const auto found = counted_.find(CallerAndKey(message.caller, find->key));
    if (found == counted_.end()) return;
    found->second->messages.fetch_add(1, std::memory_order_relaxed);
    found->second->bytes.fetch_add(message.bytes, std::memory_order_relaxed);
  }

  [[nodiscard]] bool Holds(size_t node, size_t name) {
    const absl::StatusOr<dht::Item> held = network_.dht(node).GetLocal(names_.key(name), dht::ValueKind::kRecord);
    if (!held.ok()) return false;
    const absl::StatusOr<dht::Value> value = types_.Of(dht::ValueKind::kRecord).Validate(*held, network_.clock().Now());
    return value.ok() && value->owner == names_.owner(name);
  }

  void CountLost() {
    const IdIndex honest = population_.HonestIndex();
    for (const size_t name : published_) {
      const auto holds = [&](size_t node) { return Holds(node, name); };
      const std::vector<size_t> likely = honest.Nearest(names_.key(name), kLikelyHolders);
      if (std::any_of(likely.begin(), likely.end(), holds)) continue;
      if (std::none_of(population_.honest().begin(), population_.honest().end(), holds)) ++outcome_.records_lost;
    }
  }

  const Parameters& parameters_;
  const StageBegun& stage_;
  const StepDone& step_;
  const Names names_;
  const dht::ValueTypes types_;
  dht::Simulation network_;
  Population population_;
  SeededRandom random_;
  std::vector<size_t> published_;
  absl::flat_hash_map<CallerAndKey, Traffic*> counted_;  // changes between windows only
  Traffic present_traffic_;
  Traffic absent_traffic_;
  Tasks tasks_;
  std::set<size_t> stolen_;
  std::set<size_t> contested_;
  Outcome outcome_;
};

}  // namespace

Outcome Run(const Parameters& parameters, const StageBegun& stage, const StepDone& step) {
  return Experiment(parameters, stage, step).Run();
}

}  // namespace dotagent::simulation
