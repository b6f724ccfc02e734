#include "common/dht/testing/message_size.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/dht/wire.h"
#include "tests/unit/dht/fixtures.h"

namespace dotagent::dht {
namespace {

std::vector<Contact> Contacts(size_t count) {
  std::vector<Contact> contacts;
  for (size_t i = 0; i < count; ++i) {
    contacts.push_back(ContactFromSeed(i));
    if (i % 3 == 1) contacts.back().addresses = {contacts.back().addresses.front(), "/ip4/192.0.2.1/tcp/9"};
    if (i % 2 == 1) contacts.back().puzzle_solution = i;
    if (i % 3 == 2) contacts.back().addresses = std::vector<std::string>(8, std::string(kMaxAddressSize, 'a'));
  }
  return contacts;
}

TEST(MessageSizeTest, IsThatOfEveryEncodedRequest) {
  SeededRandom random(1);
  const Id id = RandomId(random);
  for (const Contact& sender : Contacts(3)) {
    for (const auto& call : std::vector<decltype(Request::call)>{
             PingCall{}, FindNodeCall{id}, FindValueCall{id, ValueKind::kRevocation},
             FindValueCall{id, ValueKind::kRecord, id}, StoreCall{id, ValueKind::kRecord, {"x", ""}, true},
             StoreCall{id, ValueKind::kRecord, {std::string(8000, 'x'), std::string(200, 'p')}},
             FindClaimsCall{ValueKind::kRecord, {id, id, id}}}) {
      const Request request{sender, call};
      EXPECT_EQ(EncodedSize(request), EncodeRequest(request).size());
    }
  }
}

TEST(MessageSizeTest, IsThatOfEveryEncodedResponse) {
  const Receipt receipt{Id(), Id(), kStart, std::string(crypto::kSignatureSize, 's')};
  for (const size_t contacts : {0, 1, 2, 20}) {
    for (const auto& answer : std::vector<decltype(Response::answer)>{
             PingAnswer{}, PingAnswer{9}, StoreAnswer{}, StoreAnswer{receipt}, NodesAnswer{Contacts(contacts)},
             ValueAnswer{Item{"v", "p"}, receipt, Contacts(contacts)},
             ValueAnswer{std::nullopt, std::nullopt, Contacts(contacts)}, ValueAnswer{.same_census = true},
             ValueAnswer{Item{std::string(16'383, 'v'), ""}, std::nullopt, Contacts(contacts)},
             ClaimsAnswer{{receipt, std::nullopt, receipt}},
             ErrorWithReason(absl::StatusCode::kNotFound, "REASON", "a text")}) {
      const Response response{answer};
      EXPECT_EQ(EncodedSize(response), EncodeResponse(response).size());
    }
  }
}

}  // namespace
}  // namespace dotagent::dht
