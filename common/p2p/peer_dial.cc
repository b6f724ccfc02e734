#include "common/p2p/peer_dial.h"

#include <algorithm>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/crypto/peer_id.h"
#include "common/p2p/circuit.h"
#include "common/p2p/relay_client.h"
#include "common/p2p/tcp_dial.h"
#include "common/p2p/timer.h"

namespace dotagent::p2p {

PeerDial::PeerDial(std::weak_ptr<DialHost> host, std::optional<crypto::PublicKey> key, absl::Duration timeout,
                   Connection::ReadyCallback done)
    : host_(std::move(host)), key_(key), timeout_(timeout), done_(std::move(done)) {}

void PeerDial::AddAddresses(const std::vector<Multiaddr>& addresses) {
  for (const Multiaddr& address : addresses) {
    if (known_.size() >= kMaxDialAddresses) return;
    if (std::find(known_.begin(), known_.end(), address) != known_.end()) continue;
    known_.push_back(address);
    (address.relay.has_value() ? relayed_ : direct_).push_back(address);
  }
}

void PeerDial::Start() { Next(); }

void PeerDial::Use(const std::shared_ptr<Connection>& connection) {
  if (done_ == nullptr || connection == handshake_) return;  // its own is reported when it is ready
  StopAttempt();
  Finish(connection);
}

void PeerDial::Fail(const absl::Status& why) {
  if (done_ == nullptr) return;
  StopAttempt();
  Finish(why);
}

template <typename Callback>
auto PeerDial::InAttempt(Callback callback) {
  return [self = shared_from_this(), attempt = attempt_, callback = std::move(callback)](auto... result) {
    if (self->done_ != nullptr && attempt == self->attempt_) callback(*self, std::move(result)...);
  };
}

void PeerDial::Next() {
  const auto host = host_.lock();
  if (host == nullptr) return Finish(absl::UnavailableError("the node is closed"));
  std::deque<Multiaddr>& queue = direct_.empty() ? relayed_ : direct_;
  if (queue.empty()) {
    const std::string whom = key_.has_value() ? crypto::PeerIdFromKey(*key_) : "the peer";
    return Finish(ErrorWithReason(
        absl::StatusCode::kUnavailable, reason::kUnreachable,
        absl::StrCat("cannot reach ", whom, ": ", failures_.empty() ? "no address of it is known" : failures_)));
  }
  current_ = std::move(queue.front());
  queue.pop_front();
  ++attempt_;
  expected_ = key_.has_value() ? key_ : current_.peer;
  if (key_.has_value() && current_.peer.has_value() && *key_ != *current_.peer) {
    return OnAddressFailed(absl::InvalidArgumentError("the address names another peer"));
  }
  const bool relayed = current_.relay.has_value();
  const absl::Duration timeout = timeout_ * (relayed ? 2 : 1);
  timer_.emplace(host->loop());
  timer_->expires_after(TimerDelay(timeout));
  timer_->async_wait([self = shared_from_this(), attempt = attempt_, timeout](const std::error_code& error) {
    if (error || self->done_ == nullptr || attempt != self->attempt_) return;
    self->OnAddressFailed(
        absl::DeadlineExceededError(absl::StrCat("no answer within ", absl::FormatDuration(timeout))));
  });
  if (relayed) return TryRelayed(current_);
  TryDirect(current_);
}

void PeerDial::TryDirect(const Multiaddr& address) {
  const auto on_socket = [](PeerDial& self, absl::StatusOr<asio::ip::tcp::socket> socket) {
    self.RunSession(std::move(socket), false);
  };
  operation_ = DialTcp(host_.lock()->loop(), address, InAttempt(on_socket));
}

void PeerDial::TryRelayed(const Multiaddr& address) {
  if (!expected_.has_value()) {
    return OnAddressFailed(
        absl::InvalidArgumentError("a relayed address needs the /p2p/PEER that is behind the relay"));
  }
  const auto on_socket = [](PeerDial& self, absl::StatusOr<asio::ip::tcp::socket> socket) {
    self.RunSession(std::move(socket), true);
  };
  const auto on_voucher = [on_socket](PeerDial& self, absl::StatusOr<std::string> voucher) {
    const auto host = self.host_.lock();
    if (!voucher.ok()) return self.OnAddressFailed(voucher.status());
    if (host == nullptr) return self.OnAddressFailed(absl::UnavailableError("the node is closed"));
    self.operation_ = ClaimCircuit(host->loop(), self.current_, *voucher, self.InAttempt(on_socket));
  };
  const auto open = [host = host_, relay = address](StreamCallback done) {
    if (const auto node = host.lock(); node != nullptr) node->OpenControlStream(relay, std::move(done));
  };
  operation_ = RequestCircuit(open, *expected_, InAttempt(on_voucher));
}

void PeerDial::RunSession(absl::StatusOr<asio::ip::tcp::socket> socket, bool relayed) {
  operation_ = nullptr;
  const auto host = host_.lock();
  if (!socket.ok()) return OnAddressFailed(socket.status());
  if (host == nullptr) return OnAddressFailed(absl::UnavailableError("the node is closed"));
  const auto on_ready = [](PeerDial& self, absl::StatusOr<std::shared_ptr<Connection>> connection) {
    if (!connection.ok()) return self.OnAddressFailed(connection.status());
    self.handshake_ = nullptr;
    self.StopAttempt();
    self.Finish(std::move(connection));
  };
  handshake_ = host->StartDialled(*std::move(socket), expected_, relayed, InAttempt(on_ready));
}

void PeerDial::OnAddressFailed(const absl::Status& why) {
  StopAttempt();
  absl::StrAppend(&failures_, failures_.empty() ? "" : "; ", current_.ToString(), ": ", why.message());
  Next();
}

void PeerDial::StopAttempt() {
  ++attempt_;
  if (timer_.has_value()) timer_->cancel();
  if (const auto operation = std::exchange(operation_, nullptr); operation != nullptr) operation->Cancel();
  if (const auto connection = std::exchange(handshake_, nullptr); connection != nullptr) {
    connection->Close(absl::CancelledError("the dial was given up"));
  }
}

void PeerDial::Finish(absl::StatusOr<std::shared_ptr<Connection>> result) {
  if (const auto done = std::exchange(done_, nullptr); done != nullptr) done(std::move(result));
}

}  // namespace dotagent::p2p
