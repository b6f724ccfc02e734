// Owners for OpenSSL's objects, so that none is freed by hand.
#ifndef DOTAGENT_COMMON_CRYPTO_OPENSSL_H_
#define DOTAGENT_COMMON_CRYPTO_OPENSSL_H_

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include <memory>
#include <string>

#include "absl/strings/string_view.h"

namespace dotagent::crypto {

template <auto free_function>
struct OpenSslFree {
  template <typename T>
  void operator()(T* object) const {
    free_function(object);
  }
};

using BioPtr = std::unique_ptr<BIO, OpenSslFree<BIO_free_all>>;
using CipherContextPtr = std::unique_ptr<EVP_CIPHER_CTX, OpenSslFree<EVP_CIPHER_CTX_free>>;
using DigestContextPtr = std::unique_ptr<EVP_MD_CTX, OpenSslFree<EVP_MD_CTX_free>>;
using PkeyPtr = std::unique_ptr<EVP_PKEY, OpenSslFree<EVP_PKEY_free>>;
using PkeyContextPtr = std::unique_ptr<EVP_PKEY_CTX, OpenSslFree<EVP_PKEY_CTX_free>>;
using X509Ptr = std::unique_ptr<X509, OpenSslFree<X509_free>>;

// Never null, not even for an empty view: to many of OpenSSL's functions null means "the same as last time".
inline const unsigned char* OpenSslBytes(absl::string_view bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data() == nullptr ? "" : bytes.data());
}
inline unsigned char* OpenSslBytes(std::string& bytes) { return reinterpret_cast<unsigned char*>(bytes.data()); }

// What a memory BIO holds.
inline absl::string_view BioView(BIO* bio) {
  const char* data = nullptr;
  const auto size = BIO_get_mem_data(bio, &data);
  return size > 0 ? absl::string_view(data, static_cast<size_t>(size)) : absl::string_view();
}

// The last error of this thread's queue in OpenSSL's words, and an empty queue: a stale entry would otherwise be read
// as the cause of a later failure (OpenSSL's own PEM loops do that).
inline std::string TakeOpenSslError() {
  const unsigned long code = ERR_peek_last_error();
  ERR_clear_error();
  if (code == 0) {
    return "no reason given";
  }
  const char* text = ERR_reason_error_string(code);
  return text != nullptr ? text : "error " + std::to_string(code);
}

}  // namespace dotagent::crypto

#endif  // DOTAGENT_COMMON_CRYPTO_OPENSSL_H_
