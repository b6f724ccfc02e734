// Keeps a number of asynchronous operations under way and times each: the same loop for whatever is measured, so that
// two systems differ only in what they do. Standard library only: programs that know nothing of dotagent use it too.
#ifndef DOTAGENT_TESTS_BENCH_DRIVE_H_
#define DOTAGENT_TESTS_BENCH_DRIVE_H_

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <iostream>
#include <memory>
#include <mutex>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace dotagent::bench {

// Begins operation `index` and returns; `done(ok)` is to be called once, from any thread.
using StartOperation = std::function<void(size_t index, std::function<void(bool ok)> done)>;

struct Timing {
  double seconds = 0;      // from the first start to the last end
  double cpu_seconds = 0;  // of this process, all threads, meanwhile
  size_t failed = 0;       // those that were not ok, or not over when patience was
  std::vector<double> us;  // of those that were ok, each from its start to its end
};

inline double CpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// Runs operations first … first + count - 1, `in_flight` at a time; the end of one starts the next, on the thread on
// which it ended. Gives up when nothing has ended for `patience`; `start` is not called after that.
inline Timing Drive(size_t first, size_t count, size_t in_flight, StartOperation start,
                    std::chrono::seconds patience = std::chrono::seconds(60)) {
  using Steady = std::chrono::steady_clock;
  // Shared: an operation may end after we gave up.
  struct State : std::enable_shared_from_this<State> {
    void Next() {
      size_t index = 0;
      {
        const std::lock_guard<std::mutex> lock(mutex);
        if (next == end || given_up) return;
        index = next++;
      }
      start(index, [self = this->shared_from_this(), began = Steady::now()](bool ok) {
        const std::chrono::duration<double, std::micro> took = Steady::now() - began;
        self->Ended(ok, took.count());
      });
    }
    void Ended(bool ok, double took_us) {
      {
        const std::lock_guard<std::mutex> lock(mutex);
        ++ended;
        if (ok) us.push_back(took_us);
        if (ended == count)
          over.notify_one();  // and not before: to wake somebody each time would be part of the figure
      }
      Next();
    }

    StartOperation start;
    std::mutex mutex;
    std::condition_variable over;
    size_t next = 0;
    size_t end = 0;
    size_t count = 0;
    size_t ended = 0;
    bool given_up = false;
    std::vector<double> us;
  };

  const auto state = std::make_shared<State>();
  state->start = std::move(start);
  state->next = first;
  state->end = first + count;
  state->count = count;
  state->us.reserve(count);
  const double cpu_before = CpuSeconds();
  const auto began = Steady::now();
  for (size_t i = 0; i < std::min(in_flight, count); ++i) state->Next();

  Timing timing;
  size_t seen = 0;
  std::unique_lock<std::mutex> lock(state->mutex);
  while (!state->over.wait_for(lock, patience, [&] { return state->ended == count; })) {
    if (state->ended == std::exchange(seen, state->ended)) break;
  }
  state->given_up = true;
  timing.seconds = std::chrono::duration<double>(Steady::now() - began).count();
  timing.cpu_seconds = CpuSeconds() - cpu_before;
  timing.us = state->us;
  timing.failed = count - timing.us.size();
  return timing;
}

// A system under test as a process of its own: says that it is ready with one line of JSON (`ready`), then carries out
// each line `VERB FIRST COUNT IN_FLIGHT` of standard input and answers with a line of JSON, until the input ends.
inline void ServeCommands(
    const std::string& ready,
    const std::function<Timing(const std::string& verb, size_t first, size_t count, size_t in_flight)>& carry_out) {
  std::cout << ready << std::endl;
  std::string line;
  while (std::getline(std::cin, line)) {
    std::istringstream words(line);
    std::string verb;
    size_t first = 0;
    size_t count = 0;
    size_t in_flight = 0;
    words >> verb >> first >> count >> in_flight;
    const Timing timing = carry_out(verb, first, count, in_flight);
    std::ostringstream answer;
    answer << R"({"seconds":)" << timing.seconds << R"(,"cpu_seconds":)" << timing.cpu_seconds << R"(,"failed":)"
           << timing.failed << R"(,"us":[)";
    for (size_t i = 0; i < timing.us.size(); ++i) answer << (i == 0 ? "" : ",") << timing.us[i];
    std::cout << answer.str() << "]}" << std::endl;
  }
}

}  // namespace dotagent::bench

#endif  // DOTAGENT_TESTS_BENCH_DRIVE_H_
