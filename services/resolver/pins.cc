#include "services/resolver/pins.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/telemetry/log.h"

namespace dotagent::resolver_service {
namespace {

constexpr absl::string_view kTable = "resolver/pin/";
constexpr absl::Duration kSaveEvery = absl::Hours(24);
constexpr size_t kKeySize = 32;
constexpr size_t kTimeSize = 8;
constexpr size_t kPinSize = kKeySize + 2 * kTimeSize;
constexpr char kEndedHelp[] = "Names whose owner is no longer remembered, by cause.";

std::string RowOf(const record::Name& name) { return absl::StrCat(kTable, name.text()); }

// Milliseconds since the Unix epoch, big-endian.
std::string EncodeTime(absl::Time time) {
  const auto milliseconds = static_cast<uint64_t>(absl::ToUnixMillis(time));
  std::string bytes;
  for (int shift = 56; shift >= 0; shift -= 8) bytes.push_back(static_cast<char>((milliseconds >> shift) & 0xff));
  return bytes;
}

absl::Time DecodeTime(absl::string_view bytes) {
  uint64_t milliseconds = 0;
  for (const char byte : bytes) milliseconds = milliseconds << 8 | static_cast<uint8_t>(byte);
  return absl::FromUnixMillis(static_cast<int64_t>(milliseconds));
}

}  // namespace

Pins::Pins(storage::Store& store, telemetry::Metrics& metrics, size_t capacity)
    : store_(store),
      pins_(capacity),
      size_(metrics.AddGauge("dotagent_resolver_pins", "Names whose owner is remembered.")),
      lapsed_(metrics.AddCounter("dotagent_resolver_pins_ended_total", kEndedHelp, {{"cause", "lapsed"}})),
      pushed_out_(metrics.AddCounter("dotagent_resolver_pins_ended_total", kEndedHelp, {{"cause", "full"}})),
      forgotten_(metrics.AddCounter("dotagent_resolver_pins_ended_total", kEndedHelp, {{"cause", "operator"}})) {}

absl::StatusOr<std::unique_ptr<Pins>> Pins::Load(storage::Store& store, telemetry::Metrics& metrics, size_t capacity) {
  std::unique_ptr<Pins> pins(new Pins(store, metrics, capacity));
  storage::Batch surplus;
  absl::Status bad;
  RETURN_IF_ERROR(store.Scan(kTable, kTable, [&](absl::string_view row, absl::string_view value) {
    const auto name = record::Name::Parse(row.substr(kTable.size()));
    auto pin = Decode(value);
    if (!name.ok() || !pin.ok()) {
      bad = ErrorWithReason(absl::StatusCode::kDataLoss, reason::kStorage,
                            absl::StrCat("the entry ", row,
                                         " in the data folder is damaged; restore the folder from a copy, or delete it "
                                         "to start anew"));
      return false;
    }
    if (auto pushed_out = pins->pins_.Put(*name, *std::move(pin))) surplus.Delete(RowOf(*pushed_out));
    return true;
  }));
  RETURN_IF_ERROR(bad);
  pins->Write(surplus);
  pins->size_.Set(static_cast<double>(pins->pins_.size()));
  return pins;
}

std::string Pins::Encode(const Pin& pin) {
  return absl::StrCat(pin.owner.bytes(), EncodeTime(pin.newest), EncodeTime(pin.first_seen));
}

absl::StatusOr<Pins::Pin> Pins::Decode(absl::string_view bytes) {
  if (bytes.size() != kPinSize) return absl::DataLossError("a pin has another size");
  Pin pin;
  ASSIGN_OR_RETURN(pin.owner, identity::AgentId::FromBytes(bytes.substr(0, kKeySize)));
  pin.newest = DecodeTime(bytes.substr(kKeySize, kTimeSize));
  pin.first_seen = DecodeTime(bytes.substr(kKeySize + kTimeSize, kTimeSize));
  pin.saved = pin.newest;
  return pin;
}

absl::Status Pins::Check(const record::Name& name, const identity::AgentId& owner, absl::Time now) {
  const Pin* pin = pins_.Find(name);
  if (pin == nullptr || pin->owner == owner) return absl::OkStatus();
  if (now - pin->newest > kPinLapses) {
    lapsed_.Increment();
    return absl::OkStatus();
  }
  return ErrorWithReason(
      absl::StatusCode::kAborted, reason::kConflict,
      absl::StrCat(
          name.text(), " is claimed by agent ", owner.ToString(), ", but this resolver has known it as agent ",
          pin->owner.ToString(), "'s since ", absl::FormatTime(absl::RFC3339_sec, pin->first_seen, absl::UTCTimeZone()),
          ": somebody may be stealing it. If the change is right, an operator accepts it with `dotagent resolve ",
          name.text(), " --resolver HOST:PORT --accept-new-owner`"));
}

void Pins::See(const Answer& answer, absl::Time now) {
  const record::Record& record = answer.record;
  Pin* held = pins_.Find(record.name());
  const bool known = held != nullptr && held->owner == answer.owner;
  Pin pin = known ? *held : Pin{.owner = answer.owner, .newest = record.timestamp(), .first_seen = now};
  pin.newest = std::max(pin.newest, record.timestamp());
  storage::Batch batch;
  if (!known || pin.newest - pin.saved >= kSaveEvery) {
    pin.saved = pin.newest;
    batch.Put(RowOf(record.name()), Encode(pin));
  }
  if (auto pushed_out = pins_.Put(record.name(), std::move(pin))) {
    pushed_out_.Increment();
    batch.Delete(RowOf(*pushed_out));
  }
  Write(batch);
  size_.Set(static_cast<double>(pins_.size()));
}

bool Pins::Forget(const record::Name& name) {
  if (!pins_.Erase(name)) return false;
  forgotten_.Increment();
  storage::Batch batch;
  batch.Delete(RowOf(name));
  Write(batch);
  size_.Set(static_cast<double>(pins_.size()));
  return true;
}

void Pins::Write(const storage::Batch& batch) {
  if (batch.empty()) return;
  // What is lost with the machine is learnt again from the next answer.
  const absl::Status written = store_.Write(batch, storage::Durability::kBuffered);
  if (written.ok()) return;
  telemetry::Log(telemetry::Level::kWarning, "who holds a name was not written down; it is remembered until a restart",
                 {{"error", std::string(written.message())}});
}

}  // namespace dotagent::resolver_service
