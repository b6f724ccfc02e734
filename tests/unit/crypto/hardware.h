// The hardware that key stores are tested on, in software: SoftHSM (package softhsm2) for PKCS#11, swtpm for the TPM.
// Each lives in a folder of its own and goes with its owner.
#ifndef DOTAGENT_TESTS_UNIT_CRYPTO_HARDWARE_H_
#define DOTAGENT_TESTS_UNIT_CRYPTO_HARDWARE_H_

#include <sys/types.h>

#include <string>

namespace dotagent::crypto {

inline constexpr char kSoftHsmModule[] = "/usr/lib/softhsm/libsofthsm2.so";

// A folder that goes with its owner.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  [[nodiscard]] std::string Path(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

// SoftHSM with a configuration of its own, which this process's environment names. One at a time.
class SoftHsm {
 public:
  SoftHsm();
  ~SoftHsm();
  // A token with the PIN "1234".
  void AddToken(const std::string& label);
  // As if it were pulled out: its files are gone.
  void RemoveTokens();

 private:
  TemporaryFolder folder_;
};

// A TPM of its own, on two TCP ports that were free.
class SoftTpm {
 public:
  SoftTpm();
  ~SoftTpm();
  SoftTpm(const SoftTpm&) = delete;
  SoftTpm& operator=(const SoftTpm&) = delete;
  // "swtpm:host=127.0.0.1,port=…"
  [[nodiscard]] const std::string& tcti() const { return tcti_; }
  // As if the chip had died.
  void Kill();

 private:
  TemporaryFolder folder_;
  std::string tcti_;
  pid_t pid_ = -1;
};

}  // namespace dotagent::crypto

#endif  // DOTAGENT_TESTS_UNIT_CRYPTO_HARDWARE_H_
