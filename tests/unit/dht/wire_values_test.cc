// FindValues on the wire.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "common/base/status.h"
#include "common/dht/testing/message_size.h"
#include "common/dht/wire.h"
#include "dotagent/dht/v1/dht.pb.h"
#include "tests/unit/dht/fixtures.h"

namespace dotagent::dht {
namespace {

using testing::HasSubstr;

std::string Why(const absl::Status& status) {
  EXPECT_EQ(ReasonOf(status), reason::kProtocol);
  return std::string(status.message());
}

v1::DhtRequest SomeRequest() {
  v1::DhtRequest request;
  EXPECT_TRUE(request.ParseFromString(
      EncodeRequest({ContactFromSeed(1), FindValuesCall{Id(), ValueKind::kRelayAdvert, Id(), 5}})));
  return request;
}

TEST(FindValuesWireTest, RoundTrips) {
  SeededRandom random(1);
  const FindValuesCall call{RandomId(random), ValueKind::kCapabilityAdvert, RandomId(random), 7};
  for (const bool has_cursor : {true, false}) {
    FindValuesCall sent = call;
    if (!has_cursor) sent.after.reset();
    const Request request{ContactFromSeed(1), sent};
    const auto got = DecodeRequest(EncodeRequest(request));
    ASSERT_TRUE(got.ok()) << got.status();
    const auto& find = std::get<FindValuesCall>(got->call);
    EXPECT_EQ(find.key, sent.key);
    EXPECT_EQ(find.kind, sent.kind);
    EXPECT_EQ(find.after, sent.after);
    EXPECT_EQ(find.limit, sent.limit);
    EXPECT_EQ(EncodedSize(request), EncodeRequest(request).size());
  }
  for (const ValuesAnswer& sent : {ValuesAnswer{}, ValuesAnswer{{{"a", ""}, {"b", "proof"}}, call.key},
                                   ValuesAnswer{{{"a", "p"}}, std::nullopt}}) {
    const Response response{sent};
    const auto got = DecodeResponse(EncodeResponse(response));
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_EQ(std::get<ValuesAnswer>(got->answer).items, sent.items);
    EXPECT_EQ(std::get<ValuesAnswer>(got->answer).next, sent.next);
    EXPECT_EQ(EncodedSize(response), EncodeResponse(response).size());
  }
}

TEST(FindValuesWireTest, RefusesBadQuestions) {
  v1::DhtRequest request = SomeRequest();
  request.mutable_find_values()->set_key("short");
  EXPECT_THAT(Why(DecodeRequest(request.SerializeAsString()).status()), HasSubstr("32 bytes"));
  request = SomeRequest();
  request.mutable_find_values()->set_after("short");
  EXPECT_THAT(Why(DecodeRequest(request.SerializeAsString()).status()), HasSubstr("32 bytes"));
  request = SomeRequest();
  request.mutable_find_values()->set_limit(0);
  EXPECT_THAT(Why(DecodeRequest(request.SerializeAsString()).status()), HasSubstr("no values"));
  request = SomeRequest();
  request.mutable_find_values()->set_kind(static_cast<v1::ValueKind>(6));
  EXPECT_THAT(Why(DecodeRequest(request.SerializeAsString()).status()), HasSubstr("unknown kind"));
  request = SomeRequest();
  request.mutable_find_values()->set_limit(UINT32_MAX);
  EXPECT_TRUE(DecodeRequest(request.SerializeAsString()).ok()) << "a node gives as many as it will";
}

TEST(FindValuesWireTest, RefusesPagesThatAreTooLarge) {
  v1::DhtResponse response;
  for (size_t i = 0; i <= kMaxPageValues; ++i) response.mutable_values()->add_items()->set_value("v");
  EXPECT_THAT(Why(DecodeResponse(response.SerializeAsString()).status()), HasSubstr("65 values"));
  response.mutable_values()->mutable_items()->RemoveLast();
  EXPECT_TRUE(DecodeResponse(response.SerializeAsString()).ok());

  response.Clear();
  response.mutable_values()->add_items()->set_value(std::string(1024, 'v'));
  response.mutable_values()->mutable_items(0)->set_proof(std::string(kMaxProofSize, 'p'));
  EXPECT_TRUE(DecodeResponse(response.SerializeAsString()).ok()) << "the first value comes whatever its size";
  response.mutable_values()->add_items()->set_value("v");
  EXPECT_THAT(Why(DecodeResponse(response.SerializeAsString()).status()), HasSubstr("16384 bytes"));

  response.Clear();
  response.mutable_values()->add_items();
  EXPECT_THAT(Why(DecodeResponse(response.SerializeAsString()).status()), HasSubstr("0 bytes"));
  response.Clear();
  response.mutable_values()->set_next("short");
  EXPECT_THAT(Why(DecodeResponse(response.SerializeAsString()).status()), HasSubstr("32 bytes"));
}

TEST(FindValuesWireTest, TheLargestPageFitsInAMessage) {
  ValuesAnswer answer{.next = Id()};
  for (size_t i = 0; i < kMaxPageValues; ++i) answer.items.push_back({std::string(kMaxPageBytes / 64, 'v'), ""});
  EXPECT_LT(EncodeResponse({answer}).size(), kMaxDhtMessage / 4);
  EXPECT_TRUE(DecodeResponse(EncodeResponse({answer})).ok());
}

}  // namespace
}  // namespace dotagent::dht
