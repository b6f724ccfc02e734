#include "common/p2p/node.h"

#include <asio/post.hpp>
#include <asio/steady_timer.hpp>
#include <map>
#include <system_error>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/crypto/peer_id.h"
#include "common/p2p/calls.h"
#include "common/p2p/circuit.h"
#include "common/p2p/connection.h"
#include "common/p2p/listener.h"
#include "common/p2p/local_addresses.h"
#include "common/p2p/newcomers.h"
#include "common/p2p/peer_dial.h"
#include "common/p2p/relay_client.h"
#include "common/p2p/timer.h"
#include "common/session/window_budget.h"

namespace dotagent::p2p {
namespace {

constexpr char kRelayedGroup[] = "relayed";

absl::Status NodeClosed() { return absl::UnavailableError("the node is closed"); }

// Every series is there from the start; counting looks nothing up in the registry.
struct NodeMetrics {
  explicit NodeMetrics(telemetry::Metrics& metrics)
      : sessions(metrics.AddGauge("dotagent_p2p_sessions", "Sessions that are established.")),
        received(Bytes(metrics, "received")),
        sent(Bytes(metrics, "sent")),
        dialled_direct(Dials(metrics, "direct")),
        dialled_relayed(Dials(metrics, "relayed")),
        dials_failed(Dials(metrics, "failed")),
        growth_refused(metrics.AddCounter("dotagent_p2p_window_growth_refused_total",
                                          "Times that a session got no more memory: for its windows, its streams, or "
                                          "what slow readers leave.")),
        given_up(metrics.AddCounter("dotagent_p2p_slow_streams_reset_total",
                                    "Streams that were reset because nobody read them and others needed the room.")) {
    for (const char* cause : {"rate", "gone", "connections", "address", "first_bytes", "deadline", "accept",
                              "handshakes", "handshakes_of_address", "evicted", "handshake", "circuit", "key"}) {
      refused[cause] = &metrics.AddCounter("dotagent_p2p_refused_total",
                                           "Incoming connections that were turned away, by cause.", {{"cause", cause}});
    }
  }

  static telemetry::Counter& Bytes(telemetry::Metrics& metrics, const std::string& direction) {
    return metrics.AddCounter("dotagent_p2p_bytes_total", "Bytes on the sockets of sessions.",
                              {{"direction", direction}});
  }
  static telemetry::Counter& Dials(telemetry::Metrics& metrics, const std::string& result) {
    return metrics.AddCounter("dotagent_p2p_dials_total", "Dials of peers, by how they ended.", {{"result", result}});
  }
  void Refused(absl::string_view cause) { refused.at(cause)->Increment(); }

  telemetry::Gauge& sessions;
  telemetry::Counter& received;
  telemetry::Counter& sent;
  telemetry::Counter& dialled_direct;
  telemetry::Counter& dialled_relayed;
  telemetry::Counter& dials_failed;
  telemetry::Counter& growth_refused;
  telemetry::Counter& given_up;
  absl::flat_hash_map<absl::string_view, telemetry::Counter*> refused;
};

}  // namespace

namespace {

// A call to a peer that has to be dialled first.
class FirstCall : public std::enable_shared_from_this<FirstCall> {
 public:
  FirstCall(const asio::any_io_executor& executor, CallOptions options, std::string request, CallCallback done)
      : timer_(executor), options_(std::move(options)), request_(std::move(request)), done_(std::move(done)) {}

  void StartTimer() {
    timer_.expires_after(TimerDelay(options_.timeout));
    timer_.async_wait([self = shared_from_this()](const std::error_code& error) {
      if (error || self->done_ == nullptr) return;
      std::exchange(self->done_, nullptr)(
          absl::DeadlineExceededError(absl::StrCat("no answer within ", absl::FormatDuration(self->options_.timeout))));
    });
  }

  void OnReached(const absl::StatusOr<std::shared_ptr<Connection>>& reached) {
    if (done_ == nullptr) return;
    timer_.cancel();
    const auto done = std::exchange(done_, nullptr);
    if (!reached.ok()) return done(reached.status());
    (*reached)->Call(options_, request_, done);
  }

 private:
  asio::steady_timer timer_;
  const CallOptions options_;
  const std::string request_;
  CallCallback done_;
};

}  // namespace

struct Node::Impl final : ConnectionOwner, DialHost, std::enable_shared_from_this<Impl> {
  Impl(const asio::any_io_executor& its_executor, NodeOptions node_options)
      : executor(its_executor),
        options(std::move(node_options)),
        metrics(*options.metrics),
        shared(std::make_shared<ConnectionContext>()),
        newcomers(std::make_shared<Newcomers>(
            executor, options.newcomers, options.clock, *options.random, *options.metrics,
            [refused = metrics.refused](absl::string_view cause) { refused.at(cause)->Increment(); })),
        window_budget(std::make_shared<session::WindowBudget>(
            options.windows.growth_in_all, [&refused = metrics.growth_refused] { refused.Increment(); })) {
    shared->newcomers = newcomers;
    shared->clock = options.clock;
    shared->idle_timeout = options.idle_timeout;
    shared->received = &metrics.received;
    shared->sent = &metrics.sent;
    shared->given_up = &metrics.given_up;
  }

  // A dial under way and those who wait for it.
  struct PendingDial {
    std::shared_ptr<PeerDial> dial;
    std::vector<Connection::ReadyCallback> waiting;
  };

  void Close();

  // ConnectionOwner
  void OnKnock(const std::shared_ptr<Connection>& connection, uint64_t bits) override;
  void OnEstablished(const std::shared_ptr<Connection>& connection) override;
  const Served* HandlerOf(const std::string& protocol) override;
  void OnRetired(const std::shared_ptr<Connection>& connection) override;
  void OnClosed(const std::shared_ptr<Connection>& connection, const absl::Status& why) override;

  // DialHost
  const asio::any_io_executor& loop() override { return executor; }
  std::shared_ptr<Connection> StartDialled(asio::ip::tcp::socket socket,
                                           const std::optional<crypto::PublicKey>& expected, bool relayed,
                                           Connection::ReadyCallback ready) override;
  void OpenControlStream(const Multiaddr& relay, StreamCallback done) override;

  [[nodiscard]] std::shared_ptr<Connection> MakeSession(asio::ip::tcp::socket socket, session::Options session_options,
                                                        bool relayed, std::shared_ptr<void> slot);
  void StartAccepted(NewSession session, bool relayed);
  [[nodiscard]] ListenerOptions MakeListenerOptions();
  void OnCircuit(CircuitSocket socket, std::string voucher);

  // Finds or dials. May call `done` from inside.
  void Reach(const PeerAddress& peer, Connection::ReadyCallback done);
  void StartDial(const PeerAddress& peer, Connection::ReadyCallback done);
  void OnDialled(const std::shared_ptr<PendingDial>& pending, const std::optional<crypto::PublicKey>& key,
                 const absl::StatusOr<std::shared_ptr<Connection>>& result);
  [[nodiscard]] std::shared_ptr<Connection> FindSession(const crypto::PublicKey& peer) const;
  void OpenStream(const PeerAddress& peer, const std::string& protocol, session::Priority priority,
                  StreamCallback done);

  const asio::any_io_executor executor;
  const NodeOptions options;
  NodeMetrics metrics;
  const std::shared_ptr<ConnectionContext> shared;
  const std::shared_ptr<Newcomers> newcomers;
  const std::shared_ptr<session::WindowBudget> window_budget;
  std::shared_ptr<Listener> listener;
  std::map<std::string, Served> handlers;  // a map: handlers stay where they are
  CircuitHandler circuit_handler;
  PeerCheck peer_check = [](const crypto::PublicKey&) { return absl::OkStatus(); };
  absl::flat_hash_set<std::shared_ptr<Connection>> connections;                               // all of them
  absl::flat_hash_map<crypto::PublicKey, std::vector<std::shared_ptr<Connection>>> sessions;  // those that take streams
  absl::flat_hash_set<std::shared_ptr<PendingDial>> dials;
  absl::flat_hash_map<crypto::PublicKey, std::shared_ptr<PendingDial>> dials_by_key;
  std::vector<std::shared_ptr<Reservation>> reservations;
  bool closed = false;
};

void Node::Impl::Close() {
  if (std::exchange(closed, true)) return;
  if (listener != nullptr) listener->Close();
  newcomers->Close();
  for (const auto& reservation : std::exchange(reservations, {})) reservation->Stop();
  for (const auto& pending : std::exchange(dials, {})) {
    // Posted: whoever waits may be in the middle of destroying this node.
    asio::post(executor, [waiting = std::exchange(pending->waiting, {})] {
      for (const auto& done : waiting) done(NodeClosed());
    });
    pending->dial->Fail(NodeClosed());
  }
  dials_by_key.clear();
  while (!connections.empty()) {
    const auto connection = *connections.begin();
    connection->session().GoAway();
    connection->Close(NodeClosed());
  }
}

void Node::Impl::OnKnock(const std::shared_ptr<Connection>& connection, uint64_t bits) {
  newcomers->Knock(*connection->place(), bits);
}

void Node::Impl::OnEstablished(const std::shared_ptr<Connection>& connection) {
  const crypto::PublicKey& peer = *connection->peer_key();
  metrics.sessions.Increment();
  if (peer == options.key->public_key()) {
    return connection->Close(absl::InvalidArgumentError("this node itself answers there"));
  }
  if (const absl::Status welcome = peer_check(peer); !welcome.ok()) {
    if (!connection->dialled()) metrics.Refused("key");  // else it is a dial that failed
    return connection->Close(welcome);
  }
  sessions[peer].push_back(connection);
  const auto dialling = dials_by_key.find(peer);
  if (dialling == dials_by_key.end()) return;
  const auto pending = dialling->second;  // kept while it ends
  pending->dial->Use(connection);
}

const Served* Node::Impl::HandlerOf(const std::string& protocol) {
  const auto found = handlers.find(protocol);
  return found == handlers.end() ? nullptr : &found->second;
}

void Node::Impl::OnRetired(const std::shared_ptr<Connection>& connection) {
  if (!connection->peer_key().has_value()) return;
  const auto found = sessions.find(*connection->peer_key());
  if (found == sessions.end()) return;
  std::erase(found->second, connection);
  if (found->second.empty()) sessions.erase(found);
}

void Node::Impl::OnClosed(const std::shared_ptr<Connection>& connection, const absl::Status& why) {
  connections.erase(connection);
  if (connection->peer_key().has_value()) {
    metrics.sessions.Decrement();
  } else if (!connection->dialled() && !closed) {
    if (newcomers->Holds(*connection->place())) metrics.Refused("handshake");  // else it is counted as evicted
    newcomers->CountFailure(connection->session().work_asked(), why);
  }
}

std::shared_ptr<Connection> Node::Impl::MakeSession(asio::ip::tcp::socket socket, session::Options session_options,
                                                    bool relayed, std::shared_ptr<void> slot) {
  session_options.identity = options.key;
  session_options.random = options.random;
  session_options.stream_window = options.windows.stream;
  session_options.connection_window = options.windows.connection;
  session_options.max_stream_window = options.windows.max_stream;
  session_options.max_connection_window = options.windows.max_connection;
  session_options.max_streams = options.windows.streams;
  session_options.most_streams = options.windows.max_streams;
  session_options.window_budget = window_budget;
  auto connection =
      std::make_shared<Connection>(std::move(socket), std::move(session_options), relayed, std::move(slot), shared);
  connections.insert(connection);
  return connection;
}

std::shared_ptr<Connection> Node::Impl::StartDialled(asio::ip::tcp::socket socket,
                                                     const std::optional<crypto::PublicKey>& expected, bool relayed,
                                                     Connection::ReadyCallback ready) {
  session::Options session_options;
  session_options.role = session::Role::kDialler;
  session_options.expected_peer = expected;
  session_options.max_cookie_bits = options.newcomers.max_cookie_bits;
  auto connection = MakeSession(std::move(socket), std::move(session_options), relayed, nullptr);
  connection->Start("", std::move(ready));
  return connection;
}

void Node::Impl::StartAccepted(NewSession session, bool relayed) {
  if (session.place == nullptr) return;  // no room for its handshake
  session::Options session_options;
  session_options.role = session::Role::kListener;
  session_options.handshake_timeout = options.handshake_timeout;
  newcomers->Prepare(session_options, *session.place,
                     absl::StrCat(session.remote.address().to_string(), ":", session.remote.port()));
  const auto connection =
      MakeSession(std::move(session.socket), std::move(session_options), relayed, std::move(session.slot));
  const std::weak_ptr<Connection> weak = connection;
  const auto admit = [weak] {
    if (const auto admitted = weak.lock(); admitted != nullptr) admitted->Admit();
  };
  const auto evict = [weak](const absl::Status& why) {
    if (const auto evicted = weak.lock(); evicted != nullptr) evicted->Close(why);
  };
  newcomers->Bind(*session.place, {.admit = admit, .evict = evict});
  connection->Hold(std::move(session.place));
  connection->Start(std::move(session.early), nullptr);
}

void Node::Impl::OpenControlStream(const Multiaddr& relay, StreamCallback done) {
  Multiaddr transport = relay;
  transport.relay.reset();
  transport.peer = relay.relay.has_value() ? relay.relay : relay.peer;
  asio::post(executor, [weak = weak_from_this(), transport, done = std::move(done)]() mutable {
    const auto self = weak.lock();
    if (self == nullptr) return done(NodeClosed());
    self->OpenStream({transport.peer, {transport}}, kRelayProtocolId, session::Priority::kHigh, std::move(done));
  });
}

ListenerOptions Node::Impl::MakeListenerOptions() {
  const std::weak_ptr<Impl> weak = weak_from_this();
  ListenerOptions made;
  made.max_connections = options.max_connections;
  made.max_connections_per_address = options.max_connections_per_address;
  made.first_bytes_timeout = options.handshake_timeout;
  made.newcomers = newcomers;
  made.on_session = [weak](NewSession session) {
    if (const auto self = weak.lock(); self != nullptr) self->StartAccepted(std::move(session), false);
  };
  made.on_circuit = [weak](CircuitSocket socket, std::string voucher) {
    if (const auto self = weak.lock(); self != nullptr) self->OnCircuit(std::move(socket), std::move(voucher));
  };
  made.on_refused = [weak](absl::string_view cause) {
    if (const auto self = weak.lock(); self != nullptr) self->metrics.Refused(cause);
  };
  return made;
}

void Node::Impl::OnCircuit(CircuitSocket socket, std::string voucher) {
  if (circuit_handler != nullptr) return circuit_handler(std::move(socket), std::move(voucher));
  metrics.Refused("circuit");
  socket.Refuse();
}

void Node::Impl::Reach(const PeerAddress& peer, Connection::ReadyCallback done) {
  if (closed) return done(NodeClosed());
  if (!peer.key.has_value()) return StartDial(peer, std::move(done));
  if (*peer.key == options.key->public_key()) {
    return done(absl::InvalidArgumentError("that peer is this node itself"));
  }
  if (const absl::Status welcome = peer_check(*peer.key); !welcome.ok()) return done(welcome);
  if (const auto connection = FindSession(*peer.key); connection != nullptr) return done(connection);
  const auto found = dials_by_key.find(*peer.key);
  if (found == dials_by_key.end()) return StartDial(peer, std::move(done));
  found->second->dial->AddAddresses(peer.addresses);
  found->second->waiting.push_back(std::move(done));
}

void Node::Impl::StartDial(const PeerAddress& peer, Connection::ReadyCallback done) {
  const auto pending = std::make_shared<PendingDial>();
  pending->waiting.push_back(std::move(done));
  const auto on_done = [weak = weak_from_this(), held = std::weak_ptr<PendingDial>(pending),
                        key = peer.key](const absl::StatusOr<std::shared_ptr<Connection>>& result) {
    const auto self = weak.lock();
    const auto ended = held.lock();
    if (self != nullptr && ended != nullptr) self->OnDialled(ended, key, result);
  };
  pending->dial = std::make_shared<PeerDial>(weak_from_this(), peer.key, options.dial_timeout, on_done);
  pending->dial->AddAddresses(peer.addresses);
  dials.insert(pending);
  if (peer.key.has_value()) dials_by_key[*peer.key] = pending;
  pending->dial->Start();
}

void Node::Impl::OnDialled(const std::shared_ptr<PendingDial>& pending, const std::optional<crypto::PublicKey>& key,
                           const absl::StatusOr<std::shared_ptr<Connection>>& result) {
  dials.erase(pending);
  if (key.has_value() && !closed) dials_by_key.erase(*key);
  if (!result.ok()) {
    metrics.dials_failed.Increment();
  } else {
    ((*result)->relayed() ? metrics.dialled_relayed : metrics.dialled_direct).Increment();
  }
  for (const auto& done : std::exchange(pending->waiting, {})) done(result);
}

std::shared_ptr<Connection> Node::Impl::FindSession(const crypto::PublicKey& peer) const {
  const auto found = sessions.find(peer);
  if (found == sessions.end()) return nullptr;
  std::shared_ptr<Connection> best;
  for (const auto& connection : found->second) {
    if (!connection->usable()) continue;
    if (!connection->relayed()) return connection;
    best = connection;
  }
  return best;
}

void Node::Impl::OpenStream(const PeerAddress& peer, const std::string& protocol, session::Priority priority,
                            StreamCallback done) {
  Reach(peer, [protocol, priority, done = std::move(done)](absl::StatusOr<std::shared_ptr<Connection>> connection) {
    if (!connection.ok()) return done(connection.status());
    done((*connection)->OpenStream(protocol, priority));
  });
}

Node::Node(const asio::any_io_executor& executor, NodeOptions options)
    : impl_(std::make_shared<Impl>(executor, std::move(options))) {
  impl_->shared->owner = impl_;
}

Node::~Node() { Close(); }

absl::Status Node::Listen() {
  if (impl_->options.listen.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const Multiaddr address, Multiaddr::Parse(impl_->options.listen));
  for (const std::string& advertised : impl_->options.advertise) {
    RETURN_IF_ERROR(Multiaddr::Parse(advertised).status());
  }
  auto listener = std::make_shared<Listener>(impl_->executor, impl_->MakeListenerOptions());
  RETURN_IF_ERROR(listener->Listen(address));
  impl_->listener = std::move(listener);
  return absl::OkStatus();
}

void Node::Close() { impl_->Close(); }

const crypto::PublicKey& Node::key() const { return impl_->options.key->public_key(); }

std::vector<std::string> Node::addresses() const {
  if (!impl_->options.advertise.empty() || impl_->listener == nullptr) return impl_->options.advertise;
  const asio::ip::tcp::endpoint bound = impl_->listener->endpoint();
  std::vector<std::string> addresses;
  for (const asio::ip::address& ip : DiallableAddresses(bound.address())) {
    addresses.push_back(absl::StrCat(ip.is_v4() ? "/ip4/" : "/ip6/", ip.to_string(), "/tcp/", bound.port()));
  }
  return addresses;
}

void Node::Serve(const std::string& protocol, StreamHandler handler) {
  impl_->handlers[protocol] = {.streams = std::move(handler), .calls = nullptr};
}

void Node::ServeCalls(const std::string& protocol, size_t max_request, CallHandler handler) {
  impl_->handlers[protocol] = {.streams = nullptr, .calls = std::move(handler), .max_request = max_request};
}

void Node::OpenStream(const PeerAddress& peer, const std::string& protocol, session::Priority priority,
                      StreamCallback done) {
  asio::post(impl_->executor, [weak = std::weak_ptr<Impl>(impl_), peer, protocol, priority, done = std::move(done)] {
    const auto impl = weak.lock();
    if (impl == nullptr) return done(NodeClosed());
    impl->OpenStream(peer, protocol, priority, done);
  });
}

void Node::Call(const PeerAddress& peer, const std::string& protocol, std::string request, size_t max_response,
                absl::Duration timeout, CallCallback done, session::Priority priority) {
  CallOptions options{.protocol = protocol,
                      .max_response = max_response,
                      .deadline = SteadyNow(*impl_->options.clock) + timeout,
                      .timeout = timeout,
                      .priority = priority};
  const auto connection = peer.key.has_value() ? impl_->FindSession(*peer.key) : nullptr;
  if (connection != nullptr) return connection->Call(options, request, std::move(done));
  const auto call =
      std::make_shared<FirstCall>(impl_->executor, std::move(options), std::move(request), std::move(done));
  call->StartTimer();
  asio::post(impl_->executor, [weak = std::weak_ptr<Impl>(impl_), peer, call] {
    const auto impl = weak.lock();
    if (impl == nullptr) return call->OnReached(NodeClosed());
    impl->Reach(peer, [call](const absl::StatusOr<std::shared_ptr<Connection>>& reached) { call->OnReached(reached); });
  });
}

void Node::Connect(const PeerAddress& peer, std::function<void(absl::StatusOr<crypto::PublicKey>)> done) {
  asio::post(impl_->executor, [weak = std::weak_ptr<Impl>(impl_), peer, done = std::move(done)] {
    const auto impl = weak.lock();
    if (impl == nullptr) return done(NodeClosed());
    impl->Reach(peer, [done](absl::StatusOr<std::shared_ptr<Connection>> connection) {
      if (!connection.ok()) return done(connection.status());
      done(*(*connection)->peer_key());
    });
  });
}

void Node::HoldReservation(const Multiaddr& relay, std::function<void(bool held)> changed) {
  if (impl_->closed) return;
  const std::weak_ptr<Impl> weak = impl_;
  ReservationOptions options;
  options.relay = relay;
  options.clock = impl_->options.clock;
  options.random = impl_->options.random;
  options.changed = std::move(changed);
  options.open = [weak, relay](StreamCallback done) {
    if (const auto impl = weak.lock(); impl != nullptr) impl->OpenControlStream(relay, std::move(done));
  };
  options.on_circuit = [weak](asio::ip::tcp::socket socket) {
    const auto impl = weak.lock();
    if (impl == nullptr || impl->closed || impl->connections.size() >= impl->options.max_connections) return;
    // Whoever comes through a relay has the relay's address; together they are one more address.
    std::error_code error;
    const auto remote = socket.remote_endpoint(error);
    if (error) return;  // gone already
    auto place = impl->newcomers->Enter(kRelayedGroup);
    impl->StartAccepted({.socket = std::move(socket), .remote = remote, .place = std::move(place)}, true);
  };
  auto reservation = std::make_shared<Reservation>(impl_->executor, std::move(options));
  impl_->reservations.push_back(reservation);
  reservation->Start();
}

void Node::ServeCircuits(CircuitHandler handler) { impl_->circuit_handler = std::move(handler); }

void Node::Drop(const crypto::PublicKey& peer, absl::string_view why) {
  const absl::Status status = absl::UnavailableError(absl::StrCat("the session was ended: ", why));
  if (const auto found = impl_->dials_by_key.find(peer); found != impl_->dials_by_key.end()) {
    const auto pending = found->second;
    asio::post(impl_->executor, [waiting = std::exchange(pending->waiting, {}), status] {
      for (const auto& done : waiting) done(status);
    });
    pending->dial->Fail(status);
  }
  std::vector<std::shared_ptr<Connection>> dropped;
  for (const auto& connection : impl_->connections) {
    if (connection->peer_key() == peer) dropped.push_back(connection);
  }
  for (const auto& connection : dropped) connection->Close(status);
}

void Node::SetPeerCheck(PeerCheck check) {
  impl_->peer_check = std::move(check);
  std::vector<std::pair<std::shared_ptr<Connection>, absl::Status>> unwelcome;
  for (const auto& connection : impl_->connections) {
    if (!connection->peer_key().has_value()) continue;
    absl::Status welcome = impl_->peer_check(*connection->peer_key());
    if (!welcome.ok()) unwelcome.emplace_back(connection, std::move(welcome));
  }
  for (const auto& [connection, why] : unwelcome) connection->Close(why);
}

std::optional<PathKind> Node::PathTo(const crypto::PublicKey& peer) const {
  const auto connection = impl_->FindSession(peer);
  if (connection == nullptr) return std::nullopt;
  return connection->relayed() ? PathKind::kRelayed : PathKind::kDirect;
}

size_t Node::open_sessions() const {
  size_t open = 0;
  for (const auto& [peer, connections] : impl_->sessions) open += connections.size();
  return open;
}

}  // namespace dotagent::p2p
