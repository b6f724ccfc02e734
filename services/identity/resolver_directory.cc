#include "services/identity/resolver_directory.h"

#include <algorithm>
#include <cstddef>
#include <deque>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/record/name.h"
#include "common/telemetry/log.h"

namespace dotagent::identity_service {
namespace {

constexpr absl::Duration kFirstPause = absl::Milliseconds(200);
constexpr absl::Duration kLongestPause = absl::Seconds(30);
constexpr size_t kMaxSetAside = 1'000;
constexpr char kCursorKey[] = "published-through";

}  // namespace

ResolverDirectory::ResolverDirectory(std::unique_ptr<rpc::Channel> channel, const Clock& clock, rpc::Executor post)
    : channel_(std::move(channel)) {
  if (channel_) directory_ = host::NewResolverDirectory(channel_->grpc(), std::move(post), clock);
}

void ResolverDirectory::KeyOf(const std::string& name, Callback<crypto::PublicKey> done) {
  if (!available()) {
    return done(
        absl::FailedPreconditionError("this identity service has no resolver to ask; start it with --resolver"));
  }
  const auto parsed = record::Name::Parse(name);
  if (!parsed.ok()) return done(parsed.status());
  directory_->Resolve(*parsed, false, [done = std::move(done)](const absl::StatusOr<host::Resolution>& found) {
    if (!found.ok()) return done(found.status());
    done(found->record.public_key());
  });
}

void ResolverDirectory::PublishRevocation(const std::string& statement, const std::string& rotation_chain,
                                          std::function<void(absl::Status)> done) {
  directory_->PublishRevocation(statement, rotation_chain, std::move(done));
}

RevocationPublisher::RevocationPublisher(host::Host& host, Handler& handler, ResolverDirectory& directory)
    : host_(host), handler_(handler), directory_(directory), timer_(host.loop().executor()), pause_(kFirstPause) {}

absl::Status RevocationPublisher::Start() {
  if (!directory_.available()) return absl::OkStatus();
  const auto saved = host_.store().Get(kCursorKey);
  if (saved.ok()) {
    if (!absl::SimpleAtoi(*saved, &cursor_)) {
      return ErrorWithReason(
          absl::StatusCode::kDataLoss, reason::kStorage,
          "the place reached in publishing revocations is not a number; restore the data folder from a backup");
    }
  } else if (!absl::IsNotFound(saved.status())) {
    return saved.status();
  }
  watch_ = handler_.Watch([weak = weak_from_this()] {
    if (auto self = weak.lock()) self->Continue();
  });
  Continue();
  return absl::OkStatus();
}

void RevocationPublisher::Stop() {
  stopped_ = true;
  timer_.cancel();
  handler_.Unwatch(watch_);
}

void RevocationPublisher::Continue() {
  if (busy_ || failing_ || stopped_) return;
  if (const auto next = Next()) return Publish(*next);
  if (!set_aside_.empty()) ContinueLater();
}

std::optional<RevocationLog::Entry> RevocationPublisher::Next() {
  const bool again = std::exchange(rested_, false) && !set_aside_.empty();
  auto next = handler_.NextAfter(again ? set_aside_.front() - 1 : cursor_);
  // Tokens are redeemed and shown within the deployment of the agent whose resource they are for, which watches this
  // service; only keys are known beyond.
  while (next.ok() && *next && (*next)->of_token) {
    cursor_ = (*next)->sequence;
    next = handler_.NextAfter(cursor_);
  }
  if (next.ok()) return *std::move(next);
  telemetry::Log(telemetry::Level::kError, "the log of revocations cannot be read",
                 {{"error", std::string(next.status().message())}});
  return std::nullopt;
}

void RevocationPublisher::Publish(const RevocationLog::Entry& entry) {
  busy_ = true;
  directory_.PublishRevocation(entry.statement, entry.rotation_chain,
                               [weak = weak_from_this(), sequence = entry.sequence](const absl::Status& status) {
                                 if (auto self = weak.lock()) self->OnPublished(sequence, status);
                               });
}

void RevocationPublisher::OnPublished(uint64_t sequence, const absl::Status& status) {
  if (stopped_) return;
  busy_ = false;
  const bool refused = absl::IsInvalidArgument(status);
  if (status.ok() || refused) {
    std::erase(set_aside_, sequence);
    if (refused) SetAside(sequence);
    cursor_ = std::max(cursor_, sequence);
  }
  const absl::Status saved = status.ok() || refused ? SavePlace() : status;
  if (!saved.ok() || refused) {
    telemetry::Log(
        telemetry::Level::kWarning, "revocation is not in the DHT yet; trying again",
        {{"sequence", absl::StrCat(sequence)}, {"error", std::string((refused ? status : saved).message())}});
  }
  failing_ = !saved.ok();
  if (failing_) return ContinueLater();
  if (!refused) pause_ = kFirstPause;
  Continue();
}

void RevocationPublisher::SetAside(uint64_t sequence) {
  set_aside_.push_back(sequence);
  if (set_aside_.size() <= kMaxSetAside) return;
  telemetry::Log(telemetry::Level::kError, "the resolver refuses too many revocations; one is not in the DHT",
                 {{"sequence", absl::StrCat(set_aside_.front())}});
  set_aside_.pop_front();
}

absl::Status RevocationPublisher::SavePlace() {
  // Before what was set aside, which a restart begins with.
  const auto first = std::min_element(set_aside_.begin(), set_aside_.end());
  const uint64_t place = first == set_aside_.end() ? cursor_ : *first - 1;
  return host_.store().Put(kCursorKey, absl::StrCat(place), storage::Durability::kBuffered);
}

void RevocationPublisher::ContinueLater() {
  if (std::exchange(waiting_, true)) return;
  timer_.expires_after(absl::ToChronoNanoseconds(pause_));
  pause_ = std::min(pause_ * 2, kLongestPause);
  timer_.async_wait([weak = weak_from_this()](const asio::error_code& error) {
    auto self = weak.lock();
    if (error || !self) return;
    self->waiting_ = self->failing_ = false;
    self->rested_ = true;
    self->Continue();
  });
}

}  // namespace dotagent::identity_service
