// The client on a real channel and loop, and a resolver that is played here.
#include "services/host/directory.h"

#include <gmock/gmock.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "common/base/status.h"
#include "common/p2p/loop.h"
#include "common/rpc/channel.h"
#include "common/rpc/server.h"
#include "common/rpc/status.h"
#include "dotagent/resolver/v1/resolver.grpc.pb.h"

namespace dotagent::host {
namespace {

namespace v1 = ::dotagent::resolver::v1;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Says what it is told to, to everyone; or nothing, until the caller has gone.
class FakeResolver : public v1::ResolverService::CallbackService {
 public:
  grpc::ServerUnaryReactor* Resolve(grpc::CallbackServerContext* context, const v1::ResolveRequest*,
                                    v1::ResolveResponse* response) override {
    if (silent) return new Silent(asked);
    response->set_record_json(record_json);
    response->set_source(v1::ANSWER_SOURCE_STORE);
    response->set_hops(3);
    return Finish(context);
  }
  grpc::ServerUnaryReactor* Publish(grpc::CallbackServerContext* context, const v1::PublishRequest* request,
                                    v1::PublishResponse* response) override {
    response->add_stored_by(request->record_json());
    response->add_stored_by(request->rotation_chain());
    response->add_stored_by(request->name_certificate());
    response->set_asked(5);
    return Finish(context);
  }
  grpc::ServerUnaryReactor* PublishRevocation(grpc::CallbackServerContext* context, const v1::PublishRevocationRequest*,
                                              v1::PublishRevocationResponse*) override {
    return Finish(context);
  }

  std::string record_json;
  absl::Status refusal;
  bool silent = false;
  absl::Notification asked;

 private:
  class Silent : public grpc::ServerUnaryReactor {
   public:
    explicit Silent(absl::Notification& asked) { asked.Notify(); }
    void OnCancel() override { Finish(grpc::Status::CANCELLED); }
    void OnDone() override { delete this; }
  };
  grpc::ServerUnaryReactor* Finish(grpc::CallbackServerContext* context) const {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(rpc::ToGrpc(refusal));
    return reactor;
  }
};

class DirectoryTest : public testing::Test {
 protected:
  void SetUp() override {
    server_ = *rpc::Server::Start({}, {&resolver_});
    channel_ = *rpc::NewChannel(absl::StrCat("127.0.0.1:", server_->port()), {.plaintext = true});
    directory_ = NewResolverDirectory(
        channel_->grpc(), [this](std::function<void()> work) { loop_.Post(std::move(work)); }, clock_);
  }

  [[nodiscard]] std::string RecordOf(const std::string& name) const {
    return record::Record::Sign({.name = name, .addresses = {}, .protocols = {}, .timestamp = clock_.Now()}, key_)
        ->json();
  }
  [[nodiscard]] absl::StatusOr<Resolution> Resolve(const std::string& name) {
    absl::Notification answered;
    absl::StatusOr<Resolution> answer = absl::UnknownError("no answer");
    directory_->Resolve(*record::Name::Parse(name), false, [&](absl::StatusOr<Resolution> found) {
      answer = std::move(found);
      answered.Notify();
    });
    answered.WaitForNotification();
    return answer;
  }
  [[nodiscard]] absl::Status PublishRevocation() {
    absl::Notification answered;
    absl::Status answer;
    directory_->PublishRevocation("statement", "", [&](const absl::Status& status) {
      answer = status;
      answered.Notify();
    });
    answered.WaitForNotification();
    return answer;
  }

  const SystemClock clock_{};
  SeededRandom random_{1};
  crypto::SigningKey key_ = crypto::SigningKey::Generate(random_);
  FakeResolver resolver_;
  std::unique_ptr<rpc::Server> server_;
  std::unique_ptr<rpc::Channel> channel_;
  p2p::Loop loop_;
  std::unique_ptr<Directory> directory_;
};

TEST_F(DirectoryTest, ResolvesAndPublishes) {
  resolver_.record_json = RecordOf("bob.agent");
  const auto found = Resolve("bob.agent");
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->record.public_key(), key_.public_key());
  EXPECT_EQ(found->source, "store");
  EXPECT_EQ(found->hops, 3u);
  EXPECT_TRUE(PublishRevocation().ok());

  absl::Notification answered;
  directory_->Publish("the record", {"the chain", "the certificate"},
                      [&](const absl::StatusOr<Publication>& published) {
                        ASSERT_TRUE(published.ok()) << published.status();
                        EXPECT_THAT(published->stored_by, ElementsAre("the record", "the chain", "the certificate"));
                        EXPECT_EQ(published->asked, 5u);
                        answered.Notify();
                      });
  answered.WaitForNotification();
}

TEST_F(DirectoryTest, ARecordOfAnotherNameOrNoneIsRefused) {
  resolver_.record_json = RecordOf("mallory.agent");
  const absl::Status other = Resolve("bob.agent").status();
  EXPECT_TRUE(absl::IsDataLoss(other)) << other;
  EXPECT_EQ(ReasonOf(other), reason::kBadRecord);
  EXPECT_THAT(std::string(other.message()), HasSubstr("mallory.agent"));
  resolver_.record_json = "{}";
  EXPECT_FALSE(Resolve("bob.agent").ok());
}

TEST_F(DirectoryTest, TheResolversRefusalIsTheAnswer) {
  resolver_.refusal = ErrorWithReason(absl::StatusCode::kNotFound, reason::kNameNotFound, "nobody holds bob.agent");
  EXPECT_EQ(Resolve("bob.agent").status(), resolver_.refusal);
  resolver_.refusal = absl::UnavailableError("no node of the DHT answers");
  const absl::Status bare = PublishRevocation();
  EXPECT_TRUE(absl::IsUnavailable(bare));
  EXPECT_EQ(ReasonOf(bare), reason::kUnreachable);
}

TEST_F(DirectoryTest, WithoutAResolverItIsUnreachable) {
  server_.reset();
  const absl::Status status = Resolve("bob.agent").status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_EQ(ReasonOf(status), reason::kUnreachable);
}

TEST_F(DirectoryTest, AfterShutdownNobodyIsCalled) {
  resolver_.silent = true;
  std::optional<absl::Status> answer;
  directory_->Resolve(*record::Name::Parse("bob.agent"), false,
                      [&](const absl::StatusOr<Resolution>& found) { answer = found.status(); });
  resolver_.asked.WaitForNotification();
  directory_->Shutdown();
  // What the cancelled call still posted has run when this has.
  EXPECT_TRUE(loop_.Run([&] { return !answer.has_value() || absl::IsCancelled(*answer); }));
  answer.reset();
  directory_->Resolve(*record::Name::Parse("bob.agent"), false,
                      [&](const absl::StatusOr<Resolution>& found) { answer = found.status(); });
  EXPECT_FALSE(loop_.Run([&] { return answer.has_value(); }));
}

}  // namespace
}  // namespace dotagent::host
