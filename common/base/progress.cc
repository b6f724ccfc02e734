#include "common/base/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "common/base/format.h"

namespace dotagent {
namespace {
constexpr absl::Duration kRedraw = absl::Milliseconds(100);
constexpr size_t kBarWidth = 30;
}  // namespace

Progress::Progress(std::string what, uint64_t total, bool quiet, Unit unit)
    : what_(std::move(what)),
      total_(total),
      draws_(!quiet && isatty(STDERR_FILENO) == 1),
      unit_(unit),
      started_(absl::Now()),
      drawn_(started_) {}

Progress::~Progress() {
  if (draws_) std::fputs("\r\x1b[K", stderr);
}

void Progress::Add(uint64_t done) {
  done_ += done;
  if (!draws_) return;
  const absl::Time now = absl::Now();
  if (now - drawn_ >= kRedraw) Draw(now);
}

void Progress::Draw(absl::Time now) {
  drawn_ = now;
  const double rate = static_cast<double>(done_) / std::max(absl::ToDoubleSeconds(now - started_), 0.001);
  std::string line = absl::StrCat("\r\x1b[K", what_, "  ");
  if (total_ > 0) {
    const double share = std::min(1.0, static_cast<double>(done_) / static_cast<double>(total_));
    const auto filled = static_cast<size_t>(share * kBarWidth);
    absl::StrAppend(&line, "[", std::string(filled, '#'), std::string(kBarWidth - filled, '.'), "] ",
                    absl::StrFormat("%3.0f%%  ", share * 100));
  }
  absl::StrAppend(&line, Format(static_cast<double>(done_)), "  ", Format(rate), "/s");
  std::fputs(line.c_str(), stderr);
}

std::string Progress::Format(double amount) const {
  return unit_ == Unit::kBytes ? FormatBytes(amount) : absl::StrFormat("%.0f", amount);
}

}  // namespace dotagent
