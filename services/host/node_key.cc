#include "services/host/node_key.h"

#include <csignal>
#include <cstdint>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/base/status.h"
#include "common/crypto/key_store.h"
#include "common/telemetry/log.h"

namespace dotagent::host {
namespace {

constexpr absl::Duration kReportEvery = absl::Seconds(10);

// main() blocks the signals before it starts a service, and takes them after: one that waits means "stop".
bool ToldToStop() {
  sigset_t pending;
  sigemptyset(&pending);
  sigpending(&pending);
  return sigismember(&pending, SIGTERM) == 1 || sigismember(&pending, SIGINT) == 1;
}

absl::Status Unsolved(const std::string& path, int bits) {
  return ErrorWithReason(
      absl::StatusCode::kFailedPrecondition, reason::kBadKey,
      absl::StrCat(
          "the key in ", path, " does not solve the static puzzle of ", bits,
          " bits, so no node of a network that asks for it would take this one in. Move the file away, and the "
          "next start makes a key that does (the node is then a new one, with another peer id); or correct "
          "--puzzle-static-bits, if the network asks for less"));
}

}  // namespace

dht::PuzzleProgress LoggedProgress(const std::string& what, int bits, const Clock& clock) {
  return [what, bits, &clock, began = clock.Elapsed(), told = clock.Elapsed()](uint64_t attempts) mutable {
    const absl::Duration now = clock.Elapsed();
    if (now - told >= kReportEvery) {
      told = now;
      telemetry::Log(telemetry::Level::kInfo, absl::StrCat("still working on ", what),
                     {{"attempts", absl::StrCat(attempts)},
                      {"expected", absl::StrCat(uint64_t{1} << bits)},
                      {"elapsed", absl::FormatDuration(absl::Floor(now - began, absl::Seconds(1)))}});
    }
    return !ToldToStop();
  };
}

absl::StatusOr<std::shared_ptr<const crypto::Signer>> ReadOrMakeNodeKey(const std::string& address, int puzzle_bits,
                                                                        Random& random, const Clock& clock) {
  ASSIGN_OR_RETURN(const std::unique_ptr<crypto::KeyStore> store, crypto::OpenKeyStore(address, std::nullopt));
  absl::StatusOr<crypto::StoredKey> key = store->Open();
  if (absl::IsNotFound(key.status())) {
    if (puzzle_bits == 0) {
      key = store->Generate({}, random);
    } else {
      telemetry::Log(telemetry::Level::kInfo, "making a node key that solves the static puzzle",
                     {{"file", address}, {"bits", absl::StrCat(puzzle_bits)}});
      ASSIGN_OR_RETURN(const crypto::SigningKey made,
                       dht::GenerateNodeKey(puzzle_bits, random, LoggedProgress("the node key", puzzle_bits, clock)));
      key = store->Import(made, {});
    }
    // Another process may have been first: its key counts.
    if (absl::IsAlreadyExists(key.status())) key = store->Open();
  }
  RETURN_IF_ERROR(key.status());
  if (puzzle_bits > 0 && !dht::SolvesStatic(key->signer->public_key(), puzzle_bits)) {
    return Unsolved(address, puzzle_bits);
  }
  return key->signer;
}

}  // namespace dotagent::host
