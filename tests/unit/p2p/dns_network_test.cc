// Names that are resolved here, and nodes that answer as they are told.
#include "common/p2p/dns_network.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/crypto/peer_id.h"
#include "common/p2p/loop.h"
#include "tests/unit/p2p/fixtures.h"

namespace dotagent::p2p {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Answered = std::function<void(absl::StatusOr<dht::Contact>)>;

crypto::PublicKey KeyOf(uint64_t seed) {
  SeededRandom random(seed);
  return crypto::SigningKey::Generate(random).public_key();
}

// Keeps what it is asked until the test answers.
class PlayedNetwork : public dht::Network {
 public:
  void Call(const dht::Contact&, const dht::Request&, std::function<void(absl::StatusOr<dht::Response>)>) override {
    ++calls;
  }
  void Identify(const std::string& address, Answered done) override { asked.emplace_back(address, std::move(done)); }
  void RunAfter(absl::Duration, std::function<void()>) override { ++timers; }

  [[nodiscard]] std::vector<std::string> addresses() const {
    std::vector<std::string> list;
    for (const auto& [address, done] : asked) list.push_back(address);
    return list;
  }
  void Answer(const std::string& address, const crypto::PublicKey& key) {
    Take(address)(dht::Contact{dht::Id::OfNode(key), key, {address}});
  }
  void Fail(const std::string& address) { Take(address)(absl::UnavailableError("refused")); }

  std::deque<std::pair<std::string, Answered>> asked;
  int calls = 0;
  int timers = 0;

 private:
  Answered Take(const std::string& address) {
    for (auto it = asked.begin(); it != asked.end(); ++it) {
      if (it->first != address) continue;
      Answered done = std::move(it->second);
      asked.erase(it);
      return done;
    }
    ADD_FAILURE() << address << " was not asked for";
    return [](const absl::StatusOr<dht::Contact>&) {};
  }
};

class PlayedNames : public NameResolver {
 public:
  void Resolve(const Multiaddr& name, std::function<void(absl::StatusOr<std::vector<Multiaddr>>)> done) override {
    ++lookups;
    if (ips.empty()) return done(absl::UnavailableError("no such name"));
    std::vector<Multiaddr> addresses;
    for (const std::string& ip : ips) {
      addresses.push_back(name);
      addresses.back().kind = Multiaddr::HostKind::kIp4;
      addresses.back().host = ip;
    }
    done(std::move(addresses));
  }

  std::vector<std::string> ips;
  int lookups = 0;
};

class DnsNetworkTest : public testing::Test {
 protected:
  DnsNetworkTest() {
    network_.OnFound([this](const dht::Contact& contact) { found_.emplace_back(contact.addresses.front()); });
  }
  void Identify(const std::string& address) {
    network_.Identify(address, [this](absl::StatusOr<dht::Contact> contact) {
      EXPECT_FALSE(answer_.has_value()) << "answered twice";
      answer_ = std::move(contact);
    });
  }

  const crypto::PublicKey self_ = KeyOf(1);
  PlayedNetwork beneath_;
  PlayedNames names_;
  DnsNetwork network_{&beneath_, &names_, self_};
  std::optional<absl::StatusOr<dht::Contact>> answer_;
  std::vector<std::string> found_;
};

TEST_F(DnsNetworkTest, EveryAddressIsAskedTheFirstOtherNodeAnswersAndTheRestIsTold) {
  names_.ips = {"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"};
  Identify("/dns/resolvers.example/tcp/4001");
  EXPECT_THAT(beneath_.addresses(), ElementsAre("/ip4/10.0.0.1/tcp/4001", "/ip4/10.0.0.2/tcp/4001",
                                                "/ip4/10.0.0.3/tcp/4001", "/ip4/10.0.0.4/tcp/4001"));
  beneath_.Answer("/ip4/10.0.0.2/tcp/4001", self_);
  EXPECT_FALSE(answer_.has_value());
  beneath_.Answer("/ip4/10.0.0.3/tcp/4001", KeyOf(3));
  ASSERT_TRUE(answer_.has_value());
  ASSERT_TRUE(answer_->ok()) << answer_->status();
  EXPECT_EQ((*answer_)->key, KeyOf(3));
  EXPECT_THAT(found_, IsEmpty());
  beneath_.Answer("/ip4/10.0.0.1/tcp/4001", KeyOf(2));
  beneath_.Fail("/ip4/10.0.0.4/tcp/4001");
  EXPECT_THAT(found_, ElementsAre("/ip4/10.0.0.1/tcp/4001"));
}

TEST_F(DnsNetworkTest, OnlyWhereEveryAddressIsOursAreWeTheFirst) {
  names_.ips = {"10.0.0.1", "10.0.0.2"};
  Identify("/dns4/resolvers.example/tcp/4001");
  beneath_.Answer("/ip4/10.0.0.1/tcp/4001", self_);
  beneath_.Answer("/ip4/10.0.0.2/tcp/4001", self_);
  ASSERT_TRUE(answer_.has_value() && answer_->ok());
  EXPECT_EQ((*answer_)->key, self_);

  answer_.reset();
  Identify("/dns4/resolvers.example/tcp/4001");
  beneath_.Answer("/ip4/10.0.0.1/tcp/4001", self_);
  beneath_.Fail("/ip4/10.0.0.2/tcp/4001");
  ASSERT_TRUE(answer_.has_value());
  EXPECT_EQ(ReasonOf(answer_->status()), reason::kUnreachable);
  EXPECT_THAT(std::string(answer_->status().message()), HasSubstr("/ip4/10.0.0.2/tcp/4001: refused"));
}

TEST_F(DnsNetworkTest, TheNameIsResolvedAfreshEachTime) {
  names_.ips = {"10.0.0.1"};
  Identify("/dns/resolvers.example/tcp/4001");
  beneath_.Fail("/ip4/10.0.0.1/tcp/4001");
  answer_.reset();
  names_.ips = {"10.0.0.9"};
  Identify("/dns/resolvers.example/tcp/4001");
  EXPECT_THAT(beneath_.addresses(), ElementsAre("/ip4/10.0.0.9/tcp/4001"));
  EXPECT_EQ(names_.lookups, 2);
}

TEST_F(DnsNetworkTest, ANameWithoutAddressesIsAnError) {
  Identify("/dns/resolvers.example/tcp/4001");
  ASSERT_TRUE(answer_.has_value());
  EXPECT_TRUE(absl::IsUnavailable(answer_->status()));
}

TEST_F(DnsNetworkTest, AFloodOfAddressesIsCut) {
  for (int i = 0; i < 1000; ++i) names_.ips.push_back(absl::StrCat("10.0.", i / 256, ".", i % 256));
  Identify("/dns/resolvers.example/tcp/4001");
  EXPECT_EQ(beneath_.asked.size(), DnsNetwork::kMaxAddresses);
}

TEST_F(DnsNetworkTest, AnExpectedPeerIsExpectedAtEachAddress) {
  names_.ips = {"10.0.0.1"};
  const std::string peer = absl::StrCat("/p2p/", crypto::PeerIdFromKey(KeyOf(2)));
  Identify(absl::StrCat("/dns/resolvers.example/tcp/4001", peer));
  EXPECT_THAT(beneath_.addresses(), ElementsAre(absl::StrCat("/ip4/10.0.0.1/tcp/4001", peer)));
}

TEST_F(DnsNetworkTest, WhatIsNoNameGoesThroughUntouched) {
  for (const char* address : {"/ip4/10.0.0.1/tcp/4001", "nonsense"}) {
    Identify(address);
    EXPECT_THAT(beneath_.addresses(), ElementsAre(address));
    beneath_.Fail(address);
    answer_.reset();
  }
  EXPECT_EQ(names_.lookups, 0);
  network_.Call({}, {}, [](const absl::StatusOr<dht::Response>&) {});
  network_.RunAfter(absl::ZeroDuration(), [] {});
  EXPECT_EQ(beneath_.calls, 1);
  EXPECT_EQ(beneath_.timers, 1);
}

TEST_F(DnsNetworkTest, OnceItIsGoneNobodyIsCalled) {
  names_.ips = {"10.0.0.1", "10.0.0.2"};
  bool called = false;
  {
    DnsNetwork network(&beneath_, &names_, self_);
    network.Identify("/dns/resolvers.example/tcp/4001", [&](const absl::StatusOr<dht::Contact>&) { called = true; });
  }
  beneath_.Answer("/ip4/10.0.0.1/tcp/4001", KeyOf(2));
  beneath_.Fail("/ip4/10.0.0.2/tcp/4001");
  EXPECT_FALSE(called);
}

TEST(SystemNameResolverTest, GivesEveryAddressOfItsFamily) {
  Loop loop;
  auto resolver = loop.Run([&] { return NewSystemNameResolver(loop.executor()); });
  const auto resolve = [&](const Multiaddr& name) {
    Outcome<absl::StatusOr<std::vector<Multiaddr>>> outcome;
    loop.Run([&] { resolver->Resolve(name, outcome.Callback()); });
    return outcome.Wait();
  };
  const auto four = resolve({.kind = Multiaddr::HostKind::kDns4, .host = "localhost", .port = 4001});
  ASSERT_TRUE(four.ok()) << four.status();
  ASSERT_EQ(four->size(), 1U);
  EXPECT_EQ(four->front().ToString(), "/ip4/127.0.0.1/tcp/4001");
  // No server is asked for this, and none of its addresses is of the family.
  const auto none = resolve({.kind = Multiaddr::HostKind::kDns6, .host = "127.0.0.1", .port = 4001});
  EXPECT_EQ(ReasonOf(none.status()), reason::kUnreachable);
  EXPECT_THAT(std::string(none.status().message()), HasSubstr("cannot resolve 127.0.0.1"));
  loop.Run([&] { resolver.reset(); });
}

}  // namespace
}  // namespace dotagent::p2p
