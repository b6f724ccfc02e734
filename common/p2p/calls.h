// Unary calls on a session: one length-prefixed request, one length-prefixed response, and the stream is over.
//
// They are most of what nodes say to each other, so they go straight between the session and those who make and answer
// them: no Stream in between, no turn of the loop for each of its callbacks, no timer of their own (the connection's
// serves all).
//
// They may take the last of the streams that a peer allows (mux.h), which other streams leave to them.
//
// Defends against requests and responses over their limit, malformed ones (the stream is reset), and peers that never
// answer (a deadline). Memory: a message a call, within the session's windows.
#ifndef DOTAGENT_COMMON_P2P_CALLS_H_
#define DOTAGENT_COMMON_P2P_CALLS_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/crypto/keys.h"
#include "common/p2p/stream.h"
#include "common/session/types.h"

namespace dotagent::p2p {

class Connection;

using StreamHandler = std::function<void(std::shared_ptr<Stream>)>;
using CallCallback = std::function<void(absl::StatusOr<std::string>)>;
// Answers a unary call: call `respond` once, at any time; a handler that lets go of it resets the stream.
using CallHandler =
    std::function<void(const crypto::PublicKey& peer, std::string request, std::function<void(std::string)> respond)>;

// What a node does with the streams that peers open for one protocol: one of the two is set.
struct Served {
  StreamHandler streams;
  CallHandler calls;
  size_t max_request = 0;
};

struct CallOptions {
  std::string protocol;
  size_t max_response = 0;
  absl::Time deadline;                                      // by the connection's clock
  absl::Duration timeout;                                   // what the caller asked for, to be told
  session::Priority priority = session::Priority::kNormal;  // of the request
};

// Those of one connection, which owns it. On the loop.
class Calls {
 public:
  explicit Calls(Connection& connection) : connection_(connection) {}

  // `done` is called once, later: with the response, the stream's error, Unavailable if the peer ends the call without
  // an answer, DeadlineExceeded, or why no stream can be opened.
  void Make(const CallOptions& options, absl::string_view request, CallCallback done);

  // The connection's side. `served` must stay where it is as long as the connection is open.
  void Accept(session::StreamId id, const Served& served);
  // The session has news of a stream. False: it is no call's.
  bool OnReadable(session::StreamId id);
  bool OnWritable(session::StreamId id);
  bool OnReset(session::StreamId id, const absl::Status& why);
  // The connection is closed: calls fail with `why`, later.
  void Fail(const absl::Status& why);
  // InfiniteFuture: none.
  [[nodiscard]] absl::Time NextDeadline() const;
  void OnDeadlines(absl::Time now);

 private:
  class Answer;
  struct Call {
    CallCallback done;               // of a call that we made; null: the peer made it
    const Served* served = nullptr;  // of one that the peer made; null once the handler has the request
    size_t max_message = 0;
    std::string received;
    std::string unsent;  // what the session has not taken yet
    bool all_received = false;
    absl::Time deadline;
    absl::Duration timeout;
  };

  void Send(session::StreamId id, Call& call, absl::string_view message);
  void SendMore(session::StreamId id, Call& call, absl::string_view bytes);
  void CloseIfSent(session::StreamId id, const Call& call);
  void OnRequest(session::StreamId id, absl::StatusOr<std::string> request);
  void Respond(session::StreamId id, const std::string& response);
  void Refuse(session::StreamId id, uint64_t code);
  // Takes the call out and lets go of its stream.
  void Finish(session::StreamId id, absl::StatusOr<std::string> result);
  [[nodiscard]] Call Take(session::StreamId id);

  Connection& connection_;
  absl::flat_hash_map<session::StreamId, Call> calls_;
  std::set<std::pair<absl::Time, session::StreamId>> deadlines_;  // of those that we made
};

}  // namespace dotagent::p2p

#endif  // DOTAGENT_COMMON_P2P_CALLS_H_
