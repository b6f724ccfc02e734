// dotagent send, dotagent request, dotagent listen, dotagent dead-letters, dotagent inbox-policy.
#include <atomic>
#include <list>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "cli/command.h"
#include "cli/digest.h"
#include "cli/event_printer.h"
#include "cli/exit_status.h"
#include "cli/report.h"
#include "cli/token_tree.h"
#include "common/base/status.h"
#include "sdk/cpp/renewal.h"

namespace dotagent::cli {
namespace {

struct SendArguments {
  std::string recipient;
  std::string text;
  std::string content;
  std::string file;
  std::string media_type = "application/octet-stream";
  std::string type = "NOTIFICATION";
  std::string token;
  sdk::Priority priority = sdk::Priority::kNormal;
  bool seal = false;
};

absl::StatusOr<sdk::OutgoingMessage> MessageOf(const SendArguments& arguments) {
  sdk::OutgoingMessage message{.recipient = arguments.recipient,
                               .media_type = arguments.media_type,
                               .priority = arguments.priority,
                               .seal = arguments.seal};
  ASSIGN_OR_RETURN(message.type, record::ParseMessageType(arguments.type));
  if (!arguments.file.empty()) {
    ASSIGN_OR_RETURN(message.attachment, ReadInput(arguments.file, record::kMaxAttachmentSize));
  } else if (!arguments.content.empty()) {
    ASSIGN_OR_RETURN(message.content, record::ParseStrictJson(arguments.content));
  } else {
    message.content["text"] = arguments.text;
  }
  if (!arguments.token.empty()) {
    ASSIGN_OR_RETURN(message.token, ReadToken(arguments.token));
  }
  return message;
}

absl::StatusOr<int> Send(const Globals& globals, const SendArguments& arguments) {
  ASSIGN_OR_RETURN(const sdk::OutgoingMessage message, MessageOf(arguments));
  ASSIGN_OR_RETURN(const auto agent, globals.Connect());
  ASSIGN_OR_RETURN(const sdk::SentMessage sent, agent->Send(message));
  Report report;
  report.Add("id", "Sent", sent.message.id());
  report.Add("recipient", "To", sent.message.recipient().text());
  report.Add("duplicate", "", sent.duplicate);
  report.Add("sealed", arguments.seal ? "Sealed" : "", arguments.seal);
  report.Print(globals.json);
  return kOk;
}

// `content` is what the sender said; that of a sealed message is not in it.
void Describe(const record::Message& message, const record::Json& content, size_t attachment_bytes,
              nlohmann::ordered_json& event) {
  event["id"] = message.id();
  event["type"] = std::string(record::MessageTypeName(message.type()));
  event["sender"] = message.sender().text();
  event["content"] = content;
  event["sealed"] = record::IsSealed(message);
  event["attachment_bytes"] = attachment_bytes;
  event["message"] = nlohmann::ordered_json::parse(message.json());
}

absl::StatusOr<int> Request(const Globals& globals, const SendArguments& arguments) {
  ASSIGN_OR_RETURN(const sdk::OutgoingMessage message, MessageOf(arguments));
  ASSIGN_OR_RETURN(const auto agent, globals.Connect());
  ASSIGN_OR_RETURN(const sdk::AnsweredRequest answer,
                   agent->Request(message, absl::Seconds(static_cast<double>(globals.timeout_s))));
  if (globals.json) {
    nlohmann::ordered_json event;
    Describe(answer.message, answer.message.content(), answer.attachment.size(), event);
    std::puts(event.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace).c_str());
  } else {
    std::puts(Printable(answer.message.content().dump()).c_str());
  }
  return kOk;
}

struct PolicyArguments {
  std::string mode;
  std::vector<std::string> contacts;
  std::vector<std::string> guarded;
};

absl::StatusOr<int> SetInboxPolicy(const Globals& globals, const PolicyArguments& arguments) {
  sdk::InboxPolicy policy{.contacts = arguments.contacts, .guarded_methods = arguments.guarded};
  if (arguments.mode == "contacts") policy.mode = sdk::InboxMode::kContacts;
  if (arguments.mode == "capability") policy.mode = sdk::InboxMode::kCapability;
  ASSIGN_OR_RETURN(const auto agent, globals.Connect());
  RETURN_IF_ERROR(agent->SetInboxPolicy(policy));
  Report report;
  report.Add("name", "Inbox of", globals.name);
  report.Add("mode", "Mode", arguments.mode);
  report.Add("contacts", "Contacts", arguments.contacts);
  report.Add("guarded_methods", "Guarded", arguments.guarded);
  report.Print(globals.json);
  return kOk;
}

struct ListenArguments {
  uint64_t count = 0;
  uint64_t after = 0;
  std::string channels = "none";
  std::string requests = "none";
  bool require_token = false;
  bool no_ack = false;
  bool no_renew = false;
  ProofFiles proof;
  std::vector<std::string> former_keys;
};

// Answers channels, each on a thread of its own; at most kMaxChannels at a time, further callers are let wait at the
// gateway until their offer lapses.
class ChannelAnswerer {
 public:
  ChannelAnswerer(sdk::Agent& agent, bool digest, bool require_token, EventPrinter& printer)
      : agent_(agent), digest_(digest), require_token_(require_token), printer_(printer) {}
  ~ChannelAnswerer() {
    for (Worker& worker : workers_) worker.thread.join();
  }

  void Take(const sdk::ChannelOffer& offer) {
    {
      absl::MutexLock lock(&mutex_);
      mutex_.Await(absl::Condition(this, &ChannelAnswerer::HasRoom));
      ++running_;
    }
    workers_.remove_if([](Worker& worker) {
      if (!*worker.done) return false;
      worker.thread.join();
      return true;
    });
    auto done = std::make_shared<std::atomic<bool>>(false);
    workers_.push_back({std::thread([this, offer, done] {
                          Answer(offer);
                          *done = true;
                          absl::MutexLock lock(&mutex_);
                          --running_;
                        }),
                        done});
  }

 private:
  static constexpr int kMaxChannels = 16;
  struct Worker {
    std::thread thread;
    std::shared_ptr<std::atomic<bool>> done;
  };

  [[nodiscard]] bool HasRoom() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return running_ < kMaxChannels; }

  void Answer(const sdk::ChannelOffer& offer) {
    nlohmann::ordered_json event = {{"event", "channel"}, {"caller", offer.caller}};
    if (!offer.method.empty()) event["method"] = offer.method;
    const auto result = Serve(offer);
    if (result.ok()) {
      event["received"] = nlohmann::ordered_json::parse(*result);
      printer_.Print(event, absl::StrCat("channel from ", Printable(offer.caller), ": ", *result));
    } else {
      event["error"] = std::string(result.status().message());
      event["reason"] = ReasonOf(result.status());
      printer_.Print(event, absl::StrCat("channel from ", Printable(offer.caller),
                                         " failed: ", Printable(std::string(result.status().message()))));
    }
  }

  // Returns the digest of what came.
  [[nodiscard]] absl::StatusOr<std::string> Serve(const sdk::ChannelOffer& offer) {
    constexpr size_t kChunk = 256 * 1024;
    constexpr absl::Duration kGoodbye = absl::Seconds(10);
    ASSIGN_OR_RETURN(const auto channel, agent_.AcceptChannel(offer, require_token_));
    Digest digest;
    for (;;) {
      ASSIGN_OR_RETURN(const std::string data, channel->Read(kChunk));
      if (data.empty()) break;
      digest.Update(data);
      if (!digest_) RETURN_IF_ERROR(channel->Write(data));
    }
    std::string summary = digest.FinishAsJson();
    if (digest_) RETURN_IF_ERROR(channel->Write(summary));
    RETURN_IF_ERROR(channel->CloseWrite());
    RETURN_IF_ERROR(channel->Finish(kGoodbye));
    return summary;
  }

  sdk::Agent& agent_;
  const bool digest_;
  const bool require_token_;
  EventPrinter& printer_;
  absl::Mutex mutex_;
  int running_ ABSL_GUARDED_BY(mutex_) = 0;
  std::list<Worker> workers_;
};

// "NOTIFICATION from alice.agent, sealed: {…}"
std::string InWords(const record::Message& message, const record::Json& content) {
  return absl::StrCat(record::MessageTypeName(message.type()), " from ", message.sender().text(),
                      record::IsSealed(message) ? ", sealed: " : ": ", Printable(content.dump()));
}

void PrintMessage(const sdk::ReceivedMessage& received, EventPrinter& printer) {
  const record::Message& message = received.message;
  nlohmann::ordered_json event = {
      {"event", "message"}, {"sequence", received.sequence}, {"deliveries", received.deliveries}};
  Describe(message, received.content(), received.attachment.size(), event);
  printer.Print(event, InWords(message, received.content()));
}

void PrintRejected(const sdk::RejectedMessage& rejected, EventPrinter& printer) {
  const std::string why(rejected.why.message());
  nlohmann::ordered_json event = {{"event", "rejected"}, {"error", why}, {"reason", ReasonOf(rejected.why)}};
  if (!rejected.message) {
    printer.Print(event, absl::StrCat("refused a message: ", Printable(why)));
    return;
  }
  event["sequence"] = rejected.sequence;
  event["id"] = rejected.message->id();
  event["sender"] = rejected.message->sender().text();
  event["sealed"] = true;
  event["needs_former_key"] = rejected.needs_former_key;
  printer.Print(event, absl::StrCat("a message from ", rejected.message->sender().text(), " was not opened: ",
                                    Printable(why), rejected.needs_former_key ? " (--former-key)" : ""));
}

void PrintRequest(const sdk::ReceivedRequest& request, EventPrinter& printer) {
  const record::Message& message = request.message;
  nlohmann::ordered_json event = {{"event", "request"}};
  Describe(message, message.content(), request.attachment.size(), event);
  printer.Print(event, absl::StrCat("REQUEST from ", message.sender().text(),
                                    ", answered with what it says: ", Printable(message.content().dump())));
}

void PrintDeadLetter(const sdk::DeadLetter& letter, EventPrinter& printer) {
  const auto time = [](absl::Time at) { return absl::FormatTime(absl::RFC3339_sec, at, absl::UTCTimeZone()); };
  nlohmann::ordered_json event = {{"event", "dead_letter"},
                                  {"sequence", letter.sequence},
                                  {"why", letter.expired ? "expired" : "too many deliveries"},
                                  {"deliveries", letter.deliveries},
                                  {"died", time(letter.died)},
                                  {"kept_until", time(letter.expires)}};
  std::string text = absl::StrCat(time(letter.died), " ", letter.expired ? "expired" : "delivered too often", ", ",
                                  letter.deliveries, letter.deliveries == 1 ? " delivery: " : " deliveries: ");
  if (letter.message.ok()) {
    const record::Json& content = letter.opened ? *letter.opened : letter.message->content();
    Describe(*letter.message, content, letter.attachment.size(), event);
    absl::StrAppend(&text, InWords(*letter.message, content));
  }
  const absl::Status& refused = letter.message.ok() ? letter.unopened : letter.message.status();
  if (!refused.ok()) {
    event["error"] = std::string(refused.message());
    event["reason"] = ReasonOf(refused);
    absl::StrAppend(&text,
                    letter.message.ok() ? ", not opened: " : "refused: ", Printable(std::string(refused.message())));
  }
  printer.Print(event, text);
}

struct DeadLetterArguments {
  uint64_t after = 0;
  std::vector<std::string> former_keys;
};

absl::StatusOr<int> ListDeadLetters(const Globals& globals, const DeadLetterArguments& arguments) {
  ASSIGN_OR_RETURN(const auto agent, globals.Connect({}, arguments.former_keys));
  EventPrinter printer(globals.json);
  uint64_t after = arguments.after;
  while (true) {
    ASSIGN_OR_RETURN(const sdk::DeadLetters page, agent->ListDeadLetters(after));
    for (const sdk::DeadLetter& letter : page.letters) PrintDeadLetter(letter, printer);
    if (!page.more || page.letters.empty()) return kOk;
    after = page.letters.back().sequence;
  }
}

// The name stays registered for as long as its owner listens.
std::unique_ptr<sdk::Renewal> KeepRegistered(sdk::Agent& agent, EventPrinter& printer) {
  return sdk::Renewal::Start(agent, [&printer](const absl::StatusOr<record::Record>& renewed) {
    if (!renewed.ok()) {
      const std::string message(renewed.status().message());
      printer.Print({{"event", "not_renewed"}, {"error", message}, {"reason", ReasonOf(renewed.status())}},
                    absl::StrCat("the name could not be renewed: ", Printable(message)));
      return;
    }
    const std::string expires = absl::FormatTime(absl::RFC3339_sec, renewed->expires(), absl::UTCTimeZone());
    printer.Print({{"event", "renewed"}, {"name", renewed->name().text()}, {"expires", expires}},
                  absl::StrCat("renewed until ", expires));
  });
}

absl::StatusOr<int> Listen(const Globals& globals, const ListenArguments& arguments) {
  ASSIGN_OR_RETURN(const auto agent, globals.Connect(arguments.proof, arguments.former_keys));
  const bool takes_channels = arguments.channels != "none";
  ASSIGN_OR_RETURN(const auto inbox, agent->OpenInbox({.accept_channels = takes_channels,
                                                       .accept_requests = arguments.requests != "none",
                                                       .after_sequence = arguments.after}));
  EventPrinter printer(globals.json);
  ChannelAnswerer answerer(*agent, arguments.channels == "digest", arguments.require_token, printer);
  printer.Print({{"event", "listening"}, {"name", agent->name()}, {"pending", inbox->pending()}},
                absl::StrCat("listening as ", agent->name(), ", ", inbox->pending(), " waiting"));
  const auto renewal = arguments.no_renew ? nullptr : KeepRegistered(*agent, printer);
  for (uint64_t seen = 0; arguments.count == 0 || seen < arguments.count;) {
    ASSIGN_OR_RETURN(const sdk::InboxItem item, inbox->Next(absl::InfiniteDuration()));
    if (const auto* message = std::get_if<sdk::ReceivedMessage>(&item)) {
      PrintMessage(*message, printer);
      if (!arguments.no_ack) RETURN_IF_ERROR(inbox->Ack(message->sequence));
      ++seen;
    } else if (const auto* rejected = std::get_if<sdk::RejectedMessage>(&item)) {
      PrintRejected(*rejected, printer);
      // A request has no sequence.
      if (rejected->sequence > 0 && !arguments.no_ack && !rejected->undecided())
        RETURN_IF_ERROR(inbox->Ack(rejected->sequence));
    } else if (const auto* request = std::get_if<sdk::ReceivedRequest>(&item)) {
      PrintRequest(*request, printer);
      RETURN_IF_ERROR(inbox->Answer(*request, request->message.content()));
      ++seen;
    } else if (const auto* refused = std::get_if<sdk::RefusedAnswer>(&item)) {
      const std::string why(refused->why.message());
      printer.Print({{"event", "answer_refused"}, {"error", why}, {"reason", ReasonOf(refused->why)}},
                    absl::StrCat("an answer did not arrive: ", Printable(why)));
    } else {
      answerer.Take(std::get<sdk::ChannelOffer>(item));
      ++seen;
    }
  }
  return kOk;
}

void AddWhatToSend(CLI::App* command, SendArguments& arguments) {
  command->add_option("recipient", arguments.recipient, "Whom, such as bob.agent")->required();
  auto* text = command->add_option("text", arguments.text, "The text to send, as {\"text\": …}");
  auto* content = command->add_option("--content", arguments.content, "The content, a JSON object");
  auto* file = command->add_option("--file", arguments.file,
                                   "Bytes to send beside the message, at most 1 MiB; - is standard input");
  text->excludes(content, file);
  content->excludes(file);
  command->add_option("--media-type", arguments.media_type, "Of --file")->capture_default_str();
  command->add_option("--token", arguments.token, "File with a capability token, where the recipient asks for one");
  AddPriorityOption(command, &arguments.priority);
}

}  // namespace

void AddMessageCommands(CLI::App& app, Globals& globals, Chosen& chosen) {
  {
    auto arguments = std::make_shared<SendArguments>();
    CLI::App* command = AddCommand(&app, "send", "Send a signed message to another agent's inbox",
                                   {"dotagent send bob.agent hello --name alice.agent --key alice.pem",
                                    "dotagent send bob.agent --type REQUEST --content '{\"method\":\"ping\"}'",
                                    "dotagent send bob.agent --seal --file picture.png --media-type image/png"});
    AddWhatToSend(command, *arguments);
    command->add_option("--type", arguments->type, "REQUEST, RESPONSE, NOTIFICATION, STREAM or ERROR")
        ->capture_default_str();
    command->add_flag("--seal", arguments->seal,
                      "So that only the recipient can read it: not the gateways on the way, nor who gets their disks");
    command->callback(
        [&globals, &chosen, arguments] { chosen.run = [&globals, arguments] { return Send(globals, *arguments); }; });
  }
  {
    auto arguments = std::make_shared<SendArguments>();
    arguments->type = "REQUEST";
    CLI::App* command = AddCommand(&app, "request", "Ask another agent that listens for requests, and print its answer",
                                   {"dotagent request bob.agent --content '{\"method\":\"ping\"}'",
                                    "dotagent request bob.agent 'what time is it?' --timeout 5"});
    AddWhatToSend(command, *arguments);
    command->callback([&globals, &chosen, arguments] {
      chosen.run = [&globals, arguments] { return Request(globals, *arguments); };
    });
  }
  {
    auto arguments = std::make_shared<PolicyArguments>();
    CLI::App* command = AddCommand(
        &app, "inbox-policy", "Say who may write to --name and call it: everyone, contacts, or whoever shows a token",
        {"dotagent inbox-policy contacts --contact alice.agent --name bob.agent --key bob.pem",
         "dotagent inbox-policy open --guard calendar/events --name bob.agent --key bob.pem"});
    command->add_option("mode", arguments->mode, "open, contacts or capability (contacts, and whoever shows a token)")
        ->required()
        ->check(CLI::IsMember({"open", "contacts", "capability"}));
    command->add_option("--contact", arguments->contacts, "A name; repeatable");
    command->add_option("--guard", arguments->guarded,
                        "A method for which every REQUEST and every channel needs a token, whoever asks; repeatable");
    command->callback([&globals, &chosen, arguments] {
      chosen.run = [&globals, arguments] { return SetInboxPolicy(globals, *arguments); };
    });
  }
  {
    auto arguments = std::make_shared<DeadLetterArguments>();
    CLI::App* command = AddCommand(&app, "dead-letters", "Print messages that the gateway has given up delivering",
                                   {"dotagent dead-letters --name bob.agent --key bob.pem"});
    command->add_option("--after", arguments->after, "Begin behind this sequence")->capture_default_str();
    AddFormerKeyOption(command, &arguments->former_keys);
    command->callback([&globals, &chosen, arguments] {
      chosen.run = [&globals, arguments] { return ListDeadLetters(globals, *arguments); };
    });
  }
  {
    auto arguments = std::make_shared<ListenArguments>();
    CLI::App* command = AddCommand(&app, "listen", "Print messages as they come, and answer channels",
                                   {"dotagent listen --name bob.agent --key bob.pem",
                                    "dotagent listen --name bob.agent --key bob.pem --channels digest --json"});
    command
        ->add_option("--count", arguments->count,
                     "Stop after so many messages and channels; 0 goes on until interrupted")
        ->capture_default_str();
    command
        ->add_option("--channels", arguments->channels,
                     "What to do with channels: none, echo (send everything back), digest (answer with SHA-256, lines, "
                     "words, bytes)")
        ->check(CLI::IsMember({"none", "echo", "digest"}))
        ->capture_default_str();
    command
        ->add_option("--requests", arguments->requests,
                     "What to do with requests: none, echo (answer with what they say)")
        ->check(CLI::IsMember({"none", "echo"}))
        ->capture_default_str();
    command->add_flag("--require-token", arguments->require_token,
                      "Take only channels whose caller shows a capability token for them, checked here, whatever the "
                      "gateway says");
    command->add_flag("--no-ack", arguments->no_ack, "Leave the messages in the inbox");
    command->add_flag("--no-renew", arguments->no_renew, "Let the name's record run out");
    command->add_option("--after", arguments->after,
                        "The sequence of the last message that was dealt with: it and all before it are acknowledged "
                        "first");
    arguments->proof.AddTo(command);
    AddFormerKeyOption(command, &arguments->former_keys);
    command->callback(
        [&globals, &chosen, arguments] { chosen.run = [&globals, arguments] { return Listen(globals, *arguments); }; });
  }
}

}  // namespace dotagent::cli
