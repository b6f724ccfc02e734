// Calls between members over real sessions: who proves that it belongs here is heard, and nobody else.
#include "services/gateway/cluster_link.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>

#include "common/base/status.h"
#include "services/gateway/call_relay.h"
#include "tests/unit/p2p/fixtures.h"

namespace dotagent::gateway_service {
namespace {

using cluster::v1::ClusterAnswer;
using cluster::v1::ClusterCall;
using p2p::Eventually;
using p2p::Outcome;
using ::testing::HasSubstr;

ClusterSecret Secret(const std::string& text) { return ClusterSecret(crypto::SecretBytes(text)); }

class ClusterLinkTest : public testing::Test {
 protected:
  void SetUp() override {
    loop_.Run([&] {
      good_ = NewNodeClusterLink(near_.node(), secret_);
      bad_ = NewNodeClusterLink(near_.node(), other_);
      ServeCluster(loop_.executor(), far_.node(), secret_,
                   {.call =
                        [this](const crypto::PublicKey& member, const ClusterCall& call, const auto& answer) {
                          heard_ = member;
                          ClusterAnswer response;
                          response.set_duplicate(call.has_hello());
                          refusal_.ok() ? answer(response) : answer(refusal_);
                        },
                    .relay =
                        [this](const crypto::PublicKey&, const cluster::v1::RelayOpen& open, const auto& pipe) {
                          opened_ = open.kind();
                          pipe_ = pipe;
                        }});
    });
  }
  void TearDown() override {
    loop_.Run([&] {
      pipe_ = nullptr;
      good_ = nullptr;
      bad_ = nullptr;
    });
  }
  absl::StatusOr<ClusterAnswer> Call(ClusterLink& link) {
    Outcome<absl::StatusOr<ClusterAnswer>> answer;
    loop_.Run([&] {
      ClusterCall call;
      call.mutable_hello()->set_generation(1);
      link.Call(far_peer_, call, {.timeout = absl::Seconds(5)}, answer.Callback());
    });
    return answer.Wait();
  }
  absl::StatusOr<std::shared_ptr<Pipe>> Open(ClusterLink& link) {
    Outcome<absl::StatusOr<std::shared_ptr<Pipe>>> opened;
    loop_.Run([&] {
      cluster::v1::RelayOpen open;
      open.set_kind(cluster::v1::RELAY_KIND_CHANNEL);
      link.OpenRelay(far_peer_, open, opened.Callback());
    });
    return opened.Wait();
  }

  const ClusterSecret secret_ = Secret("the secret of this cluster, 32 bytes and more");
  const ClusterSecret other_ = Secret("that of another cluster, which is not the same");
  p2p::Loop loop_;
  p2p::TestNode near_{loop_};
  p2p::TestNode far_{loop_};
  const p2p::PeerAddress near_peer_ = near_.peer();
  const p2p::PeerAddress far_peer_ = far_.peer();
  std::unique_ptr<ClusterLink> good_;
  std::unique_ptr<ClusterLink> bad_;
  absl::Status refusal_;
  std::optional<crypto::PublicKey> heard_;
  std::optional<cluster::v1::RelayKind> opened_;
  std::shared_ptr<Pipe> pipe_;
};

TEST_F(ClusterLinkTest, MembersHearEachOther) {
  const auto answer = Call(*good_);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_TRUE(answer->duplicate());
  EXPECT_EQ(heard_, near_.key());
  refusal_ = ErrorWithReason(absl::StatusCode::kResourceExhausted, reason::kLimit, "no room");
  EXPECT_EQ(Call(*good_).status(), refusal_);
  EXPECT_EQ(ReasonOf(Call(*good_).status()), reason::kLimit);
}

TEST_F(ClusterLinkTest, AStrangerIsNotHeardAndGetsNoProof) {
  const auto answer = Call(*bad_);
  EXPECT_EQ(ReasonOf(answer.status()), reason::kNotAuthenticated);
  EXPECT_FALSE(heard_.has_value());
  Outcome<absl::StatusOr<std::string>> raw;
  loop_.Run([&] {
    ClusterCall call;
    call.mutable_hello();
    near_.node().Call(far_peer_, kClusterProtocol, call.SerializeAsString(), 4096, absl::Seconds(5), raw.Callback());
  });
  ClusterAnswer parsed;
  const auto bytes = raw.Wait();
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  ASSERT_TRUE(parsed.ParseFromString(*bytes));
  EXPECT_EQ(parsed.proof(), "");
  EXPECT_EQ(parsed.code(), static_cast<int>(absl::StatusCode::kPermissionDenied));
  EXPECT_FALSE(heard_.has_value());
}

// Who answers must prove it too: a stranger at a member's old address learns nothing that it could use elsewhere.
TEST_F(ClusterLinkTest, AnAnswerWithoutProofIsNone) {
  std::string proof;
  loop_.Run([&] {
    near_.node().ServeCalls(kClusterProtocol, 1024,
                            [&](const crypto::PublicKey&, const std::string& bytes, const auto& respond) {
                              ClusterCall call;
                              EXPECT_TRUE(call.ParseFromString(bytes));
                              proof = call.proof();
                              ClusterAnswer answer;
                              answer.set_proof(proof);  // what it got itself
                              respond(answer.SerializeAsString());
                            });
  });
  std::unique_ptr<ClusterLink> link;
  Outcome<absl::StatusOr<ClusterAnswer>> answer;
  loop_.Run([&] {
    link = NewNodeClusterLink(far_.node(), secret_);
    link->Call(near_peer_, ClusterCall(), {.timeout = absl::Seconds(5)}, answer.Callback());
  });
  EXPECT_EQ(ReasonOf(answer.Wait().status()), reason::kNotAuthenticated);
  EXPECT_EQ(proof.size(), 32u);
  loop_.Run([&] { link = nullptr; });
}

TEST_F(ClusterLinkTest, AProofIsGoodForTheTwoKeysThatItNamesOnly) {
  const std::string proof = secret_.Prove(near_.key(), far_.key());
  EXPECT_TRUE(secret_.Check(proof, near_.key(), far_.key()).ok());
  EXPECT_FALSE(secret_.Check(proof, far_.key(), near_.key()).ok());
  EXPECT_FALSE(other_.Check(proof, near_.key(), far_.key()).ok());
  EXPECT_FALSE(secret_.Check(proof.substr(0, 31), near_.key(), far_.key()).ok());
  EXPECT_FALSE(secret_.Check("", near_.key(), far_.key()).ok());
}

TEST_F(ClusterLinkTest, ARelayedCallPassesBothWaysAndSaysWhyItEnds) {
  using Request = gateway::v1::OpenChannelRequest;
  using Response = gateway::v1::OpenChannelResponse;
  const auto opened = Open(*good_);
  ASSERT_TRUE(opened.ok()) << opened.status();
  ASSERT_TRUE(Eventually(loop_, [&] { return opened_.has_value(); }));
  EXPECT_EQ(opened_, cluster::v1::RELAY_KIND_CHANNEL);

  std::shared_ptr<RelayedCall<Request, Response>> call;
  std::optional<Request> got;
  std::string heard;
  const std::string large(1 << 20, 'x');
  loop_.Run([&] {
    call = std::make_shared<RelayedCall<Request, Response>>(pipe_);
    call->Read([&](std::optional<Request> request) { got = std::move(request); });
    cluster::v1::RelayUp up;
    Request request;
    request.set_data(large);
    up.set_request(request.SerializeAsString());
    (*opened)->Write(WithLength(up.SerializeAsString()), [](const absl::Status&) {});
  });
  ASSERT_TRUE(Eventually(loop_, [&] { return got.has_value(); }));
  EXPECT_EQ(got->data(), large);
  const auto messages = std::make_shared<TopicPipe>(*opened, kMaxRelayed);
  cluster::v1::RelayDown down;
  bool ended = false;
  std::function<void()> read = [&] {
    messages->Read([&](const absl::StatusOr<std::string>& bytes) {
      if (!bytes.ok()) return;
      EXPECT_TRUE(down.ParseFromString(*bytes));
      if (down.has_response()) heard = down.response();
      ended = down.has_end();
      read();
    });
  };
  loop_.Run([&] {
    Response response;
    response.set_data("back");
    call->Write(response, [](bool ok) { EXPECT_TRUE(ok); });
    call->Finish(ErrorWithReason(absl::StatusCode::kAborted, reason::kSuperseded, "another one"));
    read();
  });
  ASSERT_TRUE(Eventually(loop_, [&] { return ended; }));
  Response response;
  EXPECT_TRUE(response.ParseFromString(heard));
  EXPECT_EQ(response.data(), "back");
  EXPECT_EQ(down.end().reason(), reason::kSuperseded);
  loop_.Run([&] { call = nullptr; });
}

TEST_F(ClusterLinkTest, AStrangersRelayIsRefused) {
  const auto opened = Open(*bad_);
  ASSERT_TRUE(opened.ok()) << opened.status();
  Outcome<absl::StatusOr<std::string>> read;
  loop_.Run([&] { (*opened)->Read(read.Callback()); });
  EXPECT_EQ(read.Wait().status(), p2p::StatusOfReset(p2p::reset_code::kRefused));
  EXPECT_FALSE(opened_.has_value());
}

TEST(ClusterSecretTest, IsReadFromAPrivateFileAndIsNotShort) {
  const std::string path = testing::TempDir() + "/cluster-secret-" + std::to_string(getpid());
  const auto write = [&](const std::string& content, mode_t mode) {
    std::filesystem::remove(path);
    std::ofstream(path) << content;
    ASSERT_EQ(chmod(path.c_str(), mode), 0);
  };
  write(std::string(64, 'a') + "\n", 0600);
  const auto secret = ClusterSecret::Read(path);
  ASSERT_TRUE(secret.ok()) << secret.status();
  const crypto::PublicKey key;
  EXPECT_EQ(secret->Prove(key, key), Secret(std::string(64, 'a')).Prove(key, key));
  write("too short\n", 0600);
  const auto too_short = ClusterSecret::Read(path);
  EXPECT_EQ(ReasonOf(too_short.status()), reason::kBadKey);
  EXPECT_THAT(std::string(too_short.status().message()), HasSubstr("at least 32 bytes"));
  write(std::string(64, 'a'), 0644);
  EXPECT_TRUE(absl::IsPermissionDenied(ClusterSecret::Read(path).status()));
  EXPECT_TRUE(absl::IsNotFound(ClusterSecret::Read(path + "-none").status()));
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace dotagent::gateway_service
