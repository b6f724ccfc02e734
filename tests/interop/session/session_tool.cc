// One session on a TCP socket of 127.0.0.1, for peers that share no code with it: echoes what the peer sends on the
// streams that it opens.
//
//   session_tool listen            prints {"port", "peer"}, then takes one connection
//   session_tool dial PORT
//   session_tool busy              listens like a node under load: asks for work, if the dialler offers any
//   session_tool ready PORT        dials like a node that offers work
//
// Prints {"remote", "echoed", "why"} when the connection has ended: the peer's id, the bytes echoed, and how it ended.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "common/base/random.h"
#include "common/crypto/keys.h"
#include "common/crypto/peer_id.h"
#include "common/session/cookie.h"
#include "common/session/session.h"

namespace dotagent {
namespace {

using session::Event;
using session::Session;

constexpr int kCookieBits = 10;

sockaddr_in Loopback(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

[[noreturn]] void Die(const char* what) {
  std::cerr << "session_tool: " << what << "\n";
  std::exit(1);
}

int Dial(uint16_t port) {
  const int connected = socket(AF_INET, SOCK_STREAM, 0);
  const sockaddr_in address = Loopback(port);
  if (connect(connected, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) Die("cannot connect");
  return connected;
}

int Accept(const crypto::PublicKey& key) {
  const int listening = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = Loopback(0);
  socklen_t size = sizeof address;
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  if (bind(listening, generic, size) != 0 || listen(listening, 1) != 0 || getsockname(listening, generic, &size) != 0)
    Die("cannot listen");
  std::cout << nlohmann::json({{"port", ntohs(address.sin_port)}, {"peer", crypto::PeerIdFromKey(key)}}) << std::endl;
  const int accepted = accept(listening, nullptr, nullptr);
  close(listening);
  return accepted;
}

class Echo {
 public:
  explicit Echo(Session* session) : session_(session) {}

  // Gives back what has come, as far as credit and buffers go.
  void Step() {
    for (const Event& event : session_->TakeEvents()) {
      if (event.kind == Event::Kind::kStreamOpened) unsent_[event.stream];
      if (event.kind == Event::Kind::kKnock && !session_->Admit(absl::Now()).ok()) Die("the handshake failed");
    }
    for (auto& [stream, unsent] : unsent_) {
      const auto read = session_->Read(stream, 1 << 20);
      if (!read.ok()) continue;
      unsent += read->data;
      const auto written = session_->Write(stream, unsent);
      if (!written.ok()) continue;
      echoed_ += *written;
      unsent.erase(0, *written);
    }
  }
  [[nodiscard]] size_t echoed() const { return echoed_; }

 private:
  Session* session_;
  std::map<session::StreamId, std::string> unsent_;
  size_t echoed_ = 0;
};

bool SendAll(int fd, absl::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

int Main(int argc, char** argv) {
  const std::string mode = argc > 1 ? argv[1] : "";
  const bool dials = argc == 3 && (mode == "dial" || mode == "ready");
  if (!dials && (argc != 2 || (mode != "listen" && mode != "busy"))) {
    Die("usage: session_tool listen | busy | dial PORT | ready PORT");
  }
  SystemRandom random;
  const auto key = crypto::SigningKey::Generate(random);
  const int fd = dials ? Dial(static_cast<uint16_t>(std::stoi(argv[2]))) : Accept(key.public_key());
  session::Options options;
  options.role = dials ? session::Role::kDialler : session::Role::kListener;
  options.identity = &key;
  options.random = &random;
  const session::CookieMint mint(random);
  if (mode == "ready") options.max_cookie_bits = kCookieBits;
  if (mode == "busy") {
    options.gated = true;
    options.cookie_bits = kCookieBits;
    options.mint = &mint;
    options.cookie_peer = "the only one";
  }
  Session session(options, absl::Now());
  Echo echo(&session);
  absl::Status ended;
  std::vector<char> buffer(64 * 1024);
  while (true) {
    echo.Step();
    while (session.HasOutput()) {
      const std::string output = session.TakeOutput(buffer.size(), absl::Now());
      if (output.empty() || !SendAll(fd, output)) break;
      echo.Step();
    }
    if (!ended.ok()) break;
    const ssize_t got = recv(fd, buffer.data(), buffer.size(), 0);
    ended =
        got <= 0 ? session.TransportEnded() : session.Receive({buffer.data(), static_cast<size_t>(got)}, absl::Now());
  }
  close(fd);
  nlohmann::json result = {{"echoed", echo.echoed()}, {"why", std::string(ended.message())}};
  if (session.established()) result["remote"] = crypto::PeerIdFromKey(session.peer_key());
  std::cout << result << std::endl;
  return 0;
}

}  // namespace
}  // namespace dotagent

int main(int argc, char** argv) { return dotagent::Main(argc, argv); }
