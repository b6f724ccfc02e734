#include "tests/bench/messages.h"

#include <grpcpp/client_context.h>

#include <algorithm>
#include <asio/ip/tcp.hpp>
#include <chrono>
#include <cmath>
#include <iostream>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/base/bytes.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/record/message.h"
#include "common/record/record.h"
#include "common/rpc/status.h"
#include "common/storage/store.h"
#include "tests/bench/drive.h"
#include "tests/bench/gateway_link.h"
#include "tests/bench/resolver_client.h"
#include "tests/bench/send_stream.h"
#include "tests/bench/service_process.h"
#include "tests/bench/temporary_folder.h"

namespace dotagent::bench {
namespace {

namespace v1 = ::dotagent::gateway::v1;

constexpr size_t kSenders = 64;
constexpr size_t kTextSize = 256;
constexpr size_t kMessages = 20'000;  // a repetition
constexpr size_t kSingles = 1'000;
constexpr size_t kAlone = 5'000;  // verified, and committed, without a gateway
constexpr size_t kConnections = 4;
constexpr char kCommits[] = "dotagent_gateway_inbox_commits_total";
constexpr auto kPatience = std::chrono::seconds(30);

void Say(const std::string& what) { std::cerr << what << std::endl; }

// The sum of a counter over its labels, as the service at `address` (host:port) shows it.
absl::StatusOr<double> ReadCounter(const std::string& address, const std::string& name) {
  const std::pair<std::string, std::string> parts = absl::StrSplit(address, absl::MaxSplits(':', 1));
  asio::ip::tcp::iostream stream(parts.first, parts.second);
  stream << "GET /metrics HTTP/1.0\r\n\r\n" << std::flush;
  double sum = 0;
  bool found = false;
  for (std::string line; std::getline(stream, line);) {
    if (!absl::StartsWith(line, name)) continue;
    const std::vector<std::string> words = absl::StrSplit(line, ' ');
    double value = 0;
    if (absl::SimpleAtod(words.back(), &value)) found = true;
    sum += value;
  }
  if (!found) return absl::UnavailableError(absl::StrCat(address, " shows no ", name));
  return sum;
}

// A client's unary call, which lives until its answer.
template <typename Request, typename Response>
struct Call {
  explicit Call(const std::string& token) {
    context.set_deadline(std::chrono::system_clock::now() + kPatience);
    if (!token.empty()) context.AddMetadata("authorization", absl::StrCat("Bearer ", token));
  }
  grpc::ClientContext context;
  Request request;
  Response response;
};

struct Sender {
  std::string name;
  crypto::SigningKey key;
  GatewayLink* link = nullptr;
  std::string token = {};
  std::unique_ptr<SendStream> stream = {};
};

// What the gateway showed while it was measured.
struct Sent {
  Timing timing;
  double messages_a_commit = 0;
};

class Bench {
 public:
  [[nodiscard]] absl::Status Start(const std::string& programs) {
    ASSIGN_OR_RETURN(resolver_, StartResolver(programs, folder_.Path("resolver"), "127.0.0.1", ""));
    ASSIGN_OR_RETURN(gateway_, StartService(programs, "gateway", folder_.Path("gateway"), "127.0.0.1",
                                            {"--resolver", resolver_.grpc, "--max-inbox-messages", "10000000"}));
    for (size_t i = 0; i < kConnections; ++i) {
      ASSIGN_OR_RETURN(links_.emplace_back(), GatewayLink::Connect(gateway_.grpc));
    }
    Call<v1::GetInfoRequest, v1::GetInfoResponse> info("");
    RETURN_IF_ERROR(rpc::FromGrpc(links_[0]->stub().GetInfo(&info.context, info.request, &info.response)));
    for (size_t i = 0; i < kSenders; ++i) {
      senders_.push_back({.name = absl::StrCat("sender-", i, ".bench.agent"),
                          .key = crypto::SigningKey::Generate(random_),
                          .link = links_[i % kConnections].get()});
    }
    RETURN_IF_ERROR(ForAll("authenticated", [this](size_t i, std::function<void(bool)> done) {
      senders_[i].link->Authenticate(senders_[i].key, [this, i, done](absl::StatusOr<std::string> token) {
        if (token.ok()) senders_[i].token = *std::move(token);
        done(token.ok());
      });
    }));
    RETURN_IF_ERROR(ForAll("registered", [&](size_t i, std::function<void(bool)> done) {
      const auto call = std::make_shared<Call<v1::RegisterRequest, v1::RegisterResponse>>(senders_[i].token);
      const auto record =
          record::Record::Sign({.name = senders_[i].name,
                                .addresses = {info.response.addresses().begin(), info.response.addresses().end()},
                                .protocols = {},
                                .timestamp = absl::Now()},
                               senders_[i].key);
      if (!record.ok()) return done(false);
      call->request.set_record_json(record->json());
      senders_[i].link->stub().async()->Register(&call->context, &call->request, &call->response,
                                                 [call, done](const grpc::Status& status) { done(status.ok()); });
    }));
    for (Sender& sender : senders_) {
      sender.stream = std::make_unique<SendStream>(sender.link->stub(), sender.token);
    }
    return absl::OkStatus();
  }

  // Each of the senders writes to the next one: signed before the clock runs, which is the senders' work.
  void Sign(size_t count) {
    signed_.clear();
    for (size_t i = 0; i < count; ++i) {
      record::MessageFields fields{.id = absl::StrCat("m", next_id_++),
                                   .sender = senders_[i % kSenders].name,
                                   .recipient = senders_[(i + 1) % kSenders].name,
                                   .timestamp = absl::Now()};
      fields.content["text"] = std::string(kTextSize, 'x');
      signed_.push_back(record::Message::Sign(fields, senders_[i % kSenders].key)->json());
    }
  }

  [[nodiscard]] absl::StatusOr<Sent> Send(size_t in_flight) {
    ASSIGN_OR_RETURN(const double before, ReadCounter(gateway_.http, kCommits));
    Sent sent{.timing = Drive(0, signed_.size(), in_flight, [this](size_t i, std::function<void(bool)> done) {
                senders_[i % kSenders].stream->Send(signed_[i], std::move(done));
              })};
    if (sent.timing.failed > 0) return absl::UnavailableError(absl::StrCat(sent.timing.failed, " messages failed"));
    ASSIGN_OR_RETURN(const double after, ReadCounter(gateway_.http, kCommits));
    sent.messages_a_commit = static_cast<double>(signed_.size()) / std::max(after - before, 1.0);
    return sent;
  }

  // What a gateway checks of a message, alone: seconds each.
  [[nodiscard]] absl::StatusOr<double> VerificationAlone() const {
    const size_t count = std::min(kAlone, signed_.size());
    const absl::Time from = absl::Now();
    for (size_t i = 0; i < count; ++i) {
      ASSIGN_OR_RETURN(const auto message,
                       record::Message::Verify(signed_[i], senders_[i % kSenders].key.public_key(), absl::Now()));
      RETURN_IF_ERROR(message.CheckAttachment(""));
    }
    return absl::ToDoubleSeconds(absl::Now() - from) / static_cast<double>(count);
  }

  // What an inbox writes of them, alone, so many in each synced batch: seconds each.
  [[nodiscard]] absl::StatusOr<double> CommitsAlone(size_t together) {
    const std::string path = folder_.Path(absl::StrCat("alone-", next_folder_++));
    ASSIGN_OR_RETURN(const auto store, storage::OpenRocksDb({.path = path}));
    const size_t count = std::min(kAlone, signed_.size());
    const absl::Time from = absl::Now();
    for (size_t first = 0; first < count; first += together) {
      storage::Batch batch;
      for (size_t i = first; i < std::min(first + together, count); ++i) AddRows(i, batch);
      RETURN_IF_ERROR(store->Write(batch, storage::Durability::kSync));
    }
    return absl::ToDoubleSeconds(absl::Now() - from) / static_cast<double>(count);
  }

 private:
  [[nodiscard]] absl::Status ForAll(const std::string& what,
                                    const std::function<void(size_t, std::function<void(bool)>)>& start) {
    const Timing timing = Drive(0, kSenders, kSenders, start);
    if (timing.failed == 0) return absl::OkStatus();
    return absl::UnavailableError(absl::StrCat(timing.failed, " agents were not ", what));
  }

  // As services/gateway/inbox_store.h has them.
  void AddRows(size_t i, storage::Batch& batch) const {
    const Sender& recipient = senders_[(i + 1) % kSenders];
    const std::string inbox = absl::StrCat(recipient.name, "/", HexEncode(recipient.key.public_key().bytes()));
    const std::string number = absl::StrCat(10'000'000 + i);  // 8 bytes
    v1::InboxMessage stored;
    stored.set_sequence(i);
    stored.set_message_json(signed_[i]);
    stored.set_sender_key(std::string(senders_[i % kSenders].key.public_key().bytes()));
    const std::string message = absl::StrCat("m/", inbox, "/", number);
    const std::string seen = absl::StrCat("d/", inbox, "/", senders_[i % kSenders].name, "/m", number);
    batch.Put(absl::StrCat("inbox/", message), stored.SerializeAsString());
    batch.Put(absl::StrCat("inbox/x/", number, "/", message), number);
    batch.Put(absl::StrCat("inbox/n/", inbox), number);
    batch.Put(absl::StrCat("inbox/", seen), number);
    batch.Put(absl::StrCat("inbox/x/", number, "/", seen), number);
  }

  const TemporaryFolder folder_;
  RunningService resolver_;
  RunningService gateway_;
  std::vector<std::unique_ptr<GatewayLink>> links_;
  SystemRandom random_;
  std::vector<Sender> senders_;
  std::vector<std::string> signed_;
  size_t next_id_ = 0;
  size_t next_folder_ = 0;
};

}  // namespace

absl::Status MeasureMessages(const std::string& programs, size_t repetitions, Report& report) {
  Bench bench;
  RETURN_IF_ERROR(bench.Start(programs));
  Row durable{.what = absl::StrCat("durable sends acknowledged, ", kTextSize, " B, ", kSenders, " senders"),
              .unit = "a second",
              .peer_name = "1/(verification + group commit) of their own figures",
              .at_least = 0.7};
  Row together{.what = "messages that share a sync of the disk", .unit = ""};
  Row verification{.what = "verification of a message alone, one core", .unit = "µs"};
  Row commit{.what = "group commit alone, as many in a batch, each message's share", .unit = "µs"};
  Row single{.what = "a durable send, one at a time, p50", .unit = "ms"};
  for (size_t i = 0; i <= repetitions; ++i) {
    Say(i == 0 ? "warm-up" : absl::StrCat("repetition ", i));
    bench.Sign(kMessages);
    ASSIGN_OR_RETURN(const Sent sent, bench.Send(kSenders));
    ASSIGN_OR_RETURN(const double verify_s, bench.VerificationAlone());
    ASSIGN_OR_RETURN(const double commit_s,
                     bench.CommitsAlone(std::max<size_t>(1, static_cast<size_t>(std::lround(sent.messages_a_commit)))));
    bench.Sign(kSingles);
    ASSIGN_OR_RETURN(const Sent serial, bench.Send(1));
    if (i == 0) continue;
    durable.ours.push_back(static_cast<double>(sent.timing.us.size()) / sent.timing.seconds);
    durable.peers.push_back(1 / (verify_s + commit_s));
    together.ours.push_back(sent.messages_a_commit);
    verification.ours.push_back(verify_s * 1e6);
    commit.ours.push_back(commit_s * 1e6);
    single.ours.push_back(Median(serial.timing.us) / 1000);
  }
  for (Row* row : {&durable, &together, &verification, &commit, &single}) report.Add(std::move(*row));
  report.Note(
      absl::StrCat("Each sender has a call over TLS to the gateway, which is a process of its own, and sends its "
                   "messages over it, as "
                   "the SDK does; each is answered once it is synced to disk. Each sender writes to the next one, ",
                   kConnections,
                   " connections are open, and senders, gateway and its resolver share the machine's cores. The limit "
                   "beside it has a core of its own, and no gRPC."));
  return absl::OkStatus();
}

}  // namespace dotagent::bench
