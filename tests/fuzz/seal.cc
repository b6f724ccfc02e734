// Sealed messages: the input as what came beside a message that says that it is sealed, and as what is inside one,
// sealed properly. No input crashes, what is refused is refused in one line, and what opens can be sealed again.
#include "common/record/seal.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/random.h"
#include "common/crypto/key_agreement.h"
#include "tests/fuzz/signed_again.h"

namespace dotagent::record {
namespace {

struct Pair {
  crypto::SigningKey sender = FuzzKey();
  crypto::SigningKey recipient = *crypto::SigningKey::FromSeed(std::string(32, 'r'));
};

MessageFields Fields(Json content) {
  return {.id = "fuzz",
          .sender = "alice.agent",
          .recipient = "bob.agent",
          .timestamp = FuzzTime(),
          .content = std::move(content)};
}

absl::StatusOr<OpenedContent> Open(absl::string_view attachment, const Pair& keys) {
  const auto message = Message::Sign(Fields(AttachmentContent(kSealedMediaType, attachment)), keys.sender);
  auto opened = OpenSealed(*message, attachment, keys.sender.public_key(), keys.recipient);
  if (!opened.ok()) CheckRefusal(opened.status());
  return opened;
}

// docs/protocol.md, 6.2.
std::string SealAround(absl::string_view inside, const Pair& keys, Random& random) {
  const std::string info = absl::StrCat("dotagent sealed message v1", absl::string_view("\0", 1),
                                        keys.sender.public_key().bytes(), keys.recipient.public_key().bytes());
  const std::string aad = R"({"id":"fuzz","recipient":"bob.agent","sender":"alice.agent",)"
                          R"("timestamp":"2026-11-23T12:00:00.000Z","type":"NOTIFICATION"})";
  return absl::StrCat("\x01", keys.recipient.public_key().bytes(),
                      *crypto::HpkeSeal(crypto::DhKey::Generate(random),
                                        *crypto::X25519PublicOf(keys.recipient.public_key()), info, aad, inside));
}

}  // namespace
}  // namespace dotagent::record

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace dotagent::record;  // NOLINT(google-build-using-namespace)
  static const Pair keys;
  const absl::string_view input(reinterpret_cast<const char*>(data), size);
  (void)Open(input, keys);
  if (size > kMaxAttachmentSize - kSealOverhead) return 0;

  dotagent::SeededRandom random(size);
  const auto opened = Open(SealAround(input, keys, random), keys);
  if (!opened.ok()) return 0;
  const auto again =
      SignSealed(Fields(opened->content), opened->attachment, keys.recipient.public_key(), keys.sender, random);
  if (!again.ok()) {
    // In canonical form a content may be longer than as it was written.
    CheckRefusal(again.status());
    return 0;
  }
  const auto same = Open(again->attachment, keys);
  if (!same.ok() || same->content != opened->content || same->attachment != opened->attachment) std::abort();
  return 0;
}
