// A routing table under any sequence of answers, failures, evictions and moves. What holds after any of them: a bucket
// has at most k nodes, or as many as are siblings; the caps on IP groups hold; no node is there twice, nor one that did
// not answer since it was dropped; the size is right; and the nearest nodes are those of a table that is sorted as a
// whole.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/random.h"
#include "common/dht/ip_group.h"
#include "common/dht/routing_table.h"

namespace {

using dotagent::SeededRandom;
using dotagent::dht::Contact;
using dotagent::dht::Id;
using dotagent::dht::IpGroup;
using dotagent::dht::IpGroupsOf;
using dotagent::dht::kBucketSize;
using dotagent::dht::kMaxFailures;
using dotagent::dht::RoutingTable;
using dotagent::dht::RoutingTableOptions;

void Check(bool holds) {
  if (!holds) std::abort();
}

Id RandomId(SeededRandom& random) { return *Id::FromBytes(random.Bytes(32)); }

class Model {
 public:
  explicit Model(RoutingTableOptions options) : options_(options), self_(RandomId(random_)), table_(self_, options) {
    for (size_t i = 0; i < 256; ++i) {
      // Most are far, as in a network; some are near, so that deep buckets and the sibling list are in use.
      const Id id = i % 4 == 0 ? table_.RandomIdIn(2 + i / 4 % 8, random_) : RandomId(random_);
      pool_.push_back(Contact{.id = id, .addresses = {"/ip4/10.0.0.1/tcp/1"}});
    }
  }

  void Step(uint8_t op, uint8_t which, uint8_t argument) {
    Contact& contact = pool_[which];
    const bool was_in = table_.Contains(contact.id);
    now_ += absl::Seconds(op >> 3);
    switch (op & 7) {
      case 0:
        Fail(contact.id, was_in);
        break;
      case 1:
        table_.Evict(contact.id);
        failures_.erase(contact.id);
        Check(!table_.Contains(contact.id));
        break;
      case 2:
        Move(contact, argument);
        break;
      case 3:
        Compare(argument % 2 == 0 ? contact.id : RandomId(random_), argument % 40);
        break;
      case 4:
        table_.LookedUp(contact.id, now_);
        for (const size_t bucket : table_.StaleBuckets(absl::Seconds(argument), now_)) {
          const Id id = table_.RefreshTarget(bucket, random_);
          Check(id == self_ || static_cast<size_t>(self_.CommonPrefix(id)) == bucket);
        }
        break;
      default:
        See(contact, was_in, argument);
    }
  }

  void CheckAll() const {
    const std::vector<Contact> all = table_.All();
    Check(all.size() == table_.size());
    std::map<Id, int> ids;
    std::map<int, size_t> buckets;
    std::map<IpGroup, size_t> groups;
    std::map<std::pair<int, IpGroup>, size_t> groups_in_bucket;
    for (const Contact& node : all) {
      const int bucket = self_.CommonPrefix(node.id);
      Check(++ids[node.id] == 1);
      const auto failures = failures_.find(node.id);
      Check(failures != failures_.end() && table_.Doubtful(node.id) == (failures->second > 0));
      ++buckets[bucket];
      for (const IpGroup group : IpGroupsOf(node.addresses, options_.private_addresses)) {
        Check(options_.max_per_group_in_table == 0 || ++groups[group] <= options_.max_per_group_in_table);
        Check(options_.max_per_group_in_bucket == 0 ||
              ++groups_in_bucket[{bucket, group}] <= options_.max_per_group_in_bucket);
      }
    }
    size_t deeper = 0;
    for (auto bucket = buckets.rbegin(); bucket != buckets.rend(); ++bucket) {
      const size_t siblings = options_.siblings - std::min(options_.siblings, deeper);
      Check(bucket->second <= std::max(kBucketSize, siblings));
      deeper += bucket->second;
    }
  }

 private:
  void See(const Contact& contact, bool was_in, uint8_t round_trip) {
    const bool same = table_.Knows(contact);
    const auto oldest =
        table_.Seen(contact, now_, round_trip == 0 ? absl::InfiniteDuration() : absl::Milliseconds(round_trip));
    // One without an address that can be kept is ignored.
    if (std::any_of(contact.addresses.begin(), contact.addresses.end(), [](absl::string_view address) {
          return !address.empty() && address.size() <= dotagent::dht::kMaxAddressSize;
        })) {
      failures_[contact.id] = 0;
    }
    Check(!same || (was_in && table_.Knows(contact) && !oldest));
    if (oldest) Check(table_.Contains(oldest->id) && !table_.Contains(contact.id));
  }

  void Fail(const Id& id, bool was_in) {
    const bool changed = table_.Failed(id);
    Check(changed || !was_in);
    if (!was_in) {
      failures_.erase(id);  // a spare that fails is forgotten
    } else if (++failures_[id] == kMaxFailures) {
      Check(!table_.Contains(id));
      failures_.erase(id);
    }
  }

  static void Move(Contact& contact, uint8_t to) {
    contact.addresses = {to < 128 ? absl::StrCat("/ip4/8.", to % 8, ".0.", to, "/tcp/1")
                                  : absl::StrCat("/ip6/2a01:", to % 8, "::1/tcp/1")};
    if (to % 16 == 0) contact.addresses = {contact.addresses.front(), "/ip4/9.9.9.9/tcp/1"};
    if (to % 16 == 1) contact.addresses = {"/ip4/10.0.0.1/tcp/1"};
    if (to % 16 == 2) contact.addresses = {std::string(to, 'x'), ""};
  }

  void Compare(const Id& target, size_t count) const {
    for (const auto which : {RoutingTable::Which::kAll, RoutingTable::Which::kAnswering}) {
      std::vector<Contact> expected = table_.All();
      std::erase_if(expected, [&](const Contact& node) {
        return which == RoutingTable::Which::kAnswering && table_.Doubtful(node.id);
      });
      std::sort(expected.begin(), expected.end(),
                [&](const Contact& a, const Contact& b) { return target.DistanceTo(a.id) < target.DistanceTo(b.id); });
      expected.resize(std::min(expected.size(), count));
      const std::vector<Contact> nearest = table_.Nearest(target, count, which);
      Check(std::equal(nearest.begin(), nearest.end(), expected.begin(), expected.end(),
                       [](const Contact& a, const Contact& b) { return a.id == b.id && a.addresses == b.addresses; }));
    }
  }

  const RoutingTableOptions options_;
  SeededRandom random_{1};
  const Id self_;
  RoutingTable table_;
  std::vector<Contact> pool_;
  std::map<Id, int> failures_;  // of nodes that answered and have not been dropped since
  absl::Duration now_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  Model model({.max_per_group_in_bucket = data[0] & 3u,
               .max_per_group_in_table = data[0] >> 2 & 7u,
               .siblings = data[0] & 0x40 ? 64u : 0u});
  // The checks cost much more than the steps.
  constexpr size_t kSteps = 1500;
  constexpr size_t kStepsBetweenChecks = 32;
  for (size_t step = 0; step < kSteps && 3 * step + 4 <= size; ++step) {
    const uint8_t* operation = data + 1 + 3 * step;
    model.Step(operation[0], operation[1], operation[2]);
    if (step % kStepsBetweenChecks == 0) model.CheckAll();
  }
  model.CheckAll();
  return 0;
}
