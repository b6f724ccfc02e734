// Both roles of a session's handshake, fed by a stranger. The first byte tells how the rest arrives: which role is the
// victim, and in what pieces. A victim never calls a stranger's bytes an established session, since the stranger knows
// no key.
//
// The payload inside the handshake is encrypted, out of a fuzzer's reach; so the same bytes go to its parser too.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "common/base/random.h"
#include "common/crypto/keys.h"
#include "common/session/libp2p_noise.h"
#include "common/session/session.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using dotagent::session::Role;
  using dotagent::session::Session;
  if (size == 0) return 0;
  const absl::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  (void)dotagent::session::DecodeHandshakePayload(bytes);

  dotagent::SeededRandom random(1);
  const auto identity = dotagent::crypto::SigningKey::Generate(random);
  const absl::Time now = absl::FromUnixSeconds(1'800'000'000);
  const Role role = (data[0] & 1) == 0 ? Role::kDialler : Role::kListener;
  const size_t piece = 1 + (data[0] >> 1) * size_t{4};
  Session victim({.role = role, .identity = &identity, .random = &random}, now);
  for (size_t at = 0; at < bytes.size(); at += piece) {
    if (!victim.Receive(bytes.substr(at, piece), now).ok()) break;
    if (victim.TakeOutput(1 << 16, now).size() > (1 << 16)) std::abort();
  }
  if (victim.established()) std::abort();
  return 0;
}
