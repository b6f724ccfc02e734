// Capability tokens and their revocations, as they come, and a token whose block holds the input, properly signed: no
// input crashes, what is refused is refused in one line, and what is accepted keeps its promises. The reader of tokens
// is held against Protocol Buffers' own parser: both take the same bytes.
#include "common/capability/token.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "common/capability/strict_reader.h"
#include "common/capability/token_cache.h"
#include "common/capability/token_revocation.h"
#include "common/identity/statement.h"
#include "common/record/utf8.h"
#include "dotagent/capability/v1/token.pb.h"
#include "tests/fuzz/identity_fixtures.h"

namespace dotagent::capability {
namespace {

void CheckToken(absl::string_view bytes) {
  const auto token = VerifyToken(bytes);
  if (!token.ok()) {
    identity::CheckRefusal(token.status());
    return;
  }
  // It allows its holder what it says, once, and nobody else.
  const TokenBlock& last = token->last();
  const crypto::PublicKey owners[] = {token->owner()};
  const TokenAccess access{
      .owners = owners, .presenter = last.audience, .resource = last.resource, .action = last.actions.front()};
  TokenCache cache(kMaxTokenSize, [](const crypto::PublicKey&) { return false; });
  for (int i = 0; i < 2; ++i) {
    if (!cache.Check(bytes, access, last.not_before).ok() || cache.Check(bytes, access, last.expires).ok())
      std::abort();
  }
  if (token->blocks().size() > kMaxTokenBlocks) std::abort();
  for (size_t i = 1; i < token->blocks().size(); ++i) {
    if (!CheckNarrows(token->blocks()[i], token->blocks()[i - 1]).ok()) std::abort();
  }
  cache.OnBlockRevoked(last.id, token->owner());
  if (cache.Check(bytes, access, last.not_before).ok() || cache.size() != 0) std::abort();
}

void CheckReader(absl::string_view bytes) {
  StrictReader reader(bytes);
  bool utf8 = true;
  for (const uint32_t field : {1, 2}) (void)reader.Bytes(field);
  utf8 = record::IsValidUtf8(reader.Bytes(3)) && utf8;
  while (const auto action = reader.NextBytes(4)) utf8 = record::IsValidUtf8(*action) && utf8;
  for (const uint32_t field : {5, 6, 7}) (void)reader.Number(field);
  for (const uint32_t field : {8, 9}) (void)reader.Bytes(field);
  const absl::Status read = reader.Finish("a TokenBlock");
  if (!read.ok()) identity::CheckRefusal(read);
  if (!utf8) return;  // Protocol Buffers refuses such text; Resource and CheckAction do so for tokens
  v1::TokenBlock block;
  const bool strict = identity::ParseStrictly(bytes, &block);
  // Ten bytes of varint, which are no date and no number of uses.
  const bool beyond = block.not_before_ms() < 0 || block.expires_at_ms() < 0 || (block.max_uses() >> 63) != 0;
  if (read.ok() != (strict && !beyond)) std::abort();
}

std::string TokenAround(absl::string_view payload, const crypto::Signer& key) {
  v1::Token token;
  token.add_blocks(identity::SignStatement(key, kTokenBlockContext, payload)->SerializeAsString());
  return token.SerializeAsString();
}

}  // namespace
}  // namespace dotagent::capability

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace dotagent;  // NOLINT(google-build-using-namespace)
  static const identity::FuzzKeys keys;
  const absl::string_view input(reinterpret_cast<const char*>(data), size);
  capability::CheckToken(input);
  capability::CheckToken(capability::TokenAround(input, keys.first));
  capability::CheckReader(input);
  const auto resource = capability::Resource::Parse(input);
  if (resource.ok() && (resource->text() != input || !resource->Covers(*resource))) std::abort();
  if (!resource.ok()) identity::CheckRefusal(resource.status());
  const auto revocation = capability::VerifyTokenRevocation(input, identity::FuzzTime());
  if (!revocation.ok()) identity::CheckRefusal(revocation.status());
  return 0;
}
