#include "common/dht/wire.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "dotagent/dht/v1/dht.pb.h"
#include "tests/unit/dht/fixtures.h"

namespace dotagent::dht {
namespace {

using testing::HasSubstr;

void ExpectSame(const Contact& a, const Contact& b) {
  EXPECT_EQ(a.id, b.id);
  EXPECT_EQ(a.key, b.key);
  EXPECT_EQ(a.addresses, b.addresses);
}

template <typename Result>
void ExpectRefused(const Result& result, absl::string_view why) {
  EXPECT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ReasonOf(result.status()), reason::kProtocol);
  EXPECT_THAT(std::string(result.status().message()), HasSubstr(std::string(why)));
}

Receipt SomeReceipt() {
  SeededRandom random(2);
  return Receipt{RandomId(random), RandomId(random), kStart, random.Bytes(crypto::kSignatureSize)};
}

TEST(WireTest, RequestsRoundTrip) {
  SeededRandom random(1);
  const Contact sender = ContactFromSeed(1);
  const Id id = RandomId(random);

  const auto ping = DecodeRequest(EncodeRequest({sender, PingCall{}}));
  ASSERT_TRUE(ping.ok()) << ping.status();
  ExpectSame(ping->sender, sender);
  EXPECT_TRUE(std::holds_alternative<PingCall>(ping->call));

  const auto find_node = DecodeRequest(EncodeRequest({sender, FindNodeCall{id}}));
  ASSERT_TRUE(find_node.ok()) << find_node.status();
  EXPECT_EQ(std::get<FindNodeCall>(find_node->call).target, id);

  const auto find_value = DecodeRequest(EncodeRequest({sender, FindValueCall{id, ValueKind::kRevocation}}));
  ASSERT_TRUE(find_value.ok()) << find_value.status();
  EXPECT_EQ(std::get<FindValueCall>(find_value->call).key, id);
  EXPECT_EQ(std::get<FindValueCall>(find_value->call).kind, ValueKind::kRevocation);
  EXPECT_EQ(std::get<FindValueCall>(find_value->call).census, std::nullopt);
  const auto counted = DecodeRequest(EncodeRequest({sender, FindValueCall{Id(), ValueKind::kRecord, id}}));
  ASSERT_TRUE(counted.ok()) << counted.status();
  EXPECT_EQ(std::get<FindValueCall>(counted->call).census, id);

  const Item item{std::string("\0\xff bytes", 8), std::string("\0 proof", 7)};
  const auto store = DecodeRequest(EncodeRequest({sender, StoreCall{id, ValueKind::kRecord, item, true}}));
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_EQ(std::get<StoreCall>(store->call).item, item);
  EXPECT_TRUE(std::get<StoreCall>(store->call).witness_only);

  const auto claims = DecodeRequest(EncodeRequest({sender, FindClaimsCall{ValueKind::kRecord, {id, Id()}}}));
  ASSERT_TRUE(claims.ok()) << claims.status();
  EXPECT_THAT(std::get<FindClaimsCall>(claims->call).keys, testing::ElementsAre(id, Id()));
}

TEST(WireTest, ResponsesRoundTrip) {
  EXPECT_TRUE(std::holds_alternative<PingAnswer>(DecodeResponse(EncodeResponse({PingAnswer{}}))->answer));
  const auto pong = DecodeResponse(EncodeResponse({PingAnswer{.puzzle_solution = 7}}));
  EXPECT_EQ(std::get<PingAnswer>(pong->answer).puzzle_solution, 7);
  EXPECT_TRUE(std::holds_alternative<StoreAnswer>(DecodeResponse(EncodeResponse({StoreAnswer{}}))->answer));

  const std::vector<Contact> nodes = {ContactFromSeed(1), ContactFromSeed(2)};
  const Receipt receipt = SomeReceipt();
  const auto answer = DecodeResponse(EncodeResponse({ValueAnswer{Item{"value", "proof"}, receipt, nodes}}));
  ASSERT_TRUE(answer.ok()) << answer.status();
  const auto& value = std::get<ValueAnswer>(answer->answer);
  EXPECT_EQ(value.item, (Item{"value", "proof"}));
  EXPECT_EQ(value.receipt, receipt);
  ASSERT_EQ(value.nodes.size(), 2);
  ExpectSame(value.nodes[1], nodes[1]);

  EXPECT_FALSE(value.same_census);
  const auto same = DecodeResponse(EncodeResponse({ValueAnswer{.same_census = true}}));
  ASSERT_TRUE(same.ok()) << same.status();
  EXPECT_TRUE(std::get<ValueAnswer>(same->answer).same_census);

  const auto nothing = DecodeResponse(EncodeResponse({ValueAnswer{}}));
  ASSERT_TRUE(nothing.ok()) << nothing.status();
  EXPECT_EQ(std::get<ValueAnswer>(nothing->answer).item, std::nullopt);
  EXPECT_EQ(std::get<ValueAnswer>(nothing->answer).receipt, std::nullopt);

  const auto stored = DecodeResponse(EncodeResponse({StoreAnswer{receipt}}));
  ASSERT_TRUE(stored.ok()) << stored.status();
  EXPECT_EQ(std::get<StoreAnswer>(stored->answer).receipt, receipt);

  const auto claims = DecodeResponse(EncodeResponse({ClaimsAnswer{{std::nullopt, receipt}}}));
  ASSERT_TRUE(claims.ok()) << claims.status();
  EXPECT_THAT(std::get<ClaimsAnswer>(claims->answer).receipts,
              testing::ElementsAre(std::nullopt, std::optional<Receipt>(receipt)));

  const auto none = DecodeResponse(EncodeResponse({NodesAnswer{}}));
  ASSERT_TRUE(none.ok()) << none.status();
  EXPECT_THAT(std::get<NodesAnswer>(none->answer).nodes, testing::IsEmpty());
}

TEST(WireTest, RefusalsKeepCodeReasonAndPrintableText) {
  const absl::Status refusal =
      ErrorWithReason(absl::StatusCode::kAlreadyExists, reason::kNameTaken, "taken\n\xc3\xa9" + std::string(600, 'x'));
  const auto response = DecodeResponse(EncodeResponse({refusal}));
  ASSERT_TRUE(response.ok()) << response.status();
  const auto& got = std::get<absl::Status>(response->answer);
  EXPECT_EQ(got.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(ReasonOf(got), reason::kNameTaken);
  EXPECT_EQ(got.message().substr(0, 8), "taken???");
  EXPECT_EQ(got.message().size(), 512);
}

TEST(WireTest, AFullAnswerFitsTheLimit) {
  Contact large = ContactFromSeed(1);
  large.addresses = std::vector<std::string>(kMaxContactAddresses, std::string(kMaxAddressSize, 'a'));
  const std::string bytes =
      EncodeResponse({ValueAnswer{Item{std::string(kMaxValueSize, 'v'), std::string(kMaxProofSize, 'p')}, SomeReceipt(),
                                  std::vector<Contact>(kMaxAnswerNodes, large)}});
  EXPECT_LE(bytes.size(), kMaxDhtMessage);
  EXPECT_TRUE(DecodeResponse(bytes).ok());
}

TEST(WireTest, RefusesWhatIsTooMuch) {
  ExpectRefused(DecodeResponse(std::string(kMaxDhtMessage + 1, 'x')), "98305 bytes");

  v1::DhtResponse many;
  for (int i = 0; i < 10'000; ++i) many.mutable_nodes()->add_nodes();
  ASSERT_LE(many.ByteSizeLong(), kMaxDhtMessage);
  ExpectRefused(DecodeResponse(many.SerializeAsString()), "10000 contacts");

  Contact contact = ContactFromSeed(1);
  contact.addresses = std::vector<std::string>(kMaxContactAddresses + 1, "/ip4/192.0.2.1/tcp/1");
  ExpectRefused(DecodeRequest(EncodeRequest({contact, PingCall{}})), "9 addresses");
  contact.addresses = {std::string(kMaxAddressSize + 1, 'a')};
  ExpectRefused(DecodeRequest(EncodeRequest({contact, PingCall{}})), "129 bytes");

  const std::string large(kMaxValueSize + 1, 'v');
  const Contact sender = ContactFromSeed(1);
  for (const Item& item : {Item{large, ""}, Item{"value", large}}) {
    ExpectRefused(DecodeRequest(EncodeRequest({sender, StoreCall{Id(), ValueKind::kRecord, item}})), "16385 bytes");
    ExpectRefused(DecodeResponse(EncodeResponse({ValueAnswer{item, {}, {}}})), "16385 bytes");
  }
  const std::vector<Id> keys(kMaxClaimKeys + 1);
  ExpectRefused(DecodeRequest(EncodeRequest({sender, FindClaimsCall{ValueKind::kRecord, keys}})), "65 keys");
  ExpectRefused(DecodeRequest(EncodeRequest({sender, FindClaimsCall{ValueKind::kRecord, {}}})), "0 keys");
  ExpectRefused(DecodeResponse(EncodeResponse({ClaimsAnswer{std::vector<std::optional<Receipt>>(65)}})), "65 receipts");
}

TEST(WireTest, RefusesWhatIsMalformed) {
  ExpectRefused(DecodeRequest(""), "key");
  ExpectRefused(DecodeRequest("\xff\xff\xff"), "not a protobuf");
  ExpectRefused(DecodeResponse(""), "answers nothing");
  ExpectRefused(DecodeResponse("\xff\xff\xff"), "not a protobuf");

  Contact contact = ContactFromSeed(1);
  contact.addresses = {"/ip4/192.0.2.1\n/tcp/1"};
  ExpectRefused(DecodeRequest(EncodeRequest({contact, PingCall{}})), "printable");
  contact.addresses = {""};
  ExpectRefused(DecodeRequest(EncodeRequest({contact, PingCall{}})), "0 bytes");

  v1::DhtRequest request;
  request.mutable_sender()->set_public_key(std::string(ContactFromSeed(1).key.bytes()));
  ExpectRefused(DecodeRequest(request.SerializeAsString()), "asks nothing");
  request.mutable_find_node()->set_target("short");
  ExpectRefused(DecodeRequest(request.SerializeAsString()), "32 bytes");
  request.mutable_find_value()->set_key(std::string(32, 'k'));
  ExpectRefused(DecodeRequest(request.SerializeAsString()), "unknown kind");
  request.mutable_store()->set_key(std::string(32, 'k'));
  request.mutable_store()->set_kind(v1::VALUE_KIND_RECORD);
  ExpectRefused(DecodeRequest(request.SerializeAsString()), "value of 0 bytes");
  request.mutable_sender()->set_public_key(std::string(31, 'k'));
  ExpectRefused(DecodeRequest(request.SerializeAsString()), "this one is 31");

  v1::DhtResponse response;
  v1::Receipt* receipt = response.mutable_store()->mutable_receipt();
  ExpectRefused(DecodeResponse(response.SerializeAsString()), "32 bytes");
  receipt->set_owner(std::string(32, 'o'));
  receipt->set_digest(std::string(32, 'd'));
  ExpectRefused(DecodeResponse(response.SerializeAsString()), "signature has 0 bytes");
  receipt->set_signature(std::string(64, 's'));
  EXPECT_TRUE(DecodeResponse(response.SerializeAsString()).ok());
  receipt->set_first_seen_ms(UINT64_MAX);
  ExpectRefused(DecodeResponse(response.SerializeAsString()), "year 9999");

  response.mutable_error()->set_code(0);
  ExpectRefused(DecodeResponse(response.SerializeAsString()), "status code 0");
  response.mutable_error()->set_code(17);
  ExpectRefused(DecodeResponse(response.SerializeAsString()), "status code 17");
}

TEST(WireTest, EveryTruncationAndBitFlipIsHandled) {
  const std::string bytes =
      EncodeResponse({ValueAnswer{Item{"value", ""}, SomeReceipt(), {ContactFromSeed(1), ContactFromSeed(2)}}});
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (const auto cut = DecodeResponse(bytes.substr(0, i)); cut.ok()) {
      EXPECT_LE(std::get<ValueAnswer>(cut->answer).nodes.size(), 2);
    }
    for (int bit = 0; bit < 8; ++bit) {
      std::string flipped = bytes;
      flipped[i] = static_cast<char>(flipped[i] ^ (1 << bit));
      const auto decoded = DecodeResponse(flipped);
      EXPECT_TRUE(decoded.ok() || ReasonOf(decoded.status()) == reason::kProtocol);
    }
  }
}

TEST(WireTest, SavedContactsRoundTripWithinTheirLimit) {
  const std::vector<Contact> contacts = {ContactFromSeed(1), ContactFromSeed(2), ContactFromSeed(3)};
  const auto decoded = DecodeContacts(EncodeContacts(contacts), 3);
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  ASSERT_EQ(decoded->size(), 3);
  ExpectSame((*decoded)[2], contacts[2]);
  ExpectRefused(DecodeContacts(EncodeContacts(contacts), 2), "3 contacts");
}

}  // namespace
}  // namespace dotagent::dht
