// An agent that heeds nothing (abuse_test.py): sends as fast as it can, whatever it is told, until it is quarantined.
//
//   flooder GATEWAY FOLDER NAME RECIPIENT
//
// Its key is FOLDER/NAME.pem, its name NAME.agent. Prints "first REASON RETRY_MS" for each reason that it hears for the
// first time ("TAKEN 0" for a message that was taken, "THROTTLED" where that is why it may not go faster), and ends
// with "sent N taken M".
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/abuse/refusal.h"
#include "common/base/retry_after.h"
#include "common/base/status.h"
#include "common/crypto/key_file.h"
#include "sdk/cpp/agent.h"

namespace dotagent::sdk {
namespace {

constexpr absl::Duration kPatience = absl::Minutes(2);

[[noreturn]] void Fail(absl::string_view what) {
  std::fprintf(stderr, "flooder: %.*s\n", static_cast<int>(what.size()), what.data());
  std::_Exit(1);
}

int Flood(const std::string& gateway, const std::string& folder, const std::string& name,
          const std::string& recipient) {
  auto key = crypto::ReadKeyFile(absl::StrCat(folder, "/", name, ".pem"), std::nullopt);
  if (!key.ok()) Fail(key.status().ToString());
  const auto agent = Agent::Connect({.gateway = {.gateway = gateway}, .name = absl::StrCat(name, ".agent")},
                                    std::make_shared<const crypto::SigningKey>(*std::move(key)));
  if (!agent.ok()) Fail(agent.status().ToString());
  std::set<std::string> heard;
  uint64_t sent = 0;
  uint64_t taken = 0;
  for (const absl::Time end = absl::Now() + kPatience;
       absl::Now() < end && !heard.contains(std::string(abuse::kQuarantined)); ++sent) {
    const absl::Status status = (*agent)->Send({.recipient = recipient}).status();
    if (status.ok()) ++taken;
    const bool throttled = absl::StrContains(status.message(), "is throttled");
    const std::string why = status.ok() ? "TAKEN" : throttled ? "THROTTLED" : ReasonOf(status);
    if (!heard.insert(why).second) continue;
    const absl::Duration retry = RetryAfterOf(status).value_or(absl::ZeroDuration());
    std::printf("first %s %lld\n", why.c_str(), static_cast<long long>(absl::ToInt64Milliseconds(retry)));
    std::fflush(stdout);
  }
  std::printf("sent %llu taken %llu\n", static_cast<unsigned long long>(sent), static_cast<unsigned long long>(taken));
  return heard.contains(std::string(abuse::kQuarantined)) ? 0 : 1;
}

}  // namespace
}  // namespace dotagent::sdk

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fputs("usage: flooder GATEWAY FOLDER NAME RECIPIENT\n", stderr);
    return 2;
  }
  return dotagent::sdk::Flood(argv[1], argv[2], argv[3], argv[4]);
}
