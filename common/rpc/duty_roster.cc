#include "common/rpc/duty_roster.h"

#include <algorithm>

namespace dotagent::rpc {

void DutyRoster::Begin() {
  ++on_duty_;
  wanted_ = std::max(wanted_, on_duty_);  // it may have stepped in
}

void DutyRoster::End() {
  --on_duty_;
  wanted_ = std::max<size_t>(1, std::min(wanted_, on_duty_));
}

void DutyRoster::Work(absl::Time now) {
  if (--waiting_ == 0) all_at_work_since_ = now;
}

bool DutyRoster::Stays(double share) {
  if (share >= kBusy) wanted_ = on_duty_ + 1;
  return share >= kIdle || on_duty_ == 1;
}

}  // namespace dotagent::rpc
