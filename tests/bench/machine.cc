#include "tests/bench/machine.h"

#include <google/protobuf/stubs/common.h>
#include <grpcpp/grpcpp.h>
#include <rocksdb/version.h>
#include <sodium.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace dotagent::bench {
namespace {

std::string ReadFirst(const std::string& path, const std::string& prefix) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (line.rfind(prefix, 0) != 0) continue;
    const size_t colon = line.find(':');
    return std::string(absl::StripAsciiWhitespace(colon == std::string::npos ? line : line.substr(colon + 1)));
  }
  return "unknown";
}

std::string Run(const std::string& command) {
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command.c_str(), "r"), pclose);
  std::string output;
  char piece[256];
  while (pipe != nullptr && fgets(piece, sizeof piece, pipe.get()) != nullptr) output += piece;
  return std::string(absl::StripAsciiWhitespace(output));
}

std::string Commit() {
  const std::string git = absl::StrCat("git -C '", DOTAGENT_SOURCE_DIR, "' ");
  const std::string commit = Run(git + "rev-parse --short=12 HEAD 2>/dev/null");
  if (commit.empty()) return "unknown";
  return commit + (Run(git + "status --porcelain -- ':!docs' 2>/dev/null").empty() ? "" : " and changes");
}

}  // namespace

std::vector<std::pair<std::string, std::string>> DescribeMachine() {
  utsname kernel{};
  uname(&kernel);
  double load[1] = {};
  getloadavg(load, 1);
  const int64_t memory = int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGE_SIZE);
  return {
      {"processor", ReadFirst("/proc/cpuinfo", "model name")},
      {"cores", absl::StrCat(sysconf(_SC_NPROCESSORS_ONLN))},
      {"memory", absl::StrCat((memory + (int64_t{1} << 29)) >> 30, " GiB")},
      {"system",
       absl::StrCat(std::string(absl::StripSuffix(
                        absl::StripPrefix(ReadFirst("/etc/os-release", "PRETTY_NAME"), "PRETTY_NAME=\""), "\"")),
                    ", ", kernel.sysname, " ", kernel.release, " ", kernel.machine)},
      {"compiler", absl::StrCat("g++ ", __VERSION__)},
      {"libraries",
       absl::StrCat("gRPC ", grpc::Version(), ", Protobuf ",
                    google::protobuf::internal::VersionString(GOOGLE_PROTOBUF_VERSION), ", libsodium ",
                    sodium_version_string(), ", RocksDB ", ROCKSDB_MAJOR, ".", ROCKSDB_MINOR, ".", ROCKSDB_PATCH)},
      {"load at the start", absl::StrCat(load[0])},
      {"date", absl::FormatTime("%Y-%m-%d %H:%M UTC", absl::Now(), absl::UTCTimeZone())},
      {"commit", Commit()},
  };
}

}  // namespace dotagent::bench
