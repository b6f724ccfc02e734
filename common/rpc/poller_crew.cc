#include "common/rpc/poller_crew.h"

#include <grpc/grpc.h>
#include <pthread.h>

#include <array>
#include <ctime>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/rpc/duty_roster.h"
#include "common/rpc/interpose.h"

namespace dotagent::rpc {
namespace {

constexpr char kSymbol[] = "grpc_completion_queue_next";
constexpr absl::string_view kThreadName = "nexting_thread";
// How often a thread on duty looks at how much it works.
constexpr absl::Duration kWindow = absl::Milliseconds(10);

using NextFunction = grpc_event (*)(grpc_completion_queue*, gpr_timespec, void*);

NextFunction Original() {
  static const auto original = reinterpret_cast<NextFunction>(NextDefinition(kSymbol));
  return original;
}

bool IsOfTheCrew() {
  thread_local const bool is = [] {
    std::array<char, 16> name{};
    return pthread_getname_np(pthread_self(), name.data(), name.size()) == 0 && name.data() == kThreadName;
  }();
  return is;
}

// What this thread has had of a core so far.
absl::Duration ProcessorTime() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return absl::DurationFromTimespec(time);
}

// Since when this thread is on duty, or has looked at how much it works.
struct Shift {
  absl::Time begun = absl::Now();
  absl::Duration processor_time = ProcessorTime();

  [[nodiscard]] double ShareUntil(absl::Time now) const {
    return absl::FDivDuration(ProcessorTime() - processor_time, now - begun);
  }
};

// Of one queue: a process has one for its callbacks, and the next one only when that has been shut down.
class Crew {
 public:
  // For ever: gRPC's threads outlive what is destroyed when the program ends.
  static Crew& Get() {
    static Crew& crew = *new Crew();
    return crew;
  }

  grpc_event Next(grpc_completion_queue* queue, gpr_timespec deadline, void* reserved) {
    thread_local std::optional<Shift> shift;
    if (!GoOnDuty(queue, shift)) return Original()(queue, deadline, reserved);
    const grpc_event event = Original()(queue, deadline, reserved);
    const absl::MutexLock lock(&mutex_);
    roster_.Work(absl::Now());
    if (event.type == GRPC_QUEUE_SHUTDOWN) {
      Leave(shift);
      if (roster_.on_duty() == 0 && standing_by_ == 0) queue_ = nullptr;
    }
    return event;
  }

 private:
  // False: the queue is another.
  bool GoOnDuty(grpc_completion_queue* queue, std::optional<Shift>& shift) {
    const absl::MutexLock lock(&mutex_);
    if (queue_ == nullptr) queue_ = queue;
    if (queue_ != queue) return false;
    const absl::Time now = absl::Now();
    if (shift && now - shift->begun >= kWindow) {
      const bool stays = roster_.Stays(shift->ShareUntil(now));
      shift.emplace();
      if (!stays) Leave(shift);
      if (roster_.NeedsAnother(now)) changed_.Signal();
    }
    if (!shift) StandBy();
    if (!shift) {
      roster_.Begin();
      shift.emplace();
    }
    roster_.Wait();
    return true;
  }

  void StandBy() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    ++standing_by_;
    while (!roster_.NeedsAnother(absl::Now())) changed_.WaitWithTimeout(&mutex_, DutyRoster::kAway);
    --standing_by_;
  }

  void Leave(std::optional<Shift>& shift) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    roster_.End();
    shift.reset();
    changed_.Signal();
  }

  absl::Mutex mutex_;
  absl::CondVar changed_;
  grpc_completion_queue* queue_ ABSL_GUARDED_BY(mutex_) = nullptr;
  DutyRoster roster_ ABSL_GUARDED_BY(mutex_);
  int standing_by_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace

absl::Status CheckPollerCrew() { return CheckInterposed(kSymbol); }

}  // namespace dotagent::rpc

// As grpc/grpc.h declares it.
__attribute__((visibility("default"))) grpc_event grpc_completion_queue_next(grpc_completion_queue* queue,
                                                                             gpr_timespec deadline, void* reserved) {
  if (!dotagent::rpc::IsOfTheCrew()) return dotagent::rpc::Original()(queue, deadline, reserved);
  return dotagent::rpc::Crew::Get().Next(queue, deadline, reserved);
}
