// The nodes around this one: calls to them, and the routing table that the outcomes of calls keep true.
//
// Defends against unverified nodes in the table: a node enters it only by answering a call that went to its announced
// address. Strangers who call us are pinged back first, a bounded number at a time and each not more than once a
// minute, so that no one can use us to knock on a third party's door. A node whose call failed is not passed on to
// others until it answers again, is pinged soon, and dropped after three failures (but remembered for a while). A node
// that has not solved its puzzles (puzzle.h) is not asked anything and does not enter.
//
// Not thread-safe.
#ifndef DOTAGENT_COMMON_DHT_PEERS_H_
#define DOTAGENT_COMMON_DHT_PEERS_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/dht/census.h"
#include "common/dht/former_nodes.h"
#include "common/dht/lifeline.h"
#include "common/dht/network.h"
#include "common/dht/puzzle.h"
#include "common/dht/routing_table.h"
#include "common/dht/size_estimate.h"
#include "common/dht/tried_nodes.h"
#include "common/dht/types.h"
#include "common/dht/verdict.h"
#include "common/storage/store.h"

namespace dotagent::dht {

struct PeersOptions {
  Contact self;
  size_t paths = 8;         // d of lookups
  PuzzleDifficulty puzzle;  // that nodes must have solved to be in the table or asked
  RoutingTableOptions table;
};

class Peers {
 public:
  using Call = decltype(Request::call);
  using Answered = std::function<void(absl::StatusOr<Response>)>;

  // All pointers must outlive it.
  Peers(PeersOptions options, Network* network, const Clock* clock, Random* random, storage::Store* store);
  // Saves the table.
  ~Peers();
  Peers(const Peers&) = delete;
  Peers& operator=(const Peers&) = delete;

  // Calls a node and notes in the table what came of it. `done` gets the answer (of the kind that the call asks for,
  // or a refusal), or an error: the network's, or InvalidArgument (PROTOCOL).
  void Ask(const Contact& to, Call call, Answered done);

  // Pings; true if it answered.
  void Ping(const Contact& to, std::function<void(bool)> done);

  // Someone proved to hold contact.key and says that it can be reached at contact.addresses. Pings it there, if it is
  // not known and there is room for it.
  void Offer(const Contact& contact);

  // `node` gave an answer that no honest node gives.
  void Misbehaved(const Id& node);

  // The table as it was last saved; at most kMaxSavedContacts.
  [[nodiscard]] std::vector<Contact> Saved() const;
  // Nodes that stopped answering, also before the last start.
  [[nodiscard]] const FormerNodes& former() const { return former_; }

  void RunAfter(absl::Duration delay, std::function<void()> run);
  void Identify(const std::string& address, std::function<void(absl::StatusOr<Contact>)> done);

  // The size of the network as it looks from here.
  [[nodiscard]] Density density();
  // As of the last call of density(), which keeps it fresh.
  [[nodiscard]] double estimated_nodes() const { return size_.nodes(); }
  // That size is in doubt, and random targets should be looked up soon.
  [[nodiscard]] bool SizeInDoubt();
  // What NoteLookup was told so far is forgotten once it is told of the next one.
  void RenewSize() { size_.Renew(); }
  // A lookup for a point that no stranger chose ended with these nodes: a sample of that size.
  void NoteLookup(const Id& target, const std::vector<Contact>& nearest) { size_.AddLookup(target, nearest); }

  // Which nodes this one knows, to be compared (census.h).
  [[nodiscard]] const std::optional<Id>& census() { return census_.Digest(); }

  [[nodiscard]] size_t paths() const { return paths_; }
  [[nodiscard]] const Contact& self() const { return self_; }
  [[nodiscard]] bool is_server() const { return !self_.addresses.empty(); }
  [[nodiscard]] RoutingTable& table() { return table_; }
  [[nodiscard]] const RoutingTable& table() const { return table_; }
  [[nodiscard]] const Clock& clock() const { return *clock_; }
  [[nodiscard]] Random& random() { return *random_; }

 private:
  void NoteAnswer(const Contact& contact, absl::Duration round_trip);
  void NoteFailure(const Id& id);
  // Runs `change`, which may take the node out of the table, and remembers it if it does.
  void Drop(const Id& id, const std::function<void()>& change);
  // Pings a node whose call failed, until it answers or is dropped.
  void Recheck(const Id& id);
  void SaveSoon();
  void Save();
  // What Save wrote under `key`.
  [[nodiscard]] std::vector<Contact> Load(absl::string_view key) const;

  [[nodiscard]] bool SolvesPuzzles(const Contact& contact) const;

  const Contact self_;
  const size_t paths_;
  const PuzzleDifficulty puzzle_;
  Network* const network_;
  const Clock* const clock_;
  Random* const random_;
  storage::Store* const store_;
  RoutingTable table_;
  Census census_;
  SizeEstimate size_;
  absl::Duration sized_at_ = -absl::InfiniteDuration();
  uint64_t sized_version_ = 0;  // of the table
  FormerNodes former_;
  size_t verifying_ = 0;
  TriedNodes tried_;
  absl::flat_hash_set<Id> rechecking_;  // of nodes in the table, so bounded with it
  bool save_scheduled_ = false;
  Lifeline lifeline_;
};

}  // namespace dotagent::dht

#endif  // DOTAGENT_COMMON_DHT_PEERS_H_
