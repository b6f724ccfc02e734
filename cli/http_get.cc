#include "cli/http_get.h"

#include <asio/ip/tcp.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace dotagent::cli {
namespace {
constexpr size_t kMaxAnswer = 1024 * 1024;
}  // namespace

absl::StatusOr<std::string> HttpGet(absl::string_view address, absl::string_view path, absl::Duration timeout) {
  const size_t colon = address.rfind(':');
  if (colon == absl::string_view::npos || colon == 0 || colon + 1 == address.size()) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kBadAddress,
                           absl::StrCat("'", address, "' is not host:port"));
  }
  asio::ip::tcp::iostream stream;
  stream.expires_after(absl::ToChronoMilliseconds(timeout));  // for all of it
  stream.connect(std::string(address.substr(0, colon)), std::string(address.substr(colon + 1)));
  stream << "GET " << path << " HTTP/1.1\r\nHost: " << address << "\r\n\r\n" << std::flush;
  std::string answer(kMaxAnswer, '\0');
  stream.read(answer.data(), static_cast<std::streamsize>(answer.size()));
  answer.resize(static_cast<size_t>(stream.gcount()));
  const size_t body = answer.find("\r\n\r\n");
  if (body == std::string::npos) {
    return ErrorWithReason(absl::StatusCode::kUnavailable, reason::kUnreachable,
                           absl::StrCat("no answer from http://", address, path, ": ",
                                        stream.error() ? stream.error().message() : "it closed the connection",
                                        "; is it the service's --http-listen?"));
  }
  if (!absl::StartsWith(answer, "HTTP/1.1 200 ")) {
    return absl::FailedPreconditionError(
        absl::StrCat("http://", address, path, " answers ", answer.substr(0, answer.find("\r\n"))));
  }
  return answer.substr(body + 4);
}

}  // namespace dotagent::cli
