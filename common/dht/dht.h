// A node of the Kademlia DHT (Maymounkov and Mazières, 2002), as a core without I/O: routing table, iterative lookups,
// stored values.
//
// k = 20, r = 5, α = 3, d = 8 disjoint paths, 256-bit ids. Nodes with addresses are servers and enter tables; callers
// without are clients and do not. Departures from the papers are listed where they are made: routing_table.h, lookup.h,
// verdict.h, value_store.h, puzzle.h.
//
// Every value is self-certifying (value_type.h): this node verifies what it stores and what it is given, and believes
// no one.
//
// Not thread-safe: all calls, and all callbacks from Network, on one thread.
#ifndef DOTAGENT_COMMON_DHT_DHT_H_
#define DOTAGENT_COMMON_DHT_DHT_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/crypto/keys.h"
#include "common/dht/collect.h"
#include "common/dht/network.h"
#include "common/dht/puzzle.h"
#include "common/dht/routing_table.h"
#include "common/dht/types.h"
#include "common/dht/value_store.h"
#include "common/storage/store.h"

namespace dotagent::dht {

struct DhtOptions {
  // No addresses: client mode, stores nothing and answers no one. The id is computed from the key; the key and the
  // solution must solve `puzzle`, or no one takes the node in.
  Contact self;
  const crypto::Signer* signer = nullptr;  // of self.key, for receipts; must outlive the node
  size_t paths = 8;                        // d
  PuzzleDifficulty puzzle;                 // the same at every node of a network (network_rules.h)
  RoutingTableOptions table;
  absl::Duration refresh_interval = absl::Hours(1);  // of buckets without traffic
  // By how much refresh_interval is stretched now, 1 or more: on a battery, say. Asked each time; null: not at all.
  std::function<double()> stretch = nullptr;
  absl::Duration republish_interval = absl::Hours(1);  // of stored values to the nodes nearest now
  ValueStoreOptions values;
};

// Whose a key is, says one of the nodes nearest to it.
struct WitnessReceipt {
  Id node;
  Receipt receipt;
};

struct GetResult {
  Item item;  // the best valid value of the key's owner, exactly as signed
  Id owner;
  bool from_own_store = false;           // this node stores it itself
  uint32_t hops = 0;                     // rounds of the lookup
  uint32_t messages = 0;                 // calls that it made
  uint32_t agreeing_nodes = 0;           // nodes that hold or have witnessed this very value
  uint32_t agreeing_paths = 0;           // of the disjoint paths, how many came to the node nearest to the key
  std::vector<WitnessReceipt> receipts;  // the nearest node's first
};

struct PutResult {
  std::vector<crypto::PublicKey> stored_by;  // nodes that confirmed, this one included if it is among the nearest
  uint32_t asked = 0;
  size_t witnesses = 0;  // nodes that confirmed whose the key is, those that store it included
};

class Dht {
 public:
  // All pointers must outlive it. `store` keeps values and the routing table across restarts (keys under "dht/").
  // `options.self.id` is computed from its key. Destroying it drops what is under way: those `done`s are not called.
  Dht(DhtOptions options, Network* network, const Clock* clock, Random* random, storage::Store* store);
  ~Dht();
  Dht(const Dht&) = delete;
  Dht& operator=(const Dht&) = delete;

  // Reads the stored table, then joins through it and through `addresses`: identifies them, looks itself up, refreshes
  // far buckets. `done` gets Unavailable (NOT_BOOTSTRAPPED) if no node answered; retries go on in the background with
  // growing pauses as long as the table is empty. With no addresses and no saved table the node is the first of its
  // network: OK.
  void Start(const std::vector<std::string>& addresses, std::function<void(absl::Status)> done);

  // Answers a call. `peer` is the key that the session proved; a request whose sender key differs is refused:
  // PermissionDenied (KEY_MISMATCH). A sender with addresses may get a ping there.
  [[nodiscard]] Response Handle(const crypto::PublicKey& peer, const Request& request);

  // Finds the owner of `key` and his best value (verdict.h says which) over disjoint paths; this node's own store has a
  // vote like any other. NotFound (NAME_NOT_FOUND for records) if the nodes nearest to the key know of none; Aborted
  // (CONFLICT) if they name different owners and none has enough votes; PermissionDenied (KEY_REVOKED) if all that was
  // found is of a key whose revocation this node knows; FailedPrecondition (FUTURE_DATED) if it is dated ahead of this
  // node's clock; Unavailable (NOT_BOOTSTRAPPED) if no node could be asked and
  // this one has nothing; Unavailable (TOO_FEW_CLEAN_PATHS) if the nodes found cannot be the nearest; DeadlineExceeded
  // (UNREACHABLE) if they could not be asked in time. A revocation that is found is kept, and evicts the key's records
  // here.
  void Get(const Id& key, ValueKind kind, std::function<void(absl::StatusOr<GetResult>)> done);

  // Reads a key that many owners share (collect.h): what the nodes nearest to it hold, one value an owner. None at all
  // is OK too. InvalidArgument (PROTOCOL) if keys of this kind have one value (use Get; which refuses the others);
  // Unavailable: NOT_BOOTSTRAPPED if no node could be asked, TOO_FEW_CLEAN_PATHS if nothing was found and the nodes
  // that were asked cannot be the nearest. FailedPrecondition (FUTURE_DATED) if all that was found is dated ahead of
  // this node's clock.
  void GetAll(CollectQuery query, std::function<void(absl::StatusOr<Collected>)> done);

  // Stores `item` on the r nodes nearest to the key that it implies, and has it witnessed. InvalidArgument as the
  // value's type says; AlreadyExists (NAME_TAKEN) if the key is another's, as the reader's rule has it; Aborted
  // (CONFLICT) if another claims it in this moment; PermissionDenied (KEY_REVOKED) and FailedPrecondition (SUPERSEDED,
  // FUTURE_DATED, STALE) if nodes say so; otherwise Unavailable (TOO_FEW_REPLICAS) if fewer than min(quorum 3, nodes
  // that could be asked) confirmed; Unavailable (NOT_BOOTSTRAPPED, TOO_FEW_CLEAN_PATHS). Of kinds of which a key has
  // many owners' values, a node whose places are all taken is made up for by the next nearest; ResourceExhausted
  // (LIMIT) if none has one.
  void Put(ValueKind kind, const Item& item, std::function<void(absl::StatusOr<PutResult>)> done);

  // Put's check of `item`, for who must know its owner first.
  [[nodiscard]] absl::StatusOr<Value> Check(ValueKind kind, const Item& item) const;
  // Put, of a value that has just been checked.
  void Put(Value checked, std::function<void(absl::StatusOr<PutResult>)> done);

  // The best valid value in this node's own store. Of kinds of which a key has one value.
  [[nodiscard]] absl::StatusOr<Item> GetLocal(const Id& key, ValueKind kind) const;

  // Learned by the way: a peer that proved `contact.key` and can be dialled at its addresses.
  void AddContact(const Contact& contact);

  // An address at which there may be a node, found while running (by multicast DNS, say): asks who is there, and looks
  // this node's own id up once more if that is somebody new, so that two networks that started apart become one.
  void AddAddress(const std::string& address);

  [[nodiscard]] size_t known_nodes() const;
  // Nodes of the whole network, this one included, as it looks from here (size_estimate.h).
  [[nodiscard]] double estimated_nodes() const;
  [[nodiscard]] uint64_t stored_values() const;
  [[nodiscard]] std::vector<Contact> Nearest(const Id& target, size_t count) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace dotagent::dht

#endif  // DOTAGENT_COMMON_DHT_DHT_H_
