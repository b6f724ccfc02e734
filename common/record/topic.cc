#include "common/record/topic.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/status.h"

namespace dotagent::record {
namespace {

constexpr char kTopic[] = "topic";
constexpr char kMethod[] = "method";
constexpr absl::string_view kStar = "*";
constexpr absl::string_view kRest = ">";

absl::Status Bad(absl::string_view what, absl::string_view text, absl::string_view problem) {
  return ErrorWithReason(
      absl::StatusCode::kInvalidArgument, reason::kBadMessage,
      absl::StrCat(what, " \"", absl::CHexEscape(text.substr(0, kMaxTopicTokenSize)), "\": ", problem));
}

absl::Status BadMessage(absl::string_view problem) {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kBadMessage, problem);
}

bool IsPlainToken(absl::string_view token) {
  return !token.empty() && token.size() <= kMaxTopicTokenSize &&
         std::all_of(token.begin(), token.end(),
                     [](unsigned char c) { return absl::ascii_isalnum(c) || c == '_' || c == '-'; });
}

// The size comes first, so that splitting costs little whatever came.
absl::Status CheckTokens(absl::string_view what, absl::string_view text, bool wildcards) {
  if (text.empty()) return Bad(what, text, "it is empty; write one such as prices.eu");
  if (text.size() > kMaxTopicSize) {
    return Bad(what, text, absl::StrCat("it has ", text.size(), " bytes; at most ", kMaxTopicSize, " are allowed"));
  }
  const std::vector<absl::string_view> tokens = absl::StrSplit(text, '.');
  if (tokens.size() > kMaxTopicTokens) {
    return Bad(what, text, absl::StrCat("it has ", tokens.size(), " tokens; at most ", kMaxTopicTokens));
  }
  size_t stars = 0;
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (wildcards && tokens[i] == kStar) {
      ++stars;
    } else if (wildcards && tokens[i] == kRest) {
      if (i + 1 < tokens.size()) return Bad(what, text, "> may only be the last token");
    } else if (!IsPlainToken(tokens[i])) {
      return Bad(what, text,
                 absl::StrCat("between dots stand 1–", kMaxTopicTokenSize, " of the characters A–Z, a–z, 0–9, _ and -",
                              wildcards ? ", or * or >" : ""));
    }
  }
  if (stars > kMaxStars) return Bad(what, text, absl::StrCat("it has ", stars, " *; at most ", kMaxStars));
  return absl::OkStatus();
}

std::vector<absl::string_view> Split(absl::string_view text) { return absl::StrSplit(text, '.'); }

// nullptr if it is none, or no string.
const std::string* StringMember(const Json& content, const char* name) {
  const auto member = content.find(name);
  return member != content.end() && member->is_string() ? &member->get_ref<const std::string&>() : nullptr;
}

}  // namespace

absl::StatusOr<Topic> Topic::Parse(absl::string_view text) {
  RETURN_IF_ERROR(CheckTokens("topic", text, false));
  return Topic(std::string(text));
}

std::vector<absl::string_view> Topic::tokens() const { return Split(text_); }

absl::StatusOr<TopicPattern> TopicPattern::Parse(absl::string_view text) {
  RETURN_IF_ERROR(CheckTokens("topic pattern", text, true));
  return TopicPattern(std::string(text));
}

std::vector<absl::string_view> TopicPattern::tokens() const { return Split(text_); }

bool TopicPattern::Matches(const Topic& topic) const {
  const std::vector<absl::string_view> wanted = tokens();
  const std::vector<absl::string_view> has = topic.tokens();
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (i == has.size()) return false;
    if (wanted[i] == kRest) return true;
    if (wanted[i] != kStar && wanted[i] != has[i]) return false;
  }
  return wanted.size() == has.size();
}

absl::StatusOr<Json> PublicationContent(const Topic& topic, Json content) {
  if (const auto other = content.find(kTopic); other != content.end() && *other != topic.text()) {
    return BadMessage("the content has a member `topic` of its own; the topic of the publication stands there");
  }
  content[kTopic] = topic.text();
  return content;
}

Json SubscriptionContent(const TopicPattern& pattern) { return {{kMethod, kTopicsMethod}, {kTopic, pattern.text()}}; }

bool IsPublication(const Message& message) { return PublicationTopic(message).ok(); }

absl::StatusOr<Topic> PublicationTopic(const Message& message) {
  if (message.type() != MessageType::kNotification) return BadMessage("a publication is a NOTIFICATION");
  if (message.sender() != message.recipient()) {
    return BadMessage(
        absl::StrCat("a publication's recipient is its sender, whose topic it is, not ", message.recipient().text()));
  }
  const std::string* topic = StringMember(message.content(), kTopic);
  if (topic == nullptr) return BadMessage("a publication's content has a member `topic`, a string");
  return Topic::Parse(*topic);
}

absl::StatusOr<TopicPattern> SubscriptionPattern(const Message& message) {
  const std::string* method = StringMember(message.content(), kMethod);
  const std::string* topic = StringMember(message.content(), kTopic);
  if (message.type() != MessageType::kRequest || method == nullptr || *method != kTopicsMethod || topic == nullptr ||
      message.content().size() != 2) {
    return BadMessage(R"(a subscription is a REQUEST whose content is {"method": "topics", "topic": PATTERN})");
  }
  return TopicPattern::Parse(*topic);
}

}  // namespace dotagent::record
