#include "tests/bench/session_cost.h"

#include <openssl/evp.h>
#include <sodium.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/crypto/keys.h"
#include "common/session/session.h"
#include "tests/bench/processor.h"
#include "tests/bench/session_transfer.h"

namespace dotagent::bench {
namespace {

using session::Role;
using session::Session;

constexpr size_t kWrite = size_t{1} << 20;
constexpr size_t kBlock = 16 * 1024;
constexpr size_t kTransfer = size_t{256} << 20;  // bytes of a repetition in memory
constexpr size_t kHandshakes = 400;
constexpr size_t kPiece = 4 * session::kMinOutput;  // of ciphertext, as a connection takes it to its socket

double PerSecond(size_t count, absl::Duration spent) {
  return static_cast<double>(count) / absl::ToDoubleSeconds(spent);
}

// Two sessions of one thread.
class Pair {
 public:
  // `window`: bytes that either may send before the other has read them.
  explicit Pair(std::optional<uint64_t> window = std::nullopt) : window_(window) {}

  // New ends and their handshake, with the processor time that each of them takes.
  [[nodiscard]] absl::Status Shake(absl::Duration* dialler_time, absl::Duration* listener_time) {
    const absl::Time now = absl::Now();
    const absl::Duration begun = ThreadTime();
    dialler_.emplace(Options(Role::kDialler, dialler_key_), now);
    const absl::Duration between = ThreadTime();
    listener_.emplace(Options(Role::kListener, listener_key_), now);
    *dialler_time += between - begun;
    *listener_time += ThreadTime() - between;
    while (!dialler_->established() || !listener_->established()) {
      RETURN_IF_ERROR(Pass(*dialler_, dialler_time, *listener_, listener_time));
      RETURN_IF_ERROR(Pass(*listener_, listener_time, *dialler_, dialler_time));
    }
    return absl::OkStatus();
  }

  [[nodiscard]] absl::Status Shake() {
    absl::Duration ignored;
    return Shake(&ignored, &ignored);
  }

  // Bytes a second in writes of 1 MiB on one stream, taken out a socket's write at a time. `read`: the other end takes
  // them in; else what comes out is dropped.
  [[nodiscard]] absl::StatusOr<double> Transfer(size_t bytes, bool read) {
    const auto data = std::make_shared<const std::string>(kWrite, 'd');
    std::vector<char> buffer(kPiece);
    std::vector<char> credit(kPiece);
    ASSIGN_OR_RETURN(const session::StreamId stream, dialler_->OpenStream("/bench"));
    const absl::Time now = absl::Now();
    size_t given = 0;
    size_t carried = 0;
    const absl::Duration begun = ThreadTime();
    while (carried < bytes) {
      while (given < bytes) {
        ASSIGN_OR_RETURN(const size_t taken, dialler_->Write(stream, data, given % kWrite));
        if (taken == 0) break;
        given += taken;
      }
      const absl::string_view piece(buffer.data(), dialler_->TakeOutput(absl::MakeSpan(buffer), now));
      (void)dialler_->TakeEvents();
      if (!read) {
        carried += piece.size();
        if (piece.empty()) break;
        continue;
      }
      RETURN_IF_ERROR(listener_->Receive(piece, now));
      (void)listener_->TakeEvents();
      ASSIGN_OR_RETURN(const session::ReadResult result, listener_->Read(stream, kWrite));
      carried += result.data.size();
      const size_t credited = listener_->TakeOutput(absl::MakeSpan(credit), now);
      RETURN_IF_ERROR(dialler_->Receive({credit.data(), credited}, now));
      if (piece.empty() && credited == 0) break;
    }
    const absl::Duration spent = ThreadTime() - begun;
    if (carried < bytes) return absl::InternalError("a transfer in memory has stopped");
    if (!read) return PerSecond(bytes, spent);  // this pair is of no more use
    dialler_->Reset(stream, 0);
    RETURN_IF_ERROR(Settle());
    return PerSecond(bytes, spent);
  }

 private:
  session::Options Options(Role role, const crypto::SigningKey& key) {
    session::Options options;
    options.role = role;
    options.identity = &key;
    options.random = &random_;
    if (window_.has_value()) options.stream_window = options.connection_window = *window_;
    return options;
  }

  static absl::Status Pass(Session& from, absl::Duration* from_time, Session& to, absl::Duration* to_time) {
    const absl::Time now = absl::Now();
    const absl::Duration begun = ThreadTime();
    const std::string bytes = from.TakeOutput(kPiece, now);
    const absl::Duration between = ThreadTime();
    const absl::Status status = to.Receive(bytes, now);
    *from_time += between - begun;
    *to_time += ThreadTime() - between;
    return status;
  }

  absl::Status Settle() {
    absl::Duration ignored;
    while (dialler_->HasOutput() || listener_->HasOutput()) {
      RETURN_IF_ERROR(Pass(*dialler_, &ignored, *listener_, &ignored));
      RETURN_IF_ERROR(Pass(*listener_, &ignored, *dialler_, &ignored));
    }
    return absl::OkStatus();
  }

  const std::optional<uint64_t> window_;
  SystemRandom random_;
  const crypto::SigningKey dialler_key_ = crypto::SigningKey::Generate(random_);
  const crypto::SigningKey listener_key_ = crypto::SigningKey::Generate(random_);
  std::optional<Session> dialler_;
  std::optional<Session> listener_;
};

// Bytes a second: OpenSSL's cipher over blocks of 16 KiB, out of 1 MiB and into a buffer as large as a socket's piece.
absl::StatusOr<double> CipherAlone(bool seal) {
  const std::string data(kWrite, 'd');
  const std::string key(32, 'k');
  std::string sealed((kBlock + 16) * 4, '\0');
  const auto bytes = [](auto& s) { return reinterpret_cast<unsigned char*>(const_cast<char*>(s.data())); };
  const std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)> cipher(EVP_CIPHER_CTX_new(),
                                                                               EVP_CIPHER_CTX_free);
  const int direction = seal ? 1 : 0;
  bool ok = EVP_CipherInit_ex2(cipher.get(), EVP_chacha20_poly1305(), bytes(key), nullptr, direction, nullptr) == 1;
  std::array<unsigned char, 12> nonce{};
  int written = 0;
  const absl::Duration begun = ThreadTime();
  for (size_t done = 0; done < kTransfer; done += kBlock) {
    unsigned char* const out = bytes(sealed) + (done / kBlock % 4) * (kBlock + 16);
    ++nonce[done / kBlock % nonce.size()];
    ok = ok && EVP_CipherInit_ex2(cipher.get(), nullptr, nullptr, nonce.data(), direction, nullptr) == 1 &&
         EVP_CipherUpdate(cipher.get(), out, &written, bytes(data) + done % kWrite, kBlock) == 1;
    // What opening would fail with is the tag, at the very end: its computation is in the time all the same.
    (void)EVP_CipherFinal_ex(cipher.get(), out + kBlock, &written);
    if (seal) ok = ok && EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_AEAD_GET_TAG, 16, out + kBlock) == 1;
  }
  if (!ok) return absl::InternalError("the bare cipher failed");
  return PerSecond(kTransfer, ThreadTime() - begun);
}

// Handshakes a second if there were nothing in them but libsodium's operations: two X25519 keys made, three agreed on,
// one Ed25519 signature made and one checked, and the peer's Ed25519 key checked to be of prime order.
absl::StatusOr<double> KeyOperationsAlone() {
  std::array<unsigned char, 32> secret{};
  std::array<unsigned char, 32> point{};
  std::array<unsigned char, 32> other{};
  std::array<unsigned char, crypto_sign_SECRETKEYBYTES> signing{};
  std::array<unsigned char, 32> verifying{};
  std::array<unsigned char, crypto_sign_BYTES> signature{};
  const std::string message(24 + 32, 'm');
  const auto* text = reinterpret_cast<const unsigned char*>(message.data());
  randombytes_buf(secret.data(), secret.size());
  crypto_sign_keypair(verifying.data(), signing.data());
  crypto_scalarmult_base(other.data(), secret.data());
  int failed = 0;
  const absl::Duration begun = ThreadTime();
  for (size_t i = 0; i < kHandshakes; ++i) {
    ++secret[i % 8];
    for (int made = 0; made < 2; ++made) failed |= crypto_scalarmult_base(point.data(), secret.data());
    for (int agreed = 0; agreed < 3; ++agreed) failed |= crypto_scalarmult(point.data(), secret.data(), other.data());
    failed |= crypto_sign_detached(signature.data(), nullptr, text, message.size(), signing.data());
    failed |= crypto_core_ed25519_is_valid_point(verifying.data()) - 1;
    failed |= crypto_sign_verify_detached(signature.data(), text, message.size(), verifying.data());
  }
  if (failed != 0) return absl::InternalError("the bare key operations failed");
  return PerSecond(kHandshakes, ThreadTime() - begun);
}

absl::Status MeasureMemory(size_t repetitions, Report& report) {
  Row send{.what = "session core in memory, the side that sends, 1 MiB writes",
           .unit = "MB/s",
           .peer_name = "bare ChaCha20-Poly1305, 16 KiB blocks",
           .at_least = 0.85};
  Row both{.what = "the same with the side that reads, on one core",
           .unit = "MB/s",
           .peer_name = "bare ChaCha20-Poly1305, sealing and opening",
           .at_least = 0.75};
  Pair talking;
  RETURN_IF_ERROR(talking.Shake());
  RETURN_IF_ERROR(talking.Transfer(kTransfer / 8, true).status());  // warm-up
  for (size_t i = 0; i < repetitions; ++i) {
    Pair one_sided(uint64_t{1} << 40);  // never waits for credit
    RETURN_IF_ERROR(one_sided.Shake());
    ASSIGN_OR_RETURN(const double sent, one_sided.Transfer(kTransfer, false));
    ASSIGN_OR_RETURN(const double sealing, CipherAlone(true));
    ASSIGN_OR_RETURN(const double carried, talking.Transfer(kTransfer, true));
    ASSIGN_OR_RETURN(const double opening, CipherAlone(false));
    send.ours.push_back(sent / 1e6);
    send.peers.push_back(sealing / 1e6);
    both.ours.push_back(carried / 1e6);
    both.peers.push_back(1 / (1 / sealing + 1 / opening) / 1e6);
  }
  report.Add(std::move(send));
  report.Add(std::move(both));
  return absl::OkStatus();
}

absl::Status MeasureLoopback(size_t repetitions, Report& report) {
  Row row{.what = "sessions over loopback TCP, one core a side, 1 MiB writes",
          .unit = "MB/s",
          .peer_name = "1/(1/cipher + 1/TCP) of their own figures",
          .at_least = 0.8};
  Row tcp{.what = "bare loopback TCP, one core a side", .unit = "MB/s"};
  RETURN_IF_ERROR(TransferOverNodes().status());  // warm-up
  for (size_t i = 0; i < repetitions; ++i) {
    ASSIGN_OR_RETURN(const double ours, TransferOverNodes());
    ASSIGN_OR_RETURN(const double cipher, CipherAlone(true));
    ASSIGN_OR_RETURN(const double bare, TransferOverTcp());
    row.ours.push_back(ours / 1e6);
    row.peers.push_back(1 / (1 / cipher + 1 / bare) / 1e6);
    tcp.ours.push_back(bare / 1e6);
  }
  report.Add(std::move(row));
  report.Add(std::move(tcp));
  return absl::OkStatus();
}

absl::Status MeasureHandshakes(size_t repetitions, Report& report) {
  Row listener{.what = "handshakes, the listener's side, one core",
               .unit = "a second",
               .peer_name = "their X25519 and Ed25519 operations alone",
               .at_least = 0.8};
  Row dialler = listener;
  dialler.what = "handshakes, the dialler's side, one core";
  Pair pair;
  for (size_t i = 0; i < repetitions; ++i) {
    absl::Duration of_dialler;
    absl::Duration of_listener;
    for (size_t done = 0; done < kHandshakes; ++done) RETURN_IF_ERROR(pair.Shake(&of_dialler, &of_listener));
    listener.ours.push_back(PerSecond(kHandshakes, of_listener));
    dialler.ours.push_back(PerSecond(kHandshakes, of_dialler));
    ASSIGN_OR_RETURN(const double alone, KeyOperationsAlone());
    listener.peers.push_back(alone);
    dialler.peers.push_back(alone);
  }
  report.Add(std::move(listener));
  report.Add(std::move(dialler));
  report.Note(
      "A handshake's operations, on each side: two X25519 keys made and three secrets agreed on; one Ed25519 signature "
      "made and one checked, and the peer's Ed25519 key checked to be of prime order.");
  return absl::OkStatus();
}

}  // namespace

absl::Status MeasureSessions(const SessionCostOptions& options, Report& report) {
  const auto wanted = [&](const std::string& part) {
    return options.only.empty() || std::find(options.only.begin(), options.only.end(), part) != options.only.end();
  };
  PinTo(0);
  if (wanted("memory")) RETURN_IF_ERROR(MeasureMemory(options.repetitions, report));
  if (wanted("loopback")) RETURN_IF_ERROR(MeasureLoopback(options.repetitions, report));
  if (wanted("handshakes")) RETURN_IF_ERROR(MeasureHandshakes(options.repetitions, report));
  return absl::OkStatus();
}

}  // namespace dotagent::bench
