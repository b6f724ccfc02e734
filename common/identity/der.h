// Reads DER (X.690 §10), the encoding of certificates: only what this project's profiles need, and nothing twice.
//
// Why not OpenSSL's reader: it takes 90 µs for a certificate, twice what verifying its signature costs, and is lenient;
// strangers' certificates come with records, so their parsing must be cheap and have one answer. This one accepts
// one-byte tags and shortest lengths of up to 65535, never copies, and never reads outside its bytes.
//
//   DerReader outer(der);
//   DerReader certificate = outer.Enter(der::kSequence);
//   const absl::string_view tbs = certificate.TakeWhole(der::kSequence);
//   ...
//   if (!certificate.Finished() || !outer.Finished()) return BadStatement("...");
#ifndef DOTAGENT_COMMON_IDENTITY_DER_H_
#define DOTAGENT_COMMON_IDENTITY_DER_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace dotagent::identity {

namespace der {
inline constexpr uint8_t kBoolean = 0x01;
inline constexpr uint8_t kInteger = 0x02;
inline constexpr uint8_t kBitString = 0x03;
inline constexpr uint8_t kOctetString = 0x04;
inline constexpr uint8_t kObjectId = 0x06;
inline constexpr uint8_t kUtf8String = 0x0c;
inline constexpr uint8_t kUtcTime = 0x17;
inline constexpr uint8_t kGeneralizedTime = 0x18;
inline constexpr uint8_t kSequence = 0x30;
inline constexpr uint8_t kSet = 0x31;
// [n] of a CHOICE or of an optional field: with one element inside (explicit) or bytes in its place (implicit).
constexpr uint8_t Constructed(uint8_t n) { return 0xa0 | n; }
constexpr uint8_t Primitive(uint8_t n) { return 0x80 | n; }

// The AlgorithmIdentifier of Ed25519 (RFC 8410).
inline constexpr absl::string_view kEd25519Algorithm("\x30\x05\x06\x03\x2b\x65\x70", 7);
}  // namespace der

// Goes through elements that stand side by side. A failure sticks: whatever is taken after it is empty, and Finished()
// is false; so a caller may take everything first and ask once. Readers made by Enter fail on their own: ask each.
// Borrows its bytes.
class DerReader {
 public:
  explicit DerReader(absl::string_view bytes) : rest_(bytes) {}

  // The next element has this tag. False at the end, and after a failure.
  [[nodiscard]] bool NextIs(uint8_t tag) const;
  // The content of the next element; fails if its tag is another.
  absl::string_view Take(uint8_t tag);
  // The same, with its tag and length.
  absl::string_view TakeWhole(uint8_t tag);
  // A reader of its content; one that has failed already, if this one has.
  [[nodiscard]] DerReader Enter(uint8_t tag);
  // Takes an element that must be exactly these bytes.
  void Expect(absl::string_view whole);
  // Takes an element with any tag of one byte.
  void Skip();
  // Everything was there, and nothing more.
  [[nodiscard]] bool Finished() const { return !failed_ && rest_.empty(); }
  // Nothing has failed, and more follows: for loops over lists.
  [[nodiscard]] bool More() const { return !failed_ && !rest_.empty(); }

 private:
  // Sets `content`, and returns the whole element; empty on failure.
  absl::string_view Next(uint8_t tag, absl::string_view* content);
  absl::string_view rest_;
  bool failed_ = false;
};

// One element. CheckAlways that `content` has at most 65535 bytes.
[[nodiscard]] std::string DerElement(uint8_t tag, absl::string_view content);

// A UTCTime or GeneralizedTime as RFC 5280 §4.1.2.5 wants them: seconds, "Z", the former until 2049, the latter from
// 2050. BAD_STATEMENT otherwise.
[[nodiscard]] absl::StatusOr<absl::Time> TakeTime(DerReader& reader);

// The bits of a BIT STRING whose number is a multiple of 8; empty otherwise.
[[nodiscard]] absl::string_view WholeBytes(absl::string_view bit_string);

// The 32 bytes in a SubjectPublicKeyInfo, given whole; empty if it is not for Ed25519.
[[nodiscard]] absl::string_view Ed25519KeyIn(absl::string_view key_info);

}  // namespace dotagent::identity

#endif  // DOTAGENT_COMMON_IDENTITY_DER_H_
