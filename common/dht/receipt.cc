#include "common/dht/receipt.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/base/status.h"

namespace dotagent::dht {
namespace {

constexpr absl::string_view kContext("dotagent-dht-receipt-v1\0", 24);

std::string SignedBytes(const crypto::PublicKey& node, ValueKind kind, const Id& key, const Receipt& receipt) {
  std::string bytes = absl::StrCat(kContext, node.bytes());
  bytes.push_back(static_cast<char>(kind));
  absl::StrAppend(&bytes, key.bytes(), receipt.owner.bytes(), receipt.digest.bytes());
  const auto millis = static_cast<uint64_t>(absl::ToUnixMillis(receipt.first_seen));
  for (int shift = 56; shift >= 0; shift -= 8) bytes.push_back(static_cast<char>(millis >> shift));
  return bytes;
}

}  // namespace

absl::StatusOr<Receipt> SignReceipt(const crypto::Signer& node, ValueKind kind, const Id& key, const Id& owner,
                                    const Id& digest, absl::Time first_seen) {
  // The milliseconds are what is signed.
  Receipt receipt{owner, digest, absl::FromUnixMillis(absl::ToUnixMillis(first_seen)), ""};
  ASSIGN_OR_RETURN(receipt.signature, node.Sign(SignedBytes(node.public_key(), kind, key, receipt)));
  return receipt;
}

absl::Status VerifyReceipt(const crypto::PublicKey& node, ValueKind kind, const Id& key, const Receipt& receipt) {
  return WithContext(crypto::Verify(node, SignedBytes(node, kind, key, receipt), receipt.signature),
                     "a node's receipt");
}

}  // namespace dotagent::dht
