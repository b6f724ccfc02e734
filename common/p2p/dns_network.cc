#include "common/p2p/dns_network.h"

#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status.h"

namespace dotagent::p2p {
namespace {

bool IsName(const Multiaddr& address) {
  using Kind = Multiaddr::HostKind;
  return (address.kind == Kind::kDns || address.kind == Kind::kDns4 || address.kind == Kind::kDns6) && !address.relay;
}

// One Identify of a name, until all of its addresses have answered or failed.
struct Search {
  std::string name;
  std::function<void(absl::StatusOr<dht::Contact>)> done;  // empty once called
  size_t waiting = 0;
  std::optional<dht::Contact> self;
  std::vector<std::string> failures;
};

}  // namespace

struct DnsNetwork::State : std::enable_shared_from_this<DnsNetwork::State> {
  void AskAll(const std::shared_ptr<Search>& search, std::vector<Multiaddr> addresses) {
    if (addresses.size() > kMaxAddresses) addresses.resize(kMaxAddresses);
    search->waiting = addresses.size();
    for (const Multiaddr& address : addresses) {
      beneath->Identify(address.ToString(), [weak = weak_from_this(), search,
                                             text = address.ToString()](absl::StatusOr<dht::Contact> contact) {
        if (const auto state = weak.lock()) state->OnAnswer(*search, text, std::move(contact));
      });
    }
  }

  void OnAnswer(Search& search, const std::string& address, absl::StatusOr<dht::Contact> contact) const {
    --search.waiting;
    if (!contact.ok()) {
      search.failures.push_back(absl::StrCat(address, ": ", contact.status().message()));
    } else if (contact->key == self) {
      search.self = *std::move(contact);
    } else if (search.done) {
      std::exchange(search.done, nullptr)(*std::move(contact));
    } else if (found) {
      found(*contact);
    }
    if (search.waiting > 0 || !search.done) return;
    const auto done = std::exchange(search.done, nullptr);
    if (search.failures.empty()) return done(*search.self);
    done(ErrorWithReason(
        absl::StatusCode::kUnavailable, reason::kUnreachable,
        absl::StrCat("no other node answered at ", search.name, " (", absl::StrJoin(search.failures, "; "), ")")));
  }

  dht::Network* beneath;
  NameResolver* names;
  crypto::PublicKey self;
  std::function<void(const dht::Contact&)> found;
};

DnsNetwork::DnsNetwork(dht::Network* beneath, NameResolver* names, const crypto::PublicKey& self)
    : state_(std::make_shared<State>()) {
  state_->beneath = beneath;
  state_->names = names;
  state_->self = self;
}

DnsNetwork::~DnsNetwork() = default;

void DnsNetwork::OnFound(std::function<void(const dht::Contact&)> found) { state_->found = std::move(found); }

void DnsNetwork::Call(const dht::Contact& to, const dht::Request& request,
                      std::function<void(absl::StatusOr<dht::Response>)> done) {
  state_->beneath->Call(to, request, std::move(done));
}

void DnsNetwork::RunAfter(absl::Duration delay, std::function<void()> run) {
  state_->beneath->RunAfter(delay, std::move(run));
}

void DnsNetwork::Identify(const std::string& address, std::function<void(absl::StatusOr<dht::Contact>)> done) {
  const auto parsed = Multiaddr::Parse(address);
  if (!parsed.ok() || !IsName(*parsed)) return state_->beneath->Identify(address, std::move(done));
  const auto search = std::make_shared<Search>(Search{.name = address, .done = std::move(done)});
  state_->names->Resolve(*parsed,
                         [weak = std::weak_ptr(state_), search](absl::StatusOr<std::vector<Multiaddr>> addresses) {
                           const auto state = weak.lock();
                           if (state == nullptr) return;
                           if (!addresses.ok()) return std::exchange(search->done, nullptr)(addresses.status());
                           state->AskAll(search, *std::move(addresses));
                         });
}

}  // namespace dotagent::p2p
