// Keys, a clock and a check that the fuzz targets of identity share.
#ifndef DOTAGENT_TESTS_FUZZ_IDENTITY_FIXTURES_H_
#define DOTAGENT_TESTS_FUZZ_IDENTITY_FIXTURES_H_

#include <cstdlib>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/crypto/keys.h"

namespace dotagent::identity {

// 2026-11-23T12:00:00Z: what the corpus is dated.
inline absl::Time FuzzTime() { return absl::FromUnixSeconds(1795435200); }

struct FuzzKeys {
  crypto::SigningKey first = *crypto::SigningKey::FromSeed(std::string(32, 'f'));
  crypto::SigningKey second = *crypto::SigningKey::FromSeed(std::string(32, 's'));
};

// A refusal is one short line of printable text, whatever the input.
inline void CheckRefusal(const absl::Status& status) {
  const absl::string_view message = status.message();
  if (message.empty() || message.size() > 1024 || message.find('\n') != absl::string_view::npos) std::abort();
}

}  // namespace dotagent::identity

#endif  // DOTAGENT_TESTS_FUZZ_IDENTITY_FIXTURES_H_
