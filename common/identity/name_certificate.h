// Name certificates: a registrar's word that a key holds a .agent name (agent_certificate.h issues them). With the
// registrar policy a record counts only with one; so they travel with records, and strangers choose their bytes.
//
// Defends against certificates of registrars that the reader does not trust, for other names or keys, out of date, of
// another kind (a CA's, an SVID, another curve's, another purpose's), and with critical extensions that nobody here
// understands (RFC 5280 §4.2). Reads exactly the profile that agent_certificate.h writes, with its own DER reader
// (der.h); one certificate has one form. Departs from RFC 5280 §6: the trust anchor is the registrar's key itself,
// found by the authority key identifier; no chains, no policies; revocation is this project's own (revocation.h).
#ifndef DOTAGENT_COMMON_IDENTITY_NAME_CERTIFICATE_H_
#define DOTAGENT_COMMON_IDENTITY_NAME_CERTIFICATE_H_

#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "common/crypto/keys.h"
#include "common/identity/agent_id.h"

namespace dotagent::identity {

inline constexpr size_t kMaxNameCertificateSize = 2048;

struct NameCertificate {
  crypto::PublicKey registrar;
  AgentId agent;
  crypto::PublicKey key;
  std::string name;  // in its normal form
  absl::Time not_before;
  absl::Time not_after;  // the last second of its life
};

// InvalidArgument: TOO_LARGE (over 2 KiB), BAD_STATEMENT (not a name certificate in DER), KEY_MISMATCH (of none of
// `registrars`), BAD_SIGNATURE, BAD_NAME. FailedPrecondition: FUTURE_DATED (not valid yet), STALE (no longer). About
// 105 µs: half for the signature, half for checking that the agent's key is a good one.
[[nodiscard]] absl::StatusOr<NameCertificate> VerifyNameCertificate(absl::string_view certificate,
                                                                    absl::Span<const crypto::PublicKey> registrars,
                                                                    absl::Time now);

// The same for a certificate that should be for `key`, which the caller has from elsewhere (a record, say): one
// signature verification, about 55 µs. Also InvalidArgument (KEY_MISMATCH) if it is for another key.
[[nodiscard]] absl::StatusOr<NameCertificate> VerifyNameCertificateFor(const crypto::PublicKey& key,
                                                                       absl::string_view certificate,
                                                                       absl::Span<const crypto::PublicKey> registrars,
                                                                       absl::Time now);

// When it ends, whoever issued it: for its holder, who is to renew it in time. Verifies nothing but the form:
// InvalidArgument (TOO_LARGE, BAD_STATEMENT).
[[nodiscard]] absl::StatusOr<absl::Time> EndOfNameCertificate(absl::string_view certificate);

// The 32 bytes of the key that it is for; whether that is a good one is not looked at, nor anything but the form, as
// above.
[[nodiscard]] absl::StatusOr<std::string> KeyBytesOfNameCertificate(absl::string_view certificate);

// What it says, whoever issued it and whenever: to show it, or to renew it. The signature is not verified; `registrar`
// stays empty. InvalidArgument (TOO_LARGE, BAD_STATEMENT, BAD_NAME).
struct NameCertificateText {
  NameCertificate says;
  std::string serial;         // hexadecimal
  std::string registrar_key;  // its key's identifier, hexadecimal
  // When its holder should ask for the next one: half of its life is over.
  [[nodiscard]] absl::Time renew_at() const { return says.not_before + (says.not_after - says.not_before) / 2; }
};
[[nodiscard]] absl::StatusOr<NameCertificateText> ReadNameCertificate(absl::string_view certificate);

// As a PEM file holds it, and back: InvalidArgument (BAD_STATEMENT) if `pem` holds no certificate.
[[nodiscard]] std::string NameCertificateToPem(absl::string_view certificate);
[[nodiscard]] absl::StatusOr<std::string> NameCertificateFromPem(absl::string_view pem);

}  // namespace dotagent::identity

#endif  // DOTAGENT_COMMON_IDENTITY_NAME_CERTIFICATE_H_
