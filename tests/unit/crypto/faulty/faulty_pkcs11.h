// How a test tells the faulty PKCS#11 module what to get wrong.
#ifndef DOTAGENT_TESTS_UNIT_CRYPTO_FAULTY_FAULTY_PKCS11_H_
#define DOTAGENT_TESTS_UNIT_CRYPTO_FAULTY_FAULTY_PKCS11_H_

namespace dotagent::crypto {

enum class FaultyLie : int {
  kNone,
  kNoFunctions,       // C_GetFunctionList gives none
  kMissingFunction,   // one of them is null
  kOldVersion,        // Cryptoki 1.0
  kBillionSlots,      // a count of tokens that no memory holds
  kMoreSlots,         // more slots than there was room for, it says
  kEndlessObjects,    // C_FindObjects never comes to its end
  kMoreObjects,       // more objects than there was room for, it says
  kHugeAttribute,     // an attribute of 2^60 bytes
  kGrowingAttribute,  // an attribute longer than it was a call before
  kShortSignature,    // a signature of 63 bytes
  kLongSignature,     // of 1000 bytes, it says
  kWrongSignature,    // one bit is wrong, as after a fault in the chip
  kOtherKeyType,      // the key is an RSA key
  kOtherPublicKey,    // the public half is another key's
  kSmallOrderKey,     // the public half is the point at infinity
  kRawPoint,          // the public half without its OCTET STRING around it: no lie, but another dialect
  kSessionsDie,       // each session is good for one signature
  kHalfAPair,         // C_GenerateKeyPair makes the private half, then fails
  kKeepsObjects,      // C_DestroyObject fails
};

struct FaultyPlan {
  FaultyLie lie = FaultyLie::kNone;
  const char* function = "";  // whose call fails, after so many that do not
  unsigned long answer = 0;
  int calls_before = 0;
};

// What the module exports beside C_GetFunctionList: sets the plan, and the counts of calls back to none. Keys that were
// made stay, as in a token.
using FaultySetPlan = void (*)(const FaultyPlan& plan);
// Whether C_Initialize has had its C_Finalize, sessions that are open, and halves of keys that were made and are there.
struct FaultyCounts {
  int initialized = 0;
  int open_sessions = 0;
  int private_keys = 0;
  int public_keys = 0;
};
using FaultyGetCounts = void (*)(FaultyCounts*);
// Forgets the keys that were made.
using FaultyForgetKeys = void (*)();

}  // namespace dotagent::crypto

#endif  // DOTAGENT_TESTS_UNIT_CRYPTO_FAULTY_FAULTY_PKCS11_H_
