#include "common/p2p/dht_network.h"

#include <asio/post.hpp>
#include <utility>

#include "common/base/status.h"
#include "common/dht/wire.h"
#include "common/p2p/later.h"

namespace dotagent::p2p {

struct DhtNetwork::State {
  State(asio::io_context& context, Node& owner, absl::Duration timeout)
      : io(context), node(owner), call_timeout(timeout), later(context) {}

  asio::io_context& io;
  Node& node;
  const absl::Duration call_timeout;
  Later later;
};

DhtNetwork::DhtNetwork(asio::io_context& context, Node& node, absl::Duration call_timeout)
    : state_(std::make_shared<State>(context, node, call_timeout)) {}

DhtNetwork::~DhtNetwork() = default;

void DhtNetwork::Serve(dht::Dht& dht) {
  const auto answer = [&dht](const crypto::PublicKey& peer, const std::string& request) -> dht::Response {
    const auto decoded = dht::DecodeRequest(request);
    if (!decoded.ok()) return {decoded.status()};
    return dht.Handle(peer, *decoded);
  };
  state_->node.ServeCalls(
      dht::kProtocolId, dht::kMaxDhtMessage,
      [weak = std::weak_ptr<State>(state_), answer](const crypto::PublicKey& peer, const std::string& request,
                                                    const std::function<void(std::string)>& respond) {
        if (weak.expired()) return;  // the DHT is gone: the call is reset
        respond(dht::EncodeResponse(answer(peer, request)));
      });
}

void DhtNetwork::Call(const dht::Contact& to, const dht::Request& request,
                      std::function<void(absl::StatusOr<dht::Response>)> done) {
  PeerAddress peer{to.key, {}};
  if (!state_->node.PathTo(to.key).has_value()) {  // else nobody is dialled
    for (const absl::string_view text : to.addresses) {
      // A contact may list addresses of kinds that this version does not know.
      if (auto address = Multiaddr::Parse(text); address.ok()) peer.addresses.push_back(*std::move(address));
    }
  }
  state_->node.Call(peer, dht::kProtocolId, dht::EncodeRequest(request), dht::kMaxDhtMessage, state_->call_timeout,
                    [done = std::move(done)](const absl::StatusOr<std::string>& response) {
                      if (!response.ok()) return done(response.status());
                      done(dht::DecodeResponse(*response));
                    });
}

void DhtNetwork::Identify(const std::string& address, std::function<void(absl::StatusOr<dht::Contact>)> done) {
  const auto parsed = Multiaddr::Parse(address);
  if (!parsed.ok()) {
    asio::post(state_->io, [done = std::move(done), status = parsed.status()] { done(status); });
    return;
  }
  const std::string contact_address = parsed->relay.has_value() ? parsed->ToString() : parsed->Transport();
  state_->node.Connect({parsed->peer, {*parsed}},
                       [contact_address, done = std::move(done)](const absl::StatusOr<crypto::PublicKey>& key) {
                         if (!key.ok()) return done(key.status());
                         done(dht::Contact{dht::Id::OfNode(*key), *key, {contact_address}});
                       });
}

void DhtNetwork::RunAfter(absl::Duration delay, std::function<void()> run) {
  state_->later.RunAfter(delay, std::move(run));
}

}  // namespace dotagent::p2p
