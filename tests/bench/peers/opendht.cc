// OpenDHT (Debian's libopendht) as a system under test: a network of its nodes in one process, each with its own
// threads, as its users run it, but for its limits on requests a second and on stored bytes, which are switched off.
//
//   bench-peer-opendht NODES VALUE_BYTES        see drive.h for what it reads and writes
//
// Needs addresses 10.1.0.1, 10.2.0.1, … on this machine: OpenDHT drops what comes from 127.x.
#include <opendht.h>

#include <condition_variable>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "tests/bench/drive.h"

namespace {

using dotagent::bench::Timing;

constexpr char kPort[] = "4222";
constexpr auto kSettleTime = std::chrono::seconds(30);
constexpr unsigned kSettled = 8;  // neighbours that a node should know; a bucket holds no more

class Network {
 public:
  Network(size_t count, size_t value_bytes) : value_bytes_(value_bytes) {
    for (size_t i = 0; i < count; ++i) {
      dht::DhtRunner::Config config;
      auto& limits = config.dht_config.node_config;
      limits.max_req_per_sec = limits.max_peer_req_per_sec = -1;
      limits.max_store_size = limits.max_store_keys = -1;
      limits.network = 7;
      config.bind4 = dht::SockAddr::resolve(Address(i), kPort).at(0);
      nodes_.push_back(std::make_unique<dht::DhtRunner>());
      nodes_.back()->run(config, {});
      if (i > 0) nodes_.back()->bootstrap(Address(0), kPort);
    }
  }

  ~Network() {
    for (const auto& node : nodes_) node->join();
  }

  bool WaitUntilSettled() {
    std::mutex mutex;
    std::condition_variable never;
    std::unique_lock<std::mutex> lock(mutex);
    const auto deadline = std::chrono::steady_clock::now() + kSettleTime;
    while (std::chrono::steady_clock::now() < deadline) {
      size_t settled = 0;
      for (const auto& node : nodes_) {
        settled += node->getNodesStats(AF_INET, nullptr, nullptr, nullptr, nullptr) >=
                   std::min<size_t>(kSettled, nodes_.size() - 1);
      }
      if (settled == nodes_.size()) return true;
      never.wait_for(lock, std::chrono::milliseconds(50));
    }
    return false;
  }

  // Every value comes from node 0.
  Timing Publish(size_t first, size_t count, size_t in_flight) {
    return dotagent::bench::Drive(first, count, in_flight, [this](size_t index, std::function<void(bool)> done) {
      nodes_[0]->put(Key(index), dht::Value(dht::Blob(value_bytes_, static_cast<uint8_t>(index))),
                     [done = std::move(done)](bool ok) { done(ok); });
    });
  }

  // Each value is asked for once, at a node that neither holds it nor put it. It counts as found with the first answer.
  Timing Lookup(size_t first, size_t count, size_t in_flight) {
    std::vector<std::set<dht::InfoHash>> held(nodes_.size());
    for (size_t node = 0; node < nodes_.size(); ++node) {
      for (const auto& value : nodes_[node]->exportValues()) held[node].insert(value.first);
    }
    std::vector<dht::DhtRunner*> asked;
    for (size_t i = first; i < first + count; ++i) asked.push_back(Stranger(i, held));
    return dotagent::bench::Drive(first, count, in_flight, [&](size_t index, const std::function<void(bool)>& done) {
      const auto found = std::make_shared<bool>(false);
      asked[index - first]->get(
          Key(index),
          [this, found, done](const std::vector<std::shared_ptr<dht::Value>>& values) {
            if (!*found && !values.empty() && values[0]->data.size() == value_bytes_) {
              *found = true;
              done(true);
            }
            return false;
          },
          [found, done](bool) {
            if (!*found) done(false);
          });
    });
  }

 private:
  static std::string Address(size_t node) { return "10." + std::to_string(node + 1) + ".0.1"; }
  static dht::InfoHash Key(size_t index) { return dht::InfoHash::get("name-" + std::to_string(index)); }

  dht::DhtRunner* Stranger(size_t index, const std::vector<std::set<dht::InfoHash>>& held) {
    for (size_t i = 0; i + 1 < nodes_.size(); ++i) {
      const size_t node = 1 + (index * 7 + i) % (nodes_.size() - 1);
      if (held[node].count(Key(index)) == 0) return nodes_[node].get();
    }
    return nodes_[1].get();
  }

  const size_t value_bytes_;
  std::vector<std::unique_ptr<dht::DhtRunner>> nodes_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: bench-peer-opendht NODES VALUE_BYTES\n";
    return 2;
  }
  Network network(std::strtoul(argv[1], nullptr, 10), std::strtoul(argv[2], nullptr, 10));
  if (!network.WaitUntilSettled()) {
    std::cerr << "the OpenDHT nodes did not find each other\n";
    return 1;
  }
  dotagent::bench::ServeCommands("{}", [&](const std::string& verb, size_t first, size_t count, size_t in_flight) {
    return verb == "publish" ? network.Publish(first, count, in_flight) : network.Lookup(first, count, in_flight);
  });
  return 0;
}
