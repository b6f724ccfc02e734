#include "tests/bench/session_transfer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/crypto/keys.h"
#include "common/p2p/loop.h"
#include "common/p2p/node.h"
#include "common/telemetry/metrics.h"
#include "tests/bench/processor.h"

namespace dotagent::bench {
namespace {

constexpr size_t kBytes = size_t{1} << 30;
constexpr size_t kWrite = size_t{1} << 20;
constexpr size_t kPiece = 64 * 1024;
constexpr char kProtocol[] = "/dotagent/bench/1.0.0";

// A node on a core of its own.
class End {
 public:
  explicit End(size_t core) {
    loop_.Run([&] {
      PinTo(core);
      node_ = std::make_unique<p2p::Node>(
          loop_.executor(), p2p::NodeOptions{.key = &key_, .random = &random_, .clock = &clock_, .metrics = &metrics_});
    });
  }
  ~End() {
    loop_.Run([&] { node_.reset(); });
  }

  p2p::Loop& loop() { return loop_; }
  p2p::Node& node() { return *node_; }
  [[nodiscard]] const crypto::PublicKey& key() const { return key_.public_key(); }

 private:
  SystemClock clock_;
  SystemRandom random_;
  const crypto::SigningKey key_ = crypto::SigningKey::Generate(random_);
  telemetry::Metrics metrics_;
  p2p::Loop loop_;
  std::unique_ptr<p2p::Node> node_;
};

// Reads until `left` bytes have come or the stream ends.
void ReadAll(const std::shared_ptr<p2p::Stream>& stream, size_t left, std::function<void(absl::Status)> done) {
  stream->Read(kPiece, [stream, left, done = std::move(done)](const absl::StatusOr<std::string>& piece) mutable {
    if (!piece.ok()) return done(piece.status());
    if (piece->empty() || piece->size() >= left)
      return done(piece->size() == left ? absl::OkStatus() : absl::DataLossError("the stream ended early"));
    ReadAll(stream, left - piece->size(), std::move(done));
  });
}

void WriteAll(const std::shared_ptr<p2p::Stream>& stream, size_t left) {
  if (left == 0) return stream->CloseWrite();
  stream->Write(std::string(kWrite, 'd'), [stream, left](const absl::Status& status) {
    if (status.ok()) WriteAll(stream, left - kWrite);
  });
}

}  // namespace

absl::StatusOr<double> TransferOverNodes() {
  End sender(0);
  End receiver(1);
  std::promise<absl::Status> received;
  RETURN_IF_ERROR(receiver.loop().Run([&] {
    receiver.node().Serve(kProtocol, [&](std::shared_ptr<p2p::Stream> stream) {
      ReadAll(stream, kBytes, [&](const absl::Status& status) { received.set_value(status); });
    });
    return receiver.node().Listen();
  }));
  const auto addresses = receiver.loop().Run([&] { return receiver.node().addresses(); });
  ASSIGN_OR_RETURN(const p2p::Multiaddr address, p2p::Multiaddr::Parse(addresses.front()));
  absl::Time begun;
  sender.loop().Post([&] {
    sender.node().OpenStream({receiver.key(), {address}}, kProtocol, session::Priority::kNormal,
                             [&](absl::StatusOr<std::shared_ptr<p2p::Stream>> stream) {
                               if (!stream.ok()) return received.set_value(stream.status());
                               begun = absl::Now();
                               WriteAll(*stream, kBytes);
                             });
  });
  RETURN_IF_ERROR(received.get_future().get());
  return static_cast<double>(kBytes) / absl::ToDoubleSeconds(absl::Now() - begun);
}

absl::StatusOr<double> TransferOverTcp() {
  const int listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  const int sending = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const bool connected = bind(listening, generic, size) == 0 && listen(listening, 1) == 0 &&
                         getsockname(listening, generic, &size) == 0 && connect(sending, generic, size) == 0;
  const int receiving = connected ? accept(listening, nullptr, nullptr) : -1;
  close(listening);
  absl::Time begun = absl::Now();
  std::thread writer([&] {
    PinTo(0);
    const std::string data(kPiece, 'd');
    for (size_t left = connected ? kBytes : 0; left > 0;) {
      const ssize_t written = send(sending, data.data(), std::min(left, kPiece), MSG_NOSIGNAL);
      if (written <= 0) break;
      left -= static_cast<size_t>(written);
    }
    close(sending);
  });
  size_t read = 0;
  std::thread reader([&] {
    PinTo(1);
    std::string buffer(kPiece, '\0');
    for (ssize_t got = 0; (got = recv(receiving, buffer.data(), buffer.size(), 0)) > 0;)
      read += static_cast<size_t>(got);
    close(receiving);
  });
  writer.join();
  reader.join();
  if (read != kBytes) return absl::InternalError("bare TCP over loopback broke");
  return static_cast<double>(kBytes) / absl::ToDoubleSeconds(absl::Now() - begun);
}

}  // namespace dotagent::bench
