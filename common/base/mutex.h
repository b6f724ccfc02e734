// std::mutex with the annotations that clang's thread-safety analysis checks.
//
// For what is shared between threads and tested under the thread sanitizer: Debian's absl::Mutex is built without
// instrumentation, and the sanitizer, which does not see it being locked, reports races where there are none. (It has
// no conditions to wait for; use absl::Mutex where those are needed.)
//
//   Mutex mutex_;
//   int count_ ABSL_GUARDED_BY(mutex_);
//   …
//   const Lock lock(mutex_);
#ifndef DOTAGENT_COMMON_BASE_MUTEX_H_
#define DOTAGENT_COMMON_BASE_MUTEX_H_

#include <mutex>

#include "absl/base/thread_annotations.h"

namespace dotagent {

class ABSL_LOCKABLE Mutex {
 public:
  void lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() { mutex_.lock(); }
  void unlock() ABSL_UNLOCK_FUNCTION() { mutex_.unlock(); }

 private:
  std::mutex mutex_;
};

// Holds a mutex for as long as it lives.
class ABSL_SCOPED_LOCKABLE Lock {
 public:
  explicit Lock(Mutex& mutex) ABSL_EXCLUSIVE_LOCK_FUNCTION(mutex) : mutex_(mutex) { mutex_.lock(); }
  ~Lock() ABSL_UNLOCK_FUNCTION() { mutex_.unlock(); }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

 private:
  Mutex& mutex_;
};

}  // namespace dotagent

#endif  // DOTAGENT_COMMON_BASE_MUTEX_H_
