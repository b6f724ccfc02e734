// A node's signed word on whose key it is. Sessions already prove who answers, so a reader that asks the node itself
// need not check the signature; it serves to show others what a node said: a name's owner keeps the receipts of its
// registration, and a report of a conflict holds those of both sides.
#ifndef DOTAGENT_COMMON_DHT_RECEIPT_H_
#define DOTAGENT_COMMON_DHT_RECEIPT_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/crypto/keys.h"
#include "common/dht/types.h"

namespace dotagent::dht {

// Signs "dotagent-dht-receipt-v1" ‖ 0x00 ‖ node's key ‖ kind ‖ key ‖ owner ‖ digest ‖ first_seen in milliseconds
// (8 bytes, big-endian). Fails only if the signer does.
[[nodiscard]] absl::StatusOr<Receipt> SignReceipt(const crypto::Signer& node, ValueKind kind, const Id& key,
                                                  const Id& owner, const Id& digest, absl::Time first_seen);

// InvalidArgument (BAD_SIGNATURE) if `node` did not sign it. About 50 µs.
[[nodiscard]] absl::Status VerifyReceipt(const crypto::PublicKey& node, ValueKind kind, const Id& key,
                                         const Receipt& receipt);

}  // namespace dotagent::dht

#endif  // DOTAGENT_COMMON_DHT_RECEIPT_H_
