#include "services/host/revocation_feed.h"

#include <grpcpp/client_context.h>
#include <grpcpp/support/client_callback.h>

#include <algorithm>
#include <asio/steady_timer.hpp>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "common/base/mutex.h"
#include "common/base/status.h"
#include "common/rpc/status.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"
#include "dotagent/identity/v1/identity.grpc.pb.h"

namespace dotagent::host {
namespace {

namespace v1 = ::dotagent::identity::v1;

constexpr char kTable[] = "revoked/";
constexpr char kChainTable[] = "revoked-chain/";
constexpr char kRegistrarTable[] = "revoked-registrar/";
constexpr char kTokenTable[] = "revoked-token/";
constexpr char kCursorKey[] = "revoked-cursor";
constexpr char kKeyIsRevoked[] = "the node's key has been revoked";
constexpr absl::Duration kFirstPause = absl::Milliseconds(100);
constexpr absl::Duration kLongestPause = absl::Seconds(10);
// By this clock nothing is dated ahead. For what identity tells, which has judged the date by its own clock, and what
// is on disk here: judged again by this node's, a statement of anybody's would hold up each follower whose clock is
// behind identity's, and one whose clock was set back would not start.
constexpr absl::Time kAnyDate = absl::InfiniteFuture();

// Verified statements, by the key that they revoke. Thread-safe.
class RevokedKeys {
 public:
  void Add(const crypto::PublicKey& key, std::string statement) {
    const Lock lock(mutex_);
    statements_.emplace(key, std::move(statement));
  }
  [[nodiscard]] bool Contains(const crypto::PublicKey& key) const {
    const Lock lock(mutex_);
    return statements_.contains(key);
  }
  // Empty if there is none.
  [[nodiscard]] std::string StatementFor(const crypto::PublicKey& key) const {
    const Lock lock(mutex_);
    const auto found = statements_.find(key);
    return found == statements_.end() ? std::string() : found->second;
  }

 private:
  mutable Mutex mutex_;
  absl::flat_hash_map<crypto::PublicKey, std::string> statements_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

struct RevocationFeed::Impl : std::enable_shared_from_this<RevocationFeed::Impl> {
  // One stream from identity. Deletes itself by way of its last reference once gRPC is done with it.
  class Watch : public grpc::ClientReadReactor<v1::WatchRevocationsResponse> {
   public:
    explicit Watch(std::shared_ptr<Impl> owner) : post_(owner->post), owner_(owner) {}

    void Start(std::shared_ptr<Watch> self, uint64_t after) {
      self_ = std::move(self);
      request_.set_after_sequence(after);
      // Locked only here: the feed outlives the start of each watch.
      owner_.lock()->stub->async()->WatchRevocations(&context_, &request_, this);
      AddHold();  // reads are started from the loop, and so between reactions
      StartRead(&response_);
      StartCall();
    }
    void Cancel() { context_.TryCancel(); }
    void WaitUntilDone() { done_->WaitForNotification(); }

    void OnReadDone(bool ok) override {
      if (!ok) {
        RemoveHold();
        return;
      }
      // The next read starts only when this one has been dealt with, so that a burst waits in the network and not in
      // memory.
      post_([self = self_] {
        if (auto owner = self->owner_.lock()) owner->OnResponse(self->response_);
        self->StartRead(&self->response_);
      });
    }
    void OnDone(const grpc::Status& status) override {
      // This object holds the channel, and its last reference must not go on gRPC's own thread: gRPC 1.51 would then
      // join that thread from itself and abort. So the loop drops it; `this` may be gone right after the post.
      const auto done = done_;
      const auto executor = post_;
      executor([owner = owner_, status, self = std::move(self_)] {
        if (auto feed = owner.lock()) feed->OnDisconnected(rpc::FromGrpc(status));
      });
      done->Notify();
    }

   private:
    const rpc::Executor post_;
    const std::weak_ptr<Impl> owner_;
    std::shared_ptr<Watch> self_;
    grpc::ClientContext context_;
    v1::WatchRevocationsRequest request_;
    v1::WatchRevocationsResponse response_;
    const std::shared_ptr<absl::Notification> done_ = std::make_shared<absl::Notification>();
  };

  explicit Impl(Host& service_host)
      : host(service_host),
        post(service_host.executor()),
        timer(service_host.loop().executor()),
        passed_over(service_host.metrics().AddCounter("dotagent_revocations_passed_over_total",
                                                      "Revocations told of by identity that did not verify.")) {}

  [[nodiscard]] absl::Status Load() {
    absl::Status bad;
    RETURN_IF_ERROR(host.store().Scan(kTable, kTable, [&](absl::string_view key, absl::string_view statement) {
      const absl::StatusOr<identity::Revocation> revocation =
          VerifyStored(key.substr(absl::string_view(kTable).size()), statement);
      if (!revocation.ok()) {
        bad = WithContext(revocation.status(), absl::StrCat("revocation stored under ", key));
        return false;
      }
      revoked.Add(revocation->public_key, std::string(statement));
      return true;
    }));
    RETURN_IF_ERROR(bad);
    RETURN_IF_ERROR(LoadTokens());
    auto saved = host.store().Get(kCursorKey);
    if (saved.ok() && !absl::SimpleAtoi(*saved, &cursor)) {
      return ErrorWithReason(
          absl::StatusCode::kDataLoss, reason::kStorage,
          "the saved place in the stream of revocations is not a number; delete the data folder to start anew");
    }
    if (!saved.ok() && !absl::IsNotFound(saved.status())) return saved.status();
    return absl::OkStatus();
  }

  [[nodiscard]] absl::StatusOr<identity::Revocation> VerifyStored(absl::string_view key,
                                                                  absl::string_view statement) const {
    ASSIGN_OR_RETURN(const std::string chain, Stored(kChainTable, key));
    ASSIGN_OR_RETURN(const std::string registrar, Stored(kRegistrarTable, key));
    std::vector<crypto::PublicKey> trusted;
    if (!registrar.empty()) {
      ASSIGN_OR_RETURN(trusted.emplace_back(), crypto::PublicKey::FromBytes(registrar));
    }
    return identity::VerifyRevocationWith(statement, chain, kAnyDate, trusted);
  }

  // What it takes to verify the revocation of a key beside the statement; empty if nothing.
  [[nodiscard]] absl::StatusOr<std::string> Stored(absl::string_view table, absl::string_view key) const {
    auto found = host.store().Get(absl::StrCat(table, key));
    if (absl::IsNotFound(found.status())) return std::string();
    return found;
  }

  [[nodiscard]] std::vector<crypto::PublicKey> Registrars() const {
    std::vector<crypto::PublicKey> trusted = registrars;
    // Not known before the first handshake; then nothing has come from there either.
    if (channel) {
      const absl::StatusOr<identity::PeerCertificate> followed = channel->server();
      if (followed.ok()) trusted.push_back(followed->node_key);
    }
    return trusted;
  }

  [[nodiscard]] absl::Status LoadTokens() const {
    if (!on_token_revoked) return absl::OkStatus();
    absl::Status bad;
    RETURN_IF_ERROR(host.store().Scan(kTokenTable, kTokenTable, [&](absl::string_view, absl::string_view statement) {
      const auto revocation = capability::VerifyTokenRevocation(statement, kAnyDate);
      if (revocation.ok()) on_token_revoked(*revocation);
      bad = WithContext(revocation.status(), "a stored revocation of a token's block");
      return bad.ok();
    }));
    return bad;
  }

  void Connect() {
    if (stopped) return;
    refused = false;
    watch = std::make_shared<Watch>(shared_from_this());
    watch->Start(watch, cursor);
  }

  void OnResponse(const v1::WatchRevocationsResponse& response) {
    if (refused || stopped) return;  // came before the cancelling did
    const absl::Status taken = Take(response);
    if (taken.ok()) {
      pause = kFirstPause;
      return;
    }
    telemetry::Log(telemetry::Level::kError, "revocation from identity was not taken; asking for it again",
                   {{"sequence", absl::StrCat(response.sequence())}, {"error", std::string(taken.message())}});
    // From the cursor, after a pause. Going on would pass it over for ever: a full disk, say, is soon well again.
    refused = true;
    watch->Cancel();
  }

  // Fails only if the disk does.
  [[nodiscard]] absl::Status Take(const v1::WatchRevocationsResponse& response) {
    if (!response.token_statement().empty()) return TakeToken(response.token_statement(), response.sequence());
    if (response.statement().empty()) return absl::OkStatus();  // the past has been told
    const absl::StatusOr<identity::Revocation> revocation =
        identity::VerifyRevocationWith(response.statement(), response.rotation_chain(), kAnyDate, Registrars());
    if (!revocation.ok()) return PassOver(response.sequence(), revocation.status());
    return Keep(*revocation, response.statement(), response.rotation_chain(), response.sequence());
  }

  // What does not verify never will, however often it is asked for, and what stands behind it must not wait for it.
  // Nothing is lost by that which a lying identity could not keep back anyway.
  [[nodiscard]] absl::Status PassOver(uint64_t sequence, const absl::Status& why) {
    RETURN_IF_ERROR(MoveOnTo(sequence));
    passed_over.Increment();
    telemetry::Log(telemetry::Level::kError, "identity tells of a revocation that does not verify; passed over",
                   {{"sequence", absl::StrCat(sequence)}, {"error", std::string(why.message())}});
    return absl::OkStatus();
  }

  // Behind an entry of which nothing is kept. Not synced: after a power failure it is told again.
  [[nodiscard]] absl::Status MoveOnTo(uint64_t sequence) {
    if (sequence <= cursor) return absl::OkStatus();
    storage::Batch batch;
    batch.Put(kCursorKey, absl::StrCat(sequence));
    RETURN_IF_ERROR(host.store().Write(batch, storage::Durability::kBuffered));
    cursor = sequence;
    return absl::OkStatus();
  }

  void OnDisconnected(const absl::Status& status) {
    if (stopped) return;
    telemetry::Log(telemetry::Level::kWarning, "lost identity's stream of revocations; trying again",
                   {{"error", std::string(status.message())}, {"pause", absl::FormatDuration(pause)}});
    timer.expires_after(absl::ToChronoNanoseconds(pause));
    pause = std::min(pause * 2, kLongestPause);
    timer.async_wait([weak = weak_from_this()](const asio::error_code& error) {
      auto self = weak.lock();
      if (!error && self) self->Connect();
    });
  }

  // `sequence` 0: not from identity's stream, and so the cursor stays.
  [[nodiscard]] absl::Status Keep(const identity::Revocation& revocation, absl::string_view statement,
                                  absl::string_view rotation_chain, uint64_t sequence) {
    const bool known = revoked.Contains(revocation.public_key);
    storage::Batch batch;
    if (!known) batch.Put(absl::StrCat(kTable, revocation.public_key.bytes()), statement);
    if (!known && !rotation_chain.empty()) {
      batch.Put(absl::StrCat(kChainTable, revocation.public_key.bytes()), rotation_chain);
    }
    if (!known && revocation.by == identity::RevokedBy::kRegistrar) {
      batch.Put(absl::StrCat(kRegistrarTable, revocation.public_key.bytes()), revocation.signer.bytes());
    }
    if (sequence > cursor) batch.Put(kCursorKey, absl::StrCat(sequence));
    if (!batch.empty()) RETURN_IF_ERROR(host.store().Write(batch, storage::Durability::kSync));
    cursor = std::max(cursor, sequence);
    if (known) return absl::OkStatus();
    revoked.Add(revocation.public_key, std::string(statement));
    on_revoked(revocation, std::string(statement));
    host.node().Drop(revocation.public_key, kKeyIsRevoked);
    return absl::OkStatus();
  }

  // What keeps the public port clear of revoked keys; also of one that got in before this feed had been loaded.
  void GuardPort() {
    host.node().SetPeerCheck([weak = weak_from_this()](const crypto::PublicKey& peer) {
      const auto self = weak.lock();
      if (self == nullptr || !self->revoked.Contains(peer)) return absl::OkStatus();
      return ErrorWithReason(absl::StatusCode::kPermissionDenied, reason::kKeyRevoked, kKeyIsRevoked);
    });
  }

  [[nodiscard]] absl::Status TakeToken(absl::string_view statement, uint64_t sequence) {
    if (!on_token_revoked || sequence <= cursor) return MoveOnTo(sequence);
    const auto revocation = capability::VerifyTokenRevocation(statement, kAnyDate);
    if (!revocation.ok()) return PassOver(sequence, revocation.status());
    storage::Batch batch;
    batch.Put(kCursorKey, absl::StrCat(sequence));
    batch.Put(absl::StrCat(kTokenTable, revocation->block, revocation->signer.bytes()), statement);
    RETURN_IF_ERROR(host.store().Write(batch, storage::Durability::kSync));
    cursor = sequence;
    on_token_revoked(*revocation);
    return absl::OkStatus();
  }

  Host& host;
  const rpc::Executor post;
  asio::steady_timer timer;
  std::function<void(const identity::Revocation&, const std::string&)> on_revoked;
  OnTokenRevoked on_token_revoked;
  std::vector<crypto::PublicKey> registrars;
  telemetry::Counter& passed_over;
  RevokedKeys revoked;
  uint64_t cursor = 0;
  absl::Duration pause = kFirstPause;
  bool refused = false;  // the watch that runs brought something that could not be taken
  bool stopped = false;
  std::unique_ptr<rpc::Channel> channel;
  std::unique_ptr<v1::IdentityService::Stub> stub;
  std::shared_ptr<Watch> watch;
};

RevocationFeed::RevocationFeed() = default;

absl::StatusOr<std::unique_ptr<RevocationFeed>> RevocationFeed::Create(
    Host& host, const std::string& target,
    std::function<void(const identity::Revocation&, const std::string&)> on_revoked, OnTokenRevoked on_token_revoked,
    std::vector<crypto::PublicKey> registrars) {
  std::unique_ptr<RevocationFeed> feed(new RevocationFeed());
  feed->impl_ = std::make_shared<Impl>(host);
  feed->impl_->on_revoked = std::move(on_revoked);
  feed->impl_->on_token_revoked = std::move(on_token_revoked);
  feed->impl_->registrars = std::move(registrars);
  RETURN_IF_ERROR(feed->impl_->Load());
  host.loop().Run([&] { feed->impl_->GuardPort(); });
  if (!target.empty()) {
    ASSIGN_OR_RETURN(feed->impl_->channel, host.Dial(target));
    feed->impl_->stub = v1::IdentityService::NewStub(feed->impl_->channel->grpc());
    host.loop().Post([impl = feed->impl_] { impl->Connect(); });
  }
  return feed;
}

RevocationFeed::~RevocationFeed() {
  auto watch = impl_->host.loop().Run([impl = impl_] {
    impl->stopped = true;
    impl->timer.cancel();
    return std::exchange(impl->watch, nullptr);
  });
  if (watch) {
    watch->Cancel();
    watch->WaitUntilDone();
  }
}

bool RevocationFeed::IsRevoked(const crypto::PublicKey& key) const { return impl_->revoked.Contains(key); }

std::string RevocationFeed::StatementFor(const crypto::PublicKey& key) const {
  return impl_->revoked.StatementFor(key);
}

absl::Status RevocationFeed::Learn(absl::string_view statement, absl::string_view rotation_chain) {
  ASSIGN_OR_RETURN(
      const identity::Revocation revocation,
      identity::VerifyRevocationWith(statement, rotation_chain, impl_->host.clock().Now(), impl_->Registrars()));
  return impl_->Keep(revocation, statement, rotation_chain, 0);
}

}  // namespace dotagent::host
