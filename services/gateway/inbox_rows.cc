#include "services/gateway/inbox_rows.h"

#include <cstddef>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace dotagent::gateway_service::inbox_rows {
namespace {

constexpr size_t kNumberSize = 8;
constexpr size_t kRootSize = 5;  // "inbox"

std::string Number(uint64_t value) {
  std::string bytes(kNumberSize, '\0');
  for (size_t i = 0; i < kNumberSize; ++i) bytes[i] = static_cast<char>(value >> (8 * (kNumberSize - 1 - i)));
  return bytes;
}

uint64_t ParseNumber(absl::string_view bytes) {
  uint64_t value = 0;
  for (const char byte : bytes.substr(0, kNumberSize)) value = value << 8 | static_cast<uint8_t>(byte);
  return value;
}

std::string Timeline(int64_t time_ms, absl::string_view kind, absl::string_view inbox, uint64_t sequence) {
  return absl::StrCat(kTimeline, Number(static_cast<uint64_t>(time_ms)), "/", kind, "/", inbox, "/", Number(sequence));
}

}  // namespace

std::string Numbers(std::initializer_list<uint64_t> values) {
  std::string bytes;
  for (const uint64_t value : values) bytes += Number(value);
  return bytes;
}

std::optional<std::vector<uint64_t>> ParseNumbers(absl::string_view bytes) {
  if (bytes.empty() || bytes.size() % kNumberSize != 0) return std::nullopt;
  std::vector<uint64_t> values;
  for (; !bytes.empty(); bytes.remove_prefix(kNumberSize)) values.push_back(ParseNumber(bytes));
  return values;
}

std::string MessageKey(absl::string_view inbox, uint64_t sequence) {
  return absl::StrCat("inbox/m/", inbox, "/", Number(sequence));
}

std::string CounterKey(absl::string_view inbox) { return absl::StrCat("inbox/n/", inbox); }

std::string SeenKey(absl::string_view inbox, absl::string_view sender, absl::string_view id) {
  return absl::StrCat(kSeenTable, inbox, "/", sender, "/", id);
}

std::string MessageTimelineKey(int64_t time_ms, absl::string_view inbox, uint64_t sequence) {
  return Timeline(time_ms, "m", inbox, sequence);
}

std::string DeadLetterTimelineKey(int64_t time_ms, absl::string_view inbox, uint64_t sequence) {
  return Timeline(time_ms, "z", inbox, sequence);
}

std::string SeenTimelineKey(int64_t time_ms, absl::string_view seen_key) {
  return absl::StrCat(kTimeline, Number(static_cast<uint64_t>(time_ms)), seen_key.substr(kRootSize));
}

std::optional<TimelineEntry> ParseTimeline(absl::string_view key) {
  key.remove_prefix(kTimeline.size());
  if (key.size() < kNumberSize + 4) return std::nullopt;
  TimelineEntry entry;
  entry.time_ms = static_cast<int64_t>(ParseNumber(key));
  const absl::string_view rest = key.substr(kNumberSize);  // "/m/…"
  const absl::string_view what = rest.substr(0, 3);
  if (what == "/d/") {
    entry.kind = Kind::kSeen;
    entry.key = absl::StrCat("inbox", rest);
    return entry;
  }
  const absl::string_view id = rest.substr(3);  // INBOX/SEQUENCE
  if ((what != "/m/" && what != "/z/") || id.size() < kNumberSize + 2) return std::nullopt;
  entry.kind = what == "/m/" ? Kind::kMessage : Kind::kDeadLetter;
  entry.key = absl::StrCat("inbox/m/", id);
  entry.inbox = std::string(id.substr(0, id.size() - kNumberSize - 1));
  entry.sequence = ParseNumber(id.substr(id.size() - kNumberSize));
  return entry;
}

absl::Status Corrupt(absl::string_view what) {
  return ErrorWithReason(absl::StatusCode::kDataLoss, reason::kStorage,
                         absl::StrCat("the inbox on disk is damaged (", what, "); restore the data folder"));
}

}  // namespace dotagent::gateway_service::inbox_rows
