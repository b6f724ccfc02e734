// dotagent publish, dotagent subscribe.
#include <iostream>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cli/command.h"
#include "cli/event_printer.h"
#include "cli/exit_status.h"
#include "cli/report.h"
#include "cli/token_tree.h"
#include "common/base/status.h"

namespace dotagent::cli {
namespace {

struct PublishArguments {
  std::string topic;
  std::string text;
  std::string content;
  bool lines = false;
  sdk::Priority priority = sdk::Priority::kNormal;
};

void PrintPublished(const sdk::PublishedMessage& published, const std::string& topic, bool json) {
  Report report;
  report.Add("id", "Published", published.message.id());
  report.Add("topic", "Topic", topic);
  report.Add("sequence", "Number", published.sequence);
  report.Add("subscribers", "Subscribers here", published.subscribers);
  report.Add("gateways", "Other gateways", published.gateways);
  report.Print(json);
}

// Each line of standard input is a publication; says how many there were.
absl::StatusOr<int> PublishLines(sdk::Agent& agent, const PublishArguments& arguments, bool json) {
  uint64_t count = 0;
  uint64_t last = 0;
  for (std::string line; std::getline(std::cin, line); ++count) {
    ASSIGN_OR_RETURN(const sdk::PublishedMessage published,
                     agent.Publish(arguments.topic, {{"text", line}}, arguments.priority));
    last = published.sequence;
  }
  Report report;
  report.Add("topic", "Topic", arguments.topic);
  report.Add("count", "Published", count);
  report.Add("sequence", "Last number", last);
  report.Print(json);
  return kOk;
}

absl::StatusOr<int> Publish(const Globals& globals, const PublishArguments& arguments) {
  record::Json content = record::Json::object();
  if (!arguments.content.empty()) {
    ASSIGN_OR_RETURN(content, record::ParseStrictJson(arguments.content));
  } else {
    content["text"] = arguments.text;
  }
  if (!content.is_object()) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kBadMessage, "--content is not a JSON object");
  }
  ASSIGN_OR_RETURN(const auto agent, globals.Connect());
  if (arguments.lines) return PublishLines(*agent, arguments, globals.json);
  ASSIGN_OR_RETURN(const sdk::PublishedMessage published,
                   agent->Publish(arguments.topic, std::move(content), arguments.priority));
  PrintPublished(published, arguments.topic, globals.json);
  return kOk;
}

struct SubscribeArguments {
  std::string publisher;
  std::string pattern;
  std::string token;
  std::string durable;
  uint64_t count = 0;
};

void PrintPublication(const sdk::ReceivedPublication& received, EventPrinter& printer) {
  const record::Message& message = received.message;
  record::Json content = message.content();
  content.erase("topic");
  printer.Print({{"event", "publication"},
                 {"sequence", received.sequence},
                 {"topic", received.topic.text()},
                 {"publisher", message.sender().text()},
                 {"id", message.id()},
                 {"content", content},
                 {"message", nlohmann::ordered_json::parse(message.json())}},
                absl::StrCat(received.topic.text(), ": ", Printable(content.dump())));
}

void PrintMissed(const sdk::MissedPublications& missed, EventPrinter& printer) {
  const std::string cause(sdk::CauseName(missed.cause));
  using Cause = sdk::MissedPublications::Cause;
  const bool exact = missed.cause == Cause::kSlowSubscriber || missed.cause == Cause::kNotKept;
  std::string text = absl::StrCat("missed ", exact ? "" : "at most ", missed.count, ", numbers ", missed.first_sequence,
                                  " to ", missed.last_sequence, ": ", cause);
  if (missed.count == 0) text = absl::StrCat("missed nobody knows how many: ", cause);
  printer.Print({{"event", "missed"},
                 {"cause", cause},
                 {"count", missed.count},
                 {"first_sequence", missed.first_sequence},
                 {"last_sequence", missed.last_sequence}},
                text);
}

absl::StatusOr<int> Subscribe(const Globals& globals, const SubscribeArguments& arguments) {
  std::string token;
  if (!arguments.token.empty()) {
    ASSIGN_OR_RETURN(token, ReadToken(arguments.token));
  }
  ASSIGN_OR_RETURN(const auto agent, globals.Connect());
  ASSIGN_OR_RETURN(const auto subscription,
                   agent->Subscribe(arguments.publisher, arguments.pattern, token, arguments.durable));
  const auto acknowledge = [&](uint64_t cursor) { return cursor == 0 ? absl::OkStatus() : subscription->Ack(cursor); };
  EventPrinter printer(globals.json);
  printer.Print({{"event", "subscribed"},
                 {"publisher", arguments.publisher},
                 {"pattern", arguments.pattern},
                 {"sequence", subscription->sequence()}},
                absl::StrCat("subscribed to ", arguments.pattern, " of ", arguments.publisher));
  for (uint64_t seen = 0; arguments.count == 0 || seen < arguments.count;) {
    ASSIGN_OR_RETURN(const sdk::SubscriptionItem item, subscription->Next(absl::InfiniteDuration()));
    if (const auto* received = std::get_if<sdk::ReceivedPublication>(&item)) {
      PrintPublication(*received, printer);
      ++seen;
      RETURN_IF_ERROR(acknowledge(received->cursor));
    } else if (const auto* missed = std::get_if<sdk::MissedPublications>(&item)) {
      PrintMissed(*missed, printer);
    } else {
      const auto& rejected = std::get<sdk::RejectedPublication>(item);
      const absl::Status& why = rejected.why;
      RETURN_IF_ERROR(acknowledge(rejected.cursor));
      printer.Print({{"event", "rejected"}, {"error", std::string(why.message())}, {"reason", ReasonOf(why)}},
                    absl::StrCat("refused a publication: ", Printable(std::string(why.message()))));
    }
  }
  return kOk;
}

absl::StatusOr<int> ListSubscriptions(const Globals& globals) {
  ASSIGN_OR_RETURN(const auto agent, globals.Connect());
  ASSIGN_OR_RETURN(const std::vector<sdk::DurableSubscription> subscriptions, agent->ListSubscriptions());
  EventPrinter printer(globals.json);
  for (const sdk::DurableSubscription& one : subscriptions) {
    printer.Print(
        {{"name", one.name},
         {"subscriber", one.subscriber},
         {"publisher", one.publisher},
         {"pattern", one.pattern},
         {"waiting", one.waiting},
         {"waiting_bytes", one.waiting_bytes},
         {"not_kept", one.not_kept},
         {"open", one.open}},
        absl::StrCat(one.name, ": ", one.pattern, " of ", one.publisher, ", ", one.waiting, " waiting",
                     one.not_kept > 0 ? absl::StrCat(", ", one.not_kept, " not kept") : "", one.open ? ", open" : ""));
  }
  return kOk;
}

absl::StatusOr<int> Unsubscribe(const Globals& globals, const std::string& name) {
  ASSIGN_OR_RETURN(const auto agent, globals.Connect());
  RETURN_IF_ERROR(agent->Unsubscribe(name));
  Report report;
  report.Add("name", "Ended", name);
  report.Print(globals.json);
  return kOk;
}

}  // namespace

void AddTopicCommands(CLI::App& app, Globals& globals, Chosen& chosen) {
  {
    auto arguments = std::make_shared<PublishArguments>();
    CLI::App* command =
        AddCommand(&app, "publish", "Publish on a topic of --name, to whoever subscribes to it now",
                   {"dotagent publish prices.eu 'gas 42' --name alice.agent --key alice.pem",
                    "dotagent publish prices.eu --content '{\"gas\":42}' --name alice.agent --key alice.pem",
                    "tail -f log | dotagent publish logs.web --lines --name alice.agent --key alice.pem"});
    command->add_option("topic", arguments->topic, "1 to 16 words with dots between, such as prices.eu")->required();
    AddPriorityOption(command, &arguments->priority);
    auto* text = command->add_option("text", arguments->text, "The text to publish, as {\"text\": …}");
    auto* content = command->add_option("--content", arguments->content, "The content, a JSON object");
    auto* lines = command->add_flag("--lines", arguments->lines, "Publish each line of standard input, as a text");
    text->excludes(content, lines);
    content->excludes(lines);
    command->callback([&globals, &chosen, arguments] {
      chosen.run = [&globals, arguments] { return Publish(globals, *arguments); };
    });
  }
  {
    auto arguments = std::make_shared<SubscribeArguments>();
    CLI::App* command =
        AddCommand(&app, "subscribe", "Print another agent's publications as they come, and what was missed",
                   {"dotagent subscribe alice.agent 'prices.>' --name bob.agent --key bob.pem",
                    "dotagent subscribe alice.agent 'prices.*' --count 10 --json --name bob.agent --key bob.pem"});
    command->add_option("publisher", arguments->publisher, "Whose, such as alice.agent")->required();
    command
        ->add_option("pattern", arguments->pattern,
                     "Which topics: * stands for one word, > at the end for one or more; quote it for your shell")
        ->required();
    command->add_option("--count", arguments->count, "Stop after so many publications; 0 goes on until interrupted")
        ->capture_default_str();
    command->add_option("--token", arguments->token, "File with a capability token, where the publisher asks for one");
    command->add_option("--durable", arguments->durable,
                        "Name of a durable subscription: the gateway keeps what comes while this does not run, until "
                        "`dotagent unsubscribe`");
    command->callback([&globals, &chosen, arguments] {
      chosen.run = [&globals, arguments] { return Subscribe(globals, *arguments); };
    });
  }
  {
    CLI::App* command =
        AddCommand(&app, "subscriptions", "List the durable subscriptions that the gateway keeps for a key",
                   {"dotagent subscriptions --name bob.agent --key bob.pem"});
    command->callback([&globals, &chosen] { chosen.run = [&globals] { return ListSubscriptions(globals); }; });
  }
  {
    auto name = std::make_shared<std::string>();
    CLI::App* command = AddCommand(&app, "unsubscribe", "End a durable subscription, and forget what waits in it",
                                   {"dotagent unsubscribe prices --name bob.agent --key bob.pem"});
    command->add_option("durable", *name, "The name that `dotagent subscribe --durable` gave it")->required();
    command->callback(
        [&globals, &chosen, name] { chosen.run = [&globals, name] { return Unsubscribe(globals, *name); }; });
  }
}

}  // namespace dotagent::cli
