// Alice, who has a token of Bob's with so many uses, and spends it while identity, which counts them, is killed
// (spending_kill_test.py): what she is told goes to standard output, a line each.
//
//   spender GATEWAY KEY_FILE TOKEN_FILE TIME NUMBER…
//
// Sends each NUMBER as a REQUEST to Bob's inbox, eight at the same time, once and without the SDK's second try. Request
// n has the id "n" and is dated TIME (Unix seconds), so that it has the same bytes whenever it is sent. Prints "ready",
// then "taken N", "again N" (it had come before), "refused N" (the token's uses are used up), or "unknown N" if
// somebody on the way could not be reached: it may have been counted or not. Any other answer is an error.
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "common/base/bytes.h"
#include "common/base/status.h"
#include "common/crypto/key_file.h"
#include "common/crypto/private_file.h"
#include "common/record/message.h"
#include "sdk/cpp/gateway_client.h"

namespace dotagent::sdk {
namespace {

constexpr int kInFlight = 8;
constexpr size_t kMaxTokenFile = 16 * 1024;

[[noreturn]] void Fail(absl::string_view what) {
  std::fprintf(stderr, "spender: %.*s\n", static_cast<int>(what.size()), what.data());
  std::_Exit(1);
}

void Say(const std::string& line) {
  static absl::Mutex mutex(absl::kConstInit);
  const absl::MutexLock lock(&mutex);
  std::puts(line.c_str());
  std::fflush(stdout);
}

template <typename T>
T OrFail(absl::StatusOr<T> result) {
  if (!result.ok()) Fail(result.status().ToString());
  return *std::move(result);
}

std::string TokenIn(const std::string& path) {
  const crypto::SecretBytes text = OrFail(crypto::ReadPrivateFile(path, kMaxTokenFile));
  return OrFail(Base64Decode(absl::StripAsciiWhitespace(text.view())));
}

// A word for what became of it.
std::string Spend(GatewayClient& client, const std::string& token, absl::Time dated, uint64_t number) {
  record::MessageFields fields{.id = absl::StrCat(number),
                               .type = record::MessageType::kRequest,
                               .sender = "alice.agent",
                               .recipient = "bob.agent",
                               .timestamp = dated};
  fields.content["method"] = "calendar";
  gateway::v1::SendRequest request;
  request.set_message_json(OrFail(record::Message::Sign(fields, client.key())).json());
  request.set_token(token);
  gateway::v1::SendResponse response;
  const absl::Status sent =
      client.Run([&](grpc::ClientContext& context) { return client.stub().Send(&context, request, &response); });
  if (sent.ok()) return response.duplicate() ? "again" : "taken";
  if (ReasonOf(sent) == reason::kUsedUp) return "refused";
  if (!absl::IsUnavailable(sent) && !absl::IsDeadlineExceeded(sent) && !absl::IsCancelled(sent)) Fail(sent.ToString());
  return "unknown";
}

int SpendAll(const std::vector<std::string>& arguments) {
  const auto number = [&](size_t i) { return std::strtoull(arguments[i].c_str(), nullptr, 10); };
  const auto client = OrFail(GatewayClient::Connect(
      {.gateway = arguments[0], .known_nodes = ""},
      std::make_shared<const crypto::SigningKey>(OrFail(crypto::ReadKeyFile(arguments[1], std::nullopt)))));
  const std::string token = TokenIn(arguments[2]);
  const absl::Time dated = absl::FromUnixSeconds(static_cast<int64_t>(number(3)));
  Say("ready");
  std::atomic<size_t> next = 4;
  std::vector<std::thread> threads;
  for (int i = 0; i < kInFlight; ++i) {
    threads.emplace_back([&] {
      for (size_t at = next++; at < arguments.size(); at = next++) {
        Say(absl::StrCat(Spend(*client, token, dated, number(at)), " ", number(at)));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return 0;
}

}  // namespace
}  // namespace dotagent::sdk

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments.size() < 5) {
    std::fputs("usage: spender GATEWAY KEY_FILE TOKEN_FILE TIME NUMBER...\n", stderr);
    return 2;
  }
  return dotagent::sdk::SpendAll(arguments);
}
