#include "common/dht/wire.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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

  const std::string value("\0\xff bytes", 8);
  const auto store = DecodeRequest(EncodeRequest({sender, StoreCall{id, ValueKind::kRecord, value}}));
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_EQ(std::get<StoreCall>(store->call).value, value);
}

TEST(WireTest, ResponsesRoundTrip) {
  EXPECT_TRUE(std::holds_alternative<PingAnswer>(DecodeResponse(EncodeResponse({PingAnswer{}}))->answer));
  EXPECT_TRUE(std::holds_alternative<StoreAnswer>(DecodeResponse(EncodeResponse({StoreAnswer{}}))->answer));

  const std::vector<Contact> nodes = {ContactFromSeed(1), ContactFromSeed(2)};
  const auto answer = DecodeResponse(EncodeResponse({ValueAnswer{"value", nodes}}));
  ASSERT_TRUE(answer.ok()) << answer.status();
  const auto& value = std::get<ValueAnswer>(answer->answer);
  EXPECT_EQ(value.value, "value");
  ASSERT_EQ(value.nodes.size(), 2);
  ExpectSame(value.nodes[1], nodes[1]);

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
  large.addresses.assign(kMaxContactAddresses, std::string(kMaxAddressSize, 'a'));
  const std::string bytes =
      EncodeResponse({ValueAnswer{std::string(kMaxValueSize, 'v'), std::vector<Contact>(kBucketSize, large)}});
  EXPECT_LE(bytes.size(), kMaxDhtMessage);
  EXPECT_TRUE(DecodeResponse(bytes).ok());
}

TEST(WireTest, RefusesWhatIsTooMuch) {
  ExpectRefused(DecodeResponse(std::string(kMaxDhtMessage + 1, 'x')), "65537 bytes");

  v1::DhtResponse many;
  for (int i = 0; i < 10'000; ++i) many.mutable_nodes()->add_nodes();
  ASSERT_LE(many.ByteSizeLong(), kMaxDhtMessage);
  ExpectRefused(DecodeResponse(many.SerializeAsString()), "10000 contacts");

  Contact contact = ContactFromSeed(1);
  contact.addresses.assign(kMaxContactAddresses + 1, "/ip4/192.0.2.1/tcp/1");
  ExpectRefused(DecodeRequest(EncodeRequest({contact, PingCall{}})), "9 addresses");
  contact.addresses = {std::string(kMaxAddressSize + 1, 'a')};
  ExpectRefused(DecodeRequest(EncodeRequest({contact, PingCall{}})), "129 bytes");

  const std::string large(kMaxValueSize + 1, 'v');
  ExpectRefused(DecodeRequest(EncodeRequest({ContactFromSeed(1), StoreCall{Id(), ValueKind::kRecord, large}})),
                "16385 bytes");
  ExpectRefused(DecodeResponse(EncodeResponse({ValueAnswer{large, {}}})), "16385 bytes");
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
  ExpectRefused(DecodeRequest(request.SerializeAsString()), "31 bytes");

  v1::DhtResponse response;
  response.mutable_error()->set_code(0);
  ExpectRefused(DecodeResponse(response.SerializeAsString()), "status code 0");
  response.mutable_error()->set_code(17);
  ExpectRefused(DecodeResponse(response.SerializeAsString()), "status code 17");
}

TEST(WireTest, EveryTruncationAndBitFlipIsHandled) {
  const std::string bytes = EncodeResponse({ValueAnswer{"value", {ContactFromSeed(1), ContactFromSeed(2)}}});
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
