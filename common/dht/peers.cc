#include "common/dht/peers.h"

#include <algorithm>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

#include "absl/container/flat_hash_set.h"
#include "common/base/status.h"
#include "common/dht/wire.h"

namespace dotagent::dht {
namespace {

constexpr absl::string_view kTableKey = "dht/table";
constexpr absl::string_view kFormerKey = "dht/former";
constexpr absl::Duration kSaveDelay = absl::Seconds(5);
constexpr absl::Duration kRecheckDelay = absl::Seconds(20);
// For how long the size of the network is taken as it was reckoned.
constexpr absl::Duration kSizeUpFor = absl::Seconds(5);
constexpr size_t kMaxVerifying = 32;
constexpr size_t kMaxTried = 1024;
constexpr absl::Duration kRetryAfter = absl::Minutes(1);

// The kind of answer that a kind of call asks for.
template <typename Call>
struct AnswerTo;
template <>
struct AnswerTo<PingCall> : std::type_identity<PingAnswer> {};
template <>
struct AnswerTo<FindNodeCall> : std::type_identity<NodesAnswer> {};
template <>
struct AnswerTo<FindValueCall> : std::type_identity<ValueAnswer> {};
template <>
struct AnswerTo<StoreCall> : std::type_identity<StoreAnswer> {};
template <>
struct AnswerTo<FindClaimsCall> : std::type_identity<ClaimsAnswer> {};
template <>
struct AnswerTo<FindValuesCall> : std::type_identity<ValuesAnswer> {};

// What a call expects, without what is in it, which may be a whole value.
class Expected {
 public:
  explicit Expected(const Peers::Call& call)
      : is_of_kind_(std::visit(
            [](const auto& asked) { return &Holds<typename AnswerTo<std::decay_t<decltype(asked)>>::type>; }, call)) {
    if (const auto* find = std::get_if<FindClaimsCall>(&call); find != nullptr) claims_ = find->keys.size();
  }

  [[nodiscard]] bool Fits(const Response& response) const {
    if (std::holds_alternative<absl::Status>(response.answer)) return true;
    const auto* claims = std::get_if<ClaimsAnswer>(&response.answer);
    return is_of_kind_(response) && (claims == nullptr || claims->receipts.size() == claims_);
  }

 private:
  template <typename Answer>
  static bool Holds(const Response& response) {
    return std::holds_alternative<Answer>(response.answer);
  }

  bool (*is_of_kind_)(const Response&);
  size_t claims_ = 0;
};

}  // namespace

Peers::Peers(PeersOptions options, Network* network, const Clock* clock, Random* random, storage::Store* store)
    : self_(std::move(options.self)),
      paths_(options.paths),
      puzzle_(options.puzzle),
      network_(network),
      clock_(clock),
      random_(random),
      store_(store),
      table_(self_.id, options.table),
      census_(&table_, self_.addresses.empty() ? std::nullopt : std::make_optional(self_.id)),
      tried_(kMaxTried, kRetryAfter) {
  // How long each had lived is not saved, but their order is.
  std::vector<Contact> former = Load(kFormerKey);
  std::reverse(former.begin(), former.end());
  for (const Contact& contact : former) former_.Add(contact, absl::ZeroDuration(), clock_->Elapsed());
}

Peers::~Peers() {
  if (save_scheduled_) Save();
}

bool Peers::SolvesPuzzles(const Contact& contact) const {
  return SolvesStatic(contact.id, puzzle_.static_bits) &&
         SolvesDynamic(contact.id, contact.puzzle_solution, puzzle_.dynamic_bits);
}

void Peers::Ask(const Contact& to, Call call, Answered done) {
  if (!SolvesPuzzles(to)) {
    RunAfter(absl::ZeroDuration(), [done = std::move(done)] {
      done(ErrorWithReason(absl::StatusCode::kPermissionDenied, reason::kProtocol,
                           "the node has not solved the puzzles that this network asks for"));
    });
    return;
  }
  auto on_answer = [this, to, expected = Expected(call), asked = clock_->Elapsed(),
                    done = std::move(done)](absl::StatusOr<Response> response) {
    if (response.ok() && !expected.Fits(*response)) {
      response = ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kProtocol,
                                 "the node answered another question than the one it was asked");
    }
    if (response.ok()) {
      NoteAnswer(to, clock_->Elapsed() - asked);
    } else {
      NoteFailure(to.id);
    }
    done(std::move(response));
  };
  network_->Call(to, Request{self_, std::move(call)}, lifeline_.Guard(std::move(on_answer)));
}

void Peers::Ping(const Contact& to, std::function<void(bool)> done) {
  Ask(to, PingCall{}, [done = std::move(done)](const absl::StatusOr<Response>& response) {
    done(response.ok() && std::holds_alternative<PingAnswer>(response->answer));
  });
}

void Peers::Offer(const Contact& contact) {
  if (contact.addresses.empty() || contact.id == self_.id || !SolvesPuzzles(contact)) return;
  const bool current = table_.Knows(contact) && !table_.Doubtful(contact.id);
  if (current || !table_.HasRoomFor(contact.id) || verifying_ >= kMaxVerifying) return;
  if (!tried_.Insert(contact.id, clock_->Elapsed())) return;
  ++verifying_;
  Ping(contact, [this](bool) { --verifying_; });
}

void Peers::Misbehaved(const Id& node) {
  table_.Evict(node);
  SaveSoon();
}

void Peers::NoteAnswer(const Contact& contact, absl::Duration round_trip) {
  const bool changes = !table_.Knows(contact);
  const std::optional<Contact> oldest = table_.Seen(contact, clock_->Elapsed(), round_trip);
  if (changes) {
    former_.Remove(contact.id);
    SaveSoon();
  }
  if (!oldest) return;
  Ping(*oldest, [this, id = oldest->id](bool alive) {
    if (!alive) Drop(id, [&] { table_.Evict(id); });
  });
}

void Peers::NoteFailure(const Id& id) {
  bool changed = false;
  Drop(id, [&] { changed = table_.Failed(id); });
  if (!changed) return;
  SaveSoon();
  if (table_.Contains(id)) Recheck(id);
}

void Peers::Drop(const Id& id, const std::function<void()>& change) {
  const std::optional<Contact> contact = table_.Find(id);
  const absl::Duration age = table_.Age(id, clock_->Elapsed());
  change();
  if (contact && !table_.Contains(id)) former_.Add(*contact, age, clock_->Elapsed());
}

void Peers::Recheck(const Id& id) {
  if (!rechecking_.insert(id).second) return;
  RunAfter(kRecheckDelay, [this, id] {
    rechecking_.erase(id);
    if (table_.Doubtful(id)) Ping(*table_.Find(id), [](bool) {});
  });
}

Density Peers::density() {
  const absl::Duration now = clock_->Elapsed();
  // A table that holds the whole of a small network tells its size exactly, and changes it with every node.
  const bool changed = table_.size() < kBucketSize && sized_version_ != table_.version();
  if (now - sized_at_ >= kSizeUpFor || changed) {
    sized_at_ = now;
    sized_version_ = table_.version();
    size_.SetNeighbourhood(self_.id, table_.Nearest(self_.id, kBucketSize, RoutingTable::Which::kAll), table_.size());
  }
  return [size = size_](const Id& distance) { return size.ExpectedNodesWithin(distance); };
}

bool Peers::SizeInDoubt() {
  (void)density();  // brings it up to date
  return size_.InDoubt();
}

void Peers::RunAfter(absl::Duration delay, std::function<void()> run) {
  network_->RunAfter(delay, lifeline_.Guard(std::move(run)));
}

void Peers::Identify(const std::string& address, std::function<void(absl::StatusOr<Contact>)> done) {
  network_->Identify(address, lifeline_.Guard(std::move(done)));
}

void Peers::SaveSoon() {
  if (save_scheduled_) return;
  save_scheduled_ = true;
  RunAfter(kSaveDelay, [this] { Save(); });
}

void Peers::Save() {
  save_scheduled_ = false;
  // Only saves time at the next start, so a disk that fails may.
  const auto save = [this](absl::string_view key, const std::vector<Contact>& contacts) {
    store_->Put(key, EncodeContacts(contacts), storage::Durability::kBuffered).IgnoreError();
  };
  save(kFormerKey, former_.All());
  // An empty table is what an outage leaves; the saved one is then the way back.
  if (table_.size() > 0) save(kTableKey, table_.Nearest(self_.id, kMaxSavedContacts, RoutingTable::Which::kAll));
}

std::vector<Contact> Peers::Saved() const { return Load(kTableKey); }

std::vector<Contact> Peers::Load(absl::string_view key) const {
  const absl::StatusOr<std::string> bytes = store_->Get(key);
  if (!bytes.ok()) return {};
  absl::StatusOr<std::vector<Contact>> contacts = DecodeContacts(*bytes, kMaxSavedContacts);
  if (!contacts.ok()) return {};  // written by another version: the bootstrap addresses will do
  return *std::move(contacts);
}

}  // namespace dotagent::dht
