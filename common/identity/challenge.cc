#include "common/identity/challenge.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace dotagent::identity {
namespace {

constexpr size_t kNonceSize = 32;
constexpr size_t kBindingSize = 32;
constexpr size_t kIdSize = 16;
constexpr size_t kMaxPurpose = 64;
constexpr absl::Duration kLifetime = absl::Seconds(60);

absl::Status BadTranscript(absl::string_view message) {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kProtocol, message);
}

absl::Status Unauthenticated(absl::string_view reason, absl::string_view message) {
  return ErrorWithReason(absl::StatusCode::kUnauthenticated, reason, message);
}

}  // namespace

absl::StatusOr<std::string> AuthBytes(const AuthTranscript& transcript, AuthRole role) {
  if (transcript.client_nonce.size() != kNonceSize || transcript.server_nonce.size() != kNonceSize) {
    return BadTranscript("a nonce is 32 random bytes");
  }
  if (transcript.channel_binding.size() != kBindingSize) {
    return BadTranscript("a channel binding is 32 bytes: the SHA-256 of the server's TLS certificate, or zeros");
  }
  // A NUL in it would let one purpose end where another's nonces begin.
  if (transcript.purpose.empty() || transcript.purpose.size() > kMaxPurpose ||
      transcript.purpose.find('\0') != std::string::npos) {
    return BadTranscript("a purpose has 1 to 64 bytes, none of them NUL");
  }
  return absl::StrCat("dotagent auth v1 ", transcript.purpose, role == AuthRole::kClient ? " client" : " server",
                      absl::string_view("\0", 1), transcript.client_nonce, transcript.server_nonce,
                      transcript.client_key.bytes(), transcript.server_key.bytes(), transcript.channel_binding);
}

Challenger::Challenger(std::string purpose, const crypto::Signer& key, std::string channel_binding, Random& random,
                       size_t max_pending)
    : purpose_(std::move(purpose)),
      key_(key),
      channel_binding_(std::move(channel_binding)),
      random_(random),
      max_pending_(max_pending) {}

void Challenger::Drop(PendingById::iterator pending) {
  oldest_first_.erase(pending->second.place);
  pending_.erase(pending);
}

void Challenger::DropExpired(absl::Time now) {
  while (!oldest_first_.empty()) {
    const auto oldest = pending_.find(oldest_first_.front());
    if (oldest->second.expires > now) {
      return;
    }
    Drop(oldest);
  }
}

absl::Status Challenger::CheckRoom(absl::Time now) {
  DropExpired(now);
  if (pending_.size() < max_pending_) return absl::OkStatus();
  return ErrorWithReason(absl::StatusCode::kResourceExhausted, reason::kLimit,
                         "too many challenges wait for an answer; try again in a minute");
}

absl::StatusOr<Challenger::Challenge> Challenger::Begin(const crypto::PublicKey& client_key,
                                                        absl::string_view client_nonce, absl::Time now) {
  {
    // So that a full table costs no signature.
    const Lock lock(mutex_);
    RETURN_IF_ERROR(CheckRoom(now));
  }
  AuthTranscript transcript{.purpose = purpose_,
                            .client_nonce = std::string(client_nonce.substr(0, kNonceSize + 1)),
                            .server_nonce = random_.Bytes(kNonceSize),
                            .client_key = client_key,
                            .server_key = key_.public_key(),
                            .channel_binding = channel_binding_};
  ASSIGN_OR_RETURN(const std::string to_sign, AuthBytes(transcript, AuthRole::kServer));
  ASSIGN_OR_RETURN(std::string signature, key_.Sign(to_sign));
  Challenge challenge{
      .id = random_.Bytes(kIdSize), .server_nonce = transcript.server_nonce, .server_signature = std::move(signature)};
  const Lock lock(mutex_);
  RETURN_IF_ERROR(CheckRoom(now));
  pending_[challenge.id] = {.transcript = std::move(transcript),
                            .expires = now + kLifetime,
                            .place = oldest_first_.insert(oldest_first_.end(), challenge.id)};
  return challenge;
}

absl::StatusOr<AuthTranscript> Challenger::Take(absl::string_view id, absl::Time now) {
  const Lock lock(mutex_);
  DropExpired(now);
  const auto found = pending_.find(id);
  if (found == pending_.end() || found->second.expires <= now) {
    return Unauthenticated(reason::kNotAuthenticated,
                           "there is no such challenge: it was answered already, or over 60 s ago; ask for a new one");
  }
  AuthTranscript transcript = std::move(found->second.transcript);
  Drop(found);
  return transcript;
}

absl::StatusOr<crypto::PublicKey> Challenger::Finish(absl::string_view id, absl::string_view client_signature,
                                                     absl::Time now) {
  ASSIGN_OR_RETURN(const AuthTranscript transcript, Take(id, now));
  ASSIGN_OR_RETURN(const std::string signed_bytes, AuthBytes(transcript, AuthRole::kClient));
  if (!crypto::Verify(transcript.client_key, signed_bytes, client_signature).ok()) {
    return Unauthenticated(reason::kBadSignature,
                           "the answer is not signed by the key that was challenged, over this challenge's transcript");
  }
  return transcript.client_key;
}

absl::StatusOr<std::string> AnswerChallenge(const AuthTranscript& transcript, absl::string_view server_signature,
                                            const crypto::Signer& key) {
  if (key.public_key() != transcript.client_key) {
    return BadTranscript("the key that answers is not the client key of the transcript");
  }
  ASSIGN_OR_RETURN(const std::string server_bytes, AuthBytes(transcript, AuthRole::kServer));
  if (!crypto::Verify(transcript.server_key, server_bytes, server_signature).ok()) {
    return Unauthenticated(reason::kBadSignature,
                           "the server did not prove its key for this connection: something may sit in between");
  }
  ASSIGN_OR_RETURN(const std::string client_bytes, AuthBytes(transcript, AuthRole::kClient));
  return key.Sign(client_bytes);
}

}  // namespace dotagent::identity
