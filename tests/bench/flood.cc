#include "tests/bench/flood.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <sstream>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/base/status.h"
#include "tests/bench/flood_load.h"
#include "tests/bench/processor.h"
#include "tests/bench/records.h"
#include "tests/bench/resolver_client.h"
#include "tests/bench/service_process.h"
#include "tests/bench/temporary_folder.h"

namespace dotagent::bench {
namespace {

constexpr size_t kNodeCore = 0;
constexpr size_t kOtherCore = 1;
constexpr size_t kSessions = 8;
// By then newcomers have spent what they had saved up (newcomer_limits.h).
constexpr absl::Duration kWarmUp = absl::Seconds(2);
constexpr size_t kRecordSize = 700;
constexpr absl::Duration kPatience = absl::Seconds(10);
constexpr int kCookieBits = 18;
constexpr double kFloodFactor = 11;  // times what the core could handshake, to have ten times that
// As an operator would lift all of them.
const std::vector<std::string> kNoLimits = {"--p2p-connect-rate",
                                            "0",
                                            "--p2p-newcomer-share",
                                            "1",
                                            "--p2p-cookie-bits",
                                            "0",
                                            "--p2p-max-handshakes",
                                            "4096",
                                            "--p2p-max-handshakes-per-address",
                                            "4096"};

void Say(const std::string& what) { std::cerr << "flood: " << what << "\n"; }

// A resolver on its own core, with a record.
class Node {
 public:
  static absl::StatusOr<std::unique_ptr<Node>> Start(const std::string& programs,
                                                     const std::vector<std::string>& options) {
    auto node = std::make_unique<Node>();
    PinTo(kNodeCore);  // which the process inherits
    auto running = StartService(programs, "resolver", node->folder_.Path("resolver"), "127.0.0.1", options);
    PinTo(kOtherCore);
    RETURN_IF_ERROR(running.status());
    node->service_ = *std::move(running);
    ASSIGN_OR_RETURN(node->endpoint_, EndpointOf(node->service_.p2p));
    ASSIGN_OR_RETURN(const identity::NodeCertificate certificate, MakeClientCertificate());
    ASSIGN_OR_RETURN(const auto client, ResolverClient::Connect(node->service_.grpc, certificate));
    RETURN_IF_ERROR(client->Publish(Records(kRecordSize).Make(0, absl::Now())));
    return node;
  }

  // The record's key.
  [[nodiscard]] static absl::StatusOr<dht::Id> Key() { return dht::Id::FromBytes(Records::DhtKey(0)); }

  [[nodiscard]] const sockaddr_in& endpoint() const { return endpoint_; }
  // What it has had of processors so far, all threads.
  [[nodiscard]] absl::Duration CpuTime() const {
    std::ifstream file(absl::StrCat("/proc/", service_.process->pid(), "/stat"));
    std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    std::istringstream fields(text.substr(text.rfind(')') + 1));  // what precedes may hold spaces
    std::string skipped;
    for (int field = 3; field < 14; ++field) fields >> skipped;
    int64_t user = 0;
    int64_t system = 0;
    fields >> user >> system;
    return absl::Seconds(1) * static_cast<double>(user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
  }

 private:
  TemporaryFolder folder_;
  RunningService service_;
  sockaddr_in endpoint_{};
};

// What a core has been busy for so far, with whatever: processes, the kernel, interrupts.
absl::StatusOr<absl::Duration> BusyTime(size_t core) {
  std::ifstream file("/proc/stat");
  const std::string label = absl::StrCat("cpu", core);
  for (std::string line; std::getline(file, line);) {
    std::istringstream fields(line);
    std::string name;
    int64_t user = 0;
    int64_t nice = 0;
    int64_t system = 0;
    int64_t idle = 0;
    int64_t waiting = 0;
    int64_t interrupts = 0;
    int64_t soft_interrupts = 0;
    fields >> name >> user >> nice >> system >> idle >> waiting >> interrupts >> soft_interrupts;
    if (name != label || !fields) continue;
    return absl::Seconds(1) * static_cast<double>(user + nice + system + interrupts + soft_interrupts) /
           static_cast<double>(sysconf(_SC_CLK_TCK));
  }
  return absl::UnavailableError(absl::StrCat("/proc/stat has no ", label));
}

// Whole handshakes a second of the node's core, connections and all, where nothing limits them.
absl::StatusOr<double> MeasureCapacity(Node& node) {
  const auto shake = [&](size_t count) -> absl::Status {
    for (size_t i = 0; i < count; ++i) {
      RETURN_IF_ERROR(Dialled::Dial(node.endpoint(), "127.0.0.1", 0, kPatience).status());
    }
    return absl::OkStatus();
  };
  constexpr size_t kHandshakes = 4000;
  RETURN_IF_ERROR(shake(kHandshakes / 10));
  const absl::Duration before = node.CpuTime();
  RETURN_IF_ERROR(shake(kHandshakes));
  return static_cast<double>(kHandshakes) / absl::ToDoubleSeconds(node.CpuTime() - before);
}

struct Flooded {
  std::vector<double> calm;       // calls a second
  std::vector<double> elsewhere;  // the same while the flood goes to a port that nobody serves
  std::vector<double> under;      // the same while it goes to the node
  std::vector<double> tried;      // the flood's connections a second
  std::vector<double> calm_busy;  // calls a second that the node's core was busy
  std::vector<double> under_busy;
  std::vector<double> calm_share;  // how busy the node's core was
  std::vector<double> under_share;
};

// Calls a second, and those that the core of the node was busy for; connections a second that a flood began meanwhile.
struct Turn {
  double calls = 0;
  double calls_busy = 0;
  double busy_share = 0;
  double tried = 0;
};
absl::StatusOr<Turn> MeasureTurn(Callers& callers, absl::Duration time, const Flood* flood) {
  RETURN_IF_ERROR(callers.Run(kWarmUp).status());
  Turn turn;
  const uint64_t tried = flood == nullptr ? 0 : flood->tried();
  ASSIGN_OR_RETURN(const absl::Duration busy_before, BusyTime(kNodeCore));
  const absl::Time begun = absl::Now();
  ASSIGN_OR_RETURN(turn.calls, callers.Run(time));
  const absl::Duration took = absl::Now() - begun;
  ASSIGN_OR_RETURN(const absl::Duration busy_after, BusyTime(kNodeCore));
  turn.busy_share = absl::FDivDuration(busy_after - busy_before, took);
  turn.calls_busy = turn.calls / turn.busy_share;
  if (flood != nullptr) turn.tried = static_cast<double>(flood->tried() - tried) / absl::ToDoubleSeconds(took);
  return turn;
}

absl::StatusOr<Flooded> MeasureCalls(const FloodOptions& options, const Node& node, bool many, double per_second,
                                     const std::string& what) {
  const absl::Duration time = absl::Seconds(static_cast<int64_t>(options.seconds));
  ASSIGN_OR_RETURN(const dht::Id key, Node::Key());
  ASSIGN_OR_RETURN(const auto callers, Callers::Connect(node.endpoint(), kSessions, key));
  ASSIGN_OR_RETURN(const auto deaf, DeafPort::Open());
  RETURN_IF_ERROR(callers->Run(kWarmUp).status());
  Flooded measured;
  for (size_t i = 0; i < options.repetitions; ++i) {
    const std::string turn_name = absl::StrCat(what, ", repetition ", i + 1);
    Say(absl::StrCat(turn_name, ": calm"));
    ASSIGN_OR_RETURN(const Turn calm, MeasureTurn(*callers, time, nullptr));
    measured.calm.push_back(calm.calls);
    measured.calm_busy.push_back(calm.calls_busy);
    measured.calm_share.push_back(calm.busy_share);
    {
      Say(absl::StrCat(turn_name, ": flooded elsewhere"));
      const Flood flood(deaf->endpoint(), many, per_second, kOtherCore);
      ASSIGN_OR_RETURN(const Turn turn, MeasureTurn(*callers, time, &flood));
      measured.elsewhere.push_back(turn.calls);
    }
    Say(absl::StrCat(turn_name, ": flooded"));
    const Flood flood(node.endpoint(), many, per_second, kOtherCore);
    ASSIGN_OR_RETURN(const Turn turn, MeasureTurn(*callers, time, &flood));
    measured.under.push_back(turn.calls);
    measured.under_busy.push_back(turn.calls_busy);
    measured.under_share.push_back(turn.busy_share);
    measured.tried.push_back(turn.tried);
  }
  return measured;
}

// How long newcomers take to get in, in ms; those that did not within kPatience count as that.
std::vector<double> MeasureNewcomers(const FloodOptions& options, const Node& node, int cookie_bits, size_t* failed) {
  std::vector<double> ms;
  for (size_t i = 0; i < options.newcomers; ++i) {
    const absl::Time begun = absl::Now();
    const bool in = Dialled::Dial(node.endpoint(), "127.0.0.2", cookie_bits, kPatience).ok();
    *failed += in ? 0 : 1;
    ms.push_back(absl::ToDoubleMilliseconds(in ? absl::Now() - begun : kPatience));
  }
  return ms;
}

absl::Status MeasureNewcomers(const FloodOptions& options, const Node& node, double per_second, Report& report) {
  Row stock{.what = "a newcomer's handshake during the flood, one that is not asked for work (stock libp2p), p50",
            .unit = "ms"};
  Row pays = stock;
  pays.what = "the same, one that does the work that is asked for, p50";
  size_t stock_failed = 0;
  size_t pays_failed = 0;
  const Flood flood(node.endpoint(), /*many=*/true, per_second, kOtherCore);
  poll(nullptr, 0, 2000);
  Say("newcomers");
  stock.ours = MeasureNewcomers(options, node, 0, &stock_failed);
  pays.ours = MeasureNewcomers(options, node, kCookieBits, &pays_failed);
  report.Add(std::move(stock));
  report.Add(std::move(pays));
  report.Note(absl::StrCat("Of ", options.newcomers, " newcomers of each kind, ", stock_failed, " and ", pays_failed,
                           " were not let in within ", absl::FormatDuration(kPatience),
                           "; each came while the node served no other session, from an address of its own."));
  return absl::OkStatus();
}

// The flood's connections, which have to be ten times what the core could handshake.
void AddTried(const Flooded& measured, const std::vector<double>& capacity, const std::string& which, Report& report) {
  report.Add({.what = absl::StrCat("the flood from ", which, ", connections begun"),
              .unit = "a second",
              .ours = measured.tried,
              .peer_name = "handshakes that this core could do",
              .peers = capacity,
              .at_least = 10});
}

void AddBusy(const Flooded& measured, const std::string& what, Report& report) {
  const auto percent = [](const std::vector<double>& shares) { return static_cast<int>(100 * Median(shares)); };
  report.Note(absl::StrCat("The node's core was busy for ", percent(measured.calm_share), " % of the time without, ",
                           percent(measured.under_share), " % during ", what, "."));
}

constexpr char kWithout[] = "the same without the flood";

std::string CallsOver() { return absl::StrCat("lookups answered over ", kSessions, " established sessions, one core"); }

absl::Status MeasureMany(const FloodOptions& options, const Node& node, double per_second,
                         const std::vector<double>& capacity, Report& report) {
  ASSIGN_OR_RETURN(const Flooded many, MeasureCalls(options, node, true, per_second, "many addresses"));
  report.Add({.what = absl::StrCat(CallsOver(), ", during a flood from 12 million addresses"),
              .unit = "lookups/s",
              .ours = many.under,
              .peer_name = kWithout,
              .peers = many.calm,
              .at_least = 0.8});
  report.Add({.what = "the same, for each second that the node's core was busy",
              .unit = "calls",
              .ours = many.under_busy,
              .peer_name = kWithout,
              .peers = many.calm_busy,
              .at_least = 0.8});
  report.Add({.what = "the calls while the flood from many goes to a port that nobody serves",
              .unit = "lookups/s",
              .ours = many.elsewhere,
              .peer_name = kWithout,
              .peers = many.calm});
  AddTried(many, capacity, "many", report);
  AddBusy(many, "the flood from many addresses", report);
  return absl::OkStatus();
}

absl::Status MeasureOne(const FloodOptions& options, const Node& node, double per_second,
                        const std::vector<double>& capacity, Report& report) {
  ASSIGN_OR_RETURN(const Flooded one, MeasureCalls(options, node, false, per_second, "one address"));
  report.Add({.what = absl::StrCat(CallsOver(), ", during a flood from one address"),
              .unit = "lookups/s",
              .ours = one.under,
              .peer_name = kWithout,
              .peers = one.calm,
              .at_least = 0.8});
  AddTried(one, capacity, "one", report);
  AddBusy(one, "the flood from one", report);
  return absl::OkStatus();
}

// Ends the node: its limits are no one's.
absl::Status MeasureUnlimited(const FloodOptions& options, std::unique_ptr<Node> open, double per_second,
                              Report& report) {
  ASSIGN_OR_RETURN(const Flooded unlimited, MeasureCalls(options, *open, true, per_second, "without limits"));
  report.Add({.what = absl::StrCat(CallsOver(), ", during a flood from many with every limit of newcomers lifted"),
              .unit = "lookups/s",
              .ours = unlimited.under,
              .peer_name = kWithout,
              .peers = unlimited.calm});
  AddBusy(unlimited, "the flood from many with every limit lifted", report);
  return absl::OkStatus();
}

}  // namespace

absl::Status MeasureFlood(const FloodOptions& options, Report& report) {
  const auto wanted = [&](const std::string& part) {
    return options.only.empty() || std::find(options.only.begin(), options.only.end(), part) != options.only.end();
  };
  PinTo(kOtherCore);
  ASSIGN_OR_RETURN(auto open, Node::Start(options.programs, kNoLimits));
  Say("what the core can handshake");
  std::vector<double> capacity;
  for (size_t i = 0; i < options.repetitions; ++i) {
    ASSIGN_OR_RETURN(capacity.emplace_back(), MeasureCapacity(*open));
  }
  const double per_second = kFloodFactor * Median(capacity);
  if (wanted("unlimited")) RETURN_IF_ERROR(MeasureUnlimited(options, std::move(open), per_second, report));
  open.reset();

  ASSIGN_OR_RETURN(const auto node, Node::Start(options.programs, {}));
  if (wanted("many")) RETURN_IF_ERROR(MeasureMany(options, *node, per_second, capacity, report));
  if (wanted("one")) RETURN_IF_ERROR(MeasureOne(options, *node, per_second, capacity, report));
  if (wanted("newcomers")) RETURN_IF_ERROR(MeasureNewcomers(options, *node, per_second, report));
  report.Note(
      "The node is a resolver on core 0 that is asked for a record which it holds; whoever asks and the flood share "
      "core 1, the flood at the lowest priority, and what is counted begins two seconds into it, when newcomers have "
      "spent what they had saved up. Each connection of the flood is made, says all that a dialler says first, and "
      "never reads; of those from many addresses every second one offers work and does none. What the core could do is "
      "whole handshakes with connection and all, for a second of its time, with every limit lifted. What is missing to "
      "100 % of the node's core is the callers' doing, whose core the flood's connections are made on, by the kernel, "
      "at no low priority.");
  return absl::OkStatus();
}

}  // namespace dotagent::bench
