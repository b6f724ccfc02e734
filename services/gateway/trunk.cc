#include "services/gateway/trunk.h"

#include <chrono>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/base/status.h"
#include "common/capability/token.h"
#include "common/record/message.h"
#include "common/rpc/refusal.h"
#include "services/gateway/priority.h"
#include "services/gateway/stream_deadline.h"

namespace dotagent::gateway_service {
namespace {

constexpr absl::Duration kDeliverTimeout = absl::Seconds(15);
constexpr std::chrono::seconds kRequestTimeout{10};
// The agent has 20 seconds to take the offer; the caller's agent waits for its gateway for 30.
constexpr std::chrono::seconds kAnswerTimeout{25};
constexpr size_t kMaxDeliverRequest =
    record::kMaxMessageSize + record::kMaxAttachmentSize + capability::kMaxTokenSize + 1024;
constexpr size_t kMaxRequestCall = kMaxDeliverRequest + 64;
constexpr size_t kMaxRequestAnswer = record::kMaxMessageSize + record::kMaxAttachmentSize + 4096;
// For the way there and back, beyond the time that the recipient has.
constexpr absl::Duration kOnTheWay = absl::Seconds(2);
constexpr size_t kMaxChannelRequest = capability::kMaxTokenSize + 1024;
constexpr size_t kMaxResponse = 4096;

absl::Status Malformed() {
  return ErrorWithReason(absl::StatusCode::kInternal, reason::kProtocol, "the other gateway's answer is malformed");
}

bool NotReached(const absl::Status& status) {
  return absl::IsUnavailable(status) && ReasonOf(status) == reason::kUnreachable;
}

// The session was there, and ended before the answer.
bool Broke(const absl::Status& status) { return absl::IsUnavailable(status) && !NotReached(status); }

class NodeTrunk : public Trunk {
 public:
  NodeTrunk(const asio::any_io_executor& executor, p2p::Node& node, TrunkProtocols protocols)
      : executor_(executor), node_(node), protocols_(std::move(protocols)) {}

  void Deliver(std::vector<p2p::PeerAddress> gateways, const trunk::v1::DeliverRequest& request,
               std::function<void(absl::StatusOr<bool>)> done) override {
    CallFirst({protocols_.deliver, request.SerializeAsString(), kMaxResponse, kDeliverTimeout, /*tries=*/2,
               LevelOf(request.priority())},
              std::move(gateways), [done = std::move(done)](const absl::StatusOr<std::string>& answer) {
                const auto response = ParseAnswer<trunk::v1::DeliverResponse>(answer);
                response.ok() ? done(response->duplicate()) : done(response.status());
              });
  }

  void Request(std::vector<p2p::PeerAddress> gateways, const trunk::v1::RequestCall& call,
               std::function<void(absl::StatusOr<Answer>)> done) override {
    CallFirst({protocols_.request, call.SerializeAsString(), kMaxRequestAnswer,
               absl::Milliseconds(call.timeout_ms()) + kOnTheWay, /*tries=*/1, LevelOf(call.request().priority())},
              std::move(gateways), [done = std::move(done)](const absl::StatusOr<std::string>& answer) {
                auto response = ParseAnswer<trunk::v1::RequestAnswer>(answer);
                if (!response.ok()) return done(response.status());
                done(Answer{std::move(*response->mutable_message_json()), std::move(*response->mutable_attachment())});
              });
  }

  void OpenChannel(std::vector<p2p::PeerAddress> gateways, const trunk::v1::ChannelRequest& request,
                   std::function<void(absl::StatusOr<OpenTrunk>)> done) override {
    OpenTo(std::move(gateways), 0, request.SerializeAsString(), std::move(done));
  }

  void OpenTopics(const p2p::PeerAddress& gateway,
                  std::function<void(absl::StatusOr<std::shared_ptr<Pipe>>)> done) override {
    node_.OpenStream(gateway, kTopicsProtocol, session::Priority::kNormal,
                     [done = std::move(done)](absl::StatusOr<std::shared_ptr<p2p::Stream>> stream) {
                       if (!stream.ok()) return done(WithContext(stream.status(), "the publisher's gateway"));
                       done(NewTrunkPipe(*std::move(stream), ""));
                     });
  }

 private:
  struct UnaryCall {
    const std::vector<std::string>& protocols;
    std::string request;
    size_t max_response;
    absl::Duration timeout;
    int tries;  // over a new session when one breaks; more than one only for what is done once however often it comes
    session::Priority priority;
  };
  using CallDone = std::function<void(const absl::StatusOr<std::string>&)>;
  struct Attempt {
    size_t gateway = 0;  // of those that may be asked
    size_t version = 0;  // of the protocols
    int tries = 1;       // this one included
  };

  // What is to be tried after an attempt that ended so, if anything.
  static std::optional<Attempt> Next(const UnaryCall& call, size_t gateways, Attempt attempt,
                                     const absl::Status& outcome) {
    if (NotReached(outcome) && attempt.gateway + 1 < gateways) {
      return Attempt{.gateway = attempt.gateway + 1, .tries = attempt.tries};
    }
    if (absl::IsUnimplemented(outcome) && attempt.version + 1 < call.protocols.size()) {
      ++attempt.version;
      return attempt;
    }
    if (Broke(outcome) && attempt.tries > 1) {
      --attempt.tries;
      return attempt;
    }
    return std::nullopt;
  }

  // To the first of `gateways`, of which there is one, that is reached.
  void CallFirst(UnaryCall call, std::vector<p2p::PeerAddress> gateways, CallDone done) {
    const Attempt first{.tries = call.tries};
    CallAt(std::make_shared<const UnaryCall>(std::move(call)), std::move(gateways), first, std::move(done));
  }
  void CallAt(const std::shared_ptr<const UnaryCall>& call, std::vector<p2p::PeerAddress> gateways, Attempt attempt,
              CallDone done) {
    const p2p::PeerAddress gateway = gateways[attempt.gateway];
    node_.Call(
        gateway, call->protocols[attempt.version], call->request, call->max_response, call->timeout,
        [this, call, gateways = std::move(gateways), attempt,
         done = std::move(done)](const absl::StatusOr<std::string>& answer) mutable {
          if (const std::optional<Attempt> next = Next(*call, gateways.size(), attempt, answer.status())) {
            return CallAt(call, std::move(gateways), *next, std::move(done));
          }
          done(answer);
        },
        call->priority);
  }

  // What another gateway answered, if it did not refuse.
  template <typename Response>
  static absl::StatusOr<Response> ParseAnswer(const absl::StatusOr<std::string>& answer) {
    if (!answer.ok()) return WithContext(answer.status(), "the recipient's gateway");
    Response response;
    if (!response.ParseFromString(*answer)) return Malformed();
    if (response.code() != 0) return rpc::ReadRefusal(response);
    return response;
  }

  void OpenTo(std::vector<p2p::PeerAddress> gateways, size_t index, std::string request,
              std::function<void(absl::StatusOr<OpenTrunk>)> done) {
    const p2p::PeerAddress gateway = gateways[index];
    node_.OpenStream(gateway, kChannelProtocol, session::Priority::kNormal,
                     [this, gateways = std::move(gateways), index, request = std::move(request),
                      done = std::move(done)](absl::StatusOr<std::shared_ptr<p2p::Stream>> stream) mutable {
                       if (NotReached(stream.status()) && index + 1 < gateways.size()) {
                         return OpenTo(std::move(gateways), index + 1, std::move(request), std::move(done));
                       }
                       if (!stream.ok()) return done(WithContext(stream.status(), "the recipient's gateway"));
                       Ask(*std::move(stream), request, std::move(done));
                     });
  }

  void Ask(std::shared_ptr<p2p::Stream> stream, const std::string& request,
           std::function<void(absl::StatusOr<OpenTrunk>)> done) {
    StreamDeadline deadline(executor_, stream, kAnswerTimeout);
    // A write that fails shows in the read.
    p2p::WriteMessage(stream, request, [](const absl::Status&) {});
    p2p::ReadMessage(stream, kMaxResponse,
                     [stream, deadline, done = std::move(done)](const absl::StatusOr<std::string>& answer,
                                                                std::string rest) mutable {
                       deadline.Met();
                       if (!answer.ok()) {
                         return done(ForAgents(answer.status(), "the recipient's gateway did not open the channel"));
                       }
                       trunk::v1::ChannelResponse response;
                       if (!response.ParseFromString(*answer)) return done(Malformed());
                       if (response.code() != 0) {
                         return done(rpc::ReadRefusal(response));
                       }
                       const bool relayed = stream->relayed();
                       done(OpenTrunk{NewTrunkPipe(std::move(stream), std::move(rest)), relayed});
                     });
  }

  const asio::any_io_executor executor_;
  p2p::Node& node_;
  const TrunkProtocols protocols_;
};

void AcceptTrunk(const std::shared_ptr<p2p::Stream>& stream, std::string rest,
                 std::function<void(absl::StatusOr<std::shared_ptr<Pipe>>)> done) {
  p2p::WriteMessage(stream, trunk::v1::ChannelResponse().SerializeAsString(),
                    [stream, rest = std::move(rest), done = std::move(done)](const absl::Status& written) mutable {
                      if (!written.ok()) return done(written);
                      done(NewTrunkPipe(stream, std::move(rest)));
                    });
}

void RefuseTrunk(const std::shared_ptr<p2p::Stream>& stream, const absl::Status& status) {
  trunk::v1::ChannelResponse response;
  rpc::WriteRefusal(status, &response);
  p2p::WriteMessage(stream, response.SerializeAsString(), [stream](const absl::Status&) { stream->CloseWrite(); });
}

void ServeChannel(const asio::any_io_executor& executor, const std::shared_ptr<p2p::Stream>& stream,
                  const std::function<void(IncomingTrunk)>& handler) {
  StreamDeadline deadline(executor, stream, kRequestTimeout);
  p2p::ReadMessage(stream, kMaxChannelRequest,
                   [stream, deadline, handler](const absl::StatusOr<std::string>& bytes, std::string rest) mutable {
                     deadline.Met();
                     IncomingTrunk incoming;
                     if (!bytes.ok() || !incoming.request.ParseFromString(*bytes)) {
                       return stream->Reset(p2p::reset_code::kBadMessage);
                     }
                     incoming.from = stream->peer();
                     incoming.relayed = stream->relayed();
                     incoming.accept = [stream, rest](auto done) { AcceptTrunk(stream, rest, std::move(done)); };
                     incoming.refuse = [stream](const absl::Status& status) { RefuseTrunk(stream, status); };
                     handler(std::move(incoming));
                   });
}

}  // namespace

std::unique_ptr<Trunk> NewNodeTrunk(const asio::any_io_executor& executor, p2p::Node& node, TrunkProtocols protocols) {
  return std::make_unique<NodeTrunk>(executor, node, std::move(protocols));
}

void ServeTrunk(const asio::any_io_executor& executor, p2p::Node& node, TrunkHandlers handlers) {
  node.ServeCalls(
      kDeliverProtocol, kMaxDeliverRequest,
      [deliver = std::move(handlers.deliver)](const crypto::PublicKey& gateway, const std::string& bytes,
                                              std::function<void(std::string)> respond) {
        trunk::v1::DeliverRequest request;
        const auto answer = [respond = std::move(respond)](const absl::StatusOr<bool>& duplicate) {
          trunk::v1::DeliverResponse response;
          if (duplicate.ok()) {
            response.set_duplicate(*duplicate);
          } else {
            rpc::WriteRefusal(duplicate.status(), &response);
          }
          respond(response.SerializeAsString());
        };
        if (request.ParseFromString(bytes)) return deliver(gateway, request, answer);
        answer(ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kProtocol, "this is no DeliverRequest"));
      });
  node.ServeCalls(
      kRequestProtocol, kMaxRequestCall,
      [request = std::move(handlers.request)](const crypto::PublicKey& gateway, const std::string& bytes,
                                              std::function<void(std::string)> respond) {
        trunk::v1::RequestCall call;
        const auto respond_with = [respond = std::move(respond)](absl::StatusOr<Answer> answer) {
          trunk::v1::RequestAnswer response;
          if (answer.ok()) {
            response.set_message_json(std::move(answer->message_json));
            response.set_attachment(std::move(answer->attachment));
          } else {
            rpc::WriteRefusal(answer.status(), &response);
          }
          respond(response.SerializeAsString());
        };
        if (call.ParseFromString(bytes)) return request(gateway, call, respond_with);
        respond_with(ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kProtocol, "this is no RequestCall"));
      });
  node.Serve(kChannelProtocol,
             [executor, channel = std::move(handlers.channel)](const std::shared_ptr<p2p::Stream>& stream) {
               ServeChannel(executor, stream, channel);
             });
  node.Serve(kTopicsProtocol, [topics = std::move(handlers.topics)](const std::shared_ptr<p2p::Stream>& stream) {
    topics(stream->peer(), NewTrunkPipe(stream, ""));
  });
}

}  // namespace dotagent::gateway_service
