#include "common/rpc/reset_guard.h"

#include <grpc/slice.h>
#include <grpcpp/version_info.h>

#include <chrono>
#include <cstdint>

#include "common/rpc/flood_counters.h"
#include "common/rpc/interpose.h"

#if GRPC_CPP_VERSION_MAJOR == 1 && GRPC_CPP_VERSION_MINOR == 51

struct grpc_chttp2_transport;
struct grpc_chttp2_stream;

namespace {

constexpr char kSymbol[] =
    "_Z35grpc_chttp2_rst_stream_parser_parsePvP21grpc_chttp2_transportP18grpc_chttp2_streamRK10grpc_slicei";
constexpr uint32_t kResetsPerSecond = 1000;

using ParseFunction = absl::Status (*)(void*, grpc_chttp2_transport*, grpc_chttp2_stream*, const grpc_slice&, int);

ParseFunction Original() {
  static const auto original = reinterpret_cast<ParseFunction>(dotagent::rpc::NextDefinition(kSymbol));
  return original;
}

bool AllowReset(const grpc_chttp2_transport* connection) {
  static dotagent::rpc::FloodCounters resets(kResetsPerSecond);
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return resets.Allow(connection, static_cast<uint32_t>(std::chrono::duration_cast<std::chrono::seconds>(now).count()));
}

}  // namespace

// As src/core/ext/transport/chttp2/transport/frame_rst_stream.h of gRPC 1.51 declares it. gRPC calls it for each part
// of a RST_STREAM frame; an error ends the connection.
__attribute__((visibility("default"))) absl::Status grpc_chttp2_rst_stream_parser_parse(
    void* parser, grpc_chttp2_transport* transport, grpc_chttp2_stream* stream, const grpc_slice& slice, int is_last);
absl::Status grpc_chttp2_rst_stream_parser_parse(void* parser, grpc_chttp2_transport* transport,
                                                 grpc_chttp2_stream* stream, const grpc_slice& slice, int is_last) {
  if (is_last != 0 && !AllowReset(transport)) return absl::ResourceExhaustedError("too many calls were reset");
  return Original()(parser, transport, stream, slice, is_last);
}

namespace dotagent::rpc {
absl::Status CheckResetGuard() { return CheckInterposed(kSymbol); }
}  // namespace dotagent::rpc

#else

namespace dotagent::rpc {
absl::Status CheckResetGuard() { return absl::OkStatus(); }
}  // namespace dotagent::rpc

#endif
