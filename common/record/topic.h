// Topics (§5.1, Publish/Subscribe): what a publication is about, and what a subscriber asks for.
//
// A topic belongs to the agent that publishes it: `prices.eu` of alice.agent is another than `prices.eu` of bob.agent.
// It is 1 to 16 tokens with dots between, each 1 to 64 of A–Z a–z 0–9 _ -, 256 bytes in all; case matters. A pattern is
// a topic in which `*` may stand for exactly one token, and `>` as the last one for one or more, as in NATS. At most
// four `*` in one: so that what a hostile set of patterns costs a match stays bounded (common/record/topic_trie.h).
//
// The specification's message carries both as it is, signed:
//
//   a publication   a NOTIFICATION from the publisher to its own name, with the topic in `content.topic`; what else is
//                   in `content` is the publisher's
//   a subscription  a REQUEST from the subscriber to the publisher, whose content is exactly
//                   {"method": "topics", "topic": pattern}
//
// So neither can be altered on its way, a publication is never taken for a letter to somebody, and the publisher's
// policy judges a subscription as it does any other request.
//
// Refusals: BAD_MESSAGE (InvalidArgument).
#ifndef DOTAGENT_COMMON_RECORD_TOPIC_H_
#define DOTAGENT_COMMON_RECORD_TOPIC_H_

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/record/canonical_json.h"
#include "common/record/message.h"

namespace dotagent::record {

inline constexpr size_t kMaxTopicSize = 256;
inline constexpr size_t kMaxTopicTokens = 16;
inline constexpr size_t kMaxTopicTokenSize = 64;
inline constexpr size_t kMaxStars = 4;
// The method of subscriptions: what a publisher guards (SetInboxPolicy), and what a token for them is for.
inline constexpr char kTopicsMethod[] = "topics";

// A value.
class Topic {
 public:
  [[nodiscard]] static absl::StatusOr<Topic> Parse(absl::string_view text);
  [[nodiscard]] const std::string& text() const { return text_; }
  // Views into it.
  [[nodiscard]] std::vector<absl::string_view> tokens() const;
  friend bool operator==(const Topic&, const Topic&) = default;

 private:
  explicit Topic(std::string text) : text_(std::move(text)) {}
  std::string text_;
};

// A value. Every topic is a pattern too.
class TopicPattern {
 public:
  [[nodiscard]] static absl::StatusOr<TopicPattern> Parse(absl::string_view text);
  [[nodiscard]] const std::string& text() const { return text_; }
  [[nodiscard]] std::vector<absl::string_view> tokens() const;
  [[nodiscard]] bool Matches(const Topic& topic) const;
  friend bool operator==(const TopicPattern&, const TopicPattern&) = default;

 private:
  explicit TopicPattern(std::string text) : text_(std::move(text)) {}
  std::string text_;
};

// `content` with the topic in it. InvalidArgument (BAD_MESSAGE) if it has another already.
[[nodiscard]] absl::StatusOr<Json> PublicationContent(const Topic& topic, Json content);
// `content` of a subscription.
[[nodiscard]] Json SubscriptionContent(const TopicPattern& pattern);

// Whether the message is a publication, and so nothing for an inbox.
[[nodiscard]] bool IsPublication(const Message& message);
// Its topic; InvalidArgument (BAD_MESSAGE) says what makes it none.
[[nodiscard]] absl::StatusOr<Topic> PublicationTopic(const Message& message);
// What a subscription asks for; InvalidArgument (BAD_MESSAGE) says what makes it none.
[[nodiscard]] absl::StatusOr<TopicPattern> SubscriptionPattern(const Message& message);

}  // namespace dotagent::record

#endif  // DOTAGENT_COMMON_RECORD_TOPIC_H_
