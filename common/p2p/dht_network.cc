#include "common/p2p/dht_network.h"

#include <asio/post.hpp>
#include <utility>

#include "common/base/status.h"
#include "common/dht/wire.h"
#include "common/p2p/later.h"

namespace dotagent::p2p {

struct DhtNetwork::State {
  State(const asio::any_io_executor& its_executor, Node& owner, DhtNetworkOptions its_options)
      : executor(its_executor), node(owner), options(std::move(its_options)), later(its_executor) {}

  const asio::any_io_executor executor;
  Node& node;
  const DhtNetworkOptions options;
  Later later;
};

DhtNetwork::DhtNetwork(const asio::any_io_executor& executor, Node& node, DhtNetworkOptions options)
    : state_(std::make_shared<State>(executor, node, std::move(options))) {}

DhtNetwork::~DhtNetwork() = default;

void DhtNetwork::Serve(dht::Dht& dht) {
  const auto answer = [&dht](const crypto::PublicKey& peer, const std::string& request) -> dht::Response {
    const auto decoded = dht::DecodeRequest(request);
    if (!decoded.ok()) return {decoded.status()};
    return dht.Handle(peer, *decoded);
  };
  state_->node.ServeCalls(
      state_->options.protocol, dht::kMaxDhtMessage,
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
  state_->node.Call(peer, state_->options.protocol, dht::EncodeRequest(request), dht::kMaxDhtMessage,
                    state_->options.call_timeout,
                    [weak = std::weak_ptr<State>(state_), callee = to.key,
                     done = std::move(done)](const absl::StatusOr<std::string>& response) {
                      if (response.ok()) return done(dht::DecodeResponse(*response));
                      const auto state = weak.lock();
                      if (absl::IsUnimplemented(response.status()) && state && state->options.met_stranger) {
                        state->options.met_stranger(callee);
                      }
                      done(response.status());
                    });
}

void DhtNetwork::Identify(const std::string& address, std::function<void(absl::StatusOr<dht::Contact>)> done) {
  const auto parsed = Multiaddr::Parse(address);
  if (!parsed.ok()) {
    asio::post(state_->executor, [done = std::move(done), status = parsed.status()] { done(status); });
    return;
  }
  const std::string contact_address = parsed->relay.has_value() ? parsed->ToString() : parsed->Transport();
  const auto connected = [this, weak = std::weak_ptr<State>(state_), contact_address,
                          done = std::move(done)](const absl::StatusOr<crypto::PublicKey>& key) {
    if (!key.ok()) return done(key.status());
    dht::Contact contact{dht::Id::OfNode(*key), *key, {contact_address}};
    const auto state = weak.lock();
    if (!state || !state->options.dynamic_puzzle || *key == state->node.key()) return done(std::move(contact));
    AskSolution(std::move(contact), done);
  };
  state_->node.Connect({parsed->peer, {*parsed}}, connected);
}

void DhtNetwork::AskSolution(dht::Contact contact, std::function<void(absl::StatusOr<dht::Contact>)> done) {
  dht::Request ping;
  ping.sender.key = state_->node.key();
  Call(contact, ping, [contact, done = std::move(done)](const absl::StatusOr<dht::Response>& response) mutable {
    if (!response.ok()) return done(response.status());
    const auto* answer = std::get_if<dht::PingAnswer>(&response->answer);
    if (answer == nullptr) {
      return done(ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kProtocol,
                                  "the node does not answer a ping; it is no node of this DHT"));
    }
    contact.puzzle_solution = answer->puzzle_solution;
    done(std::move(contact));
  });
}

void DhtNetwork::RunAfter(absl::Duration delay, std::function<void()> run) {
  state_->later.RunAfter(delay, std::move(run));
}

}  // namespace dotagent::p2p
