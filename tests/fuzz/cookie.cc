// What strangers say about work before a handshake, at both ends: a proof to a listener that has asked for some, a
// cookie to a dialler that has offered it, and all of an opening to a gated listener. The first byte tells in what
// pieces an opening arrives.
//
// A proof counts only if the mint itself would have made its cookie; a gate opens once at most, and what comes through
// it is no established session, since a stranger knows no key.
#include "common/session/cookie.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "absl/strings/match.h"
#include "common/base/random.h"
#include "common/crypto/hash.h"
#include "common/crypto/keys.h"
#include "common/session/multistream.h"
#include "common/session/session.h"

namespace {

using dotagent::session::CookieMint;
using dotagent::session::CookieSolver;
using dotagent::session::Multistream;
using dotagent::session::Role;
using dotagent::session::Session;

constexpr char kPeer[] = "192.0.2.1:4001#1";
constexpr int kBits = 4;
constexpr int kMaxBits = 8;

void Require(bool holds) {
  if (!holds) std::abort();
}

void CheckProof(const CookieMint& mint, absl::string_view proof, absl::Time now) {
  const auto bits = mint.Check(kPeer, proof, now);
  if (!bits.ok()) return;
  uint64_t ms = 0;
  for (const char c : proof.substr(1, 8)) ms = ms << 8 | static_cast<uint8_t>(c);
  Require(mint.Make(kPeer, *bits, absl::FromUnixMillis(static_cast<int64_t>(ms))) ==
          proof.substr(0, dotagent::session::kCookieSize));
  Require(dotagent::crypto::LeadingZeroBits(dotagent::crypto::Sha256(proof)) >= *bits);
}

void Dial(absl::string_view bytes) {
  dotagent::SeededRandom random(2);
  auto solver = CookieSolver::Create(bytes, kMaxBits, random);
  if (solver.ok()) {
    Require(solver->bits() > 0 && solver->bits() <= kMaxBits);
    const auto proof = solver->Work(64);
    if (proof) Require(proof->size() == dotagent::session::kCookieProofSize && absl::StartsWith(*proof, bytes));
  }
  Multistream dialler(Role::kDialler, "/noise");
  dialler.OfferWork();
  std::string out;
  absl::string_view in = bytes;
  (void)dialler.Advance(&in, &out);
  Require(dialler.cookie().empty() || dialler.cookie().size() == dotagent::session::kCookieSize);
  Require(out.empty());
}

void Listen(const CookieMint& mint, absl::string_view bytes, size_t piece, absl::Time now) {
  dotagent::SeededRandom random(3);
  const auto identity = dotagent::crypto::SigningKey::Generate(random);
  dotagent::session::Options options;
  options.role = Role::kListener;
  options.identity = &identity;
  options.random = &random;
  options.gated = true;
  options.cookie_bits = kBits;
  options.mint = &mint;
  options.cookie_peer = kPeer;
  Session victim(options, now);
  size_t knocks = 0;
  for (size_t at = 0; at < bytes.size(); at += piece) {
    if (!victim.Receive(bytes.substr(at, piece), now).ok()) break;
    for (const auto& event : victim.TakeEvents()) knocks += event.kind == dotagent::session::Event::Kind::kKnock;
    Require(victim.TakeOutput(1 << 16, now).size() < 512);
  }
  Require(knocks <= 1);
  if (knocks == 0) Require(!victim.Admit(now).ok());
  if (knocks == 1) (void)victim.Admit(now);
  Require(!victim.established());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const absl::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  dotagent::SeededRandom random(1);
  const CookieMint mint(random);
  const absl::Time now = absl::FromUnixSeconds(1'800'000'000);
  CheckProof(mint, bytes, now);
  Dial(bytes);
  Listen(mint, bytes, 1 + data[0] * size_t{4}, now);
  return 0;
}
