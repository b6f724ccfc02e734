// The payloads that libp2p puts into Noise handshake messages 2 and 3: who owns the static key, and what is to be
// spoken afterwards. https://github.com/libp2p/specs/blob/master/noise/README.md
//
//   message NoiseExtensions {
//     repeated bytes webtransport_certhashes = 1;   // ignored
//     repeated string stream_muxers = 2;
//     optional MuxParameters dotagent = 1024;       // ours, from the range that is free for experiments
//   }
//   message NoiseHandshakePayload {
//     optional bytes identity_key = 1;              // a libp2p PublicKey: crypto/peer_id.h
//     optional bytes identity_sig = 2;              // over "noise-libp2p-static-key:" ‖ static X25519 key
//     optional NoiseExtensions extensions = 4;
//   }
//   message MuxParameters {                         // as RFC 9000 §18.2's; 0 if absent
//     optional uint64 stream_window = 1;            // initial_max_stream_data, for every stream
//     optional uint64 connection_window = 2;        // initial_max_data
//     optional uint64 max_streams = 3;              // initial_max_streams_bidi
//   }
//
// The parameters ride in the handshake, as QUIC's do, so that both ends may send as soon as it is over.
//
// Three fields do not need a code generator, and reading them by hand keeps the bounds in sight: at most
// kMaxPayload bytes and kMaxMuxers muxers, no field of ours twice, everything unknown skipped.
#ifndef DOTAGENT_COMMON_SESSION_LIBP2P_NOISE_H_
#define DOTAGENT_COMMON_SESSION_LIBP2P_NOISE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/crypto/keys.h"

namespace dotagent::session {

// What a side lets the other send before it has heard more; bytes, bytes, streams.
struct MuxParameters {
  uint64_t stream_window = 0;
  uint64_t connection_window = 0;
  uint64_t max_streams = 0;
};

struct HandshakePayload {
  crypto::PublicKey key;
  std::string signature;
  std::vector<std::string> muxers;
  MuxParameters parameters;
};

inline constexpr size_t kMaxPayload = 4096;
inline constexpr size_t kMaxMuxers = 16;

// Signs `noise_static` (32 bytes) and encodes. Fails only if `signer` does.
[[nodiscard]] absl::StatusOr<std::string> MakeHandshakePayload(const crypto::Signer& signer,
                                                               absl::string_view noise_static,
                                                               const std::vector<std::string>& muxers,
                                                               const MuxParameters& parameters);

// Parses only. InvalidArgument (PROTOCOL) if it is no such payload, or its key not Ed25519.
[[nodiscard]] absl::StatusOr<HandshakePayload> DecodeHandshakePayload(absl::string_view payload);

// Parses and verifies that the payload's key has signed `noise_static`. Unauthenticated (BAD_SIGNATURE) if not.
[[nodiscard]] absl::StatusOr<HandshakePayload> VerifyHandshakePayload(absl::string_view payload,
                                                                      absl::string_view noise_static);

}  // namespace dotagent::session

#endif  // DOTAGENT_COMMON_SESSION_LIBP2P_NOISE_H_
