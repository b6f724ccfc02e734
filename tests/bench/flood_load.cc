#include "tests/bench/flood_load.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <optional>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/status.h"
#include "common/base/varint.h"
#include "common/dht/wire.h"
#include "common/p2p/multiaddr.h"
#include "common/session/multistream.h"
#include "tests/bench/processor.h"

namespace dotagent::bench {
namespace {

constexpr size_t kCallsAtOnce = 128;     // of a session: a node's work for two milliseconds
constexpr size_t kOpenAtOnce = 2048;     // connections of a flood
constexpr uint64_t kHashesAtOnce = 512;  // of a dialler that was asked for work
// Callers look for answers this often, and leave the core to the flood meanwhile.
constexpr timespec kBetweenLooks = {.tv_sec = 0, .tv_nsec = 600'000};

absl::Status Failed(const std::string& what) {
  return absl::UnavailableError(absl::StrCat(what, ": ", std::strerror(errno)));
}

const sockaddr* Generic(const sockaddr_in& address) { return reinterpret_cast<const sockaddr*>(&address); }

// Binds to an address and leaves the choice of a port to connect.
bool BindFrom(int descriptor, in_addr_t from) {
  const int on = 1;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = from;
  return setsockopt(descriptor, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on) == 0 &&
         bind(descriptor, Generic(address), sizeof address) == 0;
}

void CloseAtOnce(int descriptor) {
  const linger at_once{.l_onoff = 1, .l_linger = 0};
  (void)setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  (void)close(descriptor);
}

}  // namespace

absl::StatusOr<sockaddr_in> EndpointOf(const std::string& multiaddr) {
  ASSIGN_OR_RETURN(const p2p::Multiaddr parsed, p2p::Multiaddr::Parse(multiaddr));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(parsed.port);
  if (inet_pton(AF_INET, parsed.host.c_str(), &address.sin_addr) != 1) {
    return absl::InvalidArgumentError(absl::StrCat(multiaddr, " has no IPv4 address"));
  }
  return address;
}

absl::StatusOr<std::unique_ptr<Dialled>> Dialled::Dial(const sockaddr_in& to, const std::string& from, int cookie_bits,
                                                       absl::Duration patience) {
  std::unique_ptr<Dialled> dialled(new Dialled(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)));
  const int descriptor = dialled->descriptor_;
  const absl::Time deadline = absl::Now() + patience;
  const timeval timeout = absl::ToTimeval(patience);
  if (descriptor < 0 || setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) != 0 ||
      setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout) != 0) {
    return Failed("socket");
  }
  if (!BindFrom(descriptor, inet_addr(from.c_str()))) return Failed("bind");
  if (connect(descriptor, Generic(to), sizeof to) != 0) return Failed("connect");
  session::Options options;
  options.role = session::Role::kDialler;
  options.identity = &dialled->key_;
  options.random = &dialled->random_;
  options.max_cookie_bits = cookie_bits;
  options.handshake_timeout = patience;
  dialled->session_ = std::make_unique<session::Session>(options, absl::Now());
  while (!dialled->session_->established()) {
    RETURN_IF_ERROR(dialled->Send());
    RETURN_IF_ERROR(dialled->Receive(/*wait=*/true));
    while (!dialled->session_->WorkOnCookie(kHashesAtOnce)) {
      if (absl::Now() > deadline) return absl::UnavailableError("the work took too long");
    }
  }
  RETURN_IF_ERROR(dialled->Send());
  return dialled;
}

Dialled::~Dialled() {
  session_.reset();
  if (descriptor_ >= 0) CloseAtOnce(descriptor_);
}

absl::Status Dialled::Send() {
  while (session_->HasOutput()) {
    const std::string output = session_->TakeOutput(buffer_.size(), absl::Now());
    if (output.empty()) break;
    for (size_t at = 0; at < output.size();) {
      const ssize_t sent = send(descriptor_, output.data() + at, output.size() - at, MSG_NOSIGNAL);
      if (sent <= 0) return Failed("send");
      at += static_cast<size_t>(sent);
    }
  }
  return absl::OkStatus();
}

absl::Status Dialled::Receive(bool wait) {
  const ssize_t got = recv(descriptor_, buffer_.data(), buffer_.size(), wait ? 0 : MSG_DONTWAIT);
  if (got < 0 && !wait && errno == EAGAIN) return absl::OkStatus();
  if (got < 0) return Failed("recv");
  if (got == 0) return session_->TransportEnded();
  return session_->Receive({buffer_.data(), static_cast<size_t>(got)}, absl::Now());
}

absl::StatusOr<std::unique_ptr<Callers>> Callers::Connect(const sockaddr_in& to, size_t sessions, const dht::Id& key) {
  auto callers = std::make_unique<Callers>();
  for (size_t i = 0; i < sessions; ++i) {
    Caller& caller = callers->callers_.emplace_back();
    ASSIGN_OR_RETURN(caller.dialled, Dialled::Dial(to, "127.0.0.1", 0, absl::Seconds(10)));
    const crypto::PublicKey& own = caller.dialled->key();
    caller.request = WithLength(dht::EncodeRequest(
        dht::Request{{dht::Id::OfNode(own), own, {}}, dht::FindValueCall{key, dht::ValueKind::kRecord, {}}}));
  }
  return callers;
}

absl::Status Callers::Begin(Caller& caller) {
  session::Session& session = caller.dialled->session();
  ASSIGN_OR_RETURN(const session::StreamId stream, session.OpenStream(dht::kProtocolId));
  RETURN_IF_ERROR(session.Write(stream, caller.request).status());
  return session.CloseWrite(stream);
}

absl::Status Callers::Check(Caller& caller, std::string answer) {
  if (!answer.empty() && answer == caller.good_answer) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::optional<Varint> length, ReadVarint(answer));
  if (!length || length->value != answer.size() - length->size) return absl::InternalError("an answer was cut off");
  ASSIGN_OR_RETURN(const dht::Response response, dht::DecodeResponse(absl::string_view(answer).substr(length->size)));
  if (const auto* refusal = std::get_if<absl::Status>(&response.answer)) return WithContext(*refusal, "a call");
  const auto* found = std::get_if<dht::ValueAnswer>(&response.answer);
  if (found == nullptr || !found->item.has_value())
    return absl::InternalError("a call was answered without the record");
  caller.good_answer = std::move(answer);
  return absl::OkStatus();
}

absl::Status Callers::Step(Caller& caller, bool begin_more) {
  Dialled& dialled = *caller.dialled;
  RETURN_IF_ERROR(dialled.Receive(/*wait=*/false));
  for (const session::Event& event : dialled.session().TakeEvents()) {
    if (event.kind == session::Event::Kind::kStreamReset) return absl::InternalError("a call was reset");
    if (event.kind != session::Event::Kind::kReadable) continue;
    ASSIGN_OR_RETURN(session::ReadResult read, dialled.session().Read(event.stream, 1 << 16));
    if (!read.finished) {
      caller.parts[event.stream] += read.data;
      continue;
    }
    if (const auto begun = caller.parts.find(event.stream); begun != caller.parts.end()) {
      read.data.insert(0, begun->second);
      caller.parts.erase(begun);
    }
    RETURN_IF_ERROR(Check(caller, std::move(read.data)));
    ++answered_;
    if (begin_more) RETURN_IF_ERROR(Begin(caller));
  }
  return dialled.Send();
}

absl::StatusOr<double> Callers::Run(absl::Duration time) {
  std::vector<pollfd> polled;
  for (Caller& caller : callers_) {
    for (size_t i = 0; i < kCallsAtOnce; ++i) RETURN_IF_ERROR(Begin(caller));
    RETURN_IF_ERROR(caller.dialled->Send());
    polled.push_back({.fd = caller.dialled->descriptor(), .events = POLLIN, .revents = 0});
  }
  answered_ = 0;
  const absl::Time begun = absl::Now();
  double rate = 0;
  const uint64_t under_way = callers_.size() * kCallsAtOnce;
  // Then until the last ones are answered, so that the next Run begins with none.
  for (uint64_t end = UINT64_MAX; answered_ < end;) {
    if (poll(polled.data(), polled.size(), 30'000) <= 0) return absl::DeadlineExceededError("no call is answered");
    for (size_t i = 0; i < polled.size(); ++i) {
      if (polled[i].revents != 0) RETURN_IF_ERROR(Step(callers_[i], end == UINT64_MAX));
    }
    nanosleep(&kBetweenLooks, nullptr);
    const absl::Duration passed = absl::Now() - begun;
    if (end != UINT64_MAX || passed < time) continue;
    rate = static_cast<double>(answered_) / absl::ToDoubleSeconds(passed);
    end = answered_ + under_way;
  }
  return rate;
}

absl::StatusOr<std::unique_ptr<DeafPort>> DeafPort::Open() {
  std::unique_ptr<DeafPort> port(new DeafPort());
  port->descriptor_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  port->endpoint_.sin_family = AF_INET;
  port->endpoint_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof port->endpoint_;
  auto* const generic = reinterpret_cast<sockaddr*>(&port->endpoint_);
  if (port->descriptor_ < 0 || bind(port->descriptor_, generic, size) != 0 || listen(port->descriptor_, 1024) != 0 ||
      getsockname(port->descriptor_, generic, &size) != 0) {
    return Failed("listen");
  }
  return port;
}

DeafPort::~DeafPort() {
  if (descriptor_ >= 0) close(descriptor_);
}

Flood::Flood(const sockaddr_in& to, bool many, double per_second, size_t core)
    : thread_([this, to, many, per_second, core] {
        PinTo(core);
        (void)setpriority(PRIO_PROCESS, static_cast<id_t>(syscall(SYS_gettid)), 19);
        Run(to, many, per_second);
      }) {}

Flood::~Flood() {
  stop_ = true;
  thread_.join();
}

void Flood::Run(const sockaddr_in& to, bool many, double per_second) {
  SystemRandom random;
  // A listener cannot tell 32 random bytes from a key.
  const std::string first_message = std::string("\0\x20", 2) + random.Bytes(32);
  const std::string plain = session::Multistream(session::Role::kDialler, "/noise").Start() + first_message;
  session::Multistream offer(session::Role::kDialler, "/noise");
  offer.OfferWork();
  const std::string offering = offer.Start() + first_message;
  std::array<int, kOpenAtOnce> open{};
  open.fill(-1);
  const absl::Time begun = absl::Now();
  for (uint64_t i = 0; !stop_; ++i) {
    while (!stop_ && static_cast<double>(i) > per_second * absl::ToDoubleSeconds(absl::Now() - begun)) {
      poll(nullptr, 0, 1);
    }
    int& place = open[i % open.size()];
    if (place >= 0) CloseAtOnce(std::exchange(place, -1));
    const int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (descriptor < 0) continue;
    place = descriptor;
    // 127.64.0.0/10 and up: not where the callers are.
    const auto host = static_cast<uint32_t>(0x7f400000 + (i * 2654435761U) % 0xbffffe);
    if (many && !BindFrom(descriptor, htonl(host))) continue;
    const int connected = connect(descriptor, Generic(to), sizeof to);
    ++tried_;
    if (connected != 0 && errno != EINPROGRESS) continue;
    const std::string& flight = many && i % 2 == 0 ? offering : plain;
    (void)send(descriptor, flight.data(), flight.size(), MSG_NOSIGNAL);  // a full queue has not let us in
  }
  for (const int descriptor : open) {
    if (descriptor >= 0) CloseAtOnce(descriptor);
  }
}

}  // namespace dotagent::bench
