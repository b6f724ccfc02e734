// An identity service that is played: what it says of revocations is the test's to choose.
#ifndef DOTAGENT_TESTS_UNIT_HOST_FAKE_IDENTITY_H_
#define DOTAGENT_TESTS_UNIT_HOST_FAKE_IDENTITY_H_

#include <grpcpp/server_context.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "common/base/random.h"
#include "common/crypto/keys.h"
#include "common/identity/certificate.h"
#include "common/identity/revocation.h"
#include "common/rpc/server.h"
#include "dotagent/identity/v1/identity.grpc.pb.h"

namespace dotagent::host {

inline crypto::SigningKey KeyFromSeed(uint64_t seed) {
  SeededRandom random(seed);
  return crypto::SigningKey::Generate(random);
}

inline std::string StatementOf(uint64_t seed) {
  return identity::SignRevocation(KeyFromSeed(seed), "stolen", absl::Now()).value();
}

// Has a log of statements, and streams it to whoever watches. Goes away and comes back on the same port.
class FakeIdentity : public ::dotagent::identity::v1::IdentityService::Service {
 public:
  FakeIdentity() : certificate_(identity::MakeNodeCertificate(key_, {}, absl::Now()).value()) { Start(); }
  ~FakeIdentity() override { Stop(); }

  void Start() {
    {
      absl::MutexLock lock(&mutex_);
      stopping_ = false;
    }
    auto server = rpc::Server::Start({.listen = address_, .certificate = &certificate_}, {this});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    address_ = absl::StrCat("127.0.0.1:", server_->port());
  }
  void Stop() {
    {
      absl::MutexLock lock(&mutex_);
      stopping_ = true;
    }
    server_.reset();
  }
  [[nodiscard]] const std::string& address() const { return address_; }
  [[nodiscard]] const crypto::Signer& key() const { return key_; }

  void Append(const std::string& statement, const std::string& rotation_chain = "") {
    absl::MutexLock lock(&mutex_);
    log_.push_back(statement);
    chains_[log_.size()] = rotation_chain;
  }
  // A revocation of a token's block, among those of keys.
  void AppendOfToken(const std::string& statement) {
    absl::MutexLock lock(&mutex_);
    log_.push_back(statement);
    of_tokens_.insert(log_.size());
  }
  // Each stream from now on breaks off after this many revocations.
  void BreakStreamsAfter(uint64_t count) {
    absl::MutexLock lock(&mutex_);
    stream_length_ = count;
  }
  // The cursors with which watches began, once there are `count`.
  std::vector<uint64_t> AwaitCursors(size_t count) {
    absl::MutexLock lock(&mutex_);
    const auto enough = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return cursors_.size() >= count; };
    EXPECT_TRUE(mutex_.AwaitWithTimeout(absl::Condition(&enough), absl::Seconds(30)));
    return cursors_;
  }

  using Response = ::dotagent::identity::v1::WatchRevocationsResponse;
  grpc::Status WatchRevocations(grpc::ServerContext* context,
                                const ::dotagent::identity::v1::WatchRevocationsRequest* request,
                                grpc::ServerWriter<Response>* writer) override {
    uint64_t cursor = request->after_sequence();
    bool told_up_to_date = false;
    absl::MutexLock lock(&mutex_);
    cursors_.push_back(cursor);
    const uint64_t end = stream_length_ == 0 ? UINT64_MAX : cursor + stream_length_;
    while (!stopping_ && !context->IsCancelled() && cursor < end) {
      Response response;
      if (cursor < log_.size()) {
        const bool of_token = of_tokens_.contains(cursor + 1);
        (of_token ? response.mutable_token_statement() : response.mutable_statement())->assign(log_[cursor]);
        response.set_rotation_chain(chains_[cursor + 1]);
        response.set_sequence(++cursor);
      } else if (!std::exchange(told_up_to_date, true)) {
        response.set_sequence(cursor);
      } else {
        const auto news = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_ || cursor < log_.size(); };
        // Looks up now and then, to see whether the watcher has gone.
        mutex_.AwaitWithTimeout(absl::Condition(&news), absl::Milliseconds(20));
        continue;
      }
      mutex_.Unlock();
      writer->Write(response);
      mutex_.Lock();
    }
    return {grpc::StatusCode::UNAVAILABLE, "going"};
  }

 private:
  const crypto::SigningKey key_ = KeyFromSeed(1000);
  const identity::NodeCertificate certificate_;
  std::string address_ = "127.0.0.1:0";
  absl::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::string> log_ ABSL_GUARDED_BY(mutex_);
  uint64_t stream_length_ ABSL_GUARDED_BY(mutex_) = 0;              // 0: without end
  std::map<uint64_t, std::string> chains_ ABSL_GUARDED_BY(mutex_);  // by sequence
  std::set<uint64_t> of_tokens_ ABSL_GUARDED_BY(mutex_);            // sequences
  std::vector<uint64_t> cursors_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<rpc::Server> server_;
};

}  // namespace dotagent::host

#endif  // DOTAGENT_TESTS_UNIT_HOST_FAKE_IDENTITY_H_
