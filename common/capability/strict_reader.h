// Reads Protocol Buffers of which there is exactly one form: fields in ascending order, none unknown, none with its
// default written out, every varint as short as it can be. What is accepted serializes again to the same bytes.
//
// For tokens, where identity::ParseStrictly (parse, serialize, compare) says too little: a reader of tokens is told
// whether the bytes were cut, hold a field that it does not know, or have a wrong form. Takes no memory: what it
// returns are views of the input. tests/fuzz/token.cc holds it against Protocol Buffers' own parser.
//
//   StrictReader reader(bytes);
//   const absl::string_view key = reader.Bytes(1);         // empty: the field is absent
//   const uint64_t uses = reader.Number(2);                // 0: absent
//   RETURN_IF_ERROR(reader.Finish("a TokenBlock"));        // one check at the end
#ifndef DOTAGENT_COMMON_CAPABILITY_STRICT_READER_H_
#define DOTAGENT_COMMON_CAPABILITY_STRICT_READER_H_

#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace dotagent::capability {

// A value; the input must outlive it. After the first error every field is absent. Fields are asked for in ascending
// order of their numbers (1 to 15).
class StrictReader {
 public:
  explicit StrictReader(absl::string_view input) : rest_(input) {}

  // A field of bytes or text (UTF-8 is the caller's to check).
  [[nodiscard]] absl::string_view Bytes(uint32_t field);
  // The next one of a repeated field, which may be empty; nullopt: there are no more.
  [[nodiscard]] std::optional<absl::string_view> NextBytes(uint32_t field);
  // An integer field, as 64 bits: a negative int64 is beyond 2^63.
  [[nodiscard]] uint64_t Number(uint32_t field);

  // InvalidArgument: TOKEN_CUT if the input ends within a field; UNKNOWN_FIELD if a field stands where only one that is
  // not known can; BAD_TOKEN for another form. `what` is the message's name, with its article.
  [[nodiscard]] absl::Status Finish(absl::string_view what) const;

 private:
  enum class Error { kNone, kCut, kUnknown, kForm };

  // True if the next field is `field`, whose tag is then consumed.
  [[nodiscard]] bool At(uint32_t field, uint32_t wire_type);
  [[nodiscard]] std::optional<uint64_t> Varint();
  [[nodiscard]] absl::string_view LengthPrefixed();
  void Fail(Error error) {
    if (error_ == Error::kNone) error_ = error;
    rest_ = {};
  }

  absl::string_view rest_;
  uint32_t last_field_ = 0;  // the highest that was asked for
  Error error_ = Error::kNone;
};

}  // namespace dotagent::capability

#endif  // DOTAGENT_COMMON_CAPABILITY_STRICT_READER_H_
