#include "common/dht/testing/timeline.h"

#include <gtest/gtest.h>

#include <deque>
#include <limits>
#include <vector>

#include "common/base/random.h"

namespace dotagent::dht {
namespace {

constexpr int64_t kEnd = std::numeric_limits<int64_t>::max();
constexpr int64_t kMs = 1'000'000;
constexpr absl::Duration kLookahead = absl::Milliseconds(5);

// Actors who tell each other numbers, after delays that depend on what they have heard: whoever hears two of them in
// another order goes on differently for good.
class Gossip {
 public:
  Gossip(size_t actors, size_t threads) : timeline_(absl::UnixEpoch(), kLookahead, threads) {
    for (size_t i = 0; i < actors; ++i) {
      timeline_.AddActor();
      people_.emplace_back(i);
    }
    for (Timeline::Actor i = 0; i < actors; ++i) Tell(i);
  }

  // What everybody has heard, and what the outside has been told, in order.
  std::vector<uint64_t> After(int64_t nanoseconds) {
    timeline_.RunAt(17 * kMs, [this] { told_.push_back(static_cast<uint64_t>(timeline_.clock().nanoseconds())); });
    while (timeline_.RunWindow(nanoseconds)) {
    }
    std::vector<uint64_t> heard = told_;
    for (const Person& person : people_) heard.push_back(person.heard);
    heard.push_back(timeline_.events());
    return heard;
  }

 private:
  struct Word : Event {
    Word(Gossip* where, Timeline::Actor listener, uint64_t word) : gossip(where), to(listener), number(word) {}
    void Run() override { gossip->Hear(*this); }
    Gossip* gossip;
    Timeline::Actor to;
    uint64_t number;
  };
  struct Person {
    explicit Person(uint64_t seed) : random(seed) {}
    SeededRandom random;
    uint64_t heard = 0;
    std::deque<Word> words;  // that this person has said
  };

  void Tell(Timeline::Actor from) {
    Person& person = people_[from];
    const auto to = static_cast<Timeline::Actor>(person.random.Below(people_.size()));
    // Coarse delays, so that many arrive in the same moment.
    const auto delay = static_cast<int64_t>(5 + (person.heard + person.random.Below(20)) % 20) * kMs;
    Word& word = person.words.emplace_back(this, to, person.random.Below(1000));
    timeline_.Schedule(from, to, timeline_.clock(from).nanoseconds() + delay, &word);
  }

  void Hear(const Word& word) {
    Person& person = people_[word.to];
    person.heard = person.heard * 31 + word.number;
    Tell(word.to);
    if (person.heard % 7 == 0) {
      timeline_.Post(word.to, [this, told = person.heard] { told_.push_back(told); });
    }
  }

  Timeline timeline_;
  std::deque<Person> people_;
  std::vector<uint64_t> told_;
};

TEST(TimelineTest, TheOutcomeIsTheSameOnAnyNumberOfThreads) {
  const std::vector<uint64_t> alone = Gossip(50, 1).After(2000 * kMs);
  EXPECT_GT(alone.size(), 500U);
  for (const size_t threads : {2, 3, 8}) EXPECT_EQ(Gossip(50, threads).After(2000 * kMs), alone) << threads;
}

TEST(TimelineTest, NothingHappensInAnEmptyOne) {
  Timeline timeline(absl::UnixEpoch(), kLookahead, 2);
  timeline.AddActor();
  EXPECT_FALSE(timeline.RunWindow(kEnd));
}

TEST(TimelineTest, TheOutsideActsInItsMomentAndSeesAllThatHappenedUntilThen) {
  struct Step : Event {
    void Run() override { ++runs; }
    int runs = 0;
  };
  Timeline timeline(absl::UnixEpoch(), kLookahead, 2);
  const Timeline::Actor actor = timeline.AddActor();
  Step step;
  for (int64_t at = 1; at <= 4; ++at) timeline.Schedule(actor, actor, at * kMs, &step);
  int seen = -1;
  int64_t seen_at = 0;
  timeline.RunAt(3 * kMs, [&] {
    seen = step.runs;
    seen_at = timeline.clock().nanoseconds();
    timeline.RunAt(seen_at, [&] { seen += 100; });
  });
  ASSERT_TRUE(timeline.RunWindow(kEnd));
  EXPECT_EQ(seen, 103);
  EXPECT_EQ(seen_at, 3 * kMs);
  EXPECT_EQ(timeline.clock(actor).nanoseconds(), 3 * kMs);
  EXPECT_FALSE(timeline.RunWindow(4 * kMs - 1));
  EXPECT_TRUE(timeline.RunWindow(4 * kMs));
  EXPECT_EQ(step.runs, 4);
  EXPECT_EQ(timeline.events(), 6U);
}

}  // namespace
}  // namespace dotagent::dht
