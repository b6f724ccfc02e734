// The values that a node keeps, and its claims, under any sequence of stores, settlements, sweeps, clock jumps, full
// disks, kills and power cuts, beside a model that says in the plainest way what must be there. What holds after each
// step: the same answer as the model's, the bounds and quotas, one owner a key as long as his claim lasts, nothing that
// has expired or whose signer is revoked; and after a restart all that was confirmed, on disk even where the power
// went.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/base/status.h"
#include "common/dht/value_store.h"
#include "common/identity/agent_id.h"
#include "common/identity/revocation.h"
#include "common/identity/rotation.h"
#include "common/record/record.h"

namespace dotagent::dht {
namespace {

void Check(bool holds) {
  if (!holds) std::abort();
}

constexpr size_t kAgents = 3;
constexpr size_t kNames = 20;
constexpr size_t kSources = 4;  // the first is the node itself
constexpr size_t kSteps = 300;
const absl::Time kStart = absl::FromUnixSeconds(1'800'000'000);

crypto::SigningKey KeyOf(size_t number) {
  return *crypto::SigningKey::FromSeed(std::string(32, static_cast<char>('a' + number)));
}

// All values that there are: three agents' records of each name, of several dates and lifetimes, their revocations, and
// chains that follow, precede and contradict one another.
std::vector<Value> MakeValues() {
  const ValueTypes types;
  std::vector<Value> values;
  const auto add = [&](ValueKind kind, std::string bytes, absl::Time when) {
    values.push_back(*types.Of(kind).Validate({std::move(bytes), ""}, when));
  };
  for (size_t agent = 0; agent < kAgents; ++agent) {
    const crypto::SigningKey key = KeyOf(agent);
    for (size_t name = 0; name < kNames; ++name) {
      for (const auto& [day, ttl] : {std::pair(0, 3600), std::pair(0, 7 * 86400), std::pair(2, 86400),
                                     std::pair(8, 86400), std::pair(33, 86400)}) {
        const absl::Time when = kStart + absl::Hours(24 * day);
        add(ValueKind::kRecord,
            record::Record::Sign({.name = absl::StrCat("n", name, ".agent"), .timestamp = when, .ttl_seconds = ttl},
                                 key)
                ->json(),
            when);
      }
    }
    for (const int day : {1, 3}) {
      const absl::Time when = kStart + absl::Hours(24 * day);
      add(ValueKind::kRevocation, *identity::SignRevocation(key, "", when), when);
    }
    std::vector<std::string> chain = {*identity::MakeInception(key, KeyOf(10 + agent).public_key(), kStart)};
    add(ValueKind::kRotation, identity::EncodeRotationChain(chain), kStart);
    const absl::Time later = kStart + absl::Hours(24);
    const auto inception = identity::VerifyRotationChain(chain, kStart);
    chain.push_back(*identity::MakeRotation(*inception, key, KeyOf(10 + agent), KeyOf(20).public_key(), later));
    add(ValueKind::kRotation, identity::EncodeRotationChain(chain), later);
    add(ValueKind::kRotation,
        identity::EncodeRotationChain({*identity::MakeInception(key, KeyOf(21).public_key(), kStart)}), kStart);
  }
  return values;
}

// As the DHT's Handle lets it through: what Validate says of dates, without the signature.
bool IsCurrent(const Value& value, absl::Time now) {
  if (value.timestamp > now + record::kMaxRecordFuture) return false;
  return value.kind != ValueKind::kRecord || (value.expires > now && now - value.timestamp <= record::kMaxRecordAge);
}

// Whoever asks a node takes the session as proof, so no one here looks at its signatures.
class Unsigned : public crypto::Signer {
 public:
  [[nodiscard]] const crypto::PublicKey& public_key() const override { return key_; }
  [[nodiscard]] absl::StatusOr<std::string> Sign(absl::string_view /*message*/) const override {
    return std::string(crypto::kSignatureSize, '\0');
  }

 private:
  const crypto::PublicKey key_ = KeyOf(30).public_key();
};

// A disk that runs full, and that forgets what was not synced when the power goes.
class Disk : public storage::Store {
 public:
  absl::StatusOr<std::string> Get(absl::string_view key) const override {
    const auto found = now_.find(std::string(key));
    if (found == now_.end()) return absl::NotFoundError("none");
    return found->second;
  }
  absl::Status Write(const storage::Batch& batch, storage::Durability durability) override {
    if (batch.empty()) return absl::OkStatus();
    if (writes_left == 0) return ErrorWithReason(absl::StatusCode::kUnavailable, reason::kStorage, "the disk is full");
    if (writes_left > 0) --writes_left;
    for (const auto& [key, value] : batch.changes()) {
      const auto held = now_.find(key);
      unsynced_.emplace_back(key, held == now_.end() ? std::nullopt : std::optional(held->second));
      if (value) {
        now_[key] = *value;
      } else {
        now_.erase(key);
      }
    }
    if (durability == storage::Durability::kSync) {
      unsynced_.clear();
      synced = true;
    }
    return absl::OkStatus();
  }
  absl::Status Scan(absl::string_view prefix, absl::string_view from,
                    const std::function<bool(absl::string_view, absl::string_view)>& visit) const override {
    // No visitor writes.
    for (auto entry = now_.lower_bound(std::max(std::string(prefix), std::string(from)));
         entry != now_.end() && absl::StartsWith(entry->first, prefix); ++entry) {
      if (!visit(entry->first, entry->second)) break;
    }
    return absl::OkStatus();
  }

  void CutPower() {
    for (auto change = unsynced_.rbegin(); change != unsynced_.rend(); ++change) {
      if (change->second) {
        now_[change->first] = *change->second;
      } else {
        now_.erase(change->first);
      }
    }
    unsynced_.clear();
  }
  [[nodiscard]] size_t Count(const std::string& prefix) const {
    return static_cast<size_t>(std::distance(now_.lower_bound(prefix), now_.lower_bound(absl::StrCat(prefix, "\x7f"))));
  }

  int writes_left = -1;  // before it is full; -1: never
  bool synced = false;   // since someone looked

 private:
  std::map<std::string, std::string> now_;
  std::vector<std::pair<std::string, std::optional<std::string>>> unsynced_;  // what was there before, in order
};

using Place = std::pair<ValueKind, Id>;  // in the order of the tables

// What a node must remember, in the plainest way.
struct Memory {
  struct Kept {
    const Value* value;  // of the pool
    size_t source;
  };
  struct Claim {
    Id owner;
    Id digest;
    absl::Time newest;
  };
  std::map<Place, Kept> values;
  std::map<Place, Claim> claims;
  std::set<Place> provisional;
  std::set<std::string> revoked;  // signers
};

class Model {
 public:
  Model(const std::vector<Value>& pool, const ValueStoreOptions& options) : pool_(pool), options_(options) {
    for (size_t i = 0; i < kSources; ++i) sources_.push_back(i == 0 ? node_.public_key() : KeyOf(30 + i).public_key());
    Open();
  }

  void Step(uint8_t op, size_t which, uint8_t argument) {
    const Value& value = pool_[which % pool_.size()];
    disk_.synced = false;
    switch (op & 7) {
      case 0:
        Settle(value, pool_[argument % pool_.size()]);
        break;
      case 1:
        Sweep(1 + argument % 8);
        break;
      case 2:
        SweepClaims(1 + argument % 8);
        break;
      case 3:
        MoveClock(which, argument);
        break;
      case 4:
        Misfortune(which, argument);
        break;
      default:
        // Most values are stored at a time when they are current.
        if ((argument & 0x40) != 0) now_ = std::max(now_, value.timestamp);
        Store(value, (argument & 1) != 0 ? ValueStore::Keep::kValue : ValueStore::Keep::kClaimOnly,
              argument / 2 % kSources);
    }
    if (disk_.synced) synced_ = memory_;
    CheckBounds();
    CheckPlace({value.kind, value.key});
  }

  void CheckAll() {
    for (const Value& value : pool_) CheckPlace({value.kind, value.key});
    const auto page = values_->claims().Provisional("", 1000);
    Check(page.ok() && page->next.empty());
    Check(std::set<Place>(page->keys.begin(), page->keys.end()) == memory_.provisional);
    for (size_t i = 0; i < kAgents; ++i) {
      const crypto::PublicKey key = KeyOf(i).public_key();
      Check(values_->IsRevoked(key) == memory_.revoked.contains(std::string(key.bytes())));
    }
  }

  // What is on disk is all that a restart has.
  void Restart() {
    values_.reset();
    Open();
    CheckBounds();
    CheckAll();
  }

 private:
  void Open() { values_ = std::make_unique<ValueStore>(&node_, &disk_, options_); }

  // The model's word on a Store: the reason of its refusal, or "" after doing it. `keeps`: it wrote the value.
  std::string Predict(const Value& value, ValueStore::Keep keep, size_t source, Memory& memory, bool& keeps) const {
    const ValueType& type = values_->types().Of(value.kind);
    const Place place{value.kind, value.key};
    const std::string signer(value.signer.bytes());
    if (!type.revokes_owner() && memory.revoked.contains(signer)) return std::string(reason::kKeyRevoked);
    if (type.first_claim()) {
      const auto claim = memory.claims.find(place);
      const bool is_new = claim == memory.claims.end();
      const bool lapsed = !is_new && now_ - claim->second.newest >= kClaimLifetime;
      const bool others = !is_new && claim->second.owner != value.owner;
      if (others && !lapsed) return std::string(reason::kNameTaken);
      if (!is_new && !others && value.timestamp < claim->second.newest) return std::string(reason::kSuperseded);
      if (is_new && memory.claims.size() >= 8 * options_.max_values) return std::string(reason::kLimit);
      if (is_new || others || claim->second.digest != DigestOf(value.item)) {
        memory.claims[place] = {value.owner, DigestOf(value.item), value.timestamp};
      }
      if (is_new || others) memory.provisional.insert(place);
    }
    const auto held = memory.values.find(place);
    keeps = keep == ValueStore::Keep::kValue || held != memory.values.end();
    if (held != memory.values.end() && held->second.value->item == value.item) {
      keeps = false;
    } else if (held != memory.values.end() && (held->second.value->owner == value.owner || !type.first_claim())) {
      const absl::StatusOr<bool> replaces = type.Replaces(*held->second.value, value);
      if (!replaces.ok()) return ReasonOf(replaces.status());
      keeps = *replaces;
    }
    if (!keeps) return "";
    const bool is_new = held == memory.values.end();
    if (is_new && !MakeRoom(value, source, memory)) return std::string(reason::kLimit);
    if (is_new && type.revokes_owner()) {
      std::erase_if(memory.values, [&](const auto& entry) { return entry.second.value->signer == value.signer; });
      memory.revoked.insert(signer);
    }
    memory.values.insert_or_assign(place, Memory::Kept{&value, source});
    return "";
  }

  bool MakeRoom(const Value& value, size_t source, Memory& memory) const {
    const auto stored = std::count_if(memory.values.begin(), memory.values.end(),
                                      [&](const auto& entry) { return entry.second.source == source; });
    if (source != 0 && static_cast<size_t>(stored) >= options_.max_values_per_source) return false;
    if (memory.values.size() < options_.max_values) return true;
    const Id self = Id::OfNode(node_.public_key());
    auto farthest = memory.values.end();
    for (auto entry = memory.values.begin(); entry != memory.values.end(); ++entry) {
      if (entry->first.first == ValueKind::kRevocation) continue;
      if (farthest == memory.values.end() ||
          self.DistanceTo(entry->first.second) > self.DistanceTo(farthest->first.second)) {
        farthest = entry;
      }
    }
    if (farthest == memory.values.end()) return false;
    const bool nearer = self.DistanceTo(value.key) < self.DistanceTo(farthest->first.second);
    if (!nearer && value.kind != ValueKind::kRevocation) return false;
    memory.values.erase(farthest);
    return true;
  }

  void Store(const Value& value, ValueStore::Keep keep, size_t source) {
    if (!IsCurrent(value, now_)) return;
    Memory after = memory_;
    bool keeps = false;
    const std::string expected = Predict(value, keep, source, after, keeps);
    const auto stored = values_->Store(value, keep, sources_[source], now_);
    if (!stored.ok() && ReasonOf(stored.status()) == reason::kStorage) {
      Check(disk_.writes_left == 0);
      return;  // and nothing has changed
    }
    Check(expected == (stored.ok() ? "" : ReasonOf(stored.status())));
    if (!stored.ok()) return;
    memory_ = std::move(after);
    Check(!keeps || disk_.synced);
    Check(stored->has_value() == values_->types().Of(value.kind).first_claim());
    if (stored->has_value()) Check((*stored)->owner == value.owner && (*stored)->digest == DigestOf(value.item));
  }

  void Settle(const Value& value, const Value& winner) {
    if (!values_->types().Of(value.kind).first_claim()) return;
    const Place place{value.kind, value.key};
    const Id digest = DigestOf(winner.item);
    const absl::Status status = values_->Settle(value.kind, {{value.key, winner.owner, digest}}, now_);
    if (!status.ok()) {
      Check(disk_.writes_left == 0);
      return;
    }
    memory_.provisional.erase(place);
    if (const auto claim = memory_.claims.find(place);
        claim != memory_.claims.end() && claim->second.owner != winner.owner) {
      claim->second = {winner.owner, digest, now_ - record::kMaxRecordAge};
    }
    const auto held = memory_.values.find(place);
    if (held != memory_.values.end() && held->second.value->owner != winner.owner) memory_.values.erase(held);
  }

  void Sweep(size_t limit) {
    std::vector<Place> seen;
    std::string cursor;
    do {
      const auto page = values_->Sweep(cursor, limit, now_);
      if (!page.ok()) {
        Check(disk_.writes_left == 0);
        return;  // what was swept before it is known by its absence alone; the model goes by what expired
      }
      Check(page->values.size() <= limit);
      for (const HeldValue& held : page->values) {
        Check(held.value.expires > now_);
        seen.emplace_back(held.value.kind, held.value.key);
      }
      Forget(cursor, page->next);
      cursor = page->next;
    } while (!cursor.empty());
    std::vector<Place> alive;
    for (const auto& [place, kept] : memory_.values) alive.push_back(place);
    Check(seen == alive);
  }

  // The model drops what has expired between two places of a walk.
  void Forget(const std::string& from, const std::string& to) {
    std::erase_if(memory_.values, [&](const auto& entry) {
      const std::string key =
          absl::StrCat("dht/value/", static_cast<int>(entry.first.first), "/", HexEncode(entry.first.second.bytes()));
      return entry.second.value->expires <= now_ && key >= from && (to.empty() || key < to);
    });
  }

  void SweepClaims(size_t limit) {
    if (disk_.writes_left >= 0) return;  // a half-swept table is as good
    std::string cursor;
    do {
      const auto next = values_->claims().Sweep(cursor, limit, now_);
      Check(next.ok());
      cursor = *next;
    } while (!cursor.empty());
    std::erase_if(memory_.claims, [&](const auto& entry) {
      if (now_ - entry.second.newest < kClaimLifetime) return false;
      memory_.provisional.erase(entry.first);
      return true;
    });
  }

  void MoveClock(size_t which, uint8_t argument) {
    constexpr absl::Duration kJumps[] = {absl::Minutes(1), absl::Minutes(6), absl::Hours(1), absl::Hours(24),
                                         absl::Hours(24 * 31)};
    now_ += kJumps[which % std::size(kJumps)];
    if (argument % 4 == 0) now_ -= absl::Hours(24 * (argument / 4 % 3));
  }

  void Misfortune(size_t which, uint8_t argument) {
    switch (which % 4) {
      case 0:
        disk_.writes_left = argument % 3;
        return;
      case 1:
        disk_.writes_left = -1;
        return;
      case 2:
        return Restart();
      default:
        disk_.CutPower();
        memory_ = synced_;
        Restart();
    }
  }

  void CheckBounds() const {
    Check(values_->size() == memory_.values.size());
    Check(values_->size() <= options_.max_values || options_.max_values == 0);
    Check(values_->claims().size() == memory_.claims.size());
    Check(values_->claims().size() <= 8 * options_.max_values);
    Check(disk_.Count("dht/value/") == memory_.values.size() && disk_.Count("dht/signer/") == memory_.values.size());
    Check(disk_.Count("dht/claim/") == memory_.claims.size());
  }

  void CheckPlace(const Place& place) const {
    const auto& [kind, key] = place;
    const auto held = memory_.values.find(place);
    const auto got = values_->Get(kind, key, now_);
    if (held == memory_.values.end() || held->second.value->expires <= now_) {
      Check(absl::IsNotFound(got.status()));
    } else {
      Check(got.ok() && got->value.item == held->second.value->item && got->value.owner == held->second.value->owner &&
            got->value.expires > now_);
      Check(!memory_.revoked.contains(std::string(got->value.signer.bytes())) || kind == ValueKind::kRevocation);
    }
    const auto receipt = values_->ReceiptFor(kind, key, now_);
    Check(receipt.ok());
    const auto claim = memory_.claims.find(place);
    const bool claimed = claim != memory_.claims.end() && now_ - claim->second.newest < kClaimLifetime;
    Check(receipt->has_value() == claimed);
    if (claimed) Check((*receipt)->owner == claim->second.owner && (*receipt)->digest == claim->second.digest);
    // The reader drops a node whose value is not that of the owner whom it names.
    if (got.ok() && claimed) Check(got->value.owner == (*receipt)->owner);
  }

  const std::vector<Value>& pool_;
  const ValueStoreOptions options_;
  const Unsigned node_;
  std::vector<crypto::PublicKey> sources_;
  Disk disk_;
  Memory memory_;
  Memory synced_;  // as it was when the disk was last synced
  std::unique_ptr<ValueStore> values_;
  absl::Time now_ = kStart;
};

}  // namespace
}  // namespace dotagent::dht

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace dotagent::dht;  // NOLINT(google-build-using-namespace)
  static const std::vector<Value> pool = MakeValues();
  if (size == 0) return 0;
  ValueStoreOptions options;
  options.max_values = 1 + (data[0] & 7u) * (data[0] & 7u);
  options.max_values_per_source = 1 + (data[0] >> 3 & 7u);
  Model model(pool, options);
  for (size_t step = 0; step < kSteps && 4 * step + 4 < size; ++step) {
    const uint8_t* operation = data + 1 + 4 * step;
    model.Step(operation[0], operation[1] | static_cast<size_t>(operation[2]) << 8, operation[3]);
  }
  model.CheckAll();
  model.Restart();
  return 0;
}
