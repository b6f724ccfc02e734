#include "common/dht/verdict.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include "tests/unit/dht/fixtures.h"

namespace dotagent::dht {
namespace {

using Outcome = Ballot::Outcome;

class BallotTest : public testing::Test {
 protected:
  BallotTest() {
    SeededRandom random(1);
    for (size_t i = 0; i < 40; ++i) nodes_.push_back(RandomId(random));
    std::sort(nodes_.begin(), nodes_.end(),
              [this](const Id& a, const Id& b) { return key_.DistanceTo(a) < key_.DistanceTo(b); });
  }

  // As if the nodes lay exactly where they are expected: the i-th nearest where i nodes are.
  [[nodiscard]] Density Even(double sparseness = 1) const {
    return [this, sparseness](const Id& distance) {
      const auto place = std::find(nodes_.begin(), nodes_.end(), key_.DistanceTo(distance));
      // Beyond them, a large network.
      if (place == nodes_.end()) return 10'000.0;
      return sparseness * static_cast<double>(place - nodes_.begin() + 1);
    };
  }
  // A network that the reader knows entirely.
  [[nodiscard]] static Density OfSize(size_t nodes) {
    return [nodes](const Id&) { return static_cast<double>(nodes); };
  }
  [[nodiscard]] std::vector<Id> Nearest(size_t count) const {
    return {nodes_.begin(), nodes_.begin() + static_cast<std::ptrdiff_t>(count)};
  }

  static Vote For(const Value& value, bool holds = true) {
    return Vote{Receipt{value.owner, DigestOf(value.item), kStart, ""},
                holds ? std::optional<Value>(value) : std::nullopt};
  }
  // The next nearest node that has not voted.
  void Votes(size_t count, const Vote& vote) {
    for (size_t i = 0; i < count; ++i) ballot_.Add(nodes_[voted_++], vote);
  }
  [[nodiscard]] Outcome Judge(bool all = false) const { return ballot_.Judge(Nearest(voted_), all, Even()).outcome; }

  const Id key_ = KeyOfName("bob.agent");
  const Value old_ = RecordOf(KeyFromSeed(1), "bob.agent", kStart);
  const Value new_ = RecordOf(KeyFromSeed(1), "bob.agent", kStart + absl::Seconds(1));
  const Value hijack_ = RecordOf(KeyFromSeed(2), "bob.agent", kStart + absl::Seconds(2));
  std::vector<Id> nodes_;  // nearest first
  const ValueTypes types_;
  Ballot ballot_{key_, types_.Of(ValueKind::kRecord)};
  size_t voted_ = 0;
};

TEST_F(BallotTest, FourteenThatAgreeDecideAndTheNewestOfTheOwnersIsTheAnswer) {
  Votes(8, For(old_));
  Votes(5, For(new_, /*holds=*/false));
  EXPECT_EQ(Judge(), Outcome::kUndecided);
  Votes(1, For(new_));
  const Ballot::Judgement judgement = ballot_.Judge(Nearest(14), false, Even());
  EXPECT_EQ(judgement.outcome, Outcome::kDecided);
  EXPECT_EQ(judgement.owner, new_.owner);
  const auto best = ballot_.BestOf(*judgement.owner);
  ASSERT_TRUE(best);
  EXPECT_EQ(best->value.item, new_.item);
  EXPECT_EQ(best->agreeing, 6);
}

TEST_F(BallotTest, AnOwnerWithoutAValueIsAskedForFurther) {
  Votes(15, For(new_, /*holds=*/false));
  EXPECT_EQ(Judge(), Outcome::kUndecided);
  Votes(1, For(new_));
  EXPECT_EQ(Judge(), Outcome::kDecided);
}

TEST_F(BallotTest, FourteenThatKnowNothingAreANotFound) {
  Votes(13, {});
  EXPECT_EQ(Judge(), Outcome::kUndecided);
  Votes(1, {});
  EXPECT_EQ(Judge(), Outcome::kAbsent);
}

TEST_F(BallotTest, NewcomersThatKnowNothingYetOnlyDelay) {
  Votes(3, {});
  Votes(13, For(old_));
  EXPECT_EQ(Judge(), Outcome::kUndecided);
  Votes(1, For(old_));
  EXPECT_EQ(Judge(), Outcome::kDecided);
}

TEST_F(BallotTest, OneDissenterNeedsAllWitnesses) {
  Votes(1, For(hijack_));
  Votes(26, For(old_));
  EXPECT_EQ(Judge(), Outcome::kUndecided);
  Votes(1, For(old_));
  const Ballot::Judgement judgement = ballot_.Judge(Nearest(28), false, Even());
  EXPECT_EQ(judgement.outcome, Outcome::kDecided);
  EXPECT_EQ(judgement.owner, old_.owner);
  EXPECT_TRUE(ballot_.disputed());
}

TEST_F(BallotTest, EighteenOfTwentyEightDecideFewerConflict) {
  Votes(1, For(old_));  // no early end
  Votes(11, For(hijack_));
  Votes(16, For(old_));
  EXPECT_EQ(Judge(), Outcome::kConflict);
}

TEST_F(BallotTest, TenHostileOfTwentyEightDoNotConflict) {
  Votes(1, For(old_));
  Votes(10, For(hijack_));
  Votes(17, For(old_));
  const Ballot::Judgement judgement = ballot_.Judge(Nearest(28), false, Even());
  EXPECT_EQ(judgement.outcome, Outcome::kDecided);
  EXPECT_EQ(judgement.owner, old_.owner);
}

TEST_F(BallotTest, OnlyThoseWhoKnowCount) {
  Votes(4, {});
  Votes(6, For(hijack_));
  Votes(18, For(old_));  // of 24 that know; 16 would do
  const Ballot::Judgement judgement = ballot_.Judge(Nearest(28), false, Even());
  EXPECT_EQ(judgement.outcome, Outcome::kDecided);
  EXPECT_EQ(judgement.owner, old_.owner);
}

TEST_F(BallotTest, ASmallNetworkDecidesByWhatThereIs) {
  Votes(1, For(hijack_));
  Votes(4, For(old_));
  EXPECT_EQ(Judge(/*all=*/false), Outcome::kUndecided);
  const Ballot::Judgement judgement = ballot_.Judge(Nearest(5), true, Even());
  EXPECT_EQ(judgement.outcome, Outcome::kDecided);
  EXPECT_EQ(judgement.owner, old_.owner);
}

TEST_F(BallotTest, TwoOfThreeDecideOneAgainstOneConflicts) {
  Votes(1, For(hijack_));
  Votes(1, For(old_));
  EXPECT_EQ(Judge(true), Outcome::kConflict);
  Votes(1, For(old_));
  EXPECT_EQ(Judge(true), Outcome::kDecided);
}

TEST_F(BallotTest, ASetTooSparseIsNotBelieved) {
  Votes(28, For(hijack_));
  EXPECT_EQ(ballot_.Judge(Nearest(14), false, Even(1.25)).outcome, Outcome::kDecided);
  EXPECT_EQ(ballot_.Judge(Nearest(14), false, Even(1.35)).outcome, Outcome::kUndecided);
  EXPECT_EQ(ballot_.Judge(Nearest(14), false, Even(5)).outcome, Outcome::kUndecided);
  EXPECT_EQ(ballot_.Judge(Nearest(28), false, Even(1.55)).outcome, Outcome::kDecided);
  EXPECT_EQ(ballot_.Judge(Nearest(28), false, Even(1.65)).outcome, Outcome::kTooFewWitnesses);
  EXPECT_EQ(ballot_.Judge(Nearest(28), false, Even(5)).outcome, Outcome::kTooFewWitnesses);
  EXPECT_EQ(ballot_.Judge(Nearest(28), true, Even(5)).outcome, Outcome::kTooFewWitnesses)
      << "liars tell of no one else";
  EXPECT_EQ(ballot_.Judge(Nearest(28), true, Even(2.5)).outcome, Outcome::kDecided)
      << "half of the network may just have been cut off";
}

TEST_F(BallotTest, ASetTooDenseIsAskedBeyond) {
  Votes(28, For(hijack_));
  // The 14 nearest sit where three are expected.
  EXPECT_EQ(ballot_.Judge(Nearest(14), false, Even(0.2)).outcome, Outcome::kUndecided);
}

TEST_F(BallotTest, ANetworkOfWitnessesOnlyAsksNothingOfTheDensity) {
  Votes(7, For(old_));
  EXPECT_EQ(ballot_.Judge(Nearest(7), false, OfSize(19)).outcome, Outcome::kUndecided);
  Votes(1, For(old_));
  EXPECT_EQ(ballot_.Judge(Nearest(8), false, OfSize(19)).outcome, Outcome::kDecided);
}

TEST_F(BallotTest, InASmallNetworkMoreHaveToAgreeThanAreHostile) {
  EXPECT_EQ(EnoughUnanimous(OfSize(0)), kFewestUnanimous);
  for (size_t nodes = 1; nodes <= kWitnesses; ++nodes) {
    const auto share = [&](double of_all) { return of_all * static_cast<double>(nodes); };
    const size_t enough = EnoughUnanimous(OfSize(nodes));
    EXPECT_GT(static_cast<double>(enough), share(0.4)) << nodes;
    EXPECT_LE(static_cast<double>(enough), std::max<double>(kFewestUnanimous, share(0.4) + 1)) << nodes;
    const size_t for_witness = EnoughForWitness(OfSize(nodes));
    EXPECT_GT(static_cast<double>(for_witness), share(0.2)) << nodes;
    EXPECT_LE(static_cast<double>(for_witness), std::max<double>(kReplicationFactor, share(0.2) + 1)) << nodes;
  }
  EXPECT_EQ(EnoughUnanimous(OfSize(19)), 8);
  EXPECT_EQ(EnoughUnanimous(OfSize(kWitnesses)), 12);
  EXPECT_EQ(EnoughUnanimous(OfSize(kWitnesses + 1)), kUnanimous);
  EXPECT_EQ(EnoughForWitness(OfSize(19)), 5);
  EXPECT_EQ(EnoughForWitness(OfSize(kWitnesses)), 6);
}

TEST_F(BallotTest, WhoMeetsAStrangerDoesNotKnowTheWholeNetwork) {
  ballot_.AddOwn(nodes_[39], For(old_, /*holds=*/false), /*settled=*/true);
  Votes(13, For(old_));
  ballot_.MetStranger();
  EXPECT_EQ(ballot_.Judge(Nearest(13), false, OfSize(19)).outcome, Outcome::kUndecided);
  Votes(1, For(old_));
  EXPECT_EQ(ballot_.Judge(Nearest(14), false, OfSize(19)).outcome, Outcome::kDecided);
}

TEST_F(BallotTest, AWitnessOnlyWantsToKnowThatHeHasMissedNothing) {
  ballot_.AddOwn(nodes_[39], For(old_, /*holds=*/false), /*settled=*/true);
  Votes(4, For(old_));
  EXPECT_EQ(ballot_.Judge(Nearest(4), false, OfSize(19)).outcome, Outcome::kUndecided);
  Votes(1, For(old_, /*holds=*/false));
  const Ballot::Judgement judgement = ballot_.Judge(Nearest(5), false, OfSize(19));
  EXPECT_EQ(judgement.outcome, Outcome::kDecided);
  EXPECT_EQ(judgement.owner, old_.owner);
  EXPECT_EQ(ballot_.Judge(Nearest(5), false, Even()).outcome, Outcome::kUndecided) << "in a large network";
}

TEST_F(BallotTest, AWitnessHimselfIsNotOneOfThoseWhoConfirm) {
  ballot_.AddOwn(nodes_[0], For(old_), /*settled=*/true);
  voted_ = 1;
  Votes(4, For(old_));
  EXPECT_EQ(ballot_.Judge(Nearest(5), false, OfSize(19)).outcome, Outcome::kUndecided);
  Votes(1, For(old_));
  EXPECT_EQ(ballot_.Judge(Nearest(6), false, OfSize(19)).outcome, Outcome::kDecided);
}

TEST_F(BallotTest, NodesThatKnowNothingConfirmNothingToAWitness) {
  ballot_.AddOwn(nodes_[39], For(old_, /*holds=*/false), /*settled=*/true);
  Votes(2, {});
  Votes(4, For(old_));
  EXPECT_EQ(ballot_.Judge(Nearest(6), false, OfSize(19)).outcome, Outcome::kUndecided);
}

TEST_F(BallotTest, AWitnessWhoHasNotAskedTheOthersIsAReaderAsAnyOther) {
  ballot_.AddOwn(nodes_[39], For(old_, /*holds=*/false), /*settled=*/false);
  Votes(7, For(old_));
  EXPECT_EQ(ballot_.Judge(Nearest(7), false, OfSize(19)).outcome, Outcome::kUndecided);
  Votes(1, For(old_));
  EXPECT_EQ(ballot_.Judge(Nearest(8), false, OfSize(19)).outcome, Outcome::kDecided);
}

TEST_F(BallotTest, AWitnessWhoIsToldOfAnotherValueIsAReaderAsAnyOther) {
  for (const bool newer : {true, false}) {
    Ballot ballot(key_, types_.Of(ValueKind::kRecord));
    ballot.AddOwn(nodes_[39], For(newer ? old_ : new_, /*holds=*/false), /*settled=*/true);
    for (size_t i = 0; i < 7; ++i) ballot.Add(nodes_[i], For(newer ? new_ : old_));
    EXPECT_EQ(ballot.Judge(Nearest(7), false, OfSize(19)).outcome, Outcome::kUndecided) << newer;
    ballot.Add(nodes_[7], For(newer ? new_ : old_));
    EXPECT_EQ(ballot.Judge(Nearest(8), false, OfSize(19)).outcome, Outcome::kDecided) << newer;
  }
}

TEST_F(BallotTest, AWitnessWhoIsContradictedNeedsAllOthers) {
  Ballot ballot(key_, types_.Of(ValueKind::kRecord));
  ballot.AddOwn(nodes_[19], For(old_, /*holds=*/false), /*settled=*/true);
  for (size_t i = 0; i < 7; ++i) ballot.Add(nodes_[i], For(hijack_));
  for (size_t i = 7; i < 19; ++i) ballot.Add(nodes_[i], For(old_));
  EXPECT_EQ(ballot.Judge(Nearest(12), false, OfSize(19)).outcome, Outcome::kUndecided);
  const Ballot::Judgement judgement = ballot.Judge(Nearest(20), true, OfSize(19));
  EXPECT_EQ(judgement.outcome, Outcome::kDecided);
  EXPECT_EQ(judgement.owner, old_.owner);
}

TEST_F(BallotTest, InASmallNetworkThereIsNoEarlyEndAgainstTheReadersOwnWord) {
  for (const bool settled : {true, false}) {
    for (const Vote& others : {For(hijack_), Vote{}}) {
      Ballot ballot(key_, types_.Of(ValueKind::kRecord));
      ballot.AddOwn(nodes_[19], For(old_, /*holds=*/false), settled);
      for (size_t i = 0; i < 18; ++i) ballot.Add(nodes_[i], others);
      EXPECT_EQ(ballot.Judge(Nearest(18), false, OfSize(19)).outcome, Outcome::kUndecided) << settled;
    }
  }
}

TEST_F(BallotTest, OneRevocationIsEnough) {
  const Value revocation = RevocationOf(KeyFromSeed(1), kStart);
  Ballot ballot(revocation.key, types_.Of(ValueKind::kRevocation));
  ballot.Add(nodes_[0], {});
  EXPECT_EQ(ballot.Judge({}, false, Even()).outcome, Outcome::kUndecided);
  ballot.Add(nodes_[20], Vote{std::nullopt, revocation});
  const Ballot::Judgement judgement = ballot.Judge({}, false, Even());
  EXPECT_EQ(judgement.outcome, Outcome::kDecided);
  EXPECT_EQ(ballot.BestOf(*judgement.owner)->value.item, revocation.item);
}

TEST_F(BallotTest, ANodeVotesOnce) {
  for (int i = 0; i < 5; ++i) ballot_.Add(nodes_[0], For(hijack_));
  EXPECT_EQ(ballot_.BestOf(hijack_.owner)->agreeing, 1);
  EXPECT_EQ(ballot_.Receipts().size(), 1);
}

TEST_F(BallotTest, FindsItemsThatWereValidatedBefore) {
  ballot_.Add(nodes_[0], For(old_));
  ASSERT_NE(ballot_.Find(old_.item), nullptr);
  EXPECT_EQ(ballot_.Find(old_.item)->owner, old_.owner);
  EXPECT_EQ(ballot_.Find(new_.item), nullptr);
}

// The figures that the header gives.
TEST(ThresholdTest, IsTheBinomialsAtTwentyPercentHostile) {
  const auto tail = [](size_t n, size_t at_least, double m) {
    double sum = 0;
    for (size_t i = at_least; i <= n; ++i) {
      const auto log_choose = std::lgamma(n + 1.0) - std::lgamma(i + 1.0) - std::lgamma(static_cast<double>(n - i) + 1);
      sum += std::exp(log_choose + static_cast<double>(i) * std::log(m) + static_cast<double>(n - i) * std::log(1 - m));
    }
    return sum;
  };
  EXPECT_EQ(Threshold(kWitnesses), 18);
  EXPECT_NEAR(tail(kWitnesses, 18, 0.2), 4.2e-7, 0.1e-7) << "stolen";
  EXPECT_NEAR(tail(kWitnesses, kWitnesses - 18 + 1, 0.2), 0.015, 0.001) << "contested";
  EXPECT_NEAR(std::pow(0.2, kFewestUnanimous), 2.6e-6, 0.1e-6) << "of few nodes";
  EXPECT_NEAR(std::pow(0.2, 12), 4e-9, 0.1e-9) << "of 28";
  EXPECT_NEAR(std::pow(0.2, kUnanimous), 1.6e-10, 0.1e-10);
  EXPECT_EQ(Threshold(1), 1);
  EXPECT_EQ(Threshold(3), 2);
  EXPECT_EQ(Threshold(5), 4);
}

// Of 19 nodes, 7 (40 % at most) are hostile: all 5 that a witness asks are.
TEST(WitnessTest, IsTheHypergeometricAtFortyPercentHostile) {
  const auto choose = [](double n, double k) {
    return std::exp(std::lgamma(n + 1) - std::lgamma(k + 1) - std::lgamma(n - k + 1));
  };
  EXPECT_NEAR(choose(7, 5) / choose(19, 5), 1.8e-3, 0.05e-3);
}

TEST(DensityTest, IsThePoissonTailAtTwentyPercentHostile) {
  // That `nodes` nodes with random ids lie within a distance where `expected` are.
  const auto at_least = [](size_t nodes, double expected) {
    double fewer = 0;
    for (size_t i = 0; i < nodes; ++i) {
      fewer +=
          std::exp(-expected + static_cast<double>(i) * std::log(expected) - std::lgamma(static_cast<double>(i) + 1));
    }
    return 1 - fewer;
  };
  constexpr double kEarly = 1.3 * kUnanimous;
  constexpr double kLate = 1.6 * kWitnesses;
  EXPECT_FALSE(TooSparse(kWitnesses, kLate - 0.01));
  EXPECT_TRUE(TooSparse(kWitnesses, kLate + 0.01));
  EXPECT_NEAR(1 - at_least(kUnanimous, kEarly), 1.0 / 8, 0.02) << "honest, the longer way";
  EXPECT_NEAR(1 - at_least(kWitnesses, kLate), 1.0 / 340, 0.001) << "honest, widened";
  EXPECT_NEAR(at_least(kUnanimous, kEarly * 0.2), 3e-5, 1e-5) << "hostile, early";
  EXPECT_NEAR(at_least(kWitnesses, kLate * 0.2), 3e-7, 1e-7) << "hostile, late";
  EXPECT_NEAR(at_least(kUnanimous, kEarly * 0.2 / 0.75), 5e-4, 1e-4) << "hostile, early, the network underrated";
  EXPECT_NEAR(at_least(kWitnesses, kLate * 0.2 / 0.75), 5e-5, 1e-5) << "hostile, late, the network underrated";
}

}  // namespace
}  // namespace dotagent::dht
