// Rotation chains and single statements, as they come, and a chain whose rotation holds the input, properly signed: no
// input crashes, what is refused is refused in one line, and what is accepted says itself again.
#include "common/identity/rotation.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/identity/revocation.h"
#include "dotagent/identity/v1/statements.pb.h"
#include "tests/fuzz/identity_fixtures.h"

namespace dotagent::identity {
namespace {

// A rotation with `payload`, signed by both keys, behind an inception.
std::vector<std::string> SignedAround(absl::string_view payload) {
  static const FuzzKeys keys;
  static const std::string inception = *MakeInception(keys.first, keys.second.public_key(), FuzzTime());
  v1::SignedStatement statement;
  statement.set_payload(std::string(payload));
  statement.set_public_key(std::string(keys.first.public_key().bytes()));
  statement.set_signature(*keys.first.Sign(absl::StrCat(absl::string_view("dotagent rotation v1\0", 21), payload)));
  statement.set_successor_signature(
      *keys.second.Sign(absl::StrCat(absl::string_view("dotagent rotation accept v1\0", 28), payload)));
  return {inception, statement.SerializeAsString()};
}

void CheckChain(const std::vector<std::string>& statements) {
  const auto chain = VerifyRotationChain(statements, FuzzTime());
  if (!chain.ok()) {
    CheckRefusal(chain.status());
    return;
  }
  if (chain->length() != statements.size() || !chain->KeyWasOf(chain->current()) ||
      chain->agent != AgentId::FromFirstKey(chain->first()) ||
      CompareRotationChains(*chain, *chain).relation != ChainRelation::kSame) {
    std::abort();
  }
}

}  // namespace
}  // namespace dotagent::identity

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace dotagent::identity;  // NOLINT(google-build-using-namespace)
  const absl::string_view input(reinterpret_cast<const char*>(data), size);
  const auto statements = DecodeRotationChain(input);
  if (statements.ok()) {
    if (EncodeRotationChain(*statements) != input) std::abort();
    CheckChain(*statements);
  } else {
    CheckRefusal(statements.status());
  }
  CheckChain({std::string(input)});
  CheckChain(SignedAround(input));
  const auto revocation = VerifyRevocation(input, FuzzTime());
  if (!revocation.ok()) CheckRefusal(revocation.status());
  // A revocation and its evidence: the first half of the input, and the second.
  const auto with_evidence = VerifyRevocationWith(input.substr(0, size / 2), input.substr(size / 2), FuzzTime());
  if (!with_evidence.ok()) CheckRefusal(with_evidence.status());
  return 0;
}
