#include "services/gateway/negotiate.h"

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/base/config.h"
#include "common/base/status.h"
#include "common/capability/negotiation.h"
#include "common/capability/token.h"
#include "common/record/message.h"
#include "services/gateway/requests.h"

namespace dotagent::gateway_service {
namespace {

// A feature is named when an agent may have to do without it at another release. docs/protocol.md says what each is.
constexpr absl::string_view kVersions[] = {"1.0.0"};
constexpr absl::string_view kMessageVersions[] = {"1.0.0"};
constexpr absl::string_view kFeatures[] = {"ask",
                                           "attachments",
                                           "capability-tokens",
                                           "channels",
                                           "dead-letters",
                                           "durable-subscriptions",
                                           "inbox-policies",
                                           "requests",
                                           "rotation",
                                           "topics"};

}  // namespace

absl::StatusOr<gateway::v1::NegotiateResponse> Negotiate(const gateway::v1::NegotiateRequest& request,
                                                         const SpokenLimits& limits) {
  const std::vector<std::string> versions(request.versions().begin(), request.versions().end());
  const std::vector<std::string> required(request.required_features().begin(), request.required_features().end());
  gateway::v1::NegotiateResponse response;
  ASSIGN_OR_RETURN(*response.mutable_version(), capability::ChooseVersion("the gateway protocol", versions, kVersions));
  RETURN_IF_ERROR(capability::CheckFeatures(required, kFeatures));
  for (const absl::string_view version : kMessageVersions) response.add_message_versions(std::string(version));
  for (const absl::string_view feature : kFeatures) response.add_features(std::string(feature));
  response.set_release(Version());
  gateway::v1::GatewayLimits& told = *response.mutable_limits();
  told.set_message_bytes(record::kMaxMessageSize);
  told.set_attachment_bytes(record::kMaxAttachmentSize);
  told.set_token_bytes(capability::kMaxTokenSize);
  told.set_request_timeout_ms(static_cast<uint64_t>(absl::ToInt64Milliseconds(kMaxRequestTimeout)));
  told.set_inbox_messages(limits.inbox_messages);
  told.set_channels(limits.channels);
  told.set_subscriptions(limits.subscriptions);
  return response;
}

}  // namespace dotagent::gateway_service
