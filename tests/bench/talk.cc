#include "tests/bench/talk.h"

#include <functional>
#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/base/status.h"
#include "common/record/message.h"
#include "tests/bench/bare_grpc.h"
#include "tests/bench/nats_server.h"
#include "tests/bench/two_agents.h"

namespace dotagent::bench {
namespace {

constexpr size_t kSmall = 128;
constexpr size_t kLarge = 16 * 1024;
constexpr double kLargeGoal = 12'000;  // messages a second
constexpr double kChannelP99Ms = 1;
constexpr double kSignatureFactor = 1.5;
constexpr absl::Duration kPatience = absl::Seconds(30);

void Say(const std::string& what) { std::cerr << what << std::endl; }

// How long each of `count` calls of `act` takes, in µs.
absl::StatusOr<std::vector<double>> TimeEach(size_t count, const std::function<absl::Status()>& act) {
  std::vector<double> us;
  us.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    const absl::Time begun = absl::Now();
    RETURN_IF_ERROR(act());
    us.push_back(absl::ToDoubleMicroseconds(absl::Now() - begun));
  }
  return us;
}

absl::Status ReadBytes(sdk::Channel& channel, size_t count) {
  while (count > 0) {
    ASSIGN_OR_RETURN(const std::string read, channel.Read(count));
    if (read.empty()) return absl::UnavailableError("the channel has ended");
    count -= read.size();
  }
  return absl::OkStatus();
}

absl::Status Close(sdk::Channel& channel) {
  RETURN_IF_ERROR(channel.CloseWrite());
  return channel.Finish(kPatience);
}

// Messages a second that come back over an echoing channel; each is written and read by itself, at both ends.
absl::StatusOr<double> EchoRate(sdk::Channel& channel, size_t messages) {
  const std::string message(kSmall, 'x');
  const absl::Time begun = absl::Now();
  absl::Status written;
  std::thread writer([&] {
    for (size_t i = 0; i < messages && written.ok(); ++i) written = channel.Write(message);
  });
  absl::Status read;
  for (size_t i = 0; i < messages && read.ok(); ++i) read = ReadBytes(channel, kSmall);
  const absl::Duration took = absl::Now() - begun;
  if (!read.ok()) channel.Cancel();
  writer.join();
  RETURN_IF_ERROR(read);
  RETURN_IF_ERROR(written);
  return static_cast<double>(messages) / absl::ToDoubleSeconds(took);
}

// Messages a second one way; over when the other end has read them all and closed.
absl::StatusOr<double> OneWayRate(TwoAgents& agents, size_t messages) {
  ASSIGN_OR_RETURN(const auto channel, agents.OpenSink());
  const std::string message(kLarge, 'x');
  const absl::Time begun = absl::Now();
  for (size_t i = 0; i < messages; ++i) RETURN_IF_ERROR(channel->Write(message));
  RETURN_IF_ERROR(channel->CloseWrite());
  ASSIGN_OR_RETURN(const std::string end, channel->Read(1));
  const absl::Duration took = absl::Now() - begun;
  if (!end.empty()) return absl::InternalError("the other end was to read only");
  RETURN_IF_ERROR(channel->Finish(kPatience));
  return static_cast<double>(messages) / absl::ToDoubleSeconds(took);
}

// nats-server, who asks and who answers.
class NatsPeer {
 public:
  static absl::StatusOr<std::unique_ptr<NatsPeer>> Start() {
    auto peer = std::make_unique<NatsPeer>();
    ASSIGN_OR_RETURN(peer->server_, NatsServer::Start());
    ASSIGN_OR_RETURN(peer->asks_, NatsConnection::Dial(peer->server_->port()));
    ASSIGN_OR_RETURN(peer->answers_, NatsConnection::Dial(peer->server_->port()));
    ASSIGN_OR_RETURN(peer->reads_, NatsConnection::Dial(peer->server_->port()));
    RETURN_IF_ERROR(peer->asks_->Subscribe("inbox.alice"));
    RETURN_IF_ERROR(peer->answers_->Subscribe("ask.bob"));
    RETURN_IF_ERROR(peer->reads_->Subscribe("large"));
    peer->bob_ = std::thread([connection = peer->answers_.get()] {
      const std::string answer(kSmall, 'x');
      std::string reply_to;
      while (connection->Next(&reply_to).ok() && connection->Publish(reply_to, answer).ok()) {
      }
    });
    return peer;
  }
  ~NatsPeer() {
    if (answers_) answers_->Close();
    if (bob_.joinable()) bob_.join();
  }

  absl::Status Ask() {
    RETURN_IF_ERROR(asks_->Publish("ask.bob", small_, "inbox.alice"));
    return asks_->Next().status();
  }
  absl::StatusOr<double> OneWayRate(size_t messages) {
    const std::string message(kLarge, 'x');
    const absl::Time begun = absl::Now();
    absl::Status written;
    std::thread writer([&] {
      for (size_t i = 0; i < messages && written.ok(); ++i) written = asks_->Publish("large", message);
    });
    absl::Status read;
    for (size_t i = 0; i < messages && read.ok(); ++i) read = reads_->Next().status();
    const absl::Duration took = absl::Now() - begun;
    writer.join();
    RETURN_IF_ERROR(read);
    RETURN_IF_ERROR(written);
    return static_cast<double>(messages) / absl::ToDoubleSeconds(took);
  }

 private:
  const std::string small_ = std::string(kSmall, 'x');
  std::unique_ptr<NatsServer> server_;
  std::unique_ptr<NatsConnection> asks_;
  std::unique_ptr<NatsConnection> answers_;
  std::unique_ptr<NatsConnection> reads_;
  std::thread bob_;
};

struct Rows {
  Row request{.what = "request and reply, 128 B, signed, one gateway, p50",
              .unit = "µs",
              .peer_name = "2 round trips of a bare gRPC stream + 1.5 × its signature operations",
              .at_most = 1};
  Row request_relay{.what = "the same, p50",
                    .unit = "µs",
                    .peer_name = "the same signed messages over bare gRPC streams, three processes"};
  Row request_nats{.what = "the same, p50", .unit = "µs", .peer_name = "nats-server, not signed"};
  Row request_nats_p99{.what = "the same, p99", .unit = "µs", .peer_name = "nats-server, not signed"};
  Row channel{.what = "the same in an end-to-end channel, p50", .unit = "µs", .peer_name = "bare gRPC stream"};
  Row channel_p99{.what = "the same, p99", .unit = "ms", .at_most = kChannelP99Ms};
  Row channel_rate{.what = "the same, not waiting for each, messages",
                   .unit = "a second",
                   .peer_name = "bare gRPC stream",
                   .at_least = 0.35};
  Row large{
      .what = "one way, 16 KiB, end to end through two gateways, messages", .unit = "a second", .at_least = kLargeGoal};
  Row large_nats{.what = "the same", .unit = "a second", .peer_name = "nats-server, one, nothing encrypted"};

  void AddTo(Report& report) {
    for (Row* row : {&request, &request_relay, &request_nats, &request_nats_p99, &channel, &channel_p99, &channel_rate,
                     &large, &large_nats}) {
      if (!row->ours.empty()) report.Add(std::move(*row));
    }
  }
};

absl::Status Repeat(const TalkOptions& options, TwoAgents& near, TwoAgents& far, const BareGrpc& bare,
                    const BareRelay& relay, NatsPeer* nats, Rows& rows) {
  const record::Json content = {{"text", std::string(kSmall, 'x')}};
  ASSIGN_OR_RETURN(const auto asked, TimeEach(options.singles, [&] { return near.Ask(content); }));
  ASSIGN_OR_RETURN(const StreamCost stream, MeasureBareStream(bare, kSmall, options.singles, options.messages));
  ASSIGN_OR_RETURN(const double signatures, near.SignatureCost(content));
  rows.request.ours.push_back(Median(asked));
  rows.request.peers.push_back(2 * Median(stream.round_trip_us) + kSignatureFactor * signatures);
  ASSIGN_OR_RETURN(const auto relayed, MeasureBareRelay(relay, content, options.singles));
  rows.request_relay.ours.push_back(Median(asked));
  rows.request_relay.peers.push_back(Median(relayed));

  ASSIGN_OR_RETURN(const auto channel, near.OpenEcho(kSmall));
  const std::string message(kSmall, 'x');
  ASSIGN_OR_RETURN(const auto echoed, TimeEach(options.singles, [&]() -> absl::Status {
                     RETURN_IF_ERROR(channel->Write(message));
                     return ReadBytes(*channel, kSmall);
                   }));
  ASSIGN_OR_RETURN(rows.channel_rate.ours.emplace_back(), EchoRate(*channel, options.messages));
  RETURN_IF_ERROR(Close(*channel));
  rows.channel.ours.push_back(Median(echoed));
  rows.channel.peers.push_back(Median(stream.round_trip_us));
  rows.channel_p99.ours.push_back(Quantile(echoed, 0.99) / 1000);
  rows.channel_rate.peers.push_back(stream.messages_per_second);

  ASSIGN_OR_RETURN(rows.large.ours.emplace_back(), OneWayRate(far, options.large));
  if (nats == nullptr) return absl::OkStatus();
  ASSIGN_OR_RETURN(const auto beside, TimeEach(options.singles, [&] { return nats->Ask(); }));
  rows.request_nats.ours.push_back(Median(asked));
  rows.request_nats.peers.push_back(Median(beside));
  rows.request_nats_p99.ours.push_back(Quantile(asked, 0.99));
  rows.request_nats_p99.peers.push_back(Quantile(beside, 0.99));
  rows.large_nats.ours.push_back(rows.large.ours.back());
  ASSIGN_OR_RETURN(rows.large_nats.peers.emplace_back(), nats->OneWayRate(options.large));
  return absl::OkStatus();
}

}  // namespace

absl::Status MeasureTalk(const TalkOptions& options, Report& report) {
  ASSIGN_OR_RETURN(const auto near, TwoAgents::Start(options.programs, /*two_gateways=*/false));
  ASSIGN_OR_RETURN(const auto far, TwoAgents::Start(options.programs, /*two_gateways=*/true));
  ASSIGN_OR_RETURN(const BareGrpc bare, BareGrpc::Start(options.programs));
  ASSIGN_OR_RETURN(const BareRelay relay, BareRelay::Start(options.programs));
  auto nats = NatsPeer::Start();
  if (!nats.ok() && !absl::IsNotFound(nats.status())) return nats.status();
  Rows warm_up;
  Rows rows;
  for (size_t i = 0; i <= options.repetitions; ++i) {
    Say(i == 0 ? "warm-up" : absl::StrCat("repetition ", i));
    RETURN_IF_ERROR(
        Repeat(options, *near, *far, bare, relay, nats.ok() ? nats->get() : nullptr, i == 0 ? warm_up : rows));
  }
  rows.AddTo(report);
  if (!nats.ok()) report.Note(std::string(nats.status().message()));
  report.Note(
      "Both agents are of the C++ SDK, one in a process with the clock; the other, each gateway, the resolver, "
      "nats-server and the bare gRPC server (mutual TLS, sends every message back) are processes of their own, and all "
      "share the machine's cores. A request is signed by who asks and its answer by who gives it; each is verified at "
      "the gateway and by who gets it: two signatures made and four checked, of the same bytes as here. In a channel "
      "the agents' own session carries the bytes; messages that follow each other closely share its frames. Each is "
      "written and read by itself at both ends, as those of a bare stream are.");
  return absl::OkStatus();
}

}  // namespace dotagent::bench
