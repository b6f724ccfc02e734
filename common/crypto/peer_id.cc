#include "common/crypto/peer_id.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/status.h"

namespace dotagent::crypto {
namespace {

// KeyType Ed25519 in field 1, 32 bytes in field 2.
constexpr absl::string_view kKeyPrefix("\x08\x01\x12\x20", 4);
// Multihash code 0 (identity), 36 bytes.
constexpr absl::string_view kMultihashPrefix("\x00\x24", 2);
constexpr size_t kMultihashSize = 2 + 4 + kPublicKeySize;
constexpr size_t kMaxText = 64;  // 52 for an Ed25519 key; bounds the quadratic work of base 58
constexpr absl::string_view kBase58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

// Base 58 counts in big-endian digits; a leading zero byte is a leading '1'.
std::string Base58Encode(absl::string_view bytes) {
  std::string digits;  // little-endian, values 0–57
  for (const char byte : bytes) {
    unsigned carry = static_cast<uint8_t>(byte);
    for (char& digit : digits) {
      carry += static_cast<unsigned>(digit) * 256;
      digit = static_cast<char>(carry % 58);
      carry /= 58;
    }
    for (; carry > 0; carry /= 58) {
      digits.push_back(static_cast<char>(carry % 58));
    }
  }
  const size_t zeros = std::min(bytes.find_first_not_of('\0'), bytes.size());
  digits.append(zeros, '\0');
  std::reverse(digits.begin(), digits.end());
  for (char& digit : digits) {
    digit = kBase58[static_cast<size_t>(digit)];
  }
  return digits;
}

absl::StatusOr<std::string> Base58Decode(absl::string_view text) {
  std::string bytes;  // little-endian
  for (const char character : text) {
    const size_t value = kBase58.find(character);
    if (value == absl::string_view::npos) {
      return absl::InvalidArgumentError("it holds a character outside base58");
    }
    auto carry = static_cast<unsigned>(value);
    for (char& byte : bytes) {
      carry += static_cast<unsigned>(static_cast<uint8_t>(byte)) * 58;
      byte = static_cast<char>(carry);
      carry >>= 8;
    }
    for (; carry > 0; carry >>= 8) {
      bytes.push_back(static_cast<char>(carry));
    }
  }
  const size_t zeros = std::min(text.find_first_not_of('1'), text.size());
  bytes.append(zeros, '\0');
  std::reverse(bytes.begin(), bytes.end());
  return bytes;
}

absl::Status BadPeerId(absl::string_view why) {
  return ErrorWithReason(
      absl::StatusCode::kInvalidArgument, reason::kBadAddress,
      absl::StrCat("this is no peer id of an Ed25519 key (they begin with 12D3KooW and have 52 characters): ", why));
}

}  // namespace

std::string EncodeLibp2pKey(const PublicKey& key) { return absl::StrCat(kKeyPrefix, key.bytes()); }

absl::StatusOr<PublicKey> DecodeLibp2pKey(absl::string_view protobuf) {
  if (!absl::ConsumePrefix(&protobuf, kKeyPrefix)) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kBadKey,
                           "this is no libp2p public key of type Ed25519; nodes need an Ed25519 key");
  }
  return PublicKey::FromBytes(protobuf);
}

std::string PeerIdFromKey(const PublicKey& key) {
  return Base58Encode(absl::StrCat(kMultihashPrefix, EncodeLibp2pKey(key)));
}

absl::StatusOr<PublicKey> KeyFromPeerId(absl::string_view text) {
  if (text.empty() || text.size() > kMaxText) {
    return BadPeerId(absl::StrCat("it has ", text.size(), " characters"));
  }
  const absl::StatusOr<std::string> multihash = Base58Decode(text);
  if (!multihash.ok()) {
    return BadPeerId(multihash.status().message());
  }
  if (multihash->size() != kMultihashSize || !absl::StartsWith(*multihash, kMultihashPrefix)) {
    return BadPeerId("it does not hold the key itself");
  }
  absl::StatusOr<PublicKey> key = DecodeLibp2pKey(absl::string_view(*multihash).substr(kMultihashPrefix.size()));
  if (!key.ok()) {
    return BadPeerId(key.status().message());
  }
  return key;
}

}  // namespace dotagent::crypto
