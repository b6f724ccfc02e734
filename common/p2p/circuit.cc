#include "common/p2p/circuit.h"

#include <asio/buffer.hpp>
#include <asio/read.hpp>
#include <asio/write.hpp>
#include <optional>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/p2p/tcp_dial.h"

namespace dotagent::p2p {
namespace {

class Claim : public Operation, public std::enable_shared_from_this<Claim> {
 public:
  using Done = std::function<void(absl::StatusOr<asio::ip::tcp::socket>)>;

  Claim(std::string header, Done done) : header_(std::move(header)), done_(std::move(done)) {}

  void Start(const asio::any_io_executor& executor, const Multiaddr& relay) {
    dial_ = DialTcp(executor, relay, [self = shared_from_this()](absl::StatusOr<asio::ip::tcp::socket> socket) {
      if (!socket.ok()) return self->Finish(WithContext(socket.status(), "the relay's port"));
      self->socket_.emplace(*std::move(socket));
      self->SendHeader();
    });
  }

  void Cancel() override {
    done_ = nullptr;
    if (dial_ != nullptr) dial_->Cancel();
    dial_ = nullptr;
    CloseSocket();
  }

 private:
  void SendHeader() {
    asio::async_write(*socket_, asio::buffer(header_),
                      [self = shared_from_this()](const std::error_code& error, size_t) {
                        if (self->done_ == nullptr) return;
                        if (error) return self->Finish(HungUp(error));
                        self->ReadAnswer();
                      });
  }

  void ReadAnswer() {
    asio::async_read(*socket_, asio::buffer(&answer_, 1),
                     [self = shared_from_this()](const std::error_code& error, size_t) {
                       if (self->done_ == nullptr) return;
                       if (error) return self->Finish(HungUp(error));
                       self->OnAnswer();
                     });
  }

  void OnAnswer() {
    if (answer_ == kCircuitJoined) {
      asio::ip::tcp::socket joined = *std::move(socket_);
      socket_.reset();
      return Finish(std::move(joined));
    }
    Finish(ErrorWithReason(absl::StatusCode::kPermissionDenied, reason::kNoReservation,
                           "the relay refused the circuit: the voucher is unknown, spent or late; ask for a new one"));
  }

  static absl::Status HungUp(const std::error_code& error) {
    return absl::UnavailableError(absl::StrCat("the relay hung up before the circuit was joined: ", error.message()));
  }

  void Finish(absl::StatusOr<asio::ip::tcp::socket> result) {
    dial_ = nullptr;
    CloseSocket();
    if (const Done done = std::exchange(done_, nullptr)) done(std::move(result));
  }

  void CloseSocket() {
    std::error_code ignored;
    if (socket_.has_value()) socket_->close(ignored);
  }

  const std::string header_;
  Done done_;
  std::shared_ptr<Operation> dial_;
  std::optional<asio::ip::tcp::socket> socket_;
  char answer_ = 0;
};

}  // namespace

std::string CircuitHeader(absl::string_view voucher) {
  return absl::StrCat(absl::string_view(&kCircuitFirstByte, 1), kCircuitMagic, voucher);
}

std::string CircuitSocket::remote_address() const {
  std::error_code error;
  const auto endpoint = socket_.remote_endpoint(error);
  return error ? std::string() : endpoint.address().to_string();
}

void CircuitSocket::Refuse() {
  std::error_code ignored;
  socket_.non_blocking(true, ignored);
  socket_.write_some(asio::buffer(&kCircuitRefused, 1), ignored);
  socket_.close(ignored);
  slot_.reset();
}

std::shared_ptr<Operation> ClaimCircuit(const asio::any_io_executor& executor, const Multiaddr& relay,
                                        absl::string_view voucher,
                                        std::function<void(absl::StatusOr<asio::ip::tcp::socket>)> done) {
  auto claim = std::make_shared<Claim>(CircuitHeader(voucher), std::move(done));
  claim->Start(executor, relay);
  return claim;
}

}  // namespace dotagent::p2p
