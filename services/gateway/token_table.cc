#include "services/gateway/token_table.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/status.h"
#include "common/crypto/hash.h"

namespace dotagent::gateway_service {
namespace {
constexpr size_t kTokenBytes = 32;
constexpr size_t kTokenTextSize = 2 * kTokenBytes;
}  // namespace

absl::StatusOr<TokenTable::Issued> TokenTable::Issue(const crypto::PublicKey& key, absl::Time now) {
  auto& digests = by_key_[key];
  while (digests.size() >= limits_.max_per_key) {
    tokens_.erase(digests.front());
    digests.pop_front();
  }
  if (tokens_.size() >= limits_.max_tokens) {
    if (digests.empty()) by_key_.erase(key);
    return ErrorWithReason(absl::StatusCode::kResourceExhausted, reason::kLimit,
                           "this gateway serves as many agents as it can; use another one or try again later");
  }
  Issued issued{HexEncode(random_.Bytes(kTokenBytes)), now + limits_.lifetime};
  const std::string digest = crypto::Sha256(issued.token);
  auto agent = std::make_shared<Agent>();
  agent->key = key;
  tokens_.insert_or_assign(digest, Entry{std::move(agent), issued.expires});
  digests.push_back(digest);
  return issued;
}

absl::StatusOr<std::shared_ptr<Agent>> TokenTable::Check(absl::string_view token, absl::Time now) const {
  if (token.size() == kTokenTextSize) {
    const auto found = tokens_.find(crypto::Sha256(token));
    if (found != tokens_.end() && now < found->second.expires) return found->second.agent;
  }
  return ErrorWithReason(absl::StatusCode::kUnauthenticated, reason::kNotAuthenticated,
                         token.empty() ? "this call needs the metadata `authorization: Bearer TOKEN`; get a token from "
                                         "Challenge and Authenticate"
                                       : "the token is unknown or has ended; authenticate again");
}

size_t TokenTable::Revoke(const crypto::PublicKey& key) {
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return 0;
  const size_t count = found->second.size();
  for (const std::string& digest : found->second) tokens_.erase(digest);
  by_key_.erase(found);
  return count;
}

void TokenTable::DropExpired(absl::Time now) {
  std::vector<std::string> expired;
  for (const auto& [digest, entry] : tokens_) {
    if (entry.expires <= now) expired.push_back(digest);
  }
  for (const std::string& digest : expired) Erase(digest);
}

void TokenTable::Erase(const std::string& digest) {
  const auto entry = tokens_.find(digest);
  const auto digests = by_key_.find(entry->second.agent->key);
  if (digests != by_key_.end()) {
    digests->second.erase(std::remove(digests->second.begin(), digests->second.end(), digest), digests->second.end());
    if (digests->second.empty()) by_key_.erase(digests);
  }
  tokens_.erase(entry);
}

}  // namespace dotagent::gateway_service
