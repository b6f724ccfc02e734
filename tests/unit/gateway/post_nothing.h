// The loop of an InboxStore in a test: who flushes the store needs no other word from its thread.
#ifndef DOTAGENT_TESTS_UNIT_GATEWAY_POST_NOTHING_H_
#define DOTAGENT_TESTS_UNIT_GATEWAY_POST_NOTHING_H_

#include <functional>

namespace dotagent::gateway_service {

inline void PostNothing(const std::function<void()>& /*work*/) {}

}  // namespace dotagent::gateway_service

#endif  // DOTAGENT_TESTS_UNIT_GATEWAY_POST_NOTHING_H_
