#include "common/rpc/hpack_guard.h"

#include <grpcpp/version_info.h>

#include <algorithm>
#include <chrono>
#include <cstdint>

#include "common/rpc/flood_counters.h"
#include "common/rpc/interpose.h"

#if GRPC_CPP_VERSION_MAJOR == 1 && GRPC_CPP_VERSION_MINOR == 51

class grpc_metadata_batch;

namespace grpc_core {

// As src/core/ext/transport/chttp2/transport/hpack_parser.h of gRPC 1.51 declares it; what is not needed is left out.
class __attribute__((visibility("default"))) HPackParser {
 public:
  enum class Boundary : uint8_t { None, EndOfHeaders, EndOfStream };
  enum class Priority : uint8_t { None, Included };
  struct LogInfo {
    uint32_t stream_id;
    enum Type : uint8_t { kHeaders, kTrailers, kDontKnow };
    Type type;
    bool is_client;
  };
  void BeginFrame(grpc_metadata_batch* metadata, uint32_t metadata_size_limit, Boundary boundary, Priority priority,
                  LogInfo log_info);
};

namespace {

constexpr uint32_t kMaxBlockBytes = 16 * 1024;
constexpr uint32_t kUnacknowledgedPerMinute = 1000;
constexpr char kSymbol[] =
    "_ZN9grpc_core11HPackParser10BeginFrameEP19grpc_metadata_batchjNS0_8BoundaryENS0_8PriorityENS0_7LogInfoE";

// A non-static member function takes `this` as its first argument (Itanium C++ ABI).
using BeginFrameFunction = void (*)(HPackParser*, grpc_metadata_batch*, uint32_t, HPackParser::Boundary,
                                    HPackParser::Priority, HPackParser::LogInfo);

// `first`: of its connection.
bool AllowUnacknowledged(const HPackParser* parser, bool first) {
  static dotagent::rpc::FloodCounters blocks(kUnacknowledgedPerMinute);
  if (first) blocks.Forget(parser);
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return blocks.Allow(parser, static_cast<uint32_t>(std::chrono::duration_cast<std::chrono::minutes>(now).count()));
}

BeginFrameFunction Original() {
  static const auto original = reinterpret_cast<BeginFrameFunction>(dotagent::rpc::NextDefinition(kSymbol));
  return original;
}

}  // namespace

// gRPC calls this for each HEADERS and CONTINUATION frame.
void HPackParser::BeginFrame(grpc_metadata_batch* metadata, uint32_t metadata_size_limit, Boundary boundary,
                             Priority priority, LogInfo log_info) {
  // The limit is 16 MiB until the peer has acknowledged our settings, which a hostile one never does.
  uint32_t limit = std::min(metadata_size_limit, kMaxBlockBytes);
  const bool unacknowledged = metadata_size_limit > kMaxBlockBytes;
  // Stream 1 opens once; what comes for it again is trailers, or skipped without a place for the metadata.
  const bool first = log_info.stream_id == 1 && log_info.type == LogInfo::kHeaders && metadata != nullptr;
  if (unacknowledged && !AllowUnacknowledged(this, first)) limit = 0;
  if (boundary == Boundary::None) {
    // More frames are to follow: the first field is then over the limit, and a string that goes on is cut off. Either
    // ends the connection.
    limit = 0;
    boundary = Boundary::EndOfHeaders;
  }
  Original()(this, metadata, limit, boundary, priority, log_info);
}

}  // namespace grpc_core

namespace dotagent::rpc {

absl::Status CheckHpackGuard() { return CheckInterposed(grpc_core::kSymbol); }
}  // namespace dotagent::rpc

#else

namespace dotagent::rpc {
absl::Status CheckHpackGuard() { return absl::OkStatus(); }
}  // namespace dotagent::rpc

#endif
