#include "common/dht/relay_advert.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/crypto/hash.h"
#include "common/identity/statement.h"
#include "common/record/address.h"
#include "dotagent/relay/v1/advert.pb.h"

namespace dotagent::dht {
namespace {

using identity::BadStatement;

constexpr absl::string_view kContext("dotagent relay advert v1\0", 25);
constexpr uint32_t kFullLoad = 1000;

absl::Status CheckAddresses(const std::vector<std::string>& addresses) {
  if (addresses.size() > kMaxContactAddresses) {
    return BadStatement(absl::StrCat("a relay advert has at most ", kMaxContactAddresses, " addresses; this one has ",
                                     addresses.size()));
  }
  for (const std::string& address : addresses) {
    if (address.size() > kMaxAddressSize) {
      return BadStatement(absl::StrCat("an address in a relay advert has at most ", kMaxAddressSize,
                                       " bytes; this one has ", address.size()));
    }
    RETURN_IF_ERROR(record::CheckAddress(address));
    if (absl::StrContains(address, "/p2p")) {
      return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kBadAddress,
                             absl::StrCat("a relay advert's addresses are the relay's own, without /p2p: ", address));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> SignRelayAdvert(const crypto::Signer& relay, const RelayAdvert& advert, absl::Time now,
                                            absl::Duration lifetime) {
  relay::v1::RelayAdvert payload;
  for (const std::string& address : advert.addresses) payload.add_addresses(address);
  payload.set_max_circuits(advert.max_circuits);
  payload.set_load_permille(advert.load_permille);
  payload.set_circuit_bytes_per_second(advert.circuit_bytes_per_second);
  payload.set_signed_at_ms(absl::ToUnixMillis(now));
  payload.set_expires_at_ms(absl::ToUnixMillis(now + lifetime));
  ASSIGN_OR_RETURN(const identity::v1::SignedStatement statement,
                   identity::SignStatement(relay, kContext, payload.SerializeAsString()));
  std::string bytes = statement.SerializeAsString();
  // What no one would take is not handed out.
  RETURN_IF_ERROR(VerifyRelayAdvert(bytes, now).status());
  return bytes;
}

absl::StatusOr<RelayAdvert> VerifyRelayAdvert(absl::string_view statement, absl::Time now) {
  if (statement.size() > kMaxRelayAdvertSize) {
    return ErrorWithReason(
        absl::StatusCode::kInvalidArgument, reason::kTooLarge,
        absl::StrCat("a relay advert has at most ", kMaxRelayAdvertSize, " bytes; this one has ", statement.size()));
  }
  ASSIGN_OR_RETURN(const identity::v1::SignedStatement outer, identity::ParseStatement(statement));
  RelayAdvert advert;
  ASSIGN_OR_RETURN(advert.relay, identity::VerifySigner(outer, kContext));
  relay::v1::RelayAdvert inner;
  if (!identity::ParseStrictly(outer.payload(), &inner)) {
    return BadStatement("what was signed is no RelayAdvert in its canonical form");
  }
  advert.addresses.assign(inner.addresses().begin(), inner.addresses().end());
  RETURN_IF_ERROR(CheckAddresses(advert.addresses));
  if (inner.load_permille() > kFullLoad) {
    return BadStatement(absl::StrCat("a relay's load is 0 to ", kFullLoad, "; this one says ", inner.load_permille()));
  }
  ASSIGN_OR_RETURN(const identity::Lifetime lifetime,
                   identity::CheckLifetime(inner.signed_at_ms(), inner.expires_at_ms(), kMaxRelayAdvertLifetime, now));
  advert.max_circuits = inner.max_circuits();
  advert.load_permille = inner.load_permille();
  advert.circuit_bytes_per_second = inner.circuit_bytes_per_second();
  advert.signed_at = lifetime.signed_at;
  advert.expires = lifetime.expires;
  return advert;
}

uint8_t RelayShard(const crypto::PublicKey& relay) {
  return static_cast<uint8_t>(Id::OfNode(relay).bytes().front()) % kRelayShards;
}

Id RelayShardKey(uint8_t shard) {
  // A SHA-256 is always the right size.
  return *Id::FromBytes(crypto::Sha256(absl::StrCat("relay:", std::string(1, static_cast<char>(shard)))));
}

}  // namespace dotagent::dht
