#include "services/host/host.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/crypto/peer_id.h"
#include "services/host/profile.h"
#include "services/host/ready_file.h"
#include "tests/unit/p2p/fixtures.h"

namespace dotagent::host {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr uint32_t kSchema = 1;

class HostTest : public testing::Test {
 protected:
  HostTest() {
    std::string folder = testing::TempDir() + "/host_test_XXXXXX";
    EXPECT_NE(mkdtemp(folder.data()), nullptr);
    folder_ = folder;
    options_.data_dir = folder_ + "/data";
    options_.drain_grace = absl::Seconds(1);
  }
  ~HostTest() override { std::filesystem::remove_all(folder_); }

  std::unique_ptr<Host> Create() {
    auto host = Host::Create("resolver", options_, kSchema);
    EXPECT_TRUE(host.ok()) << host.status();
    return *std::move(host);
  }
  // The first line of what the operators' port answers.
  static std::string Get(const std::string& address, const std::string& path) {
    int port = 0;
    EXPECT_TRUE(absl::SimpleAtoi(address.substr(address.rfind(':') + 1), &port));
    sockaddr_in target{};
    target.sin_family = AF_INET;
    target.sin_port = htons(static_cast<uint16_t>(port));
    target.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    std::string answer;
    if (connect(fd, reinterpret_cast<sockaddr*>(&target), sizeof(target)) == 0) {
      const std::string request = absl::StrCat("GET ", path, " HTTP/1.1\r\n\r\n");
      EXPECT_EQ(send(fd, request.data(), request.size(), MSG_NOSIGNAL), static_cast<ssize_t>(request.size()));
      shutdown(fd, SHUT_WR);
      char buffer[4096];
      for (ssize_t got = 0; (got = recv(fd, buffer, sizeof(buffer), 0)) > 0;) {
        answer.append(buffer, static_cast<size_t>(got));
      }
    }
    close(fd);
    return answer.substr(0, answer.find('\r'));
  }

  std::string folder_;
  HostOptions options_;
};

TEST_F(HostTest, KeepsItsKeyInAFolderOfItsOwn) {
  const std::string id = crypto::PeerIdFromKey(Create()->key().public_key());
  struct stat info {};
  ASSERT_EQ(stat(options_.data_dir.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700U);
  ASSERT_EQ(stat((options_.data_dir + "/node.pem").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600U);
  EXPECT_EQ(crypto::PeerIdFromKey(Create()->key().public_key()), id);
}

TEST_F(HostTest, ServesAndSaysWhere) {
  options_.ready_file = folder_ + "/ready.json";
  const auto host = Create();
  ASSERT_TRUE(host->Serve({}).ok());
  const auto ready = nlohmann::json::parse(std::ifstream(options_.ready_file));
  EXPECT_EQ(ready.at("peer_id"), crypto::PeerIdFromKey(host->key().public_key()));
  EXPECT_EQ(ready.at("grpc"), host->grpc_address());
  EXPECT_EQ(ready.at("http"), host->http_address());
  ASSERT_EQ(ready.at("p2p").size(), 1U);
  EXPECT_THAT(ready.at("p2p").at(0).get<std::string>(), StartsWith("/ip4/127.0.0.1/tcp/"));
  EXPECT_EQ(Get(host->http_address(), "/readyz"), "HTTP/1.1 200 OK");

  const auto channel = *host->Dial(host->grpc_address());
  ASSERT_TRUE(channel->WaitUntilReady(absl::Seconds(20)).ok());
  EXPECT_EQ(channel->server()->node_key, host->key().public_key());

  int finished = 0;
  const auto finish = [&](absl::Duration left) {
    ++finished;
    EXPECT_GT(left, absl::ZeroDuration());
    EXPECT_LE(left, options_.drain_grace);
    EXPECT_EQ(Get(ready.at("http"), "/readyz"), "HTTP/1.1 503 Service Unavailable");
  };
  host->Drain(finish);
  EXPECT_EQ(Get(ready.at("http"), "/livez"), "");
  host->Drain(finish);
  EXPECT_EQ(finished, 1);
}

TEST_F(HostTest, PortsInUseAreNamed) {
  const auto first = Create();
  ASSERT_TRUE(first->Serve({}).ok());
  options_.data_dir = folder_ + "/second";
  for (std::string HostOptions::*option : {&HostOptions::grpc_listen, &HostOptions::http_listen}) {
    HostOptions options = options_;
    options.*option = option == &HostOptions::grpc_listen ? first->grpc_address() : first->http_address();
    auto second = Host::Create("resolver", options, kSchema);
    ASSERT_TRUE(second.ok()) << second.status();
    const absl::Status status = (*second)->Serve({});
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
    EXPECT_THAT(status.message(), HasSubstr(options.*option));
  }
}

TEST_F(HostTest, BadSurroundingsAreOneLine) {
  const auto first = Create();
  EXPECT_EQ(Host::Create("resolver", options_, kSchema).status().code(), absl::StatusCode::kFailedPrecondition);

  HostOptions options = options_;
  std::ofstream(folder_ + "/file") << "x";
  options.data_dir = folder_ + "/file/data";
  EXPECT_THAT(Host::Create("resolver", options, kSchema).status().message(), HasSubstr(options.data_dir));

  options = options_;
  options.data_dir = folder_ + "/third";
  options.grpc_listen = "nowhere";
  EXPECT_EQ((*Host::Create("resolver", options, kSchema))->Serve({}).code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(HostTest, AReadyFileThatCannotBeWrittenIsAnError) {
  const absl::Status status = WriteReadyFile(folder_ + "/none/ready", {});
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(status.message(), HasSubstr("/none/ready"));
}

TEST_F(HostTest, WrongUsageAndHelpHaveTheirExitStatus) {
  const auto run = [](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "dotagent-test");
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    HostOptions options;
    return RunService(
        static_cast<int>(argv.size()), argv.data(), "test", "Tests.", options, [](OptionTable&) {},
        []() -> absl::StatusOr<std::unique_ptr<Service>> { return absl::UnavailableError("no port"); });
  };
  testing::internal::CaptureStdout();
  EXPECT_EQ(run({"--help"}), 0);
  EXPECT_THAT(testing::internal::GetCapturedStdout(), HasSubstr("DOTAGENT_GRPC_LISTEN; default: 127.0.0.1:0"));
  testing::internal::CaptureStderr();
  EXPECT_EQ(run({"--nope"}), 2);
  EXPECT_EQ(run({"--log-level=loud"}), 2);
  EXPECT_EQ(run({}), 1);
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("dotagent-test: no port\n"));
}

TEST_F(HostTest, LimitsOfThePublicPortAreChecked) {
  const auto refusal = [&](const std::function<void(HostOptions&)>& change) {
    HostOptions options = options_;
    change(options);
    const auto host = Host::Create("resolver", options, kSchema);
    EXPECT_EQ(ReasonOf(host.status()), host.ok() ? "" : reason::kLimit);
    return std::string(host.status().message());
  };
  EXPECT_THAT(refusal([](HostOptions& o) { o.newcomers.share = 0; }), HasSubstr("--p2p-newcomer-share"));
  EXPECT_THAT(refusal([](HostOptions& o) { o.newcomers.share = 1.5; }), HasSubstr("--p2p-newcomer-share"));
  EXPECT_THAT(refusal([](HostOptions& o) { o.newcomers.connections_per_second = -1; }),
              HasSubstr("--p2p-connect-rate"));
  EXPECT_THAT(refusal([](HostOptions& o) { o.newcomers.connection_burst = 0; }), HasSubstr("--p2p-connect-burst"));
  EXPECT_THAT(refusal([](HostOptions& o) { o.p2p_cookie_bits = 29; }), HasSubstr("--p2p-cookie-bits"));
  EXPECT_THAT(refusal([](HostOptions& o) { o.profile = "huge"; }), HasSubstr("--profile huge"));
}

// What a peer can send to a host of that profile on a stream that nobody reads, of `size` bytes.
double TakenUnread(HostOptions options, const std::string& profile, size_t size, double at_least) {
  const std::string argument = "--profile=" + profile;
  const char* const argv[] = {"dotagent-test", argument.c_str()};
  OptionTable table("dotagent-test", "Tests.");
  options.AddTo(table);
  EXPECT_TRUE(table.Parse(2, argv).value_or(false));
  options.data_dir += "-" + profile;
  auto host = Host::Create("resolver", options, kSchema);
  EXPECT_EQ(host.status(), absl::OkStatus());
  std::shared_ptr<p2p::Stream> unread;
  (*host)->loop().Run([&] {
    (*host)->node().Serve("/test/hold/1", [&](std::shared_ptr<p2p::Stream> stream) { unread = std::move(stream); });
    (*host)->node().ServeCalls("/test/echo/1", 10,
                               [](const auto&, const std::string& request, auto respond) { respond(request); });
  });
  const auto address = p2p::Multiaddr::Parse((*host)->p2p_addresses().at(0));
  p2p::Loop loop;
  p2p::TestNode peer(loop);
  const p2p::PeerAddress to{(*host)->key().public_key(), {*address}};
  auto stream = peer.Open(to, "/test/hold/1");
  EXPECT_EQ(stream.status(), absl::OkStatus());
  EXPECT_EQ(peer.Write(*stream, std::string(size, 'x')), absl::OkStatus());
  telemetry::Counter& received =
      (*host)->metrics().AddCounter("dotagent_p2p_bytes_total", "", {{"direction", "received"}});
  EXPECT_TRUE(p2p::Eventually(loop, [&] { return received.Value() >= at_least; }));
  // What may be sent goes before the second of two calls, one after the other, at the latest.
  EXPECT_EQ(*peer.Call(to, "one"), "one");
  EXPECT_EQ(*peer.Call(to, "two"), "two");
  const double taken = received.Value();
  loop.Run([&] { stream = absl::UnavailableError("done with"); });
  (*host)->loop().Run([&] { unread = nullptr; });
  return taken;
}

TEST_F(HostTest, TheProfilesWindowsAreThoseOfThePublicPort) {
  constexpr size_t kSize = 200'000;
  constexpr double kEdge = 32 * 1024;
  constexpr double kAround = 8 * 1024;  // the handshake, frames, calls
  EXPECT_LT(TakenUnread(options_, "edge", kSize, kEdge), kEdge + kAround);
  EXPECT_GE(TakenUnread(options_, "standard", kSize, kSize), kSize);
}

TEST_F(HostTest, OnABatteryBackgroundWorkWaitsLonger) {
  const std::string battery = folder_ + "/power/BAT0";
  std::filesystem::create_directories(battery);
  std::ofstream(battery + "/type") << "Battery\n";
  std::ofstream(battery + "/status") << "Discharging\n";
  options_.power_folder = folder_ + "/power";
  options_.battery_factor = 3;
  EXPECT_EQ(Create()->stretch(), 3);
  std::ofstream(battery + "/status") << "Charging\n";
  EXPECT_EQ(Create()->stretch(), 1);
}

TEST(ProfileTest, EachIsLargerThanTheOneBefore) {
  std::optional<Profile> smaller;
  for (const char* name : {"edge", "standard", "server"}) {
    const auto profile = FindProfile(name);
    ASSERT_EQ(profile.status(), absl::OkStatus());
    EXPECT_EQ(profile->name, name);
    EXPECT_LE(profile->windows.stream, profile->windows.max_stream);
    EXPECT_LE(profile->windows.connection, profile->windows.max_connection);
    EXPECT_LE(profile->max_handshakes, profile->max_connections);
    if (smaller) {
      EXPECT_GT(profile->max_connections, smaller->max_connections);
      EXPECT_GT(profile->windows.growth_in_all, smaller->windows.growth_in_all);
      EXPECT_GT(profile->cached_records, smaller->cached_records);
      EXPECT_GT(profile->token_cache_bytes, smaller->token_cache_bytes);
      EXPECT_GT(profile->session_idle_timeout, smaller->session_idle_timeout);
      EXPECT_LE(profile->bucket_refresh_interval, smaller->bucket_refresh_interval);
    }
    smaller = *profile;
  }
}

}  // namespace
}  // namespace dotagent::host
