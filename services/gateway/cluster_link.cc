#include "services/gateway/cluster_link.h"

#include <chrono>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/base/status.h"
#include "common/crypto/hash.h"
#include "common/crypto/private_file.h"
#include "common/record/message.h"
#include "common/rpc/refusal.h"
#include "services/gateway/stream_deadline.h"

namespace dotagent::gateway_service {
namespace {

using cluster::v1::ClusterAnswer;
using cluster::v1::ClusterCall;
using cluster::v1::RelayOpen;

constexpr absl::string_view kContext("dotagent cluster v1\0", 20);
constexpr size_t kMaxSecret = 4096;
// A part of an inbox that moves is the largest: about 1 MiB, and a whole message beyond.
constexpr size_t kMaxCall = (size_t{2} << 20) + record::kMaxMessageSize + record::kMaxAttachmentSize;
constexpr size_t kMaxAnswer = size_t{3} << 20;
constexpr size_t kMaxOpen = 256;
constexpr std::chrono::seconds kOpenTimeout{10};

absl::Status Malformed() {
  return ErrorWithReason(absl::StatusCode::kInternal, reason::kProtocol, "the other gateway's answer is malformed");
}

class NodeClusterLink : public ClusterLink {
 public:
  NodeClusterLink(p2p::Node& node, const ClusterSecret& secret) : node_(node), secret_(secret) {}

  void Identify(const p2p::Multiaddr& address, std::function<void(absl::StatusOr<crypto::PublicKey>)> done) override {
    node_.Connect({address.peer, {address}}, std::move(done));
  }

  void Call(const p2p::PeerAddress& member, ClusterCall call, const CallOptions& options, Answered done) override {
    call.set_proof(secret_.Prove(node_.key(), *member.key));
    node_.Call(
        member, kClusterProtocol, call.SerializeAsString(), kMaxAnswer, options.timeout,
        [this, key = *member.key, done = std::move(done)](const absl::StatusOr<std::string>& bytes) {
          done(Parse(key, bytes));
        },
        options.level);
  }

  void OpenRelay(const p2p::PeerAddress& member, RelayOpen open,
                 std::function<void(absl::StatusOr<std::shared_ptr<Pipe>>)> done) override {
    open.set_proof(secret_.Prove(node_.key(), *member.key));
    node_.OpenStream(member, kClusterRelayProtocol, session::Priority::kNormal,
                     [bytes = open.SerializeAsString(),
                      done = std::move(done)](absl::StatusOr<std::shared_ptr<p2p::Stream>> stream) {
                       if (!stream.ok()) return done(WithContext(stream.status(), "another gateway of the cluster"));
                       p2p::WriteMessage(*stream, bytes, [stream = *stream, done](const absl::Status& written) {
                         if (!written.ok()) return done(WithContext(written, "another gateway of the cluster"));
                         done(NewTrunkPipe(stream, ""));
                       });
                     });
  }

 private:
  [[nodiscard]] absl::StatusOr<ClusterAnswer> Parse(const crypto::PublicKey& member,
                                                    const absl::StatusOr<std::string>& bytes) const {
    if (!bytes.ok()) return WithContext(bytes.status(), "another gateway of the cluster");
    ClusterAnswer answer;
    if (!answer.ParseFromString(*bytes)) return Malformed();
    RETURN_IF_ERROR(secret_.Check(answer.proof(), member, node_.key()));
    if (answer.code() != 0) return rpc::ReadRefusal(answer);
    return answer;
  }

  p2p::Node& node_;
  const ClusterSecret& secret_;
};

void ServeRelay(const asio::any_io_executor& executor, const std::shared_ptr<p2p::Stream>& stream,
                const crypto::PublicKey& self, const ClusterSecret& secret, const ClusterHandlers& handlers) {
  StreamDeadline deadline(executor, stream, kOpenTimeout);
  p2p::ReadMessage(stream, kMaxOpen,
                   [stream, deadline, self, &secret, relay = handlers.relay](const absl::StatusOr<std::string>& bytes,
                                                                             std::string rest) mutable {
                     deadline.Met();
                     RelayOpen open;
                     if (!bytes.ok() || !open.ParseFromString(*bytes)) {
                       return stream->Reset(p2p::reset_code::kBadMessage);
                     }
                     if (!secret.Check(open.proof(), stream->peer(), self).ok()) {
                       return stream->Reset(p2p::reset_code::kRefused);
                     }
                     relay(stream->peer(), open, NewTrunkPipe(stream, std::move(rest)));
                   });
}

}  // namespace

absl::StatusOr<ClusterSecret> ClusterSecret::Read(const std::string& path) {
  ASSIGN_OR_RETURN(const crypto::SecretBytes content,
                   crypto::ReadPrivateFile(path, kMaxSecret, crypto::Readers::kOwnerAndGroup));
  const absl::string_view secret = absl::StripTrailingAsciiWhitespace(content.view());
  if (secret.size() < kMinClusterSecret) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kBadKey,
                           absl::StrCat(path, ": a cluster's secret has at least ", kMinClusterSecret,
                                        " bytes; make one with: openssl rand -hex 32"));
  }
  return ClusterSecret(crypto::SecretBytes(secret));
}

// The keys have one length, so that no two pairs are the same bytes.
std::string ClusterSecret::Prove(const crypto::PublicKey& prover, const crypto::PublicKey& verifier) const {
  return crypto::HmacSha256(secret_.view(), absl::StrCat(kContext, prover.bytes(), verifier.bytes()));
}

absl::Status ClusterSecret::Check(absl::string_view proof, const crypto::PublicKey& prover,
                                  const crypto::PublicKey& verifier) const {
  if (ConstantTimeEquals(proof, Prove(prover, verifier))) return absl::OkStatus();
  return ErrorWithReason(absl::StatusCode::kPermissionDenied, reason::kNotAuthenticated,
                         "this gateway does not belong to the cluster; give all of its gateways the same secret");
}

std::unique_ptr<ClusterLink> NewNodeClusterLink(p2p::Node& node, const ClusterSecret& secret) {
  return std::make_unique<NodeClusterLink>(node, secret);
}

void ServeCluster(const asio::any_io_executor& executor, p2p::Node& node, const ClusterSecret& secret,
                  ClusterHandlers handlers) {
  const crypto::PublicKey self = node.key();
  node.ServeCalls(
      kClusterProtocol, kMaxCall,
      [self, &secret, call = handlers.call](const crypto::PublicKey& peer, const std::string& bytes,
                                            std::function<void(std::string)> respond) {
        // A stranger gets no proof, and so nothing to guess the secret by.
        const auto answer = [proof = secret.Prove(self, peer), respond = std::move(respond)](
                                absl::StatusOr<ClusterAnswer> result, bool proved) {
          ClusterAnswer response;
          if (result.ok()) {
            response = *std::move(result);
          } else {
            rpc::WriteRefusal(result.status(), &response);
          }
          if (proved) response.set_proof(proof);
          respond(response.SerializeAsString());
        };
        ClusterCall parsed;
        if (!parsed.ParseFromString(bytes)) {
          return answer(
              ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kProtocol, "this is no ClusterCall"), false);
        }
        const absl::Status member = secret.Check(parsed.proof(), peer, self);
        if (!member.ok()) return answer(member, false);
        call(peer, parsed, [answer](absl::StatusOr<ClusterAnswer> result) { answer(std::move(result), true); });
      });
  node.Serve(kClusterRelayProtocol,
             [executor, self, &secret, handlers = std::move(handlers)](const std::shared_ptr<p2p::Stream>& stream) {
               ServeRelay(executor, stream, self, secret, handlers);
             });
}

}  // namespace dotagent::gateway_service
