// dotagent's DHT as a system under test: a network of its nodes in one process, each with its own event loop and
// RocksDB, over sessions on sockets, as the resolver runs them.
//
//   bench-dotagent-nodes NODES VALUE_BYTES DATA_DIR HOST       see drive.h for what it reads and writes
//
// HOST is an IPv4 address; a `*` in it becomes the node's number, from 1.
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <filesystem>
#include <future>
#include <iostream>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/crypto/keys.h"
#include "common/crypto/peer_id.h"
#include "common/dht/dht.h"
#include "common/p2p/dht_network.h"
#include "common/p2p/loop.h"
#include "common/p2p/node.h"
#include "common/storage/store.h"
#include "common/telemetry/metrics.h"
#include "tests/bench/drive.h"
#include "tests/bench/records.h"

namespace dotagent::bench {
namespace {

constexpr auto kSettleTime = std::chrono::seconds(60);

class BenchNode {
 public:
  BenchNode(const std::string& listen, const std::string& data_dir) : key_(crypto::SigningKey::Generate(random_)) {
    auto opened = storage::OpenRocksDb({.path = data_dir});
    if (!opened.ok()) Fail(opened.status());
    store_ = *std::move(opened);
    const absl::Status listening = loop_.Run([&] {
      node_ = std::make_unique<p2p::Node>(
          loop_.executor(),
          p2p::NodeOptions{.key = &key_, .random = &random_, .clock = &clock_, .metrics = &metrics_, .listen = listen});
      return node_->Listen();
    });
    if (!listening.ok()) Fail(listening);
    loop_.Run([&] {
      const crypto::PublicKey& key = key_.public_key();
      network_ = std::make_unique<p2p::DhtNetwork>(loop_.executor(), *node_);
      dht::DhtOptions options;
      options.self = {dht::Id::OfNode(key), key, node_->addresses()};
      options.signer = &key_;
      dht_ = std::make_unique<dht::Dht>(options, network_.get(), &clock_, &random_, store_.get());
      network_->Serve(*dht_);
    });
  }

  ~BenchNode() {
    loop_.Run([&] {
      node_->Close();
      dht_.reset();
      network_.reset();
      node_.reset();
    });
    loop_.Stop();
  }
  BenchNode(const BenchNode&) = delete;
  BenchNode& operator=(const BenchNode&) = delete;

  [[nodiscard]] std::string Address() {
    const std::string address = loop_.Run([&] { return node_->addresses().at(0); });
    return absl::StrCat(address, "/p2p/", crypto::PeerIdFromKey(key_.public_key()));
  }
  void Join(const std::vector<std::string>& addresses) {
    std::promise<absl::Status> joined;
    loop_.Run([&] { dht_->Start(addresses, [&](const absl::Status& status) { joined.set_value(status); }); });
    const absl::Status status = joined.get_future().get();
    if (!status.ok()) Fail(status);
  }
  [[nodiscard]] size_t Known() {
    return loop_.Run([&] { return dht_->known_nodes(); });
  }
  [[nodiscard]] bool Holds(const dht::Id& key) {
    return loop_.Run([&] { return dht_->GetLocal(key, dht::ValueKind::kRecord).ok(); });
  }
  void Put(const std::string& value, std::function<void(bool)> done) {
    loop_.Post([this, value, done = std::move(done)] {
      dht_->Put(dht::ValueKind::kRecord, {value, ""},
                [done](const absl::StatusOr<dht::PutResult>& stored) { done(stored.ok()); });
    });
  }
  void Get(const dht::Id& key, std::function<void(bool)> done) {
    loop_.Post([this, key, done = std::move(done)] {
      dht_->Get(key, dht::ValueKind::kRecord,
                [done](const absl::StatusOr<dht::GetResult>& found) { done(found.ok()); });
    });
  }

 private:
  [[noreturn]] static void Fail(const absl::Status& status) {
    std::cerr << status << "\n";
    std::exit(1);
  }

  SystemRandom random_;
  SystemClock clock_;
  telemetry::Metrics metrics_;
  const crypto::SigningKey key_;
  std::unique_ptr<storage::Store> store_;
  p2p::Loop loop_;
  std::unique_ptr<p2p::Node> node_;
  std::unique_ptr<p2p::DhtNetwork> network_;
  std::unique_ptr<dht::Dht> dht_;
};

class Network {
 public:
  Network(size_t count, size_t value_bytes, const std::string& data_dir, const std::string& host)
      : records_(value_bytes) {
    for (size_t i = 0; i < count; ++i) {
      const std::string ip = absl::StrReplaceAll(host, {{"*", absl::StrCat(i + 1)}});
      nodes_.push_back(
          std::make_unique<BenchNode>(absl::StrCat("/ip4/", ip, "/tcp/0"), absl::StrCat(data_dir, "/", i)));
    }
    nodes_[0]->Join({});
    for (size_t i = 1; i < count; ++i) nodes_[i]->Join({nodes_[0]->Address()});
  }

  [[nodiscard]] bool WaitUntilSettled() {
    std::mutex mutex;
    std::condition_variable never;
    std::unique_lock<std::mutex> lock(mutex);
    const auto deadline = std::chrono::steady_clock::now() + kSettleTime;
    while (std::chrono::steady_clock::now() < deadline) {
      size_t settled = 0;
      for (const auto& node : nodes_) settled += node->Known() == nodes_.size() - 1 ? 1 : 0;
      if (settled == nodes_.size()) return true;
      never.wait_for(lock, std::chrono::milliseconds(50));
    }
    return false;
  }

  // Every record comes from node 0. It is made and signed before the clock starts.
  [[nodiscard]] Timing Publish(size_t first, size_t count, size_t in_flight) {
    std::vector<std::string> values;
    for (size_t i = first; i < first + count; ++i) values.push_back(records_.Make(i, absl::Now()));
    return Drive(first, count, in_flight, [&](size_t index, std::function<void(bool)> done) {
      nodes_[0]->Put(values[index - first], std::move(done));
    });
  }

  // Each name is asked for once, at a node that neither holds its record nor published it.
  [[nodiscard]] Timing Lookup(size_t first, size_t count, size_t in_flight) {
    std::vector<BenchNode*> asked;
    for (size_t i = first; i < first + count; ++i) asked.push_back(Stranger(i));
    return Drive(first, count, in_flight, [&](size_t index, std::function<void(bool)> done) {
      asked[index - first]->Get(Key(index), std::move(done));
    });
  }

 private:
  [[nodiscard]] dht::Id Key(size_t index) const { return *dht::Id::FromBytes(records_.DhtKey(index)); }

  [[nodiscard]] BenchNode* Stranger(size_t index) {
    for (size_t i = 0; i + 1 < nodes_.size(); ++i) {
      BenchNode* const node = nodes_[1 + (index * 7 + i) % (nodes_.size() - 1)].get();
      if (!node->Holds(Key(index))) return node;
    }
    return nodes_[1].get();
  }

  const Records records_;
  std::vector<std::unique_ptr<BenchNode>> nodes_;
};

}  // namespace
}  // namespace dotagent::bench

int main(int argc, char** argv) {
  if (argc != 5) {
    std::cerr << "usage: bench-dotagent-nodes NODES VALUE_BYTES DATA_DIR HOST\n";
    return 2;
  }
  dotagent::bench::Network network(std::strtoul(argv[1], nullptr, 10), std::strtoul(argv[2], nullptr, 10), argv[3],
                                   argv[4]);
  if (!network.WaitUntilSettled()) {
    std::cerr << "the nodes did not find each other\n";
    return 1;
  }
  dotagent::bench::ServeCommands("{}", [&](const std::string& verb, size_t first, size_t count, size_t in_flight) {
    return verb == "publish" ? network.Publish(first, count, in_flight) : network.Lookup(first, count, in_flight);
  });
  return 0;
}
