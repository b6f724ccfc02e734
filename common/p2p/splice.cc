#include "common/p2p/splice.h"

#include <array>
#include <asio/buffer.hpp>
#include <asio/error.hpp>
#include <asio/post.hpp>
#include <asio/steady_timer.hpp>
#include <asio/write.hpp>
#include <string>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/p2p/timer.h"

namespace dotagent::p2p {
namespace {

class Splicer : public Operation, public std::enable_shared_from_this<Splicer> {
 public:
  Splicer(CircuitSocket a, CircuitSocket b, const SpliceLimits& limits, std::function<void(absl::string_view)> on_bytes,
          std::function<void(absl::Status, uint64_t)> done)
      : ends_{std::move(a), std::move(b)},
        timer_(ends_[0].socket().get_executor()),
        limits_(limits),
        on_bytes_(std::move(on_bytes)),
        done_(std::move(done)) {}

  void Start() {
    timer_.expires_after(TimerDelay(limits_.max_time));
    timer_.async_wait([self = shared_from_this()](const std::error_code& error) {
      if (error) return;
      self->Finish(ErrorWithReason(absl::StatusCode::kDeadlineExceeded, reason::kLimit,
                                   absl::StrCat("the circuit was open for the longest time allowed, ",
                                                absl::FormatDuration(self->limits_.max_time))));
    });
    // To end `to`: the news that it is joined, then what the other end has sent ahead.
    for (size_t to = 0; to < 2; ++to) {
      std::string early = ends_[1 - to].TakeEarly();
      if (!Allowed(early.size())) return;
      first_[to] = std::string(1, kCircuitJoined) + early;
      asio::async_write(ends_[to].socket(), asio::buffer(first_[to]),
                        [self = shared_from_this(), to](const std::error_code& error, size_t) {
                          const std::string written = std::exchange(self->first_[to], std::string());
                          self->OnWritten(1 - to, absl::string_view(written).substr(1), error);
                        });
    }
  }

  void Cancel() override {
    if (over_) return;
    over_ = true;
    CloseAll();
    done_ = nullptr;
    on_bytes_ = nullptr;
  }

 private:
  // Takes the next piece that end `from` sends.
  void Read(size_t from) {
    ends_[from].socket().async_read_some(
        asio::buffer(buffers_[from]), [self = shared_from_this(), from](const std::error_code& error, size_t size) {
          if (self->over_) return;
          if (error == asio::error::eof) return self->OnEnd(from);
          if (error) return self->Finish(absl::UnavailableError(absl::StrCat("an end broke off: ", error.message())));
          if (self->Allowed(size)) self->Write(from, size);
        });
  }

  void Write(size_t from, size_t size) {
    asio::async_write(ends_[1 - from].socket(), asio::buffer(buffers_[from], size),
                      [self = shared_from_this(), from, size](const std::error_code& error, size_t) {
                        self->OnWritten(from, absl::string_view(self->buffers_[from].data(), size), error);
                      });
  }

  void OnWritten(size_t from, absl::string_view piece, const std::error_code& error) {
    if (over_) return;
    if (error) return Finish(absl::UnavailableError(absl::StrCat("an end broke off: ", error.message())));
    bytes_ += piece.size();
    if (!piece.empty() && on_bytes_) on_bytes_(piece);
    if (!over_) Read(from);
  }

  void OnEnd(size_t from) {
    std::error_code ignored;
    ends_[1 - from].socket().shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
    if (++ended_ == 2) Finish(absl::OkStatus());
  }

  // Counts bytes before they are passed on, so that the limit is never exceeded.
  bool Allowed(uint64_t size) {
    if (size <= limits_.max_bytes - admitted_) {
      admitted_ += size;
      return true;
    }
    Finish(ErrorWithReason(absl::StatusCode::kResourceExhausted, reason::kLimit,
                           absl::StrCat("the circuit reached its limit of ", limits_.max_bytes, " bytes")));
    return false;
  }

  void Finish(absl::Status why) {
    if (over_) return;
    over_ = true;
    CloseAll();
    on_bytes_ = nullptr;
    asio::post(timer_.get_executor(),
               [done = std::exchange(done_, nullptr), why = std::move(why), bytes = bytes_] { done(why, bytes); });
  }

  void CloseAll() {
    timer_.cancel();
    std::error_code ignored;
    for (CircuitSocket& end : ends_) end.socket().close(ignored);
  }

  std::array<CircuitSocket, 2> ends_;
  std::array<std::array<char, kSpliceBuffer>, 2> buffers_;  // [i]: what end i has sent
  std::array<std::string, 2> first_;                        // [i]: what end i is told first
  asio::steady_timer timer_;
  const SpliceLimits limits_;
  std::function<void(absl::string_view)> on_bytes_;
  std::function<void(absl::Status, uint64_t)> done_;
  uint64_t admitted_ = 0;
  uint64_t bytes_ = 0;
  int ended_ = 0;
  bool over_ = false;
};

}  // namespace

std::shared_ptr<Operation> Splice(CircuitSocket a, CircuitSocket b, const SpliceLimits& limits,
                                  std::function<void(absl::string_view)> on_bytes,
                                  std::function<void(absl::Status, uint64_t)> done) {
  auto splicer = std::make_shared<Splicer>(std::move(a), std::move(b), limits, std::move(on_bytes), std::move(done));
  splicer->Start();
  return splicer;
}

}  // namespace dotagent::p2p
