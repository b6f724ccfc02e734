#include "common/record/record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/base/status.h"
#include "tests/unit/record/samples.h"

namespace dotagent::record {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

Json SampleJson() {
  const auto record = Record::Sign(SampleRecordFields(), SampleKey());
  EXPECT_TRUE(record.ok()) << record.status();
  return Json::parse(record->json());
}

void ExpectRefused(const absl::Status& status, absl::string_view reason, const std::string& problem,
                   absl::StatusCode code = absl::StatusCode::kInvalidArgument) {
  EXPECT_EQ(status.code(), code) << status;
  EXPECT_EQ(ReasonOf(status), reason) << status;
  EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr("record"), HasSubstr(problem)));
  EXPECT_EQ(status.message().find('\n'), absl::string_view::npos);
  EXPECT_LT(status.message().size(), 700U);
}

// Changes one field, signs again, and expects the refusal.
void ExpectFieldRefused(const std::string& field, const Json& value, absl::string_view reason,
                        const std::string& problem) {
  Json json = SampleJson();
  json[field] = value;
  SCOPED_TRACE(absl::StrCat(field, " = ", value.dump(-1, ' ', true).substr(0, 60)));
  ExpectRefused(Record::Verify(SignAnyway(json, SampleKey()), SampleTime()).status(), reason, problem);
}

TEST(RecordTest, SignsAndVerifies) {
  RecordFields fields = SampleRecordFields();
  fields.name = "Bob.AGENT";
  fields.timestamp += absl::Microseconds(1500);
  const auto signed_record = Record::Sign(fields, SampleKey());
  ASSERT_TRUE(signed_record.ok()) << signed_record.status();
  const auto record = Record::Verify(signed_record->json(), SampleTime());
  ASSERT_TRUE(record.ok()) << record.status();
  EXPECT_EQ(record->json(), signed_record->json());
  EXPECT_EQ(record->name().text(), "bob.agent");
  EXPECT_EQ(record->public_key(), SampleKey().public_key());
  EXPECT_EQ(record->addresses(), fields.addresses);
  EXPECT_EQ(record->protocols(), fields.protocols);
  EXPECT_EQ(record->timestamp(), SampleTime() + absl::Milliseconds(1));
  EXPECT_EQ(record->ttl(), absl::Hours(1));
  EXPECT_EQ(record->expires(), record->timestamp() + absl::Hours(1));
}

// The document's form is a promise to other implementations. Key and signature are what Python's cryptography gives.
TEST(RecordTest, HasOneForm) {
  EXPECT_EQ(Record::Sign(SampleRecordFields(), SampleKey())->json(),
            R"({"addresses":["/ip4/192.0.2.1/tcp/4001","/dns/gateway.example/tcp/4001"],"name":"bob.agent",)"
            R"("protocols":["/dotagent/message/1.0.0"],"publicKey":"gyClGXfYw4yopJJ8Zw31gh5El2GUXhXp77JqFQnSMOo=",)"
            R"("signature":"RVftgYFa0gRk9eySDurEzIZURn+JCEoYRcnv/kZ/F9PSTdz28LfDl4Hf4gll68MiLHtDpd9k6hnd2VPaG2xlAw==",)"
            R"("timestamp":"2026-11-23T12:00:00.000Z","ttl":3600})");
}

TEST(RecordTest, LayoutDoesNotMatterAndIsKept) {
  const std::string pretty = SampleJson().dump(4);
  const auto record = Record::Verify(pretty, SampleTime());
  ASSERT_TRUE(record.ok()) << record.status();
  EXPECT_EQ(record->json(), pretty);
  const std::string spelled = absl::StrReplaceAll(SampleJson().dump(), {{":3600", ":3.6e3"}, {"bob", "\\u0062ob"}});
  EXPECT_TRUE(Record::Verify(spelled, SampleTime()).ok());
}

TEST(RecordTest, ListsMayBeEmptyAndFullButNotMore) {
  RecordFields fields = SampleRecordFields();
  fields.addresses.clear();
  fields.protocols.clear();
  EXPECT_TRUE(Record::Sign(fields, SampleKey()).ok());
  fields.addresses.assign(kMaxAddresses, "/ip4/192.0.2.1/tcp/4001");
  fields.protocols.assign(kMaxProtocols, "p");
  EXPECT_TRUE(Record::Sign(fields, SampleKey()).ok());
  fields.addresses.emplace_back("/ip4/192.0.2.1/tcp/4001");
  ExpectRefused(Record::Sign(fields, SampleKey()).status(), reason::kBadRecord, "33 addresses");
  fields.addresses.pop_back();
  fields.protocols.emplace_back("p");
  ExpectRefused(Record::Sign(fields, SampleKey()).status(), reason::kBadRecord, "65 protocols");
}

TEST(RecordTest, RefusesOverEightKilobytes) {
  const std::string json = SampleJson().dump();
  const std::string padded = json + std::string(kMaxRecordSize - json.size(), ' ');
  EXPECT_TRUE(Record::Verify(padded, SampleTime()).ok());
  ExpectRefused(Record::Verify(padded + " ", SampleTime()).status(), reason::kTooLarge, "8193 bytes");
  RecordFields fields = SampleRecordFields();
  fields.protocols.assign(kMaxProtocols, std::string(kMaxProtocolSize, 'p'));
  ExpectRefused(Record::Sign(fields, SampleKey()).status(), reason::kTooLarge, "list fewer");
}

TEST(RecordTest, RefusesWhatIsNoJson) {
  for (const char* bad : {"", "{", "hello", "\xff\xfe", "{}{}"}) {
    ExpectRefused(Record::Verify(bad, SampleTime()).status(), reason::kBadRecord, "not JSON");
  }
  for (const char* bad : {"[]", "1", "null", "\"text\""}) {
    ExpectRefused(Record::Verify(bad, SampleTime()).status(), reason::kBadRecord, "must be a JSON object");
  }
  std::string twice = SampleJson().dump();
  twice.insert(1, "\"ttl\":60,");
  ExpectRefused(Record::Verify(twice, SampleTime()).status(), reason::kBadRecord, "twice");
}

TEST(RecordTest, RefusesMissingAndUnknownFields) {
  for (const char* field : {"name", "publicKey", "addresses", "protocols", "timestamp", "ttl", "signature"}) {
    Json json = SampleJson();
    json.erase(field);
    ExpectRefused(Record::Verify(json.dump(), SampleTime()).status(), reason::kBadRecord,
                  absl::StrCat("\"", field, "\" is missing"));
  }
  ExpectFieldRefused("color", "red", reason::kBadRecord, "\"color\" is unknown");
  ExpectFieldRefused("Name", "bob.agent", reason::kBadRecord, "\"Name\" is unknown");
  ExpectFieldRefused("", 1, reason::kBadRecord, "\"\" is unknown");
}

TEST(RecordTest, RefusesWrongTypes) {
  for (const char* field : {"name", "publicKey", "timestamp"}) {
    ExpectFieldRefused(field, 1, reason::kBadRecord, "must be a string");
    ExpectFieldRefused(field, nullptr, reason::kBadRecord, "must be a string");
  }
  for (const char* field : {"addresses", "protocols"}) {
    ExpectFieldRefused(field, "text", reason::kBadRecord, "must be a list of strings");
    ExpectFieldRefused(field, {"text", 1}, reason::kBadRecord, "must be a list of strings");
    ExpectFieldRefused(field, Json::object(), reason::kBadRecord, "must be a list of strings");
  }
  for (const Json& bad : {Json("3600"), Json(3600.5), Json(true), Json(nullptr), Json(1e300)}) {
    ExpectFieldRefused("ttl", bad, reason::kBadRecord, "must be a whole number");
  }
  Json json = SampleJson();
  json["signature"] = 1;
  ExpectRefused(Record::Verify(json.dump(), SampleTime()).status(), reason::kBadRecord, "must be a string");
}

TEST(RecordTest, RefusesBadNames) {
  Json json = SampleJson();
  json["name"] = "bob";
  const absl::Status status = Record::Verify(SignAnyway(json, SampleKey()), SampleTime()).status();
  EXPECT_EQ(ReasonOf(status), reason::kBadName) << status;
  RecordFields fields = SampleRecordFields();
  fields.name = "bob..agent";
  EXPECT_EQ(ReasonOf(Record::Sign(fields, SampleKey()).status()), reason::kBadName);
}

TEST(RecordTest, RefusesBadKeys) {
  ExpectFieldRefused("publicKey", "not base64!", reason::kBadRecord, "base64");
  ExpectFieldRefused("publicKey", "Zg", reason::kBadRecord, "base64");
  ExpectFieldRefused("publicKey", "", reason::kBadKey, "32 bytes");
  ExpectFieldRefused("publicKey", Base64Encode(std::string(33, 'x')), reason::kBadKey, "32 bytes");
  ExpectFieldRefused("publicKey", Base64Encode(std::string(32, '\0')), reason::kBadKey, "publicKey");
}

TEST(RecordTest, RefusesWrongSignatures) {
  Json json = SampleJson();
  const std::string good = json["signature"];
  const auto expect = [&](const std::string& signature, absl::string_view reason, const std::string& problem) {
    json["signature"] = signature;
    ExpectRefused(Record::Verify(json.dump(), SampleTime()).status(), reason, problem);
  };
  expect("", reason::kBadSignature, "not signed");
  expect("nonsense!", reason::kBadRecord, "base64");
  expect(Base64Encode(std::string(63, 's')), reason::kBadSignature, "64 bytes");
  expect(Base64Encode(std::string(64, 's')), reason::kBadSignature, "does not verify");
  expect(Json::parse(SignAnyway(json, SampleKey('x')))["signature"], reason::kBadSignature, "does not verify");
  std::string flipped = *Base64Decode(good);
  flipped[10] = static_cast<char>(flipped[10] ^ 1);
  expect(Base64Encode(flipped), reason::kBadSignature, "does not verify");
}

TEST(RecordTest, TheSignatureCoversEveryField) {
  const std::pair<std::string, Json> changes[] = {
      {"name", "eve.agent"},
      {"publicKey", Base64Encode(SampleKey('x').public_key().bytes())},
      {"addresses", {"/ip4/192.0.2.1/tcp/4001"}},
      {"protocols", Json::array()},
      {"timestamp", "2026-11-23T12:00:01.000Z"},
      {"ttl", 3601},
  };
  for (const auto& [field, value] : changes) {
    Json json = SampleJson();
    json[field] = value;
    ExpectRefused(Record::Verify(json.dump(), SampleTime()).status(), reason::kBadSignature, "does not verify");
  }
}

TEST(RecordTest, RefusesStaleRecords) {
  const std::string json = SampleJson().dump();
  EXPECT_TRUE(Record::Verify(json, SampleTime() + kMaxRecordAge).ok());
  ExpectRefused(Record::Verify(json, SampleTime() + kMaxRecordAge + absl::Milliseconds(1)).status(), reason::kStale,
                "7 days", absl::StatusCode::kFailedPrecondition);
  ExpectRefused(Record::Verify(json, SampleTime() + absl::Hours(24 * 9)).status(), reason::kStale,
                "timestamp 2026-11-23T12:00:00.000Z is 9 days old", absl::StatusCode::kFailedPrecondition);
}

TEST(RecordTest, RefusesFutureRecords) {
  const std::string json = SampleJson().dump();
  EXPECT_TRUE(Record::Verify(json, SampleTime() - kMaxRecordFuture).ok());
  ExpectRefused(Record::Verify(json, SampleTime() - kMaxRecordFuture - absl::Seconds(1)).status(), reason::kFutureDated,
                "5m1s ahead", absl::StatusCode::kFailedPrecondition);
}

TEST(RecordTest, RefusesBadTimestamps) {
  for (const char* bad : {"", "yesterday", "2026-11-23", "2026-11-23T12:00:00", "2026-11-31T12:00:00Z"}) {
    ExpectFieldRefused("timestamp", bad, reason::kBadRecord, "RFC 3339");
  }
  RecordFields fields = SampleRecordFields();
  fields.timestamp = absl::InfiniteFuture();
  ExpectRefused(Record::Sign(fields, SampleKey()).status(), reason::kBadRecord, "RFC 3339");
}

TEST(RecordTest, RefusesTtlsOutOfRange) {
  for (const int64_t good : {kMinTtlSeconds, kDefaultTtlSeconds, kMaxTtlSeconds}) {
    RecordFields fields = SampleRecordFields();
    fields.ttl_seconds = good;
    EXPECT_TRUE(Record::Sign(fields, SampleKey()).ok()) << good;
  }
  for (const int64_t bad : {int64_t{-1}, int64_t{0}, kMinTtlSeconds - 1, kMaxTtlSeconds + 1, int64_t{1} << 53}) {
    ExpectFieldRefused("ttl", bad, reason::kBadRecord, absl::StrCat("ttl is ", bad));
  }
}

TEST(RecordTest, RefusesBadAddresses) {
  ExpectFieldRefused("addresses", {"/ip4/192.0.2.1/tcp/4001", "multiaddr1"}, reason::kBadAddress, "multiaddr1");
  ExpectFieldRefused("addresses", {""}, reason::kBadAddress, "no multiaddr");
  ExpectFieldRefused("addresses", {"/ip4/192.0.2.1/tcp/4001" + std::string(500, '/')}, reason::kBadAddress, "bytes");
}

TEST(RecordTest, RefusesBadProtocols) {
  for (const char* bad : {"", "a b", "a\n", "\xc3\xa9", "\x7f"}) {
    ExpectFieldRefused("protocols", {bad}, reason::kBadRecord, "protocol");
  }
  ExpectFieldRefused("protocols", {std::string(kMaxProtocolSize + 1, 'p')}, reason::kBadRecord, "1–128");
}

}  // namespace
}  // namespace dotagent::record
