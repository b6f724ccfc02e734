// How many bytes a DHT call takes on the wire, without encoding it: large simulations count bytes this way.
// tests/unit/dht/message_size_test.cc holds it against wire.h. Sessions add framing and encryption, about 40 bytes a
// message, which is not counted. Thread-safe; no allocation.
#ifndef DOTAGENT_COMMON_DHT_TESTING_MESSAGE_SIZE_H_
#define DOTAGENT_COMMON_DHT_TESTING_MESSAGE_SIZE_H_

#include <cstddef>

#include "common/dht/types.h"

namespace dotagent::dht {

// EncodeRequest(request).size()
[[nodiscard]] size_t EncodedSize(const Request& request);
// EncodeResponse(response).size()
[[nodiscard]] size_t EncodedSize(const Response& response);

}  // namespace dotagent::dht

#endif  // DOTAGENT_COMMON_DHT_TESTING_MESSAGE_SIZE_H_
