#include "common/dht/puzzle.h"

#include <algorithm>
#include <array>
#include <optional>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/crypto/hash.h"

namespace dotagent::dht {
namespace {

// Attempts beyond which something other than bad luck must be at work, as a multiple of what is expected.
constexpr uint64_t kPatienceFactor = 64;
// About a second of work each.
constexpr uint64_t kKeysBetweenReports = 1 << 16;
constexpr uint64_t kHashesBetweenReports = 1 << 22;

absl::Status CheckBits(int bits, int max) {
  if (bits >= 0 && bits <= max) return absl::OkStatus();
  return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kLimit,
                         absl::StrCat("a puzzle of ", bits, " bits cannot be solved here; choose 0 to ", max));
}

absl::Status GivenUp(int bits) {
  return absl::CancelledError(absl::StrCat("stopped before a ", bits, "-bit puzzle was solved"));
}

absl::Status OutOfLuck(int bits) {
  return ErrorWithReason(absl::StatusCode::kResourceExhausted, reason::kLimit,
                         absl::StrCat("no solution of a ", bits, "-bit puzzle in ", kPatienceFactor << bits,
                                      " attempts; is the random source stuck?"));
}

// The NodeId, ready to be xored with one X after the other.
class DynamicPuzzle {
 public:
  explicit DynamicPuzzle(const Id& node) { std::copy(node.bytes().begin(), node.bytes().end(), bytes_.begin()); }

  [[nodiscard]] int BitsOf(uint64_t solution) {
    std::array<char, 32> mixed = bytes_;
    for (size_t i = 0; i < 8; ++i)
      mixed[31 - i] = static_cast<char>(mixed[31 - i] ^ static_cast<char>(solution >> (8 * i)));
    return crypto::LeadingZeroBits(crypto::Sha256({mixed.data(), mixed.size()}));
  }

 private:
  std::array<char, 32> bytes_{};
};

}  // namespace

bool SolvesStatic(const Id& node, int bits) {
  return bits <= 0 || crypto::LeadingZeroBits(crypto::Sha256(node.bytes())) >= bits;
}

bool SolvesStatic(const crypto::PublicKey& key, int bits) { return bits <= 0 || SolvesStatic(Id::OfNode(key), bits); }

absl::StatusOr<crypto::SigningKey> GenerateNodeKey(int bits, Random& random, const PuzzleProgress& progress) {
  RETURN_IF_ERROR(CheckBits(bits, kMaxStaticBits));
  const auto solves = [bits](const crypto::PublicKey& candidate) { return SolvesStatic(candidate, bits); };
  const uint64_t patience = kPatienceFactor << bits;
  for (uint64_t attempts = 0; attempts < patience; attempts += kKeysBetweenReports) {
    if (attempts > 0 && progress && !progress(attempts)) return GivenUp(bits);
    std::optional<crypto::SigningKey> key =
        crypto::SigningKey::GenerateWhere(random, std::min(kKeysBetweenReports, patience - attempts), solves);
    if (key) return *std::move(key);
  }
  return OutOfLuck(bits);
}

bool SolvesDynamic(const Id& node, uint64_t solution, int bits) {
  return bits <= 0 || (solution != 0 && DynamicPuzzle(node).BitsOf(solution) >= bits);
}

absl::StatusOr<uint64_t> SolveDynamic(const Id& node, int bits, Random& random, const PuzzleProgress& progress) {
  RETURN_IF_ERROR(CheckBits(bits, kMaxDynamicBits));
  if (bits == 0) return 0;
  DynamicPuzzle puzzle(node);
  uint64_t solution = random.Below(UINT64_MAX);
  for (uint64_t attempt = 0; attempt < kPatienceFactor << bits; ++attempt) {
    if (attempt > 0 && attempt % kHashesBetweenReports == 0 && progress && !progress(attempt)) return GivenUp(bits);
    ++solution;
    if (solution != 0 && puzzle.BitsOf(solution) >= bits) return solution;
  }
  return OutOfLuck(bits);
}

}  // namespace dotagent::dht
