#include "common/session/transport.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/session/frame.h"

namespace dotagent::session {
namespace {

constexpr size_t kLengthSize = 2;
constexpr char kRekeyByte = static_cast<char>(FrameType::kRekey);

}  // namespace

void Transport::Key::Renew(absl::Time now) {
  cipher.Rekey();
  messages = 0;
  since = now;
}

void Transport::Key::Mix(const FreshExchange::Secret& secret, absl::Time now) {
  cipher.Mix(secret.view());
  messages = 0;
  since = now;
}

Transport::Transport(Role role, CipherPair ciphers, RekeyLimits limits, Random* random, absl::Time now)
    : limits_{.messages = std::max<uint64_t>(limits.messages, 1), .interval = limits.interval},
      send_{.cipher = std::move(ciphers.send), .since = now},
      receive_{.cipher = std::move(ciphers.receive), .since = now},
      fresh_(role, random, limits.interval, now) {}

Message* Transport::BeginMessage(absl::Time now) {
  message_.Clear();
  fresh_frame_ = fresh_.Due(now);
  if (fresh_frame_) message_.Append(fresh_.Take(*fresh_frame_, now));
  const bool due = send_.messages + 1 >= limits_.messages || now - send_.since >= limits_.interval;
  ends_key_ = due && !(fresh_frame_ && FreshExchange::ChangesKey(*fresh_frame_));
  if (ends_key_) message_.Add({.type = FrameType::kRekey});
  return &message_;
}

size_t Transport::EndMessage(absl::Time now, char* out) {
  const size_t size = message_.size() + crypto::kAeadTagSize;
  out[0] = static_cast<char>(size >> 8);
  out[1] = static_cast<char>(size & 0xff);
  send_.cipher.SealTo(message_.pieces(), out + kLengthSize);
  message_.Clear();
  ++send_.messages;
  if (ends_key_) send_.Renew(now);
  if (fresh_frame_ && FreshExchange::ChangesKey(*fresh_frame_)) {
    send_.Mix(fresh_.secret(), now);
    fresh_.FinishIfDone(*fresh_frame_, now);
  }
  message_wanted_ = false;
  return kLengthSize + size;
}

size_t Transport::MessageSize(absl::string_view in) {
  if (in.size() < kLengthSize) return 0;
  return kLengthSize + (static_cast<size_t>(static_cast<uint8_t>(in[0])) << 8 | static_cast<uint8_t>(in[1]));
}

absl::StatusOr<std::optional<absl::string_view>> Transport::TakeMessage(absl::string_view* in, absl::Time now,
                                                                        PlaintextBuffer* buffer) {
  const size_t size = MessageSize(*in);
  if (size == 0) return std::nullopt;
  if (size < kMessageOverhead) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kProtocol,
                           absl::StrCat("sealed message of ", size - kLengthSize, " bytes; its tag alone takes 16"));
  }
  if (in->size() < size) return std::nullopt;
  if (receive_.messages >= limits_.messages) {
    return ErrorWithReason(absl::StatusCode::kResourceExhausted, reason::kLimit,
                           absl::StrCat("the peer sent more than ", limits_.messages, " messages without a REKEY"));
  }
  char* const opened = buffer->WithRoomFor(size - kLengthSize);
  const absl::string_view sealed = in->substr(kLengthSize, size - kLengthSize);
  if (const absl::Status status = receive_.cipher.OpenTo(sealed, opened); !status.ok()) return Diagnose(status, sealed);
  in->remove_prefix(size);
  ++receive_.messages;
  absl::string_view plaintext(opened, size - kMessageOverhead);
  RETURN_IF_ERROR(TakeKeyFrames(&plaintext, now));
  return plaintext;
}

absl::Status Transport::TakeKeyFrames(absl::string_view* plaintext, absl::Time now) {
  bool changed = false;
  if (!plaintext->empty() && FreshExchange::IsFrame(plaintext->front())) {
    const auto frame = static_cast<FrameType>(plaintext->front());
    RETURN_IF_ERROR(fresh_.Receive(plaintext, now));
    changed = FreshExchange::ChangesKey(frame);
    if (changed) receive_.Mix(fresh_.secret(), now);
    fresh_.FinishIfDone(frame, now);
    message_wanted_ = message_wanted_ || fresh_.Due(now).has_value();
  }
  RETURN_IF_ERROR(fresh_.CheckPeer(now));
  if (!changed && !plaintext->empty() && plaintext->front() == kRekeyByte) {
    plaintext->remove_prefix(1);
    receive_.Renew(now);
  } else if (now - receive_.since > 2 * limits_.interval) {
    return ErrorWithReason(absl::StatusCode::kResourceExhausted, reason::kLimit,
                           absl::StrCat("the peer has used one key for ", absl::FormatDuration(now - receive_.since),
                                        "; a REKEY is due every ", absl::FormatDuration(limits_.interval)));
  }
  return absl::OkStatus();
}

// What has happened to a message that does not authenticate: tells whoever looks into it a repeated or lost message, as
// a broken middlebox makes them, from a changed one.
absl::Status Transport::Diagnose(const absl::Status& failed, absl::string_view sealed) const {
  const uint64_t due = receive_.cipher.nonce();
  const std::optional<uint64_t> nonce = receive_.cipher.NonceOf(sealed);
  std::string what = absl::StrCat("sealed message ", due, " was changed on its way, or sealed with another key");
  if (nonce.has_value() && *nonce < due)
    what = absl::StrCat("sealed message ", *nonce, " was replayed: ", due, " was due");
  if (nonce.has_value() && *nonce > due) {
    what = absl::StrCat("sealed message ", *nonce, " came when ", due,
                        " was due: messages were reordered, or some are missing");
  }
  return ErrorWithReason(failed.code(), reason::kProtocol, what);
}

absl::Time Transport::NextTimeout() const {
  if (message_wanted_) return absl::InfiniteFuture();  // it is due now; the timer must not spin
  return std::min(send_.since + limits_.interval, fresh_.NextTimeout());
}

void Transport::OnTimeout(absl::Time now) {
  if (now - send_.since >= limits_.interval || fresh_.Due(now).has_value()) message_wanted_ = true;
}

}  // namespace dotagent::session
