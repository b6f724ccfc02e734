// SoftHSM 2.6.1 leaks an ASN.1 string each time that it loads an Ed25519 key (in C_SignInit). The leak check passes
// over what was allocated below that library, and over nothing else; to know what lies below it, stacks are unwound
// without relying on frame pointers, which the library lacks.

extern "C" {

const char* __asan_default_options() { return "fast_unwind_on_malloc=0"; }     // NOLINT(bugprone-reserved-identifier)
const char* __lsan_default_suppressions() { return "leak:libsofthsm2.so\n"; }  // NOLINT(bugprone-reserved-identifier)

}  // extern "C"
