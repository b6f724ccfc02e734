// Two muxers that talk: the input is a sequence of calls on either, of frames that one of them is made to say, and of
// new sessions with windows that may grow, while time passes. What holds for any sequence: calls and deliveries between
// well-behaved ends never end the session, bytes arrive in order and unchanged, nobody remembers more streams than its
// limits allow nor more of a stream than its largest window, no stream depends on itself, what windows grow by and slow
// readers leave is given back, whatever others leave unread a stream whose reader reads makes progress, and a made-up
// frame ends the session at worst.
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "common/session/mux.h"
#include "common/session/window_budget.h"

namespace {

using dotagent::session::Mux;
using dotagent::session::MuxOptions;
using dotagent::session::MuxParameters;
using dotagent::session::Priority;
using dotagent::session::Role;
using dotagent::session::StreamId;
using dotagent::session::StreamUse;
using dotagent::session::WindowBudget;

constexpr StreamId kIds = 32;  // the ids that an input can name
constexpr MuxParameters kParameters = {.stream_window = 300, .connection_window = 700, .max_streams = 3};
constexpr size_t kSendBuffer = 400;
const absl::Time kBegin = absl::FromUnixSeconds(1'800'000'000);

// The byte at a place of a stream's direction, so that a reader can check what it gets.
char Expected(StreamId id, size_t end, size_t at) { return static_cast<char>(id * 31 + end * 7 + at); }

class Input {
 public:
  Input(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  [[nodiscard]] bool empty() const { return size_ == 0; }
  uint8_t Next() {
    if (size_ == 0) return 0;
    --size_;
    return *data_++;
  }
  std::string Take(size_t count) {
    std::string bytes;
    while (bytes.size() < count && size_ > 0) bytes.push_back(static_cast<char>(Next()));
    return bytes;
  }

 private:
  const uint8_t* data_;
  size_t size_;
};

class Talk {
 public:
  Talk() { Begin(0); }
  ~Talk() { End(); }
  Talk(const Talk&) = delete;
  Talk& operator=(const Talk&) = delete;

  // False once the session is over, which only a made-up frame may cause.
  bool Step(Input& input) {
    const uint8_t op = input.Next();
    const size_t end = op & 1;
    const StreamId id = input.Next() % kIds;
    Mux& mux = *ends_[end];
    switch ((op >> 1) % 12) {
      case 0:
        (void)mux.OpenStream("/p", static_cast<Priority>(id % 4));
        return true;
      case 1:
        Write(end, id, input.Next() * size_t{2});
        return true;
      case 2:
        (void)mux.CloseWrite(id);
        return true;
      case 3:
        Read(end, id, input.Next());
        return true;
      case 4:
        mux.Reset(id, id);
        return true;
      case 5:
        mux.SetPriority(id, static_cast<Priority>(input.Next() % 4));
        return true;
      case 6:
        if (id != kIds - 1) return true;
        going_away_ = true;
        mux.GoAway();
        return true;
      case 7:
        return Deliver(end);
      case 9:
        Depend(mux, id, input.Next());
        return true;
      case 10:
        End();
        Begin(input.Next());
        return true;
      case 11:
        Pass(absl::Milliseconds(100) * (1 + id));
        return true;
      default:
        made_up_ = true;
        return mux.OnMessage(input.Take(id), now_).ok();
    }
  }

 private:
  void Write(size_t end, StreamId id, size_t count) {
    std::string data(count, '\0');
    size_t& at = written_[{end, id}];
    for (size_t i = 0; i < count; ++i) data[i] = Expected(id, end, at + i);
    const auto taken = ends_[end]->Write(id, data);
    if (taken.ok()) at += *taken;
    if (at > read_[{1 - end, id}] + kSendBuffer + max_stream_window_ && !made_up_) std::abort();
  }

  void Read(size_t end, StreamId id, size_t max) {
    const auto read = ends_[end]->Read(id, max);
    if (!read.ok()) return;
    size_t& at = read_[{end, id}];
    for (const char c : read->data) {
      if (c != Expected(id, 1 - end, at++) && !made_up_) std::abort();
    }
    if (at > written_[{1 - end, id}] && !made_up_) std::abort();
  }

  bool Deliver(size_t from) {
    constexpr size_t kMessage = 1500;
    dotagent::session::Message message;
    ends_[from]->Fill(kMessage, &message);
    if (message.size() > kMessage || message.ToString().size() != message.size()) std::abort();
    const absl::Status status = ends_[1 - from]->OnMessage(message.ToString(), now_);
    if (!status.ok() && !made_up_) std::abort();
    for (const size_t end : {0, 1}) {
      CheckLimit(end);
      (void)ends_[end]->TakeEvents();
    }
    return status.ok();
  }

  void Pass(absl::Duration time) {
    now_ += time;
    for (std::optional<Mux>& end : ends_) end->OnTimeout(now_);
  }

  // A call from `from` is heard, although nobody reads anything else.
  void CheckProgress(size_t from) {
    const auto id = ends_[from]->OpenStream("/q", Priority::kNormal, StreamUse::kCall);
    if (!id.ok()) return;
    const std::string said = "are you there?";
    if (ends_[from]->Write(*id, said).value_or(0) != said.size()) std::abort();
    std::string heard;
    for (int round = 0; round < 300 && heard != said; ++round) {
      (void)Deliver(from);
      (void)Deliver(1 - from);
      Pass(Mux::kSlow);
      const auto read = ends_[1 - from]->Read(*id, said.size());
      if (read.ok()) heard += read->data;
    }
    if (heard != said) std::abort();
  }

  // The peer has no more streams open here than it may.
  void CheckLimit(size_t end) {
    size_t open = 0;
    for (StreamId id = 1 - end; id < 2 * kIds; id += 4) {
      if (ends_[end]->Write(id, "").status().code() != absl::StatusCode::kNotFound) ++open;
    }
    if (open > max_streams_ || ends_[end]->open_streams() > ends_[end]->remembered_streams()) std::abort();
  }

  static void Depend(Mux& mux, StreamId id, uint8_t on) {
    if (on >= kIds) {
      (void)mux.SetDependency(id, std::nullopt);
    } else if (mux.SetDependency(id, on).ok() && mux.SetDependency(on, id).ok()) {
      std::abort();
    }
  }

  // A session whose windows and streams are as `limits` says, two bits each; 0: windows do not grow.
  void Begin(uint8_t limits) {
    max_stream_window_ = kParameters.stream_window << (limits & 3);
    budget_bytes_ = uint64_t{1000} * ((limits >> 4) & 3);
    budget_ = std::make_shared<WindowBudget>(budget_bytes_);
    MuxParameters parameters = kParameters;
    parameters.max_streams += (limits >> 6) * 2;
    max_streams_ = parameters.max_streams * 2;
    for (const Role role : {Role::kDialler, Role::kListener}) {
      ends_[role == Role::kDialler ? 0 : 1].emplace(
          MuxOptions{.role = role,
                     .ours = parameters,
                     .theirs = parameters,
                     .max_stream_window = max_stream_window_,
                     .max_connection_window = kParameters.connection_window << ((limits >> 2) & 3),
                     .most_streams = max_streams_,
                     .send_buffer = kSendBuffer,
                     .window_budget = budget_});
    }
  }

  void End() {
    for (const size_t from : {0, 1}) {
      if (!made_up_ && !going_away_) CheckProgress(from);
    }
    for (std::optional<Mux>& end : ends_) end.reset();
    if (budget_->left() != budget_bytes_) std::abort();
    written_.clear();
    read_.clear();
    made_up_ = false;
    going_away_ = false;
  }

  std::array<std::optional<Mux>, 2> ends_;
  uint64_t max_stream_window_ = 0;
  uint64_t max_streams_ = 0;
  uint64_t budget_bytes_ = 0;
  std::shared_ptr<WindowBudget> budget_;
  std::map<std::pair<size_t, StreamId>, size_t> written_;
  std::map<std::pair<size_t, StreamId>, size_t> read_;
  bool made_up_ = false;
  bool going_away_ = false;
  absl::Time now_ = kBegin;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  Talk talk;
  while (!input.empty()) {
    if (!talk.Step(input)) return 0;
  }
  return 0;
}
