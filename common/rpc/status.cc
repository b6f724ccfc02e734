#include "common/rpc/status.h"

#include <string>

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
  return details.SerializeAsString();
}

std::string ReasonFromDetails(const std::string& bytes) {
  google::rpc::Status details;
  if (bytes.empty() || bytes.size() > kMaxDetails || !details.ParseFromString(bytes)) return {};
  for (const auto& detail : details.details()) {
    google::rpc::ErrorInfo info;
    if (detail.Is<google::rpc::ErrorInfo>() && detail.UnpackTo(&info) && info.domain() == kDomain) return info.reason();
  }
  return {};
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
  std::string why = ReasonFromDetails(status.error_details());
  // gRPC itself gives no reason when it cannot connect.
  if (why.empty() && code == absl::StatusCode::kUnavailable) why = std::string(reason::kUnreachable);
  return why.empty() ? absl::Status(code, status.error_message()) : ErrorWithReason(code, why, status.error_message());
}

absl::Status FromParts(int32_t code, absl::string_view message, absl::string_view reason) {
  constexpr size_t kMaxText = 1024;
  constexpr size_t kMaxReason = 64;
  const bool known = code > 0 && code <= static_cast<int32_t>(absl::StatusCode::kUnauthenticated);
  return ErrorWithReason(known ? static_cast<absl::StatusCode>(code) : absl::StatusCode::kUnknown,
                         reason.substr(0, kMaxReason), message.substr(0, kMaxText));
}

}  // namespace dotagent::rpc
