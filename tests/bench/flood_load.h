// What a node under a flood of handshakes has to bear, and what it should go on with: calls over established sessions,
// connections without end, and newcomers who mean it.
//
// On plain sockets and one thread each, so that whoever makes the load needs less of a core than the node that bears
// it.
#ifndef DOTAGENT_TESTS_BENCH_FLOOD_LOAD_H_
#define DOTAGENT_TESTS_BENCH_FLOOD_LOAD_H_

#include <netinet/in.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/random.h"
#include "common/crypto/keys.h"
#include "common/dht/types.h"
#include "common/session/session.h"

namespace dotagent::bench {

// Where a node listens: of a multiaddr with an IPv4 address.
[[nodiscard]] absl::StatusOr<sockaddr_in> EndpointOf(const std::string& multiaddr);

// One session with a node over a socket that blocks, as its dialler.
class Dialled {
 public:
  // Connects from `from` (an IPv4 address) and does the handshake, offering up to `cookie_bits` of work. Unavailable
  // after `patience`.
  [[nodiscard]] static absl::StatusOr<std::unique_ptr<Dialled>> Dial(const sockaddr_in& to, const std::string& from,
                                                                     int cookie_bits, absl::Duration patience);
  ~Dialled();
  Dialled(const Dialled&) = delete;
  Dialled& operator=(const Dialled&) = delete;

  [[nodiscard]] session::Session& session() { return *session_; }
  [[nodiscard]] const crypto::PublicKey& key() const { return key_.public_key(); }
  [[nodiscard]] int descriptor() const { return descriptor_; }
  // Sends what the session has to say.
  [[nodiscard]] absl::Status Send();
  // Takes what has come; waits for it if `wait`.
  [[nodiscard]] absl::Status Receive(bool wait);

 private:
  explicit Dialled(int descriptor) : descriptor_(descriptor) {}

  const int descriptor_;
  SystemRandom random_;
  const crypto::SigningKey key_ = crypto::SigningKey::Generate(random_);
  std::unique_ptr<session::Session> session_;
  std::vector<char> buffer_ = std::vector<char>(256 * 1024);
};

// Look a record up that the node holds (FindValue), a fixed number of calls under way over each of some sessions; one
// that is not answered with the record is an error.
class Callers {
 public:
  // `key`: the record's.
  [[nodiscard]] static absl::StatusOr<std::unique_ptr<Callers>> Connect(const sockaddr_in& to, size_t sessions,
                                                                        const dht::Id& key);
  // How many are answered a second.
  [[nodiscard]] absl::StatusOr<double> Run(absl::Duration time);

 private:
  struct Caller {
    std::unique_ptr<Dialled> dialled;
    std::string request = {};
    std::string good_answer = {};  // the last one that was decoded: the same bytes are as good
    absl::flat_hash_map<session::StreamId, std::string> parts = {};  // of answers that have not ended
  };
  [[nodiscard]] static absl::Status Begin(Caller& caller);
  [[nodiscard]] absl::Status Step(Caller& caller, bool begin_more);
  [[nodiscard]] static absl::Status Check(Caller& caller, std::string answer);

  std::vector<Caller> callers_;
  uint64_t answered_ = 0;
};

// A port at which nobody accepts: where a flood goes that is to cost its own core only.
class DeafPort {
 public:
  [[nodiscard]] static absl::StatusOr<std::unique_ptr<DeafPort>> Open();
  ~DeafPort();
  DeafPort(const DeafPort&) = delete;
  DeafPort& operator=(const DeafPort&) = delete;
  [[nodiscard]] const sockaddr_in& endpoint() const { return endpoint_; }

 private:
  DeafPort() = default;

  int descriptor_ = -1;
  sockaddr_in endpoint_{};
};

// Connects, sends the first flight of a handshake and never reads, again and again, on a thread of its own, which gets
// what others leave of its core.
class Flood {
 public:
  // At most `per_second` connections. `many`: each from another of 12 million addresses, every second one offering work
  // that it never does.
  Flood(const sockaddr_in& to, bool many, double per_second, size_t core);
  ~Flood();
  Flood(const Flood&) = delete;
  Flood& operator=(const Flood&) = delete;

  // Connections that were tried so far.
  [[nodiscard]] uint64_t tried() const { return tried_; }

 private:
  void Run(const sockaddr_in& to, bool many, double per_second);

  std::atomic<bool> stop_ = false;
  std::atomic<uint64_t> tried_ = 0;
  std::thread thread_;
};

}  // namespace dotagent::bench

#endif  // DOTAGENT_TESTS_BENCH_FLOOD_LOAD_H_
