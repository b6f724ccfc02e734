#include "tests/bench/token_cost.h"

#include <time.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/capability/token.h"
#include "common/capability/token_cache.h"
#include "common/crypto/keys.h"
#include "common/identity/statement.h"
#include "dotagent/capability/v1/token.pb.h"

namespace dotagent::bench {
namespace {

constexpr size_t kBlocks = 3;
constexpr size_t kKnownChecks = 500'000;
constexpr size_t kNewChecks = 2'000;
constexpr size_t kKnownTokens = 1'000;  // that come in turn, so that more than one entry of the cache is touched
constexpr size_t kCacheBytes = size_t{16} << 20;

// What this thread has had of a core so far: what others do on the machine does not count.
absl::Duration ProcessorTime() {
  timespec spent{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
  return absl::DurationFromTimespec(spent);
}

// Microseconds of a core that one run of `work` takes, on average.
absl::StatusOr<double> MeanMicroseconds(size_t runs, const std::function<absl::Status(size_t)>& work) {
  const absl::Duration begun = ProcessorTime();
  for (size_t i = 0; i < runs; ++i) RETURN_IF_ERROR(work(i));
  return absl::ToDoubleMicroseconds(ProcessorTime() - begun) / static_cast<double>(runs);
}

class Bench {
 public:
  Bench() {
    for (size_t i = 0; i <= kBlocks; ++i) keys_.push_back(crypto::SigningKey::Generate(random_));
    owners_ = {keys_.front().public_key()};
  }

  [[nodiscard]] absl::Status MakeTokens() {
    for (size_t i = 0; i < kKnownTokens; ++i) {
      std::string token;
      for (size_t block = 0; block < kBlocks; ++block) {
        const capability::TokenGrant grant{.audience = keys_[block + 1].public_key(),
                                           .resource = "agent://bob.agent/calendar/events",
                                           .actions = {"read", "write"},
                                           .not_before = now_ - absl::Minutes(5),
                                           .expires = now_ + absl::Hours(24),
                                           .max_uses = 100};
        const std::string nonce = random_.Bytes(capability::kTokenNonceSize);
        ASSIGN_OR_RETURN(token, block == 0 ? capability::IssueToken(keys_[0], grant, nonce)
                                           : capability::DelegateToken(token, keys_[block], grant, nonce));
      }
      tokens_.push_back(std::move(token));
    }
    return absl::OkStatus();
  }

  // What a gateway does for each request: everything but the look at the message itself.
  [[nodiscard]] absl::Status Check(capability::TokenCache& cache, const std::string& token) {
    return cache
        .Check(token,
               {.owners = owners_, .presenter = keys_.back().public_key(), .resource = resource_, .action = "read"},
               now_)
        .status();
  }

  [[nodiscard]] absl::StatusOr<double> Known() {
    capability::TokenCache cache = NewCache();
    for (const std::string& token : tokens_) RETURN_IF_ERROR(Check(cache, token));
    ASSIGN_OR_RETURN(const double mean, MeanMicroseconds(kKnownChecks, [&](size_t i) {
                       return Check(cache, tokens_[i % tokens_.size()]);
                     }));
    if (cache.misses() != tokens_.size()) return absl::InternalError("a known token was verified anew");
    return 1e6 / mean;
  }

  // Into an empty cache each time.
  [[nodiscard]] absl::StatusOr<double> New() {
    capability::TokenCache cache = NewCache();
    return MeanMicroseconds(kNewChecks, [&](size_t i) {
      if (i % tokens_.size() == 0) cache.OnKeyRevoked(keys_.front().public_key());
      const uint64_t hits = cache.hits();
      RETURN_IF_ERROR(Check(cache, tokens_[i % tokens_.size()]));
      return cache.hits() == hits ? absl::OkStatus() : absl::InternalError("a new token was known");
    });
  }

  [[nodiscard]] absl::StatusOr<double> RawVerifications() {
    struct Signature {
      std::string bytes;
      std::string signature;
    };
    std::vector<Signature> signatures;
    capability::v1::Token token;
    token.ParseFromString(tokens_[0]);
    for (const std::string& block : token.blocks()) {
      ASSIGN_OR_RETURN(const identity::v1::SignedStatement statement, identity::ParseStatement(block));
      signatures.push_back({std::string(capability::kTokenBlockContext) + statement.payload(), statement.signature()});
    }
    return MeanMicroseconds(kNewChecks, [&](size_t) {
      for (size_t i = 0; i < signatures.size(); ++i) {
        RETURN_IF_ERROR(crypto::Verify(keys_[i].public_key(), signatures[i].bytes, signatures[i].signature));
      }
      return absl::OkStatus();
    });
  }

 private:
  static capability::TokenCache NewCache() {
    return capability::TokenCache(kCacheBytes, [](const crypto::PublicKey&) { return false; });
  }

  SystemRandom random_;
  const absl::Time now_ = absl::Now();
  const capability::Resource resource_ = *capability::Resource::Parse("agent://bob.agent/calendar/events/7");
  std::vector<crypto::SigningKey> keys_;
  std::vector<crypto::PublicKey> owners_;
  std::vector<std::string> tokens_;
};

}  // namespace

absl::Status MeasureTokens(size_t repetitions, Report& report) {
  Bench bench;
  RETURN_IF_ERROR(bench.MakeTokens());
  Row known{.what = "checks of known tokens of 3 blocks, one core", .unit = "a second of it", .at_least = 500'000};
  Row fresh{.what = "check of a new token of 3 blocks",
            .unit = "µs",
            .peer_name = "its 3 raw Ed25519 verifications",
            .at_most = 1.3};
  for (size_t i = 0; i < repetitions; ++i) {
    ASSIGN_OR_RETURN(known.ours.emplace_back(), bench.Known());
    ASSIGN_OR_RETURN(fresh.ours.emplace_back(), bench.New());
    ASSIGN_OR_RETURN(fresh.peers.emplace_back(), bench.RawVerifications());
  }
  report.Add(std::move(known));
  report.Add(std::move(fresh));
  return absl::OkStatus();
}

}  // namespace dotagent::bench
