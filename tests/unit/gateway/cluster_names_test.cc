// Gateways that find each other by a name of several addresses, as a Kubernetes headless service has; the DNS is
// played.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/p2p/name_resolver.h"
#include "services/gateway/cluster.h"
#include "tests/unit/gateway/fakes.h"

namespace dotagent::gateway_service {
namespace {

constexpr char kName[] = "/dns/gateways.example/tcp/4001";

// What the name stands for, and who is at which address: two things that need not be the same.
struct Addresses {
  std::vector<std::string> named;
  std::map<std::string, crypto::PublicKey> reachable;
  int asked = 0;
};

class PlayedNames : public p2p::NameResolver {
 public:
  PlayedNames(Tasks& tasks, Addresses& addresses) : tasks_(tasks), addresses_(addresses) {}
  void Resolve(const p2p::Multiaddr& name,
               std::function<void(absl::StatusOr<std::vector<p2p::Multiaddr>>)> done) override {
    tasks_.Post([this, name, done = std::move(done)] {
      if (addresses_.named.empty()) return done(absl::UnavailableError("no such name"));
      std::vector<p2p::Multiaddr> found;
      for (const std::string& ip : addresses_.named) {
        found.push_back(name);
        found.back().kind = p2p::Multiaddr::HostKind::kIp4;
        found.back().host = ip;
      }
      done(std::move(found));
    });
  }

 private:
  Tasks& tasks_;
  Addresses& addresses_;
};

// Members that are where `addresses` says.
class AddressedLink : public FakeClusterLink {
 public:
  AddressedLink(FakeClusterLinks& links, const crypto::PublicKey& self, Addresses& addresses)
      : FakeClusterLink(links, self), tasks_(links.tasks()), addresses_(addresses) {}
  void Identify(const p2p::Multiaddr& address, std::function<void(absl::StatusOr<crypto::PublicKey>)> done) override {
    ++addresses_.asked;
    tasks_.Post([this, ip = address.host, done = std::move(done)] {
      const auto found = addresses_.reachable.find(ip);
      if (found == addresses_.reachable.end()) return done(absl::UnavailableError("nobody is there"));
      done(found->second);
    });
  }

 private:
  Tasks& tasks_;
  Addresses& addresses_;
};

// A gateway, as far as its cluster goes.
class Member {
 public:
  Member(World& world, Addresses& addresses, std::string ip, std::vector<p2p::Multiaddr> peers)
      : world_(world),
        addresses_(addresses),
        ip_(std::move(ip)),
        peers_(std::move(peers)),
        key_(crypto::SigningKey::Generate(world.random)) {
    cluster_.Serve({.deliver = nullptr,
                    .request = nullptr,
                    .relay = nullptr,
                    .registered = nullptr,
                    .came = [](const InboxId&) {},
                    .leaving = [](const InboxId&) {},
                    .members_changed = [] {}});
    world_.cluster_links.Join(key(), cluster_.link_handlers());
    addresses_.reachable[ip_] = key();
  }
  ~Member() {
    world_.cluster_links.Leave(key());
    addresses_.reachable.erase(ip_);
  }
  Member(const Member&) = delete;
  Member& operator=(const Member&) = delete;

  [[nodiscard]] const crypto::PublicKey& key() const { return key_.public_key(); }
  [[nodiscard]] Cluster& cluster() { return cluster_; }
  // Of the cluster, as this one sees it, itself included.
  [[nodiscard]] double active() {
    return metrics_.AddGauge("dotagent_gateway_cluster_members", "", {{"state", "active"}}).Value();
  }

 private:
  World& world_;
  Addresses& addresses_;
  const std::string ip_;
  const std::vector<p2p::Multiaddr> peers_;
  const crypto::SigningKey key_;
  telemetry::Metrics metrics_;
  std::unique_ptr<storage::Store> store_ = storage::NewMemoryStore();
  std::unique_ptr<InboxStore> inboxes_ = *InboxStore::Open(*store_, PostNothing, {.clustered = true});
  InboxGuard guard_{*store_, world_.redeemer, [](const crypto::PublicKey&) { return false; }, world_.clock, metrics_};
  AddressedLink link_{world_.cluster_links, key_.public_key(), addresses_};
  PlayedNames names_{world_.tasks, addresses_};
  Cluster cluster_{Cluster::Parts{.self = key_.public_key(),
                                  .generation = world_.random.Below(uint64_t{1} << 62) + 1,
                                  .addresses =
                                      [this] {
                                        return std::vector<std::string>{absl::StrCat(
                                            "/ip4/", ip_, "/tcp/4001/p2p/", crypto::PeerIdFromKey(key_.public_key()))};
                                      },
                                  .peers = peers_,
                                  .names = &names_,
                                  .link = link_,
                                  .inboxes = *inboxes_,
                                  .guard = guard_,
                                  .clock = world_.clock,
                                  .metrics = metrics_}};
};

class ClusterNamesTest : public testing::Test {
 protected:
  // Starts a gateway there, and has the DNS say so. `looks`: it looks for the others itself.
  Member& Start(const std::string& ip, bool looks = true) {
    if (std::find(addresses_.named.begin(), addresses_.named.end(), ip) == addresses_.named.end()) {
      addresses_.named.push_back(ip);
    }
    members_[ip] = nullptr;  // who was there before
    std::vector<p2p::Multiaddr> peers;
    if (looks) peers.push_back(*p2p::Multiaddr::Parse(kName));
    members_[ip] = std::make_unique<Member>(world_, addresses_, ip, std::move(peers));
    return *members_[ip];
  }
  void Pass(absl::Duration time) {
    for (absl::Duration passed; passed < time; passed += absl::Milliseconds(200)) {
      world_.clock.Advance(absl::Milliseconds(200));
      for (auto& [_, member] : members_) member->cluster().Tick();
      world_.tasks.Run();
    }
  }
  // All that run have found all that run.
  void ExpectTheyKnowEachOther() {
    for (auto& [here, member] : members_) {
      EXPECT_EQ(member->active(), static_cast<double>(members_.size())) << here;
      for (auto& [there, other] : members_) {
        if (here == there) continue;
        EXPECT_TRUE(member->cluster().IsFellow(other->key())) << here << " of " << there;
      }
    }
  }

  World world_;
  Addresses addresses_;
  std::map<std::string, std::unique_ptr<Member>> members_;
};

TEST_F(ClusterNamesTest, ANameOfSeveralAddressesIsSeveralMembers) {
  addresses_.named.emplace_back("10.0.0.9");  // nobody is there yet
  for (const char* ip : {"10.0.0.1", "10.0.0.2", "10.0.0.3"}) Start(ip);
  Pass(absl::Seconds(2));
  ExpectTheyKnowEachOther();
}

TEST_F(ClusterNamesTest, OneThatGoesAwayLeavesAndOneThatComesIsFound) {
  for (const char* ip : {"10.0.0.1", "10.0.0.2", "10.0.0.3"}) Start(ip);
  Pass(absl::Seconds(2));
  members_.erase("10.0.0.3");
  std::erase(addresses_.named, "10.0.0.3");
  Pass(absl::Seconds(7));  // silent for 5 s
  ExpectTheyKnowEachOther();
  Start("10.0.0.4", false);
  Pass(absl::Seconds(7));  // looked up every 5 s
  ExpectTheyKnowEachOther();
}

TEST_F(ClusterNamesTest, AnotherGatewayAtAnAddressThatWasOnesIsFound) {
  for (const char* ip : {"10.0.0.1", "10.0.0.2"}) Start(ip);
  Pass(absl::Seconds(2));
  const crypto::PublicKey before = members_["10.0.0.2"]->key();
  const crypto::PublicKey after = Start("10.0.0.2").key();
  ASSERT_NE(before, after);
  Pass(absl::Seconds(12));
  ExpectTheyKnowEachOther();
}

TEST_F(ClusterNamesTest, WhatTheDnsForgetsStaysAMemberAsLongAsItAnswers) {
  for (const char* ip : {"10.0.0.1", "10.0.0.2"}) Start(ip);
  Pass(absl::Seconds(2));
  std::erase(addresses_.named, "10.0.0.2");
  Pass(absl::Seconds(12));
  ExpectTheyKnowEachOther();
  addresses_.named.clear();
  Pass(absl::Seconds(12));
  ExpectTheyKnowEachOther();
}

TEST_F(ClusterNamesTest, ANameWithoutAddressesHoldsUpNobody) {
  Member& alone = Start("10.0.0.1");
  addresses_.named.clear();
  Pass(absl::Seconds(2));
  EXPECT_TRUE(alone.cluster().joined());
  EXPECT_EQ(alone.active(), 1);
}

TEST_F(ClusterNamesTest, AFloodOfAddressesIsCut) {
  Member& alone = Start("10.0.0.1");
  for (int i = 0; i < 1000; ++i) addresses_.named.push_back(absl::StrCat("10.1.", i / 256, ".", i % 256));
  Pass(absl::Seconds(1));
  EXPECT_EQ(addresses_.asked, 64);
  EXPECT_TRUE(alone.cluster().joined());
}

}  // namespace
}  // namespace dotagent::gateway_service
