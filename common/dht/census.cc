#include "common/dht/census.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/crypto/hash.h"

namespace dotagent::dht {

const std::optional<Id>& Census::Digest() {
  if (version_ == table_->version()) return digest_;
  version_ = table_->version();
  digest_.reset();
  if (table_->size() > kMaxAnswerNodes) return digest_;
  std::vector<Id> ids;
  if (self_) ids.push_back(*self_);
  for (const Contact& contact : table_->Nearest(Id(), kMaxAnswerNodes, RoutingTable::Which::kAnswering)) {
    ids.push_back(contact.id);
  }
  std::sort(ids.begin(), ids.end());
  std::string bytes;
  for (const Id& id : ids) absl::StrAppend(&bytes, id.bytes());
  digest_ = *Id::FromBytes(crypto::Sha256(bytes));
  return digest_;
}

}  // namespace dotagent::dht
