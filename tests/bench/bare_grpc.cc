#include "tests/bench/bare_grpc.h"

#include <nlohmann/json.hpp>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/crypto/keys.h"
#include "common/rpc/status.h"
#include "dotagent/gateway/v1/gateway.grpc.pb.h"
#include "tests/bench/peers/bare_call.h"
#include "tests/bench/peers/signed_message.h"

namespace dotagent::bench {
namespace {

namespace v1 = ::dotagent::gateway::v1;

absl::Status Broken() { return absl::UnavailableError("the bare gRPC server's stream has ended"); }

}  // namespace

absl::StatusOr<BareGrpc> BareGrpc::Start(const std::string& programs) {
  BareGrpc server;
  ASSIGN_OR_RETURN(server.process, Process::Start({absl::StrCat(programs, "/bench-peer-grpc")}));
  ASSIGN_OR_RETURN(const std::string ready, server.process->ReadLine(absl::Seconds(30)));
  server.address = nlohmann::json::parse(ready, nullptr, false).value("address", "");
  return server;
}

absl::StatusOr<StreamCost> MeasureBareStream(const BareGrpc& server, size_t bytes, size_t singles, size_t messages) {
  SystemRandom random;
  ASSIGN_OR_RETURN(const auto call, BareCall::Open(server.address, crypto::SigningKey::Generate(random)));
  auto& stream = call->stream;
  v1::OpenChannelRequest request;
  request.set_data(std::string(bytes, 'x'));
  v1::OpenChannelResponse response;

  StreamCost cost;
  for (size_t i = 0; i < singles; ++i) {
    const absl::Time begun = absl::Now();
    if (!stream->Write(request) || !stream->Read(&response)) return Broken();
    cost.round_trip_us.push_back(absl::ToDoubleMicroseconds(absl::Now() - begun));
  }
  const absl::Time begun = absl::Now();
  std::thread writer([&] {
    for (size_t i = 0; i < messages && stream->Write(request); ++i) {
    }
    stream->WritesDone();
  });
  size_t got = 0;
  while (stream->Read(&response)) ++got;
  cost.messages_per_second = static_cast<double>(got) / absl::ToDoubleSeconds(absl::Now() - begun);
  writer.join();
  RETURN_IF_ERROR(rpc::FromGrpc(stream->Finish()));
  if (got != messages) return Broken();
  return cost;
}

absl::StatusOr<BareRelay> BareRelay::Start(const std::string& programs) {
  const std::string program = absl::StrCat(programs, "/bench-peer-relay");
  BareRelay relay;
  ASSIGN_OR_RETURN(relay.server, Process::Start({program, "serve"}));
  ASSIGN_OR_RETURN(const std::string serves, relay.server->ReadLine(absl::Seconds(30)));
  relay.address = nlohmann::json::parse(serves, nullptr, false).value("address", "");
  ASSIGN_OR_RETURN(relay.answerer, Process::Start({program, "answer", relay.address}));
  RETURN_IF_ERROR(relay.answerer->ReadLine(absl::Seconds(30)).status());
  return relay;
}

absl::StatusOr<std::vector<double>> MeasureBareRelay(const BareRelay& relay, const record::Json& content,
                                                     size_t count) {
  SystemRandom random;
  const auto key = crypto::SigningKey::Generate(random);
  ASSIGN_OR_RETURN(const auto call, BareCall::Open(relay.address, key));
  auto& stream = call->stream;
  v1::OpenChannelRequest request;
  request.mutable_call();
  if (!stream->Write(request)) return Broken();
  v1::OpenChannelResponse response;
  std::vector<double> us;
  for (size_t i = 0; i < count; ++i) {
    const absl::Time begun = absl::Now();
    ASSIGN_OR_RETURN(*request.mutable_data(),
                     SignMessage(key, record::MessageType::kRequest, record::NewMessageId(random), content));
    if (!stream->Write(request) || !stream->Read(&response)) return Broken();
    RETURN_IF_ERROR(VerifyMessage(response.data()).status());
    us.push_back(absl::ToDoubleMicroseconds(absl::Now() - begun));
  }
  stream->WritesDone();
  RETURN_IF_ERROR(rpc::FromGrpc(stream->Finish()));
  return us;
}

}  // namespace dotagent::bench
