#include "tests/bench/records.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/record/record.h"

namespace dotagent::bench {

Records::Records(size_t size) : key_(crypto::SigningKey::Generate(random_)) {
  const size_t bare = Make(0, absl::FromUnixSeconds(1'800'000'000)).size();
  filler_.assign(size - std::min(size, bare), 'x');
}

std::string Records::Name(size_t index) { return absl::StrCat("name-", index, ".bench.agent"); }

std::string Records::DhtKey(size_t index) { return record::Name::Parse(Name(index))->DhtKey(); }

std::string Records::Make(size_t index, absl::Time when) const {
  std::vector<std::string> protocols;
  for (size_t i = 0; i < filler_.size(); i += record::kMaxProtocolSize + 3) {  // with its quotes and comma
    protocols.push_back(filler_.substr(i, record::kMaxProtocolSize));
  }
  return record::Record::Sign(
             {.name = Name(index), .addresses = {"/ip4/192.0.2.1/tcp/4001"}, .protocols = protocols, .timestamp = when},
             key_)
      ->json();
}

}  // namespace dotagent::bench
