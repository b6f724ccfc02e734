#include "common/rpc/status.h"

#include <optional>
#include <string>

#include "absl/time/time.h"
#include "common/base/retry_after.h"
#include "common/base/status.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace dotagent::rpc {
namespace {

constexpr char kDomain[] = "dotagent.dev";
constexpr size_t kMaxDetails = 8 * 1024;  // what is believed of a peer's details

std::string EncodeDetails(const absl::Status& status, const std::string& why) {
  google::rpc::ErrorInfo info;
  info.set_reason(why);
  info.set_domain(kDomain);
  google::rpc::Status details;
  details.set_code(status.raw_code());
  details.set_message(std::string(status.message()));
  details.add_details()->PackFrom(info);
  if (const auto after = RetryAfterOf(status)) {
    google::rpc::RetryInfo retry;
    const absl::Duration whole = absl::Floor(*after, absl::Seconds(1));
    retry.mutable_retry_delay()->set_seconds(absl::ToInt64Seconds(whole));
    retry.mutable_retry_delay()->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(*after - whole)));
    details.add_details()->PackFrom(retry);
  }
  return details.SerializeAsString();
}

struct Details {
  std::string reason;
  std::optional<absl::Duration> retry_after;
};

Details DecodeDetails(const std::string& bytes) {
  Details decoded;
  google::rpc::Status details;
  if (bytes.empty() || bytes.size() > kMaxDetails || !details.ParseFromString(bytes)) return decoded;
  for (const auto& detail : details.details()) {
    google::rpc::ErrorInfo info;
    google::rpc::RetryInfo retry;
    if (detail.Is<google::rpc::ErrorInfo>() && detail.UnpackTo(&info) && info.domain() == kDomain) {
      if (decoded.reason.empty()) decoded.reason = info.reason();
    } else if (detail.Is<google::rpc::RetryInfo>() && detail.UnpackTo(&retry)) {
      const auto& delay = retry.retry_delay();
      decoded.retry_after = absl::Seconds(delay.seconds()) + absl::Nanoseconds(delay.nanos());
    }
  }
  return decoded;
}

}  // namespace

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  // The codes of absl and gRPC are the same numbers.
  const auto code = static_cast<grpc::StatusCode>(status.raw_code());
  const std::string why = ReasonOf(status);
  return why.empty() ? grpc::Status(code, std::string(status.message()))
                     : grpc::Status(code, std::string(status.message()), EncodeDetails(status, why));
}

absl::Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  const auto code = static_cast<absl::StatusCode>(status.error_code());
  auto [why, retry_after] = DecodeDetails(status.error_details());
  // gRPC itself gives no reason when it cannot connect.
  if (why.empty() && code == absl::StatusCode::kUnavailable) why = std::string(reason::kUnreachable);
  absl::Status error =
      why.empty() ? absl::Status(code, status.error_message()) : ErrorWithReason(code, why, status.error_message());
  return retry_after ? WithRetryAfter(std::move(error), *retry_after) : error;
}

}  // namespace dotagent::rpc
