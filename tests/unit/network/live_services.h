// The services as they run, in one process, on real ports: three resolvers, a relay, and gateways as they are asked
// for.
#ifndef DOTAGENT_TESTS_UNIT_NETWORK_LIVE_SERVICES_H_
#define DOTAGENT_TESTS_UNIT_NETWORK_LIVE_SERVICES_H_

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "services/gateway/gateway_service.h"
#include "services/relay/relay_service.h"
#include "services/resolver/resolver_service.h"

namespace dotagent {

class LiveServices : public testing::Test {
 protected:
  void SetUp() override {
    for (int i = 0; i < 3; ++i) {
      resolver_service::Options options;
      options.host = HostAt(absl::StrCat("resolver-", i));
      if (i > 0) options.bootstrap = {services_[0]->host().p2p_addresses()[0]};
      Keep(resolver_service::Start(options));
    }
    relay_service::Options relay;
    relay.host = HostAt("relay");
    Keep(relay_service::Start(relay));
  }

  void TearDown() override {
    gateways_.clear();
    while (!services_.empty()) services_.pop_back();
    std::filesystem::remove_all(folder_);
  }

  [[nodiscard]] host::HostOptions HostAt(const std::string& name) const {
    return {.data_dir = absl::StrCat(folder_, "/", name), .drain_grace = absl::Seconds(1)};
  }

  // Returns its gRPC address. `hidden`: it listens nowhere, so that others reach it through the relay only.
  std::string StartGateway(const std::string& name, bool hidden) {
    gateway_service::Options options;
    options.host = HostAt(name);
    options.resolver = services_[1]->host().grpc_address();
    if (hidden) {
      options.host.p2p_listen = "";
      options.relays = {services_[3]->host().p2p_addresses()[0]};
    }
    auto started = gateway_service::Start(options);
    EXPECT_TRUE(started.ok()) << started.status();
    if (!started.ok()) return "";
    return (gateways_[name] = *std::move(started))->host().grpc_address();
  }
  // Drains, as at SIGTERM.
  void StopGateway(const std::string& name) { gateways_.erase(name); }

 private:
  void Keep(absl::StatusOr<std::unique_ptr<host::Service>> service) {
    ASSERT_TRUE(service.ok()) << service.status();
    services_.push_back(*std::move(service));
  }

  const std::string folder_ = absl::StrCat(testing::TempDir(), "live-services-", getpid());
  std::vector<std::unique_ptr<host::Service>> services_;
  std::map<std::string, std::unique_ptr<host::Service>> gateways_;
};

}  // namespace dotagent

#endif  // DOTAGENT_TESTS_UNIT_NETWORK_LIVE_SERVICES_H_
