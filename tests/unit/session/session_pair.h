// Two sessions that talk in memory, on a clock that the test moves.
#ifndef DOTAGENT_TESTS_UNIT_SESSION_SESSION_PAIR_H_
#define DOTAGENT_TESTS_UNIT_SESSION_SESSION_PAIR_H_

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/base/random.h"
#include "common/crypto/keys.h"
#include "common/session/session.h"

namespace dotagent::session {

inline constexpr size_t kAll = std::numeric_limits<size_t>::max();

// One end: a session, the events that it has had, and how it ended.
struct End {
  End(const Options& options, absl::Time now) : session(options, now) {}

  void Collect() {
    for (Event& event : session.TakeEvents()) events.push_back(event);
  }
  [[nodiscard]] std::vector<Event> Of(Event::Kind kind) const {
    std::vector<Event> found;
    for (const Event& event : events) {
      if (event.kind == kind) found.push_back(event);
    }
    return found;
  }

  Session session;
  std::vector<Event> events;
  absl::Status status;
};

struct PairOptions {
  Options dialler;
  Options listener;
};

class SessionPair {
 public:
  explicit SessionPair(PairOptions options = {})
      : random_(7),
        dialler_key_(crypto::SigningKey::Generate(random_)),
        listener_key_(crypto::SigningKey::Generate(random_)),
        a(Fill(options.dialler, Role::kDialler), now),
        b(Fill(options.listener, Role::kListener), now) {}

  // Carries everything that one end has to say now to the other, in pieces of `chunk` bytes.
  void Carry(End& from, End& to, size_t chunk = kAll) {
    const std::string bytes = from.session.TakeOutput(64 * 1024, now);
    for (size_t at = 0; at < bytes.size() && to.status.ok();) {
      const size_t size = std::min(chunk, bytes.size() - at);
      to.status = to.session.Receive(bytes.substr(at, size), now);
      at += size;
    }
    to.Collect();
    from.Collect();
  }

  // Until neither has anything to say.
  void Settle(size_t chunk = kAll) {
    while (a.session.HasOutput() || b.session.HasOutput()) {
      Carry(a, b, chunk);
      Carry(b, a, chunk);
    }
    a.Collect();
    b.Collect();
  }

  [[nodiscard]] const crypto::PublicKey& dialler_key() const { return dialler_key_.public_key(); }
  [[nodiscard]] const crypto::PublicKey& listener_key() const { return listener_key_.public_key(); }

 private:
  Options Fill(Options options, Role role) {
    options.role = role;
    options.identity = role == Role::kDialler ? &dialler_key_ : &listener_key_;
    options.random = &random_;
    return options;
  }

  SeededRandom random_;
  crypto::SigningKey dialler_key_;
  crypto::SigningKey listener_key_;

 public:
  absl::Time now = absl::FromUnixSeconds(1'800'000'000);  // before the ends, which begin at it
  End a;                                                  // the dialler
  End b;
};

}  // namespace dotagent::session

#endif  // DOTAGENT_TESTS_UNIT_SESSION_SESSION_PAIR_H_
