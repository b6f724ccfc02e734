#include "tests/bench/resolve.h"

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/status.h"
#include "common/identity/certificate.h"
#include "tests/bench/bare_grpc.h"
#include "tests/bench/drive.h"
#include "tests/bench/first_contact.h"
#include "tests/bench/process.h"
#include "tests/bench/puzzle_cost.h"
#include "tests/bench/records.h"
#include "tests/bench/resolver_client.h"
#include "tests/bench/temporary_folder.h"

namespace dotagent::bench {
namespace {

constexpr size_t kHotInFlight = 64;
constexpr size_t kLookupsInFlight = 16;
constexpr size_t kPublishInFlight = 64;
constexpr absl::Duration kPatience = absl::Minutes(10);
constexpr char kOpenDht[] = "OpenDHT";

void Say(const std::string& what) { std::cerr << what << std::endl; }

std::string HostOf(bool own_network, size_t node) {
  return own_network ? absl::StrCat("10.", node + 1, ".0.1") : "127.0.0.1";
}

absl::Status AllOk(const Timing& timing, const std::string& what) {
  if (timing.failed == 0) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat(timing.failed, " of ", timing.failed + timing.us.size(), " ", what, " failed"));
}

double RateOf(const Timing& timing) { return static_cast<double>(timing.us.size()) / timing.seconds; }
double Milliseconds(const std::vector<double>& us, double quantile) { return Quantile(us, quantile) / 1000; }

// One resolver and one bare server, both processes of their own, both asked by us over one connection each.
absl::Status MeasureHotAndContact(const ResolveOptions& options, bool hot, bool contact, Report& report) {
  const TemporaryFolder folder;
  ASSIGN_OR_RETURN(const RunningService resolver,
                   StartResolver(options.programs, folder.Path("resolver"), "127.0.0.1", ""));
  ASSIGN_OR_RETURN(const BareGrpc echo, BareGrpc::Start(options.programs));
  ASSIGN_OR_RETURN(const identity::NodeCertificate certificate, MakeClientCertificate());
  ASSIGN_OR_RETURN(const auto ours, ResolverClient::Connect(resolver.grpc, certificate));
  ASSIGN_OR_RETURN(const auto bare, ResolverClient::Connect(echo.address, certificate));
  // Signed an hour ago: a resolver keeps answers to a name that changes seldom for long.
  const std::string record = Records(options.value_bytes).Make(0, absl::Now() - absl::Hours(1));
  const std::string name = Records::Name(0);
  RETURN_IF_ERROR(ours->Publish(record));
  RETURN_IF_ERROR(bare->Publish(record));

  const auto drive = [&](ResolverClient& client, size_t count, size_t in_flight) {
    return Drive(0, count, in_flight, [&](size_t, std::function<void(bool)> done) {
      client.Resolve(name, /*bypass_cache=*/false, record.size(), std::move(done));
    });
  };
  Row rate{.what = absl::StrCat("hot name over gRPC, ", kHotInFlight, " in flight"),
           .unit = "queries/s",
           .peer_name = "bare gRPC, same bytes",
           .at_least = 0.85};
  Row serial{.what = "hot name over gRPC, one at a time, p50", .unit = "ms", .peer_name = "bare gRPC, same bytes"};
  for (size_t i = 0; hot && i <= options.repetitions; ++i) {
    const size_t count = options.queries / options.repetitions;
    Say(absl::StrCat("hot name, ", i == 0 ? "warm-up" : absl::StrCat("repetition ", i)));
    const Timing a = drive(*ours, count, kHotInFlight);
    const Timing b = drive(*bare, count, kHotInFlight);
    const Timing c = drive(*ours, count / 20, 1);
    const Timing d = drive(*bare, count / 20, 1);
    for (const Timing* timing : {&a, &b, &c, &d}) RETURN_IF_ERROR(AllOk(*timing, "queries"));
    if (i == 0) continue;
    rate.ours.push_back(RateOf(a));
    rate.peers.push_back(RateOf(b));
    serial.ours.push_back(Milliseconds(c.us, 0.5));
    serial.peers.push_back(Milliseconds(d.us, 0.5));
  }
  if (hot) {
    report.Add(rate);
    report.Add(serial);
  }
  if (!contact) return absl::OkStatus();

  ASSIGN_OR_RETURN(const auto first_contact, FirstContact::Create(resolver.p2p));
  Row median{.what = "first contact: dial, handshake, one FindNode, p50",
             .unit = "ms",
             .peer_name = "new gRPC connection, mutual TLS, one call",
             .at_most = 0.25};
  Row tail{.what = "first contact, p99", .unit = "ms", .peer_name = "new gRPC connection, mutual TLS, one call"};
  for (size_t i = 0; i <= options.repetitions; ++i) {
    const size_t count = std::max<size_t>(options.contacts / options.repetitions, 1);
    Say(absl::StrCat("first contact, ", i == 0 ? "warm-up" : absl::StrCat("repetition ", i)));
    ASSIGN_OR_RETURN(const std::vector<double> a, first_contact->Measure(count));
    ASSIGN_OR_RETURN(const std::vector<double> b, MeasureGrpcContacts(echo.address, certificate, name, count));
    if (i == 0) continue;
    median.ours.push_back(Milliseconds(a, 0.5));
    median.peers.push_back(Milliseconds(b, 0.5));
    tail.ours.push_back(Milliseconds(a, 0.99));
    tail.peers.push_back(Milliseconds(b, 0.99));
  }
  report.Add(median);
  report.Add(tail);
  return absl::OkStatus();
}

// A network as a process of its own (drive.h).
class Subject {
 public:
  static absl::StatusOr<Subject> Start(const std::vector<std::string>& command) {
    Subject subject;
    ASSIGN_OR_RETURN(subject.process_, Process::Start(command));
    RETURN_IF_ERROR(subject.process_->ReadLine(absl::Minutes(2)).status());
    return subject;
  }

  absl::StatusOr<Timing> Run(const std::string& verb, size_t first, size_t count, size_t in_flight) {
    ASSIGN_OR_RETURN(const std::string answer,
                     process_->Ask(absl::StrCat(verb, " ", first, " ", count, " ", in_flight), kPatience));
    const auto json = nlohmann::json::parse(answer, nullptr, false);
    if (json.is_discarded()) return absl::InternalError(absl::StrCat("not JSON: ", answer.substr(0, 100)));
    return Timing{.seconds = json.at("seconds"),
                  .cpu_seconds = json.at("cpu_seconds"),
                  .failed = json.at("failed"),
                  .us = json.at("us")};
  }

 private:
  std::unique_ptr<Process> process_;
};

// Why OpenDHT is not measured; empty if it is.
std::string WhyNoOpenDht(const ResolveOptions& options, bool own_network) {
  if (!std::filesystem::exists(absl::StrCat(options.programs, "/bench-peer-opendht"))) {
    return "OpenDHT was not measured: its library (libopendht-dev) was not there when this was built.";
  }
  if (own_network) return "";
  return "OpenDHT was not measured: it needs a network namespace, and this machine does not let us make one.";
}

absl::StatusOr<std::optional<Subject>> StartOpenDht(const ResolveOptions& options, bool own_network) {
  if (!WhyNoOpenDht(options, own_network).empty()) return std::optional<Subject>();
  Say(absl::StrCat("starting ", options.nodes, " nodes of OpenDHT"));
  ASSIGN_OR_RETURN(Subject subject, Subject::Start({absl::StrCat(options.programs, "/bench-peer-opendht"),
                                                    absl::StrCat(options.nodes), absl::StrCat(options.value_bytes)}));
  return std::optional<Subject>(std::move(subject));
}

// What is asked of a network, in this order; of each repetition's share of the names, a part alone and the rest
// together.
struct Figures {
  Timing put_serial;
  Timing put_together;
  Timing get_serial;
  Timing get_together;
};

absl::StatusOr<Figures> PublishShare(Subject& subject, size_t first, size_t share) {
  Figures figures;
  const size_t serial = share / 5;
  ASSIGN_OR_RETURN(figures.put_serial, subject.Run("publish", first, serial, 1));
  ASSIGN_OR_RETURN(figures.put_together, subject.Run("publish", first + serial, share - serial, kLookupsInFlight));
  return figures;
}

absl::Status LookUpShare(Subject& subject, size_t first, size_t share, Figures& figures) {
  const size_t serial = share * 2 / 5;
  ASSIGN_OR_RETURN(figures.get_serial, subject.Run("lookup", first, serial, 1));
  ASSIGN_OR_RETURN(figures.get_together, subject.Run("lookup", first + serial, share - serial, kLookupsInFlight));
  return absl::OkStatus();
}

double CpuMicroseconds(const Timing& timing) {
  return timing.cpu_seconds * 1e6 / static_cast<double>(timing.us.size() + timing.failed);
}

void AddLookupRows(const ResolveOptions& options, const std::vector<Figures>& ours, const std::vector<Figures>& peers,
                   Report& report) {
  struct Kind {
    std::string what;
    std::string unit;
    std::function<double(const Figures&)> figure;
    std::optional<double> at_most;
    std::optional<double> at_least;
  };
  const std::string network = absl::StrCat(options.nodes, " nodes");
  const std::vector<Kind> kinds = {
      {absl::StrCat("cold lookup in ", network, ", one at a time, p50"),
       "ms",
       [](const Figures& f) { return Milliseconds(f.get_serial.us, 0.5); },
       0.5,
       {}},
      {"the same, p99", "ms", [](const Figures& f) { return Milliseconds(f.get_serial.us, 0.99); }, 0.5, {}},
      {absl::StrCat("the same, ", kLookupsInFlight, " in flight"),
       "lookups/s",
       [](const Figures& f) { return RateOf(f.get_together); },
       {},
       2.0},
      {"processor time a lookup, all nodes together",
       "µs",
       [](const Figures& f) { return CpuMicroseconds(f.get_together); },
       {},
       {}},
      {"lookups that failed, of all",
       "share",
       [](const Figures& f) {
         const auto failed = static_cast<double>(f.get_serial.failed + f.get_together.failed);
         return failed / (failed + static_cast<double>(f.get_serial.us.size() + f.get_together.us.size()));
       },
       {},
       {}},
      {absl::StrCat("publishing in ", network, ", one at a time, p50"),
       "ms",
       [](const Figures& f) { return Milliseconds(f.put_serial.us, 0.5); },
       {},
       {}},
      {"the same, p99", "ms", [](const Figures& f) { return Milliseconds(f.put_serial.us, 0.99); }, {}, {}},
      {absl::StrCat("the same, ", kLookupsInFlight, " in flight"),
       "names/s",
       [](const Figures& f) { return RateOf(f.put_together); },
       {},
       {}},
  };
  for (const Kind& kind : kinds) {
    Row row{.what = kind.what, .unit = kind.unit, .at_most = kind.at_most, .at_least = kind.at_least};
    row.peer_name = kOpenDht;
    for (const Figures& figures : ours) row.ours.push_back(kind.figure(figures));
    for (const Figures& figures : peers) row.peers.push_back(kind.figure(figures));
    report.Add(row);
  }
}

// Both networks are processes with a thread or more a node; they take turns.
absl::Status MeasureLookup(const ResolveOptions& options, bool own_network, Report& report) {
  const TemporaryFolder folder;
  const std::string size = absl::StrCat(options.value_bytes);
  const std::string count = absl::StrCat(options.nodes);
  Say(absl::StrCat("starting ", count, " nodes"));
  ASSIGN_OR_RETURN(Subject nodes, Subject::Start({absl::StrCat(options.programs, "/bench-dotagent-nodes"), count, size,
                                                  folder.Path("nodes"), own_network ? "10.*.0.1" : "127.0.0.1"}));
  ASSIGN_OR_RETURN(std::optional<Subject> opendht, StartOpenDht(options, own_network));

  const size_t share = std::max<size_t>(options.names / options.repetitions, 10);
  std::vector<Figures> ours;
  std::vector<Figures> peers;
  // The share before the first is the warm-up.
  for (size_t i = 0; i <= options.repetitions; ++i) {
    Say(absl::StrCat("publishing, ", i == 0 ? "warm-up" : absl::StrCat("repetition ", i)));
    ASSIGN_OR_RETURN(ours.emplace_back(), PublishShare(nodes, i * share, share));
    if (!opendht.has_value()) continue;
    ASSIGN_OR_RETURN(peers.emplace_back(), PublishShare(*opendht, i * share, share));
  }
  for (size_t i = 0; i <= options.repetitions; ++i) {
    Say(absl::StrCat("looking up, ", i == 0 ? "warm-up" : absl::StrCat("repetition ", i)));
    RETURN_IF_ERROR(LookUpShare(nodes, i * share, share, ours[i]));
    if (opendht.has_value()) RETURN_IF_ERROR(LookUpShare(*opendht, i * share, share, peers[i]));
  }
  ours.erase(ours.begin());
  if (!peers.empty()) peers.erase(peers.begin());
  AddLookupRows(options, ours, peers, report);
  return absl::OkStatus();
}

// Names published through one of `nodes` resolvers, as a deployment runs them, and asked for at another at once.
absl::Status MeasurePublish(const ResolveOptions& options, bool own_network, Report& report) {
  const TemporaryFolder folder;
  ASSIGN_OR_RETURN(const identity::NodeCertificate certificate, MakeClientCertificate());
  std::vector<RunningService> resolvers;
  std::vector<std::unique_ptr<ResolverClient>> clients;
  Say(absl::StrCat("starting ", options.nodes, " resolvers"));
  for (size_t i = 0; i < options.nodes; ++i) {
    ASSIGN_OR_RETURN(resolvers.emplace_back(),
                     StartResolver(options.programs, folder.Path(absl::StrCat("resolver-", i)), HostOf(own_network, i),
                                   i == 0 ? "" : resolvers[0].p2p));
    ASSIGN_OR_RETURN(clients.emplace_back(), ResolverClient::Connect(resolvers[i].grpc, certificate));
  }
  for (const auto& client : clients) {
    const absl::Time deadline = absl::Now() + absl::Minutes(1);
    for (uint32_t known = 0; known + 1 < options.nodes;) {
      ASSIGN_OR_RETURN(known, client->KnownNodes());
      if (absl::Now() > deadline) return absl::DeadlineExceededError("the resolvers did not find each other");
    }
  }

  Row publishing{.what = absl::StrCat("publishing ", options.names, " names through one resolver of ", options.nodes,
                                      ", gRPC, ", kPublishInFlight, " in flight"),
                 .unit = "names/s",
                 .peer_name = "OpenDHT, no gRPC"};
  Row found{.what = "of those, found at once at another, past its cache", .unit = "share", .at_least = 1};
  Row finding{.what = absl::StrCat("finding them there, gRPC, ", kPublishInFlight, " in flight"),
              .unit = "names/s",
              .peer_name = "OpenDHT, no gRPC"};
  const Records records(options.value_bytes);
  std::vector<std::string> values;
  for (size_t i = 0; i < options.names; ++i) values.push_back(records.Make(i, absl::Now()));
  ResolverClient& publisher = *clients[0];
  ResolverClient& reader = *clients[options.nodes / 2];
  Say("publishing through one resolver");
  const Timing published = Drive(0, options.names, kPublishInFlight, [&](size_t i, std::function<void(bool)> done) {
    publisher.Publish(values[i], std::move(done));
  });
  RETURN_IF_ERROR(AllOk(published, "publications"));
  Say("finding the names at another");
  const Timing asked = Drive(0, options.names, kPublishInFlight, [&](size_t i, std::function<void(bool)> done) {
    reader.Resolve(Records::Name(i), /*bypass_cache=*/true, values[i].size(), std::move(done));
  });
  publishing.ours.push_back(RateOf(published));
  found.ours.push_back(static_cast<double>(asked.us.size()) / static_cast<double>(options.names));
  finding.ours.push_back(RateOf(asked));
  ASSIGN_OR_RETURN(std::optional<Subject> opendht, StartOpenDht(options, own_network));
  if (opendht.has_value()) {
    Say("the same with OpenDHT");
    ASSIGN_OR_RETURN(const Timing put, opendht->Run("publish", 0, options.names, kPublishInFlight));
    ASSIGN_OR_RETURN(const Timing got, opendht->Run("lookup", 0, options.names, kPublishInFlight));
    publishing.peers.push_back(RateOf(put));
    finding.peers.push_back(RateOf(got));
  }
  report.Add(publishing);
  report.Add(found);
  report.Add(finding);
  return absl::OkStatus();
}

}  // namespace

absl::Status MeasureResolve(const ResolveOptions& options, bool own_network, Report& report) {
  const auto wanted = [&](const std::string& part) {
    return options.only.empty() || std::find(options.only.begin(), options.only.end(), part) != options.only.end();
  };
  if (wanted("hot") || wanted("contact")) {
    RETURN_IF_ERROR(MeasureHotAndContact(options, wanted("hot"), wanted("contact"), report));
  }
  if (wanted("lookup")) RETURN_IF_ERROR(MeasureLookup(options, own_network, report));
  if (wanted("publish")) RETURN_IF_ERROR(MeasurePublish(options, own_network, report));
  if (wanted("puzzle")) RETURN_IF_ERROR(MeasurePuzzles(options.repetitions, report));
  const std::string why = WhyNoOpenDht(options, own_network);
  if (!why.empty() && (wanted("lookup") || wanted("publish"))) report.Note(why);
  return absl::OkStatus();
}

}  // namespace dotagent::bench
