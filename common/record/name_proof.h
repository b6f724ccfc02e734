// What goes with a record where its own signature does not say all: that the key that signed it is the owner's, or that
// a registrar gave it the name. Not signed itself; its parts are, and whoever stores or reads the record verifies them.
#ifndef DOTAGENT_COMMON_RECORD_NAME_PROOF_H_
#define DOTAGENT_COMMON_RECORD_NAME_PROOF_H_

#include <string>

namespace dotagent::record {

struct NameProof {
  // The owner's rotation chain (identity/rotation.h), encoded, if the signing key is not the owner's first.
  std::string rotation_chain;
  // A registrar's certificate for the name (identity/name_certificate.h), DER, where names need one.
  std::string name_certificate;

  [[nodiscard]] bool empty() const { return rotation_chain.empty() && name_certificate.empty(); }
};

}  // namespace dotagent::record

#endif  // DOTAGENT_COMMON_RECORD_NAME_PROOF_H_
