// Peer ids, and the keys within: no input crashes, what is refused is refused in one line, and what is accepted is the
// one text, and the one encoding, of its key.
#include "common/crypto/peer_id.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/base/status.h"
#include "tests/fuzz/identity_fixtures.h"

namespace dotagent::crypto {
namespace {

void Require(bool condition) {
  if (!condition) std::abort();
}

void CheckText(absl::string_view text) {
  const absl::StatusOr<PublicKey> key = KeyFromPeerId(text);
  if (key.ok()) return Require(PeerIdFromKey(*key) == text);
  Require(ReasonOf(key.status()) == reason::kBadAddress);
  identity::CheckRefusal(key.status());
}

void CheckProtobuf(absl::string_view bytes) {
  const absl::StatusOr<PublicKey> key = DecodeLibp2pKey(bytes);
  if (!key.ok()) {
    Require(ReasonOf(key.status()) == reason::kBadKey);
    return identity::CheckRefusal(key.status());
  }
  Require(EncodeLibp2pKey(*key) == bytes);
  CheckText(PeerIdFromKey(*key));
}

}  // namespace
}  // namespace dotagent::crypto

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace dotagent::crypto;  // NOLINT(google-build-using-namespace)
  const absl::string_view input(reinterpret_cast<const char*>(data), size);
  CheckText(input);
  CheckText(absl::StrCat("12D3KooW", input.substr(0, 44)));  // so that most have the right length
  CheckProtobuf(input);
  CheckProtobuf(absl::StrCat("\x08\x01\x12\x20", input.substr(0, kPublicKeySize)));
  return 0;
}
