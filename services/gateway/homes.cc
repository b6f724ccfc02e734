#include "services/gateway/homes.h"

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/crypto/peer_id.h"
#include "common/p2p/multiaddr.h"

namespace dotagent::gateway_service {
namespace {
constexpr size_t kMaxGateways = 3;
}  // namespace

absl::StatusOr<std::vector<p2p::PeerAddress>> GatewaysOf(const record::Record& record) {
  std::vector<p2p::PeerAddress> gateways;
  for (const std::string& text : record.addresses()) {
    auto address = p2p::Multiaddr::Parse(text);
    if (!address.ok() || !address->peer) continue;
    auto known = std::find_if(gateways.begin(), gateways.end(),
                              [&](const p2p::PeerAddress& gateway) { return gateway.key == address->peer; });
    if (known == gateways.end()) {
      if (gateways.size() == kMaxGateways) continue;
      known = gateways.insert(gateways.end(), p2p::PeerAddress{address->peer, {}});
    }
    known->addresses.push_back(*std::move(address));
  }
  if (gateways.empty()) {
    return ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kBadAddress,
                           absl::StrCat("the record of ", record.name().text(),
                                        " lists no gateway (a multiaddr with /p2p/); its owner must register again"));
  }
  return gateways;
}

bool LivesAt(const record::Record& record, const crypto::PublicKey& gateway) {
  // A peer id has one text. To parse an address is to check that its key is a point of prime order, which costs as much
  // as a message's signature, and this is asked at every message.
  const std::string ending = absl::StrCat("/p2p/", crypto::PeerIdFromKey(gateway));
  return std::any_of(record.addresses().begin(), record.addresses().end(),
                     [&](const std::string& address) { return absl::EndsWith(address, ending); });
}

}  // namespace dotagent::gateway_service
