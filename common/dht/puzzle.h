// Crypto puzzles: a price on node ids (S/Kademlia, Baumgart and Mies 2007, §4.1).
//
// Defends against Sybils and against ids that are chosen: who wants a node at a certain place has to make keys until
// one falls there, and each key costs 2^static_bits key generations before it is a node's at all; the dynamic puzzle
// then costs 2^dynamic_bits hashes a node, and can be made harder as machines grow faster without anyone changing his
// id. Both are checked before a node enters a table. They raise a price; they do not forbid: a farm of a thousand cores
// pays a thousandth of the time.
//
//   static:   SHA-256(SHA-256(public key)) starts with static_bits zero bits; the inner hash is the NodeId.
//   dynamic:  SHA-256(NodeId xor X) starts with dynamic_bits zero bits. X is a 64-bit number other than 0, big-endian
//             in the last 8 of 32 bytes.
//
// Departures from the paper: X has 64 bits instead of 256, enough for any difficulty that a node can meet; and X = 0 is
// no solution, since with it the dynamic puzzle is the static one, and so would be a gift as far as static_bits goes.
//
// Cost: 2^static_bits key generations to make a node's key, 2^dynamic_bits hashes to solve the dynamic puzzle, one hash
// each to check. What that comes to is measured by `dotagent-bench resolve --only puzzle` (docs/benchmarks.md). The
// time to make spreads like a geometric variable: one in a hundred takes 4.6 times as long as the mean.
//
// No state: functions of their arguments.
#ifndef DOTAGENT_COMMON_DHT_PUZZLE_H_
#define DOTAGENT_COMMON_DHT_PUZZLE_H_

#include <cstdint>
#include <functional>

#include "absl/status/statusor.h"
#include "common/base/random.h"
#include "common/crypto/keys.h"
#include "common/dht/types.h"

namespace dotagent::dht {

// Nodes of one network must agree on it; 0 bits: no puzzle.
struct PuzzleDifficulty {
  int static_bits = 0;
  int dynamic_bits = 0;
};

// The hardest puzzles that can be asked for: days of work for one core.
inline constexpr int kMaxStaticBits = 32;
inline constexpr int kMaxDynamicBits = 40;

// Whether the node of this key may exist. Two hashes.
[[nodiscard]] bool SolvesStatic(const crypto::PublicKey& key, int bits);
// The same for a node whose id is known to be its key's. One hash.
[[nodiscard]] bool SolvesStatic(const Id& node, int bits);

// Told now and then, about once a second, how many attempts have been made; false gives up.
using PuzzleProgress = std::function<bool(uint64_t attempts)>;

// A new key whose node solves the static puzzle: 2^bits keys are made on average, and never more than 64 · 2^bits
// (which are too few once in e^64 times: ResourceExhausted, LIMIT). InvalidArgument (LIMIT) for bits outside
// [0, kMaxStaticBits]; Cancelled if `progress` gave up. Blocks all that time.
[[nodiscard]] absl::StatusOr<crypto::SigningKey> GenerateNodeKey(int bits, Random& random,
                                                                 const PuzzleProgress& progress = nullptr);

// Whether `solution` is an X for the node. One hash. Always true for 0 bits.
[[nodiscard]] bool SolvesDynamic(const Id& node, uint64_t solution, int bits);

// An X for the node, from a random start; 0 for 0 bits. Cost and errors as GenerateNodeKey, with kMaxDynamicBits.
[[nodiscard]] absl::StatusOr<uint64_t> SolveDynamic(const Id& node, int bits, Random& random,
                                                    const PuzzleProgress& progress = nullptr);

}  // namespace dotagent::dht

#endif  // DOTAGENT_COMMON_DHT_PUZZLE_H_
