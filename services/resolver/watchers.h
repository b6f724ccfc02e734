// Who wants to be told of news of which name.
#ifndef DOTAGENT_SERVICES_RESOLVER_WATCHERS_H_
#define DOTAGENT_SERVICES_RESOLVER_WATCHERS_H_

#include <cstddef>
#include <cstdint>
#include <functional>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "common/record/name.h"
#include "dotagent/resolver/v1/resolver.pb.h"

namespace dotagent::resolver_service {

// Not thread-safe. Telling costs as much as the name has watchers.
class Watchers {
 public:
  static constexpr size_t kMax = 10'000;
  using TellFunction = std::function<void(const resolver::v1::WatchResponse&)>;

  // Calls `tell` with each piece of news of a name until Remove. ResourceExhausted (LIMIT) over kMax.
  [[nodiscard]] absl::StatusOr<uint64_t> Add(const record::Name& name, TellFunction tell);
  void Remove(uint64_t watch);
  // A watcher may remove itself or others while it is told.
  void Tell(const record::Name& name, const resolver::v1::WatchResponse& news) const;

 private:
  struct Watcher {
    record::Name name;
    TellFunction tell;
  };
  absl::flat_hash_map<uint64_t, Watcher> watchers_;
  absl::flat_hash_map<record::Name, absl::flat_hash_set<uint64_t>> by_name_;
  uint64_t next_ = 1;
};

}  // namespace dotagent::resolver_service

#endif  // DOTAGENT_SERVICES_RESOLVER_WATCHERS_H_
