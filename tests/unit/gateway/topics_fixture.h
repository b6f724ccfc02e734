// Two gateways; a publisher and a subscriber at the first, another subscriber at the second.
#ifndef DOTAGENT_TESTS_UNIT_GATEWAY_TOPICS_FIXTURE_H_
#define DOTAGENT_TESTS_UNIT_GATEWAY_TOPICS_FIXTURE_H_

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/unit/gateway/fakes.h"

namespace dotagent::gateway_service {

class TopicsFixture : public testing::Test {
 protected:
  explicit TopicsFixture(const TopicLimits& limits = {}) : limits_(limits) {}

  void SetUp() override {
    alice_.Settle();
    bob_.Settle();
    carol_.Settle();
  }

  // In seconds, with their ticks.
  void Wait(int seconds) {
    for (int i = 0; i < seconds; ++i) {
      world_.clock.Advance(absl::Seconds(1));
      one_->logic->Tick();
      two_.logic->Tick();
      world_.tasks.Run();
    }
  }

  // What a subscriber has seen, in order: "ready", the texts of publications, and gaps.
  static std::vector<std::string> Seen(const SubscribeCall& call) {
    std::vector<std::string> seen;
    for (const auto& event : call.events) {
      if (event.has_ready()) seen.emplace_back("ready");
      if (event.has_publication()) {
        const record::Json message = *record::ParseStrictJson(event.publication().message_json());
        seen.push_back(message.at("content").at("text").get<std::string>());
      }
      if (event.has_missed()) {
        seen.push_back(absl::StrCat("missed ", event.missed().count(), ":", event.missed().first_sequence(), "-",
                                    event.missed().last_sequence(), " ", event.missed().cause()));
      }
    }
    return seen;
  }

  const TopicLimits limits_;
  World world_;
  std::unique_ptr<TestGateway> one_ = std::make_unique<TestGateway>(world_, 8, InboxLimits{}, limits_);
  TestGateway two_{world_, 8, {}, limits_};
  TestAgent alice_{world_, *one_, "alice.agent"};  // publishes
  TestAgent bob_{world_, *one_, "bob.agent"};
  TestAgent carol_{world_, two_, "carol.agent"};
};

}  // namespace dotagent::gateway_service

#endif  // DOTAGENT_TESTS_UNIT_GATEWAY_TOPICS_FIXTURE_H_
