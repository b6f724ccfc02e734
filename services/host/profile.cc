#include "services/host/profile.h"

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace dotagent::host {
namespace {

constexpr uint64_t kKib = 1024;
constexpr uint64_t kMib = 1024 * kKib;
constexpr uint64_t kGib = 1024 * kMib;

Profile Standard() {
  return {.name = "standard",
          .windows = {},
          .max_connections = 4096,
          .max_connections_per_address = 1024,
          .max_handshakes = 512,
          .max_handshakes_per_address = 128,
          .session_idle_timeout = absl::Minutes(5),
          .cached_records = 10'000,
          .token_cache_bytes = 16 * kMib,
          .bucket_refresh_interval = absl::Hours(1)};
}

// Each connection may take 64 KiB at first and 256 KiB for its streams, all of them together 80 MiB, and 16 MiB more as
// they grow.
Profile Edge() {
  return {.name = "edge",
          .windows = {.stream = 32 * kKib,
                      .connection = 64 * kKib,
                      .max_stream = 512 * kKib,
                      .max_connection = kMib,
                      .streams = 256,
                      .max_streams = 1024,
                      .growth_in_all = 16 * kMib},
          .max_connections = 256,
          .max_connections_per_address = 64,
          .max_handshakes = 64,
          .max_handshakes_per_address = 16,
          .session_idle_timeout = absl::Minutes(1),
          .cached_records = 1000,
          .token_cache_bytes = 2 * kMib,
          .bucket_refresh_interval = absl::Hours(4)};
}

Profile Server() {
  Profile profile = Standard();
  profile.name = "server";
  profile.windows.max_stream = 8 * kMib;
  profile.windows.max_connection = 16 * kMib;
  profile.windows.max_streams = 32'768;
  profile.windows.growth_in_all = 4 * kGib;
  profile.max_connections = 16'384;
  profile.max_connections_per_address = 4096;
  profile.max_handshakes = 2048;
  profile.max_handshakes_per_address = 512;
  profile.session_idle_timeout = absl::Minutes(15);
  profile.cached_records = 100'000;
  profile.token_cache_bytes = 64 * kMib;
  return profile;
}

}  // namespace

absl::StatusOr<Profile> FindProfile(const std::string& name) {
  if (name == "edge") return Edge();
  if (name == "standard") return Standard();
  if (name == "server") return Server();
  return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kLimit,
                         absl::StrCat("--profile ", name, " is none of edge, standard and server"));
}

}  // namespace dotagent::host
