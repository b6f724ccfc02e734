#include "common/identity/rotation.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/crypto/hash.h"
#include "common/identity/statement.h"
#include "dotagent/identity/v1/statements.pb.h"

namespace dotagent::identity {
namespace {

constexpr absl::string_view kInceptionContext("dotagent inception v1\0", 22);
constexpr absl::string_view kRotationContext("dotagent rotation v1\0", 21);
constexpr absl::string_view kAcceptContext("dotagent rotation accept v1\0", 28);

std::string Commitment(const crypto::PublicKey& key) { return crypto::Sha256(key.bytes()); }

absl::Status WrongKey(absl::string_view message) {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kKeyMismatch, message);
}

absl::Status TooLarge(absl::string_view message) {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kTooLarge, message);
}

absl::StatusOr<RotationChain> VerifyInception(absl::string_view statement, absl::Time now) {
  ASSIGN_OR_RETURN(const v1::SignedStatement outer, ParseStatement(statement));
  ASSIGN_OR_RETURN(const crypto::PublicKey key, VerifySigner(outer, kInceptionContext));
  v1::Inception inner;
  if (!ParseStrictly(outer.payload(), &inner)) {
    return BadStatement("the signed payload is no Inception in its canonical form");
  }
  if (inner.public_key() != key.bytes()) {
    return BadStatement("it names another first key than the one that signed it");
  }
  if (inner.next_commitment().size() != crypto::kSha256Size) {
    return BadStatement("its commitment is not 32 bytes");
  }
  ASSIGN_OR_RETURN(const absl::Time signed_at, CheckDate(inner.signed_at_ms(), now));
  return RotationChain{
      .agent = AgentId::FromFirstKey(key),
      .events = {{key, crypto::Sha256(absl::StrCat(kInceptionContext, outer.payload())), signed_at}},
      .next_commitment = std::move(*inner.mutable_next_commitment()),
  };
}

// That `inner`, signed by the current key, goes behind `chain`'s newest event; all but its new key and its date.
absl::Status CheckPlace(const RotationChain& chain, const v1::Rotation& inner) {
  if (inner.agent_id() != chain.agent.bytes()) {
    return BadStatement("it is another identity's");
  }
  if (inner.sequence() != chain.length()) {
    return BadStatement(absl::StrCat("its sequence number is ", inner.sequence(), ", not ", chain.length()));
  }
  if (inner.previous() != chain.events.back().digest) {
    return BadStatement("it follows another statement than the one before it");
  }
  if (crypto::Sha256(inner.public_key()) != chain.next_commitment) {
    return BadStatement("the statement before it committed to another key");
  }
  if (inner.next_commitment().size() != crypto::kSha256Size) {
    return BadStatement("its commitment is not 32 bytes");
  }
  return absl::OkStatus();
}

absl::Status Append(absl::string_view statement, absl::Time now, RotationChain& chain) {
  ASSIGN_OR_RETURN(const v1::SignedStatement outer, ParseStatement(statement));
  if (outer.public_key() != chain.current().bytes()) {
    return BadStatement("it is not signed by the key that was current");
  }
  const std::string signed_bytes = absl::StrCat(kRotationContext, outer.payload());
  RETURN_IF_ERROR(crypto::Verify(chain.current(), signed_bytes, outer.signature()));
  v1::Rotation inner;
  if (!ParseStrictly(outer.payload(), &inner)) {
    return BadStatement("the signed payload is no Rotation in its canonical form");
  }
  RETURN_IF_ERROR(CheckPlace(chain, inner));
  const absl::StatusOr<crypto::PublicKey> key = crypto::PublicKey::FromBytes(inner.public_key());
  if (!key.ok()) {
    return BadStatement(absl::StrCat("its new key: ", key.status().message()));
  }
  if (chain.KeyWasOf(*key)) {
    return BadStatement("its new key has been used before; a key that was retired stays so");
  }
  RETURN_IF_ERROR(
      WithContext(crypto::Verify(*key, absl::StrCat(kAcceptContext, outer.payload()), outer.successor_signature()),
                  "by the new key"));
  ASSIGN_OR_RETURN(const absl::Time signed_at, CheckDate(inner.signed_at_ms(), now));
  if (signed_at < chain.newest()) {
    return BadStatement("it is dated before the statement that it follows");
  }
  chain.events.push_back({*key, crypto::Sha256(signed_bytes), signed_at});
  chain.next_commitment = std::move(*inner.mutable_next_commitment());
  return absl::OkStatus();
}

absl::Status CheckSizes(absl::Span<const std::string> statements) {
  if (statements.empty()) {
    return BadStatement("a rotation chain has at least an inception; this one is empty");
  }
  if (statements.size() > kMaxRotationStatements) {
    return TooLarge(absl::StrCat("a rotation chain has at most ", kMaxRotationStatements, " statements; this one has ",
                                 statements.size()));
  }
  for (size_t i = 0; i < statements.size(); ++i) {
    if (statements[i].size() > kMaxRotationStatementSize) {
      return TooLarge(absl::StrCat("a rotation statement has at most ", kMaxRotationStatementSize, " bytes; number ", i,
                                   " has ", statements[i].size()));
    }
  }
  return absl::OkStatus();
}

}  // namespace

bool RotationChain::KeyWasOf(const crypto::PublicKey& key) const {
  return std::any_of(events.begin(), events.end(), [&key](const RotationEvent& event) { return event.key == key; });
}

bool RotationChain::Succeeds(const crypto::PublicKey& successor, const crypto::PublicKey& key) const {
  const auto held =
      std::find_if(events.begin(), events.end(), [&key](const RotationEvent& event) { return event.key == key; });
  if (held == events.end()) {
    return false;
  }
  const auto after = std::next(held);
  return after != events.end() ? after->key == successor : Commitment(successor) == next_commitment;
}

absl::StatusOr<std::string> MakeInception(const crypto::Signer& first, const crypto::PublicKey& next, absl::Time now) {
  if (first.public_key() == next) {
    return WrongKey("the next key must not be the first; make a new one, and keep it elsewhere");
  }
  v1::Inception inception;
  inception.set_public_key(std::string(first.public_key().bytes()));
  inception.set_next_commitment(Commitment(next));
  inception.set_signed_at_ms(absl::ToUnixMillis(now));
  ASSIGN_OR_RETURN(const v1::SignedStatement statement,
                   SignStatement(first, kInceptionContext, inception.SerializeAsString()));
  return statement.SerializeAsString();
}

absl::StatusOr<std::string> MakeRotation(const RotationChain& chain, const crypto::Signer& current,
                                         const crypto::Signer& next, const crypto::PublicKey& after_next,
                                         absl::Time now) {
  if (chain.length() >= kMaxRotationStatements) {
    return ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kLimit,
                           absl::StrCat("an identity can rotate ", kMaxRotationStatements - 1,
                                        " times, and this one has; make a new identity"));
  }
  if (current.public_key() != chain.current()) {
    return WrongKey("the old key is not the identity's current one");
  }
  if (Commitment(next.public_key()) != chain.next_commitment) {
    return WrongKey("the new key is not the one that the identity has committed to");
  }
  if (chain.KeyWasOf(after_next) || after_next == next.public_key()) {
    return WrongKey("the key to commit to has been used before; make a new one, and keep it elsewhere");
  }
  const int64_t now_ms = absl::ToUnixMillis(now);
  if (now_ms < absl::ToUnixMillis(chain.newest())) {
    return ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kFutureDated,
                           "the identity's newest statement is dated later than now; check the clock");
  }
  v1::Rotation rotation;
  rotation.set_agent_id(std::string(chain.agent.bytes()));
  rotation.set_sequence(static_cast<uint32_t>(chain.length()));
  rotation.set_previous(chain.events.back().digest);
  rotation.set_public_key(std::string(next.public_key().bytes()));
  rotation.set_next_commitment(Commitment(after_next));
  rotation.set_signed_at_ms(now_ms);
  ASSIGN_OR_RETURN(v1::SignedStatement statement,
                   SignStatement(current, kRotationContext, rotation.SerializeAsString()));
  ASSIGN_OR_RETURN(*statement.mutable_successor_signature(),
                   next.Sign(absl::StrCat(kAcceptContext, statement.payload())));
  return statement.SerializeAsString();
}

absl::StatusOr<RotationChain> VerifyRotationChain(absl::Span<const std::string> statements, absl::Time now) {
  RETURN_IF_ERROR(CheckSizes(statements));
  absl::StatusOr<RotationChain> chain = VerifyInception(statements.front(), now);
  if (!chain.ok()) {
    return WithContext(chain.status(), "the inception");
  }
  for (size_t i = 1; i < statements.size(); ++i) {
    RETURN_IF_ERROR(WithContext(Append(statements[i], now, *chain), absl::StrCat("rotation ", i)));
  }
  return chain;
}

std::string EncodeRotationChain(absl::Span<const std::string> statements) {
  v1::RotationChain chain;
  for (const std::string& statement : statements) {
    chain.add_statements(statement);
  }
  return chain.SerializeAsString();
}

absl::StatusOr<std::vector<std::string>> DecodeRotationChain(absl::string_view bytes) {
  if (bytes.size() > kMaxRotationChainSize) {
    return TooLarge(
        absl::StrCat("a rotation chain has at most ", kMaxRotationChainSize, " bytes; this one has ", bytes.size()));
  }
  v1::RotationChain chain;
  if (!ParseStrictly(bytes, &chain)) {
    return BadStatement("this is no RotationChain in its canonical form");
  }
  std::vector<std::string> statements(chain.statements().begin(), chain.statements().end());
  RETURN_IF_ERROR(CheckSizes(statements));
  return statements;
}

ChainComparison CompareRotationChains(const RotationChain& a, const RotationChain& b) {
  if (a.agent != b.agent) {
    return {ChainRelation::kStrangers, 0};
  }
  const auto apart = std::mismatch(a.events.begin(), a.events.end(), b.events.begin(), b.events.end(),
                                   [](const RotationEvent& x, const RotationEvent& y) { return x.digest == y.digest; });
  const auto common = static_cast<size_t>(apart.first - a.events.begin());
  const bool a_ends = apart.first == a.events.end();
  const bool b_ends = apart.second == b.events.end();
  if (a_ends && b_ends) {
    return {ChainRelation::kSame, common};
  }
  if (a_ends || b_ends) {
    return {a_ends ? ChainRelation::kOlder : ChainRelation::kNewer, common};
  }
  return {ChainRelation::kFork, common};
}

std::string RotationKey(const AgentId& id) { return crypto::Sha256(absl::StrCat("rotation:", id.bytes())); }

}  // namespace dotagent::identity
