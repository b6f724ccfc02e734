#include "common/p2p/address_group.h"

#include "absl/strings/str_cat.h"

namespace dotagent::p2p {

std::string AddressGroup(const asio::ip::address& address) {
  if (address.is_v4()) return address.to_string();
  const asio::ip::address_v6 v6 = address.to_v6();
  const auto bytes = v6.to_bytes();
  if (v6.is_v4_mapped()) return absl::StrCat(bytes[12], ".", bytes[13], ".", bytes[14], ".", bytes[15]);
  return std::string(reinterpret_cast<const char*>(bytes.data()), 8);
}

}  // namespace dotagent::p2p
