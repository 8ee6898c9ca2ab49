// Owners of OpenSSL's objects, and its errors in words.
#pragma once

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include <memory>
#include <string>
#include <string_view>

namespace appserver::certificates {

struct Free {
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(BIO* bio) const { BIO_free_all(bio); }
};

using Certificate = std::unique_ptr<X509, Free>;
using Key = std::unique_ptr<EVP_PKEY, Free>;
using Bio = std::unique_ptr<BIO, Free>;

// Reads from `bytes`, which must outlive it.
Bio read_from(std::string_view bytes);

// Empties this thread's queue of errors; the first of them, which is the cause, in OpenSSL's words.
// "unknown error" where there is none.
std::string take_error();

// std::runtime_error: "WHAT: take_error()".
[[noreturn]] void throw_error(std::string_view what);

}  // namespace appserver::certificates
