// Identity's log of certificates on its own, to be killed in the middle of it (kill_test.py): logs certificates over
// RocksDB as the service has it, several to a commit, and says on standard output which are confirmed, after they are.
//
//   certificate_writer FOLDER SEED
//
// First prints what the folder holds ("held NUMBER"), then "ready", then, without end, "logged NUMBER". Each
// certificate is written together with a line in a book, as the registrar's names are. Exits with an error if the
// folder is not one that it could have left: numbers with gaps, contents that are another's, a book that differs.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/random.h"
#include "common/storage/store.h"
#include "services/identity/certificate_log.h"

namespace dotagent::identity_service {
namespace {

constexpr absl::string_view kBook = "book/";
constexpr uint64_t kMostInACommit = 8;
const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);

[[noreturn]] void Fail(absl::string_view what) {
  std::fprintf(stderr, "certificate_writer: %.*s\n", static_cast<int>(what.size()), what.data());
  std::exit(1);
}

template <typename T>
T Must(absl::StatusOr<T> result, absl::string_view what) {
  if (!result.ok()) Fail(absl::StrCat(what, ": ", result.status().ToString()));
  return *std::move(result);
}

// As long as real ones.
identity::IssuedCertificates CertificatesOf(uint64_t number) {
  return {.name_der = absl::StrCat("name ", number, std::string(500, 'n')),
          .svid_der = absl::StrCat("svid ", number, std::string(500, 's'))};
}

class Writer {
 public:
  explicit Writer(const std::string& folder)
      : disk_(Must(storage::OpenRocksDb({.path = folder}), "opening")),
        log_(Must(CertificateLog::Open(disk_.get()), "reading the log")) {}

  void Report() {
    std::set<std::string> book;
    const absl::Status read = disk_->Scan(kBook, kBook, [&](absl::string_view row, absl::string_view) {
      book.emplace(row);
      return true;
    });
    if (!read.ok()) Fail(read.ToString());
    while (const auto entry = Must(log_.After(last_), "reading an entry")) {
      if (entry->number != last_ + 1) Fail(absl::StrCat("after ", last_, " comes ", entry->number));
      last_ = entry->number;
      const identity::IssuedCertificates written = CertificatesOf(last_);
      if (entry->certificates.name_der != written.name_der || entry->certificates.svid_der != written.svid_der) {
        Fail(absl::StrCat("number ", last_, " holds something else"));
      }
      if (book.erase(absl::StrCat(kBook, last_)) == 0) Fail(absl::StrCat("the book lacks ", last_));
      std::printf("held %lu\n", static_cast<unsigned long>(last_));
    }
    if (!book.empty()) Fail(absl::StrCat(*book.begin(), " is not in the log"));
    std::puts("ready");
    std::fflush(stdout);
  }

  [[noreturn]] void WriteOn(uint64_t seed) {
    SeededRandom random(seed);
    while (true) {
      for (uint64_t left = 1 + random.Below(kMostInACommit); left > 0; --left) Append();
      log_.Commit(kNow);
      std::fflush(stdout);
    }
  }

 private:
  void Append() {
    const uint64_t number = ++last_;
    storage::Batch also;
    also.Put(absl::StrCat(kBook, number), "");
    log_.Append(
        CertificatesOf(number), kNow + absl::Hours(24),
        [number](const absl::Status& written) {
          if (!written.ok()) Fail(written.ToString());
          std::printf("logged %lu\n", static_cast<unsigned long>(number));
        },
        std::move(also));
  }

  const std::unique_ptr<storage::Store> disk_;
  CertificateLog log_;
  uint64_t last_ = 0;
};

}  // namespace
}  // namespace dotagent::identity_service

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fputs("usage: certificate_writer FOLDER SEED\n", stderr);
    return 2;
  }
  dotagent::identity_service::Writer writer(argv[1]);
  writer.Report();
  writer.WriteOn(std::strtoull(argv[2], nullptr, 10));
}
