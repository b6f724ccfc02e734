#include "common/session/cookie.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/base/status.h"
#include "common/crypto/hash.h"

namespace dotagent::session {
namespace {

constexpr absl::string_view kMacContext = "dotagent cookie 1";
constexpr size_t kKeySize = 32;
constexpr size_t kMacSize = 16;
constexpr size_t kToldSize = kCookieSize - kMacSize;  // bits and time

std::string BigEndian(uint64_t value) {
  std::string bytes(8, '\0');
  for (size_t i = 0; i < 8; ++i) bytes[7 - i] = static_cast<char>(value >> (8 * i));
  return bytes;
}

uint64_t FromBigEndian(absl::string_view bytes) {
  uint64_t value = 0;
  for (const char c : bytes) value = value << 8 | static_cast<uint8_t>(c);
  return value;
}

absl::Status WrongSize(absl::string_view what, size_t size, size_t wanted) {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kProtocol,
                         absl::StrCat("a ", what, " of ", size, " bytes; it has ", wanted));
}

}  // namespace

CookieMint::CookieMint(Random& random) : key_(kKeySize) { random.Fill(key_.data(), kKeySize); }

std::string CookieMint::Make(absl::string_view peer, int bits, absl::Time now) const {
  std::string cookie(1, static_cast<char>(bits));
  cookie += BigEndian(static_cast<uint64_t>(absl::ToUnixMillis(now)));
  return cookie + Mac(peer, cookie);
}

absl::StatusOr<int> CookieMint::Check(absl::string_view peer, absl::string_view proof, absl::Time now) const {
  if (proof.size() != kCookieProofSize) return WrongSize("cookie's proof", proof.size(), kCookieProofSize);
  const absl::string_view told = proof.substr(0, kToldSize);
  if (!ConstantTimeEquals(proof.substr(kToldSize, kMacSize), Mac(peer, told))) {
    return ErrorWithReason(absl::StatusCode::kUnauthenticated, reason::kBadSignature,
                           "the cookie was not given to this connection by this node");
  }
  // What the MAC covers is ours: the time is one that we told, and no overflow.
  const absl::Duration age = now - absl::FromUnixMillis(static_cast<int64_t>(FromBigEndian(told.substr(1))));
  if (age > kLifetime) {
    return ErrorWithReason(absl::StatusCode::kDeadlineExceeded, reason::kStale,
                           absl::StrCat("the cookie is ", absl::FormatDuration(age), " old; its work may take ",
                                        absl::FormatDuration(kLifetime)));
  }
  const int bits = static_cast<uint8_t>(told.front());
  if (crypto::LeadingZeroBits(crypto::Sha256(proof)) < bits) {
    return ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kLimit,
                           absl::StrCat("the cookie's proof does not show ", bits, " bits of work"));
  }
  return bits;
}

std::string CookieMint::Mac(absl::string_view peer, absl::string_view told) const {
  // What is told has one size, so no two inputs read the same.
  return crypto::HmacSha256(key_.view(), absl::StrCat(kMacContext, told, peer)).substr(0, kMacSize);
}

absl::StatusOr<CookieSolver> CookieSolver::Create(absl::string_view cookie, int max_bits, Random& random) {
  if (cookie.size() != kCookieSize) return WrongSize("cookie", cookie.size(), kCookieSize);
  const int bits = static_cast<uint8_t>(cookie.front());
  if (bits == 0) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kProtocol, "a cookie that asks for no work");
  }
  if (bits > max_bits) {
    return ErrorWithReason(absl::StatusCode::kResourceExhausted, reason::kLimit,
                           absl::StrCat("the peer is under load and asks for ", bits, " bits of work first; at most ",
                                        max_bits, " are done here. Try later"));
  }
  return CookieSolver(cookie, bits, FromBigEndian(random.Bytes(8)));
}

CookieSolver::CookieSolver(absl::string_view cookie, int bits, uint64_t nonce)
    : proof_(absl::StrCat(cookie, BigEndian(nonce))), bits_(bits), nonce_(nonce) {}

std::optional<std::string> CookieSolver::Work(uint64_t attempts) {
  for (uint64_t attempt = 0; attempt < attempts; ++attempt) {
    if (crypto::LeadingZeroBits(crypto::Sha256(proof_)) >= bits_) return proof_;
    ++nonce_;
    for (size_t i = 0; i < 8; ++i) proof_[kCookieProofSize - 1 - i] = static_cast<char>(nonce_ >> (8 * i));
  }
  return std::nullopt;
}

}  // namespace dotagent::session
