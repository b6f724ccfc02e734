// Sealed messages: content and attachment that only the recipient's key opens, so that the gateways on the way, and
// their disks, hold ciphertext. docs/adr/0033 says why it is as it is.
//
// A sealed message is a message like any other, signed by its sender, whose attachment is of the type kSealedMediaType:
//
//   version 01 ‖ recipient's key ‖ HPKE's enc ‖ ciphertext ‖ tag           (crypto/hpke.h)
//     info = "dotagent sealed message v1" ‖ 00 ‖ sender's key ‖ recipient's key      Ed25519, as in their records
//     aad  = JCS of the message's id, recipient, sender, timestamp and type
//     inside: uvarint length ‖ JCS of the content ‖ the attachment
//
// Id, type, names and time stay readable; so do the sizes. Defends against gateways that read, and against whoever
// signs another's sealed content as his own, or sends it on in another message: it then does not open. Does not defend
// what was sent against who gets the recipient's private key later (no forward secrecy: a channel has that), nor
// against a gateway that hands the sender a record of its own as the recipient's.
//
// REQUESTs are not sealed: a gateway judges one by its method (inbox policies), which it could not read; the recipient
// would take for judged what was not.
//
//   ASSIGN_OR_RETURN(SealedMessage sealed, SignSealed(fields, "", bobs_public_key, alices_key, random));
//   ASSIGN_OR_RETURN(OpenedContent opened, OpenSealed(message, attachment, alices_public_key, bobs_key));
#ifndef DOTAGENT_COMMON_RECORD_SEAL_H_
#define DOTAGENT_COMMON_RECORD_SEAL_H_

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/base/random.h"
#include "common/crypto/hpke.h"
#include "common/crypto/keys.h"
#include "common/record/canonical_json.h"
#include "common/record/message.h"

namespace dotagent::record {

inline constexpr char kSealedMediaType[] = "application/vnd.dotagent.sealed";
// In the record of an agent that opens sealed messages.
inline constexpr char kSealedProtocol[] = "/dotagent/sealed/1.0.0";
// Before what is inside: version and key; and HPKE's.
inline constexpr size_t kSealOverhead = 1 + crypto::kPublicKeySize + crypto::kHpkeOverhead;

struct SealedMessage {
  Message message;
  std::string attachment;  // goes with it
};

struct OpenedContent {
  Json content = Json::object();
  std::string attachment;
};

// A message like Message::Sign's of `fields`, and of an attachment that their content describes, sealed to `recipient`.
// InvalidArgument: BAD_MESSAGE (a REQUEST, an attachment that is not described, or as Sign), BAD_KEY, TOO_LARGE: with
// the content's JSON and at most 84 bytes more the attachment has to fit into kMaxAttachmentSize.
[[nodiscard]] absl::StatusOr<SealedMessage> SignSealed(const MessageFields& fields, absl::string_view attachment,
                                                       const crypto::PublicKey& recipient, const crypto::Signer& key,
                                                       Random& random);

// Whether the message says that it is sealed.
[[nodiscard]] bool IsSealed(const Message& message);

// The key that it says to be sealed to. InvalidArgument (BAD_MESSAGE) if it is no sealed attachment, or of a version
// that is not known here.
[[nodiscard]] absl::StatusOr<crypto::PublicKey> SealedTo(absl::string_view attachment);

// What is inside. `message` has been verified with `sender`, and `attachment` is the one that it describes. All is
// InvalidArgument (BAD_MESSAGE): not sealed, a REQUEST, sealed to another key, altered, moved here from another
// message, or no content inside.
[[nodiscard]] absl::StatusOr<OpenedContent> OpenSealed(const Message& message, absl::string_view attachment,
                                                       const crypto::PublicKey& sender, const crypto::SigningKey& key);

}  // namespace dotagent::record

#endif  // DOTAGENT_COMMON_RECORD_SEAL_H_
