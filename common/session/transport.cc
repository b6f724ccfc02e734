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

Transport::Transport(CipherPair ciphers, RekeyLimits limits, absl::Time now)
    : limits_{.messages = std::max<uint64_t>(limits.messages, 1), .interval = limits.interval},
      send_{.cipher = std::move(ciphers.send), .since = now},
      receive_{.cipher = std::move(ciphers.receive), .since = now} {}

std::string* Transport::BeginMessage(absl::Time now) {
  message_.clear();
  ends_key_ = rekey_wanted_ || send_.messages + 1 >= limits_.messages || now - send_.since >= limits_.interval;
  if (ends_key_) message_.push_back(kRekeyByte);
  return &message_;
}

void Transport::EndMessage(absl::Time now, std::string* out) {
  const size_t size = message_.size() + crypto::kAeadTagSize;
  out->push_back(static_cast<char>(size >> 8));
  out->push_back(static_cast<char>(size & 0xff));
  send_.cipher.Seal("", message_, out);
  ++send_.messages;
  if (ends_key_) {
    send_.Renew(now);
    rekey_wanted_ = false;
  }
}

absl::StatusOr<bool> Transport::TakeMessage(absl::string_view* in, absl::Time now, std::string* plaintext) {
  if (in->size() < kLengthSize) return false;
  const size_t size = static_cast<size_t>(static_cast<uint8_t>((*in)[0])) << 8 | static_cast<uint8_t>((*in)[1]);
  if (size < crypto::kAeadTagSize) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kProtocol,
                           absl::StrCat("sealed message of ", size, " bytes; its tag alone takes 16"));
  }
  if (in->size() < kLengthSize + size) return false;
  if (receive_.messages >= limits_.messages) {
    return ErrorWithReason(absl::StatusCode::kResourceExhausted, reason::kLimit,
                           absl::StrCat("the peer sent more than ", limits_.messages, " messages without a REKEY"));
  }
  plaintext->clear();
  RETURN_IF_ERROR(receive_.cipher.Open("", in->substr(kLengthSize, size), plaintext));
  in->remove_prefix(kLengthSize + size);
  ++receive_.messages;
  if (!plaintext->empty() && plaintext->front() == kRekeyByte) {
    plaintext->erase(0, 1);
    receive_.Renew(now);
  } else if (now - receive_.since > 2 * limits_.interval) {
    return ErrorWithReason(absl::StatusCode::kResourceExhausted, reason::kLimit,
                           absl::StrCat("the peer has used one key for ", absl::FormatDuration(now - receive_.since),
                                        "; a REKEY is due every ", absl::FormatDuration(limits_.interval)));
  }
  return true;
}

absl::Time Transport::NextTimeout() const {
  return rekey_wanted_ ? absl::InfiniteFuture() : send_.since + limits_.interval;
}

void Transport::OnTimeout(absl::Time now) {
  if (now - send_.since >= limits_.interval) rekey_wanted_ = true;
}

}  // namespace dotagent::session
