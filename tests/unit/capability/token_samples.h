// Keys, grants and tokens that the tests of tokens share.
#ifndef DOTAGENT_TESTS_UNIT_CAPABILITY_TOKEN_SAMPLES_H_
#define DOTAGENT_TESTS_UNIT_CAPABILITY_TOKEN_SAMPLES_H_

#include <string>
#include <vector>

#include "common/base/random.h"
#include "common/capability/token.h"
#include "common/crypto/keys.h"

namespace dotagent::capability {

inline const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);

struct TokenSamples {
  SeededRandom random{1};
  crypto::SigningKey bob = crypto::SigningKey::Generate(random);  // owns agent://bob.agent
  crypto::SigningKey alice = crypto::SigningKey::Generate(random);
  crypto::SigningKey carol = crypto::SigningKey::Generate(random);
  crypto::SigningKey dave = crypto::SigningKey::Generate(random);

  [[nodiscard]] static TokenGrant To(const crypto::SigningKey& audience) {
    return {.audience = audience.public_key(),
            .resource = "agent://bob.agent/calendar",
            .actions = {"write", "read"},
            .not_before = kNow - absl::Hours(1),
            .expires = kNow + absl::Hours(24),
            .max_uses = 10};
  }
  [[nodiscard]] std::string Nonce() { return random.Bytes(kTokenNonceSize); }

  // Bob to Alice, Alice to Carol, Carol to Dave: as many of them as `blocks` says.
  [[nodiscard]] std::string Chain(size_t blocks) {
    const std::vector<const crypto::SigningKey*> holders = {&bob, &alice, &carol, &dave};
    std::string token = IssueToken(bob, To(alice), Nonce()).value();
    for (size_t i = 1; i < blocks; ++i) {
      token = DelegateToken(token, *holders[i], To(*holders[i + 1]), Nonce()).value();
    }
    return token;
  }
};

}  // namespace dotagent::capability

#endif  // DOTAGENT_TESTS_UNIT_CAPABILITY_TOKEN_SAMPLES_H_
