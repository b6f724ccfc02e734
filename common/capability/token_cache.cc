#include "common/capability/token_cache.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/crypto/hash.h"

namespace dotagent::capability {
namespace {

absl::Status KeyOfBlockRevoked(absl::string_view whose, size_t index) {
  return ErrorWithReason(absl::StatusCode::kPermissionDenied, reason::kKeyRevoked,
                         absl::StrCat("the key of the ", whose, " of block ", index + 1,
                                      " of the token has been revoked; ask for a new token"));
}

}  // namespace

std::shared_ptr<const Token> TokenCache::Find(const std::string& digest, absl::Time now) {
  const auto known = by_digest_.find(digest);
  if (known == by_digest_.end()) {
    ++misses_;
    return nullptr;
  }
  const Place place = known->second;
  if (now >= place->token->expires()) {
    Evict(place);
    ++misses_;
    return nullptr;
  }
  ++hits_;
  entries_.splice(entries_.begin(), entries_, place);
  return place->token;
}

absl::StatusOr<std::shared_ptr<const Token>> TokenCache::Verify(absl::string_view bytes) {
  ASSIGN_OR_RETURN(Token verified, VerifyToken(bytes));
  auto token = std::make_shared<const Token>(std::move(verified));
  RETURN_IF_ERROR(CheckRevocations(*token));
  return token;
}

absl::StatusOr<std::shared_ptr<const Token>> TokenCache::Check(absl::string_view bytes, const TokenAccess& access,
                                                               absl::Time now) {
  // Before it is hashed: a large one costs nothing.
  if (bytes.size() > kMaxTokenSize) return VerifyToken(bytes).status();
  std::string digest = crypto::Sha256(bytes);
  if (auto token = Find(digest, now)) {
    RETURN_IF_ERROR(token->Allows(access, now));
    return token;
  }
  ASSIGN_OR_RETURN(auto token, Verify(bytes));
  const absl::Status allowed = token->Allows(access, now);
  // What its owner signed and its holder shows is worth keeping even if it does not cover what is asked for this time.
  if (allowed.ok() || ReasonOf(allowed) == reason::kNotCovered) Insert(std::move(digest), bytes.size(), token);
  RETURN_IF_ERROR(allowed);
  return token;
}

absl::StatusOr<std::shared_ptr<const Token>> TokenCache::Check(absl::string_view bytes, absl::Time now) {
  if (bytes.size() > kMaxTokenSize) return VerifyToken(bytes).status();
  std::string digest = crypto::Sha256(bytes);
  if (auto token = Find(digest, now)) return token;
  ASSIGN_OR_RETURN(auto token, Verify(bytes));
  RETURN_IF_ERROR(token->HoldsAt(now));
  Insert(std::move(digest), bytes.size(), token);
  return token;
}

absl::Status TokenCache::CheckRevocations(const Token& token) const {
  for (size_t i = 0; i < token.blocks().size(); ++i) {
    if (key_revoked_(token.blocks()[i].issuer)) return KeyOfBlockRevoked("issuer", i);
  }
  if (key_revoked_(token.last().audience)) return KeyOfBlockRevoked("audience", token.blocks().size() - 1);
  return revoked_.Check(token);
}

std::vector<std::string> TokenCache::MarksOf(const Token& token) {
  std::vector<std::string> marks;
  for (const TokenBlock& block : token.blocks()) {
    marks.push_back(block.id);
    marks.emplace_back(block.issuer.bytes());
  }
  marks.emplace_back(token.last().audience.bytes());
  std::sort(marks.begin(), marks.end());
  marks.erase(std::unique(marks.begin(), marks.end()), marks.end());
  return marks;
}

void TokenCache::Insert(std::string digest, size_t size, std::shared_ptr<const Token> token) {
  if (size > max_bytes_) return;
  while (bytes_ + size > max_bytes_) Evict(std::prev(entries_.end()));
  entries_.push_front({.digest = std::move(digest), .size = size, .token = std::move(token)});
  const Place place = entries_.begin();
  place->self = place;
  for (std::string& mark : MarksOf(*place->token)) by_mark_[std::move(mark)].insert(&*place);
  by_digest_.emplace(place->digest, place);
  bytes_ += size;
}

void TokenCache::Evict(Place place) {
  for (const std::string& mark : MarksOf(*place->token)) {
    const auto marked = by_mark_.find(mark);
    marked->second.erase(&*place);
    if (marked->second.empty()) by_mark_.erase(marked);
  }
  bytes_ -= place->size;
  by_digest_.erase(place->digest);
  entries_.erase(place);
}

std::vector<TokenCache::Place> TokenCache::MarkedWith(absl::string_view mark) const {
  std::vector<Place> places;
  const auto marked = by_mark_.find(mark);
  if (marked == by_mark_.end()) return places;
  places.reserve(marked->second.size());
  for (const Entry* entry : marked->second) places.push_back(entry->self);
  return places;
}

void TokenCache::OnKeyRevoked(const crypto::PublicKey& key) {
  for (const Place place : MarkedWith(key.bytes())) Evict(place);
}

void TokenCache::OnBlockRevoked(const std::string& block, const crypto::PublicKey& signer) {
  if (!revoked_.Add(block, signer)) return;
  // Only chains in which the signer may: what a stranger revokes evicts nothing.
  for (const Place place : MarkedWith(block)) {
    if (!revoked_.Check(*place->token).ok()) Evict(place);
  }
}

}  // namespace dotagent::capability
