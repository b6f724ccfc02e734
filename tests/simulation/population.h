// The members of a simulated network: who is honest, who is hostile and how, who comes and goes.
#ifndef DOTAGENT_TESTS_SIMULATION_POPULATION_H_
#define DOTAGENT_TESTS_SIMULATION_POPULATION_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/base/random.h"
#include "common/dht/testing/simulation.h"
#include "tests/simulation/id_index.h"
#include "tests/simulation/names.h"
#include "tests/simulation/parameters.h"

namespace dotagent::simulation {

class Population {
 public:
  // All must outlive it.
  Population(const Parameters& parameters, dht::Simulation* network, const Names* names);

  // Adds the nodes and lets them join, each through a few random ones that have joined before. `joined` is told of
  // each.
  void Join(const std::function<void()>& joined);

  // `leaving` is told of every node that leaves, once it is gone.
  void OnLeave(std::function<void(size_t node)> leaving) { on_leave_ = std::move(leaving); }

  // From now on, nodes leave and are replaced at the rate of the parameters, for as long as the simulation runs. A node
  // is as likely to leave at one moment as at any other: so its session's length is exponentially distributed, with a
  // mean of 1/churn hours.
  void StartChurn();

  // Thieves know of a name, and claim it, from now on: before its owner made it known there was nothing to steal.
  void Reveal(size_t name);
  [[nodiscard]] bool has_thieves() const { return !hostile_.nodes.empty() && is_claiming_; }

  // A node that has joined, at random. There is always an honest one.
  [[nodiscard]] size_t RandomHonest();
  [[nodiscard]] std::optional<size_t> RandomHostile();

  // Honest nodes of whose k nearest neighbours, as their tables have them, all are hostile.
  [[nodiscard]] uint64_t CountAstray() const;
  // Honest nodes alive, by their ids.
  [[nodiscard]] IdIndex HonestIndex() const;
  [[nodiscard]] const std::vector<size_t>& honest() const { return honest_.nodes; }
  [[nodiscard]] uint64_t replaced() const { return replaced_; }

 private:
  // Nodes from which one can be drawn at random, or taken out.
  struct Group {
    std::vector<size_t> nodes;
    void Remove(size_t position);
  };

  [[nodiscard]] size_t Add(bool hostile);
  [[nodiscard]] dht::DhtOptions Options(bool hostile);
  // Starts the node; it counts as a member once it has joined.
  void StartNode(size_t node, std::function<void()> joined);
  [[nodiscard]] std::vector<std::string> BootstrapAddresses();
  void ReplaceOne();

  // Hostile nodes. Act on their own threads: what they read of all nodes changes between windows only.
  [[nodiscard]] dht::Behaviour Act(size_t node, Behaviour behaviour);
  [[nodiscard]] std::optional<dht::Response> Withhold(size_t node, const dht::Request& request);
  [[nodiscard]] std::optional<dht::Response> Lie(size_t node, const dht::Request& request, bool claims) const;
  [[nodiscard]] std::vector<dht::Contact> Accomplices(const dht::Id& target) const;
  // The thief's record for what is under this key, if he claims it.
  [[nodiscard]] const dht::Item* StolenRecord(const dht::Id& key) const;
  [[nodiscard]] dht::Receipt ThiefsReceipt(size_t node, const dht::Item& record) const;
  [[nodiscard]] dht::ValueAnswer LieAboutValue(size_t node, const dht::FindValueCall& find, bool claims) const;
  [[nodiscard]] dht::ClaimsAnswer LieAboutClaims(size_t node, const dht::FindClaimsCall& find, bool claims) const;
  [[nodiscard]] dht::StoreAnswer ConfirmStore(size_t node, const dht::StoreCall& store) const;
  // Every polluter calls `node`, as if it looked for something.
  void CallFromPolluters(size_t node);
  // A key that solves the static puzzle; near_victim: and whose id is nearer to the first name than chance has it.
  [[nodiscard]] crypto::PublicKey MakeKey(bool near_victim);

  const Parameters& parameters_;
  dht::Simulation* const network_;
  const Names* const names_;
  SeededRandom random_;
  std::vector<bool> is_hostile_;         // by node
  std::vector<Behaviour> behaviour_of_;  // by node
  Group honest_;                         // alive and joined
  Group hostile_;
  IdIndex hostile_index_;  // of those alive
  std::vector<size_t> polluters_;
  const bool is_claiming_;                        // some hostile node does
  std::vector<std::optional<dht::Item>> stolen_;  // by name; those that thieves know of
  std::function<void(size_t node)> on_leave_;
  uint64_t hostile_made_ = 0;
  uint64_t eclipsers_ = 0;
  uint64_t replaced_ = 0;
};

}  // namespace dotagent::simulation

#endif  // DOTAGENT_TESTS_SIMULATION_POPULATION_H_
